"""Small things: what stands on tables, shelves and floors. Frames face -y."""

import math

from depthprobe.data.scenes import materials as m
from depthprobe.data.scenes.kernels.intersect import BOX, ELLIPSOID, NO_SHADOW
from depthprobe.data.scenes.kernels.textures import Pattern
from depthprobe.data.scenes.materials import Rng
from depthprobe.data.scenes.scene import Frame, Scene, about_x, linear


def small_thing(scene: Scene, rng: Rng, at: Frame, x: float, y: float, z: float) -> None:
    """One of: books, cup, vase with flowers, box, ball, table lamp, laptop, at a local point of `at`."""
    kind = rng.integers(7)
    place = Frame(*at.point(x, y, z), at.yaw + rng.uniform(-1, 1), at.factor)
    [_book_pile, _cup, _vase, _carton, _ball, _table_lamp, _laptop][kind](scene, rng, place)


def _book_pile(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("books")
    z = 0.0
    for _ in range(rng.integers(1, 5)):
        t = rng.uniform(0.008, 0.025)
        turned = Frame(at.x, at.y, at.z, at.yaw + rng.uniform(-0.3, 0.3), at.factor)
        half = (rng.uniform(0.07, 0.1), rng.uniform(0.1, 0.14), t)
        scene.box(turned, (0, 0, z + t), half, m.plain(scene, rng))
        z += 2 * t


def _cup(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("vase")
    height = rng.uniform(0.04, 0.06)
    radius = rng.uniform(0.03, 0.045)
    cover = m.plain(scene, rng, specular=0.4, shininess=40.0)
    scene.frustum(at, (0, 0, height), radius, height, cover, taper=rng.uniform(0.9, 1.3))


def _vase(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("vase")
    pattern = Pattern.STRIPE if rng.random() < 0.4 else Pattern.SOLID
    a, b = m.colour(rng), m.colour(rng)
    cover = scene.material(pattern, a, b, scale=0.06, specular=0.5, shininess=50.0)
    r = rng.uniform(0.06, 0.12)
    scene.ellipsoid(at, (0, 0, r), (r * 0.8, r * 0.8, r), cover)
    scene.frustum(at, (0, 0, r * 2.05), r * 0.3, r * 0.35, cover, taper=1.4)
    if rng.random() < 0.6:
        leaves = scene.material(
            Pattern.GRASS, linear(0.15, 0.35, 0.1), linear(0.4, 0.6, 0.2), linear(0.7, 0.3, 0.3), scale=0.03
        )
        for _ in range(5):
            centre = (rng.uniform(-0.1, 0.1), rng.uniform(-0.1, 0.1), r * 2.6 + rng.uniform(0, 0.15))
            scene.ellipsoid(at, centre, (0.05, 0.05, 0.06), leaves)


def _carton(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("box")
    a, b, c = rng.uniform(0.04, 0.14, 3)
    scene.box(at, (0, 0, c), (a, b, c), m.anything(scene, rng))


def _ball(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("ball")
    r = rng.uniform(0.04, 0.12)
    scene.ellipsoid(at, (0, 0, r), (r, r, r), m.anything(scene, rng))


def _table_lamp(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("lamp")
    height = rng.uniform(0.18, 0.26)
    scene.frustum(at, (0, 0, height * 0.5), 0.02, height * 0.5, m.metal(scene, rng))
    scene.frustum(at, (0, 0, 0.01), 0.07, 0.01, m.metal(scene, rng))
    emission = float(rng.choice([0.5, 2.0]))
    shade = scene.material(Pattern.SOLID, linear(1, 0.9, 0.7), scale=0.2, contrast=0.05, emission=emission)
    scene.frustum(at, (0, 0, height + 0.08), 0.12, 0.08, shade, taper=0.6, flags=NO_SHADOW)


def _laptop(scene: Scene, rng: Rng, at: Frame) -> None:
    scene.begin("screen")
    dark, k = m.plain(scene, rng, "dark", specular=0.3), at.factor
    scene.box(at, (0, 0, 0.01), (0.17, 0.12, 0.01), dark)
    tilt = at.rotation(about_x(-0.3))
    scene.rotated(BOX, at.point(0, 0.16, 0.12), tilt, (0.17 * k, 0.008 * k, 0.11 * k), dark)
    a, b, c = m.colour(rng, "cool"), m.colour(rng), m.colour(rng, "dark")
    picture = scene.material(Pattern.PICTURE, a, b, c, scale=0.08, aux=0.0, emission=0.6)
    scene.rotated(BOX, at.point(0, 0.149, 0.12), tilt, (0.155 * k, 0.001, 0.095 * k), picture)


def plant(scene: Scene, rng: Rng, at: Frame, height: float) -> None:
    """A pot with a stem and long leaves."""
    scene.begin("plant")
    r = rng.uniform(0.1, 0.2)
    pot = m.plain(scene, rng, str(rng.choice(["warm", "white", "dark"])))
    scene.frustum(at, (0, 0, r), r * 0.75, r, pot, taper=1.35)
    scene.frustum(at, (0, 0, height * 0.5), 0.015, height * 0.45, m.plain(scene, rng, "wood"))
    greens = (linear(0.08, 0.25, 0.06), linear(0.35, 0.55, 0.15), linear(0.5, 0.6, 0.2))
    leaf = scene.material(Pattern.GRASS, *greens, scale=rng.uniform(0.03, 0.08), contrast=1.0)
    for _ in range(rng.integers(6, 14)):
        turn, rise = rng.uniform(0, 6.28), rng.uniform(-0.3, 1.2)
        q = rng.uniform(0.1, 0.3)
        c, s, ce, se = math.cos(turn), math.sin(turn), math.cos(rise), math.sin(rise)
        rotation = (c * ce, -s, -c * se, s * ce, c, -s * se, se, 0, ce)
        centre = at.point(c * ce * q, s * ce * q, height * rng.uniform(0.6, 1.0) + se * q)
        scene.rotated(ELLIPSOID, centre, rotation, (q, q * 0.35, 0.012), leaf)


def floor_lamp(scene: Scene, rng: Rng, at: Frame, height: float, lit: bool) -> None:
    """A standing lamp; a lit one adds a light."""
    scene.begin("lamp")
    steel = m.metal(scene, rng)
    scene.frustum(at, (0, 0, 0.015), 0.14, 0.015, steel)
    scene.frustum(at, (0, 0, height / 2), 0.014, height / 2, steel)
    emission = 2.0 if lit else 0.5
    shade = scene.material(Pattern.SOLID, linear(1, 0.88, 0.65), scale=0.2, contrast=0.05, emission=emission)
    scene.frustum(at, (0, 0, height + 0.1), 0.2, 0.13, shade, taper=0.65, flags=NO_SHADOW)
    if lit:
        power = rng.uniform(1.5, 4)
        scene.lamp((at.x, at.y, height + 0.1), (1.0 * power, 0.75 * power, 0.45 * power), 0.12)


def wall_picture(scene: Scene, rng: Rng, at: Frame, half_width: float, half_height: float, z: float) -> None:
    """A framed picture on a wall."""
    scene.begin("picture")
    a, b = m.colour(rng), m.colour(rng)
    frame = m.colour(rng, str(rng.choice(["dark", "wood", "white"])))
    scale, aux = rng.uniform(0.1, 0.5), rng.uniform(0.02, 0.06)
    cover = scene.material(Pattern.PICTURE, a, b, frame, scale=scale, aux=aux)
    scene.box(at, (0, 0, z), (half_width, 0.02, half_height), cover)


def carton_stack(scene: Scene, rng: Rng, at: Frame, width: float) -> None:
    """One to three boxes on top of each other."""
    z = 0.0
    for _ in range(rng.integers(1, 4)):
        scene.begin("box")
        a, b, c = rng.uniform(0.5, 1.0, 3) * width
        c *= 0.8
        turned = Frame(at.x, at.y, at.z, at.yaw + rng.uniform(-0.5, 0.5), at.factor)
        centre = (rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), z + c)
        if rng.random() < 0.6:
            cover = m.anything(scene, rng)
        else:
            cover = scene.material(Pattern.SOLID, linear(0.7, 0.53, 0.35), scale=0.1, contrast=0.2)
        scene.box(turned, centre, (a, b, c), cover)
        z += 2 * c * at.factor
