"""Flatness and direction of planes: back-projected, fitted by PCA, compared with the truth (iBims-1).

Convention: as `metrics`, with planes (B,1,H,W): an integer per plane, -1 on none (exact from the scenes; elsewhere
`fit_planes`), and intrinsics (B,3,3). A plane counts if at least 1 % of the image's pixels are valid and on it; the
value of an image is the mean over its planes, NaN without any. In float64: exact planes of
float32 depth come out below 1e-6 m.
Source: iBims-1 (Koch et al. 2018, arXiv:1805.01328), whose PE takes annotated planes of at least 5 % of 640x480, scales
each by medians (here by means, which are smooth; the direction does not depend on it), counts pixels from 1, prints
centimetres and averages over the planes of a data set.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from depthprobe.functional.geometry import rays
from depthprobe.functional.terms import Terms, Truth, per_pixel

LEAST_SHARE = 0.01
SOURCE = "iBims-1, arXiv:1805.01328 (PE), with means for medians"


class Fit(NamedTuple):
    """The best plane of each of k sets of points: mean depth (k,), spread (k,) about the plane, unit normal (k,3)."""

    depth: Tensor
    spread: Tensor
    normal: Tensor


class Planes(NamedTuple):
    """The planes of one image that count: flat pixel numbers (N,), plane after plane, `sizes` says how many of each.

    `ray` (2,N): x and y at depth 1 of the pixels' viewing rays; `fit`: the planes through the truth's own points.
    """

    pixel: Tensor
    sizes: list[int]
    ray: Tensor
    fit: Fit


def planes_of(truth: Truth) -> list[Planes]:
    """The planes of every image of a truth that knows `planes` and `intrinsics`."""
    ray = rays(truth.need("intrinsics").double(), *truth.valid.shape[1:])[:, :2].flatten(2)
    ids = torch.where(truth.valid, truth.need("planes")[:, 0].int(), -1).flatten(1)
    return [_planes(*one) for one in zip(truth.depth.flatten(1), ids, ray, strict=True)]


def _planes(depth: Tensor, ids: Tensor, ray: Tensor) -> Planes:
    ids, order = ids.sort(stable=True)
    plane, count = ids.unique_consecutive(return_counts=True)
    enough = (plane >= 0) & (count >= LEAST_SHARE * len(ids))
    pixel = order[enough.repeat_interleave(count)]
    sizes = [int(n) for n in count[enough]]
    return Planes(pixel, sizes, ray[:, pixel], fit_planes(depth[pixel], ray[:, pixel], sizes))


def fit_planes(z: Tensor, ray: Tensor, sizes: list[int]) -> Fit:
    """The planes through consecutive runs of `sizes` points z * (ray, 1), by PCA; z (N,), ray (2,N).

    A plane with a point that is not finite is NaN.
    """
    w = z.double()
    points = torch.cat([ray * w, w[None]])
    depth, spread = [w.new_empty(0)], [w.new_empty(0, 3, 3)]
    for cloud in points.split(sizes, 1) if sizes else ():
        middle = cloud.mean(1, keepdim=True)
        centred = cloud - middle
        depth.append(middle[2])
        spread.append((centred @ centred.T / cloud.shape[1])[None])
    covariance = torch.cat(spread)
    known = covariance.isfinite().all(2).all(1)
    values, vectors = torch.linalg.eigh(torch.where(known[:, None, None], covariance, 0.0))
    flat = torch.where(known, values[:, 0].clamp_min(1e-30).sqrt(), torch.nan)
    return Fit(torch.cat(depth), flat, vectors[:, :, 0].where(known[:, None], torch.nan))


def _fits(t: Terms) -> list[tuple[Fit, Fit]]:
    """For every prediction the fits of its own points and of the truth's, on the same planes."""
    planes, flat = t.truth.derive(planes_of), t.pred.flatten(1)
    mine = [planes[i] for i in t.index]
    return [(fit_planes(z[p.pixel], p.ray, p.sizes), p.fit) for z, p in zip(flat, mine, strict=True)]


@per_pixel(
    "planarity", unit="m", better="lower", range=(0.0, float("inf")), source=SOURCE, invariant=("scale",),
    inputs="pred depth valid planes intrinsics", scope="structure",
)  # fmt: skip
def planarity(t: Terms) -> Tensor:
    """Standard deviation of the predicted points from their own best plane, scaled to the truth's mean depth."""
    return torch.stack([(own.spread * truth.depth / own.depth).mean() for own, truth in t.derive(_fits)])


@per_pixel(
    "plane_orientation", unit="deg", better="lower", range=(0.0, 90.0), source=SOURCE,
    invariant=("scale", "units", "swap"), inputs="pred depth valid planes intrinsics", scope="structure",
)  # fmt: skip
def plane_orientation(t: Terms) -> Tensor:
    """Angle between the best planes of the predicted and of the true points."""
    return torch.stack([_angle(own.normal, truth.normal).mean() for own, truth in t.derive(_fits)])


def _angle(a: Tensor, b: Tensor) -> Tensor:
    """Angle in degrees between the lines along unit vectors (k,3)."""
    across = torch.linalg.cross(a, b, dim=-1).square().sum(-1).clamp_min(1e-30).sqrt()
    return torch.rad2deg(torch.atan2(across, (a * b).sum(-1).abs()))
