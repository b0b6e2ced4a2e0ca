"""The shell of a room: floor, ceiling, four walls with their openings, skirting, pictures, beams, a pillar."""

import dataclasses
import math

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.furniture_small import wall_picture
from depthprobe.data.scenes.kernels.intersect import SWAP_TEXTURE, WORLD_TEXTURE
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.room_openings import Hole, door, next_room, wall, window
from depthprobe.data.scenes.scene import Frame, Scene

Rectangle = tuple[float, float, float, float]  # x from, x to, y from, y to


@dataclasses.dataclass
class Room:
    """A room while it is being built.

    Convention:
        Width (x from -w/2 to w/2), depth (y from 0 to d), height in metres. `walls`: frame and length by name; local
        -y of a frame points into the room. `taken`: floor rectangles in use. `blocked`: per wall the stretches with
        openings or pictures: u from, u to, z from.
    """

    width: float
    depth: float
    height: float
    hallway: bool
    walls: dict[str, tuple[Frame, float]]
    covers: dict[str, int] = dataclasses.field(default_factory=dict)
    taken: list[Rectangle] = dataclasses.field(default_factory=list)
    blocked: dict[str, list[tuple[float, float, float]]] = dataclasses.field(default_factory=dict)

    def free(self, x0: float, x1: float, y0: float, y1: float, gap: float = 0.04) -> bool:
        """Whether a floor rectangle lies in the room and clear of everything that stands there."""
        if x0 < -self.width / 2 or x1 > self.width / 2 or y0 < 0 or y1 > self.depth:
            return False
        return not any(x0 - gap < b and a < x1 + gap and y0 - gap < d and c < y1 + gap for a, b, c, d in self.taken)


def draw_room(scene: Scene, rng: Rng) -> Room:
    """Draw the size of a room and its coverings."""
    width = math.exp(rng.uniform(math.log(2.5), math.log(6.5)))
    depth = math.exp(rng.uniform(math.log(2.8), math.log(8.5)))
    height = rng.uniform(2.3, 3.4)
    hallway = bool(rng.random() < 0.08)
    if hallway:
        width = rng.uniform(1.5, 2.3)
        depth = rng.uniform(6, 13)
    walls = {
        "back": (Frame(0, depth, 0, 0.0), width),
        "left": (Frame(-width / 2, depth / 2, 0, math.pi / 2), depth),
        "right": (Frame(width / 2, depth / 2, 0, -math.pi / 2), depth),
        "front": (Frame(0, 0, 0, math.pi), width),
    }
    room = Room(width, depth, height, hallway, walls)
    room.covers["wall"] = m.wall_cover(scene, rng)
    room.covers["back"] = m.wall_cover(scene, rng) if rng.random() < 0.35 else room.covers["wall"]
    room.covers["floor"] = m.floor(scene, rng)
    if rng.random() < 0.25:
        white = m.colour(rng, "white")
        room.covers["ceiling"] = scene.material(Pattern.TILE, white, (0.35, 0.35, 0.35), scale=0.6, contrast=0.2)
    else:
        room.covers["ceiling"] = m.plain(scene, rng, "white")
    return room


def build_shell(scene: Scene, rng: Rng, room: Room) -> bool:
    """Build floor, ceiling and walls; returns whether the sun shines."""
    origin, half = Frame(0, 0), (room.width / 2 + 0.3, room.depth / 2 + 0.3, 0.1)
    scene.begin("floor")
    flags = WORLD_TEXTURE | (SWAP_TEXTURE if rng.random() < 0.5 else 0)
    scene.box(origin, (0, room.depth / 2, -0.1), half, room.covers["floor"], flags=flags)
    scene.begin("ceiling")
    centre = (0, room.depth / 2, room.height + 0.1)
    scene.box(origin, centre, half, room.covers["ceiling"], flags=WORLD_TEXTURE)
    sunny = bool(rng.random() < 0.55)
    skirting = m.plain(scene, rng, str(rng.choice(["white", "white", "wood", "dark"])))
    for name in room.walls:
        _build_wall(scene, rng, room, name, skirting)
    if rng.random() < 0.2:
        beam = m.wood(scene, rng)
        scene.begin("ceiling")
        for q in range(int(room.depth / 1.2)):
            scene.box(origin, (0, 0.6 + 1.2 * q, room.height - 0.08), (room.width / 2, 0.07, 0.08), beam)
    if rng.random() < 0.15 and room.width > 4:
        scene.begin("pillar")
        x = rng.uniform(-room.width / 3, room.width / 3)
        y = rng.uniform(room.depth * 0.4, room.depth * 0.8)
        radius, half_h = rng.uniform(0.12, 0.25), room.height / 2
        scene.frustum(Frame(x, y), (0, 0, half_h), radius, half_h, m.wall_cover(scene, rng))
        room.taken.append((x - 0.3, x + 0.3, y - 0.3, y + 0.3))
    return sunny


def _draw_openings(rng: Rng, length: float, height: float) -> tuple[list[Hole], list[Hole], list[Hole]]:
    """Holes that do not touch: all of them, the windows, the doors."""
    holes: list[Hole] = []
    windows: list[Hole] = []
    doors: list[Hole] = []
    for _ in range(int(rng.integers(0, 3 if length < 5 else 4))):
        if rng.random() < 0.68:
            kind, width, v0 = windows, rng.uniform(0.7, 2.2), rng.uniform(0.3, 1.05)
            v1 = min(height - 0.15, v0 + rng.uniform(0.9, 1.6))
        else:
            kind, width, v0, v1 = doors, rng.uniform(0.75, 1.0), 0.0, rng.uniform(1.98, 2.15)
        if width > length - 0.4:
            continue
        u0 = rng.uniform(-length / 2 + 0.15, length / 2 - 0.15 - width)
        u1 = u0 + width
        if any(u0 < b + 0.35 and a - 0.35 < u1 for a, b, _, _ in holes):
            continue
        holes.append((u0, u1, v0, v1))
        kind.append((u0, u1, v0, v1))
    return holes, windows, doors


def _build_wall(scene: Scene, rng: Rng, room: Room, name: str, skirting: int) -> None:
    at, length = room.walls[name]
    holes, windows, doors = _draw_openings(rng, length, room.height)
    scene.begin("wall")
    wall(scene, at, length, room.height, holes, room.covers["back" if name == "back" else "wall"])
    for hole in windows:
        window(scene, rng, at, hole)
    for hole in doors:
        opened = bool(rng.random() < 0.6)
        door(scene, rng, at, hole, opened)
        if opened:
            next_room(scene, rng, at, hole, room.covers["ceiling"])
    room.blocked[name] = [(a, b, c) for a, b, c, _ in holes]
    _build_skirting(scene, rng, at, length, room.height, doors, skirting)
    for _ in range(rng.integers(0, 3)):
        half_w, half_h = rng.uniform(0.15, 0.55), rng.uniform(0.15, 0.45)
        u = rng.uniform(-length / 2 + 0.6, length / 2 - 0.6) if length > 1.4 else 0.0
        z = rng.uniform(1.35, 1.75)
        if any(u - half_w < b + 0.1 and a - 0.1 < u + half_w for a, b, _, _ in holes):
            continue
        wall_picture(scene, rng, Frame(*at.point(u, -0.02, 0), at.yaw), half_w, half_h, z)
        holes.append((u - half_w, u + half_w, z - half_h, z + half_h))


def _build_skirting(
    scene: Scene, rng: Rng, at: Frame, length: float, height: float, doors: list[Hole], cover: int
) -> None:
    """Skirting boards between the doors, sometimes a cornice."""
    scene.begin("skirting")
    u = -length / 2
    for a, b, _, _ in [*sorted(doors), (length / 2, length / 2, 0, 0)]:
        if a - u > 0.1:
            scene.box(at, ((u + a) / 2, -0.01, 0.05), ((a - u) / 2, 0.012, 0.05), cover)
        u = b
    if rng.random() < 0.25:
        scene.box(at, (0, -0.02, height - 0.05), (length / 2, 0.03, 0.05), cover)
