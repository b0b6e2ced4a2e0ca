"""Selectors that look at the ground truth: depth edges, object interiors, the horizon, the line of ground contact."""

import math

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from depthprobe.functional.filters import depth_step, distance_to
from depthprobe.functional.geometry import rays
from depthprobe.functional.selection_core import SELECTORS, SelectorInput
from depthprobe.functional.selection_image import edges_then_distance

EDGE_RATIO = 1.1
UPWARD = 0.8


@SELECTORS.register("depth_edges", needs=("depth",), source="depthprobe (neighbour ratio > 1.1)")
def depth_edges(view: SelectorInput) -> Tensor:
    """Pixels on a depth edge (a neighbour's depth differs by a ratio > 1.1) by size of the step, then by distance."""
    step = depth_step(*view.truth())
    return edges_then_distance(step > math.log(EDGE_RATIO), step)


@SELECTORS.register("object_interiors", needs=("object",), source="distance to the object's boundary")
def object_interiors(view: SelectorInput) -> Tensor:
    """The core of every object first: distance to the object's boundary, divided by the object's largest.

    Convention: map `object` (B,1,H,W), one id per object (walls and floor are objects too).
    """
    label = view.maps["object"][:, :1]
    boundary = torch.zeros_like(label, dtype=torch.bool)
    for dim in (-2, -1):
        n = label.shape[dim] - 1
        change = label.narrow(dim, 1, n) != label.narrow(dim, 0, n)
        boundary.narrow(dim, 0, n).logical_or_(change)
        boundary.narrow(dim, 1, n).logical_or_(change)
    distance = distance_to(boundary).nan_to_num(posinf=1.0)
    out = torch.empty_like(distance)
    for i, (ids, far) in enumerate(zip(label[:, 0].cpu().numpy(), distance[:, 0].cpu().numpy(), strict=True)):
        unique, inverse = np.unique(ids, return_inverse=True)
        largest = np.asarray(ndimage.maximum(far, inverse.reshape(ids.shape), np.arange(len(unique))))
        core = far / np.maximum(largest, 1.0)[inverse.reshape(ids.shape)]
        out[i, 0] = torch.from_numpy(core).to(out)
    return out


def surface_normals(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """Unit normals (B,3,H,W), towards the camera, by central differences of the back-projected depth."""
    points = F.pad(depth * rays(intrinsics, *depth.shape[-2:]), (1, 1, 1, 1), mode="replicate")
    along_x = points[:, :, 1:-1, 2:] - points[:, :, 1:-1, :-2]
    along_y = points[:, :, 2:, 1:-1] - points[:, :, :-2, 1:-1]
    return F.normalize(torch.linalg.cross(along_y, along_x, dim=1), dim=1)


@SELECTORS.register("horizon", needs=("depth", "intrinsics"), source="vanishing line of the ground plane")
def horizon(view: SelectorInput) -> Tensor:
    """Pixels by distance to the horizon: the vanishing line of the ground plane, inside the image or not.

    Convention: the ground's direction is the median normal of the upward surfaces (within about 37 degrees of the
    camera's up); a view without any is taken as level, so that its horizon passes through the principal point.
    """
    assert view.intrinsics is not None
    depth, valid = view.truth()
    normal = surface_normals(depth, view.intrinsics)
    upward = ((-normal[:, 1] > UPWARD) & valid[:, 0]).flatten(1)
    out = []
    for one, up, camera in zip(normal.flatten(2), upward, view.intrinsics, strict=True):
        level = one.new_tensor([0.0, -1.0, 0.0])
        ground = F.normalize(one[:, up].median(dim=1).values, dim=0) if up.any() else level
        line = ground @ torch.linalg.inv(camera)  # a x + b y + c = 0
        y, x = torch.meshgrid(*(torch.arange(n, device=line.device) for n in depth.shape[-2:]), indexing="ij")
        out.append(-(line[0] * x + line[1] * y + line[2]).abs() / line[:2].norm().clamp_min(1e-12))
    return torch.stack(out).unsqueeze(1)


@SELECTORS.register("ground_contact", needs=("depth", "intrinsics", "object"), source="van Dijk & de Croon 2019")
def ground_contact(view: SelectorInput) -> Tensor:
    """Pixels by distance to where objects stand on something: their lowest pixels above an upward surface.

    Convention: a contact is a pair of vertical neighbours of different objects at the same depth (ratio < 1.1) with an
    upward surface two pixels below it and none two pixels above it (a rug is no contact). Without any contact all
    pixels are equal.
    """
    assert view.intrinsics is not None
    depth, valid = view.truth()
    label = view.maps["object"][:, :1]
    upward = (-surface_normals(depth, view.intrinsics)[:, 1:2] > UPWARD) & valid
    below = torch.cat([upward[..., 2:, :], upward[..., -1:, :].expand(-1, -1, 2, -1)], dim=-2)
    above = torch.cat([upward[..., :1, :].expand(-1, -1, 2, -1), upward[..., :-2, :]], dim=-2)
    near = (depth[..., 1:, :] / depth[..., :-1, :]).log().abs() < math.log(EDGE_RATIO)
    pair = (label[..., 1:, :] != label[..., :-1, :]) & near & valid[..., 1:, :] & valid[..., :-1, :]
    pair &= below[..., 1:, :] & ~above[..., :-1, :]
    contact = F.pad(pair, (0, 0, 0, 1)) | F.pad(pair, (0, 0, 1, 0))
    return -distance_to(contact).nan_to_num(posinf=0.0)
