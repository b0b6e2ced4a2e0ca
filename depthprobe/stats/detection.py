"""What a comparison of a given size can find: minimum detectable difference, power, and the groups needed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import nctdtr
from scipy.stats import chi2
from scipy.stats import t as student

from depthprobe.checks import check_range
from depthprobe.stats.flips import smallest_p
from depthprobe.stats.multiplicity import per_metric
from depthprobe.stats.pairs import both_sides, check_paired, pair_up, sides, stack
from depthprobe.stats.resample import clustered_errors
from depthprobe.stats.units import Units, blocks, group_sums

MOST_GROUPS = 10**7
_HALVINGS = 60


def power(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    between: str = "model",
    a: Any = None,
    b: Any = None,
    effect: float | Mapping[str, float] | None = None,
    plan: Sequence[int] = (),
    comparisons: int = 1,
    level: float = 0.95,
    power: float = 0.8,
) -> pd.DataFrame:
    """The smallest difference b - a that `compare` finds with probability `power`, given the scatter in a table.

    Ask it before a study: with the scatter of this pilot, what would `plan` groups (scenes) find, how many are needed?

    Convention: `estimate` is the minimum detectable difference, in the metric's unit, with `planned` groups (each
    number of `plan`; default: as many as measured) of the sizes measured. Its interval says how well so many measured
    groups know the scatter (chi square: exact for normal group means). Two-sided test, noncentral t with groups - 1
    degrees of freedom; infinite where so few groups can never reach p <= 1 - level by sign flips (5 and fewer).
    `comparisons` is how many rows Holm will correct for: each is planned at (1 - level) / comparisons. With `effect` (a
    difference, or {metric: difference}), `chance` is the probability of finding it and `needed` the groups that find it
    with probability `power`. The difference that was measured is no effect to plan with: name the smallest that would
    matter.

    Returns:
        The `by` columns, a, b, planned, estimate, low, high, n, groups, effect, chance, needed, unit, better.

    Raises:
        ValueError: as `compare`, or if `effect`, `plan` or `comparisons` is out of range.
    """
    _check(plan, comparisons, level, power)
    alpha = (1 - level) / comparisons
    named = sides(table, between, a, b)
    units, by = both_sides(table, between, by, [s for pairs in named for s in pairs])
    paired = stack(list(pair_up(units, by, between, named)))
    check_paired(len(paired.cell), between)
    cells, scatter = _scatter(paired)
    cells["effect"] = per_metric("effect", effect, cells, table)
    wanted = cells["effect"].to_numpy(float)
    cells["needed"] = _needed(scatter, wanted, alpha, power)
    frames = []
    for groups in [np.full(len(cells), g) for g in plan] or [cells["groups"].to_numpy()]:
        error = scatter / np.sqrt(np.maximum(groups, 1))
        found = detectable(error, groups, level=1 - alpha, power=power)
        frames.append(cells.assign(planned=groups, estimate=found, chance=chance(error, groups, wanted, alpha)))
    out = pd.concat(frames, ignore_index=True)
    df = np.maximum(out["groups"] - 1, 1)
    for name, tail in (("low", (1 + level) / 2), ("high", (1 - level) / 2)):
        out[name] = out["estimate"] * np.sqrt(df / chi2.ppf(tail, df))
    numbers = ["planned", "estimate", "low", "high", "n", "groups", "effect", "chance", "needed"]
    out = out.sort_values([*by, "a", "b", "planned"], kind="stable", ignore_index=True)
    return out[[*by, "a", "b", *numbers, "unit", "better"]]


def _check(plan: Sequence[int], comparisons: int, level: float, power: float) -> None:
    check_range("level", level, 0.5, 0.9999)
    check_range("power", power, 0.01, 0.999)
    check_range("comparisons", comparisons, 1, 1_000_000)
    for groups in plan:
        check_range("plan", groups, 2, MOST_GROUPS)


def _scatter(units: Units) -> tuple[pd.DataFrame, np.ndarray]:
    """The cells with n and groups, and the standard deviation (C,) that one group's difference counts with."""
    found = np.full((3, len(units.cells)), np.nan)
    found[1:] = 0
    for cells, groups in blocks(units):
        sums, count = group_sums(units, cells, groups)
        held = np.count_nonzero(count, axis=0)
        found[:, cells] = clustered_errors(sums[:, : len(cells)], count), count.sum(0), held
    return units.cells.assign(n=found[1].astype(int), groups=found[2].astype(int)), found[0] * np.sqrt(found[2])


def chance(error: np.ndarray, groups: np.ndarray, effect: np.ndarray, alpha: float) -> np.ndarray:
    """Probability (C,) that a difference `effect` is found, with its sign, at a standard error of `error`."""
    df = np.maximum(groups - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.minimum(np.abs(effect) / error, 1e6)
    found = 1 - nctdtr(df, shift, student.ppf(1 - alpha / 2, df))
    return np.where(np.isnan(shift), np.nan, np.where(smallest_p(groups) <= alpha, found, 0.0))


def _needed(scatter: np.ndarray, effect: np.ndarray, alpha: float, power: float) -> np.ndarray:
    """The fewest groups (C,) that find `effect` with probability `power`; infinite beyond MOST_GROUPS."""
    low, high = np.full(len(scatter), 1.0), np.full(len(scatter), 2.0 * MOST_GROUPS)
    while (high - low > 1).any():
        middle = np.floor((low + high) / 2)
        enough = chance(scatter / np.sqrt(middle), middle, effect, alpha) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(np.isnan(scatter * effect), np.nan, np.where(high > MOST_GROUPS, np.inf, high))


def detectable(error: np.ndarray, groups: np.ndarray, *, level: float, power: float) -> np.ndarray:
    """The difference (C,) found with probability `power` at a standard error of `error` from `groups` groups (C,).

    NaN where there is no error; infinite where so few groups can never reach p <= 1 - level by sign flips.
    """
    shift = noncentrality(np.maximum(groups - 1, 1), level, power)
    possible = smallest_p(groups) <= 1 - level
    return np.where(np.isnan(error), np.nan, np.where(possible, np.nan_to_num(error) * shift, np.inf))


def noncentrality(df: np.ndarray, level: float, power: float) -> np.ndarray:
    """By how many standard errors (C,) a mean must lie off 0 for a two-sided t test to find it with `power`.

    Convention: the exact solution of the noncentral t with `df` (C,) degrees of freedom, by bisection; about
    t(1 - alpha / 2) + t(power).
    """
    unique, at = np.unique(np.asarray(df, float), return_inverse=True)
    edge = student.ppf((1 + level) / 2, unique)
    tail = (1 + power) / 2
    low = np.zeros(len(unique))
    high = edge * np.sqrt(chi2.ppf(tail, unique) / unique) + student.ppf(tail, 1e9)  # each holds with chance `tail`
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        enough = 1 - nctdtr(unique, middle, edge) >= power
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.asarray(high[at])
