"""Streets: road, kerbs, buildings, trees, cars, people, hills and weather, seen from a car or a pavement."""

import dataclasses
import math

import numpy as np

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import WORLD_TEXTURE
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Colour, Frame, Scene, linear
from depthprobe.data.scenes.street_buildings import building
from depthprobe.data.scenes.street_parts import car, person, pole, tree
from depthprobe.data.scenes.weather import set_weather

_STREAM = 202  # number of this generator's random stream
_SIDES = (-1, 1)
_ORIGIN = Frame(0, 0)


@dataclasses.dataclass(frozen=True)
class Street:
    """The plan of a street that runs along +y; metres."""

    rural: bool
    lanes: int
    lane: float  # width of a lane
    half: float  # half width of the road
    pavement: float  # width of a pavement, 0 in the country


def make_street(seed: int, size: tuple[int, int]) -> Scene:
    """Build the street of a seed, seen at (height, width)."""
    rng = np.random.default_rng([seed, _STREAM])
    scene = Scene(seed)
    rural = bool(rng.random() < 0.3)
    lanes = int(rng.integers(2, 5))
    lane = rng.uniform(2.9, 3.6)
    street = Street(rural, lanes, lane, lanes * lane / 2, rng.uniform(1.4, 4.0) if not rural else 0.0)
    _build_ground(scene, rng, street)
    for side in _SIDES:
        _build_edge(scene, rng, street, side)
        _plant_row(scene, rng, street, side)
        _populate_pavement(scene, rng, street, side)
    own = int(rng.integers(street.lanes // 2, street.lanes))
    x = -street.half + (own + 0.5) * street.lane + rng.normal(0, 0.25)
    _drive(scene, rng, street, own)
    _build_hills(scene, rng)
    set_weather(scene, rng)
    z = float(np.clip(rng.normal(1.6, 0.2), 1.2, 2.3))
    yaw, pitch = rng.normal(0, 0.06) - x * 0.004, math.radians(rng.normal(-2, 3))
    roll, field_of_view = math.radians(rng.normal(0, 1.0)), math.radians(rng.uniform(50, 85))
    scene.look((x, 0.0, z), yaw, pitch, roll, field_of_view, size)
    return scene


def _build_ground(scene: Scene, rng: Rng, street: Street) -> None:
    """Grass, road, kerbs, pavements and forecourts."""
    green = np.array([rng.uniform(0.2, 0.35), rng.uniform(0.32, 0.45), rng.uniform(0.1, 0.2)])
    greens = (linear(*(green * 0.7)), linear(*green), linear(0.55, 0.5, 0.3))
    grass = scene.material(Pattern.GRASS, *greens, scale=0.3, contrast=1.0)
    scene.begin("ground")
    scene.box(_ORIGIN, (0, 150, -0.6), (400, 400, 0.5), grass, flags=WORLD_TEXTURE)
    v = rng.uniform(0.25, 0.48)
    scene.begin("road")
    greys = (linear(v, v, v * 1.02), linear(0.85, 0.85, 0.82))
    asphalt = scene.material(Pattern.ROAD, *greys, scale=street.lane, aux=street.half)
    scene.box(_ORIGIN, (0, 150, -0.3), (street.half, 400, 0.3), asphalt, flags=WORLD_TEXTURE)
    c = m.colour(rng, "grey")
    scale = rng.uniform(0.4, 1.2)
    slabs = scene.material(Pattern.TILE, c, m.darker(c, 0.55), m.darker(c, 0.75), scale=scale, contrast=1.0)
    kerb = m.plain(scene, rng, "grey")
    if street.rural:
        return
    scene.begin("pavement")
    edge, width = street.half + 0.3, street.pavement
    for side in _SIDES:
        scene.box(_ORIGIN, (side * (street.half + 0.15), 150, 0), (0.15, 400, 0.15), kerb, flags=WORLD_TEXTURE)
        scene.box(_ORIGIN, (side * (edge + width / 2), 150, 0), (width / 2, 400, 0.14), slabs, flags=WORLD_TEXTURE)
        cover = grass
        if rng.random() < 0.5:
            c = m.colour(rng, "grey")
            cover = scene.material(Pattern.FRACTAL, m.darker(c, 0.8), m.darker(c, 1.1), scale=1.5, contrast=0.8)
        centre = (side * (edge + width + 20), 150, -0.1)
        scene.box(_ORIGIN, centre, (20, 400, 0.22), cover, flags=WORLD_TEXTURE)


def _build_edge(scene: Scene, rng: Rng, street: Street, side: int) -> None:
    """Buildings with hedges or fences, gaps with trees."""
    y = rng.uniform(-8, 4)
    style = rng.uniform(4, 9) if rng.random() < 0.5 else rng.uniform(9, 26)
    while y < 130:
        half_w = rng.uniform(4, 11)
        back = rng.uniform(0, 6) if not street.rural else rng.uniform(6, 25)
        if rng.random() < (0.85 if not street.rural else 0.3):
            half_d = rng.uniform(4, 8)
            x = side * (street.half + 0.3 + street.pavement + back + half_d)
            place = Frame(x, y + half_w, 0.1, side * -math.pi / 2)
            building(scene, rng, place, half_w, half_d, max(3.2, style * rng.uniform(0.6, 1.5)))
            if back > 3 and rng.random() < 0.6:
                _hedge_or_fence(scene, rng, side * (street.half + 0.5 + street.pavement), y + half_w, half_w)
        elif rng.random() < 0.9:
            for _ in range(int(rng.integers(1, 6))):
                x = side * (street.half + street.pavement + rng.uniform(1.5, 16))
                place = Frame(x, y + rng.uniform(0, 2 * half_w), 0.0)
                tree(scene, rng, place, rng.uniform(3.5, 11))
        y += 2 * half_w + rng.uniform(0, 6 if not street.rural else 25)


def _hedge_or_fence(scene: Scene, rng: Rng, x: float, y: float, half_w: float) -> None:
    hedge = bool(rng.random() < 0.5)
    scene.begin("hedge" if hedge else "fence")
    half = (0.25 if hedge else 0.05, half_w * 0.9, rng.uniform(0.35, 0.8))
    if hedge:
        greens = (linear(0.1, 0.2, 0.05), linear(0.25, 0.45, 0.12))
        cover = scene.material(Pattern.GRASS, *greens, scale=0.08, contrast=1.0)
    else:
        boards = m.colour(rng, "wood")
        cover = scene.material(Pattern.STRIPE, boards, linear(0.1, 0.1, 0.1), scale=0.2, aux=0.1)
    scene.box(_ORIGIN, (x, y, 0.6), half, cover)


def _plant_row(scene: Scene, rng: Rng, street: Street, side: int) -> None:
    """Trees and poles along the kerb, people on the pavement."""
    y, spacing = rng.uniform(4, 12), rng.uniform(9, 22)
    avenue = bool(rng.random() < 0.5)
    x = side * (street.half + (0.9 if not street.rural else 1.5))
    while y < 90:
        if avenue and rng.random() < 0.8:
            tree(scene, rng, Frame(x + side * 0.4, y, 0.1), rng.uniform(3.5, 7))
        elif rng.random() < 0.7:
            pole(scene, rng, Frame(x, y, 0.1, 0), side)
        y += spacing * rng.uniform(0.8, 1.2)
    ground = 0.14 if not street.rural else 0.0
    for _ in range(int(rng.integers(0, 6)) if not street.rural else int(rng.integers(0, 2))):
        x = side * (street.half + 0.5 + rng.uniform(0, max(0.3, street.pavement - 0.3)))
        y = 4 + 40 * rng.random() ** 1.5
        place = Frame(x, y, ground, rng.choice([0, math.pi]) + rng.normal(0, 0.4))
        person(scene, rng, place, rng.uniform(1.5, 1.9))


def _populate_pavement(scene: Scene, rng: Rng, street: Street, side: int) -> None:
    """Parked cars, bins and boxes; nothing in the country."""
    if street.rural:
        return
    y = rng.uniform(2, 14)
    if rng.random() < 0.6:
        while y < 70:
            if rng.random() < 0.6:
                yaw = (0 if side > 0 else math.pi) + rng.normal(0, 0.03)
                car(scene, rng, Frame(side * (street.half - 1.05), y, 0, yaw))
            y += rng.uniform(5.2, 9.0)
    for _ in range(int(rng.integers(0, 4))):
        q = rng.uniform(0.3, 0.5)
        scene.begin("object")
        x = side * (street.half + street.pavement * 0.8)
        if rng.random() < 0.5:
            place = Frame(x, rng.uniform(4, 30), 0.14)
            scene.frustum(place, (0, 0, q), 0.3, q, m.anything(scene, rng))
        else:
            place = Frame(x, rng.uniform(4, 30), 0.14, rng.uniform(-0.3, 0.3))
            scene.box(place, (0, 0, q), (q * 0.6, q * 1.3, q), m.anything(scene, rng))


def _drive(scene: Scene, rng: Rng, street: Street, own: int) -> None:
    """Cars on the lanes, sometimes a person who crosses."""
    used: list[tuple[int, float]] = []
    for _ in range(int(rng.integers(0, 7))):
        lane, y = int(rng.integers(0, street.lanes)), 6 + 60 * rng.random() ** 1.3
        if (lane == own and y < 8) or any(lane == a and abs(y - b) < 8 for a, b in used):
            continue
        used.append((lane, y))
        x = -street.half + (lane + 0.5) * street.lane + rng.normal(0, 0.2)
        yaw = (0 if lane >= street.lanes / 2 else math.pi) + rng.normal(0, 0.03)
        car(scene, rng, Frame(x, y, 0, yaw))
    if rng.random() < 0.3:
        x, y = rng.uniform(-street.half, street.half), rng.uniform(8, 30)
        place = Frame(x, y, 0, rng.choice([-1, 1]) * math.pi / 2)
        person(scene, rng, place, rng.uniform(1.55, 1.9))


def _build_hills(scene: Scene, rng: Rng) -> None:
    """Hills that close the horizon."""
    scene.begin("terrain")
    greens: tuple[Colour, ...] = (linear(0.12, 0.2, 0.1), linear(0.25, 0.36, 0.18), linear(0.4, 0.4, 0.3))
    cover = scene.material(Pattern.GRASS, *greens, scale=6.0, contrast=1.0)
    for _ in range(int(rng.integers(3, 8))):
        q = rng.uniform(60, 160)
        place = Frame(rng.uniform(-350, 350), rng.uniform(260, 420))
        scene.ellipsoid(place, (0, 0, -10), (q, q, rng.uniform(20, 60)), cover)
