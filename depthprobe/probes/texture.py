"""Is a network right where there is texture, and does it rest on texture? Two questions, two answers."""

import dataclasses
from collections.abc import Iterator

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch
from depthprobe.functional import neighbours as near
from depthprobe.functional.metrics import METRICS, Terms, Truth, measure
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.functional.selection import sample_seeds
from depthprobe.functional.texture import (
    CONTROLS,
    equal_change,
    texture_bias,
    texture_decades,
    texture_growth,
    texture_slope,
    texture_zone,
)
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.fields import read_protocol
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.responses import Change, reactions

Edits = tuple[tuple[str, tuple[float, ...]], ...]
"""Names of edits, each with the levels at which it is made."""

RENDERED: Edits = (
    ("texture_off", (1.0,)),
    ("texture_grey", (1.0,)),
    ("texture_swap", (1.0, 2.0)),
    ("texture_permute", (1.0, 2.0)),
)
FILTERED: Edits = (
    ("low_pass", (1.0, 2.0, 4.0)),
    ("high_pass", (2.0, 4.0, 8.0)),
    ("phase_only", (1.0,)),
    ("patch_shuffle", (2.0, 4.0, 8.0)),
    ("palette_swap", (1.0,)),
    ("colour_jitter", (1.0,)),
)


def checked_edits(name: str, edits: Edits) -> Edits:
    """Edits as a plan holds them: names that differ, each with levels that differ, as numbers with a fraction.

    Raises:
        ValueError: if a name or a level is given twice, or a name without levels.
    """
    found = tuple((edit, tuple(float(level) for level in levels)) for edit, levels in edits)
    if len({edit for edit, _ in found}) < len(found):
        raise ValueError(f"Expected `{name}` to name every edit once, but got {[edit for edit, _ in found]}.")
    for edit, levels in found:
        if not levels or len(set(levels)) < len(levels):
            raise ValueError(f"Expected different levels, at least one, for `{edit}` in `{name}`, but got {levels}.")
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class TexturePlan:
    """Which changes of texture are made, and what they are held against.

    Convention:
        protocol: a Protocol or the name of one; its metrics are measured.
        rendered: exact edits (texture changes, geometry stays bit-identical), made where the data set offers them;
            the level of `texture_swap` and `texture_permute` is the number of the draw.
        filtered: edits of the image alone (PERTURBATIONS), made on every data set, in pixels of its images: on scenes
            they say how far a filter stands for the exact edit. The seed decides the random ones.
        controls: patterns of equal pixel change (CONTROLS), each beside every edit.
        bands: quartiles and such: where the bands of texture energy begin, as shares of each image's smooth pixels.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    rendered: Edits = RENDERED
    filtered: Edits = FILTERED
    controls: tuple[str, ...] = ("white_noise", "scrambled")
    bands: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    seed: int = 0

    def __post_init__(self) -> None:
        read_protocol(self)
        for name in ("rendered", "filtered"):
            object.__setattr__(self, name, checked_edits(name, getattr(self, name)))
        object.__setattr__(self, "controls", tuple(self.controls))
        object.__setattr__(self, "bands", tuple(float(start) for start in self.bands))
        for name, _ in self.filtered:
            check_one_of("edit", name, PERTURBATIONS.names())
        for name in self.controls:
            check_one_of("control", name, CONTROLS.names())
        for start in self.bands:
            check_range("band", start, 0, 1)
        if list(self.bands) != sorted(set(self.bands)):
            raise ValueError(f"Expected `bands` to rise, but got {self.bands}.")


@PROBES.register(
    "texture",
    plan=TexturePlan,
    axes={"factor": "change", "level": "strength", "factor2": "control"},
    quick={
        "rendered": (("texture_off", (1.0,)), ("texture_swap", (1.0,))),
        "filtered": (("low_pass", (2.0,)), ("patch_shuffle", (4.0,))),
        "controls": ("scrambled",),
    },
)
def texture(model: DepthModel, batch: Batch, plan: TexturePlan) -> pd.DataFrame:
    """Rows of the quality in texture and of the reliance on texture.

    Convention: quality: `texture_slope`, `texture_growth` and `texture_bias` (factor ""), the same with ln depth and
    the image row and column held fixed (`texture_slope@place_held`), and the protocol's metrics of one pixel by band of
    texture energy (factor "energy", level = where the band begins), all where the truth is smooth, no contour of the
    image is near (`texture_zone`) and the protocol judges. Reliance: factor = edit,
    level = its strength; the protocol's metrics against truth and `@self` = against the answer to the unchanged image,
    whose 0 is no reliance; factor2 = the control that changes the pixels as much (`pixel_change`), whatever they show.
    It is a yardstick and no zero: it draws a pattern where there was none, and a reader of texture reacts to that too.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or does not fit the images.
    """
    plan.protocol.check(model.card.output)
    read, protocol = as_read(batch, plan.protocol)
    answer = predict(model, read.image, flip=protocol.flip)
    pred, mask = prepare(answer, read.depth, read.valid, kind=model.card.output, protocol=protocol)
    quality = frame(read.sample, list(_quality(read, pred, mask, plan)))
    reliance = reactions(model, read, protocol, _changes(batch, read, plan), answer)
    return pd.concat([quality, reliance], ignore_index=True)


def _quality(batch: Batch, pred: Tensor, mask: Tensor, plan: TexturePlan) -> Iterator[Measured]:
    smooth = texture_zone(Truth(batch.depth, mask).derive(near.smooth)[:, None], batch.image)
    height, width = smooth.shape[-2:]
    row = torch.arange(height, device=smooth.device).view(1, 1, -1, 1).expand_as(smooth)
    column = torch.arange(width, device=smooth.device).expand_as(smooth)
    place = [torch.where(smooth, batch.depth, 1.0).log(), row, column]
    for metric in (texture_slope, texture_growth, texture_bias):
        for at, given in (("", []), ("@place_held", place)):
            value = metric(pred, batch.depth, smooth, batch.image, given=given)
            yield Measured(f"{metric.__name__}{at}", value)
    names = [name for name in plan.protocol.metrics if METRICS.facts(name).get("scope") == "pixel"]
    decades = texture_decades(batch.image).masked_fill(~smooth, torch.nan)
    cuts = [decades.flatten(1).nanquantile(q, dim=1).view(-1, 1, 1, 1) for q in (*plan.bands, 1.0)]
    for k, start in enumerate(plan.bands):
        above = decades >= cuts[k] if k == 0 else decades > cuts[k]
        band = Truth(batch.depth, above & (decades <= cuts[k + 1]))
        for name, value in measure(Terms(pred, band), names).items():
            yield Measured(name, value, factor="energy", level=start)


def _changes(batch: Batch, read: Batch, plan: TexturePlan) -> Iterator[Change]:
    """Every edit of the images that the network reads, each followed by its controls."""
    offered, seeds = batch.edits(), sample_seeds(read.sample, plan.seed)
    for rendered, edits in ((True, plan.rendered), (False, plan.filtered)):
        for name, level in ((name, level) for name, levels in edits for level in levels):
            if rendered and name not in offered:
                continue
            exact = as_read(batch.edited(name, level), plan.protocol)[0].image if rendered else None
            image = PERTURBATIONS[name](read.image, level, seed=plan.seed) if exact is None else exact
            yield Change(factor=name, level=level, image=image)
            for control in plan.controls:
                other = equal_change(read.image, image, control, seeds)
                yield Change(factor=name, level=level, image=other, control=control)
