"""Means with intervals."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from depthprobe.stats.resample import check_options, intervals, means, resample_means
from depthprobe.stats.units import blocks, group_sums, nested_sums, per_sample


def summarise(
    table: pd.DataFrame,
    by: Sequence[str],
    *,
    n_boot: int = 10_000,
    level: float = 0.95,
    method: str = "expanded",
    nested: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean and interval of `value` in every cell of `by`: seeds averaged within a sample, then a mean over samples.

    Convention: the interval comes from resampling whole groups (scenes, drives), samples of a group together; it is
    conditional on the seeds measured. `method`: "expanded" (percentile, widened; Student's t below 8 groups),
    "percentile" or "bca" (see `resample.intervals`). With `nested`, samples are drawn again inside every group drawn:
    a conservative interval, because the means of the groups already scatter by what their samples do. For groups of k
    samples its variance is larger by (k - 1) / k of the part that stems from samples (Davison & Hinkley 1997, section
    3.8), at most twice.

    Returns:
        One row per cell, sorted: the `by` columns, estimate, low, high, n (samples with a value), groups (with a
        value), seeds, undefined (NaN values, left out of the mean but counted), unit, better. low and high are NaN
        with fewer than two groups.

    Raises:
        ValueError: if a column that is not in `by` varies inside a cell (it names it), a row is repeated, or an option
            is out of range.
    """
    check_options(n_boot, level, method)
    units = per_sample(table, by)
    frame = units.cells
    found = np.full((5, len(frame)), np.nan)
    for cells, groups in blocks(units, width=n_boot, nested=nested):
        total, count = group_sums(units, cells, groups)
        estimate = means(total, count)
        drawn = nested_sums(units, cells) if nested else (total, count)
        boot = resample_means(*drawn, n_boot=n_boot, seed=seed)
        low, high = intervals(boot, estimate, total, count, level=level, method=method)
        found[:, cells] = estimate, low, high, count.sum(0), np.count_nonzero(count, axis=0)
    return with_estimates(frame, found)


def with_estimates(cells: pd.DataFrame, found: np.ndarray) -> pd.DataFrame:
    """The cells' frame with estimate, low, high, n, groups (5, C) set between the keys and the facts."""
    facts = [c for c in ("seeds", "undefined", "unit", "better") if c in cells]
    keys = [c for c in cells if c not in facts]
    out = cells[keys].copy()
    for name, column in zip(("estimate", "low", "high", "n", "groups"), found, strict=True):
        out[name] = column.astype(int) if name in ("n", "groups") else column
    return pd.concat([out, cells[facts]], axis=1)
