"""Buildings. Frames face -y; half extents in metres."""

import math

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import BOX
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Scene, linear


def building(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float) -> None:
    """A building with a flat or a gabled roof, and what belongs to its ground floor."""
    scene.begin("building")
    front = _facade(scene, rng)
    scene.box(at, (0, 0, height / 2), (half_w, half_d, height / 2), front)
    trim = m.plain(scene, rng, str(rng.choice(["white", "grey", "dark", "warm"])))
    if height > 10 or rng.random() < 0.35:
        scene.box(at, (0, 0, height + 0.2), (half_w + 0.25, half_d + 0.25, 0.25), trim)
        for _ in range(rng.integers(0, 3)):
            q = rng.uniform(0.6, 1.6)
            centre = (rng.uniform(-0.6, 0.6) * half_w, rng.uniform(-0.6, 0.6) * half_d, height + q)
            scene.box(at, centre, (q, q, q), trim)
    else:
        _gabled_roof(scene, rng, at, half_w, half_d, height, trim)
    _ground_floor(scene, rng, at, half_w, half_d, height, trim)


def _facade(scene: Scene, rng: Rng) -> int:
    c = m.colour(rng, str(rng.choice(["warm", "grey", "pastel", "white", "cool"])))
    brick = rng.random() < 0.35
    if brick:
        c = linear(rng.uniform(0.4, 0.7), rng.uniform(0.25, 0.4), rng.uniform(0.18, 0.32))
    frames = m.colour(rng, str(rng.choice(["white", "dark", "grey"])))
    scale, aux = rng.uniform(1.6, 3.6), rng.uniform(0.85, 1.1)
    return scene.material(Pattern.FACADE, c, c, frames, scale=scale, aux=aux, contrast=1.0 if brick else 0.0)


def _gabled_roof(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float, trim: int) -> None:
    """Two slanted slabs, gable ends in four steps, sometimes a chimney."""
    c = m.colour(rng, str(rng.choice(["warm", "dark", "grey"])))
    tiles = scene.material(Pattern.TILE, c, m.darker(c, 0.5), m.darker(c, 0.7), scale=0.4, contrast=1.0)
    slope = rng.uniform(0.35, 0.75)
    length = half_d / math.cos(slope) + 0.35
    ridge = height + math.tan(slope) * half_d
    for side in (-1, 1):
        lean = (
            (1, 0, 0),
            (0, math.cos(slope), side * math.sin(slope)),
            (0, -side * math.sin(slope), math.cos(slope)),
        )
        y, z = side * (math.cos(slope) * length / 2), ridge - math.sin(slope) * length / 2 + 0.08
        scene.rotated(BOX, at.point(0, y, z), at.rotation(lean), (half_w + 0.4, length / 2, 0.08), tiles)
    gable, steps = m.plain(scene, rng, "warm"), 4
    for q in range(steps):
        half_h = math.tan(slope) * half_d / steps / 2
        half = (half_w * 0.98, half_d * (1 - (q + 0.9) / steps) + 0.01, half_h)
        scene.box(at, (0, 0, height + half_h * (2 * q + 1)), half, gable)
    if rng.random() < 0.6:
        scene.box(at, (rng.uniform(-0.6, 0.6) * half_w, half_d * 0.4, ridge + 0.1), (0.35, 0.35, 0.9), trim)


def _ground_floor(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float, trim: int) -> None:
    """Door, shop front with canopy, balconies."""
    if rng.random() < 0.8:
        centre = (rng.uniform(-0.6, 0.6) * half_w, -half_d - 0.02, 1.1)
        a, b = m.colour(rng), m.colour(rng, "dark")
        leaf = scene.material(Pattern.PANEL, a, b, scale=0.9, aux=1.0, contrast=0.4)
        scene.box(at, centre, (0.55, 0.05, 1.1), leaf)
    if rng.random() < 0.4:
        a, b, c = m.colour(rng, "dark"), m.colour(rng), m.colour(rng, "white")
        shop = scene.material(Pattern.FACADE, a, b, c, scale=2.0, aux=0.9)
        scene.box(at, (0, -half_d - 0.03, 1.4), (half_w * 0.85, 0.05, 1.3), shop)
        scene.box(at, (0, -half_d - 0.6, 2.9), (half_w * 0.9, 0.6, 0.06), m.fabric(scene, rng))
    for _ in range(rng.integers(0, 4)):
        if height > 7:
            x, storey = rng.uniform(-0.7, 0.7) * half_w, rng.integers(1, max(2, int(height / 3)))
            scene.box(at, (x, -half_d - 0.4, 3.0 * storey + 0.5), (0.9, 0.45, 0.5), trim)
