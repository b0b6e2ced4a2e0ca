"""Edits of a scene before it is rendered again: the registry, and the photometric edits.

An edit is a function `(view, level) -> view or mixture of views`. Facts: the `unit` of the level, the level of no
change `identity`, the levels in `span` that make sense, `changes` = "image" (depth, ids and normals stay bit-identical)
or "geometry" (the new ones are exact as well).
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from depthprobe.checks import check_range
from depthprobe.data.scenes.kernels import lighting
from depthprobe.data.scenes.kernels.texture_basics import EMISSION, MEAN
from depthprobe.data.scenes.materials import anything
from depthprobe.data.scenes.rendering import ALL_CUES, Packed, trace
from depthprobe.data.scenes.scene import Scene
from depthprobe.registry import Registry

SCENE_EDITS = Registry("scene edit")
_GREY = 0.5  # linear reflectance of everything under `texture_grey`
_SKY_DISTANCE = 4.0  # the fog hides the sky as if it were at 4 times the median depth
_MATERIAL_STREAM = 7


@dataclasses.dataclass(frozen=True)
class View:
    """What is rendered: a scene, its packed geometry, the cues that the image shows, the object that edits move."""

    scene: Scene
    packed: Packed
    cues: int = ALL_CUES
    target: int | None = None
    edited: int | None = None  # the target, once an edit has moved it

    def replace(self, **changes: Any) -> "View":
        """A copy with some fields changed."""
        return dataclasses.replace(self, **changes)


Mixture = list[tuple[float, View]]  # weights (sum 1) and views of one geometry
Edit = Callable[[View, float], Mixture]


def _fade(view: View, other: View, level: float) -> Mixture:
    """The view at level 0, the other at level 1, a cross-fade of display values between."""
    check_range("level", level, 0, 1)
    return [(weight, one) for weight, one in ((1 - level, view), (level, other)) if weight > 0]


def _without(view: View, cue: int, level: float) -> Mixture:
    return _fade(view, view.replace(cues=view.cues & ~cue), level)


@SCENE_EDITS.register("texture_off", unit="1", identity=0.0, span=(0, 1), changes="image")
def texture_off(view: View, level: float) -> Mixture:
    """Every material in its mean colour."""
    return _without(view, lighting.TEXTURE, level)


@SCENE_EDITS.register("texture_grey", unit="1", identity=0.0, span=(0, 1), changes="image")
def texture_grey(view: View, level: float) -> Mixture:
    """Everything that does not shine in one grey."""
    materials = [row if row[EMISSION] > 0 else [*row[:MEAN], _GREY, _GREY, _GREY] for row in view.scene.materials]
    grey = view.replace(scene=_with_materials(view.scene, materials), cues=view.cues & ~lighting.TEXTURE)
    return _fade(view, grey, level)


@SCENE_EDITS.register("texture_swap", unit="draw", identity=0.0, span=(0, 8), changes="image")
def texture_swap(view: View, level: float) -> Mixture:
    """Every material replaced by a random other one; level = number of the draw (1, 2, ...)."""
    rng = _draw(view.scene, level)
    if rng is None:
        return [(1.0, view)]
    other = Scene(view.scene.seed)
    for _ in view.scene.materials:
        anything(other, rng)
    pairs = zip(view.scene.materials, other.materials, strict=True)
    return [(1.0, view.replace(scene=_with_materials(view.scene, [a if a[EMISSION] > 0 else b for a, b in pairs])))]


@SCENE_EDITS.register("texture_permute", unit="draw", identity=0.0, span=(0, 8), changes="image")
def texture_permute(view: View, level: float) -> Mixture:
    """The scene's own materials dealt out anew; level = number of the draw (1, 2, ...)."""
    rng = _draw(view.scene, level)
    if rng is None:
        return [(1.0, view)]
    rows = list(view.scene.materials)
    dull = [k for k, row in enumerate(rows) if row[EMISSION] == 0]
    for k, other in zip(dull, rng.permutation(dull), strict=True):
        rows[k] = view.scene.materials[other]
    return [(1.0, view.replace(scene=_with_materials(view.scene, rows)))]


@SCENE_EDITS.register("shadow_off", unit="1", identity=0.0, span=(0, 1), changes="image")
def shadow_off(view: View, level: float) -> Mixture:
    """Nothing casts a shadow."""
    return _without(view, lighting.SHADOW, level)


@SCENE_EDITS.register("ao_off", unit="1", identity=0.0, span=(0, 1), changes="image")
def ao_off(view: View, level: float) -> Mixture:
    """Ambient light reaches every corner."""
    return _without(view, lighting.OCCLUSION, level)


@SCENE_EDITS.register("unlit", unit="1", identity=0.0, span=(0, 1), changes="image")
def unlit(view: View, level: float) -> Mixture:
    """Reflectance only: no light, shading, shadow or gloss (also shifts global image statistics)."""
    return _without(view, lighting.SHADING, level)


@SCENE_EDITS.register("fog", unit="1/median depth", identity=0.0, span=(0, 1), changes="image")
def fog(view: View, level: float) -> Mixture:
    """Homogeneous fog on top of the scene's own: level 1 leaves exp(-1) of the light at the median depth."""
    check_range("level", level, 0, math.inf)
    scene = view.scene.copy()
    density, red, green, blue, sky = scene.fog
    sky *= math.exp(-_SKY_DISTANCE * level)
    scene.fog = [density + level / median_depth(view), red, green, blue, sky]
    return [(1.0, view.replace(scene=scene))]


@SCENE_EDITS.register("light_gain", unit="factor", identity=1.0, span=(0.25, 4), changes="image")
def light_gain(view: View, level: float) -> Mixture:
    """All light (exposure) times level."""
    check_range("level", level, 0, math.inf, open_low=True)
    scene = view.scene.copy()
    scene.exposure *= level
    return [(1.0, view.replace(scene=scene))]


def median_depth(view: View) -> float:
    """Median z-depth of what the view shows, metres."""
    assert view.scene.camera is not None
    depth: npt.NDArray[Any] = trace(view.packed, view.scene.camera).depth
    seen = depth[np.isfinite(depth)]
    return float(np.median(seen)) if seen.size else 1.0


def _with_materials(scene: Scene, materials: list[list[float]]) -> Scene:
    changed = scene.copy()
    changed.materials = materials
    return changed


def _draw(scene: Scene, level: float) -> np.random.Generator | None:
    """The generator of draw number `level`; None for 0 (no change)."""
    if level < 0 or level != int(level):
        raise ValueError(f"Expected `level` to be a number of a draw (0 = no change, 1, 2, ...), but got {level!r}.")
    return np.random.default_rng([scene.seed, _MATERIAL_STREAM, int(level)]) if level else None
