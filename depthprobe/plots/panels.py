"""Small multiples with shared axes, and the words around a figure."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from depthprobe.checks import check_range
from depthprobe.plots.curves import draw_curves
from depthprobe.plots.theme import WIDTH, display_name, styles, theme
from depthprobe.plots.words import Names

_TITLE_ROW = 60  # characters of panel titles that fit side by side


def small_multiples(
    frame: pd.DataFrame,
    draw: Callable[[pd.DataFrame, Axes, bool], object],
    *,
    panel: str,
    order: Sequence[Any] | None = None,
    columns: int = 3,
    width: float = WIDTH,
    height: float = 1.75,
    names: Names | None = None,
    share_x: bool = True,
    share_y: bool = True,
) -> Figure:
    """One panel per value of the column `panel`, all on shared axes; labels stand at the outer panels only.

    Convention: `draw(part, ax, last)` draws one panel's rows; `last` says that it stands at the right end of its row,
    where line labels have room. `height` in inches per row of panels. `share_x`, `share_y`: whether panels have the
    same scale; without it each has ticks of its own.

    Raises:
        ValueError: if `order` names a value that the column does not have.
    """
    check_range("columns", columns, 1, 8)
    values = list(order) if order is not None else sorted(frame[panel].unique(), key=str)
    if missing := [v for v in values if not (frame[panel] == v).any()]:
        raise ValueError(f"Expected `order` to name values of `{panel}`, but got {missing}.")
    with theme():
        columns = min(columns, len(values))
        rows = -(-len(values) // columns)
        figure = Figure(figsize=(width, height * rows + 0.5), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=share_x, sharey=share_y, squeeze=False)
        for ax in grid.ravel()[len(values) :]:
            ax.set_visible(False)
        for i, (ax, value) in enumerate(zip(grid.ravel(), values, strict=False)):
            last = i % columns == columns - 1 or i == len(values) - 1
            draw(frame[frame[panel] == value], ax, last)
            ax.set_title(textwrap.fill(display_name(value, names), _TITLE_ROW // columns))
            below = i + columns < len(values)
            ax.set_xlabel("" if below else ax.get_xlabel())
            ax.tick_params(axis="x", labelbottom=not (below and share_x))
        _shared_label(figure, grid, "y")
        _shared_label(figure, grid, "x")
    return figure


def _shared_label(figure: Figure, grid: np.ndarray, side: str) -> None:
    """Say an axis label once for the figure where all panels have the same one."""
    drawn = [ax for ax in grid.ravel() if ax.get_visible()]
    said = {getattr(ax, f"get_{side}label")() for ax in drawn} - {""}
    if len(said) == 1:
        for ax in drawn:
            getattr(ax, f"set_{side}label")("")
        getattr(figure, f"sup{side}label")(said.pop(), fontsize=8)


def draw_curve_panels(
    points: pd.DataFrame,
    *,
    panel: str = "factor",
    line: str = "model",
    families: Mapping[Any, str] | None = None,
    names: Names | None = None,
    order: Sequence[Any] | None = None,
    columns: int = 3,
    **options: Any,
) -> Figure:
    """`draw_curves` in small multiples, one panel per value of `panel`; a line looks the same in every panel."""
    if families is None and "family" in points:
        families = dict(zip(points[line], points["family"], strict=True))
    style = styles(points[line].unique().tolist(), families)

    def draw(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        draw_curves(part, ax, line=line, style=style, names=names, direct=last, **options)

    return small_multiples(points, draw, panel=panel, order=order, columns=columns, names=names)


def _lines(words: str, columns: int) -> list[str]:
    """Words wrapped to a width; a number and its % stay together."""
    held = words.replace(" %", "\N{NO-BREAK SPACE}%")
    return [line.replace("\N{NO-BREAK SPACE}", " ") for line in textwrap.wrap(held, columns)]


def describe_figure(figure: Figure, *, title: str = "", caption: str = "") -> Figure:
    """Set the sentence above a figure and the caption line below it, wrapped to its width; returns the figure.

    Convention: the figure grows by the height of the words, so panels keep their size.
    """
    with theme():
        width, height = figure.get_size_inches()
        above = _lines(title, max(20, int(width * 72 / (0.61 * 9.5))))
        below = _lines(caption, max(20, int(width * 72 / (0.54 * 7))))
        foot = len(below) * 7 * 1.4 / 72 + (0.06 if below else 0)
        total = height + foot + len(above) * 9.5 * 1.3 / 72
        figure.set_size_inches(width, total)
        across = figure.get_supxlabel()
        bottom = (foot + (0.19 if across else 0)) / total
        figure.set_layout_engine("constrained", rect=(0, bottom, 1, 1 - bottom))
        if above:
            figure.suptitle("\n".join(above), x=0.01, ha="left", fontsize=9.5, fontweight="bold")
        if across:
            figure.supxlabel(across, y=(foot + 0.03) / total, fontsize=8)
        if below:
            figure.text(0.01, 0.04 / total, "\n".join(below), fontsize=7, color="#444444", va="bottom", linespacing=1.3)
    return figure
