"""Does a network keep surfaces smooth and edges sharp? Continuity and boundaries, and where they fail."""

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch
from depthprobe.functional import neighbours as near
from depthprobe.functional.filters import distance_to
from depthprobe.functional.metrics import METRICS, Terms, Truth, measure
from depthprobe.functional.planes_fit import segment_planes
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.functional.selection import sample_seeds
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_protocol
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read, known_facts
from depthprobe.probes.registry import PROBES

STRUCTURE = tuple(n for n in METRICS if METRICS.facts(n).get("scope") == "structure" and "terms" in METRICS.facts(n))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuityPlan:
    """What is measured, and in which bands.

    Convention:
        protocol: a Protocol or the name of one; its metrics are not used.
        metrics: names with the scope "structure"; those that can be divided among pixels are also measured by band.
        depth_bands, edge_bands: where the bands begin, in metres of true depth and in pixels from the nearest depth
            edge of the truth (0: on it); the last band is open. Empty: no bands.
        plane_tolerance: what may deviate from a plane, as a share of depth, where planes have to be fitted because the
            data set has no map `plane`; deviations up to the truth's own step do not count either.
        dither: also score the truth plus uniform noise of its own step (`depth_step`) as if it were a prediction: what
            the truth's quantisation alone contributes (`metric@dither`). The seed decides the noise.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    metrics: tuple[str, ...] = STRUCTURE
    depth_bands: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    edge_bands: tuple[float, ...] = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    plane_tolerance: float = 0.01
    dither: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        object.__setattr__(self, "metrics", tuple(self.metrics))
        for name in ("depth_bands", "edge_bands"):
            starts = tuple(float(start) for start in getattr(self, name))
            if any(b <= a for a, b in itertools.pairwise(starts)):
                raise ValueError(f"Expected `{name}` to rise, but got {starts}.")
            object.__setattr__(self, name, starts)
        if not self.metrics:
            raise ValueError("Expected at least one name in `metrics`, but got none.")
        for metric in self.metrics:
            check_one_of("metric", metric, STRUCTURE)
        check_range("plane_tolerance", self.plane_tolerance, 0, 1, open_low=True)


@PROBES.register("continuity", plan=ContinuityPlan, axes={"factor": "band", "level": "from"})
def continuity(model: DepthModel, batch: Batch, plan: ContinuityPlan) -> pd.DataFrame:
    """Rows of the structural metrics, of the whole image and by band, and the truth's own `depth_step`.

    Convention: factor "" is the whole image, "depth" a band of true depth and "edge_distance" a band of distance to the
    nearest depth edge; level is where the band begins (m, px). Planes come from the map `plane`, else they are fitted
    to the truth; metrics of planes are NaN without intrinsics.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or does not fit the images.
    """
    plan.protocol.check(model.card.output)
    batch, protocol = as_read(batch, plan.protocol)
    raw = predict(model, batch.image, flip=protocol.flip)
    pred, mask = prepare(raw, batch.depth, batch.valid, kind=model.card.output, protocol=protocol)
    step = METRICS["depth_step"](batch.depth, mask)
    truth = Truth(batch.depth, mask, **_known(batch, mask, step, plan))
    parts = [_values(Terms(pred, truth), plan, "")]
    parts.append([("depth_step", "", float("nan"), step)])
    if plan.dither:
        parts.append(_values(Terms(_dithered(batch, step, plan.seed), truth), plan, "@dither"))
    found = [Measured(metric, x, factor=factor, level=at) for part in parts for metric, factor, at, x in part]
    return frame(batch.sample, found)


Value = tuple[str, str, float, Tensor]
"""Metric, factor, level and the values (B,)."""


def _known(batch: Batch, mask: Tensor, step: Tensor, plan: ContinuityPlan) -> dict[str, Tensor]:
    """What the truth knows besides depth; planes are fitted if a metric asks for them and the data set has none."""
    known = known_facts(batch)
    wanted = any("planes" in METRICS.facts(name)["inputs"] for name in plan.metrics)
    if wanted and "planes" not in known and "intrinsics" in known:
        known["planes"] = segment_planes(batch.depth, mask, tolerance=plan.plane_tolerance, step=step)
    return known


def _values(t: Terms, plan: ContinuityPlan, against: str) -> list[Value]:
    measurable = [n for n in plan.metrics if set(METRICS.facts(n)["inputs"].split()[3:]) <= set(t.truth.known)]
    found = measure(t, measurable)
    unknown = torch.full_like(t.raw[:, 0, 0], torch.nan)
    whole = [(name, "", float("nan"), found.get(name, unknown)) for name in plan.metrics]
    return [(name + against, factor, level, value) for name, factor, level, value in (*whole, *_by_band(t, plan))]


def _by_band(t: Terms, plan: ContinuityPlan) -> Iterator[Value]:
    truth, names = t.truth, [name for name in plan.metrics if "by" in METRICS.facts(name)]
    if plan.depth_bands and names:
        yield from _banded(t, names, "depth", plan.depth_bands, truth.depth)
    if plan.edge_bands and names:
        distance = distance_to(truth.derive(near.edges)[:, None])[:, 0]
        yield from _banded(t, names, "edge_distance", plan.edge_bands, distance)


def _banded(t: Terms, names: Sequence[str], factor: str, starts: Sequence[float], x: Tensor) -> Iterator[Value]:
    by = near.bands(x, starts, t.truth.valid)
    for name in names:
        for start, value in zip(starts, near.banded(t, name, by).unbind(1), strict=True):
            yield name, factor, start, value


def _dithered(batch: Batch, step: Tensor, seed: int) -> Tensor:
    """The truth plus uniform noise of its own step's width, drawn for each sample from its id."""
    size = batch.depth.shape[1:]
    noise = [
        torch.rand(size, generator=torch.Generator().manual_seed(one), dtype=torch.float32) - 0.5
        for one in sample_seeds(batch.sample, seed)
    ]
    wide = step.nan_to_num(0.0).view(-1, 1, 1, 1)
    return (batch.depth + wide * torch.stack(noise).to(batch.depth)).clamp_min(1e-6)
