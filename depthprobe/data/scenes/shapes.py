"""Shapes: primitives of any size, texture and orientation before a wall; a wide prior instead of a likely world."""

import math

import numpy as np

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import BOX, ELLIPSOID, WORLD_TEXTURE
from depthprobe.data.scenes.kernels.texture_basics import SCALE
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Rotation, Scene

_STREAM = 303  # number of this generator's random stream


def make_shapes(seed: int, size: tuple[int, int]) -> Scene:
    """Build the shapes of a seed, seen at (height, width)."""
    rng = np.random.default_rng([seed, _STREAM])
    scene = Scene(seed)
    depth = _build_stage(scene, rng)
    z = rng.uniform(0.8, 2.2)
    for _ in range(int(rng.integers(15, 41))):
        _add_shape(scene, rng, depth)
    for _ in range(int(rng.integers(1, 4))):
        position = (rng.uniform(-4, 4), rng.uniform(-1, depth * 0.8), rng.uniform(2.5, 5))
        green, blue = rng.uniform(0.75, 1), rng.uniform(0.6, 1)
        power = rng.uniform(6, 20)
        scene.lamp(position, (1.0 * power, green * power, blue * power), rng.uniform(0.02, 0.3))
    scene.ambient = [0.3, 0.3, 0.32, 0.2, 0.18, 0.17, 0, 0, 0]
    scene.exposure = rng.uniform(0.16, 0.3)
    scene.sky[0:6] = [*m.colour(rng), *m.colour(rng)]
    yaw, pitch = rng.normal(0, 0.1), math.radians(rng.normal(-6, 6))
    roll, field_of_view = math.radians(rng.normal(0, 3)), math.radians(rng.uniform(45, 80))
    scene.look((0, 0, z), yaw, pitch, roll, field_of_view, size)
    return scene


def _build_stage(scene: Scene, rng: Rng) -> float:
    """A floor (mostly), a back wall, a side wall (sometimes); returns the distance of the back wall."""
    scene.begin("floor")
    if rng.random() < 0.8:
        scene.box(Frame(0, 0), (0, 10, -0.1), (30, 30, 0.1), m.anything(scene, rng), flags=WORLD_TEXTURE)
    scene.begin("wall")
    depth = rng.uniform(5, 14)
    at = Frame(0, depth, 0, rng.uniform(-0.4, 0.4))
    scene.box(at, (0, 0, 5), (30, 0.1, 6), m.anything(scene, rng), flags=WORLD_TEXTURE)
    scene.materials[-1][SCALE] *= 2
    if rng.random() < 0.4:
        x = rng.choice([-1, 1]) * rng.uniform(2, 4)
        at = Frame(x, depth / 2, 0, math.pi / 2 + rng.normal(0, 0.2))
        scene.box(at, (0, 0, 5), (20, 0.1, 6), m.anything(scene, rng), flags=WORLD_TEXTURE)
    return depth


def _add_shape(scene: Scene, rng: Rng, depth: float) -> None:
    """One box, ellipsoid or frustum, standing or floating."""
    scene.begin("object")
    y = 1.2 + (depth - 1.5) * rng.random()
    x = rng.uniform(-0.75, 0.75) * (y + 0.6)
    size = math.exp(rng.uniform(math.log(0.1), math.log(0.7))) * (0.5 + 0.12 * y)
    a, b, c = (float(k) for k in size * rng.uniform(0.5, 1.4, 3))
    shape = int(rng.integers(0, 3))
    cover = m.anything(scene, rng)
    if rng.random() < 0.6:
        at = Frame(x, y, 0, rng.uniform(0, 3.14))
        if shape == BOX:
            scene.box(at, (0, 0, c), (a, b, c), cover)
        elif shape == ELLIPSOID:
            scene.ellipsoid(at, (0, 0, c), (a, b, c), cover)
        else:
            scene.frustum(at, (0, 0, c), a, c, cover, taper=float(rng.choice([1.0, 1.0, 0.5, 0.02])))
        return
    rotation = _random_rotation(rng)
    centre = (x, y, rng.uniform(0.2, 3.0))
    scene.rotated(shape, centre, rotation, (a, b, c), cover, taper=float(rng.choice([1.0, 0.5])))


def _random_rotation(rng: Rng) -> Rotation:
    """A uniform rotation from a random unit quaternion."""
    q = rng.normal(size=4)
    a, b, c, d = (float(k) for k in q / math.sqrt(float((q * q).sum())))
    return (
        *(1 - 2 * (c * c + d * d), 2 * (b * c - a * d), 2 * (b * d + a * c)),
        *(2 * (b * c + a * d), 1 - 2 * (b * b + d * d), 2 * (c * d - a * b)),
        *(2 * (b * d - a * c), 2 * (c * d + a * b), 1 - 2 * (b * b + c * c)),
    )
