"""The terminal: one console, and how numbers are written."""

import math
import os
from typing import Any

from rich.console import Console
from rich.status import Status
from rich.table import Table

_OUT = Console(highlight=False, soft_wrap=True)
_ERR = Console(stderr=True, highlight=False)


def is_first() -> bool:
    """Whether this is the process that speaks: one of several has a rank, or a place that Fabric gave it."""
    return os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0")) == "0"


def say(text: str) -> None:
    """A line on standard output."""
    Console(highlight=False, soft_wrap=True, markup=False).print(text)


def warn(text: str) -> None:
    """A line on standard error, where it does not mix with what another program reads."""
    _ERR.print(text, markup=False, style="yellow", soft_wrap=True)


def show(table: Table) -> None:
    """A table on standard output, at least 100 columns wide when this is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, console.width))
    console.print(table)


def errors() -> Console:
    """The console of progress and messages (standard error)."""
    return _ERR


def status(text: str) -> Status:
    """A spinner while something short is done."""
    return _ERR.status(text)


def counted(n: int, noun: str) -> str:
    """`1 sample`, `64 samples`."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def decimals(estimate: float, digits: int = 3) -> int:
    """Places after the point that show `digits` significant digits."""
    if not math.isfinite(estimate) or estimate == 0:
        return digits
    return max(0, digits - 1 - math.floor(math.log10(abs(estimate))))


def interval(estimate: float, low: float, high: float, *, places: int | None = None, sign: bool = False) -> str:
    """`0.213 [0.204, 0.222]`; an end that is unknown or infinite is shown as such."""
    if math.isnan(estimate):
        return "not reached" if math.isinf(high) else "undefined"
    places = decimals(estimate) if places is None else places
    plus = "+" if sign else ""

    def one(value: float) -> str:
        return "?" if math.isnan(value) else "∞" if math.isinf(value) else f"{value:{plus}.{places}f}"

    return f"{one(estimate)} [{one(low)}, {one(high)}]"


def plain(value: Any) -> str:
    """A cell that is no estimate."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.3g}"
    return str(value)


def grid(title: str, caption: str) -> Table:
    """An empty table in the one look of this program."""
    from rich import box

    return Table(title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
