"""What metrics of neighbouring pixels share: differences of ln depth, zones by the truth's depth edges, bands.

Convention: maps (B,H,W) of ln z (`log_pred`), ln g (`truth.log`) and d = ln z - ln g; differences are per pixel, x to
the right, y downwards. A difference counts where every pixel in it is valid. Each function below is derived once from
a `Truth` or a `Terms` (`truth.derive(smooth)`) and shared by all metrics that ask for it.
Rounding: ln of a float32 depth is known to about 1e-7, so gradients, curvatures and third differences of a prediction
that is right up to a scale come out at 1e-7, 2e-7 and 5e-7 per pixel instead of 0; nothing below ten times that is a
finding. Quantised truth raises the floor to its own step (`depth_step`): no second difference of it means anything.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from depthprobe.functional.filters import depth_step, dilate
from depthprobe.functional.regions import EDGE_RATIO, NEARBY
from depthprobe.functional.terms import METRICS, Metric, Terms, Truth, per_pixel

LOG = ("scale", "units", "inverse")
"""Invariances of whatever rests on differences of ln depth and symmetric ratios."""

_TINY = 1e-30


@dataclasses.dataclass(frozen=True)
class Bands:
    """A partition of the truth's pixels: labels (T,H,W) int64 in 0..n-1, or -1 where a pixel is in no band."""

    labels: Tensor
    n: int


def bands(x: Tensor, starts: Sequence[float], valid: Tensor) -> Bands:
    """The bands starts[i] <= x < starts[i + 1] of a map (T,H,W), the last one open; -1 below the first or invalid."""
    edges = torch.as_tensor(starts, dtype=x.dtype, device=x.device)
    return Bands((torch.bucketize(x, edges, right=True) - 1).where(valid, -1), len(starts))


def structural(name: str, **facts: Any) -> Callable[[Callable[..., Tensor]], Metric]:
    """Register a metric of neighbouring pixels, written as (t: Terms, by: Bands | None) -> (B,) or, by band, (B,n).

    Facts: those of `per_pixel`, and range = (least, greatest) value; by = the function itself, for `banded`.
    """

    def add(function: Callable[..., Tensor]) -> Metric:
        @functools.wraps(function)
        def whole(t: Terms) -> Tensor:
            return function(t, None)

        return per_pixel(name, scope="structure", by=function, **facts)(whole)

    return add


def banded(t: Terms, name: str, by: Bands) -> Tensor:
    """A structural metric by band (B,n); NaN where a band has nothing to measure.

    Raises:
        ValueError: if the metric cannot be divided among pixels.
    """
    facts = METRICS.facts(name)
    if "by" not in facts:
        fits = [n for n in METRICS.names() if "by" in METRICS.facts(n)]
        raise ValueError(f"Expected a metric that can be measured by band, one of {fits}, but got {name!r}.")
    found: Tensor = facts["by"](t, by)
    return found.to(t.raw.dtype)


def zone_mean(t: Terms, x: Tensor, weight: Tensor, by: Bands | None, at: int = 0) -> Tensor:
    """Mean of a map over a zone of the truth, (B,), or by band (B,n), float64; NaN where the zone is empty.

    Convention: x (B,h,w); weight (T,h,w), 1 in the zone and 0 elsewhere; map pixel (0, 0) is image pixel (at, at).
    """
    weight = t.take(weight)
    if by is None:
        return _total(x * weight) / _total(weight)
    labels = t.take(by.labels)[:, at : at + x.shape[1], at : at + x.shape[2]].expand_as(x)
    return sum_by(x * weight, labels, by.n) / sum_by(weight.expand_as(x), labels, by.n)


def _total(x: Tensor) -> Tensor:
    return x.sum(-1).sum(-1, dtype=torch.float64)


def sum_by(x: Tensor, labels: Tensor, n: int) -> Tensor:
    """Sums (B,n), float64, of x (B,...) over the pixels of each label 0..n-1; others (-1) are left out."""
    size = len(x)
    place = torch.arange(size, device=x.device).view(-1, *[1] * (x.ndim - 1)) * (n + 1) + labels + 1
    out = torch.zeros(size * (n + 1), dtype=torch.float64, device=x.device)
    return out.index_add_(0, place.flatten(), x.double().flatten()).view(size, n + 1)[:, 1:]


def norm(x: Tensor, y: Tensor) -> Tensor:
    """Length of the vectors (x, y); its derivative is 0, not NaN, where both are 0."""
    return (x * x + y * y).clamp_min(_TINY).sqrt()


def steps(x: Tensor) -> tuple[Tensor, Tensor]:
    """Forward differences (B,H-1,W-1) along x and y of a map (B,H,W), where a pixel has both neighbours."""
    here = x[:, :-1, :-1]
    return x[:, :-1, 1:] - here, x[:, 1:, :-1] - here


def laplacian(x: Tensor) -> Tensor:
    """Sum of the four neighbours minus four times the pixel (B,H-2,W-2); map pixel (0, 0) is image pixel (1, 1)."""
    return x[:, 1:-1, 2:] + x[:, 1:-1, :-2] + x[:, 2:, 1:-1] + x[:, :-2, 1:-1] - 4 * x[:, 1:-1, 1:-1]


def edges(truth: Truth) -> Tensor:
    """Pixels (T,H,W) on either side of a depth edge: a ratio > 1.1 to one of four neighbours."""
    return depth_step(truth.depth[:, None], truth.valid[:, None])[:, 0] > math.log(EDGE_RATIO)


def smooth(truth: Truth) -> Tensor:
    """Valid pixels (T,H,W) with no depth edge within 3 pixels (in a square, as the region `flat`)."""
    return truth.valid & ~dilate(truth.derive(edges)[:, None], NEARBY)[:, 0]


def _corner(truth: Truth) -> Tensor:
    """Pixels that are valid with their right and lower neighbour, (T,H-1,W-1) bool."""
    v = truth.valid
    return v[:, :-1, :-1] & v[:, :-1, 1:] & v[:, 1:, :-1]


def corner(truth: Truth) -> Tensor:
    """Weight (T,H-1,W-1) of the pixels that have a gradient."""
    return truth.derive(_corner).to(truth.depth.dtype)


def corner_edge(truth: Truth) -> Tensor:
    """Weight (T,H-1,W-1) of the pixels on depth edges that have a gradient."""
    return (truth.derive(_corner) & truth.derive(edges)[:, :-1, :-1]).to(truth.depth.dtype)


def corner_smooth(truth: Truth) -> Tensor:
    """Weight (T,H-1,W-1) of the pixels in the smooth zone that have a gradient."""
    return (truth.derive(_corner) & truth.derive(smooth)[:, :-1, :-1]).to(truth.depth.dtype)


def cross(truth: Truth) -> Tensor:
    """Pixels that are valid with all four neighbours, (T,H-2,W-2) bool."""
    v = truth.valid
    return v[:, 1:-1, 1:-1] & v[:, 1:-1, 2:] & v[:, 1:-1, :-2] & v[:, 2:, 1:-1] & v[:, :-2, 1:-1]


def cross_smooth(truth: Truth) -> Tensor:
    """Weight (T,H-2,W-2) of the pixels in the smooth zone that have a Laplacian."""
    return (truth.derive(cross) & truth.derive(smooth)[:, 1:-1, 1:-1]).to(truth.depth.dtype)


def third_smooth(truth: Truth) -> Tensor:
    """Weight (T,H-3,W-3) of the pixels in the smooth zone whose Laplacian has a gradient."""
    c = truth.derive(cross)
    whole = c[:, :-1, :-1] & c[:, :-1, 1:] & c[:, 1:, :-1]
    return (whole & truth.derive(smooth)[:, 1:-2, 1:-2]).to(truth.depth.dtype)


def gradient(x: Truth | Terms) -> tuple[Tensor, Tensor, Tensor]:
    """Forward differences of ln g or ln z along x and y, and their length, each (B,H-1,W-1)."""
    along_x, along_y = steps(x.log if isinstance(x, Truth) else x.log_pred)
    return along_x, along_y, norm(along_x, along_y)


def gradient_error(t: Terms) -> Tensor:
    """Length of the difference of the two gradients, that is of the gradient of d, (B,H-1,W-1)."""
    return norm(*steps(t.log_ratio))


def laplacian_error(t: Terms) -> Tensor:
    """Difference of the two Laplacians, (B,H-2,W-2)."""
    return laplacian(t.log_ratio)
