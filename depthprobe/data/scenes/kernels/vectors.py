"""Three-vectors as tuples; the order of every sum is fixed, because the data set's bytes depend on it."""

import math
from typing import Any

import numpy.typing as npt

from depthprobe.data.scenes.kernels.compiling import inlined

Vector = tuple[float, float, float]
Array = npt.NDArray[Any]

INFINITE = 1e30  # "no hit": larger than any distance in a scene


@inlined
def dot(a: Vector, b: Vector) -> float:
    """Inner product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@inlined
def along(origin: Vector, t: float, direction: Vector) -> Vector:
    """The point origin + t * direction."""
    return origin[0] + t * direction[0], origin[1] + t * direction[1], origin[2] + t * direction[2]


@inlined
def scaled(a: Vector, k: float) -> Vector:
    """Each component times k."""
    return a[0] * k, a[1] * k, a[2] * k


@inlined
def offset_by_two(base: Vector, a: Vector, u: float, b: Vector, v: float) -> Vector:
    """The point base + a * u + b * v."""
    return base[0] + a[0] * u + b[0] * v, base[1] + a[1] * u + b[1] * v, base[2] + a[2] * u + b[2] * v


@inlined
def three(array: Array, start: int) -> Vector:
    """Three consecutive entries of a row."""
    return array[start], array[start + 1], array[start + 2]


@inlined
def never_zero(direction: Vector) -> Vector:
    """The direction with components of (almost) 0 replaced by 1e-12, so that slab tests can divide."""
    x, y, z = direction
    if abs(x) < 1e-12:
        x = 1e-12
    if abs(y) < 1e-12:
        y = 1e-12
    if abs(z) < 1e-12:
        z = 1e-12
    return x, y, z


@inlined
def tangents(normal: Vector) -> tuple[Vector, Vector]:
    """Two unit vectors that complete a unit normal to an orthonormal basis (Duff et al. 2017)."""
    x, y, z = normal
    sign = 1.0 if z >= 0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    return (1 + sign * x * x * a, sign * b, -sign * x), (b, sign + y * y * a, -y)


@inlined
def length(a: Vector) -> float:
    """Euclidean length."""
    return math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])
