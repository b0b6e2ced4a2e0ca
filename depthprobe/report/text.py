"""Numbers, names and lists as a reader wants them: the only place where the page rounds."""

import math
import unicodedata
from collections.abc import Iterable, Sequence

UNDEFINED = "undefined"
ROOM = 40  # letters of a name in a sentence
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
PLACES = {
    "depth_edge": "depth edges", "texture_edge": "texture edges", "flat": "flat interiors",
    "near": "near surfaces", "mid": "surfaces at middle depth", "far": "far surfaces",
}  # fmt: skip


def number(value: float) -> str:
    """Three significant digits; four places at most, none above 1000, M and G from a million and 10^9 on.

    Convention: what four places would show as 0 without being it is `3.2×10⁻⁵`.
    """
    if not math.isfinite(value):
        return UNDEFINED
    if value == 0:
        return "0"
    if abs(value) >= 1e6:
        size, mark = (1e9, "G") if abs(value) >= 1e9 else (1e6, "M")
        return f"{number(value / size)} {mark}"
    places = min(4, max(0, 2 - math.floor(math.log10(abs(value)))))
    text = f"{value:,.{places}f}"
    if float(text.replace(",", "")) == 0:
        digits, _, exponent = f"{value:.1e}".partition("e")
        text = f"{digits}×10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return text.replace("-", "\N{MINUS SIGN}")


def interval(estimate: float, low: float, high: float, unit: str = "1") -> str:
    """`0.213 [0.201, 0.224] m`; a missing interval is said, not hidden."""
    end = "" if unit in ("1", "") else f" {unit}"
    if not math.isfinite(estimate):
        return UNDEFINED
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number(estimate)}{end} [no interval]"
    return f"{number(estimate)} [{number(low)}, {number(high)}]{end}"


def percent(value: float) -> str:
    """A share as per cent, with three significant digits: `2.5 %`, `2,520 %`."""
    if not math.isfinite(value):
        return UNDEFINED
    plain = f"{100 * value:.3g}"
    return f"{number(100 * value) if 'e' in plain else plain}\N{NO-BREAK SPACE}%"


def percent_interval(estimate: float, low: float, high: float) -> str:
    """`2.5 % [1.9 %, 3.2 %]` of the pixels."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return percent(estimate)
    return f"{percent(estimate)} [{percent(low)}, {percent(high)}]"


def place_name(place: str) -> str:
    """Where pixels lie, as in "on depth edges"."""
    return PLACES.get(place, place.replace("_", " "))


def selector_name(selector: str) -> str:
    """`image_edges.reversed` -> "reversed image edges"."""
    name = selector.replace("_", " ")
    return f"reversed {name.removesuffix('.reversed')}" if name.endswith(".reversed") else name


def listed(items: Iterable[str]) -> str:
    """`a, b and c`."""
    items = list(items)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def counted(count: int, noun: str, plural: str = "") -> str:
    """`1 sample`, `3 samples`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def isolated(name: str) -> str:
    """A name that cannot turn round what stands beside it: letters that run from right to left get their own direction.

    Without this a number after such a name is drawn on its other side, and an interval with its ends exchanged.
    """
    turned = any(unicodedata.bidirectional(letter) in ("R", "AL", "AN") for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turned else name


def clipped(name: str, room: int) -> str:
    """A name with its middle left out where it is longer than `room` letters; both ends tell names apart."""
    half = (room - 1) // 2
    return name if len(name) <= room else f"{name[: room - 1 - half]}\N{HORIZONTAL ELLIPSIS}{name[-half:]}"


def verdict(low: float, high: float) -> str:
    """Whether an interval of a difference leaves out 0: "lower", "higher" or "undecided"."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "undecided"
    return "lower" if high < 0 else "higher" if low > 0 else "undecided"


def short_names(models: Sequence[str]) -> dict[str, str]:
    """Names for sentences: without their scheme and with the middle of a long one left out, where they stay distinct.

    `zoo:pvt` -> `pvt`; names from right to left are isolated.
    """
    plain = {m: m for m in models}
    bare = {m: m.partition(":")[2] or m for m in models}
    brief = {m: clipped(name, ROOM) for m, name in bare.items()}
    chosen = next(names for names in (brief, bare, plain) if len(set(names.values())) == len(plain))
    return {m: isolated(name) for m, name in chosen.items()}


def p_value(p: float) -> str:
    """A p value: `< 0.001` where smaller."""
    return UNDEFINED if not math.isfinite(p) else "< 0.001" if p < 0.001 else number(p)
