"""Resampling whole groups by weights: bootstrap means as matrix products, their intervals and standard errors."""

import warnings
from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

from depthprobe.checks import check_one_of, check_range

METHODS = ("expanded", "percentile", "bca")
_CHUNK = 4_000_000  # weights drawn at once
FEW_GROUPS = 8  # below, quantiles of the bootstrap under-cover however far they are widened: Student's t instead


def check_options(n_boot: int, level: float, method: str = "expanded") -> None:
    """Check the options that every estimator shares.

    Raises:
        ValueError: naming the option that is out of range.
    """
    check_range("n_boot", n_boot, 1, 10_000_000)
    check_range("level", level, 0.5, 0.9999)
    check_one_of("method", method, METHODS)


def group_weights(groups: int, n_boot: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield multinomial weights (b, G) for slices of the resamples: how often each group is drawn.

    The draws depend on (`groups`, `seed`) only, neither on the chunking nor on what else is in the table.
    """
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // groups)
    for start in range(0, n_boot, step):
        rows = min(step, n_boot - start)
        drawn = rng.integers(0, groups, (rows, groups)) + groups * np.arange(rows)[:, None]
        weight = np.bincount(drawn.ravel(), minlength=rows * groups).reshape(rows, groups)
        yield slice(start, start + rows), weight.astype(float)


def nested_weights(inside: np.ndarray, n_boot: int, seed: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield weights (b, N) of samples that lie in the groups `inside` (N,): groups are drawn, then samples in each.

    Convention: the groups are those of `group_weights`; every time a group of k samples is drawn, k of its samples are
    drawn with replacement. The draws inside a group depend on (its number, its size, `seed`) only.
    """
    members = [np.flatnonzero(inside == g) for g in range(int(inside.max(initial=-1)) + 1)]
    rngs = [np.random.default_rng([seed, 2, g]) for g in range(len(members))]
    step = max(1, _CHUNK // len(inside))
    for part, drawn in group_weights(len(members), n_boot, seed):
        for start in range(0, len(drawn), step):
            times = drawn[start : start + step].astype(np.int64)
            weight = np.empty((len(times), len(inside)))
            for g, (rng, at) in enumerate(zip(rngs, members, strict=True)):
                weight[:, at] = rng.multinomial(times[:, g] * len(at), np.full(len(at), 1 / len(at)))
            yield slice(part.start + start, part.start + start + len(times)), weight


def resample_means(
    total: np.ndarray, count: np.ndarray, inside: np.ndarray | None = None, *, n_boot: int, seed: int
) -> np.ndarray:
    """Bootstrap means (K*C, n_boot) of sums `total` (G, K*C) over `count` (G, C) samples, whole groups drawn.

    With `inside` (N,) the rows of `total` and `count` are single samples, which are drawn inside the groups drawn. A
    resample without any defined sample of a cell gives NaN there.
    """
    out = np.full((total.shape[1], n_boot), np.nan)
    if not len(total):
        return out
    if (count == count[:, :1]).all():  # a balanced table: one denominator serves all cells
        count, repeat = count[:, :1], 1
    else:
        repeat = total.shape[1] // count.shape[1]
    draws = group_weights(len(total), n_boot, seed) if inside is None else nested_weights(inside, n_boot, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        for part, weight in draws:
            out[:, part] = (total.T @ weight.T) / np.tile(count.T @ weight.T, (repeat, 1))
    return out


def means(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Plain means (K*C,) over all samples; NaN where none is defined."""
    repeat = total.shape[1] // count.shape[1]
    with np.errstate(invalid="ignore"):
        return np.asarray(total.sum(0) / np.tile(count.sum(0), repeat))


def row_quantiles(values: np.ndarray, q: np.ndarray | float) -> np.ndarray:
    """Quantile `q` ((C,) or one for all) of each row of `values` (C, n), linear, NaN left out.

    Infinite entries are ranked, never interpolated with: a quantile that touches infinity is infinite.
    """
    ranked = np.sort(values, axis=-1)
    defined = np.count_nonzero(~np.isnan(ranked), axis=-1)
    place = np.where(defined > 0, np.broadcast_to(q, defined.shape) * (defined - 1), 0.0)
    place = np.nan_to_num(place)
    below = np.floor(place).astype(int)
    above = np.minimum(below + 1, np.maximum(defined - 1, 0))
    row = np.arange(len(ranked))
    low, high, part = ranked[row, below], ranked[row, above], place - below
    with np.errstate(invalid="ignore"):
        between = low + part * (high - low)
    return np.asarray(np.where((part == 0) | (low == high), low, np.where(np.isinf(high), high, between)))


def intervals(
    boot: np.ndarray, estimate: np.ndarray, total: np.ndarray, count: np.ndarray, *, level: float, method: str
) -> tuple[np.ndarray, np.ndarray]:
    """Interval ends (C,), (C,) from the bootstrap means `boot` (C, n_boot); NaN with fewer than two defined groups.

    `expanded`: see `expanded_interval`; covers as it says for group means that are about normal, with few groups too.
    `percentile`: not widened (covers 92 % with 20 groups, 50 % with 2). `bca`: bias corrected and accelerated,
    jackknife over groups (Efron 1987), as `scipy.stats.bootstrap`; for skewed values, not for few groups.
    """
    groups = np.count_nonzero(count, axis=0)
    if method == "expanded":
        return expanded_interval(boot, estimate, groups, level)
    tail = (1 - level) / 2
    if method == "bca":
        ends = _bca_tails(boot, estimate, total, count, tail)
    else:
        ends = np.full(len(boot), tail), np.full(len(boot), 1 - tail)
    low, high = (np.where(groups >= 2, row_quantiles(boot, q), np.nan) for q in ends)
    return low, high


def expanded_interval(
    boot: np.ndarray, estimate: np.ndarray, groups: np.ndarray, level: float
) -> tuple[np.ndarray, np.ndarray]:
    """The interval (C,), (C,) of resampled means `boot` (C, n_boot) from `groups` (C,); NaN with fewer than two.

    Convention: from 8 groups on, quantiles of the bootstrap, widened for the number of groups (Hesterberg 2015, The
    American Statistician 69:371); 95 % cover 94 to 95 %. With fewer, the resamples take too few different values for
    any of their quantiles to cover (of 2 groups the outermost cover 50 %), so the ends are estimate +- t(G - 1)
    standard errors.
    """
    few = groups < FEW_GROUPS
    low, high = (row_quantiles(boot, q) for q in expanded_tails(groups, level))
    if not few.any():
        return low, high
    half = standard_errors(boot, groups) * student.ppf((1 + level) / 2, np.maximum(groups - 1, 1))
    return np.where(few, estimate - half, low), np.where(few, estimate + half, high)


def expanded_tails(groups: np.ndarray | int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The two quantiles, widened for the number of groups, that a bootstrap interval of `level` is read at."""
    g = np.maximum(groups, 2)
    first = ndtr(np.sqrt(g / (g - 1)) * student.ppf((1 - level) / 2, g - 1))
    return first, 1 - first


def _bca_tails(
    boot: np.ndarray, estimate: np.ndarray, total: np.ndarray, count: np.ndarray, tail: float
) -> tuple[np.ndarray, np.ndarray]:
    score, n_boot = estimate[:, None], boot.shape[1]
    bias = ndtri(((boot < score).sum(1) + (boot <= score).sum(1)) / (2 * n_boot))
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # an all-NaN column has no acceleration
        left_out = (total.sum(0) - total) / (count.sum(0) - count)
        pull = np.where(count > 0, np.nanmean(np.where(count > 0, left_out, np.nan), axis=0) - left_out, 0.0)
        acceleration = (pull**3).sum(0) / (6 * (pull**2).sum(0) ** 1.5)
        acceleration = np.nan_to_num(acceleration, posinf=0.0, neginf=0.0)
        ends = [ndtr(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in (ndtri(tail), -ndtri(tail))]
    known = np.isfinite(bias)
    return np.where(known, ends[0], tail), np.where(known, ends[1], 1 - tail)


def standard_errors(boot: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Bootstrap standard errors (C,), times sqrt(G / (G - 1)), which makes the variance unbiased for equal groups.

    NaN with fewer than two groups.
    """
    g = np.maximum(groups, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        spread = np.nanstd(np.where(np.isfinite(boot), boot, np.nan), axis=1)
    return np.where(groups >= 2, spread * np.sqrt(g / (g - 1)), np.nan)


def clustered_errors(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Standard errors (C,) of the means of sums `total` (G, C) over `count` (G, C) samples, groups independent.

    The linearised error of a ratio of two sums, times sqrt(G / (G - 1)): for equal groups the standard deviation of
    their means over sqrt(G), and what `standard_errors` of many resamples comes to. NaN with fewer than two groups.
    """
    groups = np.count_nonzero(count, axis=0)
    residual = total - means(total, count) * count
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(groups / (groups - 1) * (residual**2).sum(0)) / count.sum(0)
    return np.where(groups >= 2, error, np.nan)


def joint_quantile(worst: np.ndarray, groups: int, level: float, size: int) -> float:
    """The `level` quantile of max |t| over `size` quantities, from its resamples `worst` (n_boot,).

    Convention: the quantile is carried from the normal to Student's t with G - 1 degrees of freedom, because the
    standard errors are estimated from G groups. Below 8 groups the resamples do not hold it, and Bonferroni's over the
    quantities stands in.
    """
    if groups < FEW_GROUPS:
        return float(student.ppf(1 - (1 - level) / 2 / size, max(groups - 1, 1)))
    return float(student.ppf(ndtr(row_quantiles(worst[None], level)[0]), groups - 1))
