"""From table rows to one value per sample and cell, and to the sums by group that every estimator resamples.

A *cell* is one combination of the columns named in `by`. Inside a cell only `sample`, `group`, `seed` and `value` may
vary; anything else that varies is refused, because a mean over it would look like a result.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from depthprobe.schema import COLUMNS

FREE = ("sample", "group", "seed", "value")
MAX_ENTRIES = 8_000_000  # float64 entries of one work array: 64 MB


@dataclass(frozen=True, eq=False)
class Units:
    """One value per (cell, sample), already averaged over seeds.

    Convention: `cells` has one row per cell (the `by` columns, then seeds, undefined, unit, better); `cell`, `sample`
    and `group` are (U,) codes sorted by cell, then sample; `value` is (U,) or (U, K), NaN where no seed defines it.
    """

    cells: pd.DataFrame
    cell: np.ndarray
    sample: np.ndarray
    group: np.ndarray
    value: np.ndarray


def check_by(table: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """Return `by` as a list.

    Raises:
        ValueError: if a name is no column of the table, is named twice or is `value`.
    """
    names = [by] if isinstance(by, str) else list(by)
    if unknown := [c for c in names if c not in table.columns or c == "value"]:
        raise ValueError(
            f"Expected `by` to name columns of the table, but got {unknown}; the columns are {COLUMNS}, and "
            "`stats.translate(by, axes)` turns a probe's own axis names (selector, budget) into them."
        )
    if len(set(names)) != len(names):
        raise ValueError(f"Expected `by` to name each column once, but got {names}.")
    if table.empty:
        raise ValueError("Expected a table with rows, but got an empty one; check the filter that made it.")
    return names


def cell_codes(table: pd.DataFrame, by: Sequence[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """Number the combinations of `by` in sorted order: (codes (N,), their keys as a frame of C rows)."""
    if not by:
        return np.zeros(len(table), int), pd.DataFrame(index=[0])
    codes = table.groupby(list(by), sort=True, dropna=False, observed=True).ngroup().to_numpy()
    first = np.unique(codes, return_index=True)[1]
    return codes, table.iloc[first][list(by)].reset_index(drop=True)


def check_pooling(table: pd.DataFrame, codes: np.ndarray, by: Sequence[str], free: Sequence[str] = FREE) -> None:
    """Refuse to average over a column that varies inside a cell and was not named.

    Raises:
        ValueError: naming every such column and its values.
    """
    cells, mixed = len(np.unique(codes)), []
    for column in (c for c in table.columns if c not in (*free, *by)):
        levels, names = pd.factorize(table[column], use_na_sentinel=False)
        if len(names) > 1 and len(np.unique(codes * len(names) + levels)) > cells:
            shown = sorted(names, key=str)
            mixed.append(f"`{column}` ({', '.join(map(str, shown[:4]))}{', ...' if len(shown) > 4 else ''})")
    if mixed:
        raise ValueError(
            f"Expected one value of every column inside a cell of {list(by)}, but got several of {'; '.join(mixed)}; "
            "add the column to `by` or filter the table to one value of it."
        )


def _text_codes(column: pd.Series) -> np.ndarray:
    return np.asarray(pd.factorize(column, sort=True, use_na_sentinel=False)[0])


def per_sample(table: pd.DataFrame, by: Sequence[str]) -> Units:
    """Average the seeds of every sample inside every cell of `by`; nothing is pooled yet.

    A sample whose value is NaN for some seeds keeps the mean of the others; every NaN row is counted in `undefined`.

    Raises:
        ValueError: if another column varies inside a cell, a (cell, sample, seed) is repeated or a sample lies in two
            groups.
    """
    by = check_by(table, by)
    codes, cells = cell_codes(table, by)
    check_pooling(table, codes, by)
    sample, group, seed = (_text_codes(table[c]) for c in ("sample", "group", "seed"))
    order = np.lexsort((seed, sample, codes))
    codes, sample, group, seed = codes[order], sample[order], group[order], seed[order]
    value = table["value"].to_numpy(float)[order]
    new = np.r_[True, (np.diff(codes) != 0) | (np.diff(sample) != 0)]
    _check_units(table.iloc[order], new, group, seed)
    start = np.flatnonzero(new)
    defined = np.isfinite(value)
    count = np.add.reduceat(defined.astype(float), start)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(np.where(defined, value, 0.0), start) / count
    facts = cells.copy()
    facts["seeds"] = np.bincount(np.unique(codes * (seed.max() + 1) + seed) // (seed.max() + 1), minlength=len(cells))
    facts["undefined"] = np.bincount(codes, weights=~defined, minlength=len(cells)).astype(int)
    first = order[np.searchsorted(codes, np.arange(len(cells)))]
    for column in (c for c in ("unit", "better") if c not in by):
        facts[column] = table[column].to_numpy()[first]
    return Units(facts, codes[start], sample[start], group[start], mean)


def _check_units(table: pd.DataFrame, new: np.ndarray, group: np.ndarray, seed: np.ndarray) -> None:
    twice = ~new[1:] & (np.diff(seed) == 0)
    if twice.any():
        row = table.iloc[int(np.argmax(twice))]
        raise ValueError(
            f"Expected one row per cell, sample and seed, but got {int(twice.sum())} repeated, e.g. sample "
            f"{row['sample']!r} seed {row['seed']!r}; was the same table added twice?"
        )
    split = ~new[1:] & (np.diff(group) != 0)
    if split.any():
        row = table.iloc[int(np.argmax(split))]
        raise ValueError(f"Expected each `sample` to lie in one `group`, but got several for {row['sample']!r}.")


def _columns(units: Units) -> np.ndarray:
    """The values as (U, K)."""
    return units.value if units.value.ndim == 2 else units.value[:, None]


def complete(units: Units, item: np.ndarray) -> Units:
    """The units with NaN in every cell of an (`item`, sample) that lacks one, so that all its cells average one set.

    Convention: `item` (C,) numbers what is looked at together: the levels of a curve, the models of a ranking. Cells
    that no sample of the item has are not asked for: they are NaN anyway and mix nothing.
    """
    known = np.isfinite(_columns(units)).all(1)
    measured = np.bincount(units.cell[known], minlength=len(item)) > 0
    cells = np.bincount(item[measured], minlength=item.max() + 1)
    of_item = item[units.cell]
    _, one = np.unique(of_item * (units.sample.max(initial=0) + 1) + units.sample, return_inverse=True)
    whole = np.bincount(one, weights=known)[one] == cells[of_item]
    value = np.where(whole.reshape(-1, *[1] * (units.value.ndim - 1)), units.value, np.nan)
    return replace(units, value=value)


def blocks(
    units: Units, item: np.ndarray | None = None, *, width: int = 1, nested: bool = False
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield (cells, groups) blocks that are resampled together.

    Cells of one `item` (C,) (e.g. all budgets of one curve; default: each cell alone) stay in one block. A block holds
    only items measured on the same set of groups (`nested`: of samples), so that an item is resampled from its own
    groups and from no others, and at most MAX_ENTRIES / `width` cells (always one item at least).
    """
    item = np.arange(len(units.cells)) if item is None else item
    by_item, drawn = item[units.cell], units.sample if nested else units.group
    order = np.lexsort((drawn, by_item))
    stop = np.searchsorted(by_item[order], np.arange(item.max() + 2))
    strata: dict[bytes, list[int]] = {}
    for i in range(item.max() + 1):
        universe = np.unique(drawn[order[stop[i] : stop[i + 1]]])
        strata.setdefault(universe.astype(np.int64).tobytes(), []).append(i)
    most = max(1, MAX_ENTRIES // width)
    for items in strata.values():
        size = np.cumsum(np.bincount(item, minlength=item.max() + 1)[items])
        for part in np.split(np.array(items), np.flatnonzero(np.diff(size // most)) + 1):
            mine = order[stop[part[0]] : stop[part[0] + 1]]
            yield np.flatnonzero(np.isin(item, part)), np.unique(units.group[mine])


def group_sums(
    units: Units, cells: np.ndarray, rows: np.ndarray, of: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums (G, C[*K]) of the defined sample values by group and cell, and how many (G, C) were summed.

    Convention: `rows` (G,) are the group codes, sorted; with `of` (U,), e.g. `units.sample`, codes of that. With K
    values per unit the sums of value k stand in columns k*C .. (k+1)*C.
    """
    of = units.group if of is None else of
    local = np.full(len(units.cells), -1)
    local[cells] = np.arange(len(cells))
    value = _columns(units)
    keep = (local[units.cell] >= 0) & np.isfinite(value).all(1)
    flat = np.searchsorted(rows, of[keep]) * len(cells) + local[units.cell[keep]]
    shape, size = (len(rows), len(cells)), len(rows) * len(cells)
    total = [np.bincount(flat, weights=v, minlength=size).reshape(shape) for v in value[keep].T]
    return np.hstack(total), np.bincount(flat, minlength=size).reshape(shape).astype(float)


def nested_sums(units: Units, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums (N, C[*K]) and counts (N, C) with single samples as rows, and the group number (N,) of each.

    Groups are numbered in sorted order, as the rows of `group_sums` are.
    """
    mine = np.flatnonzero(np.isin(units.cell, cells))
    samples, first = np.unique(units.sample[mine], return_index=True)
    inside = np.unique(units.group[mine[first]], return_inverse=True)[1]
    return *group_sums(units, cells, samples, units.sample), inside
