"""Hash noise and footprint filters: the building blocks of the procedural textures."""

import math

from depthprobe.data.scenes.kernels.compiling import helper, inlined


@inlined
def hash_bits(x: int, y: int, z: int, seed: int) -> int:
    """A 32-bit hash of a lattice point; masked to 32 bits at every step, so equal on every platform."""
    h = (x * 374761393 + y * 668265263 + z * 1440662683 + seed * 974634841) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 3266489917) & 0xFFFFFFFF
    return h ^ (h >> 16)


@inlined
def hash_unit(x: int, y: int, z: int, seed: int) -> float:
    """The hash as a number in [0, 1)."""
    return hash_bits(x, y, z, seed) * (1.0 / 4294967296.0)


@inlined
def _smooth(x: float) -> float:
    return x * x * (3 - 2 * x)


@helper
def value_noise_3d(x: float, y: float, z: float, seed: int) -> float:
    """Smoothly interpolated lattice noise in [0, 1]."""
    fx, fy, fz = math.floor(x), math.floor(y), math.floor(z)
    i, j, k = int(fx), int(fy), int(fz)
    x, y, z = _smooth(x - fx), _smooth(y - fy), _smooth(z - fz)
    a, b = hash_unit(i, j, k, seed), hash_unit(i + 1, j, k, seed)
    c, d = hash_unit(i, j + 1, k, seed), hash_unit(i + 1, j + 1, k, seed)
    e, f = hash_unit(i, j, k + 1, seed), hash_unit(i + 1, j, k + 1, seed)
    g, h = hash_unit(i, j + 1, k + 1, seed), hash_unit(i + 1, j + 1, k + 1, seed)
    a += (b - a) * x
    c += (d - c) * x
    e += (f - e) * x
    g += (h - g) * x
    a += (c - a) * y
    e += (g - e) * y
    return a + (e - a) * z


@helper
def value_noise_2d(x: float, y: float, seed: int) -> float:
    """Smoothly interpolated lattice noise in [0, 1]."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx), int(fy)
    x, y = _smooth(x - fx), _smooth(y - fy)
    a, b = hash_unit(i, j, 0, seed), hash_unit(i + 1, j, 0, seed)
    c, d = hash_unit(i, j + 1, 0, seed), hash_unit(i + 1, j + 1, 0, seed)
    a += (b - a) * x
    c += (d - c) * x
    return a + (c - a) * y


@inlined
def fade(footprint: float) -> float:
    """1 while a pattern of period 1 is resolved by pixels of size `footprint`, 0 past the Nyquist limit."""
    if footprint < 0.3:
        return 1.0
    if footprint > 0.9:
        return 0.0
    return (0.9 - footprint) * (1 / 0.6)


@helper
def fractal_2d(x: float, y: float, seed: int, octaves: int, footprint: float) -> float:
    """Fractal noise of zero mean; octaves finer than the footprint fade out instead of aliasing."""
    amplitude, total = 0.5, 0.0
    for octave in range(octaves):
        weight = fade(footprint)
        if weight <= 0.0:
            break
        total += amplitude * weight * (2 * value_noise_2d(x, y, seed + octave) - 1)
        x = x * 2.03 + 17.1
        y = y * 2.03 - 9.7
        amplitude *= 0.55
        footprint *= 2.03
    return total


@helper
def fractal_3d(x: float, y: float, z: float, seed: int, octaves: int, footprint: float) -> float:
    """Solid fractal noise of zero mean, filtered like `fractal_2d`."""
    amplitude, total = 0.5, 0.0
    for octave in range(octaves):
        weight = fade(footprint)
        if weight <= 0.0:
            break
        total += amplitude * weight * (2 * value_noise_3d(x, y, z, seed + octave) - 1)
        x = x * 2.03 + 17.1
        y = y * 2.03 - 9.7
        z = z * 2.03 + 3.3
        amplitude *= 0.55
        footprint *= 2.03
    return total


@helper
def cells(x: float, y: float, seed: int) -> tuple[float, float, int]:
    """Worley noise: distances to the nearest and second nearest cell point, and the hash of the nearest cell."""
    fx, fy = math.floor(x), math.floor(y)
    i, j = int(fx), int(fy)
    nearest, second, nearest_hash = 1e9, 1e9, 0
    for a in range(-1, 2):
        for b in range(-1, 2):
            h = hash_bits(i + a, j + b, 7, seed)
            px = fx + a + (h & 1023) * (1 / 1024.0) - x
            py = fy + b + ((h >> 10) & 1023) * (1 / 1024.0) - y
            d = px * px + py * py
            if d < nearest:
                second, nearest, nearest_hash = nearest, d, h
            elif d < second:
                second = d
    return math.sqrt(nearest), math.sqrt(second), nearest_hash


@inlined
def pulse(x: float, low: float, high: float, footprint: float) -> float:
    """Share of the footprint around x in which frac(x) lies in [low, high]: an anti-aliased stripe of period 1."""
    if footprint > 0.9:
        return high - low
    f = x - math.floor(x)
    half = 0.5 * footprint + 1e-4
    covered = 0.0
    for k in range(-1, 2):
        a = f + k
        overlap = min(high, a + half) - max(low, a - half)
        if overlap > 0:
            covered += overlap
    return min(1.0, covered / (2 * half))
