"""Ranks: where each model stands, how sure that is, and whether two metrics rank the models alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from depthprobe.stats.pairs import both_sides
from depthprobe.stats.resample import check_options, joint_quantile, means, resample_means
from depthprobe.stats.summary import with_estimates
from depthprobe.stats.units import Units, blocks, cell_codes, check_by, complete, group_sums


class Ranks(NamedTuple):
    """`summary`: one row per cell and model; `shares`: one row per cell, model and rank."""

    summary: pd.DataFrame
    shares: pd.DataFrame


@dataclass(frozen=True, eq=False)
class _Field:
    """K models that are ranked against each other on the same n samples in `groups` groups.

    `cells` (K,) are their rows in the frame of cells; `mean` (K,) and `boot` (K, n_boot) are turned so that small is
    good; `error` (K, K) are standard errors of the difference of two, `worst` (n_boot,) the largest |t| of all pairs.
    """

    cells: np.ndarray
    mean: np.ndarray
    boot: np.ndarray
    error: np.ndarray
    worst: np.ndarray
    n: int
    groups: int

    def decided(self, quantile: float) -> np.ndarray:
        """(K, K): 1 where the row's mean is surely larger than the column's, -1 where it is surely smaller, else 0."""
        gap = self.mean[:, None] - self.mean
        return np.where(np.abs(gap) > quantile * self.error, np.sign(gap), 0.0)


def ranks(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    between: str = "model",
    n_boot: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Ranks:
    """Rank of every model by its mean, 1 is best, in every cell of `by`; with an interval and the bootstrap's shares.

    Convention: models are ranked on the samples that all of them have (`n`); a rank is 1 plus the number of models that
    are better, so ties share the better one. `low` and `high` are the ranks that the data leave open: 1 plus the models
    that are surely better, and all models but those that are surely worse, where "surely" is a max-|t| test of all
    pairs at once. The intervals of a cell cover together with probability `level`, ties or not (Mogstad, Romano, Shaikh
    & Wilhelm 2024, Review of Economic Studies 91:476). `first` is the share of resamples (whole groups) in which no
    model is better, `mean_rank` the mean over them, and `shares` has every rank's. Shares describe; they are not
    confidence: between equal models, resamples repeat what chance decided in the sample.

    Returns:
        `summary`: the `by` columns, `between`, estimate (the rank), low, high, n, groups, mean, first, mean_rank,
        seeds, undefined, unit, better, best first. `shares`: the `by` columns, `between`, rank, share.

    Raises:
        ValueError: if another column varies inside a cell, or a metric has no better direction.
    """
    check_options(n_boot, level)
    units, by = _units(table, by, between)
    found = np.full((8, len(units.cells)), np.nan)
    found[3:5] = 0
    shares = []
    for field in _fields(units, by, n_boot=n_boot, seed=seed):
        at, drawn = field.cells, rankdata(field.boot, method="min", axis=0)
        known = field.decided(joint_quantile(field.worst, field.groups, level, max(1, len(at) * (len(at) - 1) // 2)))
        ends = (1 + (known > 0).sum(1), len(at) - (known < 0).sum(1)) if field.groups > 1 else (np.nan, np.nan)
        shown = (rankdata(field.mean, method="min"), *ends, field.n, field.groups)
        shown += (field.mean * _sign(units)[at], (drawn == 1).mean(1), drawn.mean(1))
        for row, value in zip(found, shown, strict=True):
            row[at] = value
        shares.append(_shares(units.cells.loc[at, [*by, between]], drawn))
    summary = with_estimates(units.cells, found[:5])
    for name, column in zip(("mean", "first", "mean_rank"), found[5:], strict=True):
        summary.insert(summary.columns.get_loc("seeds"), name, column)
    return Ranks(
        summary.sort_values([*by, "estimate"], kind="stable", ignore_index=True),
        pd.concat(shares, ignore_index=True).sort_values([*by, between, "rank"], kind="stable", ignore_index=True),
    )


def rank_agreement(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    across: str = "metric",
    between: str = "model",
    n_boot: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Kendall's tau-b between the rankings of the models under every two values a, b of `across` (metrics).

    Convention: each ranking is by the mean over the samples that all models have, turned so that better is better in
    both. The interval is what the data leave open: pairs of models that a max-|t| test (of all pairs under both values
    at once) decides count as they are, every other one as agreeing for `high` and as disagreeing for `low`; `decided`
    is the share of decided ones. It covers with probability `level` or more, however close the models are. Percentiles
    of resampled taus do not: resampling shuffles close models twice, and of 20 close models ranked alike by two metrics
    they covered the true tau in none of 400 simulations.

    Returns:
        The `by` columns, a, b, estimate, low, high, n, groups, ranked (models), decided.

    Raises:
        ValueError: as `ranks`, or if `across` has fewer than two values.
    """
    check_options(n_boot, level)
    check_by(table, [across])
    if table[across].nunique() < 2:
        raise ValueError(
            f"Expected several values of `{across}` to compare rankings, but got {table[across].unique()}."
        )
    units, full = _units(table, [*by, across], between)
    of_by, keys = cell_codes(units.cells, by)
    fields: dict[int, dict[Any, _Field]] = {i: {} for i in range(len(keys))}
    for field in _fields(units, full, n_boot=n_boot, seed=seed):
        fields[of_by[field.cells[0]]][units.cells[across].iloc[field.cells[0]]] = field
    names = units.cells[between].to_numpy()
    rows = [
        {**keys.iloc[i].to_dict(), "a": a, "b": b, **_agreement(mine[a], mine[b], names, level)}
        for i, mine in fields.items()
        for a, b in combinations(sorted(mine), 2)
    ]
    return pd.DataFrame(rows)


def _units(table: pd.DataFrame, by: Sequence[str], between: str) -> tuple[Units, list[str]]:
    """Units of `by` x `between`, every sample there for all sides of a cell or for none.

    Raises:
        ValueError: as `ranks`.
    """
    units, names = both_sides(table, between, by, table[between].unique())
    if (none := units.cells["better"] == "none").any():
        shown = units.cells[none][names].drop_duplicates().to_dict("records")[:3]
        raise ValueError(f"Expected metrics with a better direction to rank by, but got {shown}; filter the table.")
    return complete(units, cell_codes(units.cells, names)[0]), names


def _sign(units: Units) -> np.ndarray:
    """What turns the means (C,) so that small is good."""
    return np.where(units.cells["better"] == "higher", -1.0, 1.0)


def _fields(units: Units, by: Sequence[str], *, n_boot: int, seed: int) -> Iterator[_Field]:
    """One field per cell of `by`; cells of the same groups see the same resamples of them."""
    item, _ = cell_codes(units.cells, by)
    sign = _sign(units)
    for some, groups in blocks(units, item, width=n_boot):
        total, count = group_sums(units, some, groups)
        total *= sign[some]
        boot, mean = resample_means(total, count, n_boot=n_boot, seed=seed), means(total, count)
        for one in np.unique(item[some]):
            at = np.flatnonzero((item[some] == one) & np.isfinite(mean))
            if not len(at):
                continue
            size = count[:, at[0]]
            held = int(np.count_nonzero(size))
            error = _pair_errors(total[:, at], mean[at], size, held)
            worst = _worst(boot[at] - mean[at, None], error) * np.sqrt(held / max(held - 1, 1))
            yield _Field(some[at], mean[at], boot[at], error, worst, int(size.sum()), held)


def _pair_errors(total: np.ndarray, mean: np.ndarray, size: np.ndarray, groups: int) -> np.ndarray:
    """Standard errors (K, K) of differences of two means over the same samples, groups independent."""
    residual = total - mean * size[:, None]
    gram = residual.T @ residual
    square = np.maximum(np.diag(gram)[:, None] + np.diag(gram) - 2 * gram, 0.0)
    return np.asarray(np.sqrt(square * groups / max(groups - 1, 1)) / size.sum())


def _worst(gap: np.ndarray, error: np.ndarray) -> np.ndarray:
    """The largest |t| (n_boot,) over all pairs of the K models whose resampled means lie `gap` (K, n_boot) off."""
    out = np.where(np.isnan(gap).any(0), np.nan, 0.0)
    for i in range(len(gap) - 1):
        other = i + 1 + np.flatnonzero(error[i, i + 1 :] > 0)
        if len(other):
            t = np.abs(gap[other] - gap[i]) / error[i, other, None]
            out = np.maximum(out, t.max(0))
    return out


def _shares(cells: pd.DataFrame, drawn: np.ndarray) -> pd.DataFrame:
    """Share of resamples with each rank, from the ranks `drawn` (K, n_boot) of the K models in `cells`."""
    size, n_boot = drawn.shape
    flat = np.arange(size)[:, None] * size + drawn.astype(int) - 1
    share = np.bincount(flat.ravel(), minlength=size * size) / n_boot
    return cells.loc[cells.index.repeat(size)].assign(rank=np.tile(np.arange(1, size + 1), size), share=share)


def _agreement(a: _Field, b: _Field, names: np.ndarray, level: float) -> dict[str, float]:
    _, at_a, at_b = np.intersect1d(names[a.cells], names[b.cells], return_indices=True)
    size, groups = len(at_a), min(a.groups, b.groups)
    pairs = np.triu_indices(size, 1)
    out = {"estimate": np.nan, "low": np.nan, "high": np.nan, "n": min(a.n, b.n), "groups": groups, "ranked": size}
    if size < 2:
        return {**out, "decided": np.nan}
    order = [np.sign(f.mean[i][:, None] - f.mean[i])[pairs] for f, i in ((a, at_a), (b, at_b))]
    untied = np.sqrt(np.count_nonzero(order[0]) * np.count_nonzero(order[1]))
    out["estimate"] = float(order[0] @ order[1] / untied) if untied else np.nan
    quantile = joint_quantile(np.maximum(a.worst, b.worst), groups, level, 2 * len(pairs[0]))
    sure = [f.decided(quantile)[np.ix_(i, i)][pairs] for f, i in ((a, at_a), (b, at_b))]
    known, open_pairs = float(sure[0] @ sure[1]), int(np.count_nonzero(sure[0] * sure[1] == 0))
    if groups > 1:
        out["low"], out["high"] = ((known + side * open_pairs) / len(pairs[0]) for side in (-1, 1))
    return {**out, "decided": 1 - open_pairs / len(pairs[0])}
