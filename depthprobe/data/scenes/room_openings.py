"""Walls with rectangular holes, and what fills the holes: windows, curtains, doors, the space behind an open door."""

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.furniture import cabinet
from depthprobe.data.scenes.furniture_small import plant, wall_picture
from depthprobe.data.scenes.kernels.intersect import FRUSTUM, NO_SHADOW, WORLD_TEXTURE
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Scene

Hole = tuple[float, float, float, float]  # u from, u to, z from, z to, in the wall's frame
_SIDES = (-1, 1)


def wall(scene: Scene, at: Frame, length: float, height: float, holes: list[Hole], cover: int) -> None:
    """A wall in the plane y = 0 of its frame (front faces -y): slabs around the holes that share one surface."""
    surface, thick = scene.new_surface(), 0.12

    def slab(u0: float, u1: float, v0: float, v1: float) -> None:
        if u1 - u0 > 1e-4 and v1 - v0 > 1e-4:
            centre, half = ((u0 + u1) / 2, thick, (v0 + v1) / 2), ((u1 - u0) / 2, thick, (v1 - v0) / 2)
            scene.box(at, centre, half, cover, flags=WORLD_TEXTURE, surface=surface)

    u = -length / 2 - 0.24
    for u0, u1, v0, v1 in sorted(holes):
        slab(u, u0, 0, height)
        slab(u0, u1, 0, v0)
        slab(u0, u1, v1, height)
        u = u1
    slab(u, length / 2 + 0.24, 0, height)


def window(scene: Scene, rng: Rng, at: Frame, hole: Hole) -> None:
    """A window with frame, bars, pane, sill and sometimes curtains."""
    u0, u1, v0, v1 = hole
    scene.begin("window")
    frame = m.plain(scene, rng, str(rng.choice(["white", "white", "dark", "wood"])))
    uc, vc, half_w, half_h, f = (u0 + u1) / 2, (v0 + v1) / 2, (u1 - u0) / 2, (v1 - v0) / 2, 0.03
    for a in _SIDES:
        scene.box(at, (uc + a * (half_w - f), 0.1, vc), (f, 0.05, half_h), frame)
        scene.box(at, (uc, 0.1, vc + a * (half_h - f)), (half_w, 0.05, f), frame)
    bars = int(rng.integers(1, 4))
    for q in range(1, bars + 1):
        scene.box(at, (u0 + 2 * half_w * q / (q + 1), 0.1, vc), (0.018, 0.03, half_h), frame)
    if rng.random() < 0.5:
        scene.box(at, (uc, 0.1, vc + half_h * 0.2), (half_w, 0.03, 0.018), frame)
    bright = (0.8, 0.85, 0.9)
    pane = scene.material(Pattern.PANE, bright, scale=1.0, emission=rng.uniform(2.0, 5.0), mean=bright)
    scene.box(at, (uc, 0.17, vc), (half_w, 0.004, half_h), pane, flags=NO_SHADOW)
    scene.box(at, (uc, -0.03, v0 - 0.02), (half_w + 0.06, 0.1, 0.02), frame)
    if rng.random() < 0.6:
        _curtains(scene, rng, at, uc, half_w, v0, v1)


def _curtains(scene: Scene, rng: Rng, at: Frame, uc: float, half_w: float, v0: float, v1: float) -> None:
    scene.begin("curtain")
    cover, fold = m.fabric(scene, rng), 0.055
    top, bottom = v1 + 0.2, 0.05 if rng.random() < 0.6 else v0 - 0.1
    for side in _SIDES:
        for q in range(int(rng.integers(4, 8))):
            centre = (uc + side * (half_w + 0.12 - fold * 1.5 * q), -0.09 + 0.02 * (q & 1), (top + bottom) / 2)
            scene.frustum(at, centre, fold, (top - bottom) / 2, cover, depth_radius=0.035)
    lying = (0, -at.sin, at.cos, 0, at.cos, at.sin, -1, 0, 0.0)
    rod = (0.015, 0.015, half_w + 0.3)
    scene.rotated(FRUSTUM, at.point(uc, -0.1, top + 0.02), lying, rod, m.metal(scene, rng))


def door(scene: Scene, rng: Rng, at: Frame, hole: Hole, opened: bool) -> None:
    """A door in its frame, closed or swung open."""
    u0, u1, _, v1 = hole
    scene.begin("door")
    frame = m.plain(scene, rng, str(rng.choice(["white", "wood", "dark"])))
    uc, half_w = (u0 + u1) / 2, (u1 - u0) / 2
    for a in _SIDES:
        scene.box(at, (uc + a * (half_w + 0.03), -0.01, v1 / 2), (0.045, 0.03, v1 / 2), frame)
    scene.box(at, (uc, -0.01, v1 + 0.03), (half_w + 0.075, 0.03, 0.045), frame)
    c = m.colour(rng, str(rng.choice(["white", "wood", "pastel"])))
    knob = m.colour(rng, "dark")
    scale, aux = float(rng.choice([0.6, 1.0])), float(rng.choice([1.0, 1.7]))
    grain = float(rng.random() < 0.5)
    leaf = scene.material(Pattern.PANEL, c, knob, scale=scale, aux=aux, contrast=0.5, grain=grain)
    if not opened:
        scene.box(at, (uc, 0.06, v1 / 2), (half_w, 0.02, v1 / 2), leaf)
        return
    swing = rng.uniform(0.9, 2.2)
    x, y, _ = at.point(u0, 0.02, 0)
    scene.box(Frame(x, y, 0, at.yaw + swing), (half_w, 0, v1 / 2), (half_w, 0.02, v1 / 2), leaf)


def next_room(scene: Scene, rng: Rng, at: Frame, hole: Hole, ceiling: int) -> None:
    """A second space behind an open door, with its own light and sometimes a thing."""
    depth = rng.uniform(1.5, 5.0)
    half_w = rng.uniform(0.8, 1.8)
    x, y, _ = at.point((hole[0] + hole[1]) / 2, 0.24, 0)
    there = Frame(x, y, 0, at.yaw)
    walls, ground = m.wall_cover(scene, rng), m.floor(scene, rng)
    scene.begin("floor")
    half = (half_w + 0.1, depth / 2 + 0.2, 0.0995)
    scene.box(there, (0, depth / 2 - 0.1, -0.1), half, ground, flags=WORLD_TEXTURE)
    scene.begin("ceiling")
    half = (half_w + 0.1, depth / 2 + 0.1, 0.1)
    scene.box(there, (0, depth / 2 + 0.05, 2.5), half, ceiling, flags=WORLD_TEXTURE)
    for a in _SIDES:
        scene.begin("wall")
        centre = (a * (half_w + 0.05), depth / 2, 1.25)
        scene.box(there, centre, (0.05, depth / 2, 1.25), walls, flags=WORLD_TEXTURE)
    scene.begin("wall")
    scene.box(there, (0, depth + 0.05, 1.25), (half_w + 0.1, 0.05, 1.25), walls, flags=WORLD_TEXTURE)
    power = rng.uniform(0.6, 3.0)
    scene.lamp(there.point(0, depth * 0.6, 2.2), (1.0 * power, 0.85 * power, 0.65 * power), 0.1)
    if rng.random() < 0.6:
        kind = rng.integers(3)
        place = Frame(*there.point(rng.uniform(-0.4, 0.4) * half_w, depth - 0.45, 0), there.yaw)
        if kind == 0:
            cabinet(scene, rng, place, 0.4, 0.2, rng.uniform(0.7, 1.1))
        elif kind == 1:
            plant(scene, rng, place, rng.uniform(0.8, 1.4))
        else:
            wall_picture(scene, rng, Frame(*there.point(0, depth - 0.02, 0), there.yaw), 0.4, 0.3, 1.5)
