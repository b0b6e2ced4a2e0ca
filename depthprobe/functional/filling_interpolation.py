"""Fills that interpolate from the kept pixels alone: nearest, linear, and ROAD's noisy linear imputation."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy import ndimage, sparse
from scipy.interpolate import LinearNDInterpolator
from scipy.sparse.linalg import splu
from scipy.spatial import QhullError
from torch import Tensor

from depthprobe.functional.filling_core import FILLS, flat
from depthprobe.functional.selection_core import generator

_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
ROAD_WEIGHTS = {(dy, dx): 1 / 12 if dy and dx else 1 / 6 for dy, dx in _NEIGHBOURS}
ROAD_NOISE = 0.01


def _each(
    image: Tensor, keep: Tensor, mean: Sequence[float], solve: Callable[[np.ndarray, np.ndarray], None]
) -> Tensor:
    """Let `solve(colours (H,W,3) float64, keep (H,W))` write the removed pixels of one image after the other.

    An image with no kept pixel gets the mean colour.
    """
    out = flat(image, mean).expand_as(image).clone()
    for i, (one, mask) in enumerate(zip(image, keep[:, 0].cpu().numpy(), strict=True)):
        if mask.any() and not mask.all():
            colours = one.detach().permute(1, 2, 0).cpu().numpy().astype(np.float64)
            solve(colours, mask)
            out[i] = torch.from_numpy(colours).permute(2, 0, 1).to(image)
    return out


def _nearest(colours: np.ndarray, keep: np.ndarray) -> None:
    where = ndimage.distance_transform_edt(~keep, return_distances=False, return_indices=True)
    colours[...] = colours[where[0], where[1]]


@FILLS.register("nearest", reads="kept", source="Euclidean distance transform")
def nearest(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """The colour of the nearest kept pixel."""
    return _each(image, keep, mean, _nearest)


def _linear(colours: np.ndarray, keep: np.ndarray) -> None:
    hole = ~keep
    inner = ndimage.binary_erosion(keep, np.ones((3, 3)), border_value=1)  # no triangle of theirs covers a hole
    points = np.argwhere(keep & ~inner)
    targets = np.argwhere(hole)
    values = colours[points[:, 0], points[:, 1]]
    _nearest(colours, keep)
    try:
        found = LinearNDInterpolator(points, values)(targets)
    except (QhullError, ValueError):  # fewer than three kept pixels, or all on one line: no triangle
        return
    inside = ~np.isnan(found[:, 0])
    colours[targets[inside, 0], targets[inside, 1]] = found[inside]


@FILLS.register("linear", reads="kept", source="Delaunay triangulation (scipy)")
def linear(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """Linear interpolation on the Delaunay triangles of the kept pixels; nearest outside their convex hull."""
    return _each(image, keep, mean, _linear)


def road_system(keep: np.ndarray) -> tuple[sparse.csc_matrix, sparse.csc_matrix]:
    """The equations of the removed pixels: `system @ removed = known @ kept`, pixels in row-major order.

    Convention: every removed pixel is the mean of its neighbours inside the image, weighted 1/6 (direct) and 1/12
    (diagonal), so that weights are divided by their sum at the border (Rong et al. 2022).
    """
    height, width = keep.shape
    row = np.flatnonzero(~keep)
    number = np.where(keep, np.cumsum(keep.ravel()).reshape(keep.shape) - 1, 0)
    number[~keep] = np.arange(len(row))
    y, x = row // width, row % width
    total, parts = np.zeros(len(row)), {True: ([], [], []), False: ([], [], [])}  # type: ignore[var-annotated]
    for (dy, dx), weight in ROAD_WEIGHTS.items():
        inside = (y + dy >= 0) & (y + dy < height) & (x + dx >= 0) & (x + dx < width)
        total += weight * inside
        source = np.flatnonzero(inside)
        ny, nx = y[source] + dy, x[source] + dx
        for kind in (True, False):
            mine = keep[ny, nx] == kind
            for store, new in zip(
                parts[kind],
                (np.full(mine.sum(), weight), source[mine], number[ny[mine], nx[mine]]),
                strict=True,
            ):
                store.append(new)
    shapes = {True: (len(row), int(keep.sum())), False: (len(row), len(row))}
    known, other = (
        sparse.csc_matrix((np.concatenate(w), (np.concatenate(i), np.concatenate(j))), shape=shapes[kind])
        for kind, (w, i, j) in parts.items()
    )
    return sparse.csc_matrix(sparse.diags(total) - other), known


@FILLS.register("road", reads="kept", source="Rong et al. 2022 (ROAD, noisy linear imputation)")
def road(image: Tensor, keep: Tensor, seeds: Sequence[int], mean: Sequence[float]) -> Tensor:
    """Every removed pixel is the weighted mean of its eight neighbours (sparse solve) plus noise of deviation 0.01.

    Convention: one noise field per seed, the same for every mask; the result is not clamped, as in the source.
    """

    def solve(colours: np.ndarray, mask: np.ndarray) -> None:
        system, known = road_system(mask)
        colours[~mask] = splu(system).solve(np.ascontiguousarray(known @ colours[mask]))

    drawn = torch.stack([torch.randn(image.shape[1:], generator=generator(seed, "road")) for seed in seeds])
    return _each(image, keep, mean, solve) + ROAD_NOISE * drawn.to(image)
