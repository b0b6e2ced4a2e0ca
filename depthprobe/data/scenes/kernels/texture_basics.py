"""Procedural textures, first part: patterns that mix the three colours of a material.

Convention:
    A texture is a function of one material row `m` and one surface point `s = (u, v, x, y, z, footprint, half_u,
    half_v)`: metric surface coordinates, metric solid coordinates, the size of a pixel on the surface and the half
    extents of the face, all in metres. It returns linear RGB. Patterns finer than the footprint fade to their mean.
"""

import math

from depthprobe.data.scenes.kernels.compiling import helper, inlined
from depthprobe.data.scenes.kernels.noise import cells, fade, fractal_2d, fractal_3d, hash_unit, pulse, value_noise_3d
from depthprobe.data.scenes.kernels.vectors import Array, Vector

# columns of a material row: three colours, gloss, emission (times albedo), strength of the pattern, mean colour
PATTERN, SEED, SCALE, AUX, COLOUR_A, COLOUR_B, COLOUR_C = 0, 1, 2, 3, 4, 7, 10
SPECULAR, SHININESS, EMISSION, CONTRAST, GRAIN, MEAN = 13, 14, 15, 16, 17, 18

SurfacePoint = tuple[float, float, float, float, float, float, float, float]


@inlined
def mix(m: Array, weight_b: float, weight_c: float, gain: float) -> Vector:
    """Colour A moved towards B and C by their weights, times a gain of at least 0.05."""
    r = m[4] + weight_b * (m[7] - m[4]) + weight_c * (m[10] - m[4])
    g = m[5] + weight_b * (m[8] - m[5]) + weight_c * (m[11] - m[5])
    b = m[6] + weight_b * (m[9] - m[6]) + weight_c * (m[12] - m[6])
    if gain < 0.05:
        gain = 0.05
    return r * gain, g * gain, b * gain


@inlined
def unit_clip(x: float) -> float:
    """Clip to [0, 1]."""
    return min(1.0, max(0.0, x))


@helper
def solid(m: Array, s: SurfacePoint) -> Vector:
    """One colour with faint blotches."""
    scale = 1.0 / m[SCALE]
    blotches = fractal_3d(s[2] * scale, s[3] * scale, s[4] * scale, int(m[SEED]), 4, s[5] * scale)
    return mix(m, 0.0, 0.0, 1 + m[CONTRAST] * blotches)


@helper
def checker(m: Array, s: SurfacePoint) -> Vector:
    """Checkerboard of period 2 * scale."""
    scale = 1.0 / m[SCALE]
    u, v, foot = s[0], s[1], s[5] * scale
    a = pulse(u * scale * 0.5, 0.0, 0.5, foot * 0.5)
    b = pulse(v * scale * 0.5, 0.0, 0.5, foot * 0.5)
    gain = 1 + 0.25 * fractal_2d(u * scale * 3, v * scale * 3, int(m[SEED]), 3, foot * 3)
    return mix(m, a * (1 - b) + b * (1 - a), 0.0, gain)


@helper
def brick(m: Array, s: SurfacePoint) -> Vector:
    """Brick courses with mortar (B) and bricks between A and C."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    course = v * scale * 2.6
    row = math.floor(course)
    column = u * scale + 0.5 * (row & 1)
    mortar = 1 - pulse(column, 0.03, 0.97, foot) * pulse(course, 0.07, 0.93, foot * 2.6)
    visible = fade(foot * 1.5)
    tint = (0.5 + visible * (hash_unit(math.floor(column), row, 1, seed) - 0.5)) * (1 - mortar)
    gain = 1 + 0.35 * fractal_2d(u * scale * 5, v * scale * 5, seed + 3, 3, foot * 5)
    return mix(m, mortar, tint, gain)


@helper
def plank(m: Array, s: SurfacePoint) -> Vector:
    """Boards with grain, each board of its own tone."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    across = v * scale
    row = math.floor(across)
    lengthwise = u * scale * (1 / 7.0) + hash_unit(row, 5, 0, seed) * 3.7
    board = math.floor(lengthwise)
    visible = fade(foot)
    shift = 40 * hash_unit(row, board, 2, seed)
    grain = fractal_2d(u * scale * 1.3 + shift, v * scale * 14, seed + 9, 4, foot * 9)
    tone = visible * (hash_unit(row, board, 3, seed) - 0.5) * 0.8
    gaps = pulse(across, 0.02, 0.98, foot) * pulse(lengthwise, 0.003, 0.997, foot * (1 / 7.0))
    return mix(m, unit_clip(0.5 + tone + m[CONTRAST] * grain), 0.0, 0.45 + 0.55 * gaps)


@helper
def marble(m: Array, s: SurfacePoint) -> Vector:
    """Veins (B) in clouded stone (A to C)."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    x, y, z, foot = s[2], s[3], s[4], s[5] * scale
    cloud = fractal_3d(x * scale, y * scale, z * scale, seed, 5, foot)
    bent = value_noise_3d(x * scale * 1.3 + 3 * cloud, y * scale * 1.3 + 2 * cloud, z * scale * 1.3, seed + 20)
    vein = max(0.0, 1 - abs(bent * 2 - 1) * 5) * fade(foot * 2)
    return mix(m, vein, min(0.6, max(0.0, 0.3 + cloud)) * (1 - vein), 1.0)


@helper
def tile(m: Array, s: SurfacePoint) -> Vector:
    """Square tiles with joints (B)."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    joint = 1 - pulse(u * scale, 0.025, 0.975, foot) * pulse(v * scale, 0.025, 0.975, foot)
    own = hash_unit(math.floor(u * scale), math.floor(v * scale), 1, seed) - 0.5
    tint = (0.5 + fade(foot) * own) * m[CONTRAST] * (1 - joint)
    gain = 1 + 0.2 * fractal_2d(u * scale * 4, v * scale * 4, seed, 3, foot * 4)
    return mix(m, joint, tint, gain)


@helper
def stripe(m: Array, s: SurfacePoint) -> Vector:
    """Broad stripes (B) with a thin companion (C)."""
    scale = 1.0 / m[SCALE]
    u, v, foot = s[0], s[1], s[5] * scale
    broad = pulse(u * scale, 0.0, 0.35 + 0.3 * m[AUX], foot)
    thin = pulse(u * scale, 0.75, 0.82, foot) * (1 - broad)
    gain = 1 + 0.12 * fractal_2d(u * scale * 6, v * scale * 6, int(m[SEED]), 3, foot * 6)
    return mix(m, broad, thin, gain)


@helper
def voronoi(m: Array, s: SurfacePoint) -> Vector:
    """Crazy paving: cells between A and C, joints (B)."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    nearest, second, cell = cells(u * scale, v * scale, seed)
    visible = fade(foot * 1.4)
    joint = max(0.0, 1 - (second - nearest) / (0.09 + foot)) * visible * m[AUX]
    tint = (0.5 + visible * ((cell >> 20 & 255) / 255.0 - 0.5)) * (1 - joint)
    gain = 1 + 0.3 * fractal_2d(u * scale * 4, v * scale * 4, seed + 5, 3, foot * 4)
    return mix(m, joint, tint, gain)


@helper
def fractal(m: Array, s: SurfacePoint) -> Vector:
    """Solid fractal noise between A and B (plaster, carpet, cloth)."""
    scale = 1.0 / m[SCALE]
    noise = fractal_3d(s[2] * scale, s[3] * scale, s[4] * scale, int(m[SEED]), 5, s[5] * scale)
    return mix(m, unit_clip(0.5 + m[CONTRAST] * 1.6 * noise), 0.0, 1.0)


@helper
def dots(m: Array, s: SurfacePoint) -> Vector:
    """Staggered dots (B)."""
    scale = 1.0 / m[SCALE]
    foot = s[5] * scale
    du = s[0] * scale
    dv = s[1] * scale + 0.5 * (math.floor(du) & 1)
    a, b = du - math.floor(du) - 0.5, dv - math.floor(dv) - 0.5
    inside = unit_clip((0.3 - math.sqrt(a * a + b * b)) / max(0.02, foot) + 0.5)
    visible = fade(foot)
    return mix(m, inside * visible + 0.28 * (1 - visible), 0.0, 1.0)


@helper
def parquet(m: Array, s: SurfacePoint) -> Vector:
    """Basket-weave parquet of four staves a square."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    foot = s[5] * scale
    bu, bv = s[0] * scale, s[1] * scale
    i, j = math.floor(bu), math.floor(bv)
    a, b = bu - i, bv - j
    if (i + j) & 1:
        a, b = b, a
    stave = math.floor(a * 4)
    tone = fade(foot * 2) * 0.9 * (hash_unit(i * 4 + stave, j, 2, seed) - 0.5)
    grain = fractal_2d(a * 20 + i * 7, b * 2 + j * 5, seed, 2, foot * 10)
    gain = 0.6 + 0.4 * pulse(a * 4, 0.04, 0.96, foot * 4) * pulse(b, 0.015, 0.985, foot)
    return mix(m, unit_clip(0.5 + tone + 0.5 * grain), 0.0, gain)


@helper
def plaid(m: Array, s: SurfacePoint) -> Vector:
    """Crossed bands (B) and thin lines (C)."""
    scale = 1.0 / m[SCALE]
    u, v, foot = s[0], s[1], s[5] * scale
    bands = 0.5 * (pulse(u * scale, 0.0, 0.3, foot) + pulse(v * scale, 0.0, 0.3, foot))
    lines = pulse(u * scale, 0.6, 0.65, foot) + pulse(v * scale, 0.6, 0.65, foot)
    gain = 1 + 0.2 * fractal_2d(u * scale * 20, v * scale * 20, int(m[SEED]), 2, foot * 20)
    return mix(m, bands, lines * 0.4 * (1 - bands), gain)


@helper
def speckle(m: Array, s: SurfacePoint) -> Vector:
    """Terrazzo: chips of B and C in A."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    nearest, _, cell = cells(u * scale, v * scale, seed)
    chip_b, chip_c = 0.0, 0.0
    if nearest < 0.12 + 0.25 * ((cell >> 12 & 255) / 255.0):
        chip_b = fade(foot) * (1.0 if (cell >> 4 & 1) else 0.0)
        chip_c = fade(foot) * (1 - chip_b)
    return mix(m, chip_b, chip_c, 1 + 0.1 * fractal_2d(u * scale, v * scale, seed, 2, foot))
