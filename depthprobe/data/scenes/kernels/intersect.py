"""Ray against one primitive: unit box, unit ellipsoid, unit capped frustum, each under its own affine map."""

import math

from depthprobe.data.scenes.kernels.compiling import inlined
from depthprobe.data.scenes.kernels.vectors import INFINITE, Array, Vector

BOX, ELLIPSOID, FRUSTUM = 0, 1, 2
# columns of the primitive table; 0-11 is the 3x4 map from the world to the unit primitive
SHAPE, TAPER, FLAGS = 12, 13, 14
NO_SHADOW, WORLD_TEXTURE, SWAP_TEXTURE = 1, 2, 4  # bits of FLAGS
# face codes: 0-5 = low x, high x, low y, high y, low z, high z (flat); 8 = curved
CURVED = 8
FLAT_FACES = 6
_EPSILON = 1e-9


@inlined
def to_local(primitives: Array, p: int, x: float, y: float, z: float) -> Vector:
    """A world point in the coordinates of unit primitive p."""
    return (
        primitives[p, 0] * x + primitives[p, 1] * y + primitives[p, 2] * z + primitives[p, 3],
        primitives[p, 4] * x + primitives[p, 5] * y + primitives[p, 6] * z + primitives[p, 7],
        primitives[p, 8] * x + primitives[p, 9] * y + primitives[p, 10] * z + primitives[p, 11],
    )


@inlined
def _to_local_direction(primitives: Array, p: int, d: Vector) -> Vector:
    return (
        primitives[p, 0] * d[0] + primitives[p, 1] * d[1] + primitives[p, 2] * d[2],
        primitives[p, 4] * d[0] + primitives[p, 5] * d[1] + primitives[p, 6] * d[2],
        primitives[p, 8] * d[0] + primitives[p, 9] * d[1] + primitives[p, 10] * d[2],
    )


@inlined
def _slab(o: float, d: float) -> tuple[float, float, int]:
    """Where the ray enters and leaves -1..1 on one axis, and 1 if it runs towards the low side."""
    inverse = 1.0 / d
    a = (-1 - o) * inverse
    b = (1 - o) * inverse
    if a > b:
        return b, a, 1
    return a, b, 0


@inlined
def _hit_box(o: Vector, d: Vector) -> tuple[float, int]:
    enter, leave, flipped = _slab(o[0], d[0])
    enter_face, leave_face = flipped, 1 - flipped
    a, b, flipped = _slab(o[1], d[1])
    if a > enter:
        enter, enter_face = a, 2 + flipped
    if b < leave:
        leave, leave_face = b, 3 - flipped
    a, b, flipped = _slab(o[2], d[2])
    if a > enter:
        enter, enter_face = a, 4 + flipped
    if b < leave:
        leave, leave_face = b, 5 - flipped
    if enter > leave or leave <= _EPSILON:
        return INFINITE, 0
    if enter > _EPSILON:
        return enter, enter_face
    return leave, leave_face


@inlined
def _hit_ellipsoid(o: Vector, d: Vector) -> tuple[float, int]:
    a = d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
    b = o[0] * d[0] + o[1] * d[1] + o[2] * d[2]
    c = o[0] * o[0] + o[1] * o[1] + o[2] * o[2] - 1
    discriminant = b * b - a * c
    if discriminant < 0:
        return INFINITE, 0
    root = math.sqrt(discriminant)
    t = (-b - root) / a
    if t > _EPSILON:
        return t, CURVED
    t = (-b + root) / a
    if t > _EPSILON:
        return t, CURVED
    return INFINITE, 0


@inlined
def _hit_mantle(taper: float, o: Vector, d: Vector) -> float:
    """The nearest hit with the curved side of a frustum whose radius runs from 1 (z=-1) to `taper` (z=1)."""
    middle, slope = 0.5 * (1 + taper), 0.5 * (taper - 1)
    q, p = middle + slope * o[2], slope * d[2]
    a = d[0] * d[0] + d[1] * d[1] - p * p
    b = o[0] * d[0] + o[1] * d[1] - q * p
    c = o[0] * o[0] + o[1] * o[1] - q * q
    best = INFINITE
    if abs(a) > 1e-14:
        discriminant = b * b - a * c
        if discriminant >= 0:
            root = math.sqrt(discriminant)
            for sign in (-1.0, 1.0):
                t = (-b + sign * root) / a
                if t > _EPSILON and t < best:
                    z = o[2] + t * d[2]
                    if z >= -1 and z <= 1 and middle + slope * z >= 0:
                        best = t
    return best


@inlined
def _hit_frustum(taper: float, o: Vector, d: Vector) -> tuple[float, int]:
    best, face = _hit_mantle(taper, o, d), CURVED
    if d[2] != 0.0:
        for cap in (-1.0, 1.0):
            t = (cap - o[2]) / d[2]
            if t > _EPSILON and t < best:
                x, y = o[0] + t * d[0], o[1] + t * d[1]
                radius = 0.5 * (1 + taper) + 0.5 * (taper - 1) * cap
                if x * x + y * y <= radius * radius:
                    best, face = t, 4 if cap < 0 else 5
    return best, face


@inlined
def hit_primitive(primitives: Array, p: int, origin: Vector, direction: Vector) -> tuple[float, int]:
    """The nearest hit of a world ray with primitive p: ray parameter (INFINITE: none) and face code."""
    o = to_local(primitives, p, origin[0], origin[1], origin[2])
    d = _to_local_direction(primitives, p, direction)
    shape = int(primitives[p, SHAPE])
    if shape == BOX:
        return _hit_box(o, d)
    if shape == ELLIPSOID:
        return _hit_ellipsoid(o, d)
    return _hit_frustum(primitives[p, TAPER], o, d)
