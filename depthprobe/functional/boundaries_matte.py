"""Boundary recall against a matte: for images whose depth is unknown but whose foreground is not (Depth Pro)."""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.boundaries import PRO, mean_known, weighted
from depthprobe.functional.pairs import RATIOS
from depthprobe.functional.terms import METRICS

ALPHA = 0.1


@METRICS.register(
    "depthpro_matte_recall", unit="1", better="higher", perfect=1.0, range=(0.0, 1.0), source=PRO,
    inputs="pred matte valid", scope="structure", differentiable=False,
)  # fmt: skip
def depthpro_matte_recall(pred: Tensor, matte: Tensor, valid: Tensor) -> Tensor:
    """Share of the matte's outline where the prediction has its foreground nearer by a ratio > t.

    In each of four directions the pairs of neighbours of which the second alone has alpha > 0.1; of the prediction's
    pairs with a ratio > t only the largest of every unbroken run along the direction counts. Mean over the directions
    that the outline has (the source counts 0 for others), then over t = linspace(1.05, 1.25, 10) with weights that
    grow like t. NaN without an outline.

    Convention: pred, depth up to a scale, and matte (B,1,H,W) in [0,1]; valid bool (B,1,H,W); returns (B,).
    """
    check_shapes(pred=(pred, "b 1 h w"), matte=(matte, "b 1 h w"), valid=(valid, "b 1 h w"))
    z, inside, valid = pred[:, 0], matte[:, 0] > ALPHA, valid[:, 0]
    shares, outlines = [], []
    for flip, turn in ((False, False), (True, False), (False, True), (True, True)):
        views = [x.mT if turn else x for x in (z, inside, valid)]
        ahead, front, known = (x.flip(-1) if flip else x for x in views)
        pair = known[..., 1:] & known[..., :-1]
        outline = front[..., 1:] & ~front[..., :-1] & pair
        positive = pair & (ahead[..., 1:] > 0) & (ahead[..., :-1] > 0)
        ratio = torch.where(positive, ahead[..., :-1].double() / ahead[..., 1:].double(), 0.0)
        found = [(_peaks(ratio, float(t)) & outline).sum((1, 2)).double() for t in RATIOS]
        outlines.append(outline.sum((1, 2)))
        shares.append(torch.stack(found, -1) / outlines[-1][:, None])
    known = torch.stack(outlines).sum(0)[:, None] > 0
    return weighted(mean_known(torch.stack(shares, 1)), known, RATIOS).to(pred.dtype)


def _peaks(ratio: Tensor, least: float) -> Tensor:
    """Of every unbroken run along the rows of (B,h,w) with ratio > least, the first largest; bool."""
    over = ratio > least
    before = torch.zeros_like(over)
    before[..., 1:] = over[..., :-1]
    values, run = ratio[over], (over & ~before).flatten().cumsum(0).view_as(over)[over] - 1
    runs = int(run[-1]) + 1 if len(run) else 0
    largest = values.new_zeros(runs).scatter_reduce_(0, run, values, "amax")
    candidates = (values == largest[run]).nonzero()[:, 0]
    first = torch.full((runs,), len(values), device=ratio.device)
    first.scatter_reduce_(0, run[candidates], candidates, "amin")
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[first] = True
    return torch.zeros_like(over).masked_scatter_(over, chosen)
