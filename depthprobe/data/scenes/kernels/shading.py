"""The shading of one hit, and of every pixel centre."""

import math

import numpy as np

from depthprobe.data.scenes.kernels.compiling import helper, kernel
from depthprobe.data.scenes.kernels.lighting import OCCLUSION, SHADING, TEXTURE, direct_light, open_share, sky_colour
from depthprobe.data.scenes.kernels.noise import hash_bits
from depthprobe.data.scenes.kernels.surface import TextureFrame, surface_at, with_footprint
from depthprobe.data.scenes.kernels.texture_basics import EMISSION, MEAN
from depthprobe.data.scenes.kernels.textures import albedo
from depthprobe.data.scenes.kernels.vectors import Array, Vector, along, length, scaled, three
from depthprobe.data.scenes.kernels.visibility import FX, ORTHOGRAPHIC, camera_ray
from depthprobe.data.scenes.kernels.world import Quality, World

# columns of a shaded pixel: reflectance, direct irradiance, ambient colour, openness, added radiance, world normal
REFLECTANCE, DIRECT, AMBIENT, OPENNESS, ADDED, NORMAL, WIDTH = 0, 3, 6, 9, 10, 13, 16
_MIN_COSINE = 0.04


@helper
def reflectance(material: Array, frame: TextureFrame, footprint: float, cues: int) -> Vector:
    """Textured or mean reflectance."""
    if cues & TEXTURE:
        return albedo(material, with_footprint(frame, footprint))
    return three(material, MEAN)


@helper
def shade_hit(
    world: World,
    quality: Quality,
    p: int,
    face: int,
    t: float,
    origin: Vector,
    ray: Vector,
    angle: float,
    phase: int,
    out: Array,
) -> None:
    """Write the columns of one shaded hit into `out` (16,); `angle` is the size of a pixel at unit depth."""
    point = along(origin, t, ray)
    normal, frame = surface_at(world.primitives, world.halves, p, face, point)
    distance = length(ray)
    view = (-ray[0] / distance, -ray[1] / distance, -ray[2] / distance)
    cosine = normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2]
    if cosine < 0:
        normal, cosine = (-normal[0], -normal[1], -normal[2]), -cosine
    material = world.materials[world.material_of[p]]
    footprint = angle * t * distance / math.sqrt(max(cosine, _MIN_COSINE))
    colour = reflectance(material, frame, footprint, quality.cues)
    emission = material[EMISSION]
    added = scaled(colour, emission)
    direct, ambient, openness = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 1.0
    if emission > 0:
        colour = (0.0, 0.0, 0.0)
    if quality.cues & SHADING:
        direct, gloss = direct_light(world, quality, point, normal, view, material, phase)
        added = (added[0] + gloss[0], added[1] + gloss[1], added[2] + gloss[2])
        k, a = 0.5 + 0.5 * normal[2], world.ambient
        ambient = (
            a[0] * k + a[3] * (1 - k) + a[6] * normal[0],
            a[1] * k + a[4] * (1 - k) + a[7] * normal[0],
            a[2] * k + a[5] * (1 - k) + a[8] * normal[0],
        )
        if quality.cues & OCCLUSION and emission == 0.0:
            openness = open_share(world, quality, point, normal, phase + 911)
    out[OPENNESS] = openness
    for k in range(3):
        out[REFLECTANCE + k], out[DIRECT + k], out[AMBIENT + k] = colour[k], direct[k], ambient[k]
        out[ADDED + k], out[NORMAL + k] = added[k], normal[k]


@helper
def _shade_all(
    world: World, quality: Quality, camera: Array, depth: Array, primitive: Array, face: Array, shaded: Array
) -> None:
    height, width = depth.shape
    spread = world.disk.shape[0] // 16
    for i in range(height):
        for j in range(width):
            origin, ray = camera_ray(camera, float(j), float(i))
            if primitive[i, j] < 0:
                colour = sky_colour(scaled(ray, 1.0 / length(ray)), world.sky)
                shaded[i, j, OPENNESS] = 1.0
                for k in range(3):
                    shaded[i, j, ADDED + k] = colour[k]
                continue
            t = depth[i, j]
            angle = 1.0 / camera[FX]
            if camera[ORTHOGRAPHIC] > 0.5:
                angle = angle / t
            # interleaved samples: each of 4x4 neighbours has its own, each block its own shift
            phase = ((i & 3) * 4 + (j & 3)) * spread + hash_bits(j >> 2, i >> 2, 1, quality.seed) % 8
            shade_hit(world, quality, primitive[i, j], face[i, j], t, origin, ray, angle, phase, shaded[i, j])


@kernel
def shade_pixels(world: World, quality: Quality, camera: Array, depth: Array, primitive: Array, face: Array) -> Array:
    """Shade every pixel centre; float64 (H,W,16), columns as above. Sky: added radiance only."""
    shaded = np.zeros((depth.shape[0], depth.shape[1], WIDTH))
    _shade_all(world, quality, camera, depth, primitive, face, shaded)
    return shaded
