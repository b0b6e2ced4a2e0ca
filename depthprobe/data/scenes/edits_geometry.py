"""Geometric edits: an object or the camera moves; the new depth is as exact as the old one."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from depthprobe.checks import check_range
from depthprobe.data.scenes.edits import SCENE_EDITS, Mixture, View, median_depth
from depthprobe.data.scenes.rendering import pack, trace
from depthprobe.data.scenes.scene import Camera, Scene
from depthprobe.data.scenes.target import STILL_WHOLE, bounds, in_full_view, parts_of
from depthprobe.functional.perturb_core import EditError

Array = npt.NDArray[Any]
_FRAMINGS = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15)  # of the median depth
_CLEARANCE = 0.05  # metres that a parallel view keeps from walls at its sides


@SCENE_EDITS.register("object_scale", unit="factor", identity=1.0, span=(0.6, 1.5), changes="geometry")
def object_scale(view: View, level: float) -> Mixture:
    """The target object grows or shrinks about its foot: other size, same place on the ground."""
    check_range("level", level, 0, math.inf, open_low=True)
    low, high = bounds(parts_of(view.scene, _target(view)))
    foot = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    return _moved(view, foot, level, np.zeros(3))


@SCENE_EDITS.register("object_lift", unit="m", identity=0.0, span=(0, 0.6), changes="geometry")
def object_lift(view: View, level: float) -> Mixture:
    """The target object rises by level metres: other height in the image, (almost) the same depth."""
    return _moved(view, np.zeros(3), 1.0, np.array([0.0, 0.0, level]))


@SCENE_EDITS.register("object_distance", unit="factor", identity=1.0, span=(0.5, 1), changes="geometry")
def object_distance(view: View, level: float) -> Mixture:
    """The target object moves along its viewing ray to level times its distance and grows with it: same outline.

    Standing things can only come nearer (they then float); farther off they would sink into the ground.
    """
    check_range("level", level, 0, math.inf, open_low=True)
    return _moved(view, _camera(view).position, level, np.zeros(3))


@SCENE_EDITS.register("object_recede", unit="factor", identity=1.0, span=(1, 1.3), changes="geometry")
def object_recede(view: View, level: float) -> Mixture:
    """The target object shrinks towards eye level: it looks as if it stood level times as far off on its ground.

    Other size and other height in the image, (almost) the same depth: `object_scale` and `object_lift` in one.
    """
    check_range("level", level, 1, math.inf)
    low, high = bounds(parts_of(view.scene, _target(view)))
    eye = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, _camera(view).position[2]])
    return _moved(view, eye, 1 / level, np.zeros(3))


@SCENE_EDITS.register("camera_pitch", unit="degree", identity=0.0, span=(-10, 10), changes="geometry")
def camera_pitch(view: View, level: float) -> Mixture:
    """The camera looks up by level degrees: other height of everything in the image, same layout in space."""
    right, down, forward = _camera(view).axes
    c, s = math.cos(math.radians(level)), math.sin(math.radians(level))
    return _turned(view, right, c * down + s * forward, c * forward - s * down)


@SCENE_EDITS.register("camera_roll", unit="degree", identity=0.0, span=(-15, 15), changes="geometry")
def camera_roll(view: View, level: float) -> Mixture:
    """The camera turns clockwise about its axis by level degrees."""
    right, down, forward = _camera(view).axes
    c, s = math.cos(math.radians(level)), math.sin(math.radians(level))
    return _turned(view, c * right + s * down, c * down - s * right, forward)


@SCENE_EDITS.register("perspective_off", unit="1", identity=0.0, span=(0, 1), changes="geometry")
def perspective_off(view: View, level: float) -> Mixture:
    """Parallel projection (level 1): no perspective, no relative size.

    The framing is that of the pinhole view at the median depth, or at 3/4, 1/2, ... of it where rays from the image's
    rim would otherwise start behind a wall or under the ground.
    """
    if level not in (0, 1):
        raise ValueError(f"Expected `level` to be 0 (perspective) or 1 (parallel), but got {level!r}.")
    if level == 0:
        return [(1.0, view)]
    camera, median = _camera(view), median_depth(view)
    for share in _FRAMINGS:
        focal = (camera.focal[0] / (share * median), camera.focal[1] / (share * median))
        parallel = camera._replace(focal=focal, orthographic=True)
        if _sides_are_free(view, parallel):
            return [(1.0, _with_camera(view, parallel))]
    raise EditError("a parallel view would look through what stands beside the camera")


def _camera(view: View) -> Camera:
    assert view.scene.camera is not None
    return view.scene.camera


def _target(view: View) -> int:
    if view.target is None:
        raise EditError("no whole object of 0.4 % of the image that carries nothing is in sight")
    return view.target


def _moved(view: View, pivot: Array, factor: float, shift: Array) -> Mixture:
    """The target object scaled about a pivot, then shifted; refused if it is not in full view any more."""
    target, camera = _target(view), _camera(view)
    if factor == 1 and not shift.any():
        return [(1.0, view.replace(edited=target))]
    scene = view.scene.copy()
    for k, part in enumerate(scene.primitives):
        if part.object_id == target:
            x, y, z = ((np.array(part.centre) - pivot) * factor + pivot + shift).tolist()
            a, b, c = (np.array(part.half) * factor).tolist()
            scene.primitives[k] = part._replace(centre=(x, y, z), half=(a, b, c))
    packed = pack(scene)
    if not in_full_view(scene, trace(packed, camera), target, camera, STILL_WHOLE):
        raise EditError("the edited object would leave the image, hit something or be hidden")
    return [(1.0, view.replace(scene=scene, packed=packed, edited=target))]


def _turned(view: View, right: Array, down: Array, forward: Array) -> Mixture:
    return [(1.0, _with_camera(view, _camera(view)._replace(axes=np.stack([right, down, forward]))))]


def _with_camera(view: View, camera: Camera) -> View:
    scene: Scene = view.scene.copy()
    scene.camera = camera
    return view.replace(scene=scene)


def _sides_are_free(view: View, parallel: Camera) -> bool:
    """Whether nothing stands between the camera and the places at the image's rim where parallel rays start."""
    height, width = parallel.size
    right, down, forward = parallel.axes
    for u in (-0.5, width / 2, width - 0.5):
        for v in (-0.5, height / 2, height - 0.5):
            a, b = (u - parallel.centre[0]) / parallel.focal[0], (v - parallel.centre[1]) / parallel.focal[1]
            way = a * right + b * down
            distance = math.sqrt(float((way * way).sum()))
            if distance < _CLEARANCE:
                continue
            ahead = way / distance
            side = forward - float((forward * ahead).sum()) * ahead
            axes = np.stack([side, np.cross(ahead, side), ahead])
            probe = Camera(parallel.position, axes, (1.0, 1.0), (0.0, 0.0), (1, 1))
            if trace(view.packed, probe).depth[0, 0] < distance + _CLEARANCE:
                return False
    return True
