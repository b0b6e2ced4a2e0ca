"""The renderer against closed forms and against a slow ray caster written from the definition of the primitives."""

import math

import numpy as np
import pytest

from depthprobe.data.scenes.generate import build_scene
from depthprobe.data.scenes.kernels.intersect import BOX, ELLIPSOID
from depthprobe.data.scenes.rendering import pack, render, trace
from depthprobe.data.scenes.scene import Frame, Scene

SIZE = (24, 32)


def stage():
    """A scene with one material and a lamp, camera at the origin looking along +y."""
    scene = Scene()
    scene.begin("box")
    scene.lamp((0, 0, 2), (5.0, 5.0, 5.0))
    return scene, scene.material(0, (0.5, 0.5, 0.5))


def rays(camera):
    """Ray directions (H,W,3) with forward component 1, in camera coordinates."""
    v, u = np.mgrid[: camera.size[0], : camera.size[1]].astype(float)
    x, y = (u - camera.centre[0]) / camera.focal[0], (v - camera.centre[1]) / camera.focal[1]
    return np.stack([x, y, np.ones_like(x)], -1)


def test_wall_faced_squarely_has_one_exact_depth_and_normal():
    scene, cover = stage()
    scene.box(Frame(0, 3.5), (0, 0, 0), (10, 0.5, 10), cover)
    scene.look((0, 0, 0), 0, 0, 0, 1.0, SIZE)
    image = render(scene)
    assert np.abs(image.depth - 3).max() == 0
    assert np.abs(image.normal - [0, 0, -1]).max() < 1e-7
    assert np.unique(image.plane_id).size == 1
    assert (image.object_id == 1).all()


def test_tilted_floor_has_the_depth_of_its_plane():
    scene, cover = stage()
    scene.box(Frame(0, 0), (0, 0, -2.5), (500, 500, 1), cover)  # top at z = -1.5
    pitch = -0.6
    scene.look((0, 0, 0), 0.3, pitch, 0, 0.8, SIZE)
    seen = trace(pack(scene), scene.camera)
    down = rays(scene.camera) @ scene.camera.axes  # world directions
    expected = -1.5 / down[..., 2]
    assert np.abs(seen.depth / expected - 1).max() < 1e-12
    normal = render(scene).normal
    assert np.abs(normal - [0, -math.cos(pitch), math.sin(pitch)]).max() < 1e-6


def test_ellipsoid_has_its_closed_form():
    scene, cover = stage()
    half, centre = np.array([0.8, 0.5, 0.6]), np.array([0.1, 4.0, -0.2])
    scene.ellipsoid(Frame(0.1, 4.0, 0), (0, 0, -0.2), tuple(half), cover)
    scene.look((0, 0, 0), 0, 0, 0, 0.6, SIZE)
    seen = trace(pack(scene), scene.camera)
    d = rays(scene.camera) @ scene.camera.axes / half
    o = -centre / half
    a, b, c = (d * d).sum(-1), (d * o).sum(-1), (o * o).sum() - 1
    with np.errstate(invalid="ignore"):
        expected = (-b - np.sqrt(b * b - a * c)) / a
    hit = ~np.isnan(expected)
    assert 20 < hit.sum() < hit.size
    assert (np.isfinite(seen.depth) == hit).all()
    assert np.abs(seen.depth[hit] / expected[hit] - 1).max() < 1e-12
    assert (seen.plane_id[hit] == -1).all()
    assert not (seen.object_id[~hit].any() or seen.class_id[~hit].any())


def slow_depth(scene, ray):
    """Nearest hit over all primitives."""
    hits = [math.inf]
    for p in scene.primitives:
        turn = np.reshape(p.rotation, (3, 3)).T
        o, d = turn @ (scene.camera.position - np.array(p.centre)), turn @ ray
        hits += [t for t in slow_hits(p.shape, p.taper, np.array(p.half), o, d) if t > 1e-9]
    return min(hits)


def slow_hits(shape, taper, h, o, d):
    """All hits with one primitive by plain geometry: face planes, and roots of polynomials."""
    if shape == BOX:
        hits = []
        for axis in range(3):
            others = [k for k in range(3) if k != axis]
            for side in (-h[axis], h[axis]):
                t = (side - o[axis]) / d[axis]
                if all(abs(o[k] + t * d[k]) <= h[k] for k in others):
                    hits.append(t)
        return hits
    if shape == ELLIPSOID:
        return quadratic(lambda x: (x[0] / h[0]) ** 2 + (x[1] / h[1]) ** 2 + (x[2] / h[2]) ** 2 - 1, o, d)

    def radius(z):
        return 1 + (taper - 1) * (z / h[2] + 1) / 2

    side = quadratic(lambda x: (x[0] / h[0]) ** 2 + (x[1] / h[1]) ** 2 - radius(x[2]) ** 2, o, d)
    hits = [t for t in side if abs(o[2] + t * d[2]) <= h[2]]
    for z in (-h[2], h[2]):
        t = (z - o[2]) / d[2]
        x = o + t * d
        if (x[0] / h[0]) ** 2 + (x[1] / h[1]) ** 2 <= radius(z) ** 2:
            hits.append(t)
    return hits


def quadratic(f, o, d):
    """Real roots of t -> f(o + t d), f a quadratic form, from three of its values."""
    a0, a1, a2 = f(o), f(o + d), f(o - d)
    roots = np.roots([(a1 + a2) / 2 - a0, (a1 - a2) / 2, a0])
    return [r.real for r in roots if abs(r.imag) < 1e-12]


@pytest.mark.parametrize("kind", ["rooms", "streets", "shapes"])
def test_depth_equals_the_slow_ray_caster(kind):
    scene = build_scene(kind, 5, SIZE)
    depth = trace(pack(scene), scene.camera).depth
    directions = rays(scene.camera) @ scene.camera.axes
    rng = np.random.default_rng(0)
    for _ in range(12 if kind == "streets" else 25):
        i, j = rng.integers(SIZE[0]), rng.integers(SIZE[1])
        assert depth[i, j] == pytest.approx(slow_depth(scene, directions[i, j]), rel=1e-7)


def test_a_shadow_falls_where_an_object_stands_between_lamp_and_floor():
    scene, cover = stage()
    scene.lights.clear()
    scene.lamp((0, 3, 3), (20.0, 20.0, 20.0), 0.01)
    scene.box(Frame(0, 0), (0, 0, -1.1), (50, 50, 0.1), cover)
    scene.begin("box")
    scene.box(Frame(0, 3), (0, 0, 1), (0.5, 0.5, 0.01), cover)
    scene.look((0, 0, 0), 0, -0.35, 0, 0.9, (48, 64))
    image = render(scene)
    d = rays(scene.camera) @ scene.camera.axes
    x, y = d[..., 0] * image.depth, d[..., 1] * image.depth
    floor = image.object_id == 1
    # the box (half 0.5 at height 1, lamp at 3) darkens a square of half 0.5 * 4 / 2 = 1 around (0, 3) on the floor
    inside = floor & (np.abs(x) < 0.6) & (np.abs(y - 3) < 0.6)
    outside = floor & ((np.abs(x) > 1.5) | (np.abs(y - 3) > 1.5)) & (y < 6)
    assert inside.sum() > 20
    assert outside.sum() > 20
    assert image.irradiance[inside].max() < 1e-12
    assert image.irradiance[outside].min() > 0.05


def test_depth_is_that_of_the_centre_ray_with_and_without_antialiasing():
    scene = build_scene("rooms", 3, SIZE)
    smooth, rough = render(scene), render(scene, smooth=False)
    assert (smooth.depth == rough.depth).all()
    assert (smooth.rgb != rough.rgb).any()
