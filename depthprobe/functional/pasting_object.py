"""An object of a photograph that stands on its ground, and where a copy of it can stand.

No annotation is needed, and none used: what hangs together in depth, rises from the ground, lies inside the image and
ends at its outline is an object. Image by image with numpy and scipy, decided by depth alone, without any draw.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from depthprobe.functional.filters import depth_step
from depthprobe.functional.pasting_ground import Ground, margin, rim
from depthprobe.functional.planes_fit import Bools, Floats

CONSIDERED = (1.0, 0.8, 0.9, 1.1, 1.25)  # relative distances at which a place for the copy is tried
ARMS = {"paste_position": (1, 0), "paste_size": (0, 1), "paste_both": (1, 1)}
"""The powers of the relative distance by which a copy stands farther off, and looks smaller."""
_LOW = 0.06  # camera heights above the ground at which an object begins for certain
_FOOT = 0.2  # camera heights up to which what hangs over the ground is thought to reach down to it
_TALL = 0.15  # camera heights that an object reaches at least
_SHARE = (0.004, 0.15)  # of the image's pixels
_BREAK = 0.04  # ln depth between neighbours, where one thing ends and another begins
_DEEP = 1.6  # farthest by nearest depth of an object
_RING = (2, 5)  # pixels around an object
_HIDDEN, _GOING_ON = 0.1, 0.4  # of the pixels around it: those of something nearer, and those where it does not end
_BRIDGE = 1 / 160  # of the longer side: what is not twice as wide joins no two things
_TRIED = 8  # objects, largest first
_BAND = (0.25, 0.6)  # of the object's height in the image, above its foot: where a copy of any size is read
_INSET = 0.1  # of its width, at either side of every row
LEAST_READ = 24  # pixels

Pixels = tuple[NDArray[np.signedinteger[Any]], ...]
"""Rows and columns."""


class Standing(NamedTuple):
    """An object on the ground, and the column where copies of it are to stand.

    Convention: `mask` (H,W); `foot` = (row, column) of its lowest point, on the ground, `depth` of the ground there;
    `feet`: the pixels in which it meets the ground; `tall`, `wide` in pixels; `column`: of the copies' lowest point.
    """

    mask: Bools
    foot: tuple[int, int]
    depth: float
    feet: Pixels
    tall: int
    wide: int
    column: int

    def lands(self, ground: Ground, distance: float) -> tuple[int, int]:
        """The pixel of the copy's lowest point if it stands `distance` times as far off as the object."""
        return round(ground.row_at(distance * self.depth, self.column)), self.column


def find_object(depth: Floats, valid: Bools, ground: Ground, step: float = 0.0) -> Standing | None:
    """The object whose copies find most places, or None if there is none.

    Convention: as `find_ground`. Of the eight largest things in full view that stand on the ground, the one that can
    be copied in most arms and at most relative distances of CONSIDERED (the larger of two), and the column in which it
    can (the nearest of several); it must be possible at its own distance and at another one in every arm.
    """
    best: tuple[int, Standing] | None = None
    for mask in _things(depth, valid, ground, step):
        standing = _standing(mask, depth, ground)
        if standing is None:
            continue
        count, column = _place(standing, depth, valid, ground)
        if count > (best[0] if best else 0):
            best = count, standing._replace(column=column)
    return best[1] if best else None


def _things(depth: Floats, valid: Bools, ground: Ground, step: float) -> Iterator[Bools]:
    """Connected regions above the ground, in full view, largest first."""
    jump = depth_step(*(torch.from_numpy(x)[None, None] for x in (depth, valid)))[0, 0].numpy()
    above = valid & (ground.elevation > np.maximum(_LOW, step / depth)) & ~ground.leaving
    smooth = above & (jump < np.maximum(_BREAK, 1.5 * step / depth))
    size = 1 + 2 * round(_BRIDGE * max(depth.shape))
    parts, count = ndimage.label(ndimage.binary_opening(smooth, np.ones((size, size))))
    nearest = ndimage.distance_transform_edt(parts == 0, return_distances=False, return_indices=True)
    whose = np.where(smooth, parts[tuple(nearest)], 0)  # what is too thin for a part belongs to the nearest
    sizes = np.bincount(whose.ravel(), minlength=count + 1)[1:]
    tried = 0
    for k in np.argsort(-sizes, kind="stable"):
        if tried == _TRIED or sizes[k] < _SHARE[0] * depth.size:
            return
        pieces, _ = ndimage.label(whose == k + 1)
        whole = np.isin(pieces, np.unique(pieces[parts == k + 1]))
        thing = ndimage.binary_fill_holes(_with_rim(whole, depth) & above) & above
        if _in_full_view(thing, depth, valid, ground):
            tried += 1
            yield thing


def _with_rim(thing: Bools, depth: Floats) -> Bools:
    """A thing with the pixels around it, of as much as was left out at breaks of depth, that have its own depth."""
    away, nearest = ndimage.distance_transform_edt(~thing, return_indices=True)
    rim_of: Bools = (away <= _RING[0]) & (np.abs(np.log(depth / depth[tuple(nearest)])) < 2 * _BREAK)
    return thing | rim_of


def _in_full_view(thing: Bools, depth: Floats, valid: Bools, ground: Ground) -> bool:
    """Whether a thing has the size of an object, lies inside the image, is not hidden and ends at its outline."""
    if thing[rim(thing.shape)].any() or not _SHARE[0] * thing.size <= thing.sum() <= _SHARE[1] * thing.size:
        return False
    near, far = np.quantile(depth[thing], (0.02, 0.98))
    if far > _DEEP * near or np.quantile(ground.elevation[thing], 0.98) < _TALL:
        return False
    away, nearest = ndimage.distance_transform_edt(~thing, return_indices=True)
    ring = (away > _RING[0]) & (away <= _RING[1]) & valid
    step = np.log(depth[ring] / depth[tuple(nearest)][ring])
    raised = ~ground.mask[ring] & (ground.elevation[ring] > _LOW)
    hidden, going_on = raised & (step < -_BREAK), raised & (np.abs(step) <= _BREAK)
    return bool(hidden.mean() <= _HIDDEN and going_on.mean() <= _GOING_ON)


def _standing(thing: Bools, depth: Floats, ground: Ground) -> Standing | None:
    """A thing with its feet down to the ground, or None if it does not stand there."""
    mask, feet = thing.copy(), []
    for x in np.flatnonzero(thing.any(0)):
        bottom = int(np.flatnonzero(thing[:, x])[-1])
        if ground.elevation[bottom, x] < _FOOT:
            low = min(int(ground.row_under(bottom, int(x), float(depth[bottom, x])) + 1e-6), len(depth) - 1)
            mask[bottom : low + 1, x] = True
            feet.append((max(low, bottom), int(x)))
    if not feet or mask[rim(mask.shape)].any():
        return None
    rows, columns = (np.array(one) for one in zip(*feet, strict=True))
    top = int(np.flatnonzero(mask.any(1))[0])
    low = int(rows.max())
    lowest = rows >= low - 0.03 * (low - top)
    foot = (low, round(float(np.median(columns[lowest]))))
    wide = int(mask.any(0).sum())
    found = Standing(mask, foot, ground.depth_at(*foot), (rows, columns), low - top + 1, wide, foot[1])
    stands = np.flatnonzero(mask.any(1))[-1] == low and ground.mask[min(low + 2, len(mask) - 1), columns[lowest]].any()
    return found if stands and body(found, mask, foot, 1.0).sum() >= LEAST_READ else None


def body(standing: Standing, mask: Bools, foot: tuple[int, int], size: float) -> Bools:
    """The part of a copy (H,W) that is read: rows at set heights above its foot, in pixels, its outline left out.

    The same rows whatever its `size` (1: as the object), so that what is read moves with the foot and not with size;
    a tenth of its width is left out at either side, where answers blur into what is behind.
    """
    low, high = (round(foot[0] - share * standing.tall) for share in _BAND)
    inset = max(1, round(_INSET * standing.wide * size))
    inner: Bools = ndimage.binary_erosion(mask, np.ones((1, 2 * inset + 1)))
    inner[: max(0, high)] = False
    inner[max(0, low) :] = False
    return inner


def _place(standing: Standing, depth: Floats, valid: Bools, ground: Ground) -> tuple[int, int]:
    """At how many of the copies considered there is room, and in which column; 0 if that makes no experiment."""
    width = depth.shape[1]
    columns = sorted(range(0, width, max(1, width // 64)), key=lambda x: abs(x - standing.foot[1]))
    room = Room(standing, depth, valid, ground)
    best = (0, standing.column)
    for column in columns:
        if not room.free(column, 1.0, 1.0):
            continue
        counts = [sum(room.free(column, f**at, f**-size) for f in CONSIDERED[1:]) for at, size in ARMS.values()]
        if min(counts) > 0 and sum(counts) > best[0]:
            best = (sum(counts), column)
    return best


class Room:
    """Whether copies of an object find room: inside the image, on the ground, in front of all that they cover."""

    def __init__(self, standing: Standing, depth: Floats, valid: Bools, ground: Ground) -> None:
        self.standing, self.ground = standing, ground
        self.depth, self.seen = depth, valid & ~ground.mask
        self.own = ndimage.binary_dilation(standing.mask, iterations=3)
        self.floor = ndimage.binary_closing(np.pad(ground.mask, 4, mode="edge"), iterations=3)[4:-4, 4:-4]
        self.margin = margin(depth.shape)
        self.outline = np.nonzero(standing.mask)

    def free(self, column: int, distance: float, size: float) -> bool:
        """Whether a copy of `size` finds room in a column at `distance` times the object's."""
        standing = self.standing._replace(column=column)
        foot = standing.lands(self.ground, distance)
        rows, columns = self._moved(self.outline, foot, size)
        low, high = self.margin, [side - 1 - self.margin for side in self.depth.shape]
        if rows.min() < low or columns.min() < low or rows.max() > high[0] or columns.max() > high[1]:
            return False
        if self.own[rows, columns].any():
            return False
        nearer = self.seen[rows, columns] & (self.depth[rows, columns] < 0.97 * distance * standing.depth)
        return bool(nearer.mean() <= 0.02 and self.floor[self._moved(standing.feet, foot, size)].mean() >= 0.8)

    def _moved(self, pixels: Pixels, foot: tuple[int, int], size: float) -> Pixels:
        rows, columns = (
            np.rint(new + (old - own) * size).astype(np.int64)
            for old, own, new in zip(pixels, self.standing.foot, foot, strict=True)
        )
        return rows, columns
