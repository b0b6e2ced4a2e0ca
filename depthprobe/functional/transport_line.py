"""Optimal transport in one dimension, in closed form: on depth values, and between the rows of a map."""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.transport_mass import balanced_mass


def histogram_wasserstein(z: Tensor, g: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Squared Wasserstein-2 distance between the depth values of two maps, wherever in the image they stand.

    Mean over ranks of (sort z - sort g)², the closed form for equally many values, which two maps under one mask always
    have; the square of the distance, in the square of the values' unit. It sees the histogram and nothing else: any
    shuffling of the pixels is free.

    Convention: z, g (B,H,W), any real values; `valid` bool (B,H,W), None: all. Returns (B,); NaN where no pixel is
    valid. Differentiable; where values tie, one of the subgradients.
    """
    valid = torch.ones_like(z, dtype=torch.bool) if valid is None else valid
    check_shapes(z=(z, "b h w"), g=(g, "b h w"), valid=(valid, "b h w"))
    z, g = (x if x.dtype == torch.float64 else x.float() for x in (z, g))
    mask = valid.flatten(1)
    count = mask.sum(1)
    ranked = torch.arange(mask.shape[1], device=z.device) < count[:, None]
    first, second = (x.flatten(1).masked_fill(~mask, torch.inf).sort(1).values.masked_fill(~ranked, 0) for x in (z, g))
    return (first - second).square().sum(1) / count


def row_wasserstein(a: Tensor, b: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """Optimal transport where only the row of a pixel counts: exact, in closed form.

    The released code of Yao et al. (arXiv:2308.08333, PixelFormer_DGR, OTDL.py) builds its cost from the row numbers
    alone, |i - i'|², and so runs only on images one pixel wide. Read as a cost between the pixels of any image it makes
    movement inside a row free, hence the problem is the one-dimensional one between the sums of the rows. That is
    computed here, as the integral of ½ (difference of the quantile functions)². Blind to where in a row mass stands.

    Convention: as `sinkhorn_divergence` (a, b (B,H,W) mass, normalised per sample; coordinates = row / max(H,W)), whose
    limit for blur -> 0 this is on images one pixel wide. Returns (B,). Differentiable wherever no two partial sums
    coincide.

    Raises:
        ValueError: as `sinkhorn_divergence`.
    """
    p, q = balanced_mass(a, b, valid)
    levels = [mass.sum(2).cumsum(1) for mass in (p, q)]
    levels = [x / x[:, -1:] for x in levels]
    merged = torch.cat(levels, 1).sort(1).values
    share = torch.diff(merged, dim=1, prepend=torch.zeros_like(merged[:, :1]))
    middle = (merged - share / 2).detach()
    last = p.shape[1] - 1
    first, second = (torch.searchsorted(x.detach().contiguous(), middle).clamp_(max=last) for x in levels)
    moved = (first - second).to(p.dtype) / max(p.shape[1:])
    return (share * moved.square()).sum(1) / 2
