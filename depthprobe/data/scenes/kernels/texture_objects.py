"""Procedural textures, second part: patterns that draw a thing (books, pictures, facades, roads ...)."""

import math

from depthprobe.data.scenes.kernels.compiling import helper, inlined
from depthprobe.data.scenes.kernels.noise import cells, fade, fractal_2d, hash_unit, pulse
from depthprobe.data.scenes.kernels.texture_basics import (
    AUX,
    CONTRAST,
    GRAIN,
    SCALE,
    SEED,
    SurfacePoint,
    mix,
    unit_clip,
)
from depthprobe.data.scenes.kernels.vectors import Array, Vector


@helper
def books(m: Array, s: SurfacePoint) -> Vector:
    """A row of book spines of different height; above them it is dark."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    v, half_v = s[1], s[7]
    column = s[0] * scale
    pair = math.floor(column)
    visible = fade(s[5] * scale)
    split, a = 0.3 + 0.4 * hash_unit(pair, 1, 0, seed), column - pair
    book = pair * 2 + (1 if a > split else 0)
    r = 0.15 + 0.75 * hash_unit(book, 2, 0, seed)
    g = 0.15 + 0.7 * hash_unit(book, 3, 0, seed)
    b = 0.15 + 0.6 * hash_unit(book, 4, 0, seed)
    top = half_v * (0.9 - 0.5 * hash_unit(book, 5, 0, seed))
    edge = min(1.0, 12 * min(min(abs(a - split), a), 1 - a))
    band = 1.0
    if abs(v - top * (0.6 - 0.9 * hash_unit(book, 6, 0, seed))) < 0.012:
        band = 1.8
    if v > top:
        r, g, b, band = 0.05, 0.04, 0.035, 1.0
    light = (0.4 + 0.6 * edge) * band
    hidden = 1 - visible
    return r * light * visible + 0.3 * hidden, g * light * visible + 0.27 * hidden, b * light * visible + 0.24 * hidden


@helper
def picture(m: Array, s: SurfacePoint) -> Vector:
    """An abstract painting in a frame (C) of width aux."""
    u, v, half_u, half_v = s[0], s[1], s[6], s[7]
    if abs(u) > half_u - m[AUX] or abs(v) > half_v - m[AUX]:
        return m[10], m[11], m[12]
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    bend = 0.8 * fractal_2d(u * scale, v * scale, seed, 3, s[5] * scale)
    _, _, cell = cells(u * scale + bend, v * scale, seed)
    t = v / (half_v + 1e-6) * 0.5 + 0.5
    r = m[4] * t + m[7] * (1 - t)
    g = m[5] * t + m[8] * (1 - t)
    b = m[6] * t + m[9] * (1 - t)
    q = 0.75
    return (
        r * (1 - q) + q * (cell & 255) / 255.0,
        g * (1 - q) + q * (cell >> 8 & 255) / 255.0,
        b * (1 - q) + q * (cell >> 16 & 255) / 255.0,
    )


@helper
def pane(m: Array, s: SurfacePoint) -> Vector:
    """The bright, blurred outdoors behind a window."""
    seed, u, v, foot = int(m[SEED]), s[0], s[1], s[5]
    horizon = -0.25 + 0.35 * fractal_2d(u * 1.5, 3.1, seed, 4, foot) + 0.2 * (hash_unit(seed, 1, 1, 1) - 0.5)
    t = v / (s[7] + 1e-6)
    if t > horizon:
        q = min(1.0, (t - horizon) * 0.8)
        return 0.85 - 0.45 * q, 0.9 - 0.25 * q, 0.95
    q = 0.5 + fractal_2d(u * 4, v * 4, seed + 4, 3, foot * 4)
    return 0.12 + 0.2 * q, 0.22 + 0.22 * q, 0.08 + 0.12 * q


@inlined
def _courses(u: float, v: float, foot: float) -> float:
    """Fine brick courses of a facade."""
    shift = 0.5 * (math.floor(v * 4) & 1)
    return 1 - 0.35 * (1 - pulse(v * 4, 0.08, 0.92, foot * 4) * pulse(u * 2 + shift, 0.04, 0.96, foot * 2))


@helper
def facade(m: Array, s: SurfacePoint) -> Vector:
    """Storeys of windows with frames and sills (C); contrast > 0.5 adds brick courses."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, w = s[0], s[1], s[5]
    foot = w * scale
    pu, pv = u * scale, v / 3.0 * m[AUX]
    i, j = math.floor(pu), math.floor(pv)
    window = pulse(pu, 0.22, 0.78, foot) * pulse(pv, 0.28, 0.8, w / 3.0)
    bar = pulse(pu, 0.485, 0.515, foot)
    lit = hash_unit(i, j, 1, seed)
    dark = 0.06 + 0.3 * lit * lit
    if lit > 0.75 and pv - j < 0.5:
        dark = 0.5
    gain = 1 + 0.25 * fractal_2d(u * 1.5, v * 1.5, seed, 4, w * 1.5)
    courses = _courses(u, v, w) if m[CONTRAST] > 0.5 else 1.0
    sill = pulse(pv, 0.22, 0.28, w / 3.0) * pulse(pu, 0.17, 0.83, foot)
    frame = max(sill, window * bar)
    q = window * (1 - bar)
    r = m[4] * gain * courses * (1 - frame) + m[10] * frame
    g = m[5] * gain * courses * (1 - frame) + m[11] * frame
    b = m[6] * gain * courses * (1 - frame) + m[12] * frame
    return r * (1 - q) + q * dark * 0.9, g * (1 - q) + q * dark, b * (1 - q) + q * dark * 1.15


@helper
def road(m: Array, s: SurfacePoint) -> Vector:
    """Asphalt with lane marks (B); u runs across, v along; scale = lane width, aux = half width of the road."""
    seed, u, v, w = int(m[SEED]), s[0], s[1], s[5]
    patches = 0.35 * fractal_2d(u * 0.5, v * 0.2, seed + 8, 3, w * 0.5)
    gain = 1 + 0.5 * fractal_2d(u * 7, v * 7, seed, 3, w * 7) + patches
    half_width, soft = m[AUX], 0.5 * w + 0.01
    paint = max(0.0, min(1.0, (0.07 - abs(abs(u) - (half_width - 0.25))) / soft + 0.5))
    lanes = u * (1.0 / m[SCALE])
    off_line = abs(lanes - round(lanes)) * m[SCALE]
    if abs(u) < half_width - 0.6:
        dashes = pulse(v * (1 / 9.0), 0.0, 0.35, w / 9.0)
        paint = max(paint, max(0.0, min(1.0, (0.07 - off_line) / soft + 0.5)) * dashes)
    return mix(m, paint, 0.0, gain)


@helper
def grass(m: Array, s: SurfacePoint) -> Vector:
    """Fine and coarse noise between A, B and C (grass, leaves, hills)."""
    scale, seed = 1.0 / m[SCALE], int(m[SEED])
    u, v, foot = s[0], s[1], s[5] * scale
    fine = fractal_2d(u * scale, v * scale, seed, 5, foot)
    coarse = fractal_2d(u * scale * 0.07, v * scale * 0.07, seed + 30, 3, foot * 0.07)
    k = unit_clip(0.5 + fine + coarse)
    return mix(m, k, min(0.8, max(0.0, coarse * 1.5)) * (1 - k), 1 + 0.4 * fine)


@helper
def panel(m: Array, s: SurfacePoint) -> Vector:
    """Cabinet fronts and doors: inset panels with knobs (B), wood grain where the material has it."""
    scale, u, v, half_u, half_v = 1.0 / m[SCALE], s[0], s[1], s[6], s[7]
    columns = max(1.0, math.floor(2 * half_u * scale + 0.5))
    rows = max(1.0, math.floor(2 * half_v * scale * m[AUX] + 0.5))
    pu = (u + half_u) / (2 * half_u + 1e-6) * columns
    pv = (v + half_v) / (2 * half_v + 1e-6) * rows
    du, dv = pu - math.floor(pu), pv - math.floor(pv)
    width, height = 2 * half_u / columns, 2 * half_v / rows
    inset = min(min(du, 1 - du) * width, min(dv, 1 - dv) * height)
    gain, knob = 1.0, 0.0
    if inset < 0.008:
        gain = 0.35
    elif inset > 0.06 and inset < 0.072:
        gain = 0.7
    elif inset > 0.072:
        gain = 1.06
    ku, kv = (du - 0.88) * width, (dv - 0.5) * height
    if ku * ku + kv * kv < 0.0004:
        knob, gain = 1.0, 1.0
    grain = fractal_2d(u * 4, v * 40, int(m[SEED]), 3, s[5] * 40) if m[GRAIN] > 0 else 0.0
    return mix(m, knob, 0.0, gain * (1 + m[CONTRAST] * grain))
