"""Tables of paired differences: who stands against whom, and the columns that all of them share."""

import pandas as pd

from depthprobe.report import tables, text

ROOM = 24  # letters of a name in the head of a column


def second(pairs: pd.DataFrame) -> str | None:
    """The one network that every row is about (`b`: the subject of an audit, or of a single pair); None if several."""
    return str(pairs["b"].iloc[0]) if pairs["b"].nunique() == 1 else None


def pair_name(pairs: pd.DataFrame) -> str:
    """Which minus which: `zoo:pvt minus zoo:convnext`, `zoo:pvt minus each other network`, "second minus first"."""
    one = second(pairs)
    if one is None:
        return "second minus first"
    against = pairs["a"].unique()
    other = text.isolated(str(against[0])) if len(against) == 1 else "each other network"
    return f"{text.isolated(one)} minus {other}"


def better_side(pairs: pd.DataFrame, better: str) -> str:
    """`left of the rule at 0 zoo:pvt is better`, for a column of bars."""
    one, side = second(pairs), "right" if better == "higher" else "left"
    return f"{side} of the rule at 0 {text.isolated(one) if one else 'the second'} is better"


def side_columns(pairs: pd.DataFrame) -> dict[str, list[tables.Cell]]:
    """Who is compared: no column for one pair, the other network where all rows are about one, else both."""
    if len(pairs[["a", "b"]].drop_duplicates()) == 1:
        return {}
    if second(pairs):
        return {"against": tables.plain(pairs["a"].tolist())}
    return {"first": tables.plain(pairs["a"].tolist()), "second": tables.plain(pairs["b"].tolist())}


def pair_columns(pairs: pd.DataFrame, *, bars: bool = False, who: str = "") -> dict[str, list[tables.Cell]]:
    """The columns that every table of paired differences shares, without `side_columns`.

    Convention: `bars` where all rows have one unit; `who` is in the head of the verdict (default: the second).
    """
    one = second(pairs)
    judged = who or (text.isolated(text.clipped(one, ROOM)) if one else "second")
    return {
        "difference [95 %]": tables.with_intervals(pairs),
        f"{judged} is": tables.plain(pairs["verdict"].tolist()),
        **(tables.bar_column(pairs, null=0.0) if bars else {}),
        "p (Holm)": [tables.Cell(shown=text.p_value(p), key=repr(float(p)), numeric=True) for p in pairs["p_holm"]],
        "effect d_z": tables.plain(pairs["d_z"].tolist()),
        "P(better)": tables.plain(pairs["superiority"].tolist()),
        "n": tables.plain(pairs["n"].tolist()),
    }
