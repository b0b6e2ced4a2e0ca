"""What is read off a mean curve: its area, the budget needed for an error, the ratio of two such budgets."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from depthprobe.checks import check_one_of

SCALES = ("log", "linear")
REACH = (0.5, 0.9)


def positions(x: pd.Series, scale: str) -> np.ndarray:
    """Where levels lie on the axis: ln x or x, (N,).

    Raises:
        ValueError: if a level is NaN, or not positive on a log scale.
    """
    check_one_of("scale", scale, SCALES)
    values = x.to_numpy(float)
    if np.isnan(values).any():
        raise ValueError(
            f"Expected a number in `{x.name}` of every row of a curve, but got {int(np.isnan(values).sum())} without; "
            "filter the table to the rows of one probe that varies it."
        )
    if scale == "log" and (values <= 0).any():
        raise ValueError(f'Expected `{x.name}` > 0 on a log scale, but got {values.min():g}; pass scale="linear".')
    return np.asarray(np.log(values) if scale == "log" else values)


def auc(u: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Trapezoid area of curves (L, B) over positions u (L,), divided by the width: (B,); NaN with fewer than two."""
    if len(u) < 2:
        return np.full(mean.shape[1], np.nan)
    return np.asarray(np.trapezoid(mean, u, axis=0) / (u[-1] - u[0]))


def first_reach(u: np.ndarray, mean: np.ndarray, target: np.ndarray, falling: np.ndarray) -> np.ndarray:
    """First position (B,) at which the curves (L, B) reach `target` (B,), linear between points; inf if never.

    Convention: `falling` (B,) says whether to reach is to come down to the target or up to it. NaN where the curve or
    target is NaN.
    """
    sign = np.where(falling, 1.0, -1.0)
    gap = sign * (mean - target)  # <= 0: reached
    reached = gap <= 0
    at = np.argmax(reached, axis=0)
    before = np.maximum(at - 1, 0)
    column = np.arange(mean.shape[1])
    above, below = gap[before, column], gap[at, column]
    with np.errstate(invalid="ignore", divide="ignore"):
        part = np.where(at > 0, above / (above - below), 0.0)
    place = u[before] + part * (u[at] - u[before])
    place = np.where(reached.any(0), place, np.inf)
    return np.where(np.isnan(mean).any(0) | np.isnan(target), np.nan, place)


def _is_falling(mean: np.ndarray, better: str) -> np.ndarray:
    if better == "none":
        return np.asarray(mean[-1] < mean[0])
    return np.full(mean.shape[1], better == "lower")


def curve_quantities(
    start: float | None, targets: Sequence[float], scale: str
) -> Callable[[np.ndarray, np.ndarray, str], dict[str, np.ndarray]]:
    """The function (u, mean (1, L, B), better) -> {quantity: (B,)} of one curve: auc, b50, b90, b@T."""

    def measure(u: np.ndarray, means: np.ndarray, better: str) -> dict[str, np.ndarray]:
        mean = means[0]
        falling = _is_falling(mean, better)
        origin = mean[0] if start is None else np.full(mean.shape[1], start)
        gains = np.where(falling, origin > mean[-1], mean[-1] > origin)
        out = {"auc": auc(u, mean)}
        for share in REACH:
            place = first_reach(u, mean, origin + share * (mean[-1] - origin), falling)
            out[f"b{share * 100:g}"] = np.where(gains | np.isnan(place), place, np.inf)
        for value in targets:
            out[f"b@{value:g}"] = first_reach(u, mean, np.full(mean.shape[1], value), falling)
        return out if scale == "linear" else {k: v if k == "auc" else np.exp(v) for k, v in out.items()}

    return measure


def difference_quantities(
    scale: str,
) -> Callable[[np.ndarray, np.ndarray, str], dict[str, np.ndarray]]:
    """The function (u, means (3, L, B) of b - a, a and b, better) -> auc difference, ratio50, ratio90 (B,)."""

    def measure(u: np.ndarray, means: np.ndarray, better: str) -> dict[str, np.ndarray]:
        difference, a, b = means
        falling = _is_falling(a, better)
        origin = np.where(falling, np.minimum(a[0], b[0]), np.maximum(a[0], b[0]))
        end = np.where(falling, np.maximum(a[-1], b[-1]), np.minimum(a[-1], b[-1]))
        exists = np.where(falling, origin > end, end > origin)
        out = {"auc": auc(u, difference)}
        for share in REACH:
            target = np.where(exists, origin + share * (end - origin), np.nan)
            at_a, at_b = first_reach(u, a, target, falling), first_reach(u, b, target, falling)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.exp(at_b - at_a) if scale == "log" else at_b / at_a
            out[f"ratio{share * 100:g}"] = ratio
        return out

    return measure
