"""Paired comparison of two sides of a table."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.checks import check_range
from depthprobe.stats.detection import detectable
from depthprobe.stats.effects import effects
from depthprobe.stats.flips import sign_flip_p, sign_flip_tost
from depthprobe.stats.multiplicity import adjust, check_family, per_metric
from depthprobe.stats.pairs import both_sides, check_paired, pair_up, sides, stack
from depthprobe.stats.resample import check_options, clustered_errors, intervals, means, resample_means
from depthprobe.stats.units import MAX_ENTRIES, Units, blocks, group_sums, nested_sums

_ESTIMATES = ("estimate", "low", "high", "n", "groups", "mean_a", "mean_b", "p", "p_tost", "detectable")
_ADJUSTED = ["p_holm", "p_bh"]
_EFFECTS = ["d_z", "cliff", "superiority"]
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
    nested: bool = False,
    power: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean difference b - a over the samples both have, in every cell of `by`, for the pair named or for all pairs.

    Convention: seeds are averaged within a sample and side first; intervals resample whole groups (`nested`: and
    samples inside them, see `summarise`); p flips the sign of whole groups (all patterns up to 12 groups, else `n_boot`
    random ones). All of it is about these weights on new groups: how much another training would change needs several
    trainings and `family_contrast(between="model", unit="tag")`.
    `rope` is what counts as no difference: a half-width in the metric's unit, or {metric: half-width}; p_tost tests
    that the difference is that large or larger. The *family* of Holm's correction is the whole result (every cell that
    `by` spans, times every pair), or the rows that share the columns named in `family`; p_bh is Benjamini–Hochberg
    across the whole result. For d_z, cliff and superiority see `effects`; `detectable` is the difference that a single
    comparison of this size finds with probability `power` (see `power`). For `verdict` see `adjust`.

    Returns:
        The `by` columns, a, b, estimate, low, high, n (pairs with both values), groups, mean_a, mean_b, p, p_holm,
        p_bh, p_tost, rope, d_z, cliff, superiority, detectable, verdict, undefined, unpaired, seeds, unit, better.

    Raises:
        ValueError: if another column varies inside a cell, the sides share no sample, or an option is out of range.
    """
    check_options(n_boot, level, method)
    check_range("power", power, 0.01, 0.999)
    named = sides(table, between, a, b)
    units, by = both_sides(table, between, by, [s for pairs in named for s in pairs])
    family = check_family(family, by)
    options = {"n_boot": n_boot, "level": level, "method": method, "nested": nested, "power": power, "seed": seed}
    pairs, found, shared = pair_up(units, by, between, named), [], 0
    size = len(units.cells[by].drop_duplicates()) if by else 1
    most = max(1, 2 * MAX_ENTRIES // n_boot // size)  # so many pairs at a time: memory
    while some := list(islice(pairs, most)):
        together = stack(some)
        shared += len(together.cell)
        found.append(_estimates(together, per_metric("rope", rope, together.cells, table), options))
    check_paired(shared, between)
    out = pd.concat(found, ignore_index=True)
    out = adjust(out.sort_values([*by, "a", "b"], kind="stable", ignore_index=True), family, level=level)
    numbers = [*_ESTIMATES[:8], *_ADJUSTED, "p_tost", "rope", *_EFFECTS, "detectable", "verdict"]
    return out[[*by, "a", "b", *numbers, *_FACTS]]


def _estimates(units: Units, rope: np.ndarray, options: Mapping[str, Any]) -> pd.DataFrame:
    found = np.full((len(_ESTIMATES), len(units.cells)), np.nan)
    found[3:5] = 0
    for cells, groups in blocks(units, width=options["n_boot"], nested=options["nested"]):
        found[:, cells] = _block(units, cells, groups, rope[cells], **options)
    out = units.cells.copy()
    for name, column in zip(_ESTIMATES, found, strict=True):
        out[name] = column.astype(int) if name in ("n", "groups") else column
    return out.assign(rope=rope, **effects(units))


def _block(
    units: Units,
    cells: np.ndarray,
    groups: np.ndarray,
    rope: np.ndarray,
    *,
    n_boot: int,
    level: float,
    method: str,
    nested: bool,
    power: float,
    seed: int,
) -> list[np.ndarray]:
    sums, count = group_sums(units, cells, groups)
    total, mean_a, mean_b = sums[:, : len(cells)], *np.split(means(sums, count), 3)[1:]
    estimate, held = means(total, count), np.count_nonzero(count, axis=0)
    by_sample, ones, *inside = nested_sums(units, cells) if nested else (total, count)
    boot = resample_means(by_sample[:, : len(cells)], ones, *inside, n_boot=n_boot, seed=seed)
    low, high = intervals(boot, estimate, total, count, level=level, method=method)
    p = sign_flip_p(total, count, n_flip=n_boot, seed=seed)
    asked = not np.isnan(rope).all()
    p_tost = sign_flip_tost(total, count, rope, n_flip=n_boot, seed=seed) if asked else np.full(len(cells), np.nan)
    seen = detectable(clustered_errors(total, count), held, level=level, power=power)
    return [estimate, low, high, count.sum(0), held, mean_a, mean_b, p, p_tost, seen]
