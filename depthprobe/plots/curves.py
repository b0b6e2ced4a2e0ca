"""Curves over a budget with their bands and labels at their ends."""

import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from depthprobe.plots.theme import axes_of, display_name, figure_of, ink, styles, theme
from depthprobe.plots.words import Names, value_label
from depthprobe.stats import label as axis_label

_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def draw_curves(
    points: pd.DataFrame,
    ax: Axes | None = None,
    *,
    x: str = "level",
    line: str = "model",
    families: Mapping[Any, str] | None = None,
    style: Mapping[Any, Mapping[str, Any]] | None = None,
    names: Names | None = None,
    axes: Mapping[str, Mapping[str, str]] | None = None,
    log: bool = True,
    direct: bool = True,
) -> Axes:
    """Draw the `points` of `stats.curve` (or curve_difference): one line with its band per value of `line`.

    Convention: the band is band_low..band_high (simultaneous), else low..high. Nothing is averaged: each line has one
    row per `x`. `families` {value: family} (default: the frame's `family` column) sets the hue; `axes` (of the sidecar)
    the reader's name of `x`; a budget is shown in per cent of the pixels. `direct` writes each name at its line's end.

    Raises:
        ValueError: if a line has several rows at one `x`, or units are mixed.
    """
    one_value_each(points, [line, x])
    if families is None and "family" in points:
        families = dict(zip(points[line], points["family"], strict=True))
    style = style or styles(points[line].unique().tolist(), families)
    ends: dict[Any, tuple[float, float]] = {}
    with theme():
        ax = axes_of(ax)
        for value, part in points.sort_values(x).groupby(line, sort=True):
            ax.plot(part[x], part["estimate"], label=display_name(value, names), zorder=3, **style[value])
            low, high = ("band_low", "band_high") if "band_low" in part else ("low", "high")
            colour = style[value]["color"]
            ax.fill_between(part[x], part[low], part[high], color=colour, alpha=0.18, linewidth=0, zorder=2)
            known = part[part["estimate"].notna()]
            if len(known):
                ends[value] = float(known[x].iloc[-1]), float(known["estimate"].iloc[-1])
        budget_axis(ax, points[x], axis_label(x, axes or {}), log=log)
        difference = {"a", "b"} <= set(points.columns)
        if difference:
            ax.axhline(0, color="#444444", linewidth=0.8, zorder=1)
        ax.set_ylabel(textwrap.fill(value_label(points, difference=difference, names=names), 32))
        if direct:
            label_ends(ax, ends, style, names)
    return ax


def one_value_each(frame: pd.DataFrame, keys: list[str]) -> None:
    """Refuse a frame in which a drawn place has several rows: a drawing never averages.

    Raises:
        ValueError: naming the columns that would be drawn over each other.
    """
    if frame.empty:
        raise ValueError("Expected a frame with rows to draw, but got an empty one.")
    if frame.duplicated(keys).any():
        others = [c for c in frame if c not in keys and frame.groupby(keys, dropna=False)[c].nunique().max() > 1]
        raise ValueError(
            f"Expected one row per {keys}, but got several, which differ in {others}; filter the frame or use "
            "`small_multiples`."
        )


def budget_axis(ax: Axes, x: pd.Series, name: str, *, log: bool) -> None:
    """Set up the x axis: log with readable ticks; budgets as per cent of the pixels."""
    budget = name == "budget"
    if log:
        ax.set_xscale("log")
        inside = [s for s in _SHARES if x.min() * 0.999 <= s <= x.max() * 1.001]
        ticks = inside if len(inside) > 2 else sorted(x.unique())
        ax.xaxis.set_major_locator(FixedLocator(ticks))
        ax.xaxis.set_minor_locator(NullLocator())
    show: Callable[[float, int], str] = lambda v, _: f"{100 * v:g}" if budget else f"{v:g}"  # noqa: E731
    ax.xaxis.set_major_formatter(FuncFormatter(show))
    ax.set_xlabel("budget (% of pixels kept)" if budget else name)


def label_ends(
    ax: Axes,
    ends: Mapping[Any, tuple[float, float]],
    style: Mapping[Any, Mapping[str, Any]],
    names: Names | None = None,
) -> None:
    """Write each line's name beside its end (x, y), pushed apart so that no two overlap, with a thin leader."""
    figure = figure_of(ax)
    if figure.get_layout_engine() is not None:
        figure.draw_without_rendering()  # the final height of the axes decides how far apart labels must be
    height = ax.get_window_extent().height / figure.dpi * 72
    size = 7.5
    low, high = ax.get_ylim()
    placed = spread({v: (y - low) / (high - low) for v, (_, y) in ends.items()}, 1.3 * size / max(height, 1.0))
    ax.set_ylim(low, high)
    for value, at in placed.items():
        colour = style[value]["color"]
        leader = {"arrowstyle": "-", "color": colour, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)}
        ax.annotate(
            display_name(value, names), ends[value], (1.03, at), xycoords="data", textcoords="axes fraction",
            fontsize=size, color=ink(colour), va="center", ha="left", annotation_clip=False, arrowprops=leader,
        )  # fmt: skip


def spread(want: Mapping[Any, float], gap: float) -> dict[Any, float]:
    """Places at least `gap` apart, in the order of the places wanted and near to them, within [0, 1] if they fit."""
    order = sorted(want, key=lambda v: (want[v], str(v)))
    stacks: list[list[Any]] = []  # places that touch move as one, around their middle
    middle = lambda stack: float(np.mean([want[v] for v in stack]))  # noqa: E731
    for value in order:
        stacks.append([value])
        while len(stacks) > 1 and middle(stacks[-2]) + gap * (len(stacks[-2]) + len(stacks[-1])) / 2 > middle(
            stacks[-1]
        ):
            top = stacks.pop()
            stacks[-1] = [*stacks[-1], *top]
    at = np.array([middle(s) + gap * (i - (len(s) - 1) / 2) for s in stacks for i in range(len(s))])
    steps = gap * np.arange(len(at))
    at = np.maximum(at, steps)  # not below 0
    at = np.minimum(at, max(1.0, gap * (len(at) - 1)) - steps[::-1])  # not above 1
    return dict(zip(order, at.tolist(), strict=True))
