"""Occlusion boundaries: does a prediction jump where the truth jumps, between the same pixels?

Convention: as `metrics`; pairs and windows with an invalid pixel are left out, where the sources take no mask. A truth
without any boundary gives NaN, where the sources give 0 or divide by it. All are counts, so that none has a gradient.
A pixel without a positive prediction is on no boundary. Boundaries that are matched within a distance are in
`boundaries_canny`.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from depthprobe.functional.filters import dilate, sobel
from depthprobe.functional.neighbours import LOG
from depthprobe.functional.pairs import RATIOS, ring
from depthprobe.functional.terms import Metric, Terms, Truth, per_pixel

HU = "Hu et al. 2019, arXiv:1803.08673; their test.py"
PRO = "Depth Pro, arXiv:2410.02073; eval/boundary_metrics.py"
MOGE = "MoGe, arXiv:2410.19115; test/metrics.py"
STEPS = {"25cm": 0.25, "50cm": 0.5, "1m": 1.0}
RADII = (1, 2, 3)


def _score(name: str, function: Callable[[Terms], Tensor], source: str, invariant: tuple[str, ...] = ()) -> Metric:
    facts: dict[str, Any] = {"unit": "1", "better": "higher", "range": (0.0, 1.0), "source": source}
    return per_pixel(name, invariant=invariant, differentiable=False, scope="structure", **facts)(function)


def _strength(depth: Tensor) -> Tensor:
    """Magnitude (B,H-2,W-2) of the raw 3x3 Sobel derivatives, 8 times the slope per pixel."""
    dx, dy = (8 * d[:, 0, 1:-1, 1:-1] for d in sobel(depth[:, None]))
    return (dx * dx + dy * dy).sqrt()


def _windows(truth: Truth) -> tuple[Tensor, Tensor]:
    """Sobel magnitude of the truth, and the pixels whose 3x3 window is in the image and valid, (T,H-2,W-2)."""
    return _strength(truth.depth), ~dilate(~truth.valid[:, None], 1)[:, 0, 1:-1, 1:-1]


def _edge_counts(t: Terms) -> dict[float, tuple[Tensor, Tensor, Tensor]]:
    """By step the number of edge pixels of pred, of truth and of both, (B,) float64 each."""
    truth, known = (t.take(x) for x in t.truth.derive(_windows))
    pred, found = _strength(t.pred), {}
    for least in STEPS.values():
        a, b = (pred > least) & known, (truth > least) & known
        own, true, both = (x.sum((1, 2)).double() for x in (a, b, a & b))
        found[least] = (own, true.expand_as(own), both)
    return found


def hu_precision(least: float, t: Terms) -> Tensor:
    """Share of the prediction's edge pixels that are the truth's, edge: raw Sobel magnitude > 0.25, 0.5 or 1 m.

    The raw kernel is eight times the slope per pixel. Windows that leave the image do not count; the source pads with
    zeros, which draws a frame of edges. NaN also where the prediction has no edge.
    """
    pred, truth, both = t.derive(_edge_counts)[least]
    return (both / pred).where(truth > 0, torch.nan)


def hu_recall(least: float, t: Terms) -> Tensor:
    """Share of the truth's edge pixels that are the prediction's; edges as in `hu_precision`."""
    _, truth, both = t.derive(_edge_counts)[least]
    return both / truth


def hu_f1(least: float, t: Terms) -> Tensor:
    """2 P R / (P + R) of `hu_precision` and `hu_recall`; 0 where nothing agrees (the source divides 0 by 0)."""
    pred, truth, both = t.derive(_edge_counts)[least]
    return (2 * both / (pred + truth)).where(truth > 0, torch.nan)


for _name, _least in STEPS.items():
    _score(f"hu_precision_{_name}", functools.partial(hu_precision, _least), HU)
    _score(f"hu_recall_{_name}", functools.partial(hu_recall, _least), HU)
    _score(f"hu_f1_{_name}", functools.partial(hu_f1, _least), HU, ("swap",))


def weighted(score: Tensor, known: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean of a score (B,10) over the thresholds at which the truth has a boundary; NaN without any."""
    weight = weight.to(score.device) * known
    return (score * weight).sum(-1) / weight.sum(-1)


def _directions(t: Terms) -> list[Tensor]:
    """Four-neighbours farther by a ratio > t, by direction (left, right, above, below): pred, truth, both (B,4,10)."""
    pairs = t.derive(ring(1))
    return [pairs.exceeding(t, kind, 2 * pairs.offset + (kind > 0), 4) for kind in pairs.kinds]


def mean_known(share: Tensor) -> Tensor:
    """Mean (B,10) over the directions (B,4,10) where a share is defined; 0 where it is in none."""
    return share.nanmean(1).nan_to_num(0.0)


def depthpro_f1(t: Terms) -> Tensor:
    """Depth Pro's boundary F1: four-neighbours of which one occludes the other, the right way round.

    In each of four directions the pairs whose inverse depths differ by a ratio > t; precision and recall averaged over
    directions, F1 of the two averages, then the mean over t = linspace(1.05, 1.25, 10) with weights that grow like t.
    A direction without edges leaves the average (the source counts 0, so that a perfect prediction can have less than
    1), as does a t at which the truth has none.
    """
    pred, truth, both = t.derive(_directions)
    precision, recall = mean_known(both / pred), mean_known(both / truth)
    f1 = (2 * precision * recall / (precision + recall)).nan_to_num(0.0)
    return weighted(f1, truth.sum(1) > 0, RATIOS)


def depthpro_recall(t: Terms) -> Tensor:
    """The recall in `depthpro_f1`, averaged over t in the same way."""
    _, truth, both = t.derive(_directions)
    return weighted(mean_known(both / truth), truth.sum(1) > 0, RATIOS)


_score("depthpro_f1", depthpro_f1, PRO, (*LOG, "swap"))
_score("depthpro_recall", depthpro_recall, PRO, LOG)


def _margin(pixel: Tensor, height: int, width: int) -> Tensor:
    """Number of pixels between a pixel and the nearest border, at most the largest radius."""
    y, x = pixel // width, pixel % width
    sides = (y, x, height - 1 - y, width - 1 - x)
    return functools.reduce(torch.minimum, sides).clamp(max=max(RADII))


def _discs(t: Terms) -> list[Tensor]:
    """Farther pixels at a distance in (r - 1, r] of one at a margin m: pred, truth, both (B,radii,margins,10)."""
    found = []
    for pairs in (t.derive(ring(radius)) for radius in RADII):
        centres = (torch.where(kind > 0, pairs.p, pairs.q) for kind in pairs.kinds)
        margins = (_margin(centre, *t.pred.shape[1:]) for centre in centres)
        groups = 1 + max(RADII)
        found.append([pairs.exceeding(t, kind, m, groups) for kind, m in zip(pairs.kinds, margins, strict=True)])
    return [torch.stack(kind, 1) for kind in zip(*found, strict=True)]


def moge_f1(radius: int, t: Terms) -> Tensor:
    """MoGe's boundary F1: pixels in a disc of radius 1, 2 or 3 px that are farther than its centre by a ratio > 1 + t.

    F1 of all such pairs of the image, then the mean over t = linspace(0.05, 0.25, 10) with weights that grow like t
    (5:1). Centres keep the radius away from the border. A t at which the truth has none leaves the mean (0 there).
    """
    pred, truth, both = (kind[:, :radius, radius:].sum((1, 2)) for kind in t.derive(_discs))
    return weighted(2 * both / (pred + truth), truth > 0, RATIOS - 1)


for _radius in RADII:
    _score(f"moge_f1_r{_radius}", functools.partial(moge_f1, _radius), MOGE, ("scale", "units", "swap"))
