"""Frames as HTML tables with sort keys, and as CSV inside the page."""

import base64
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from depthprobe.report import svg, text

ROOM = 40  # letters of a cell in one line


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """What a cell shows and what it sorts by (a number, or the text itself)."""

    shown: str | Markup
    key: str
    numeric: bool = False

    @property
    def long(self) -> bool:
        """Whether it is a text so long that it has to be broken, lest it push the other columns off the page."""
        return not isinstance(self.shown, Markup) and len(self.shown) > ROOM


@dataclasses.dataclass(frozen=True, kw_only=True)
class HtmlTable:
    """One table of the page: labels, rows of cells, and its frame as a CSV data URI."""

    caption: str
    labels: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[Cell]]
    csv: str
    filename: str


def csv_uri(frame: pd.DataFrame) -> str:
    """The frame as a `data:` link, no index, numbers to eight digits (report.json has all of them)."""
    body = frame.to_csv(index=False, lineterminator="\n", float_format="%.8g").encode()
    return "data:text/csv;charset=utf-8;base64," + base64.b64encode(body).decode()


def with_intervals(frame: pd.DataFrame, stem: str = "", unit: str | None = None) -> list[Cell]:
    """Cells `estimate [low, high]` from the columns `<stem>`, `<stem>_low`, `<stem>_high` (no stem: estimate…)."""
    names = (stem, f"{stem}_low", f"{stem}_high") if stem else ("estimate", "low", "high")
    units = frame["unit"] if unit is None and "unit" in frame else [unit or "1"] * len(frame)
    cells = []
    for values, one in zip(frame[list(names)].itertuples(index=False), units, strict=True):
        estimate, low, high = (float(v) for v in values)
        cells.append(Cell(shown=text.interval(estimate, low, high, str(one)), key=repr(estimate), numeric=True))
    return cells


def bar_column(frame: pd.DataFrame, *, null: float | None = None, family: Sequence[str] = ()) -> dict[str, list[Cell]]:
    """A column that draws the interval of each row on one shared axis, whose ends stand in the label.

    Convention: a point is hollow where the column `verdict` says undecided; `family` gives the hue.
    """
    scale = svg.bar_scale(frame["low"].tolist(), frame["high"].tolist(), null)
    hues = list(family) or [""] * len(frame)
    sure = frame["verdict"] != "undecided" if "verdict" in frame else [True] * len(frame)
    cells = []
    numbers = frame[["estimate", "low", "high"]].astype(float).itertuples(index=False)
    for (estimate, low, high), hue, decided in zip(numbers, hues, sure, strict=True):
        bar = svg.interval_bar(estimate, low, high, scale, null=null, decided=bool(decided), family=hue)
        cells.append(Cell(shown=bar, key=repr(estimate)))
    return {f"{text.number(scale[0])} … {text.number(scale[1])}": cells}


def sizes(frame: pd.DataFrame) -> str:
    """`n = 64 samples in 64 groups` of a frame of estimates, ranges where cells differ."""
    n, groups = (f"{_range(frame[c])} {noun}" + "s" * bool(frame[c].max() != 1)
                 for c, noun in (("n", "sample"), ("groups", "group")))  # fmt: skip
    return f"n = {n} in {groups}"


def _range(values: pd.Series) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def plain(values: Sequence[Any]) -> list[Cell]:
    """Cells of text or numbers; NaN reads "undefined" or "–" where nothing was to be measured."""
    return [_plain(v) for v in values]


def _plain(value: Any) -> Cell:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(shown=str(value), key=str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return Cell(shown=text.UNDEFINED, key="nan", numeric=True)
    shown = f"{value:,}" if isinstance(value, int) else text.number(value)
    return Cell(shown=shown, key=repr(value), numeric=True)


def html_table(frame: pd.DataFrame, cells: Mapping[str, list[Cell]], *, caption: str, filename: str) -> HtmlTable:
    """Columns of cells (label -> cells) as a table; the CSV holds the frame itself.

    Raises:
        ValueError: if the columns differ in length.
    """
    lengths = {label: len(column) for label, column in cells.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"Expected `cells` to have columns of one length, but got {lengths}.")
    rows = [list(row) for row in zip(*cells.values(), strict=True)]
    numeric = [bool(column) and all(c.numeric for c in column) for column in cells.values()]
    return HtmlTable(
        caption=caption, labels=list(cells), numeric=numeric, rows=rows, csv=csv_uri(frame), filename=filename
    )
