"""Continuity of depth gradients: does a network keep surfaces smooth and edges sharp?

Convention: (pred, depth, valid) -> (B,) as in `metrics`, after alignment; all on ln depth, so that a scale does not
matter and near and far surfaces count alike. L = ln z, G = ln g, differences per pixel. Depth edges of the truth: a
ratio > 1.1 between neighbours. Edge zone: the pixels on either side of one; smooth zone: valid, no depth edge within 3
pixels; the ring between belongs to neither (the probe's bands by edge distance show it). A sample without the zone
gives NaN. Second and third differences mean something on exact truth only: see `depth_step` and `neighbours`.
"""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional import neighbours as near
from depthprobe.functional.neighbours import LOG, Bands, structural, zone_mean
from depthprobe.functional.pairs import by_band, inside, pair_total, ring
from depthprobe.functional.terms import METRICS, Terms, Truth, per_pixel

SOURCE = "depthprobe; Yao, Wu, Zhang 2024, arXiv:2308.08333"
PRO = "depthprobe; thresholds of Depth Pro, arXiv:2410.02073"
UP = (0.0, float("inf"))
LEAST_SLOPE = 1e-4
"""Least |∇G| per pixel that has a direction: a thousand times the rounding of ln depth in float32."""


@structural("grad_mae", unit="ln/px", better="lower", range=UP, source=SOURCE, invariant=(*LOG, "swap"))
def grad_mae(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇L - ∇G| over all pixels with valid right and lower neighbours; length of the difference vector."""
    return zone_mean(t, t.derive(near.gradient_error), t.truth.derive(near.corner), by)


@structural("grad_mae_edge", unit="ln/px", better="lower", range=UP, source=SOURCE, invariant=LOG)
def grad_mae_edge(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇L - ∇G| over the pixels on the truth's depth edges."""
    return zone_mean(t, t.derive(near.gradient_error), t.truth.derive(near.corner_edge), by)


@structural("grad_mae_smooth", unit="ln/px", better="lower", range=UP, source=SOURCE, invariant=LOG)
def grad_mae_smooth(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇L - ∇G| over the smooth zone."""
    return zone_mean(t, t.derive(near.gradient_error), t.truth.derive(near.corner_smooth), by)


@structural("grad_cos", unit="1", better="lower", range=(0.0, 2.0), source=SOURCE, invariant=LOG)
def grad_cos(t: Terms, by: Bands | None) -> Tensor:
    """1 - mean cosine of the angle between ∇L and ∇G, where |∇G| > 1e-4 per pixel; a flat prediction counts cosine 0.

    A truth in steps has a gradient only where it steps, and this only sees those places.
    """
    zx, zy, length = t.derive(near.gradient)
    gx, gy, steep = (t.take(x) for x in t.truth.derive(near.gradient))
    cosine = (zx * gx + zy * gy) / (length * steep)
    weight = t.truth.derive(near.corner) * (t.truth.derive(near.gradient)[2] > LEAST_SLOPE)
    return zone_mean(t, 1 - cosine, weight, by)


@structural("curvature_mae", unit="ln/px²", better="lower", range=UP, source=SOURCE, invariant=LOG)
def curvature_mae(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇²L - ∇²G| over the smooth zone; ∇² is the sum of the four neighbours minus four times the pixel."""
    return zone_mean(t, t.derive(near.laplacian_error).abs(), t.truth.derive(near.cross_smooth), by, at=1)


@structural("third_mae", unit="ln/px³", better="lower", range=UP, source=SOURCE, invariant=LOG)
def third_mae(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇∇²L - ∇∇²G| over the smooth zone: the gradient of the Laplacian, the true third order."""
    error = near.norm(*near.steps(t.derive(near.laplacian_error)))
    return zone_mean(t, error, t.truth.derive(near.third_smooth), by, at=1)


@structural("roughness", unit="ln/px²", better="none", perfect=0.0, range=(-UP[1], UP[1]), source=SOURCE, invariant=LOG)
def roughness(t: Terms, by: Bands | None) -> Tensor:
    """Mean |∇²L| - mean |∇²G| over the smooth zone: > 0 rougher than the truth, < 0 smoother; best is 0."""
    excess = near.laplacian(t.log_pred).abs() - t.take(near.laplacian(t.truth.log)).abs()
    return zone_mean(t, excess, t.truth.derive(near.cross_smooth), by, at=1)


def _whole(t: Terms, value: Tensor, by: Bands | None) -> Tensor:
    """Values (B,n), or (B,) without bands; NaN for samples where a pixel holds no prediction, which breaks nothing."""
    value = value.masked_fill(_failed(t)[:, None], torch.nan)
    return value[:, 0] if by is None else value


def _failed(t: Terms) -> Tensor:
    return ~t.log_mean.isfinite()


@structural("break_rate", unit="1", better="lower", range=(0.0, 1.0), source=PRO, invariant=LOG, differentiable=False)
def break_rate(t: Terms, by: Bands | None) -> Tensor:
    """Share of the truth's continuous neighbour pairs that the prediction separates by a ratio > t.

    Mean over t = linspace(1.05, 1.25, 10). Continuous: both pixels in the smooth zone and their ratio <= t; closer to
    an edge a blurred edge, which is a bridge, would count as breaks. NaN where one t has no such pair.
    """
    zone = t.truth.derive(near.smooth)
    pred, truth, both = by_band(t, inside(t, t.derive(ring(1)), zone), by)
    continuous = pair_total(t, zone, by)[..., None] - truth
    return _whole(t, ((pred - both) / continuous).mean(-1), by)


@structural("bridge_rate", unit="1", better="lower", range=(0.0, 1.0), source=PRO, invariant=LOG, differentiable=False)
def bridge_rate(t: Terms, by: Bands | None) -> Tensor:
    """Share of the truth's neighbour pairs with a ratio > t that the prediction does not separate by a ratio > t.

    Mean over those t of linspace(1.05, 1.25, 10) at which the truth has such a pair; NaN without any.
    """
    _, truth, both = by_band(t, t.derive(ring(1)), by)
    return _whole(t, (1 - both / truth).nanmean(-1), by)


@per_pixel(
    "grad_w1", unit="ln/px", better="lower", range=UP, source=SOURCE, invariant=(*LOG, "swap"), scope="structure"
)
def grad_w1(t: Terms) -> Tensor:
    """Wasserstein-1 distance between the distributions of |∇L| and |∇G|: mean |sorted - sorted|, exact, no bins."""
    known = t.take(t.truth.derive(near.corner)).bool()
    n = known.sum((1, 2))
    pred = _sorted(t.derive(near.gradient)[2], known)
    truth = t.take(t.truth.derive(_sorted_truth))
    first = torch.arange(pred.shape[1], device=pred.device) < n[:, None]
    gap = torch.where(first, pred - truth, 0.0).abs()
    return (gap.sum(-1, dtype=torch.float64) / n).masked_fill(_failed(t), torch.nan)


def _sorted_truth(truth: Truth) -> Tensor:
    return _sorted(truth.derive(near.gradient)[2], truth.derive(near.corner).bool())


def _sorted(x: Tensor, known: Tensor) -> Tensor:
    """The values (B,h,w) >= 0 of each image, sorted (B,h*w), those that are not known last.

    Positive floats are in the order of their bits, and torch sorts one row of integers ten times as fast.
    """
    flat = x.masked_fill(~known, torch.inf).flatten(1)
    bits = flat.detach().contiguous().view(torch.int64 if flat.dtype == torch.float64 else torch.int32)
    return torch.stack([row[order.sort().indices] for row, order in zip(flat, bits, strict=True)])


@METRICS.register("depth_step", unit="m", better="none", source="depthprobe", inputs="depth valid", scope="structure")
def depth_step(depth: Tensor, valid: Tensor) -> Tensor:
    """The truth's own resolution: the gap that 99 % of the gaps between an image's depths reach (B,), in metres.

    Below 1e-5 m where depth is exact, 0.039 m for NYU copies that went through 8 bits: a truth in steps has no second
    derivative, and gradients only at its steps. The finest where steps grow with depth; NaN with a single depth.
    """
    check_shapes(depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    found = []
    for one, known in zip(depth[:, 0], valid[:, 0], strict=True):
        gaps = one[known].unique().diff()
        found.append(gaps.kthvalue(1 + len(gaps) // 100).values if len(gaps) else depth.new_tensor(torch.nan))
    return torch.stack(found)
