"""Named paired changes over one set of samples, so that changes in turn add up to the whole."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from depthprobe.stats.paired import compare
from depthprobe.stats.units import cell_codes, check_by

_KEPT = ["estimate", "low", "high", "n", "groups", "mean_a", "mean_b", "unit", "better"]


def changes(
    table: pd.DataFrame, named: pd.DataFrame, by: Sequence[str] = ("metric",), *, between: str = "plan", **options: Any
) -> pd.DataFrame:
    """The mean paired difference b - a of every pair named, in every cell of `by`.

    Convention: `named` has the columns a, b (values of `between`) and any others, which label the pair. In a cell of
    `by`, only samples with a value on every side named count, for every pair: a chain of changes adds up to the change
    from its first side to its last. `options` go to `compare`, whose intervals these are; there are no p values, since
    the changes of a chain are no family of tests.

    Returns:
        The labels of `named`, a, b, the `by` columns, estimate, low, high, n, groups, mean_a, mean_b, left_out (samples
        without a value on some side), unit, better; in the order of `named`.

    Raises:
        ValueError: if a side is not in the table, or no sample has a value on every side.
    """
    by = check_by(table, by)
    sides = sorted({*named["a"], *named["b"]})
    if missing := [side for side in sides if side not in set(table[between])]:
        raise ValueError(f"Expected the sides to be in {sorted(table[between].unique())}, but got {missing}.")
    whole = _complete(table[table[between].isin(sides)], by, between, len(sides))
    found, how = [], {"on": by} if by else {"how": "cross"}
    for pair in named.to_dict("records"):
        one = compare(whole, by, between=between, a=pair["a"], b=pair["b"], **options)
        found.append(one[[*by, *_KEPT]].assign(**pair).merge(whole[[*by, "left_out"]].drop_duplicates(), **how))
    columns = [*named.columns, *by, *_KEPT[:-2], "left_out", *_KEPT[-2:]]
    return pd.concat(found, ignore_index=True)[columns]


def _complete(table: pd.DataFrame, by: list[str], between: str, sides: int) -> pd.DataFrame:
    """The rows of samples with a value on every side, and `left_out`: how many of their cell have not."""
    one, _ = cell_codes(table, [*by, "sample"])
    cell, _ = cell_codes(table, by)
    known = table[between].where(table["value"].notna()).groupby(one).nunique()[one].to_numpy() == sides
    if not known.any():
        raise ValueError(f"Expected samples with a value on all {sides} sides of `{between}`, but got none.")
    left_out = table["sample"].where(~known).groupby(cell).nunique()[cell].to_numpy()
    return table.assign(left_out=left_out)[known]
