"""What the probe `cues` can vary, what of a varied image it reads, and how much of the cue there is."""

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional import cues as read
from depthprobe.registry import Registry

_MOST_HIDDEN = 0.5  # of an object's width, by a card; what is read is the rest

CUES = Registry("cue")
"""A cue is a function (batch of one, level) -> the batch with that cue varied, and its map `read` if not all is read.

Facts: needs = the edits that the data set has to offer; levels = those of the default plan, the first one being no
change; dose: (seen, level) -> (B,), how much of the cue there is; reading = what is read of the depth; still: the edit
leaves geometry alone, so that answers can be compared pixel by pixel; fitted: the answers are aligned as that to the
batch without any edit is, so that the alignment does not absorb what is read.
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


def _copy(batch: Batch) -> Batch:
    """The batch with the inner part of the pasted copy marked as what is read."""
    return batch.replace(maps={**batch.maps, "read": batch.maps["body"]})


_DISTANCES = (1, 0.8, 0.9, 1.1, 1.25)


@CUES.register(
    "paste_position", needs="paste_position", levels=_DISTANCES, dose=_as_log_level, reading="log_depth", fitted=True
)
def paste_position(batch: Batch, level: float) -> Batch:
    """A copy of an object stands level times as far off on the ground, in its own size; dose: ln of that distance."""
    return _copy(batch.edited("paste_position", level))


@CUES.register(
    "paste_size", needs="paste_size", levels=_DISTANCES, dose=_as_log_level, reading="log_depth", fitted=True
)
def paste_size(batch: Batch, level: float) -> Batch:
    """The copy keeps the object's distance on the ground and is as small as if it were level times as far off."""
    return _copy(batch.edited("paste_size", level))


@CUES.register(
    "paste_both", needs="paste_both", levels=_DISTANCES, dose=_as_log_level, reading="log_depth", fitted=True
)
def paste_both(batch: Batch, level: float) -> Batch:
    """The copy stands level times as far off and is as small as that."""
    return _copy(batch.edited("paste_both", level))


@CUES.register("paste_aside", needs="paste_aside", levels=(0, 1), dose=_as_level, reading="log_depth", fitted=True)
def paste_aside(batch: Batch, level: float) -> Batch:
    """The control of the arms: the object itself (0), a copy at its distance in its size (1); the slope is artefact."""
    return _copy(batch.edited("paste_aside", level))
