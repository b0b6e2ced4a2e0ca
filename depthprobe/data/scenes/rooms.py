"""Rooms: furnished, lit, seen from a place where a person might hold a camera."""

import math

import numpy as np

from depthprobe.data.scenes import furniture, furniture_small
from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import NO_SHADOW
from depthprobe.data.scenes.kernels.texture_basics import MEAN
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.room_shell import Room, build_shell, draw_room
from depthprobe.data.scenes.scene import Colour, Frame, Scene
from depthprobe.data.scenes.viewpoint import choose_viewpoint

_STREAM = 101  # number of this generator's random stream
_WALL_ORDER = ["back", "left", "right", "left", "right", "back", "front"]


def make_room(seed: int, size: tuple[int, int], attempt: int = 0) -> Scene:
    """Build the room of a seed, seen at (height, width); later attempts draw another room."""
    rng = np.random.default_rng([seed, _STREAM, attempt] if attempt else [seed, _STREAM])
    scene = Scene(seed)
    room = draw_room(scene, rng)
    sunny = build_shell(scene, rng, room)
    density = rng.uniform(0.5, 1.2)
    for _ in range(int(np.clip(room.width * room.depth * 0.28 * density, 2, 10))):
        _place_by_wall(scene, rng, room)
    if not room.hallway:
        _furnish_middle(scene, rng, room, density)
    for _ in range(rng.integers(1, 6)):
        x, y = rng.uniform(-room.width / 2 + 0.2, room.width / 2 - 0.2), rng.uniform(0.2, room.depth - 0.2)
        if room.free(x - 0.15, x + 0.15, y - 0.15, y + 0.15):
            room.taken.append((x - 0.15, x + 0.15, y - 0.15, y + 0.15))
            furniture_small.small_thing(scene, rng, Frame(x, y, 0, 0, rng.uniform(1.0, 2.0)), 0, 0, 0)
    _light(scene, rng, room, sunny)
    choose_viewpoint(scene, rng, room, size)
    return scene


def _find_place(rng: Rng, room: Room, name: str, half_w: float, half_d: float, low: bool) -> Frame | None:
    """A free place along a wall; low things may stand under windows."""
    at, length = room.walls[name]
    for _ in range(6):
        if length < 2 * half_w + 0.2:
            return None
        u = rng.uniform(-length / 2 + half_w + 0.08, length / 2 - half_w - 0.08)
        spans = room.blocked[name]
        if any(u - half_w < b + 0.1 and a - 0.1 < u + half_w and (c < 0.2 or not low) for a, b, c in spans):
            continue
        x, y, _ = at.point(u, -half_d - 0.05, 0)
        dx = abs(at.cos) * half_w + abs(at.sin) * half_d
        dy = abs(at.sin) * half_w + abs(at.cos) * half_d
        if room.free(x - dx, x + dx, y - dy, y + dy):
            room.taken.append((x - dx, x + dx, y - dy, y + dy))
            return Frame(x, y, 0, at.yaw)
    return None


def _place_by_wall(scene: Scene, rng: Rng, room: Room) -> None:
    """One piece of furniture along a wall, where there is room for it."""
    wall = _WALL_ORDER[rng.integers(len(_WALL_ORDER))]
    kind = rng.integers(8)
    if kind == 0:
        width, height = rng.uniform(0.35, 0.7), rng.uniform(1.0, min(2.2, room.height - 0.2))
        if at := _find_place(rng, room, wall, width, 0.16, low=False):
            furniture.shelf(scene, rng, at, width, 0.16, height)
    elif kind == 1:
        width, height = rng.uniform(0.3, 0.9), rng.uniform(0.6, 1.1)
        if at := _find_place(rng, room, wall, width, 0.24, low=True):
            furniture.cabinet(scene, rng, at, width, 0.24, height)
    elif kind == 2:
        width = rng.uniform(0.4, 0.8)
        if at := _find_place(rng, room, wall, width, 0.3, low=False):
            furniture.cabinet(scene, rng, at, width, 0.3, rng.uniform(1.7, min(2.3, room.height - 0.1)))
    elif kind == 3:
        width = rng.uniform(0.7, 1.15)
        if at := _find_place(rng, room, wall, width, 0.48, low=True):
            furniture.sofa(scene, rng, at, width)
    elif kind == 4 and room.width > 3 and not room.hallway:
        width = float(rng.choice([0.5, 0.75, 0.9]))
        if at := _find_place(rng, room, wall, width, 1.1, low=True):
            furniture.bed(scene, rng, at, width, 1.02)
    elif kind == 5:
        if at := _find_place(rng, room, wall, 0.28, 0.28, low=True):
            furniture_small.plant(scene, rng, at, rng.uniform(0.6, 1.7))
    elif kind == 6:
        if at := _find_place(rng, room, wall, 0.22, 0.22, low=True):
            height = rng.uniform(1.2, 1.65)
            furniture_small.floor_lamp(scene, rng, at, height, bool(rng.random() < 0.6))
    else:
        _place_desk(scene, rng, room, wall)


def _place_desk(scene: Scene, rng: Rng, room: Room, wall: str) -> None:
    width = rng.uniform(0.45, 0.8)
    at = _find_place(rng, room, wall, width, 0.35, low=True)
    if at is None:
        return
    height = rng.uniform(0.68, 0.78)
    furniture.table(scene, rng, at, width, 0.32, height, m.wood(scene, rng), m.metal(scene, rng))
    if rng.random() < 0.7:
        place = at.point(rng.uniform(-0.2, 0.2), -0.45, 0)
        turned = Frame(*place, at.yaw + math.pi + rng.normal(0, 0.4))
        furniture.chair(scene, rng, turned, m.fabric(scene, rng), m.metal(scene, rng))


def _furnish_middle(scene: Scene, rng: Rng, room: Room, density: float) -> None:
    """A rug and free-standing things."""
    width, depth = room.width, room.depth
    if rng.random() < 0.6:
        scene.begin("rug")
        x, y = rng.uniform(-0.2, 0.2) * width, rng.uniform(0.4, 0.65) * depth
        at = Frame(x, y, 0, rng.normal(0, 0.2))
        half = (rng.uniform(0.6, 1.2), rng.uniform(0.6, 1.5), 0.006)
        cover = m.fabric(scene, rng) if rng.random() < 0.5 else m.anything(scene, rng)
        scene.box(at, (0, 0, 0.006), half, cover)
    for _ in range(int(np.clip(width * depth * 0.1 * density, 1, 4))):
        kind = rng.integers(5)
        yaw = rng.choice([0, math.pi / 2]) + (rng.normal(0, 0.3) if rng.random() < 0.5 else 0)
        radius = rng.uniform(0.35, 0.75)
        for _ in range(8):
            x = rng.uniform(-width / 2 + radius, width / 2 - radius) if width > 2 * radius else 0.0
            y = rng.uniform(radius, max(radius, depth - radius))
            if room.free(x - radius, x + radius, y - radius, y + radius):
                break
        else:
            continue
        room.taken.append((x - radius, x + radius, y - radius, y + radius))
        _stand_free(scene, rng, Frame(x, y, 0, yaw), int(kind), radius)


def _stand_free(scene: Scene, rng: Rng, at: Frame, kind: int, radius: float) -> None:
    """A table with chairs, a stack of boxes, a ball, a chair or a sofa."""
    if kind <= 1:
        _dining_table(scene, rng, at, radius)
    elif kind == 2:
        furniture_small.carton_stack(scene, rng, at, radius * 0.6)
    elif kind == 3:
        scene.begin("ball")
        r = radius * rng.uniform(0.3, 0.7)
        scene.ellipsoid(at, (0, 0, r), (r, r, r), m.anything(scene, rng))
    elif rng.random() < 0.6:
        furniture.chair(scene, rng, at, m.fabric(scene, rng), m.wood(scene, rng))
    else:
        furniture.sofa(scene, rng, at, radius * 0.9)


def _dining_table(scene: Scene, rng: Rng, at: Frame, radius: float) -> None:
    low = rng.random() < 0.4
    height = rng.uniform(0.35, 0.48) if low else rng.uniform(0.7, 0.78)
    half_d = radius * rng.uniform(0.5, 0.9)
    top = m.wood(scene, rng) if rng.random() < 0.7 else m.anything(scene, rng)
    leg = m.wood(scene, rng) if rng.random() < 0.5 else m.metal(scene, rng)
    furniture.table(scene, rng, at, radius * 0.9, half_d, height, top, leg)
    if low:
        return
    seat = m.fabric(scene, rng) if rng.random() < 0.5 else m.wood(scene, rng)
    leg = m.wood(scene, rng)
    for q in range(4):
        if rng.random() < 0.65:
            a = q * math.pi / 2
            place = at.point(math.sin(a) * (radius * 0.9 + 0.15), -math.cos(a) * (radius * 0.75 + 0.15), 0)
            turned = Frame(*place, at.yaw + a + math.pi + rng.normal(0, 0.25))
            furniture.chair(scene, rng, turned, seat, leg)


def _light(scene: Scene, rng: Rng, room: Room, sunny: bool) -> None:
    """Ceiling lamps of one style, sun, ambient light tinted by floor and walls."""
    warm = rng.uniform(0, 1)
    tint = (1.0, 0.93 - 0.18 * warm, 0.86 - 0.42 * warm)
    count = int(np.clip(round(room.width * room.depth / 9), 1, 3))
    style = int(rng.integers(4))
    for q in range(count):
        x = rng.uniform(-0.15, 0.15) * room.width
        y = room.depth * (q + 0.6 + rng.uniform(-0.1, 0.2)) / (count + 0.2)
        z = _ceiling_lamp(scene, rng, Frame(x, y), style, room.height, tint)
        power = rng.uniform(2.5, 7.0)
        rgb = (tint[0] * power / count**0.5, tint[1] * power / count**0.5, tint[2] * power / count**0.5)
        scene.lamp((x, y, z - 0.03), rgb, rng.uniform(0.03, 0.2))
    if sunny:
        side, rise, turn = rng.choice([-1, 1]), rng.uniform(0.35, 0.95), rng.uniform(-0.6, 0.9)
        towards = (side * math.cos(rise) * math.cos(turn), math.cos(rise) * math.sin(turn), math.sin(rise))
        power = rng.uniform(4, 11)
        scene.sun(towards, (1.0 * power, 0.9 * power, 0.72 * power), 0.012)
    floor = np.array(scene.materials[room.covers["floor"]][MEAN : MEAN + 3])
    walls = np.array(scene.materials[room.covers["wall"]][MEAN : MEAN + 3])
    k, light = rng.uniform(0.35, 1.0), np.array(tint)
    above = 0.30 * k * light * (0.4 + 0.6 * walls / max(walls.max(), 0.05))
    below = 0.34 * k * light * (0.25 + floor)
    scene.ambient = [*above, *below, *(np.ones(3) * rng.uniform(-0.05, 0.05))]
    scene.exposure, scene.occlusion_reach = rng.uniform(0.16, 0.34), rng.uniform(0.5, 1.1)


def _ceiling_lamp(scene: Scene, rng: Rng, at: Frame, style: int, height: float, tint: Colour) -> float:
    """A round, long, hanging or ball lamp; returns the height of its light."""
    scene.begin("lamp")
    glow = scene.material(Pattern.SOLID, tint, scale=0.5, contrast=0.0, emission=6.0)
    if style == 0:
        scene.frustum(at, (0, 0, height - 0.03), 0.18, 0.03, glow, flags=NO_SHADOW)
        return height - 0.1
    if style == 1:
        scene.box(at, (0, 0, height - 0.015), (0.55, 0.12, 0.015), glow, flags=NO_SHADOW)
        return height - 0.08
    if style == 2:
        z = height - rng.uniform(0.5, 0.9)
        cord = m.plain(scene, rng, "dark")
        scene.frustum(at, (0, 0, (height + z) / 2 + 0.1), 0.006, (height - z) / 2 - 0.1, cord)
        scene.frustum(at, (0, 0, z + 0.1), 0.2, 0.09, m.plain(scene, rng), taper=0.25, flags=NO_SHADOW)
        scene.ellipsoid(at, (0, 0, z + 0.04), (0.06, 0.06, 0.06), glow, flags=NO_SHADOW)
        return z
    z = height - 0.25
    scene.ellipsoid(at, (0, 0, z), (0.14, 0.14, 0.14), glow, flags=NO_SHADOW)
    return z
