"""Alignment: the explicit step between what a network declares to put out and metric depth.

A network's output kind says what is unknown (a scale, a scale and a shift; in depth or in disparity), and so in which
space it may be fitted: a perfect affine disparity fitted in depth space scores AbsRel 0.28. Each method states the
kinds it is valid for; `align` refuses the others.
Convention: a method is fit(x, y, ok) -> (scale, shift): x prediction, y truth, both float64 (B,H,W) in the method's
space, 0 where not ok; scale and shift (B,), NaN where undefined (no pixel, no contrast to scale by).
"""

import dataclasses
import math

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_range, check_shapes
from depthprobe.functional.conversion import OUTPUT_KINDS, depth_to_disparity, disparity_to_depth
from depthprobe.functional.geometry import nearest_valid
from depthprobe.registry import Registry

ALIGNMENTS = Registry("alignment")
Fit = tuple[Tensor, Tensor]
_SCALABLE = ("metric_depth", "scale_depth")
_AFFINE = (*_SCALABLE, "affine_depth")


def align(
    pred: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    kind: str,
    method: str = "auto",
    floor: float | None = None,
    cap: float | None = None,
) -> Tensor:
    """Fit a prediction to the ground truth, per sample, and return it as depth in metres.

    Convention: pred, depth (B,1,H,W), valid bool (B,1,H,W); `kind` is the declared output kind. `method="auto"`: the
    method made for the kind. `floor` (1/m) or `cap` (m, floor = 1/cap) bound an aligned disparity before it is
    inverted (MiDaS 1/cap, Marigold 1e-3; None: MoGe's 1 / max depth of the sample); methods in depth ignore them.
    Pixels without a finite prediction take no part in the fit and stay as they are. A prediction without contrast
    gets scale 0 and the best constant; a sample without valid pixels becomes NaN.

    Raises:
        ValueError: if the method is not valid for the kind; names those that are.
    """
    check_shapes(pred=(pred, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    method = method_for(kind, method)
    return align_maps(pred[:, 0], depth[:, 0], valid[:, 0], kind, method, floor, cap)[:, None]


def method_for(kind: str, method: str = "auto") -> str:
    """The method to use for an output kind; `auto` is the one registered for it.

    Raises:
        ValueError: if the method is not valid for the kind.
    """
    check_one_of("kind", kind, OUTPUT_KINDS)
    if method == "auto":
        return next(name for name in ALIGNMENTS if kind in ALIGNMENTS.facts(name)["auto"])
    facts = ALIGNMENTS.facts(method)
    if kind not in facts["kinds"]:
        fits = [name for name in ALIGNMENTS if kind in ALIGNMENTS.facts(name)["kinds"]]
        raise ValueError(
            f"Expected `method` to be an alignment for {kind} {fits}, but got {method!r}, which works in "
            f"{facts['space']} space and leaves unknown what {kind} leaves unknown; use one of these or 'auto'."
        )
    return method


def align_maps(
    pred: Tensor, depth: Tensor, valid: Tensor, kind: str, method: str, floor: float | None, cap: float | None = None
) -> Tensor:
    """`align` on maps (B,H,W) without checks; depth and valid may be (1,H,W), shared by all predictions."""
    return pred if method == "none" else fit_maps(pred, depth, valid, kind, method, floor, cap)(pred)


@dataclasses.dataclass(frozen=True)
class Fitted:
    """A fit per sample, made once, that turns any prediction (B,H,W) of the same samples into depth in metres.

    Convention: scale, shift (B,) float64, in disparity where `floor` (1/m) is given; kind as declared.
    """

    scale: Tensor
    shift: Tensor
    kind: str
    floor: Tensor | float | None

    def __call__(self, pred: Tensor) -> Tensor:
        """The aligned prediction."""
        x = _in_space(pred, self.kind, self.floor is not None)
        aligned = self.scale[:, None, None] * x + self.shift[:, None, None]
        return (aligned if self.floor is None else disparity_to_depth(aligned, self.floor)).to(pred.dtype)


def fit_maps(
    pred: Tensor, depth: Tensor, valid: Tensor, kind: str, method: str, floor: float | None, cap: float | None = None
) -> Fitted:
    """The fit of `align_maps` without applying it."""
    in_disparity = ALIGNMENTS.facts(method)["space"] == "disparity"
    x = _in_space(pred, kind, in_disparity)
    ok = valid & x.isfinite()
    y = torch.where(ok, 1 / depth.double() if in_disparity else depth.double(), 0.0)
    scale, shift = ALIGNMENTS[method](torch.where(ok, x, 0.0), y, ok)
    return Fitted(scale, shift, kind, _floor(depth, ok, floor, cap) if in_disparity else None)


def _in_space(pred: Tensor, kind: str, in_disparity: bool) -> Tensor:
    """A prediction in the space of its fit, float64."""
    x = pred.double()
    return depth_to_disparity(x) if in_disparity and kind != "affine_disparity" else x


def _floor(depth: Tensor, ok: Tensor, floor: float | None, cap: float | None) -> Tensor | float:
    """The least aligned disparity, 1/m: the larger of `floor` and 1/`cap`, or per sample 1 / max depth."""
    given = [check_positive("floor", floor)] if floor is not None else []
    given += [1 / check_positive("cap", cap)] if cap is not None else []
    if given:
        return max(given)
    farthest = torch.where(ok, depth.double(), 0.0).amax((1, 2), keepdim=True)
    return torch.where(farthest > 0, 1 / farthest, torch.nan)


def check_positive(name: str, value: float) -> float:
    """Return a finite positive number, or raise ValueError."""
    check_range(name, value, 0, 1e9, open_low=True)
    return value


def _mean(x: Tensor, ok: Tensor) -> Tensor:
    """Mean over ok pixels (B,1,1); x is 0 elsewhere; NaN where there is none."""
    return x.sum((1, 2), keepdim=True) / ok.sum((1, 2), keepdim=True)


@ALIGNMENTS.register("none", kinds=("metric_depth",), auto=("metric_depth",), space="depth", source="metric depth")
def none(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Nothing is fitted: scale 1, shift 0."""
    return x.new_ones(len(x)), x.new_zeros(len(x))


@ALIGNMENTS.register("median", kinds=_SCALABLE, auto=("scale_depth",), space="depth", source="SfMLearner; monodepth2")
def median(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Scale = median g / median z, each over the valid pixels (midpoint of the two middle ones, as numpy)."""
    scale = _median(y, ok) / _median(x, ok)
    return scale.where(scale.isfinite(), torch.nan), torch.zeros_like(scale)


def _median(x: Tensor, ok: Tensor) -> Tensor:
    """Median over ok pixels (B,); NaN where there is none."""
    n = ok.sum((1, 2))
    x = x.expand_as(ok).masked_fill(~ok, torch.inf).flatten(1).sort(1).values
    middle = torch.stack([(n - 1).clamp(min=0) // 2, (n // 2).clamp(max=x.shape[1] - 1)], 1)
    return x.gather(1, middle).mean(1).where(n > 0, torch.nan)


@ALIGNMENTS.register("scale", kinds=_SCALABLE, auto=(), space="depth", source="least squares")
def scale(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Least squares scale: Σ z g / Σ z²."""
    power = x.square().sum((1, 2))
    factor = ((x * y).sum((1, 2)) / power).where(power > 0, torch.nan)
    return factor, torch.zeros_like(factor)


@ALIGNMENTS.register("scale_shift", kinds=_AFFINE, auto=("affine_depth",), space="depth", source="Marigold; UniDepth")
def scale_shift(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Least squares scale and shift in depth. The scale may come out negative (no constraint, as in the sources)."""
    x_mean, y_mean = _mean(x, ok), _mean(y, ok)
    centred = torch.where(ok, x - x_mean, 0.0)
    variance = _mean(centred.square(), ok)
    flat = variance <= 1e-14 * x_mean.square()  # constant to the precision of float32: any scale fits, 0 is least
    factor = torch.where(flat, 0.0, _mean(centred * y, ok) / variance)
    return factor.flatten(), (y_mean - factor * x_mean).flatten()


@ALIGNMENTS.register(
    "disparity",
    kinds=(*_SCALABLE, "affine_disparity"),
    auto=("affine_disparity",),
    space="disparity",
    source="MiDaS, arXiv:1907.01341; gist ranftlr/a1c7a24",
)
def disparity(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Least squares scale and shift in disparity (a depth is inverted first), floored before it is inverted back."""
    return scale_shift(x, y, ok)


@ALIGNMENTS.register("scale_l1", kinds=_SCALABLE, auto=(), space="depth", source="MoGe, arXiv:2410.19115")
def scale_l1(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Scale that minimises Σ |a z - g| / g over a masked 64×64 nearest subsample; exact (a weighted median of g/z)."""
    x, y, weight = _subsample(x, y, ok)
    pull = weight * x.abs()
    ratio = torch.where(pull > 0, y / x, torch.inf)
    factor = _weighted_median(ratio, pull)
    return factor, torch.zeros_like(factor)


@ALIGNMENTS.register("scale_shift_l1", kinds=_AFFINE, auto=(), space="depth", source="MoGe, arXiv:2410.19115")
def scale_shift_l1(x: Tensor, y: Tensor, ok: Tensor) -> Fit:
    """Scale and shift that minimise Σ |a z + b - g| / g over a masked 64×64 nearest subsample; exact to rounding.

    For a given slope the best shift is a weighted median, and the sign of the slope's subgradient there says on which
    side the optimum lies: bisection on the slope's angle, after standardising z and g.
    """
    x, y, weight = _subsample(x, y, ok)
    total = weight.sum(1, keepdim=True)
    x_mean, y_mean = (weight * x).sum(1, keepdim=True) / total, (weight * y).sum(1, keepdim=True) / total
    x_size, y_size = (((weight * (v - m).abs()).sum(1, keepdim=True) / total) for v, m in ((x, x_mean), (y, y_mean)))
    flat = x_size <= 1e-7 * x_mean.abs()
    x_unit, y_unit = ((v - m) / torch.where(s > 0, s, 1.0) for v, m, s in ((x, x_mean, x_size), (y, y_mean, y_size)))
    low, high = torch.full_like(total, -math.pi / 2), torch.full_like(total, math.pi / 2)
    for _ in range(56):
        middle = (low + high) / 2
        rising = _slope_gradient(x_unit, y_unit, weight, middle.tan()) > 0
        low, high = torch.where(rising, low, middle), torch.where(rising, middle, high)
    factor = torch.where(flat, 0.0, ((low + high) / 2).tan() * y_size / x_size)
    factor = factor.where(total > 0, torch.nan)
    return factor.flatten(), _weighted_median(y - factor * x, weight)


def _slope_gradient(x: Tensor, y: Tensor, weight: Tensor, slope: Tensor) -> Tensor:
    """A subgradient (B,1) of min over b of Σ w |a x + b - y| at slope a."""
    order = (slope * x - y).argsort(1)
    sorted_weight, sorted_x = weight.gather(1, order), x.gather(1, order)
    above = sorted_weight.cumsum(1)
    total = above[:, -1:]
    # residual signs sum to 0 at the median: -1 before it, +1 after it, in between at the pixel that it passes through
    sign = ((2 * above - sorted_weight - total) / sorted_weight.clamp(min=1e-300)).clamp(-1, 1)
    return (sorted_weight * sorted_x * sign).sum(1, keepdim=True)


def _subsample(x: Tensor, y: Tensor, ok: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction, truth and weight 1/g (0 where a cell has no valid pixel) of the 64×64 subsample, (B,n) each."""
    index, found = nearest_valid(ok)
    x, y = x.flatten(1).gather(1, index), y.expand_as(ok).flatten(1).gather(1, index)
    x, y = torch.where(found, x, 0.0), torch.where(found, y, 1.0)
    return x, y, torch.where(found, 1 / y, 0.0)


def _weighted_median(x: Tensor, weight: Tensor) -> Tensor:
    """The least value (B,) at which the weight up to it reaches half; NaN where there is no weight."""
    order = x.argsort(1)
    reached = weight.gather(1, order).cumsum(1)
    half = reached[:, -1:] / 2
    first = (reached < half).sum(1, keepdim=True).clamp(max=x.shape[1] - 1)
    return x.gather(1, order).gather(1, first).where(half > 0, torch.nan).flatten()
