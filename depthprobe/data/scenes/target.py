"""The object that object edits change, and whether it is still in full view afterwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from depthprobe.data.scenes.classes import STRUCTURE
from depthprobe.data.scenes.rendering import Packed, Visible, pack, trace
from depthprobe.data.scenes.scene import Camera, Primitive, Scene

MIN_SHARE = 0.004  # of the image's pixels that a target must cover
WHOLE, STILL_WHOLE = 0.97, 0.9  # share of its outline in sight: to be chosen, and after an edit
_TOUCH = 0.03  # metres between a thing and what stands on it


def parts_of(scene: Scene, object_id: int) -> list[Primitive]:
    """The primitives of one object."""
    return [p for p in scene.primitives if p.object_id == object_id]


def bounds(parts: Sequence[Primitive]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The lowest and highest corner of an object's bounding box, metres."""
    centre = np.array([p.centre for p in parts], float)
    reach = np.array([np.abs(np.reshape(p.rotation, (3, 3))) @ np.array(p.half) for p in parts])
    return (centre - reach).min(0), (centre + reach).max(0)


def outline(scene: Scene, object_id: int, camera: Camera) -> npt.NDArray[Any]:
    """The pixels (H,W) that an object would cover if it were alone."""
    alone = scene.copy()
    alone.primitives = parts_of(scene, object_id)
    return trace(pack(alone), camera).primitive >= 0


def in_full_view(scene: Scene, seen: Visible, object_id: int, camera: Camera, share: float) -> bool:
    """Whether the object lies inside the image, is large enough and at least `share` of its outline is in sight."""
    visible = seen.object_id == object_id
    if visible.sum() < MIN_SHARE * visible.size:
        return False
    whole = outline(scene, object_id, camera)
    inside = not (whole[0].any() or whole[-1].any() or whole[:, 0].any() or whole[:, -1].any())
    return bool(inside and (visible & whole).sum() >= share * whole.sum())


def _carries_something(scene: Scene, object_id: int) -> bool:
    """Whether another object stands on or in this one, which would be left in the air by an edit."""
    low, high = bounds(parts_of(scene, object_id))
    others: dict[int, list[Primitive]] = {}
    for p in scene.primitives:
        if p.object_id != object_id and p.class_id not in STRUCTURE:
            others.setdefault(p.object_id, []).append(p)
    for parts in others.values():
        foot, top = bounds(parts)
        x, y = (foot[:2] + top[:2]) / 2
        over = low[0] < x < high[0] and low[1] < y < high[1]
        if over and low[2] + _TOUCH < foot[2] < high[2] + _TOUCH:
            return True
    return False


def find_target(scene: Scene, packed: Packed) -> int | None:
    """The largest object (in pixels) in full view that is no part of the building and carries nothing; or None."""
    assert scene.camera is not None
    seen = trace(packed, scene.camera)
    ids, areas = np.unique(seen.object_id, return_counts=True)
    classes = {p.object_id: p.class_id for p in scene.primitives}
    for k in np.argsort(-areas, kind="stable"):
        object_id = int(ids[k])
        if object_id == 0 or classes[object_id] in STRUCTURE or areas[k] < MIN_SHARE * seen.object_id.size:
            continue
        if in_full_view(scene, seen, object_id, scene.camera, WHOLE) and not _carries_something(scene, object_id):
            return object_id
    return None
