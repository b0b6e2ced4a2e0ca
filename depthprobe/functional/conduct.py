"""Does an output behave as its kind promises? Quantities of a network's raw outputs, of any kind unless it is said.

Convention: outputs (B,1,H,W) as the network gives them, unaligned; values (B,), float64. NaN where undefined.
"""

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.attribution_checks import rank_correlation
from depthprobe.functional.terms import METRICS


@METRICS.register("nan_share", unit="1", better="lower", source="depthprobe", inputs="output")
def nan_share(output: Tensor) -> Tensor:
    """Share of the values that are no number or infinite."""
    return (~_flat(output).isfinite()).double().mean(1)


@METRICS.register("nonpositive_share", unit="1", better="lower", source="depthprobe", inputs="output")
def nonpositive_share(output: Tensor) -> Tensor:
    """Share of the values at or below 0, which no depth can have; of a kind whose shift is open it says nothing."""
    return (_flat(output) <= 0).double().mean(1)


@METRICS.register("nonpositive", unit="1", better="lower", source="depthprobe", inputs="output valid")
def nonpositive(output: Tensor, valid: Tensor) -> Tensor:
    """`nonpositive_share` of the pixels that are judged, valid bool (B,1,H,W); NaN where none is."""
    check_shapes(output=(output, "b 1 h w"), valid=(valid, "b 1 h w"))
    ok = valid.flatten(1)
    return ((_flat(output) <= 0) & ok).sum(1).double() / ok.sum(1)


@METRICS.register("out_of_range_share", unit="1", better="lower", source="depthprobe", inputs="output valid low high")
def out_of_range_share(output: Tensor, valid: Tensor, low: float, high: float) -> Tensor:
    """Share of the values (in metres) below `low` or above `high`, infinite ones included, where a truth lies between.

    Convention: valid bool (B,1,H,W): the pixels whose truth lies between; what is farther than the protocol looks, as
    the sky, is no fault. A NaN is neither. NaN without a valid pixel.
    """
    check_range("high", high, low, float("inf"), open_low=True)
    check_shapes(output=(output, "b 1 h w"), valid=(valid, "b 1 h w"))
    flat, ok = _flat(output), valid.flatten(1)
    return (((flat < low) | (flat > high)) & ok).sum(1).double() / ok.sum(1)


@METRICS.register("spread", unit="1", better="none", source="depthprobe", inputs="output")
def spread(output: Tensor) -> Tensor:
    """Standard deviation over |mean| of the finite values: 0 is a constant answer.

    Convention: population standard deviation; NaN where no value is finite, or the mean alone is 0.
    """
    flat = _flat(output)
    finite = flat.isfinite()
    count = finite.sum(1)
    mean = flat.where(finite, 0.0).sum(1) / count
    off = (flat - mean[:, None]).where(finite, 0.0)
    noise = 1e-6 * mean.abs()
    deviation = (off.square().sum(1) / count).sqrt()
    deviation = deviation.where(off.abs().amax(1) > noise, deviation * 0)  # equal to rounding is equal
    relative = deviation / mean.abs()
    return relative.where(relative.isfinite(), torch.nan).where(deviation > 0, deviation)


@METRICS.register("repeat_difference", unit="1", better="lower", source="depthprobe", inputs="output again")
def repeat_difference(output: Tensor, again: Tensor) -> Tensor:
    """Largest |difference| between two answers to the same image, over the range of the first: 0 is deterministic.

    Convention: over pixels where both are finite. A constant first answer has no range: its |value| stands for it. NaN
    where no pixel is finite in both, or the first is 0 everywhere and the second is not.
    """
    check_shapes(output=(output, "b 1 h w"), again=(again, "b 1 h w"))
    a, b = _flat(output), _flat(again)
    both = a.isfinite() & b.isfinite()
    most = (a - b).abs().where(both, 0.0).amax(1)
    high, low = a.where(both, -torch.inf).amax(1), a.where(both, torch.inf).amin(1)
    size = (high - low).where(high > low, high.abs())
    relative = (most / size).where(most > 0, 0.0)
    return relative.where(both.any(1) & relative.isfinite(), torch.nan)


@METRICS.register("batch_difference", unit="1", better="lower", source="depthprobe", inputs="alone beside")
def batch_difference(alone: Tensor, beside: Tensor) -> Tensor:
    """`repeat_difference` of the answer to an image alone and to the same image in a batch with others."""
    return repeat_difference(alone, beside)


@METRICS.register("train_difference", unit="1", better="none", source="depthprobe", inputs="evaluated trained")
def train_difference(evaluated: Tensor, trained: Tensor) -> Tensor:
    """`repeat_difference` of the answer in eval mode and in train mode (dropout, batch statistics)."""
    return repeat_difference(evaluated, trained)


@METRICS.register("image_difference", unit="1", better="none", source="depthprobe", inputs="answer other")
def image_difference(answer: Tensor, other: Tensor) -> Tensor:
    """`repeat_difference` of the answers to two different images: 0 is an answer that ignores the image."""
    return repeat_difference(answer, other)


@METRICS.register("order", unit="1", better="none", source="Spearman 1904", inputs="output depth valid")
def order(output: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Rank correlation of the output with the true depth, where valid: below 0 it falls where depth grows.

    Convention: output, depth (B,1,H,W), valid bool; over pixels where the output is finite; blind to every rising
    function of either, hence to scale, shift and unit. NaN where one of them is constant or no pixel is left.
    """
    check_shapes(output=(output, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    ok = valid & output.isfinite()
    pairs = [
        (z[mask].view(1, 1, 1, -1), g[mask].view(1, 1, 1, -1)) for z, g, mask in zip(output, depth, ok, strict=True)
    ]
    unknown = torch.full((1,), torch.nan, dtype=torch.float64, device=output.device)
    return torch.cat([rank_correlation(z, g) if z.numel() else unknown for z, g in pairs])


@METRICS.register("scale", unit="1", better="none", source="depthprobe", inputs="pred depth valid")
def scale(pred: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Median prediction over median truth, where valid: 1 is metres, 1000 millimetres.

    Convention: pred, depth (B,1,H,W), valid bool; medians of finite values (the lower of the two middle ones); NaN
    without any.
    """
    check_shapes(pred=(pred, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    ok = (valid & pred.isfinite()).flatten(1)
    z, g = (_flat(x).where(ok, torch.nan).nanmedian(1).values for x in (pred, depth))
    return z / g


@METRICS.register("kind_error", unit="1", better="lower", source="depthprobe", inputs="aligned depth valid")
def kind_error(aligned: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Mean |z - g| / g after the alignment that an output kind allows: a wrongly declared kind fits better by another.

    Convention: aligned, depth (B,1,H,W) in metres, valid bool; NaN without a valid pixel. What has more to fit, fits
    better anyway: compare with how much better it fits networks whose kind is known.
    """
    check_shapes(aligned=(aligned, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    off = ((aligned - depth).abs() / depth).double().where(valid, 0.0)
    return off.sum((1, 2, 3)) / valid.sum((1, 2, 3))


def _flat(output: Tensor) -> Tensor:
    return output.flatten(1).double()
