"""Pairing two sides of a table over samples."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, eq=False)
class _Side:
    """The units of one side, sorted by `key` = cell of `by` x sample; `row` (C,) is its cell there, or -1."""

    key: np.ndarray
    group: np.ndarray
    value: np.ndarray
    row: np.ndarray
    seen: np.ndarray


def pair_up(units: Units, by: Sequence[str], between: str, named: Sequence[tuple[Any, Any]]) -> Iterator[Units]:
    """For every pair (a, b), units of the samples both have: value (U, 3) = difference b - a, value of a, value of b.

    Convention: `cells` has the cells of `by` where either side was measured, with a, b, unpaired (samples that only one
    side has), undefined (NaN values of both sides).

    Raises:
        ValueError: if a sample is in different groups on the two sides.
    """
    found, keys = _split(units, by, between), cell_codes(units.cells, by)[1]
    span = int(units.sample.max()) + 1
    facts = {c: units.cells[c].to_numpy() for c in ("seeds", "undefined", "unit", "better")}
    for a, b in named:
        yield _pair(units, keys.assign(a=a, b=b), facts, found[a], found[b], span)


def _split(units: Units, by: Sequence[str], between: str) -> dict[Any, _Side]:
    of_by, keys = cell_codes(units.cells, by)
    side, names = pd.factorize(units.cells[between])
    of_unit, span = side[units.cell], int(units.sample.max()) + 1
    order = np.argsort(of_unit, kind="stable")
    stop = np.searchsorted(of_unit[order], np.arange(len(names) + 1))
    out = {}
    for i, name in enumerate(names):
        at, cells = order[stop[i] : stop[i + 1]], np.flatnonzero(side == i)
        key, row = of_by[units.cell[at]] * span + units.sample[at], np.full(len(keys), -1)
        row[of_by[cells]] = cells
        seen = np.bincount(key // span, minlength=len(keys))
        out[name] = _Side(key, units.group[at], units.value[at], row, seen)
    return out


def _pair(units: Units, keys: pd.DataFrame, facts: dict[str, np.ndarray], a: _Side, b: _Side, span: int) -> Units:
    common, at_a, at_b = np.intersect1d(a.key, b.key, assume_unique=True, return_indices=True)
    if (a.group[at_a] != b.group[at_b]).any():
        names = keys["a"].iloc[0], keys["b"].iloc[0]
        raise ValueError(f"Expected each `sample` in one `group`, but {names[0]!r} and {names[1]!r} disagree on it.")
    both = np.bincount(common // span, minlength=len(keys))
    held = np.flatnonzero((a.row >= 0) | (b.row >= 0))
    rows = np.stack([a.row, b.row])[:, held]
    rows = np.where(rows >= 0, rows, rows[::-1])  # where one side has no cell, the other speaks for both
    cells = keys.iloc[held].assign(unpaired=(a.seen + b.seen - 2 * both)[held], seeds=facts["seeds"][rows].min(0))
    alone = (a.row < 0)[held] | (b.row < 0)[held]
    cells["undefined"] = np.where(alone, facts["undefined"][rows[0]], facts["undefined"][rows].sum(0))
    for column in ("unit", "better"):
        cells[column] = facts[column][rows[0]]
    new = np.full(len(keys), -1)
    new[held] = np.arange(len(held))
    first, second = a.value[at_a], b.value[at_b]
    return replace(
        units, cells=cells.reset_index(drop=True), cell=new[common // span], sample=common % span,
        group=a.group[at_a], value=np.stack([second - first, first, second], axis=1),
    )  # fmt: skip


def stack(many: Sequence[Units]) -> Units:
    """Several units as one, their cells numbered on."""
    if len(many) == 1:
        return many[0]
    start = np.cumsum([0, *(len(u.cells) for u in many)])
    return Units(
        cells=pd.concat([u.cells for u in many], ignore_index=True),
        cell=np.concatenate([u.cell + s for u, s in zip(many, start, strict=False)]),
        sample=np.concatenate([u.sample for u in many]),
        group=np.concatenate([u.group for u in many]),
        value=np.concatenate([u.value for u in many]),
    )


def check_paired(shared: int, between: str) -> None:
    """Refuse a comparison in which no sample at all is shared.

    Raises:
        ValueError: saying that the sides were measured on different samples.
    """
    if not shared:
        raise ValueError(
            f"Expected samples that both sides of `{between}` share, but got none in any cell; run them on the same "
            "data set, split and n."
        )
