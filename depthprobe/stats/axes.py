"""A probe's own names for the generic columns: `selector` and `budget` instead of `factor` and `level`."""

from collections.abc import Mapping, Sequence

from depthprobe.schema import COLUMNS

Axes = Mapping[str, Mapping[str, str]]


def translate(by: Sequence[str], axes: Axes) -> list[str]:
    """Turn reader's names into columns: `translate(["model", "selector"], axes)` -> `["model", "factor"]`.

    Convention: `axes` is the sidecar's `axes`: {probe: {column: name}}, e.g. {"sparse": {"factor": "selector", ...}}.

    Raises:
        ValueError: if a name is neither a column nor an axis, stands for different columns in different probes, or if
            two names mean the same column.
    """
    out = []
    for name in by:
        columns = {column for names in axes.values() for column, own in names.items() if own == name}
        if name in COLUMNS:
            columns = {name}
        if not columns:
            known = sorted({own for names in axes.values() for own in names.values()})
            raise ValueError(f"Expected `by` to name columns {COLUMNS} or axes {known}, but got {name!r}.")
        if len(columns) > 1:
            raise ValueError(
                f"Expected `{name}` to mean one column, but got {sorted(columns)}; name the column itself."
            )
        out += sorted(columns)
    if twice := {c for c in out if out.count(c) > 1}:
        raise ValueError(f"Expected `by` to name each column once, but got {sorted(twice)} twice in {list(by)}.")
    return out


def label(column: str, axes: Axes, probe: str | None = None) -> str:
    """The reader's name of a column for `probe` (None: where all probes that name it agree), else the column's own."""
    chosen = [names for owner, names in axes.items() if probe in (None, owner)]
    names = {own[column] for own in chosen if column in own}
    return names.pop() if len(names) == 1 else column
