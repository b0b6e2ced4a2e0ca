"""Training losses: (pred, depth, valid) -> scalar, mask-aware.

Convention: depth in metres, (B,1,H,W); `valid` bool of the same shape; pred > 0.
"""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.registry import Registry

LOSSES = Registry("loss")


@LOSSES.register("silog", source="Eigen et al. 2014, arXiv:1406.2283; weight 0.5 as Depth Anything V2, 0.85 as BTS")
def silog_loss(pred: Tensor, depth: Tensor, valid: Tensor, *, variance_focus: float = 0.5) -> Tensor:
    """Scale-invariant log loss sqrt(mean d^2 - variance_focus * (mean d)^2), d = ln pred - ln depth.

    The mean runs over each image's valid pixels, the result is the mean over images; an image without valid pixels
    has no part in it. `variance_focus` 1 ignores a global scale error, 0 is RMSElog.

    Raises:
        ValueError: if no image has a valid pixel.
    """
    check_shapes(pred=(pred, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    count = valid.flatten(1).sum(1)
    if not bool((count > 0).any()):
        raise ValueError("Expected at least one valid pixel in the batch, but got none; check the data set's mask.")
    one = torch.ones((), dtype=pred.dtype, device=pred.device)
    d = torch.where(valid, pred, one).log() - torch.where(valid, depth, one).log()
    n = count.clamp(min=1)
    mean = d.flatten(1).sum(1) / n
    square = d.square().flatten(1).sum(1) / n
    per_image = (square - variance_focus * mean.square()).clamp(min=0).add(1e-8).sqrt()
    return per_image[count > 0].mean()
