"""Training losses: (pred, depth, valid) -> scalar, mask-aware.

Convention: pred and depth float (B,1,H,W) in metres, pred > 0; valid bool (B,1,H,W). Invalid pixels have no influence
and no gradient, whatever they hold; an image without a valid pixel has no part; the value is the mean over images of
each image's own mean, so that sparse images count as much as dense ones. What a loss needs beyond these three stands
in its fact `inputs`, e.g. "pred depth valid image", and is given by keyword: `LOSSES[name](pred, depth, valid,
image=image)`. All raise ValueError for shapes that differ or if no image has a valid pixel.
"""

import torch
from torch import Tensor

from depthprobe.functional.losses_core import LOSSES, batch_mean, clean, loss, over_images
from depthprobe.functional.losses_gradient import (
    depth_gradient_normal_loss,
    edge_aware_smoothness,
    gradient_matching_loss,
)
from depthprobe.functional.losses_invariant import ssi_mse_loss, ssi_trimmed_loss
from depthprobe.functional.losses_transport import optimal_transport_depth_loss, optimal_transport_terms

__all__ = [
    "LOSSES",
    "berhu_loss",
    "depth_gradient_normal_loss",
    "edge_aware_smoothness",
    "gradient_matching_loss",
    "mse_loss",
    "optimal_transport_depth_loss",
    "optimal_transport_terms",
    "silog_loss",
    "ssi_mse_loss",
    "ssi_trimmed_loss",
]


@loss(
    "silog",
    source="Eigen et al. 2014, arXiv:1406.2283; weight 0.5 as Depth Anything V2, 0.85 as BTS",
    perfect=1e-4,
    invariant=("units", "swap", "inverse"),
)
def silog_loss(pred: Tensor, depth: Tensor, valid: Tensor, *, variance_focus: float = 0.5) -> Tensor:
    """Scale-invariant log loss sqrt(mean d^2 - variance_focus * (mean d)^2), d = ln pred - ln depth.

    `variance_focus` 1 ignores a global scale error, 0 is RMSElog. 1e-8 is added under the root, whose slope at 0 is
    infinite.
    """
    pred, depth = clean(pred, depth, valid)
    d = pred.log() - depth.log()
    count = valid.flatten(1).sum(1)
    n = count.clamp(min=1)
    mean = d.flatten(1).sum(1) / n
    square = d.square().flatten(1).sum(1) / n
    per_image = (square - variance_focus * mean.square()).clamp(min=0).add(1e-8).sqrt()
    return over_images(per_image, count)


@loss("mse", source="Eigen et al. 2014, arXiv:1406.2283", invariant=("swap",))
def mse_loss(pred: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Mean squared error, m²."""
    pred, depth = clean(pred, depth, valid)
    return batch_mean((pred - depth).square(), valid)


@loss("berhu", source="Laina et al. 2016, arXiv:1606.00373", invariant=("swap",))
def berhu_loss(
    pred: Tensor, depth: Tensor, valid: Tensor, *, share: float = 0.2, threshold: float | None = None
) -> Tensor:
    """Reverse Huber loss: |e| up to c, (e² + c²) / 2c beyond, e = pred - depth.

    c is `threshold` in metres, or `share` of the batch's largest |e| as in the paper, which makes the loss of an image
    depend on the others. c is a constant in the gradient, as in every implementation: the derivative by c would push
    the largest error up.
    """
    pred, depth = clean(pred, depth, valid)
    error = (pred - depth).abs()
    c = share * error.detach().max() if threshold is None else torch.as_tensor(threshold, dtype=error.dtype)
    beyond = (error.square() + c * c) / (2 * c.clamp(min=torch.finfo(error.dtype).tiny))
    return batch_mean(torch.where(error <= c, error, beyond), valid)
