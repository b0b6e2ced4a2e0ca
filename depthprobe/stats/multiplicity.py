"""p values adjusted for the number of comparisons, and the verdicts that follow from them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

JUDGED = ("low", "high", "better", "rope", "p_tost")  # what a verdict is made of, beside the adjusted p


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values (n,), family-wise error; NaN stays NaN and counts for nothing (Holm 1979)."""
    return _step(p, lambda ranked, m: np.maximum.accumulate(ranked * (m - np.arange(m))))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg adjusted p values (n,), false-discovery rate; NaN stays NaN and counts for nothing (1995)."""
    return _step(p, lambda ranked, m: np.minimum.accumulate((ranked * m / np.arange(1, m + 1))[::-1])[::-1])


def _step(p: np.ndarray, adjusted: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, float)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out[order] = np.minimum(adjusted(p[order], len(order)), 1.0)
    return out


def adjust(frame: pd.DataFrame, family: Sequence[str] = (), *, level: float = 0.95) -> pd.DataFrame:
    """The frame with its `p` corrected: p_holm within each `family`, p_bh across all rows; verdicts follow.

    For results put together from several calls: `adjust(pd.concat([compare(x), compare(y)]), ["metric"])`.

    Convention: the *family* of Holm's correction is the rows that share the columns named (default: the whole frame).
    A frame of `compare` or `family_contrast` gets its `verdict` anew, about b: better or worse (higher or lower when
    `better` is none) when the interval excludes 0 (lies wholly outside +-rope, where there is one) and
    p_holm <= 1 - level; equivalent when the interval lies inside +-rope and p_tost, corrected by Holm in the same
    family, is <= 1 - level; else undecided. `level` is that of the intervals.

    Raises:
        ValueError: if the frame has no `p` or not the columns of `family`.
    """
    if missing := [c for c in ("p", *family) if c not in frame]:
        raise ValueError(f"Expected columns {missing} in the frame, but got {list(frame.columns)}.")
    out = frame.copy()
    out["p_holm"], out["p_bh"] = _within(out, "p", family), benjamini_hochberg(out["p"].to_numpy())
    if all(c in out for c in JUDGED):
        out["verdict"] = _verdicts(out, _within(out, "p_tost", family), 1 - level)
    return out


def _within(frame: pd.DataFrame, p: str, family: Sequence[str]) -> np.ndarray:
    if not family:
        return holm(frame[p].to_numpy())
    parts = frame.groupby(list(family), dropna=False, observed=True)[p]
    return np.asarray(parts.transform(lambda values: holm(values.to_numpy())))


def _verdicts(out: pd.DataFrame, p_tost: np.ndarray, alpha: float) -> list[str]:
    rope = out["rope"].to_numpy(float)
    edge = np.nan_to_num(rope)
    sure = out["p_holm"].to_numpy() <= alpha
    up, down = sure & (out["low"] > edge), sure & (out["high"] < -edge)
    same = (out["low"] > -rope) & (out["high"] < rope) & (p_tost <= alpha)
    words = {"lower": ("worse", "better"), "higher": ("better", "worse"), "none": ("higher", "lower")}
    return [
        "equivalent" if e else words[better][0] if u else words[better][1] if d else "undecided"
        for better, e, u, d in zip(out["better"], same, up, down, strict=True)
    ]


def check_family(family: Sequence[str], by: Sequence[str]) -> list[str]:
    """Return `family` as a list.

    Raises:
        ValueError: unless every name is in `by`.
    """
    if unknown := [c for c in family if c not in by]:
        raise ValueError(f"Expected `family` to name columns of `by` ({list(by)}), but got {unknown}.")
    return list(family)


def per_metric(
    name: str, given: float | Mapping[str, float] | None, cells: pd.DataFrame, table: pd.DataFrame
) -> np.ndarray:
    """The number (C,) that `given` says for the metric of every cell; NaN where none is.

    Raises:
        ValueError: unless every number is > 0 and one at least is of a metric of the table.
    """
    if given is None:
        return np.full(len(cells), np.nan)
    if isinstance(given, Mapping):
        metric = cells["metric"] if "metric" in cells else pd.Series(table["metric"].iloc[0], index=cells.index)
        width = metric.map(dict(given)).to_numpy(float)
        if np.isnan(width).all():
            raise ValueError(f"Expected `{name}` to name metrics of the table {sorted(set(metric))}, but got {given}.")
    else:
        width = np.full(len(cells), float(given))
    if (width <= 0).any():
        raise ValueError(f"Expected `{name}` to be > 0 (a difference in the metric's unit), but got {given}.")
    return np.asarray(width)
