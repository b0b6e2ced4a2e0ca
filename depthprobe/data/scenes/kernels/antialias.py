"""Adaptive antialiasing: four more samples where the surface or the colour jumps. Depth is never averaged."""

import math

from depthprobe.data.scenes.kernels.compiling import helper, inlined, kernel
from depthprobe.data.scenes.kernels.imaging import SKY_FOG, fog_density, tone
from depthprobe.data.scenes.kernels.lighting import sky_colour
from depthprobe.data.scenes.kernels.noise import hash_bits
from depthprobe.data.scenes.kernels.shading import ADDED, AMBIENT, DIRECT, OPENNESS, REFLECTANCE, reflectance, shade_hit
from depthprobe.data.scenes.kernels.surface import surface_at
from depthprobe.data.scenes.kernels.texture_basics import EMISSION
from depthprobe.data.scenes.kernels.vectors import Array, Vector, along, dot, length, scaled
from depthprobe.data.scenes.kernels.visibility import FX, ORTHOGRAPHIC, TILE, camera_ray, first_hit
from depthprobe.data.scenes.kernels.world import Quality, World

SAMPLES = 4
_COLOUR_JUMP = 0.30


@inlined
def _surface(world: World, primitive: Array, y: int, x: int) -> int:
    p = primitive[y, x]
    return world.surface_of[p] if p >= 0 else -1


@helper
def _on_edge(world: World, image: Array, primitive: Array, face: Array, i: int, j: int) -> bool:
    """Whether one of the four neighbours lies on another surface or differs clearly in colour."""
    height, width = primitive.shape
    own = _surface(world, primitive, i, j)
    for y, x in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
        if y < 0 or x < 0 or y >= height or x >= width:
            continue
        if _surface(world, primitive, y, x) != own or face[y, x] != face[i, j]:
            return True
        a, b = image[y, x], image[i, j]
        if abs(a[0] - b[0]) + abs(a[1] - b[1]) + abs(a[2] - b[2]) > _COLOUR_JUMP:
            return True
    return False


@helper
def _donor(
    world: World, depth: Array, primitive: Array, face: Array, i: int, j: int, p: int, f: int, t: float
) -> tuple[int, int]:
    """A pixel of the 3x3 neighbourhood on the same surface, whose light can be used again; (-1, -1): none."""
    height, width = primitive.shape
    for y in range(max(0, i - 1), min(height, i + 2)):
        for x in range(max(0, j - 1), min(width, j + 2)):
            if (
                _surface(world, primitive, y, x) == world.surface_of[p]
                and face[y, x] == f
                and abs(depth[y, x] - t) < 0.1 * t
            ):
                return y, x
    return -1, -1


@helper
def _relight(
    world: World,
    quality: Quality,
    p: int,
    f: int,
    t: float,
    origin: Vector,
    ray: Vector,
    angle: float,
    shaded: Array,
    light: Array,
) -> Vector:
    """Radiance of a hit with its own texture and the light of a donor pixel."""
    normal, frame = surface_at(world.primitives, world.halves, p, f, along(origin, t, ray))
    material = world.materials[world.material_of[p]]
    cosine = abs(dot(normal, ray)) / length(ray)
    colour = reflectance(material, frame, angle * t / math.sqrt(max(cosine, 0.04)), quality.cues)
    if material[EMISSION] > 0:
        return scaled(colour, material[EMISSION])
    openness = light[3]
    return (
        colour[0] * (light[0] + shaded[AMBIENT] * openness) + shaded[ADDED],
        colour[1] * (light[1] + shaded[AMBIENT + 1] * openness) + shaded[ADDED + 1],
        colour[2] * (light[2] + shaded[AMBIENT + 2] * openness) + shaded[ADDED + 2],
    )


@inlined
def _radiance(out: Array, k: int) -> float:
    return out[REFLECTANCE + k] * (out[DIRECT + k] + out[AMBIENT + k] * out[OPENNESS]) + out[ADDED + k]


@helper
def _sample(
    world: World,
    quality: Quality,
    camera: Array,
    tiles: tuple[Array, Array, Array],
    maps: tuple[Array, Array, Array],
    shaded: Array,
    light: Array,
    i: int,
    j: int,
    k: int,
    out: Array,
) -> tuple[Vector, float]:
    """Radiance of sub-sample k of pixel (i, j), and how much of it the fog lets through."""
    across = (maps[0].shape[1] + TILE - 1) // TILE
    dx, dy = (k + 0.5) / SAMPLES, ((k * 3 + 1) % SAMPLES + 0.5) / SAMPLES  # four rooks
    origin, ray = camera_ray(camera, j + dx - 0.5, i + dy - 0.5)
    cell = (i // TILE) * across + j // TILE
    t, p, f = first_hit(origin, ray, tiles[0][cell], tiles[0][cell + 1], tiles[1], tiles[2], world.primitives)
    density = fog_density(world, quality)
    if p < 0:
        return sky_colour(scaled(ray, 1.0 / length(ray)), world.sky), 1.0 if density == 0.0 else world.fog[SKY_FOG]
    clear = 1.0 if density == 0.0 else math.exp(-density * t)
    angle = 1.0 / camera[FX]
    if camera[ORTHOGRAPHIC] > 0.5:
        angle = angle / t
    y, x = _donor(world, maps[0], maps[1], maps[2], i, j, p, f, t)
    if y >= 0:
        return _relight(world, quality, p, f, t, origin, ray, angle, shaded[y, x], light[y, x]), clear
    phase = hash_bits(j, i, k, quality.seed) % world.disk.shape[0]
    shade_hit(world, quality, p, f, t, origin, ray, angle, phase, out)
    return (_radiance(out, 0), _radiance(out, 1), _radiance(out, 2)), clear


@kernel
def antialias(
    world: World,
    quality: Quality,
    camera: Array,
    tiles: tuple[Array, Array, Array],
    maps: tuple[Array, Array, Array],
    shaded: Array,
    light: Array,
    image: Array,
    exposure: float,
    out: Array,
) -> Array:
    """Refine `image` where it needs it: the mean of the centre sample and four more; returns a new image.

    `tiles` = starts, members, nearest; `maps` = depth, primitive, face; `quality` is that of the extra samples.
    """
    height, width = maps[0].shape
    refined = image.copy()
    for i in range(height):
        for j in range(width):
            if not _on_edge(world, image, maps[1], maps[2], i, j):
                continue
            total = (image[i, j, 0], image[i, j, 1], image[i, j, 2])
            for k in range(SAMPLES):
                colour, clear = _sample(world, quality, camera, tiles, maps, shaded, light, i, j, k, out)
                veil = 1 - clear
                total = (
                    total[0] + tone(colour[0] * clear * exposure + world.fog[1] * veil),
                    total[1] + tone(colour[1] * clear * exposure + world.fog[2] * veil),
                    total[2] + tone(colour[2] * clear * exposure + world.fog[3] * veil),
                )
            share = 1.0 / (SAMPLES + 1)
            for k in range(3):
                refined[i, j, k] = total[k] * share
    return refined
