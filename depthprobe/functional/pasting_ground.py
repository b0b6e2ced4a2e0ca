"""The ground of a photograph, found in its depth: the level plane that everything else stands on or above.

With a pinhole camera 1 / depth is affine in the pixel coordinates on any plane, so that 1 - depth / (the plane's depth
in that pixel) is how high a point lies above the plane, in heights of the camera above it: all thresholds here are
shares of that height, and nothing depends on the unit of depth. Image by image with numpy, without any draw.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from depthprobe.functional.planes_fit import Bools, Floats, deviation, inverse_plane, segment_planes

COARSE = 160  # pixels of the longer side of the map in which planes are looked for
WITHIN = 0.03  # camera heights within which a point lies on the ground
_EXACTLY = 0.01  # camera heights within which a point takes part in the fit
_UPRIGHT = 0.8  # cosine between the plane's normal and the image's upright: 37 degrees
_LEAST_GROUND = 0.03  # of the valid pixels
_UNDER, _MOST_UNDER = 0.15, 0.01  # camera heights under the ground, and the share of the valid pixels that may be there
_REFITS = 2
_MARGIN = 1 / 32  # of the longer side: sensors see little along the edge of an image, and in-filling makes it up
_BESIDE = 1 / 12  # of the longer side: how far a plane that leaves the image is thought to go on


class Ground(NamedTuple):
    """A ground plane and where everything is by it, (H,W) all maps.

    Convention: `plane` (a, b, c): 1 / depth = a + b x + c y in pixels; `below` (x w, y w, w): where the point of it
    straight below the camera is seen, in homogeneous pixels; `height` of the camera above it, in the unit of depth;
    `mask`: the pixels on it; `elevation` above it, in camera heights; `leaving`: the pixels of other planes that reach
    the image's rim (walls, ceilings, table tops), of which no object in full view can be a part.
    """

    plane: Floats
    below: Floats
    height: float
    mask: Bools
    elevation: Floats
    leaving: Bools

    def depth_at(self, row: float, column: float) -> float:
        """The plane's depth in a pixel; infinite at the horizon and above."""
        inverse = float(self.plane @ (1.0, column, row))
        return 1 / inverse if inverse > 0 else float("inf")

    def row_at(self, depth: float, column: float) -> float:
        """The image row, with its fraction, at which the plane has a depth in a column."""
        a, b, c = self.plane
        return float((1 / depth - a - b * column) / c)

    def row_under(self, row: int, column: int, depth: float) -> float:
        """The image row, with its fraction, of the ground straight below what is seen in a pixel."""
        fall = float(self.elevation[row, column]) * self.below
        return float((depth * row + fall[1]) / (depth + fall[2]))


def find_ground(depth: Floats, valid: Bools, intrinsics: Floats, step: float = 0.0) -> Ground | None:
    """The largest level plane with hardly anything under it, or None if there is none good enough.

    Convention: depth (H,W) > 0 and finite; valid (H,W); intrinsics (3,3); `step`: the truth's own resolution in the
    unit of depth (the metric `depth_step`). Level: within 37 degrees of the image's upright, below the camera. Good
    enough: at least 3 % of the valid pixels lie on it (within 3 % of the camera's height above it, or `step`), and at
    most 1 % lie under it by more than 15 %: that tells a floor from a table top. The plane is fitted to its connected
    part first, then twice to all pixels within 1 % of it.
    """
    height, width = depth.shape
    stride = max(1, round(max(height, width) / COARSE))
    few = [torch.from_numpy(np.ascontiguousarray(x[::stride, ::stride]))[None, None] for x in (depth, valid)]
    coarse = segment_planes(few[0], few[1], step=torch.tensor([step]))[0, 0].numpy()
    labels = np.where(valid, np.kron(coarse, np.ones((stride, stride), coarse.dtype))[:height, :width], -1)
    sizes = np.bincount(labels[labels >= 0], minlength=1)
    inverse, within = 1 / depth, np.maximum(WITHIN, step / depth)
    for number in np.argsort(-sizes, kind="stable"):
        on: Bools = labels == number
        for _ in range(1 + _REFITS):
            if on.sum() < _LEAST_GROUND * valid.sum():
                break
            plane = inverse_plane(inverse, depth, on)
            elevation = deviation(depth, inverse, plane)
            on = valid & (np.abs(elevation) < np.maximum(_EXACTLY, step / depth))
        else:
            on = valid & (np.abs(elevation) < within)
            normal = intrinsics.T @ plane[[1, 2, 0]]  # times the camera's height: 1 / depth = normal . ray
            level = normal[1] > _UPRIGHT * np.linalg.norm(normal)
            under = (valid & (elevation < -_UNDER - step / depth)).sum()
            if level and under <= _MOST_UNDER * valid.sum():
                below = normal / (normal @ normal)
                leaving = _leaving(labels, int(number), depth, valid, within)
                return Ground(plane, intrinsics @ below, float(np.linalg.norm(below)), on, elevation, leaving)
    return None


def margin(size: tuple[int, ...]) -> int:
    """How far from the edge of an image of `size` (h, w) its rim ends, in pixels."""
    return max(1, round(_MARGIN * max(size)))


def rim(size: tuple[int, ...]) -> Bools:
    """The pixels along the edge of an image, (H,W): what reaches them may go on outside."""
    out, wide = np.ones(size, bool), margin(size)
    out[wide:-wide, wide:-wide] = False
    return out


def _leaving(labels: NDArray[np.int32], ground: int, depth: Floats, valid: Bools, within: Floats) -> Bools:
    """The pixels of all planes but one that reach the image's rim, and those beside them that lie on the same plane."""
    out, inverse = np.zeros_like(valid), 1 / depth
    for number in np.setdiff1d(labels[rim(labels.shape)], [-1, ground]):
        part = labels == number
        flat = np.abs(deviation(depth, inverse, inverse_plane(inverse, depth, part))) < within
        out |= part | (valid & flat & (ndimage.distance_transform_edt(~part) < _BESIDE * max(depth.shape)))
    return out
