"""Forest plots: one row per comparison, its estimate and interval as a mark and as a number."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from depthprobe.plots.curves import one_value_each
from depthprobe.plots.theme import WIDTH, axes_of, display_name, styles, theme
from depthprobe.plots.words import Names, value_label, with_interval


def draw_forest(
    frame: pd.DataFrame,
    ax: Axes | None = None,
    *,
    rows: Sequence[str],
    hue: str | None = None,
    families: Mapping[Any, str] | None = None,
    names: Names | None = None,
    label: str | None = None,
    ratio: bool = False,
    zero: float | None = None,
    numbers: bool = True,
) -> Axes:
    """Draw estimates with intervals from `summarise`, `compare` or a curve's `summary`, in the order of the frame.

    Convention: `rows` are the columns that make a row's label; `hue` (e.g. "model") the column that sets colour and
    marker, by family where known. A mark is filled when its `verdict` is not "undecided" (or there is none) and hollow
    otherwise. `ratio` draws a log axis with its line at 1; else `zero` (0 for comparisons) is marked. A bound at
    infinity runs to the edge as an arrow; an undefined estimate is said in words. `numbers` writes each estimate and
    interval at the right. On axes shared with forests drawn before, the limits grow to hold them all, and a row that
    another panel already has stands at its height.

    Raises:
        ValueError: if two rows have the same label, or units are mixed.
    """
    keys = [*rows, *([hue] if hue and hue not in rows else [])]
    one_value_each(frame, keys)
    compared = {"a", "b"} <= set(frame.columns)
    zero = 1.0 if ratio else 0.0 if zero is None and compared else zero
    if families is None and hue and "family" in frame:
        families = dict(zip(frame[hue], frame["family"], strict=True))
    style = styles(frame[hue].unique().tolist(), families) if hue else {}
    plain = {"color": "#222222", "marker": "o"}
    with theme():
        ax = axes_of(ax, (WIDTH, 0.75 + 0.2 * len(frame)))
        y = _heights(ax, [" · ".join(display_name(row[c], names) for c in keys) for _, row in frame.iterrows()])
        _limits(ax, frame, zero, ratio)
        if zero is not None:
            ax.axvline(zero, color="#444444", linewidth=0.8, zorder=1)
        for at, (_, row) in zip(y, frame.iterrows(), strict=True):
            _mark(ax, at, row, style[row[hue]] if hue else plain)
            if numbers and not np.isnan(row["estimate"]):
                ax.text(1.02, at, with_interval(row, sign=compared and not ratio), transform=ax.get_yaxis_transform(),
                        va="center", fontsize=7.5)  # fmt: skip
        ax.tick_params(axis="y", length=0)
        ax.grid(axis="y", visible=False)
        ax.spines["left"].set_visible(False)
        ax.set_xlabel(label or value_label(frame, difference=compared, names=names))
    return ax


def _drawn_before(ax: Axes, axis: str) -> Axes | None:
    """Another axes that already has marks and shares `axis` ("x" or "y") with this one."""
    shared = ax.get_shared_x_axes() if axis == "x" else ax.get_shared_y_axes()
    return next((other for other in shared.get_siblings(ax) if other is not ax and other.has_data()), None)


def _heights(ax: Axes, labels: Sequence[str]) -> list[float]:
    """Label the rows, top down, and return their heights: those of the same labels in a panel that shares the axis."""
    other = _drawn_before(ax, "y")
    ticks = [float(t) for t in other.get_yticks()] if other else []
    named = list(other.yaxis.get_major_formatter().format_ticks(ticks)) if other else []
    y: list[float] = []
    for label in labels:
        free = [t for t, name in zip(ticks, named, strict=True) if name == label and t not in y]
        if not free:
            free = [min(ticks) - 1 if ticks else len(labels) - 1.0]
            ticks.append(free[0])
            named.append(label)
        y.append(free[0])
    ax.set_yticks(ticks, named)
    ax.set_ylim(min(ticks, default=0.0) - 0.7, max(ticks, default=0.0) + 0.7)
    return y


def _limits(ax: Axes, frame: pd.DataFrame, zero: float | None, ratio: bool) -> None:
    other = _drawn_before(ax, "x")
    held = other.get_xlim() if other else (np.inf, -np.inf)
    if ratio:
        ax.set_xscale("log")
    ends = frame[["estimate", "low", "high"]].to_numpy(float).ravel()
    ends = np.append(ends, [] if zero is None else [zero])
    ends = ends[np.isfinite(ends) & ((ends > 0) | (not ratio))]
    if not len(ends):
        return
    if ratio:
        low, high = np.log(ends.min()), np.log(ends.max())
        pad = 0.06 * (high - low) or 0.1
        left, right = min(np.exp(low - pad), held[0]), max(np.exp(high + pad), held[1])
        ax.set_xlim(left, right)
        scales = (0.1, 0.2, 0.33, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50), (0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5)
        coarse, fine = ([t for t in scale if left <= t <= right] for scale in scales)
        ax.set_xticks(coarse if len(coarse) > 1 else fine or [1.0])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}×"))
    else:
        pad = 0.06 * np.ptp(ends) or 0.1
        ax.set_xlim(min(ends.min() - pad, held[0]), max(ends.max() + pad, held[1]))
        ax.xaxis.set_major_locator(MaxNLocator(6))


def _mark(ax: Axes, y: float, row: pd.Series, style: Mapping[str, Any]) -> None:
    estimate, low, high = (float(row[c]) for c in ("estimate", "low", "high"))
    colour = style["color"]
    if np.isnan(estimate):
        ax.text(0.5, y, f"undefined (n = {row.get('n', 0)})", transform=ax.get_yaxis_transform(), ha="center",
                va="center", fontsize=7, color="#666666")  # fmt: skip
        return
    if not np.isnan([low, high]).any():
        ends = [bound if np.isfinite(bound) else estimate for bound in (low, high)]
        ax.plot(ends, [y, y], color=colour, linewidth=1.4, solid_capstyle="butt", zorder=2)
        for bound in (b for b in (low, high) if np.isinf(b)):
            _arrow(ax, estimate, y, right=bound > 0, colour=colour)
    decided = row.get("verdict", "") != "undecided"
    ax.plot([estimate], [y], marker=style["marker"], color=colour, markersize=5, linestyle="none", zorder=3,
            markerfacecolor=colour if decided else "white", markeredgewidth=1.1)  # fmt: skip


def _arrow(ax: Axes, start: float, y: float, *, right: bool, colour: str) -> None:
    """A line from `start` to the edge of the axes, wherever that edge will be, with an arrow head there."""
    across, edge = ax.get_yaxis_transform(), float(right)
    ax.add_artist(ConnectionPatch((start, y), (edge, y), "data", across, axesA=ax, axesB=ax, arrowstyle="-",
                                  color=colour, linewidth=1.4, shrinkA=0, shrinkB=0, zorder=2))  # fmt: skip
    ax.plot([edge], [y], marker=">" if right else "<", color=colour, markersize=5, clip_on=False, transform=across)
