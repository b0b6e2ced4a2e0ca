"""Where the camera stands in a room, and which views are too poor to be used."""

import math

import numpy as np

from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.rendering import Packed, Visible, pack, trace
from depthprobe.data.scenes.room_shell import Room
from depthprobe.data.scenes.scene import Camera, Point, Scene

_PROBE = (16, 20)  # height, width of the coarse depth probe
_TRIES = 18
_GOOD_ENOUGH = 0.15
View = tuple[Point, float, float, float, float]  # position, yaw, pitch, roll, field of view


def choose_viewpoint(scene: Scene, rng: Rng, room: Room, size: tuple[int, int]) -> None:
    """Set a random free camera whose view costs least; the wanted mean depth is log-normal, about as in NYU."""
    packed = pack(scene)
    want = math.exp(rng.normal(math.log(2.8), 0.34))
    best: tuple[float, View] | None = None
    for k in range(_TRIES):
        view = _draw_view(rng, room)
        x, y, _ = view[0]
        inside = any(a - 0.2 < x < b + 0.2 and c - 0.2 < y < d + 0.2 for a, b, c, d in room.taken)
        if inside and k < _TRIES - 1:
            continue
        scene.look(*view, _PROBE)
        assert scene.camera is not None
        cost = _cost(trace(packed, scene.camera), want)
        if best is None or cost < best[0]:
            best = (cost, view)
        if cost < _GOOD_ENOUGH:
            break
    assert best is not None
    scene.look(*best[1], size)


def _draw_view(rng: Rng, room: Room) -> View:
    width, depth = room.width, room.depth
    x, y = rng.uniform(-width / 2 + 0.22, width / 2 - 0.22), rng.uniform(0.22, depth - 0.22)
    z = float(np.clip(rng.normal(1.38, 0.2), 0.75, min(2.0, room.height - 0.3)))
    field_of_view = math.radians(rng.uniform(50, 72))
    pitch = math.radians(np.clip(rng.normal(-13, 8), -38, 8))
    roll = math.radians(rng.normal(0, 1.8))
    if rng.random() < 0.7:
        yaw = math.atan2(-(rng.uniform(-0.4, 0.4) * width - x), rng.uniform(0.1, 0.9) * depth - y)
    else:
        yaw = rng.uniform(-math.pi, math.pi)
    return (x, y, z), yaw, pitch, roll, field_of_view


def _largest_plane(seen: Visible) -> float:
    """Share of the image that the most visible plane covers."""
    planes = seen.plane_id[seen.plane_id >= 0]
    return float(np.bincount(planes).max(initial=0) / seen.depth.size)


def _cost(seen: Visible, want: float) -> float:
    """How far a view is from a good one: mean depth as wanted, nothing in the face, many objects, no bare wall."""
    depth = seen.depth.astype(np.float32)
    near = (depth < 0.55).mean()
    cost = abs(math.log(depth.mean() / want)) + 6 * max(0.0, near - 0.03)
    cost = cost + 0.07 * max(0, 12 - len(np.unique(seen.object_id))) + 2 * max(0.0, _largest_plane(seen) - 0.45)
    closed_in = np.quantile(depth, 0.9) < 1.2 or not np.isfinite(depth).all()
    return float(cost + (2.0 if closed_in else 0))


def is_poor_view(packed: Packed, camera: Camera) -> bool:
    """Whether a view is too poor for the data set, judged on a 20x16 depth probe.

    Poor: one plane fills more than half of the image, more than 6 % is nearer than 0.55 m, half of it is nearer
    than 0.9 m, fewer than 6 objects are in sight, or more than 2 % sees nothing.
    """
    seen = trace(packed, camera.resized(*_PROBE))
    depth = seen.depth.astype(np.float32)
    return bool(
        _largest_plane(seen) > 0.5
        or (depth < 0.55).mean() > 0.06
        or np.median(depth) < 0.9
        or len(np.unique(seen.object_id)) < 6
        or (~np.isfinite(depth)).mean() > 0.02
    )
