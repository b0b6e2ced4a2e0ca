"""Losses of depth differences between neighbouring pixels."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.filters import dilate, sobel
from depthprobe.functional.losses_core import batch_mean, clean, into, loss, over_images


def steps(x: Tensor) -> Iterator[Tensor]:
    """Differences of (B,C,H,W) to the next pixel along x (B,C,H,W-1) and along y (B,C,H-1,W)."""
    yield x[..., 1:] - x[..., :-1]
    yield x[..., 1:, :] - x[..., :-1, :]


def pairs(valid: Tensor) -> Iterator[Tensor]:
    """Where both pixels of such a difference are valid."""
    yield valid[..., 1:] & valid[..., :-1]
    yield valid[..., 1:, :] & valid[..., :-1, :]


def multiscale_gradients(residual: Tensor, valid: Tensor, scales: int) -> Tensor:
    """Σ over scales of (Σ |steps of the residual| over valid pairs) / valid pixels of the scale, mean over images.

    Scale k takes every 2^k-th pixel. Sources divide by n without saying of which scale; here each scale by its own.
    """
    check_range("scales", scales, 1, 16)
    total, has = residual.new_zeros(len(residual)), valid.flatten(1).sum(1)
    for k in range(scales):
        r, v = residual[..., :: 2**k, :: 2**k], valid[..., :: 2**k, :: 2**k]
        count = v.flatten(1).sum(1).clamp(min=1)
        for step, pair in zip(steps(r), pairs(v), strict=True):
            total = total + torch.where(pair, step.abs(), 0).flatten(1).sum(1) / count
    return over_images(total, has)


@loss(
    "gradient_matching",
    source="Li & Snavely 2018 (MegaDepth), arXiv:1804.00607",
    invariant=("scale", "units", "swap", "inverse"),
)
def gradient_matching_loss(
    pred: Tensor, depth: Tensor, valid: Tensor, *, scales: int = 4, domain: str = "log"
) -> Tensor:
    """Multi-scale gradient matching: the steps of ln pred - ln depth, at 1, 1/2, 1/4, 1/8 of the size.

    In `log` it is blind to a global scale. MiDaS uses it on aligned disparities: `ssi_mse` and `ssi_trimmed` with
    `gradient`.

    Raises:
        ValueError: if `domain` is none of depth, log, disparity.
    """
    pred, depth = clean(pred, depth, valid)
    z, g = into(domain, pred, depth)
    return multiscale_gradients(z - g, valid, scales)


@loss(
    "edge_aware_smoothness",
    source="Godard et al. 2017, arXiv:1609.03677; mean-normalised as monodepth2, arXiv:1806.01260",
    perfect=None,
    invariant=("scale", "units"),
    inputs="image",
)
def edge_aware_smoothness(pred: Tensor, depth: Tensor, valid: Tensor, *, image: Tensor) -> Tensor:
    """Mean |∂d| exp(-|∂I|) along x plus the same along y; d = disparity over its own mean, |∂I| the mean over colours.

    A prior, not an error: `depth` is not looked at. It acts where `valid`; to smooth where there is no truth give an
    all-true mask. image (B,3,H,W) in [0,1].
    """
    pred, _ = clean(pred, depth, valid)
    check_shapes(pred=(pred, "b 1 h w"), image=(image, "b 3 h w"))
    disparity = torch.where(valid, 1 / pred, 0)
    count = valid.flatten(1).sum(1)
    mean = disparity.flatten(1).sum(1) / count.clamp(min=1)
    relative = disparity / torch.where(count > 0, mean, 1)[:, None, None, None]
    total = pred.new_zeros(())
    for step, colour, pair in zip(steps(relative), steps(image.to(pred)), pairs(valid), strict=True):
        weight = torch.exp(-colour.abs().mean(1, keepdim=True))
        total = total + batch_mean(step.abs() * torch.where(pair, weight, 0), pair)
    return total


@loss(
    "depth_gradient_normal", source="Hu et al. 2019, arXiv:1803.08673", perfect=-2.0794415416798357, invariant=("swap",)
)
def depth_gradient_normal_loss(
    pred: Tensor, depth: Tensor, valid: Tensor, *, alpha: float = 0.5, gradient: float = 1.0, normal: float = 1.0
) -> Tensor:
    """Mean ln(|e| + α) + gradient * mean [ln(|∂x e| + α) + ln(|∂y e| + α)] + normal * mean (1 - cos of the normals).

    e = pred - depth, ∂ = Sobel kernels as they are (not divided by 8), normals (-∂x, -∂y, 1), in metres and pixels. The
    last two means run over the pixels whose 3x3 neighbourhood is valid. ln α, not 0, is perfect.
    """
    pred, depth = clean(pred, depth, valid)
    whole = ~dilate(~valid, 1)
    slopes = [[8 * d for d in sobel(x)] for x in (pred, depth)]
    value = batch_mean(torch.log((pred - depth).abs() + alpha), valid)
    for z, g in zip(*slopes, strict=True):
        value = value + gradient * batch_mean(torch.log((z - g).abs() + alpha), whole)
    z, g = (torch.cat((-x, -y, torch.ones_like(x)), 1) for x, y in slopes)
    return value + normal * batch_mean(1 - F.cosine_similarity(z, g, 1)[:, None], whole)
