"""Masks between 0 and 1: opened from logits, made hard, and how open they are (Hu et al. 2019, arXiv:1904.03380)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.functional.selection_core import keep_top, strict_rank
from depthprobe.functional.terms import METRICS

HU = "Hu et al. 2019, arXiv:1904.03380"


def open_mask(logits: Tensor, budget: float | None, seeds: Sequence[int] | None = None) -> Tensor:
    """The mask (B,1,h,w) that logits stand for: σ(logits), or with a budget exactly the highest of them, 0 or 1.

    Convention: a hard mask has the soft one's gradient; `seeds`, one per image, break ties (None: the place does).
    """
    soft = logits.sigmoid()
    if budget is None:
        return soft
    order = logits.detach() if seeds is None else strict_rank(logits.detach(), seeds)
    hard = keep_top(order, budget).to(soft)
    return hard + (soft - soft.detach())  # in this order exactly 0 or 1


def binarised(logits: Tensor, seeds: Sequence[int]) -> Tensor:
    """Of every image as many whole pixels (0 or 1) as its soft mask lets through in all, the highest first."""
    rank, shares = strict_rank(logits, seeds), open_share(logits.sigmoid()).tolist()
    return torch.cat([keep_top(rank[i : i + 1], share) for i, share in enumerate(shares)]).to(logits)


@METRICS.register("open_share", unit="1", better="none", source=HU, inputs="mask")
def open_share(mask: Tensor) -> Tensor:
    """The mean (B,) of masks (B,1,h,w): what Hu et al. call sparseness, small where little is let through."""
    return mask.mean((1, 2, 3))


@METRICS.register("open_max", unit="1", better="none", source=HU, inputs="mask")
def open_max(mask: Tensor) -> Tensor:
    """The largest value (B,) of masks (B,1,h,w)."""
    return mask.amax((1, 2, 3))
