"""Paired comparison of two sides of a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from depthprobe.checks import check_range
from depthprobe.stats.adjust import benjamini_hochberg, holm
from depthprobe.stats.pairs import both_sides, check_paired, pair, sides
from depthprobe.stats.resample import (
    check_options,
    intervals,
    means,
    resample_means,
    sign_flip_p,
    standard_errors,
)
from depthprobe.stats.units import Units, blocks, group_sums

_ESTIMATES = ("estimate", "low", "high", "n", "groups", "mean_a", "mean_b", "p", "d_z", "superiority", "detectable")
_FACTS = ["undefined", "unpaired", "seeds", "unit", "better"]


def compare(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    between: str = "model",
    a: Any = None,
    b: Any = None,
    rope: float | Mapping[str, float] | None = None,
    family: Sequence[str] = (),
    n_boot: int = 10_000,
    level: float = 0.95,
    method: str = "expanded",
    power: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean difference b - a over the samples both have, in every cell of `by`, for the pair named or for all pairs.

    Convention: seeds are averaged within a sample and side first; intervals resample whole groups; p flips the sign of
    whole groups (all patterns up to 12 groups, else `n_boot` random ones). The *family* of Holm's correction is the
    whole result (every cell that `by` spans, times every pair), or the rows that share the columns named in `family`;
    `p_bh` is Benjamini–Hochberg across the whole result. `d_z` is mean over standard deviation of the samples'
    differences with Hedges' correction; `superiority` the share of samples on which b is better (ties half; larger when
    `better` is none), Cliff's delta of the signs being 2 * superiority - 1; `detectable` the difference found with
    probability `power` at `level`. `verdict` is about b: better or worse (higher or lower when `better` is none) when
    the interval excludes 0 (with `rope`: lies wholly outside +-rope) and p_holm <= 1 - level; equivalent when the
    interval lies inside +-`rope` (a half-width in the metric's unit, or {metric: half-width}); else undecided.

    Returns:
        The `by` columns, a, b, estimate, low, high, n (pairs with both values), groups, mean_a, mean_b, p, p_holm,
        p_bh, d_z, superiority, detectable, verdict, undefined, unpaired, seeds, unit, better.

    Raises:
        ValueError: if another column varies inside a cell, the sides share no sample, or an option is out of range.
    """
    check_options(n_boot, level, method)
    check_range("power", power, 0.01, 0.999)
    named = sides(table, between, a, b)
    units, by = both_sides(table, between, by, [s for pairs in named for s in pairs])
    paired = [pair(units, by, between, *names) for names in named]
    check_paired(paired, between)
    options = {"n_boot": n_boot, "level": level, "method": method, "power": power, "seed": seed}
    out = pd.concat([_estimates(p, options) for p in paired], ignore_index=True)
    out = out.sort_values([*by, "a", "b"], kind="stable", ignore_index=True)
    out["p_bh"] = benjamini_hochberg(out["p"].to_numpy())
    out["p_holm"] = _holm_within(out, check_family(family, by))
    out["verdict"] = _verdicts(out, _half_widths(out, table, rope), 1 - level)
    return out[[*by, "a", "b", *_ESTIMATES[:8], "p_holm", "p_bh", *_ESTIMATES[8:], "verdict", *_FACTS]]


def check_family(family: Sequence[str], by: Sequence[str]) -> list[str]:
    """Return `family` as a list.

    Raises:
        ValueError: unless every name is in `by`.
    """
    if unknown := [c for c in family if c not in by]:
        raise ValueError(f"Expected `family` to name columns of `by` ({list(by)}), but got {unknown}.")
    return list(family)


def _estimates(units: Units, options: Mapping[str, Any]) -> pd.DataFrame:
    found = np.full((len(_ESTIMATES), len(units.cells)), np.nan)
    found[3:5] = 0
    for cells, groups in blocks(units, width=options["n_boot"]):
        found[:, cells] = _block(units, cells, groups, **options)
    out = units.cells.copy()
    for name, column in zip(_ESTIMATES, found, strict=True):
        out[name] = column.astype(int) if name in ("n", "groups") else column
    return out


def _block(
    units: Units,
    cells: np.ndarray,
    groups: np.ndarray,
    *,
    n_boot: int,
    level: float,
    method: str,
    power: float,
    seed: int,
) -> list[np.ndarray]:
    sums, count = group_sums(units, cells, groups)
    total, mean_a, mean_b = sums[:, : len(cells)], *np.split(means(sums, count), 3)[1:]
    estimate, held = means(total, count), np.count_nonzero(count, axis=0)
    boot = resample_means(total, count, n_boot=n_boot, seed=seed)
    low, high = intervals(boot, estimate, total, count, level=level, method=method)
    p = sign_flip_p(total, count, n_flip=n_boot, seed=seed)
    df = np.maximum(held - 1, 1)
    detectable = standard_errors(boot, held) * (student.ppf((1 + level) / 2, df) + student.ppf(power, df))
    d_z, superiority = _effects(units, cells)
    return [estimate, low, high, count.sum(0), held, mean_a, mean_b, p, d_z, superiority, detectable]


def _effects(units: Units, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hedges-corrected d_z and probability of superiority of the sampled differences, per cell."""
    size = len(units.cells)
    known = np.isfinite(units.value[:, 0])
    cell, diff = units.cell[known], units.value[known, 0]
    n = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(cell, weights=diff, minlength=size) / n
        square = np.bincount(cell, weights=(diff - mean[cell]) ** 2, minlength=size)
        d_z = mean / np.sqrt(square / (n - 1)) * (1 - 3 / (4 * (n - 1) - 1))
        win = np.bincount(cell, weights=(np.sign(diff) + 1) / 2, minlength=size) / n
    lower = (units.cells["better"] == "lower").to_numpy()
    usable = (n >= 2) & (square > 0)
    return np.where(usable, d_z, np.nan)[cells], np.where(lower, 1 - win, win)[cells]


def _holm_within(out: pd.DataFrame, family: Sequence[str]) -> np.ndarray:
    if not family:
        return holm(out["p"].to_numpy())
    parts = out.groupby(list(family), dropna=False)["p"]
    return np.asarray(parts.transform(lambda p: holm(p.to_numpy())))


def _half_widths(out: pd.DataFrame, table: pd.DataFrame, rope: float | Mapping[str, float] | None) -> np.ndarray:
    if rope is None:
        return np.full(len(out), np.nan)
    if isinstance(rope, Mapping):
        metric = out["metric"] if "metric" in out else pd.Series(table["metric"].iloc[0], index=out.index)
        width = metric.map(dict(rope)).to_numpy(float)
    else:
        width = np.full(len(out), float(rope))
    if (width <= 0).any():
        raise ValueError(f"Expected `rope` to be > 0 (a half-width in the metric's unit), but got {rope}.")
    return np.asarray(width)


def _verdicts(out: pd.DataFrame, rope: np.ndarray, alpha: float) -> list[str]:
    edge = np.nan_to_num(rope)
    sure = out["p_holm"].to_numpy() <= alpha
    up, down = sure & (out["low"] > edge), sure & (out["high"] < -edge)
    same = (out["low"] > -rope) & (out["high"] < rope)
    words = {"lower": ("worse", "better"), "higher": ("better", "worse"), "none": ("higher", "lower")}
    return [
        "equivalent" if e else words[better][0] if u else words[better][1] if d else "undecided"
        for better, e, u, d in zip(out["better"], same, up, down, strict=True)
    ]
