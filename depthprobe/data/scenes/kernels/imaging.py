"""From shaded pixels to the image: denoising of light, exposure, fog, tone."""

import math

import numpy as np

from depthprobe.data.scenes.kernels.compiling import helper, inlined, kernel
from depthprobe.data.scenes.kernels.intersect import FLAT_FACES
from depthprobe.data.scenes.kernels.lighting import FOG, SHADING
from depthprobe.data.scenes.kernels.shading import ADDED, AMBIENT, DIRECT, NORMAL, OPENNESS, REFLECTANCE
from depthprobe.data.scenes.kernels.vectors import Array
from depthprobe.data.scenes.kernels.world import Quality, World

UNLIT_EXPOSURE = 1.6
SKY_FOG = 4  # column of the fog row


@inlined
def tone(radiance: float) -> float:
    """Soft shoulder, then gamma 2: sqrt is correctly rounded everywhere."""
    c = max(0.0, radiance)
    return math.sqrt(c * (1 + c * 0.16) / (1 + c))


@inlined
def _alike(
    i: int, j: int, y: int, x: int, depth: Array, primitive: Array, face: Array, surface_of: Array, shaded: Array
) -> float:
    """Cosine of the normals of two pixels on one surface; 0 if they lie on different ones."""
    q = primitive[y, x]
    if q < 0 or surface_of[q] != surface_of[primitive[i, j]] or face[y, x] != face[i, j]:
        return 0.0
    if abs(depth[y, x] - depth[i, j]) > 0.12 * depth[i, j]:
        return 0.0
    a, b = shaded[y, x], shaded[i, j]
    return a[NORMAL] * b[NORMAL] + a[NORMAL + 1] * b[NORMAL + 1] + a[NORMAL + 2] * b[NORMAL + 2]


@helper
def _smooth_pixel(
    i: int, j: int, depth: Array, primitive: Array, face: Array, surface_of: Array, shaded: Array, out: Array
) -> None:
    height, width = depth.shape
    weight, red, green, blue, openness, count = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for y in range(max(0, i - 2), min(height, i + 3)):
        for x in range(max(0, j - 2), min(width, j + 3)):
            c = _alike(i, j, y, x, depth, primitive, face, surface_of, shaded)
            if c < 0.9:
                continue
            count += 1
            openness += shaded[y, x, OPENNESS]
            if abs(y - i) <= 1 and abs(x - j) <= 1:
                k = c if face[i, j] < FLAT_FACES else c * c * c * c
                weight += k
                red += k * shaded[y, x, DIRECT]
                green += k * shaded[y, x, DIRECT + 1]
                blue += k * shaded[y, x, DIRECT + 2]
    out[0], out[1], out[2], out[3] = red / weight, green / weight, blue / weight, openness / count


@kernel
def smooth_light(depth: Array, primitive: Array, face: Array, surface_of: Array, shaded: Array) -> Array:
    """Joint bilateral filter within one surface: direct light over 3x3 pixels, openness over 5x5; (H,W,4)."""
    height, width = depth.shape
    light = np.zeros((height, width, 4))
    for i in range(height):
        for j in range(width):
            if primitive[i, j] < 0:
                light[i, j, 3] = 1.0
            else:
                _smooth_pixel(i, j, depth, primitive, face, surface_of, shaded, light[i, j])
    return light


@inlined
def fog_density(world: World, quality: Quality) -> float:
    """Extinction per metre, 0 without the fog cue."""
    return world.fog[0] if quality.cues & FOG else 0.0


@kernel
def expose(
    world: World, quality: Quality, depth: Array, primitive: Array, shaded: Array, light: Array
) -> tuple[Array, float]:
    """Compose the image with one sample a pixel; returns RGB in [0, 1] (H,W,3) and the exposure used."""
    height, width = depth.shape
    linear, image = np.zeros((height, width, 3)), np.zeros((height, width, 3))
    total = 0.0
    for i in range(height):
        for j in range(width):
            pixel = shaded[i, j]
            for k in range(3):
                lit = light[i, j, k] + pixel[AMBIENT + k] * light[i, j, 3]
                linear[i, j, k] = pixel[REFLECTANCE + k] * lit + pixel[ADDED + k]
            luminance = 0.3 * linear[i, j, 0] + 0.6 * linear[i, j, 1] + 0.1 * linear[i, j, 2]
            total += math.sqrt(max(0.0, luminance))
    mean = total / (height * width)
    exposure = quality.exposure / max(1e-4, mean * mean) if quality.cues & SHADING else UNLIT_EXPOSURE
    density = fog_density(world, quality)
    for i in range(height):
        for j in range(width):
            clear = 1.0
            if density != 0.0:
                clear = math.exp(-density * depth[i, j]) if primitive[i, j] >= 0 else world.fog[SKY_FOG]
            for k in range(3):
                image[i, j, k] = tone((linear[i, j, k] * clear) * exposure + world.fog[1 + k] * (1 - clear))
    return image, exposure
