"""What lies at a hit: normal, texture coordinates, reflectance."""

import math

from depthprobe.data.scenes.kernels.compiling import helper, inlined
from depthprobe.data.scenes.kernels.intersect import (
    CURVED,
    ELLIPSOID,
    FLAGS,
    FRUSTUM,
    SHAPE,
    SWAP_TEXTURE,
    TAPER,
    WORLD_TEXTURE,
    to_local,
)
from depthprobe.data.scenes.kernels.texture_basics import SurfacePoint
from depthprobe.data.scenes.kernels.vectors import Array, Vector

TextureFrame = tuple[float, float, float, float, float, float, float]


@inlined
def _to_world_normal(primitives: Array, p: int, a: float, b: float, c: float) -> Vector:
    x = primitives[p, 0] * a + primitives[p, 4] * b + primitives[p, 8] * c
    y = primitives[p, 1] * a + primitives[p, 5] * b + primitives[p, 9] * c
    z = primitives[p, 2] * a + primitives[p, 6] * b + primitives[p, 10] * c
    inverse = 1.0 / math.sqrt(x * x + y * y + z * z)
    return x * inverse, y * inverse, z * inverse


@inlined
def _normal(primitives: Array, p: int, face: int, local: Vector) -> Vector:
    """The outward unit normal in world coordinates."""
    if face < 2:
        return _to_world_normal(primitives, p, -1.0 + 2 * face, 0.0, 0.0)
    if face < 4:
        return _to_world_normal(primitives, p, 0.0, -1.0 + 2 * (face - 2), 0.0)
    if face < 6:
        return _to_world_normal(primitives, p, 0.0, 0.0, -1.0 + 2 * (face - 4))
    if int(primitives[p, SHAPE]) == FRUSTUM:
        taper = primitives[p, TAPER]
        radius = 0.5 * (1 + taper) + 0.5 * (taper - 1) * local[2]
        return _to_world_normal(primitives, p, local[0], local[1], -radius * 0.5 * (taper - 1))
    return _to_world_normal(primitives, p, local[0], local[1], local[2])


@inlined
def _flat_frame(face: int, solid: Vector, half: Vector) -> tuple[float, float, float, float]:
    """Surface coordinates u, v and the half extents of the face, in metres."""
    if face < 2:
        return solid[1], solid[2], half[1], half[2]
    if face < 4:
        return solid[0], solid[2], half[0], half[2]
    return solid[0], solid[1], half[0], half[1]


@inlined
def with_footprint(frame: TextureFrame, footprint: float) -> SurfacePoint:
    """The texture frame of a point together with the size of a pixel there (metres)."""
    return frame[0], frame[1], frame[2], frame[3], frame[4], footprint, frame[5], frame[6]


@helper
def surface_at(primitives: Array, halves: Array, p: int, face: int, point: Vector) -> tuple[Vector, TextureFrame]:
    """Outward unit normal, and u, v, solid x, y, z, half u, half v (metres), of a world point on primitive p."""
    local = to_local(primitives, p, point[0], point[1], point[2])
    flags = int(primitives[p, FLAGS])
    size = (halves[p, 0], halves[p, 1], halves[p, 2])
    normal = _normal(primitives, p, face, local)
    if flags & WORLD_TEXTURE:
        solid, half = point, (1e3, 1e3, 1e3)
    else:
        solid, half = (local[0] * size[0], local[1] * size[1], local[2] * size[2]), size
    if face == CURVED:
        u, v, half_u, half_v = math.atan2(local[1], local[0]) * size[0], solid[2], math.pi * size[0], size[2]
        if int(primitives[p, SHAPE]) == ELLIPSOID:
            v = math.asin(max(-1.0, min(1.0, local[2]))) * size[2]
    else:
        u, v, half_u, half_v = _flat_frame(face, solid, half)
    if flags & SWAP_TEXTURE:
        u, v, half_u, half_v = v, u, half_v, half_u
    return normal, (u, v, solid[0], solid[1], solid[2], half_u, half_v)
