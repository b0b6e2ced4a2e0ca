"""At which scales is a network wrong, and does its error repeat with its tokens or windows?"""

import dataclasses

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional import neighbours as near
from depthprobe.functional.metrics import Terms, Truth
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.functional.spectrum import log_power, ring_centres
from depthprobe.functional.spectrum_grid import grid_test
from depthprobe.models.adapter import DepthModel
from depthprobe.models.strides import periods
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_protocol
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.schema import rows


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectrumPlan:
    """Which frequencies and which periods are looked at.

    Convention:
        protocol: a Protocol or the name of one; its metrics are not used.
        rings: number of rings of equal width of the spatial frequency, up to 1/2 cycle per pixel of the truth.
        periods: in pixels of the image that the network reads (its canvas); empty: the strides of its layers and the
            sides of its attention windows.
        alpha: the probability of finding any grid in a prediction without one.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    rings: int = 16
    periods: tuple[float, ...] = ()
    alpha: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        object.__setattr__(self, "periods", tuple(sorted(float(p) for p in set(self.periods))))
        check_range("rings", self.rings, 1, 1024)
        check_range("alpha", self.alpha, 0, 1, open_low=True)
        for period in self.periods:
            check_range("period", period, 1, 1e6, open_low=True)


@PROBES.register("spectrum", plan=SpectrumPlan, axes={"factor": "axis", "level": "frequency_or_period"})
def spectrum(model: DepthModel, batch: Batch, plan: SpectrumPlan) -> pd.DataFrame:
    """Rows of radial power spectra, and of grids at the network's own periods.

    Convention: factor "radial": `log_power@pred`, `@truth` and `@residual` (of ln depth, where the protocol judges) by
    level = cycles per pixel of the truth. Factor "x", "y": `grid_energy`, `grid_amplitude` and `grid_p` of the residual
    along one axis, "both": `grid_p` and `grid_found`, by level = period in pixels of the network's canvas. Factor "":
    `grid_found`, whether any grid is, and `grid_period`, which one (NaN without). Residuals count where the truth is
    smooth (no depth edge within 3 pixels). No grid rows where no period is known.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or does not fit the images.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    raw = predict(model, batch.image, flip=protocol.flip)
    pred, mask = prepare(raw, batch.depth, batch.valid, kind=model.card.output, protocol=protocol)
    t = Terms(pred, Truth(batch.depth, mask))
    frames = _radial(batch, t, plan.rings)
    if found := plan.periods or tuple(float(p) for p in periods(model, batch.image)):
        frames += _grids(model, batch, t, found, plan.alpha)
    return pd.concat(frames, ignore_index=True)


def _radial(batch: Batch, t: Terms, rings: int) -> list[pd.DataFrame]:
    maps = {"pred": t.log_pred, "truth": t.truth.log, "residual": t.log_ratio}
    power = {name: log_power(x, t.truth.valid, rings) for name, x in maps.items()}
    return [
        rows(batch.sample, f"log_power@{name}", value[:, k].tolist(), factor="radial", level=level)
        for name, value in power.items()
        for k, level in enumerate(ring_centres(rings))
    ]


def _grids(model: DepthModel, batch: Batch, t: Terms, found: tuple[float, ...], alpha: float) -> list[pd.DataFrame]:
    height, width = t.truth.valid.shape[1:]
    rows_read, columns_read = model.canvas_size(*batch.image.shape[-2:])
    in_truth = [(p * height / rows_read, p * width / columns_read) for p in found]
    test = grid_test(t.log_ratio, t.truth.derive(near.smooth), in_truth, alpha=alpha)
    frames = []
    for k, period in enumerate(found):
        values = {
            "x": {"grid_energy": test.x.energy, "grid_amplitude": test.x.amplitude, "grid_p": test.x.p},
            "y": {"grid_energy": test.y.energy, "grid_amplitude": test.y.amplitude, "grid_p": test.y.p},
            "both": {"grid_p": test.p, "grid_found": test.found},
        }
        frames += [
            rows(batch.sample, metric, value[:, k].tolist(), factor=axis, level=period)
            for axis, some in values.items()
            for metric, value in some.items()
        ]
    level = torch.tensor([*found, torch.nan], dtype=torch.float64)[test.period.cpu()]
    frames.append(rows(batch.sample, "grid_period", level.tolist()))
    frames.append(rows(batch.sample, "grid_found", _any(test.found).tolist()))
    return frames


def _any(found: Tensor) -> Tensor:
    """1 where a grid of any period (B,P) is found, else 0; NaN where none could be tested."""
    return found.nan_to_num(0.0).amax(1).where(found.isfinite().any(1), torch.nan)
