"""The one look of all figures: fonts, Okabe–Ito colours, and how models and families are told apart."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

WIDTH = 6.9  # inches: a text block on A4 or letter; every size below is at this print size
OKABE_ITO = {
    "orange": "#E69F00", "sky": "#56B4E9", "green": "#009E73", "yellow": "#F0E442", "blue": "#0072B2",
    "vermillion": "#D55E00", "purple": "#CC79A7", "black": "#000000",
}  # fmt: skip
FAMILY_COLOURS = {
    "cnn": OKABE_ITO["blue"], "transformer": OKABE_ITO["orange"], "hybrid": OKABE_ITO["green"], "oracle": "#777777",
}  # fmt: skip
_MARKERS = {"cnn": "osDpH", "transformer": "^v<>", "hybrid": "PX*", "oracle": "dh8"}  # all can be filled or hollow
_LINES: Sequence[Any] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)), (0, (8, 2)))
_OTHERS = ("blue", "orange", "green", "vermillion", "purple", "sky", "black")
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "figure.titlesize": 9.5,
    "figure.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.5,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.hashsalt": "depthprobe",
}


@contextmanager
def theme() -> Iterator[None]:
    """Draw in the package's look; matplotlib's settings are as before afterwards."""
    with mpl.rc_context(_SETTINGS):
        yield


def axes_of(ax: Axes | None, size: tuple[float, float] = (WIDTH / 2, 2.5)) -> Axes:
    """The Axes given, or those of a new figure of `size` inches that pyplot does not know (nothing to close)."""
    return Figure(figsize=size, layout="constrained").subplots() if ax is None else ax


def figure_of(ax: Axes) -> Figure:
    """The figure that an Axes lies in."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    return figure


def display_name(name: object, names: Mapping[Any, str] | None = None) -> str:
    """What a reader sees for a value: the name given in `names`, else without the loader's scheme (zoo:pvt -> pvt)."""
    text = str(name)
    if names and name in names:
        return names[name]
    return text.split(":", 1)[1] if ":" in text else text


def styles(values: Sequence[object], families: Mapping[Any, str] | None = None) -> dict[object, dict[str, Any]]:
    """Line settings by value: the family's hue, and marker and dashes by place in the family, so grey print reads.

    Convention: places follow the sorted names, so that a model looks alike in every figure drawn with the same models.
    Values without a family (selectors, fills) run through the other colours, markers and dashes.
    """
    found: dict[object, dict[str, Any]] = {}
    place: dict[str, int] = {}
    for value in sorted(set(values), key=str):
        family = (families or {}).get(value, "")
        at = place[family] = place.get(family, -1) + 1
        if family in FAMILY_COLOURS:
            colour, marker = FAMILY_COLOURS[family], _MARKERS[family][at % len(_MARKERS[family])]
        else:
            colour, marker = OKABE_ITO[_OTHERS[at % len(_OTHERS)]], "osD^vPX"[at % 7]
        found[value] = {"color": colour, "marker": marker, "linestyle": _LINES[at % len(_LINES)]}
    return found


def ink(colour: str, strength: float = 0.62) -> tuple[float, float, float]:
    """A darker tone of a line's colour that is readable as text on white."""
    r, g, b = to_rgb(colour)
    return r * strength, g * strength, b * strength
