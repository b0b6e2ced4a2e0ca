"""Words of a figure, computed from frames: axis labels, sentence titles, the caption line."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.plots.theme import display_name

Names = Mapping[Any, str]


def number(value: float, digits: int = 2) -> str:
    """A number with `digits` significant digits, without exponent where that is readable."""
    if np.isnan(value):
        return "undefined"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-3 <= abs(value) < 1e4:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    places = max(0, digits - 1 - int(np.floor(np.log10(abs(value))))) if value else digits - 1
    return f"{value:.{places}f}".replace("-", "−")


def with_interval(row: pd.Series, *, sign: bool = False) -> str:
    """`0.047 [0.044, 0.050]` with as many decimals as the interval's width calls for."""
    low, high, value = (float(row[c]) for c in ("low", "high", "estimate"))
    if np.isnan(value):
        return "undefined"
    width = high - low
    if not (np.isfinite(width) and width > 0):
        shown = [number(v, 3) for v in (value, low, high)]
    else:
        places = int(np.clip(1 - np.floor(np.log10(width)), 0, 6))
        shown = [f"{v:.{places}f}".replace("-", "−") for v in (value, low, high)]
    plus = "+" if sign and value > 0 else ""
    return f"{plus}{shown[0]} [{shown[1]}, {shown[2]}]"


def metric_name(metric: str) -> str:
    """`abs_rel@self` -> `abs_rel vs own full-image prediction`; `auc(x)` -> `area under x`."""
    name = f"area under {metric[4:-1]}" if metric.startswith("auc(") else metric
    return name.replace("@self", " vs own full-image prediction").replace("@", " on ")


def value_label(frame: pd.DataFrame, *, difference: bool = False, names: Names | None = None) -> str:
    """The label of the value axis: metric, unit and direction, as the table states them; sides of a `difference`.

    Raises:
        ValueError: if the frame mixes units, or directions, which cannot share an axis.
    """
    for column in ("unit", "better"):
        if frame[column].nunique() > 1:
            raise ValueError(
                f"Expected one `{column}` on an axis, but got {sorted(frame[column].unique())}; draw one panel each."
            )
    metrics = frame["metric"].unique() if "metric" in frame else []
    name = metric_name(str(metrics[0])) if len(metrics) == 1 else "value"
    unit, better = frame["unit"].iloc[0], frame["better"].iloc[0]
    label = f"{name} ({unit})"
    if difference:
        sides = [display_name(frame[c].iloc[0], names) if frame[c].nunique() == 1 else "each" for c in ("b", "a")]
        label = f"{label}: {sides[0]} − {sides[1]}"
    return label if better == "none" else f"{label}, {better} is better"


def ratio_title(row: pd.Series | pd.DataFrame, names: Names | None = None, what: str = "pixels") -> str:
    """The sentence of one ratio row of `stats.curve_difference`, with its number and interval.

    Convention: an interval that holds 1 is worded as undecided, whatever its middle; below 1 the roles are swapped, so
    that a decided ratio is always above 1. Resamples without a common error (`not_reached`) are stated.
    """
    row = one_row(row)
    a, b = display_name(row["a"], names), display_name(row["b"], names)
    value, low, high = (float(row[c]) for c in ("estimate", "low", "high"))
    if np.isnan(value):
        return f"{a} and {b} have no gain from the fewest to all pixels in common, so their {what} cannot be compared"
    missing = float(row.get("not_reached", 0.0))
    rest = f" (no common error in {100 * missing:.2g} % of resamples)" if missing > 0 else ""
    if not (low > 1 or high < 1):
        sides = f"{b} {_times(value, low, high)} as many as {a}"
        return f"Undecided whether {b} or {a} needs more {what} for the same error: {sides}{rest}"
    if value < 1:
        a, b, value, low, high = b, a, 1 / value, 1 / high, 1 / low
    return f"{b} needs {_times(value, low, high)} as many {what} as {a} for the same error{rest}"


def _times(value: float, low: float, high: float) -> str:
    if np.isnan(low) or np.isnan(high):
        return f"{number(value, 2 if value < 10 else 3)}× [no interval]"
    shown = [number(v, 2 if v < 10 else 3) for v in (value, low, high)]
    return f"{shown[0]}× [{shown[1]}, {shown[2]}]"


def difference_title(row: pd.Series | pd.DataFrame, names: Names | None = None) -> str:
    """The sentence of one row of `stats.compare`, with its number and interval and in the words of its verdict."""
    row = one_row(row)
    a, b = display_name(row["a"], names), display_name(row["b"], names)
    metric = metric_name(str(row["metric"])) if "metric" in row else "value"
    unit = "" if row["unit"] == "1" else f" {row['unit']}"
    if pd.isna(row["estimate"]):
        return f"{a} and {b} share no sample on which {metric} is defined"
    if row["verdict"] == "undecided":
        return f"Undecided whether {b} or {a} is better: {metric} differs by {with_interval(row, sign=True)}{unit}"
    if row["verdict"] == "equivalent":
        return f"{b} and {a} are equivalent in {metric}: difference {with_interval(row, sign=True)}{unit}"
    size = row if row["estimate"] > 0 else _mirrored(row)
    side = "higher" if row["estimate"] > 0 else "lower"
    verdict = f" ({row['verdict']})" if row["verdict"] in ("better", "worse") else ""
    return f"{b} has {with_interval(size)}{unit} {side} {metric} than {a}{verdict}"


def _mirrored(row: pd.Series) -> pd.Series:
    return pd.Series({"estimate": -row["estimate"], "low": -row["high"], "high": -row["low"]})


def one_row(row: pd.Series | pd.DataFrame) -> pd.Series:
    """The only row of a frame.

    Raises:
        ValueError: if there are none or several.
    """
    if isinstance(row, pd.Series):
        return row
    if len(row) != 1:
        raise ValueError(f"Expected one row for one sentence, but got {len(row)}; filter the frame first.")
    return row.iloc[0]


def caption_line(frame: pd.DataFrame, sidecar: Mapping[str, Any] | None = None, *, level: float = 0.95) -> str:
    """What stands under a figure: n, groups, seeds, what is undefined, the interval, the protocol and its hash."""
    parts = [f"n = {_span(frame['n'])} samples in {_span(frame['groups'])} groups"]
    if "seeds" in frame:
        parts.append(f"{_span(frame['seeds'])} seed{'' if frame['seeds'].max() == 1 else 's'}")
    for column in ("undefined", "unpaired"):
        if column in frame and frame[column].sum():
            parts.append(f"{int(frame[column].sum())} {column}")
    band = "simultaneous bands" if "band_low" in frame else "intervals"
    parts.append(f"{level:.0%} {band}, groups resampled".replace("%", " %"))
    for protocol in _protocols(sidecar or {}):
        digest = protocol.get("hash") or protocol.get("id") or protocol.get("digest")
        parts.append(f"protocol {protocol.get('name', '?')}{f' ({digest})' if digest else ''}")
    return " · ".join(parts)


def _protocols(sidecar: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    many = sidecar.get("protocols") or [sidecar.get("protocol")]
    return [p if isinstance(p, Mapping) else {"name": p} for p in many if p]


def _span(column: pd.Series) -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low}" if low == high else f"{low}–{high}"
