"""Bounding volume hierarchy for shadow and ambient rays: binary, surface-area heuristic, one primitive per leaf.

Convention:
    Node n holds the boxes of its two children: `boxes[n] = left low 3, left high 3, right low 3, right high 3`, and
    `children[n]`: >= 0 an inner node, < 0 the primitive -code - 1.
"""

import numpy as np

from depthprobe.data.scenes.kernels.compiling import allocating, helper, inlined, kernel
from depthprobe.data.scenes.kernels.intersect import FLAGS, NO_SHADOW, hit_primitive
from depthprobe.data.scenes.kernels.vectors import Array, Vector, never_zero

_PADDING = 1e-7
STACK_SIZE = 256


@inlined
def _half_area(low: Array, high: Array) -> float:
    x, y, z = high[0] - low[0], high[1] - low[1], high[2] - low[2]
    return x * y + y * z + z * x


@inlined
def _grow(low: Array, high: Array, lows: Array, highs: Array, p: int) -> None:
    for k in range(3):
        low[k] = min(low[k], lows[p, k])
        high[k] = max(high[k], highs[p, k])


@allocating
def _costs(lows: Array, highs: Array, members: Array, order: Array) -> tuple[float, int]:
    """The cheapest split of the members in this order: its cost and the number of members on the left."""
    count = len(order)
    right = np.empty(count)
    low, high = np.full(3, 1e30), np.full(3, -1e30)
    for q in range(count - 1, 0, -1):
        _grow(low, high, lows, highs, members[order[q]])
        right[q] = _half_area(low, high) * (count - q)
    low[:], high[:] = 1e30, -1e30
    best, left = 1e300, count // 2
    for q in range(count - 1):
        _grow(low, high, lows, highs, members[order[q]])
        cost = _half_area(low, high) * (q + 1) + right[q + 1]
        if cost < best:
            best, left = cost, q + 1
    return best, left


@allocating
def _split(lows: Array, highs: Array, centres: Array, order: Array, start: int, stop: int) -> int:
    """Sort order[start:stop] along its best axis; returns how many go left."""
    members = order[start:stop].copy()
    count = stop - start
    best, best_axis, left = 1e300, 0, count // 2
    key = np.empty(count)
    for axis in range(3):
        for q in range(count):
            key[q] = centres[members[q], axis]
        cost, split = _costs(lows, highs, members, np.argsort(key, kind="mergesort"))
        if cost < best:
            best, best_axis, left = cost, axis, split
    for q in range(count):
        key[q] = centres[members[q], best_axis]
    sequence = np.argsort(key, kind="mergesort")
    for q in range(count):
        order[start + q] = members[sequence[q]]
    return left


@helper
def _write_bounds(box: Array, lows: Array, highs: Array, members: Array) -> None:
    for k in range(3):
        low, high = 1e30, -1e30
        for p in members:
            low, high = min(low, lows[p, k]), max(high, highs[p, k])
        box[k], box[3 + k] = low - _PADDING, high + _PADDING


@kernel
def build_bvh(lows: Array, highs: Array) -> tuple[Array, Array]:
    """Build the hierarchy over the bounds of n primitives, (n,3) each; returns boxes and children."""
    count = lows.shape[0]
    boxes = np.full((max(1, count - 1), 12), 1e30)
    children = np.full((max(1, count - 1), 2), -1, np.int64)
    boxes[0, 3:6] = -1e30
    boxes[0, 9:12] = -1e30
    order = np.arange(count)
    centres = 0.5 * (lows + highs)
    if count == 1:
        _write_bounds(boxes[0, 0:6], lows, highs, order)
        return boxes, children
    todo = np.zeros((128, 4), np.int64)  # side, start, stop, parent
    todo[0, 2], todo[0, 3] = count, -1
    depth, nodes = 1, 0
    while depth > 0:
        depth -= 1
        side, start, stop, parent = todo[depth]
        if stop - start == 1:
            code = -order[start] - 1
        else:
            code = nodes
            nodes += 1
        if parent >= 0:
            children[parent, side] = code
            _write_bounds(boxes[parent, side * 6 : side * 6 + 6], lows, highs, order[start:stop])
        if stop - start == 1:
            continue
        middle = start + _split(lows, highs, centres, order, start, stop)
        todo[depth, 0], todo[depth, 1], todo[depth, 2], todo[depth, 3] = 0, start, middle, code
        todo[depth + 1, 0], todo[depth + 1, 1], todo[depth + 1, 2], todo[depth + 1, 3] = 1, middle, stop, code
        depth += 2
    return boxes, children


@inlined
def _reaches(boxes: Array, n: int, o: int, origin: Vector, inverse: Vector, limit: float) -> bool:
    """Whether the ray meets the child box at column o of node n before `limit`."""
    a, b = (boxes[n, o] - origin[0]) * inverse[0], (boxes[n, o + 3] - origin[0]) * inverse[0]
    enter, leave = min(a, b), max(a, b)
    a, b = (boxes[n, o + 1] - origin[1]) * inverse[1], (boxes[n, o + 4] - origin[1]) * inverse[1]
    enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    a, b = (boxes[n, o + 2] - origin[2]) * inverse[2], (boxes[n, o + 5] - origin[2]) * inverse[2]
    enter, leave = max(enter, min(a, b)), min(leave, max(a, b))
    return not (leave < enter or leave < 0 or enter > limit)


@helper
def occluded(
    boxes: Array,
    children: Array,
    primitives: Array,
    stack: Array,
    last: Array,
    slot: int,
    origin: Vector,
    direction: Vector,
    limit: float,
) -> bool:
    """Whether anything that casts shadows is hit before `limit`; `last[slot]` remembers the previous occluder."""
    direction = never_zero(direction)
    p = last[slot]
    if p >= 0 and hit_primitive(primitives, p, origin, direction)[0] < limit:
        return True
    inverse = (1.0 / direction[0], 1.0 / direction[1], 1.0 / direction[2])
    stack[0] = 0
    depth = 1
    while depth > 0:
        depth -= 1
        n = stack[depth]
        for c in range(2):
            if not _reaches(boxes, n, 6 * c, origin, inverse, limit):
                continue
            code = children[n, c]
            if code >= 0:
                stack[depth] = code
                depth += 1
                continue
            p = -code - 1
            if int(primitives[p, FLAGS]) & NO_SHADOW:
                continue
            if hit_primitive(primitives, p, origin, direction)[0] < limit:
                last[slot] = p
                return True
    return False
