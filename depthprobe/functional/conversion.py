"""What networks put out, and depth <-> disparity."""

import torch
from torch import Tensor

OUTPUT_KINDS = ("metric_depth", "scale_depth", "affine_depth", "affine_disparity")
"""metric_depth: metres. scale_depth: s z. affine_depth: s z + t. affine_disparity: s / z + t; s, t unknown, s > 0."""

DEPTH_KINDS = ("metric_depth", "scale_depth")
"""Kinds whose reciprocal is a disparity (without an unknown shift)."""


def depth_to_disparity(depth: Tensor) -> Tensor:
    """1 / depth; NaN where depth is not positive, since nothing is seen behind the camera."""
    return torch.where(depth > 0, 1 / depth, torch.nan)


def disparity_to_depth(disparity: Tensor, floor: Tensor | float) -> Tensor:
    """1 / max(disparity, floor); the floor (1/m, > 0) is the farthest depth that can be said; NaN stays NaN."""
    low = torch.as_tensor(floor, dtype=disparity.dtype, device=disparity.device)
    return 1 / torch.maximum(disparity, low)
