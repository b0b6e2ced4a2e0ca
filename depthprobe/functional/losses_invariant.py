"""Losses that are blind to the scale and the shift of a prediction, as MiDaS."""

import torch
from torch import Tensor

from depthprobe.functional.losses_core import clean, into, loss, over_images
from depthprobe.functional.losses_gradient import multiscale_gradients

MIDAS = "Ranftl et al. 2020 (MiDaS), arXiv:1907.01341"


@loss("ssi_mse", source=f"{MIDAS}, L_ssimse", invariant=("scale",))
def ssi_mse_loss(
    pred: Tensor, depth: Tensor, valid: Tensor, *, domain: str = "disparity", gradient: float = 0.0, scales: int = 4
) -> Tensor:
    """Half the mean squared error after the best scale and shift of each prediction (least squares, closed form).

    In `disparity` by default, where MiDaS lives; `gradient` adds that much multi-scale gradient matching of the aligned
    maps (0.5 there). A prediction that is constant keeps scale 0. The best scale may be negative, as in the paper.

    Raises:
        ValueError: if `domain` is none of depth, log, disparity.
    """
    pred, depth = clean(pred, depth, valid)
    z, g = (_centred(x, valid) for x in into(domain, pred, depth))
    count = valid.flatten(1).sum(1)
    variance, covariance = (_sum(z * x) for x in (z, g))
    flat = variance <= torch.finfo(z.dtype).eps ** 2 * count.clamp(min=1)
    scale = torch.where(flat, 0, covariance / torch.where(flat, 1, variance))
    residual = scale[:, None, None, None] * z - g
    value = over_images(_sum(residual.square()) / (2 * count.clamp(min=1)), count)
    return value + gradient * multiscale_gradients(residual, valid, scales) if gradient else value


@loss("ssi_trimmed", source=f"{MIDAS}, L_ssitrim", invariant=("scale", "units", "swap"))
def ssi_trimmed_loss(
    pred: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    domain: str = "disparity",
    keep: float = 0.8,
    gradient: float = 0.0,
    scales: int = 4,
) -> Tensor:
    """Half the absolute error, without the largest fifth, of maps centred on their medians and scaled to mean 1.

    Both maps become (x - median) / mean |x - median|; the sum over the smallest `keep` of the |differences| is divided
    by twice the number of all valid pixels. `domain`, `gradient`, `scales` as in `ssi_mse`. The median is torch's, the
    lower of two.

    Raises:
        ValueError: if `domain` is none of depth, log, disparity.
    """
    pred, depth = clean(pred, depth, valid)
    z, g = (_robust(x, valid) for x in into(domain, pred, depth))
    residual, count = z - g, valid.flatten(1).sum(1)
    ordered = residual.abs().masked_fill(~valid, torch.inf).flatten(1).sort(1).values
    kept = torch.arange(ordered.shape[1], device=pred.device) < (keep * count).floor()[:, None]
    value = over_images(torch.where(kept, ordered, 0).sum(1) / (2 * count.clamp(min=1)), count)
    return value + gradient * multiscale_gradients(residual, valid, scales) if gradient else value


def _sum(x: Tensor) -> Tensor:
    return x.flatten(1).sum(1)


def _centred(x: Tensor, valid: Tensor) -> Tensor:
    """A map less its mean over the valid pixels, 0 elsewhere."""
    count = valid.flatten(1).sum(1).clamp(min=1)
    mean = _sum(torch.where(valid, x, 0)) / count
    return torch.where(valid, x - mean[:, None, None, None], 0)


def _robust(x: Tensor, valid: Tensor) -> Tensor:
    """A map less its median, over the mean distance from it, 0 where invalid; a constant map becomes 0."""
    median = x.masked_fill(~valid, torch.nan).flatten(1).nanmedian(1).values
    median = torch.where(valid.flatten(1).any(1), median, 0)
    centred = torch.where(valid, x - median[:, None, None, None], 0)
    spread = _sum(centred.abs()) / valid.flatten(1).sum(1).clamp(min=1)
    return centred / torch.where(spread > 0, spread, 1)[:, None, None, None]
