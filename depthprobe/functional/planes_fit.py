"""Planes found in a depth map, for data sets that do not say which pixels lie on one.

With a pinhole camera 1 / depth is affine in the pixel coordinates on any plane, so that no intrinsics are needed. The
planes are grown from small cells, best fit first: a cell's plane, the pixels that agree with it and hang together with
the cell, the plane through all of them, twice; what is large enough is taken away, and the next cell follows.
Image by image with numpy and scipy on the CPU. The result is decided by the depth alone, without any draw.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.planes import LEAST_SHARE

CELLS = 16
MOST = 32
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def segment_planes(depth: Tensor, valid: Tensor, *, tolerance: float = 0.01, step: Tensor | None = None) -> Tensor:
    """Plane numbers (B,1,H,W) int32 of the truth, -1 on no plane; at most 32, each of at least 1 % of the pixels.

    Convention: depth (B,1,H,W), metres; valid bool (B,1,H,W). A pixel agrees with a plane if its depth is within
    `tolerance`, as a share of depth (0.01 is 4 cm at 4 m), or within `step` (B,), the truth's own resolution in metres
    (the metric `depth_step`; None: exact). Surfaces bent by less count as planes. Parts of one plane that do not touch
    are separate planes.

    Raises:
        ValueError: on unequal shapes, or a tolerance outside (0, 1].
    """
    check_shapes(depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    check_range("tolerance", tolerance, 0, 1, open_low=True)
    steps = np.zeros(len(depth)) if step is None else step.double().nan_to_num(0.0).cpu().numpy()
    maps = zip(depth[:, 0].double().cpu().numpy(), valid[:, 0].cpu().numpy(), steps, strict=True)
    found = np.stack([_segmented(np.where(v, g, 1.0), v, tolerance, s) for g, v, s in maps])
    return torch.from_numpy(found)[:, None].to(depth.device)


def _segmented(depth: Floats, valid: Bools, tolerance: float, step: float) -> NDArray[np.int32]:
    labels = np.full(depth.shape, -1, np.int32)
    free, number = valid.copy(), 0
    inverse, within = 1 / depth, np.maximum(tolerance, step / depth)
    for cell in _cells(depth, inverse, valid, within):
        if number == MOST or free[cell].mean() < 0.5:
            continue
        plane = _grown(depth, inverse, free, cell, within)
        if plane.sum() >= LEAST_SHARE * depth.size:
            labels[plane], free[plane], number = number, False, number + 1
    return labels


def _cells(depth: Floats, inverse: Floats, valid: Bools, within: Floats) -> list[tuple[slice, slice]]:
    """The cells of a regular lattice that are flat by themselves, flattest first."""
    height, width = depth.shape
    size = max(3, round(max(height, width) / CELLS))
    found = []
    for top in range(0, height - size + 1, size):
        for left in range(0, width - size + 1, size):
            cell = slice(top, top + size), slice(left, left + size)
            where = np.zeros_like(valid)
            where[cell] = valid[cell]
            if where[cell].mean() < 0.5:
                continue
            error = (np.abs(deviation(depth, inverse, inverse_plane(inverse, depth, where))) / within)[where]
            if error.max() < 1:
                found.append((float(np.sqrt((error**2).mean())), top, left, cell))
    return [cell for *_, cell in sorted(found, key=lambda one: one[:3])]


def inverse_plane(inverse: Floats, depth: Floats, where: Bools) -> Floats:
    """(a, b, c) of 1 / depth = a + b x + c y by least squares of the relative error of depth."""
    y, x = np.nonzero(where)
    weight = depth[where]
    design = np.stack([np.ones(len(x)), x, y], 1) * weight[:, None]
    return np.asarray(np.linalg.lstsq(design, inverse[where] * weight, rcond=None)[0], np.float64)


def deviation(depth: Floats, inverse: Floats, plane: Floats) -> Floats:
    """Relative deviation of a depth map from a plane, to first order: depth * (1 / depth - plane)."""
    y, x = np.ogrid[: depth.shape[0], : depth.shape[1]]
    out: Floats = depth * (inverse - (plane[0] + plane[1] * x + plane[2] * y))
    return out


def _grown(depth: Floats, inverse: Floats, free: Bools, cell: tuple[slice, slice], within: Floats) -> Bools:
    """The free pixels that agree with a cell's plane and hang together with it."""
    plane = np.zeros_like(free)
    plane[cell] = free[cell]
    seed = plane.copy()
    for _ in range(3):
        agrees = free & (np.abs(deviation(depth, inverse, inverse_plane(inverse, depth, plane))) < within)
        parts, _ = ndimage.label(agrees)
        here = np.bincount(parts[seed & agrees], minlength=1)
        if len(here) < 2 or here[1:].max() == 0:
            return np.zeros_like(free)
        plane = parts == 1 + here[1:].argmax()
    return plane
