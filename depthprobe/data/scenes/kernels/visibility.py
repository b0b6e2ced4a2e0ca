"""Primary visibility: which primitive each pixel-centre ray meets first, by lists of primitives per tile.

Convention:
    camera: float64 (17,): position 3; unit rows right 3, down 3, forward 3; fx, fy (pixels; pixels per metre if
    orthographic); cx, cy (the centre of the top-left pixel is (0, 0)); 1.0 if orthographic.
    The ray direction has forward component 1, so the ray parameter of a hit is its z-depth.
"""

import numpy as np

from depthprobe.data.scenes.kernels.compiling import allocating, helper, inlined, kernel
from depthprobe.data.scenes.kernels.intersect import hit_primitive
from depthprobe.data.scenes.kernels.vectors import INFINITE, Array, Vector, never_zero, offset_by_two, three

FX, FY, CX, CY, ORTHOGRAPHIC = 12, 13, 14, 15, 16
TILE = 8
_NEAR = 1e-3


@inlined
def camera_ray(camera: Array, x: float, y: float) -> tuple[Vector, Vector]:
    """Origin and direction of the ray through image point (x, y)."""
    a, b = (x - camera[CX]) / camera[FX], (y - camera[CY]) / camera[FY]
    position, right, down, forward = three(camera, 0), three(camera, 3), three(camera, 6), three(camera, 9)
    if camera[ORTHOGRAPHIC] > 0.5:
        origin = (
            position[0] + a * right[0] + b * down[0],
            position[1] + a * right[1] + b * down[1],
            position[2] + a * right[2] + b * down[2],
        )
        return origin, forward
    return position, offset_by_two(forward, right, a, down, b)


@helper
def _view_corners(camera: Array, centre: Array, axes: Array, corners: Array) -> None:
    """The eight corners of a primitive's oriented box in camera coordinates (right, down, forward)."""
    for c in range(8):
        sx = -1.0 if c & 1 else 1.0
        sy = -1.0 if c & 2 else 1.0
        sz = -1.0 if c & 4 else 1.0
        x = centre[0] + sx * axes[0] + sy * axes[1] + sz * axes[2] - camera[0]
        y = centre[1] + sx * axes[3] + sy * axes[4] + sz * axes[5] - camera[1]
        z = centre[2] + sx * axes[6] + sy * axes[7] + sz * axes[8] - camera[2]
        for k in range(3):
            corners[c, k] = camera[3 + 3 * k] * x + camera[4 + 3 * k] * y + camera[5 + 3 * k] * z


@inlined
def _include(bounds: Array, u: float, v: float) -> None:
    bounds[0], bounds[1] = min(bounds[0], u), max(bounds[1], u)
    bounds[2], bounds[3] = min(bounds[2], v), max(bounds[3], v)


@helper
def _project_bounds(corners: Array, orthographic: bool, bounds: Array) -> None:
    """Bounds of the projected box on the plane z = 1 (low u, high u, low v, high v), clipped at the near plane."""
    bounds[0], bounds[1], bounds[2], bounds[3] = 1e30, -1e30, 1e30, -1e30
    for c in range(8):
        x, y, z = corners[c]
        if orthographic:
            _include(bounds, x, y)
        elif z >= _NEAR:
            _include(bounds, x / z, y / z)
            for bit in (1, 2, 4):  # edges to corners behind the near plane
                d = c ^ bit
                if corners[d, 2] < _NEAR:
                    t = (_NEAR - z) / (corners[d, 2] - z)
                    u = (x + t * (corners[d, 0] - x)) / _NEAR
                    _include(bounds, u, (y + t * (corners[d, 1] - y)) / _NEAR)


@allocating
def _tile_ranges(camera: Array, width: int, height: int, centres: Array, axes: Array) -> tuple[Array, Array]:
    """The range of tiles that each primitive may cover (x from, x to, y from, y to; empty: 1, 0), and its least z."""
    count = centres.shape[0]
    ranges, nearest = np.zeros((count, 4), np.int64), np.zeros(count)
    corners, bounds = np.empty((8, 3)), np.empty(4)
    for p in range(count):
        _view_corners(camera, centres[p], axes[p], corners)
        _project_bounds(corners, camera[ORTHOGRAPHIC] > 0.5, bounds)
        nearest[p] = max(corners[:, 2].min(), 0.0)
        x0, x1 = bounds[0] * camera[FX] + camera[CX] - 0.5, bounds[1] * camera[FX] + camera[CX] + 1.5
        y0, y1 = bounds[2] * camera[FY] + camera[CY] - 0.5, bounds[3] * camera[FY] + camera[CY] + 1.5
        if bounds[0] > bounds[1] or x1 < 0 or y1 < 0 or x0 > width or y0 > height:
            ranges[p, 0], ranges[p, 1] = 1, 0
            continue
        ranges[p, 0], ranges[p, 1] = int(max(0.0, x0)) // TILE, int(min(width - 1.0, x1)) // TILE
        ranges[p, 2], ranges[p, 3] = int(max(0.0, y0)) // TILE, int(min(height - 1.0, y1)) // TILE
    return ranges, nearest


@kernel
def build_tiles(camera: Array, width: int, height: int, centres: Array, axes: Array) -> tuple[Array, Array, Array]:
    """For each tile the primitives that may cover it, nearest first.

    Returns:
        starts (tiles + 1,) into members (any,), and the least z-depth of each primitive (n,).
    """
    across, down = (width + TILE - 1) // TILE, (height + TILE - 1) // TILE
    ranges, nearest = _tile_ranges(camera, width, height, centres, axes)
    order = np.argsort(nearest, kind="mergesort")
    starts = np.zeros(across * down + 1, np.int64)
    for p in order:
        if ranges[p, 0] <= ranges[p, 1]:
            for y in range(ranges[p, 2], ranges[p, 3] + 1):
                for x in range(ranges[p, 0], ranges[p, 1] + 1):
                    starts[y * across + x + 1] += 1
    for k in range(across * down):
        starts[k + 1] += starts[k]
    members, cursor = np.empty(max(1, starts[across * down]), np.int64), starts[:-1].copy()
    for p in order:
        if ranges[p, 0] <= ranges[p, 1]:
            for y in range(ranges[p, 2], ranges[p, 3] + 1):
                for x in range(ranges[p, 0], ranges[p, 1] + 1):
                    k = y * across + x
                    members[cursor[k]] = p
                    cursor[k] += 1
    return starts, members, nearest


@helper
def first_hit(
    origin: Vector, direction: Vector, start: int, stop: int, members: Array, nearest: Array, primitives: Array
) -> tuple[float, int, int]:
    """Depth, primitive (-1: none) and face of the first hit among members[start:stop]."""
    direction = never_zero(direction)
    best, best_primitive, best_face = INFINITE, -1, 0
    for q in range(start, stop):
        p = members[q]
        if nearest[p] > best:
            break
        t, face = hit_primitive(primitives, p, origin, direction)
        if t < best:
            best, best_primitive, best_face = t, p, face
    return best, best_primitive, best_face


@kernel
def trace_pixels(
    camera: Array, width: int, height: int, starts: Array, members: Array, nearest: Array, primitives: Array
) -> tuple[Array, Array, Array]:
    """Cast the ray of each pixel centre.

    Returns:
        z-depth float64 (H,W) in metres, inf where nothing is hit; primitive int32 (H,W), -1 there; face int8 (H,W).
    """
    depth = np.full((height, width), np.inf)
    primitive, face = np.full((height, width), -1, np.int32), np.zeros((height, width), np.int8)
    across = (width + TILE - 1) // TILE
    for i in range(height):
        for j in range(width):
            origin, direction = camera_ray(camera, float(j), float(i))
            k = (i // TILE) * across + j // TILE
            t, p, f = first_hit(origin, direction, starts[k], starts[k + 1], members, nearest, primitives)
            if p >= 0:
                depth[i, j], primitive[i, j], face[i, j] = t, p, f
    return depth, primitive, face
