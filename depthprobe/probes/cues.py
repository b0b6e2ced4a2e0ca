"""Which cues does a network follow (METHODS 4)? One cue is varied at a time, and what it answers is read."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch, stack
from depthprobe.data.scenes import EditError
from depthprobe.functional import cues as read
from depthprobe.functional.metrics import all_metrics
from depthprobe.functional.protocol import Protocol, get_protocol, prepare
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.error import predict
from depthprobe.probes.reading import as_read
from depthprobe.probes.registry import PROBES
from depthprobe.probes.responses import Values, as_rows
from depthprobe.probes.texture import Edits, checked_edits
from depthprobe.registry import Registry

_MOST_HIDDEN = 0.5  # of an object's width, by a card; what is read is the rest

CUES = Registry("cue")
"""A cue is a function (batch of one, level) -> the batch with that cue varied (and its map `read`, where not the whole

image is read). Facts: needs = the edits that the data set has to offer; levels = those of the default plan, the first
one being no change; dose: (seen, level) -> (B,), how much of the cue there is; reading = what is read of the depth;
still: the edit leaves geometry alone, so that answers can be compared pixel by pixel.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """A varied batch as the network reads it, its answer (aligned, clamped) and the pixels that are judged."""

    batch: Batch
    pred: Tensor
    mask: Tensor

    def where(self) -> Tensor:
        """The pixels that are read: those of the object, if the cue is one of an object."""
        return self.mask & self.batch.maps["read"] if "read" in self.batch.maps else self.mask

    def ground(self) -> Tensor:
        """The pixels of the largest level plane."""
        return read.level_ground(self.batch.maps["plane"], self.batch.maps["normal"], self.mask)


READINGS: dict[str, Callable[[Seen, Tensor], Tensor]] = {
    "log_depth": lambda seen, depth: read.log_depth(depth, seen.where()),
    "depth_gain": lambda seen, depth: read.depth_gain(depth, seen.batch.depth, seen.mask),
    "ground_pitch": lambda seen, depth: read.ground_pitch(depth, seen.ground(), _camera(seen)),
    "ground_roll": lambda seen, depth: read.ground_roll(depth, seen.ground(), _camera(seen)),
}
"""(seen, a depth map: the answer or the truth) -> (B,); each is a metric, and so is its slope."""


def _camera(seen: Seen) -> Tensor:
    assert seen.batch.intrinsics is not None  # who renders knows the camera
    return seen.batch.intrinsics


def _as_level(seen: Seen, level: float) -> Tensor:
    return torch.full((len(seen.batch),), level, dtype=torch.float64)


def _as_log_level(seen: Seen, level: float) -> Tensor:
    return _as_level(seen, level).log()


def _as_rise(seen: Seen, level: float) -> Tensor:
    return read.rise(seen.batch.maps["read"]).cpu()


def _as_size(seen: Seen, level: float) -> Tensor:
    return read.log_size(seen.batch.maps["read"]).cpu()


def _object(batch: Batch) -> Batch:
    """The batch with the edited object marked as what is read."""
    return batch.replace(maps={**batch.maps, "read": batch.maps["edited"]})


@CUES.register("vertical_position", needs="object_lift", levels=(0, 0.1, 0.2, 0.3), dose=_as_rise, reading="log_depth")
def vertical_position(batch: Batch, level: float) -> Batch:
    """The object floats level metres above its place; dose: height in the image, in image heights."""
    return _object(batch.edited("object_lift", level))


@CUES.register("apparent_size", needs="object_scale", levels=(1, 0.7, 0.85, 1.2), dose=_as_size, reading="log_depth")
def apparent_size(batch: Batch, level: float) -> Batch:
    """The object is level times as large, on the same foot; dose: ln of its size in the image."""
    return _object(batch.edited("object_scale", level))


@CUES.register("both", needs="object_recede", levels=(1, 1.1, 1.2, 1.3), dose=_as_log_level, reading="log_depth")
def both(batch: Batch, level: float) -> Batch:
    """The object looks as if it stood level times as far off on the ground; dose: ln of that distance."""
    return _object(batch.edited("object_recede", level))


@CUES.register("distance", needs="object_distance", levels=(1, 0.6, 0.8), dose=_as_log_level, reading="log_depth")
def distance(batch: Batch, level: float) -> Batch:
    """The object comes nearer behind the same outline; dose: ln of its true distance (a slope of 1 would be right)."""
    return _object(batch.edited("object_distance", level))


@CUES.register("pitch", needs="camera_pitch", levels=(0, -6, -3, 3, 6), dose=_as_level, reading="ground_pitch")
def pitch(batch: Batch, level: float) -> Batch:
    """The camera looks up by level degrees; read: the pitch that the depth of level ground implies."""
    return batch.edited("camera_pitch", level)


@CUES.register("roll", needs="camera_roll", levels=(0, -10, -5, 5, 10), dose=_as_level, reading="ground_roll")
def roll(batch: Batch, level: float) -> Batch:
    """The camera turns clockwise by level degrees; read: the roll that the depth of level ground implies."""
    return batch.edited("camera_roll", level)


@CUES.register("shading", needs="unlit", levels=(0, 0.5, 1), dose=_as_level, reading="log_depth", still=True)
def shading(batch: Batch, level: float) -> Batch:
    """The share level of the light's play on surfaces is gone."""
    return batch.edited("unlit", level)


@CUES.register("shadow", needs="shadow_off", levels=(0, 0.5, 1), dose=_as_level, reading="log_depth", still=True)
def shadow(batch: Batch, level: float) -> Batch:
    """The share level of every shadow is gone."""
    return batch.edited("shadow_off", level)


@CUES.register("fog", needs="fog", levels=(0, 0.25, 0.5, 1), dose=_as_level, reading="log_depth", still=True)
def fog(batch: Batch, level: float) -> Batch:
    """Fog of density level per median depth."""
    return batch.edited("fog", level)


@CUES.register("perspective", needs="perspective_off", levels=(0, 1), dose=_as_level, reading="depth_gain")
def perspective(batch: Batch, level: float) -> Batch:
    """Level 1: parallel projection; read: how much of the depth in the image is found."""
    return batch.edited("perspective_off", level)


@CUES.register("occlusion", needs="object_lift", levels=(0, 0.2, 0.4), dose=_as_level, reading="log_depth", still=True)
def occlusion(batch: Batch, level: float) -> Batch:
    """A plain card hides the share level of the object's width; read: the rest of the object."""
    return _carded(batch, level, over=True)


@CUES.register(
    "occlusion_beside", needs="object_lift", levels=(0, 0.2, 0.4), dose=_as_level, reading="log_depth", still=True
)
def occlusion_beside(batch: Batch, level: float) -> Batch:
    """The control of `occlusion`: the same card beside the object hides nothing of it; the same pixels are read."""
    return _carded(batch, level, over=False)


def _carded(batch: Batch, level: float, *, over: bool) -> Batch:
    still = batch.edited("object_lift", 0.0)  # marks the object
    check_range("level", level, 0, _MOST_HIDDEN)
    image, _ = read.card(still.image, still.maps["edited"], level, over=over)
    _, rest = read.card(still.image, still.maps["edited"], _MOST_HIDDEN, over=over)  # the same pixels at every level
    return still.replace(image=image, maps={**still.maps, "read": rest})


@dataclasses.dataclass(frozen=True, kw_only=True)
class CuesPlan:
    """Which cues are varied, and how far.

    Convention:
        protocol: a Protocol or the name of one; its metrics are not used.
        cues: names (CUES), each with its levels, in the unit of the edit behind it; the first is what the others are
            compared with in `log_mae@self`.
    """

    protocol: Protocol = dataclasses.field(default_factory=lambda: get_protocol("scenes"))
    cues: Edits = tuple((name, CUES.facts(name)["levels"]) for name in CUES)
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.protocol, str):
            object.__setattr__(self, "protocol", get_protocol(self.protocol))
        object.__setattr__(self, "cues", checked_edits("cues", self.cues))
        for name, levels in self.cues:
            CUES.facts(name)
            if len(levels) < 2:
                raise ValueError(f"Expected at least two levels for a slope, but got {levels} for the cue `{name}`.")
        if not self.cues:
            raise ValueError("Expected at least one cue in `cues`, but got none.")


@PROBES.register(
    "cues",
    plan=CuesPlan,
    axes={"factor": "cue", "level": "strength"},
    quick={"cues": (("vertical_position", (0.0, 0.2)), ("roll", (0.0, 10.0)), ("fog", (0.0, 1.0)))},
)
def cues(model: DepthModel, batch: Batch, plan: CuesPlan) -> pd.DataFrame:
    """Rows of what is read at every strength of every cue, and of the slope of that on the dose, per sample.

    Convention: factor = cue, level = its strength: the reading (`log_depth`, `depth_gain`, `ground_pitch`,
    `ground_roll`) of the answer and `@truth` of the truth, the `cue_dose`, and for cues that leave geometry alone
    `log_mae@self` against the answer at the first level. Level NaN: `log_depth_slope` and so on, and `@truth`; what is
    right is the slope of the truth. Cues that the data set cannot vary have no rows; a sample that does not allow an
    edit (the object would be hidden, leave the image or hit something) has NaN there.

    Raises:
        ValueError: if the protocol refuses the network's output kind, or the data set can vary none of the cues.
    """
    plan.protocol.check(model.card.output)
    offered = batch.edits()
    some = [(name, levels) for name, levels in plan.cues if CUES.facts(name)["needs"] in offered]
    if not some:
        needed = sorted({CUES.facts(name)["needs"] for name, _ in plan.cues})
        raise ValueError(
            f"Expected a data set with edits that vary a cue {needed}, but this one offers {offered}; use `scenes`."
        )
    values = [one for name, levels in some for one in _responses(model, batch, plan.protocol, name, levels)]
    return as_rows(batch.sample, values)


def _responses(
    model: DepthModel, batch: Batch, protocol: Protocol, name: str, levels: Sequence[float]
) -> Iterator[Values]:
    """What is read at every level of one cue, then the slopes."""
    facts, found, first = CUES.facts(name), [], None
    for level in levels:
        seen, index = _seen(model, batch, protocol, name, level)
        first = seen if first is None else first
        values = {} if seen is None or first is None else _read(seen, first, level, facts)
        spread = {metric: _spread(values.get(metric), index, len(batch)) for metric in _metrics(facts)}
        yield from ((metric, name, level, "", value) for metric, value in spread.items())
        found.append(spread)
    dose = torch.stack([one["cue_dose"] for one in found], 1)
    for against in ("", "@truth"):
        answer = torch.stack([one[facts["reading"] + against] for one in found], 1)
        yield f"{facts['reading']}_slope{against}", name, float("nan"), "", read.line_slope(dose, answer)


def _metrics(facts: dict[str, Any]) -> list[str]:
    still = ["log_mae@self"] if facts.get("still") else []
    return ["cue_dose", facts["reading"], f"{facts['reading']}@truth", *still]


def _read(seen: Seen, first: Seen, level: float, facts: dict[str, Any]) -> dict[str, Tensor]:
    """Everything that is read at one level, for the samples that allow it."""
    take, reading = READINGS[facts["reading"]], facts["reading"]
    values = {
        "cue_dose": facts["dose"](seen, level),
        reading: take(seen, seen.pred),
        f"{reading}@truth": take(seen, seen.batch.depth),
    }
    if facts.get("still"):
        values["log_mae@self"] = all_metrics(seen.pred, first.pred, seen.where(), ["log_mae"])["log_mae"]
    return values


def _seen(
    model: DepthModel, batch: Batch, protocol: Protocol, name: str, level: float
) -> tuple[Seen | None, list[int]]:
    """The varied batch and the network's answer, for the samples that allow the edit; and which these are."""
    ones, index = [], []
    for i in range(len(batch)):
        try:
            ones.append(CUES[name](batch.take([i]), level))
        except EditError:
            continue
        index.append(i)
    if not ones:
        return None, index
    varied, inside = as_read(stack(ones), protocol)
    raw = predict(model, varied.image, flip=inside.flip)
    pred, mask = prepare(raw, varied.depth, varied.valid, kind=model.card.output, protocol=inside)
    return Seen(batch=varied, pred=pred, mask=mask), index


def _spread(value: Tensor | None, index: Sequence[int], count: int) -> Tensor:
    """The values of some samples among all `count`; NaN for the others."""
    out = torch.full((count,), torch.nan, dtype=torch.float64)
    if value is not None:
        out[list(index)] = value.detach().double().cpu()
    return out
