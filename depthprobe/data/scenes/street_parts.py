"""Cars, trees, people, poles and signs. Frames face -y; half extents in metres."""

import math

import numpy as np

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import BOX, FRUSTUM
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Scene, about_x, linear

_SIDES = (-1, 1)


def car(scene: Scene, rng: Rng, at: Frame) -> None:
    """A car or a van."""
    scene.begin("car")
    c = m.colour(rng, str(rng.choice(["sat", "grey", "white", "dark", "sat"])))
    paint = scene.material(Pattern.SOLID, c, scale=0.5, contrast=0.03, specular=0.6, shininess=60.0)
    dark = linear(0.12, 0.15, 0.18)
    glass = scene.material(Pattern.SOLID, dark, scale=0.3, contrast=0.2, specular=0.8, shininess=80.0)
    rubber = scene.material(Pattern.SOLID, linear(0.08, 0.08, 0.08), scale=0.1, contrast=0.2)
    half_l, half_w, body = rng.uniform(1.9, 2.4), rng.uniform(0.82, 0.92), rng.uniform(0.3, 0.36)
    van = bool(rng.random() < 0.25)
    scene.box(at, (0, 0, 0.3 + body), (half_w, half_l, body), paint)
    _cabin(scene, at, half_l, half_w, 0.3 + 2 * body, van, paint, glass)
    for a in _SIDES:
        for b in _SIDES:
            lying = (0, -at.sin, at.cos, 0, at.cos, at.sin, -1, 0, 0.0)
            tyre, hub = (
                at.point(a * (half_w - 0.1), b * half_l * 0.62, 0.32),
                at.point(a * (half_w + 0.025), b * half_l * 0.62, 0.32),
            )
            scene.rotated(FRUSTUM, tyre, lying, (0.32, 0.32, 0.12), rubber)
            scene.rotated(FRUSTUM, hub, lying, (0.18, 0.18, 0.006), m.metal(scene, rng))
        x, z = a * half_w * 0.75, 0.3 + body * 1.2
        red = scene.material(Pattern.SOLID, linear(0.9, 0.15, 0.1), emission=0.8, contrast=0.0)
        scene.box(at, (x, -half_l - 0.01, z), (0.14, 0.02, 0.07), red)
        white = scene.material(Pattern.SOLID, linear(0.95, 0.95, 0.9), emission=1.2, contrast=0.0)
        scene.box(at, (x, half_l + 0.01, z), (0.16, 0.02, 0.08), white)
    scene.box(at, (0, -half_l - 0.02, 0.3 + body * 0.7), (0.26, 0.012, 0.06), m.plain(scene, rng, "white"))


def _cabin(scene: Scene, at: Frame, half_l: float, half_w: float, z: float, van: bool, paint: int, glass: int) -> None:
    half_h, length, y = (0.55, half_l * 0.92, 0.0) if van else (0.27, half_l * 0.5, -half_l * 0.08)
    scene.box(at, (0, y, z + half_h), (half_w * 0.93, length, half_h), paint if van else glass)
    if van:
        scene.box(at, (0, half_l * 0.93, z + half_h * 1.1), (half_w * 0.85, 0.02, half_h * 0.6), glass)
        for b in _SIDES:
            centre = (b * half_w * 0.935, half_l * 0.55, z + half_h * 1.1)
            scene.box(at, centre, (0.015, half_l * 0.3, half_h * 0.55), glass)
        return
    scene.box(at, (0, y, z + 2 * half_h), (half_w * 0.86, length * 0.82, 0.03), paint)
    for a in _SIDES:  # slanted wind screens
        screen = at.point(0, y + a * (length + 0.12), z + half_h * 0.75)
        scene.rotated(BOX, screen, at.rotation(about_x(a * 0.6)), (half_w * 0.88, 0.25, 0.03), glass)
        for b in _SIDES:
            centre = (b * half_w * 0.92, y + a * length * 0.55, z + half_h)
            scene.box(at, centre, (0.02, 0.04, half_h), paint)


def tree(scene: Scene, rng: Rng, at: Frame, height: float) -> None:
    """A conifer or a round tree."""
    scene.begin("tree")
    browns = (linear(0.35, 0.27, 0.2), linear(0.2, 0.15, 0.1), linear(0.28, 0.2, 0.15))
    bark = scene.material(Pattern.BRICK, *browns, scale=0.15)
    green = np.array([rng.uniform(0.1, 0.3), rng.uniform(0.32, 0.5), rng.uniform(0.06, 0.16)])
    if rng.random() < 0.15:
        green = np.array([0.6, 0.35, 0.1]) * rng.uniform(0.7, 1.1)
    greens = (linear(*(green * 0.45)), linear(*green), linear(*np.minimum(1, green * 1.4)))
    leaves = scene.material(Pattern.GRASS, *greens, scale=rng.uniform(0.12, 0.35), contrast=1.0)
    if rng.random() < 0.3:
        count = int(rng.integers(3, 6))
        scene.frustum(at, (0, 0, height * 0.1), height * 0.02, height * 0.1, bark)
        for q in range(count):
            middle = (0, 0, height * (0.2 + 0.8 * (q + 0.5) / count))
            radius, half_h = height * 0.2 * (1 - q / count * 0.75), height * 0.8 / count * 0.62
            scene.frustum(at, middle, radius, half_h, leaves, taper=0.15)
        return
    scene.frustum(at, (0, 0, height * 0.22), height * 0.03, height * 0.22, bark, taper=0.7)
    for _ in range(int(rng.integers(6, 13))):
        turn, out = rng.uniform(0, 6.28), rng.uniform(0, 0.2) * height
        r = rng.uniform(0.1, 0.2) * height
        place = Frame(at.x, at.y, at.z, rng.uniform(0, 3))
        centre = (out * math.cos(turn), out * math.sin(turn), height * rng.uniform(0.48, 0.85))
        scene.ellipsoid(place, centre, (r, r * rng.uniform(0.7, 1), r * rng.uniform(0.6, 0.9)), leaves)


def person(scene: Scene, rng: Rng, at: Frame, height: float) -> None:
    """A person in mid-step; `height` in metres."""
    scene.begin("person")
    shirt, trousers = m.fabric(scene, rng), m.plain(scene, rng)
    tone = np.array([0.85, 0.65, 0.52]) * rng.uniform(0.45, 1.05)
    skin = scene.material(Pattern.SOLID, linear(*tone), contrast=0.05)
    step, h = rng.uniform(0, 0.16), height
    for a in _SIDES:
        scene.frustum(at, (a * 0.09, a * step, h * 0.24), 0.065, h * 0.24, trousers, taper=1.25)
        scene.frustum(at, (a * 0.24, -a * step, h * 0.63), 0.042, h * 0.17, shirt, taper=1.2)
        scene.ellipsoid(at, (a * 0.24, -a * step, h * 0.45), (0.045, 0.045, 0.06), skin)
        scene.box(at, (a * 0.09, a * step + 0.05, 0.035), (0.05, 0.12, 0.035), trousers)
    scene.frustum(at, (0, 0, h * 0.65), 0.17, h * 0.18, shirt, taper=1.15, depth_radius=0.12)
    scene.frustum(at, (0, 0, h * 0.85), 0.05, h * 0.03, skin)
    scene.ellipsoid(at, (0, 0, h * 0.93), (0.085, 0.1, 0.12), skin)
    hair = m.plain(scene, rng, str(rng.choice(["dark", "wood"])))
    scene.ellipsoid(at, (0, -0.015, h * 0.955), (0.095, 0.105, 0.105), hair)


def pole(scene: Scene, rng: Rng, at: Frame, side: int) -> None:
    """A street lamp, a road sign or a traffic light."""
    kind = rng.integers(3)
    steel = m.metal(scene, rng)
    if kind == 0:
        scene.begin("pole")
        h = rng.uniform(5, 8)
        scene.frustum(at, (0, 0, h / 2), 0.09, h / 2, steel, taper=0.6)
        scene.box(at, (-side * 0.8, 0, h), (0.9, 0.05, 0.05), steel)
        scene.box(at, (-side * 1.6, 0, h - 0.05), (0.35, 0.12, 0.06), steel)
    elif kind == 1:
        _sign(scene, rng, at, steel)
    else:
        _traffic_light(scene, rng, at, steel)


def _sign(scene: Scene, rng: Rng, at: Frame, steel: int) -> None:
    scene.begin("sign")
    h = rng.uniform(2.2, 3.0)
    scene.frustum(at, (0, 0, h / 2), 0.035, h / 2, steel)
    a, b, c = m.colour(rng, "sat"), m.colour(rng, "white"), m.colour(rng, "sat")
    face = scene.material(Pattern.PICTURE, a, b, c, scale=0.4, aux=0.06)
    if rng.random() < 0.5:
        scene.box(at, (0, -0.05, h - 0.2), (0.32, 0.015, 0.32), face)
    else:
        lying = (at.cos, 0, -at.sin, at.sin, 0, at.cos, 0, 1, 0.0)
        scene.rotated(FRUSTUM, at.point(0, -0.05, h - 0.2), lying, (0.33, 0.33, 0.015), face)


def _traffic_light(scene: Scene, rng: Rng, at: Frame, steel: int) -> None:
    scene.begin("pole")
    h = rng.uniform(3.2, 4.2)
    scene.frustum(at, (0, 0, h / 2), 0.06, h / 2, steel)
    scene.box(at, (0, -0.12, h - 0.4), (0.15, 0.12, 0.42), m.plain(scene, rng, "dark"))
    lit = rng.integers(3)
    for q, rgb in enumerate((linear(0.9, 0.1, 0.1), linear(0.95, 0.7, 0.1), linear(0.1, 0.8, 0.3))):
        lamp = scene.material(Pattern.SOLID, rgb, contrast=0.0, emission=2.0 if q == lit else 0.1)
        scene.ellipsoid(at, (0, -0.24, h - 0.13 - 0.27 * q), (0.09, 0.05, 0.09), lamp)
