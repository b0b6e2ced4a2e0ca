"""Furniture. Frames face -y; half extents in metres."""

import math

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.furniture_small import small_thing
from depthprobe.data.scenes.kernels.intersect import ELLIPSOID, FRUSTUM
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Scene

_SIDES = (-1, 1)


def table(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float, top: int, leg: int) -> None:
    """A table with one foot, side panels or four legs, and things on it."""
    scene.begin("table")
    t = rng.uniform(0.015, 0.03)
    scene.box(at, (0, 0, height - t), (half_w, half_d, t), top)
    kind = rng.integers(4)
    thick = rng.uniform(0.02, 0.045)
    half = height / 2 - t
    if kind == 0:
        scene.frustum(at, (0, 0, height / 2), thick * 1.4, half, leg)
        scene.frustum(at, (0, 0, 0.02), min(half_w, half_d) * 0.6, 0.02, leg, taper=0.4)
    elif kind == 1:
        for a in _SIDES:
            scene.box(at, (a * (half_w - thick), 0, half), (thick, half_d * 0.95, half), leg)
    else:
        for a in _SIDES:
            for b in _SIDES:
                corner = (a * (half_w - thick * 1.3), b * (half_d - thick * 1.3), half)
                if kind == 2:
                    scene.box(at, corner, (thick, thick, half), leg)
                else:
                    scene.frustum(at, corner, thick * 0.7, half, leg, taper=1.5)
        scene.box(at, (0, 0, height - 2 * t - 0.04), (half_w * 0.93, half_d * 0.9, 0.04), leg)
    for _ in range(rng.integers(1, 6)):
        small_thing(scene, rng, at, rng.uniform(-0.8, 0.8) * half_w, rng.uniform(-0.75, 0.75) * half_d, height)


def chair(scene: Scene, rng: Rng, at: Frame, seat: int, leg: int) -> None:
    """A chair with a full or a slatted back."""
    scene.begin("chair")
    h, w, back = rng.uniform(0.42, 0.48), rng.uniform(0.19, 0.24), rng.uniform(0.38, 0.52)
    scene.box(at, (0, 0, h - 0.025), (w, w, 0.025), seat)
    for a in _SIDES:
        for b in _SIDES:
            scene.box(at, (a * (w - 0.02), b * (w - 0.02), h / 2 - 0.025), (0.018, 0.018, h / 2 - 0.025), leg)
    if rng.random() < 0.5:
        scene.box(at, (0, w - 0.02, h + back / 2), (w, 0.02, back / 2), seat)
        return
    for a in _SIDES:
        scene.box(at, (a * (w - 0.02), w - 0.02, h + back / 2), (0.018, 0.018, back / 2), leg)
    for q in range(rng.integers(2, 5)):
        scene.box(at, (0, w - 0.02, h + back * (0.35 + 0.2 * q) * 0.9), (w - 0.04, 0.012, 0.03), seat)


def sofa(scene: Scene, rng: Rng, at: Frame, half_w: float) -> None:
    """A sofa with seat cushions and loose cushions."""
    scene.begin("sofa")
    cover = m.fabric(scene, rng)
    d, h, arm = rng.uniform(0.4, 0.48), rng.uniform(0.38, 0.45), rng.uniform(0.08, 0.13)
    scene.box(at, (0, 0, h * 0.45), (half_w, d, h * 0.38), cover)
    scene.box(at, (0, d - 0.1, h * 0.9), (half_w, 0.1, h * 0.9), cover)
    for side in _SIDES:
        scene.box(at, (side * (half_w - arm), 0, h * 0.72), (arm, d, h * 0.68), cover)
        if rng.random() < 0.5:
            lying = (at.cos, 0, at.sin, at.sin, 0, -at.cos, 0, 1, 0.0)
            scene.rotated(FRUSTUM, at.point(side * (half_w - arm), 0, h * 1.4), lying, (arm, arm, d), cover)
    count = max(1, int(half_w / 0.35))
    seat = (half_w - 2 * arm) / count
    for q in range(count):
        x = -half_w + 2 * arm + seat * (2 * q + 1)
        scene.box(at, (x, -0.06, h * 0.95), (seat * 0.97, d * 0.82, 0.07), cover)
    for _ in range(rng.integers(0, 4)):
        t = rng.uniform(-0.5, 0.5)
        lean = ((math.cos(t), 0, math.sin(t)), (0, 1, 0), (-math.sin(t), 0, math.cos(t)))
        centre = at.point(rng.uniform(-0.7, 0.7) * half_w, d - 0.28, h + 0.25)
        scene.rotated(ELLIPSOID, centre, at.rotation(lean), (0.22, 0.09, 0.2), m.fabric(scene, rng))


def bed(scene: Scene, rng: Rng, at: Frame, half_w: float, half_l: float) -> None:
    """A bed with one or two pillows."""
    scene.begin("bed")
    frame = m.wood(scene, rng)
    scene.box(at, (0, 0, 0.18), (half_w, half_l, 0.12), frame)
    scene.box(at, (0, 0, 0.4), (half_w * 0.97, half_l * 0.98, 0.11), m.plain(scene, rng, "white"))
    scene.box(at, (0, -half_l * 0.18, 0.46), (half_w * 1.02, half_l * 0.8, 0.08), m.fabric(scene, rng))
    scene.box(at, (0, half_l + 0.03, 0.5), (half_w * 1.02, 0.03, 0.5), frame)
    pillow = m.fabric(scene, rng) if rng.random() < 0.5 else m.plain(scene, rng, "white")
    for side in _SIDES if half_w > 0.6 else (0,):
        scene.ellipsoid(at, (side * half_w * 0.5, half_l * 0.78, 0.57), (min(0.34, half_w * 0.45), 0.2, 0.1), pillow)


def shelf(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float) -> None:
    """An open shelf with books, small things and boxes."""
    scene.begin("shelf")
    if rng.random() < 0.6:
        cover = m.wood(scene, rng)
    else:
        cover = m.plain(scene, rng, str(rng.choice(["white", "dark", "pastel"])))
    t = 0.012
    for a in _SIDES:
        scene.box(at, (a * (half_w - t), 0, height / 2), (t, half_d, height / 2), cover)
    scene.box(at, (0, half_d - 0.005, height / 2), (half_w, 0.005, height / 2), cover)
    count = int(rng.integers(3, 7))
    step = (height - 2 * t) / count
    for q in range(count + 1):
        scene.box(at, (0, 0, t + step * q), (half_w, half_d, t), cover)
    for q in range(count):
        _fill_shelf(scene, rng, at, half_w, half_d, 2 * t + step * q, step - 2 * t, half_w - 2 * t)


def _fill_shelf(
    scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, z: float, space: float, inner: float
) -> None:
    kind = rng.random()
    if kind < 0.6:
        scene.begin("books")
        width = inner * rng.uniform(0.5, 1.0)
        height = space * rng.uniform(0.6, 0.92)
        x = rng.choice([-1, 1]) * (inner - width)
        y = rng.uniform(-0.02, 0.02)
        grey = (0.3, 0.27, 0.24)
        spines = scene.material(Pattern.BOOKS, grey, scale=rng.uniform(0.05, 0.09), mean=(0.3, 0.25, 0.22))
        scene.box(at, (x, y, z + height / 2), (width, half_d * 0.75, height / 2), spines)
    elif kind < 0.9:
        for _ in range(rng.integers(1, 4)):
            small_thing(scene, rng, at, rng.uniform(-0.8, 0.8) * half_w, 0, z)
    else:
        scene.begin("box")
        half = (half_w * 0.8, half_d * 0.8, space * 0.35)
        scene.box(at, (0, 0, z + space * 0.35), half, m.anything(scene, rng))


def cabinet(scene: Scene, rng: Rng, at: Frame, half_w: float, half_d: float, height: float) -> None:
    """A cabinet with panelled fronts; a low one carries things."""
    scene.begin("cabinet")
    c = m.colour(rng, str(rng.choice(["wood", "white", "pastel", "dark"])))
    grain = float(rng.random() < 0.5)
    knob, scale = m.colour(rng, "dark"), rng.uniform(0.4, 0.6)
    aux = float(rng.choice([0.5, 1.0, 1.6]))
    front = scene.material(Pattern.PANEL, c, knob, scale=scale, aux=aux, contrast=0.5, grain=grain)
    top = scene.material(Pattern.SOLID, m.darker(c, 0.9), scale=0.2, contrast=0.15)
    scene.box(at, (0, 0, height / 2 + 0.04), (half_w, half_d, height / 2 - 0.04), front)
    scene.box(at, (0, 0.01, height + 0.012), (half_w + 0.015, half_d + 0.01, 0.012), top)
    scene.box(at, (0, 0.02, 0.04), (half_w - 0.03, half_d - 0.03, 0.04), top)
    if height < 1.3:
        for _ in range(rng.integers(1, 5)):
            x, y = rng.uniform(-0.8, 0.8) * half_w, rng.uniform(-0.4, 0.4) * half_d
            small_thing(scene, rng, at, x, y, height + 0.024)
