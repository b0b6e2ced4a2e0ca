"""Curves over a level (budget): bands, area under the curve, and the budget needed for a given error."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from depthprobe.stats.pairs import both_sides, check_paired, pair_up, sides
from depthprobe.stats.quantities import curve_quantities, difference_quantities, positions
from depthprobe.stats.resample import (
    check_options,
    expanded_interval,
    expanded_tails,
    intervals,
    joint_quantile,
    means,
    resample_means,
    row_quantiles,
    standard_errors,
)
from depthprobe.stats.summary import with_estimates
from depthprobe.stats.units import Units, blocks, cell_codes, check_by, complete, group_sums, per_sample

BUDGET_GROUPS = 6  # a budget or a ratio has no standard error to fall back on: below, it has no interval
Quantities = Callable[[np.ndarray, np.ndarray, str], dict[str, np.ndarray]]


class Curve(NamedTuple):
    """`points`: one row per curve and level; `summary`: one row per curve and quantity (auc, b50, b90, ...)."""

    points: pd.DataFrame
    summary: pd.DataFrame


def curve(
    table: pd.DataFrame,
    by: Sequence[str],
    *,
    x: str = "level",
    scale: str = "log",
    start: float | None = None,
    targets: Sequence[float] = (),
    n_boot: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Curve:
    """Mean curves over `x`, one per cell of `by`, with bands, area and the budgets needed.

    Convention: a curve is a mean over the same samples at every level: a sample that is undefined or missing at one
    level is left out at all of them (`n` shows it; `undefined` counts the NaN values). `points` has estimate, low, high
    (pointwise, "expanded") and band_low, band_high (simultaneous: max-|t| over the levels of the curve, so that the
    whole true curve lies inside with probability `level`; below 8 groups Bonferroni's t). `summary` has, per curve,
    the quantities
    auc: trapezoid area over ln x (`scale="log"`, the default, for budgets) or x ("linear"), divided by the width: a
    mean error in the metric's unit;
    b50, b90: the smallest x, interpolated on the same scale, at which the mean curve has gone 50 / 90 % of the way
    from its value at the smallest x (or from the floor `start`, e.g. a constant predictor's error) to its value at the
    largest; b@T: the same for each value T of `targets`. A budget at or below the smallest measured one is given as
    that one. One that is never reached is NaN as an estimate and infinite as a bound; `not_reached` is the share of
    resamples without it. Budgets have no interval (NaN) with fewer than 6 groups.

    Raises:
        ValueError: if another column varies inside a cell of `by` and `x`, a row has no `x`, or a log scale meets
            x <= 0.
    """
    check_options(n_boot, level)
    by = check_by(table, by)
    positions(table[x], scale)
    units = per_sample(table, [*by, x])
    points, summary = _estimate(
        units, by, x, scale, curve_quantities(start, targets, scale), n_boot=n_boot, level=level, seed=seed
    )
    return Curve(points, summary)


def curve_difference(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    between: str = "model",
    a: Any = None,
    b: Any = None,
    x: str = "level",
    scale: str = "log",
    n_boot: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Curve:
    """Difference of two curves, b - a, on the samples both have, and how many times the budget b needs.

    Convention: `points` as in `curve`, for the difference. `summary` has auc (difference of the areas) and ratio50,
    ratio90: budget of b over budget of a *for the same error*. That error lies 50 / 90 % of the way from the better of
    the two values at the smallest x to the worse of the two at the largest, so both curves pass it; where there is no
    such error the ratio is NaN. `not_reached` is the share of resamples without a ratio; where in more than
    (1 - level) / 2 of them (2.5 %) the curves share no error the interval is NaN, because an interval of the rest would
    be conditional on sharing one. So it is with fewer than 6 groups. The p value of the area difference is
    `compare(area(table), ...)`.

    Raises:
        ValueError: as `curve` and `compare`.
    """
    check_options(n_boot, level)
    by = check_by(table, by)
    positions(table[x], scale)
    named = sides(table, between, a, b)
    units, full = both_sides(table, between, [*by, x], [s for names in named for s in names])
    paired = list(pair_up(units, full, between, named))
    check_paired(sum(len(p.cell) for p in paired), between)
    read = difference_quantities(scale)
    keys = [*by, "a", "b"]
    found = [_estimate(p, keys, x, scale, read, n_boot=n_boot, level=level, seed=seed) for p in paired]
    return Curve(*(pd.concat(frames, ignore_index=True) for frames in zip(*found, strict=True)))


def area(table: pd.DataFrame, *, x: str = "level", scale: str = "log") -> pd.DataFrame:
    """The table with every curve over `x` replaced by its normalised area, one row per sample, metric `auc(...)`.

    Convention: the mean over samples of these areas is the `auc` of `curve`, so `summarise` and `compare` work on them
    (p, effect size). `x` becomes NaN. Rows without `x`, or alone on their curve, stay as they are. A sample that lacks
    a level the others have gets NaN, which every estimator counts; so does a single seed of it, whose other levels
    `curve` still averages with the other seeds.

    Raises:
        ValueError: if a log scale meets x <= 0.
    """
    keys = [c for c in table.columns if c not in (x, "value")]
    lone = table[x].isna()
    rows = table[~lone]
    if rows.empty:
        return table
    code = rows.groupby(keys, sort=False, dropna=False, observed=True).ngroup().to_numpy()
    of_curve = rows.groupby([c for c in keys if c not in ("sample", "group", "seed")], dropna=False, observed=True)
    levels = of_curve[x].transform("nunique").to_numpy()
    order = np.lexsort((rows[x].to_numpy(float), code))
    u, code, levels = positions(rows[x], scale)[order], code[order], levels[order]
    v = rows["value"].to_numpy(float)[order]
    first = np.flatnonzero(np.r_[True, np.diff(code) != 0])
    size = np.diff(np.r_[first, len(code)])
    last = first + size - 1
    step = np.where(np.diff(code, append=-1) == 0, np.diff(u, append=0.0) * (v + np.roll(v, -1)) / 2, 0.0)
    whole = (size == levels[first]) & (size > 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = np.where(whole, np.add.reduceat(step, first) / (u[last] - u[first]), np.nan)
    out = rows.iloc[order[first]].copy()
    curved = levels[first] > 1
    out["value"] = np.where(curved, value, out["value"])
    out[x] = np.where(curved, np.nan, out[x])
    out["metric"] = np.where(curved, "auc(" + out["metric"].astype(object) + ")", out["metric"].astype(object))
    return pd.concat([table[lone], out], ignore_index=True)


def _estimate(
    units: Units, by: list[str], x: str, scale: str, quantities: Quantities, *, n_boot: int, level: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Points and summary of the curves in `units`: cells with equal `by` are one curve, in ascending `x`."""
    cells = units.cells
    item, _ = cell_codes(cells, by)
    units = complete(units, item)
    found = np.full((7, len(cells)), np.nan)
    found[3:5] = 0
    rows: list[dict[str, Any]] = []
    for some, groups in blocks(units, item, width=n_boot * units.value[:1].size):
        sums, count = group_sums(units, some, groups)
        boot = resample_means(sums, count, n_boot=n_boot, seed=seed).reshape(-1, len(some), n_boot)
        mean = means(sums, count).reshape(-1, len(some))
        held = np.count_nonzero(count, axis=0)
        ends = intervals(boot[0], mean[0], sums, count, level=level, method="expanded")
        found[:5, some] = mean[0], *ends, count.sum(0), held
        error = standard_errors(boot[0], held)
        for one in np.unique(item[some]):
            at = np.flatnonzero(item[some] == one)
            half = _half_band(boot[0][at], mean[0][at], error[at], held[at].min(), level)
            found[5:, some[at]] = mean[0][at] - half, mean[0][at] + half
            facts = cells.iloc[some[at]]
            drawn = np.concatenate([mean[:, at, None], boot[:, at]], axis=2)
            values = quantities(positions(facts[x], scale), drawn, facts["better"].iloc[0])
            rows += _summary(values, facts, by, found[3:5, some[at]].min(1), level)
    points = with_estimates(cells, found[:5])
    for name, edge in (("band_high", found[6]), ("band_low", found[5])):
        points.insert(points.columns.get_loc("high") + 1, name, edge)
    summary = pd.DataFrame(rows)
    return points, summary.sort_values(by, kind="stable", ignore_index=True) if by else summary


def _half_band(boot: np.ndarray, mean: np.ndarray, error: np.ndarray, groups: int, level: float) -> np.ndarray:
    """Half-widths (L,) of the simultaneous band: the `level` quantile of max-|t| over the curve, times the error."""
    known = error > 0
    if not known.any():
        return error
    t = np.abs(boot[known] - mean[known, None]) / error[known, None] * np.sqrt(groups / (groups - 1))
    worst = np.where(np.isnan(t).any(0), np.nan, t.max(0))
    return joint_quantile(worst, groups, level, int(known.sum())) * error


def _summary(
    drawn: dict[str, np.ndarray], facts: pd.DataFrame, by: list[str], counts: np.ndarray, level: float
) -> list[dict[str, Any]]:
    """Rows of one curve's quantities; column 0 of each is the estimate, the rest are its resamples."""
    first = {c: facts[c].iloc[0] for c in (*by, "unit", "better")}
    seeds, undefined = int(facts["seeds"].min()), int(facts["undefined"].sum())
    rows: list[dict[str, Any]] = []
    for name, values in drawn.items():
        budget = name != "auc"
        low, high = (_budget_interval if budget else _mean_interval)(values, int(counts[1]), level)
        rows.append({
            **{c: first[c] for c in by},
            "quantity": name,
            "estimate": values[0] if np.isfinite(values[0]) else np.nan,
            "low": low,
            "high": high,
            "n": int(counts[0]),
            "groups": int(counts[1]),
            "not_reached": float((~np.isfinite(values[1:])).mean()) if budget else 0.0,
            "seeds": seeds,
            "undefined": undefined,
            "unit": "1" if budget else first["unit"],
            "better": "lower" if budget else first["better"],
        })  # fmt: skip
    return rows


def _mean_interval(values: np.ndarray, groups: int, level: float) -> tuple[float, float]:
    """Interval of an area, which is a mean of samples' areas; `values` (1 + n_boot,) start with the estimate."""
    low, high = expanded_interval(values[None, 1:], values[:1], np.array([groups]), level)
    return float(low[0]), float(high[0])


def _budget_interval(values: np.ndarray, groups: int, level: float) -> tuple[float, float]:
    """Interval of a budget or a ratio; NaN with few groups or where too many resamples have none."""
    if groups < BUDGET_GROUPS or np.isnan(values[1:]).mean() > (1 - level) / 2:
        return np.nan, np.nan
    low, high = (float(row_quantiles(values[None, 1:], q)[0]) for q in expanded_tails(groups, level))
    return low, high
