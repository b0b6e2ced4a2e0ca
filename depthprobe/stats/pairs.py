"""Pairing two sides of a table over samples."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.stats.units import FREE, Units, cell_codes, check_by, check_pooling, per_sample

FOLLOWERS = {"model": ("tag", "family")}  # columns that may change together with the column compared


def sides(table: pd.DataFrame, between: str, a: Any, b: Any) -> list[tuple[Any, Any]]:
    """The pairs (a, b) to compare: the one named, one against every other, or all, in sorted order.

    Raises:
        ValueError: if a named side is not in the table, a equals b, or there is only one.
    """
    check_by(table, [between])
    known = sorted(table[between].dropna().unique(), key=lambda v: (str(type(v)), v))
    for name, side in (("a", a), ("b", b)):
        if side is not None and side not in known:
            raise ValueError(f"Expected `{name}` to be one of {known} ({between}), but got {side!r}.")
    if a is not None and b is not None:
        pairs = [(a, b)]
    elif a is not None or b is not None:
        pairs = [(a, v) if b is None else (v, b) for v in known if v not in (a, b)]
    else:
        pairs = list(combinations(known, 2))
    if not pairs or any(x == y for x, y in pairs):
        raise ValueError(f"Expected two different values of `{between}` to compare, but got {known}, a={a!r}, b={b!r}.")
    return pairs


def both_sides(table: pd.DataFrame, between: str, by: Sequence[str], named: Sequence[Any]) -> tuple[Units, list[str]]:
    """Units of `by` x `between`, checked to be comparable: inside a cell of `by` only `between` may vary.

    Convention: with `between="model"` its tag and family vary with it. A family is no model: `between="family"` is
    refused while several models stand in one family, because one mean over them would hide the unit of the claim.
    """
    by = check_by(table, by)
    if between in by:
        raise ValueError(f"Expected `by` without the column compared, but got {between!r} in {by}.")
    table = table[table[between].isin(named)]
    codes, _ = cell_codes(table, by)
    check_pooling(table, codes, by, free=(*FREE, between, *FOLLOWERS.get(between, ())))
    return per_sample(table, [*by, between]), by


def pair(units: Units, by: Sequence[str], between: str, a: Any, b: Any) -> Units:
    """Units of the samples that both sides have: value (U, 3) = difference b - a, value of a, value of b.

    Convention: `cells` has the cells of `by` where either side was measured, with a, b, unpaired (samples that only one
    side has), undefined (NaN values of both sides).

    Raises:
        ValueError: if a sample is in different groups on the two sides.
    """
    of_by, keys = cell_codes(units.cells, by)
    side = units.cells[between].to_numpy()
    span = int(units.sample.max()) + 1
    index = [np.flatnonzero((side == s)[units.cell]) for s in (a, b)]
    key = [of_by[units.cell[i]] * span + units.sample[i] for i in index]
    common, at_a, at_b = np.intersect1d(key[0], key[1], assume_unique=True, return_indices=True)
    first, second = index[0][at_a], index[1][at_b]
    if (units.group[first] != units.group[second]).any():
        raise ValueError(f"Expected each `sample` in one `group`, but {a!r} and {b!r} disagree on the group.")
    n_cells = len(keys)
    seen = [np.bincount(k // span, minlength=n_cells) for k in key]
    both = np.bincount(common // span, minlength=n_cells)
    chosen = units.cells[(side == a) | (side == b)].assign(cell_of_by=of_by[(side == a) | (side == b)])
    facts = chosen.groupby("cell_of_by").agg(
        seeds=("seeds", "min"), undefined=("undefined", "sum"), unit=("unit", "first"), better=("better", "first")
    )
    cells = keys.assign(a=a, b=b, unpaired=seen[0] + seen[1] - 2 * both).join(facts, how="inner")
    new = np.full(n_cells, -1)
    new[cells.index] = np.arange(len(cells))
    value = np.stack([units.value[second] - units.value[first], units.value[first], units.value[second]], axis=1)
    return replace(
        units, cells=cells.reset_index(drop=True), cell=new[common // span], sample=common % span,
        group=units.group[first], value=value,
    )  # fmt: skip


def check_paired(pairs: Sequence[Units], between: str) -> None:
    """Refuse a comparison in which no sample at all is shared.

    Raises:
        ValueError: saying that the sides were measured on different samples.
    """
    if not any(len(p.cell) for p in pairs):
        raise ValueError(
            f"Expected samples that both sides of `{between}` share, but got none in any cell; run them on the same "
            "data set, split and n."
        )
