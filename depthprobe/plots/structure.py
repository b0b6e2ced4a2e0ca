"""Structure of depth at a glance: the maps and their derivatives, zoomed, beside the spectrum of the error."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize, SymLogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from depthprobe.plots.gallery import DEPTH_MAP, ERROR_MAP, picture, shorten
from depthprobe.plots.theme import WIDTH, styles, theme
from depthprobe.plots.words import Names, number

COLUMNS = ("image · error", "depth", "gradient", "curvature", "gradient, zoomed", "spectrum")
GRADIENT_MAP = "cividis"
GRADIENT, CURVATURE, ERROR = (0.002, 0.5), 0.2, 0.5  # the ranges of the colours, in ln/px, ln/px² and ln
_LINEAR = 0.003  # ln/px²: curvatures below it are shown on a linear scale
_BAR = 0.42  # inches below the pictures for the colour bars


def draw_structure(
    entries: Sequence[Mapping[str, Any]],
    *,
    box: tuple[int, int, int, int],
    names: Names | None = None,
    width: float = WIDTH,
) -> Figure:
    """One sample: the truth in the first row and a prediction in each further one, all on the same scales.

    Convention: an entry has name, family, depth (H,W) in metres, gradient (H,W) in ln/px, curvature (H,W) in ln/px²
    and error (H,W) in ln (NaN: invalid; all NaN for the truth), power (n,) in dB at frequency (n,) in cycles/px, and
    note, the words under its depth; the first entry also image (H,W,3 uint8) and sample. `box` is the window (top,
    left, height, width) that is zoomed. Colours saturate at GRADIENT, CURVATURE and ERROR; depth has the range of the
    truth. Every spectrum shows that of the truth in grey.

    Raises:
        ValueError: if there are fewer than two entries.
    """
    if len(entries) < 2:
        raise ValueError(f"Expected the truth and at least one prediction, but got {len(entries)} entries.")
    truth = entries[0]
    norms = {
        "depth": (Normalize(np.nanmin(truth["depth"]), np.nanmax(truth["depth"])), DEPTH_MAP),
        "gradient": (LogNorm(*GRADIENT, clip=True), GRADIENT_MAP),
        "curvature": (SymLogNorm(_LINEAR, vmin=-CURVATURE, vmax=CURVATURE), ERROR_MAP),
        "error": (Normalize(-ERROR, ERROR), ERROR_MAP),
    }
    family = {e["name"]: e["family"] for e in entries[1:]}
    style = styles(list(family), family)
    cell = width / (len(COLUMNS) + 0.25)
    ratio = truth["depth"].shape[0] / truth["depth"].shape[1]
    with theme(), mpl.rc_context({"axes.grid": False}):
        height = (cell * ratio + 0.24) * len(entries) + 0.2 + _BAR
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(len(entries), len(COLUMNS), squeeze=False)
        for line, entry in zip(grid, entries, strict=True):
            _pictures(dict(zip(COLUMNS, line, strict=True)), entry, norms, box, names, room=int(cell / 0.07))
            _spectrum(line[-1], entry, truth, style)
        _frame_spectra(grid[:, -1].tolist(), entries)
        for ax, title in zip(grid[0], COLUMNS, strict=True):
            ax.set_title(title, fontsize=8)
        _bars(figure, grid, norms)
    return figure


def _pictures(
    axes: Mapping[str, Axes], entry: Mapping[str, Any], norms: Mapping[str, tuple[Any, str]],
    box: tuple[int, int, int, int], names: Names | None, *, room: int,
) -> None:  # fmt: skip
    """The five pictures of a row, and the words under them."""
    top, left, high, wide = box
    is_truth = "image" in entry
    shown = {
        COLUMNS[0]: ("error", entry["error"]),
        "depth": ("depth", entry["depth"]),
        "gradient": ("gradient", entry["gradient"]),
        "curvature": ("curvature", entry["curvature"]),
        COLUMNS[4]: ("gradient", entry["gradient"][top : top + high, left : left + wide]),
    }
    for column, (kind, values) in shown.items():
        ax = picture(axes[column])
        norm, colours = norms[kind]
        if is_truth and kind == "error":
            ax.imshow(entry["image"])
        else:
            ax.imshow(np.ma.masked_invalid(np.asarray(values, float)), cmap=colours, norm=norm, interpolation="nearest")
        if column != COLUMNS[4]:
            ax.add_patch(Rectangle((left - 0.5, top - 0.5), wide, high, fill=False, edgecolor="#222222", linewidth=0.8))
            ax.add_patch(Rectangle((left - 0.5, top - 0.5), wide, high, fill=False, edgecolor="white", linewidth=0.4))
    under = entry.get("sample", "") if is_truth else "error"
    axes[COLUMNS[0]].set_xlabel(shorten(str(under), room), fontsize=7, labelpad=2)
    axes["depth"].set_xlabel(shorten((names or {}).get(entry["name"], entry["name"]), room), fontsize=7, labelpad=2)
    axes["gradient"].set_xlabel(entry["note"], fontsize=7, labelpad=2)


def _spectrum(ax: Axes, entry: Mapping[str, Any], truth: Mapping[str, Any], style: Mapping[Any, Any]) -> None:
    ax.plot(truth["frequency"], truth["power"], color="#999999", linewidth=1.0)
    if entry is not truth:
        line = {k: v for k, v in style[entry["name"]].items() if k in ("color", "linestyle")}
        ax.plot(entry["frequency"], entry["power"], linewidth=1.2, **line)


def _frame_spectra(axes: Sequence[Axes], entries: Sequence[Mapping[str, Any]]) -> None:
    """One scale for all spectra, ticks at the last, and words instead of a legend."""
    values = np.concatenate([np.asarray(e["power"], float) for e in entries])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = 0.08 * (high - low) or 1.0
    for i, ax in enumerate(axes):
        ax.set(xscale="log", ylim=(low - pad, high + pad))
        ax.yaxis.tick_right()
        ax.yaxis.set_label_position("right")
        ax.spines["left"].set_visible(False)
        ax.spines["right"].set_visible(True)
        ax.tick_params(labelsize=7, length=2, pad=1)
        ax.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        ax.set_ylabel("dB", fontsize=7, labelpad=1)
        ax.set_xlabel("grey: truth" if i == 0 else "line: error", fontsize=7, labelpad=1)
        if i < len(axes) - 1:
            ax.tick_params(axis="x", labelbottom=False)
        else:
            ax.set_xlabel("cycles/px", fontsize=7, labelpad=1)


def _bars(figure: Figure, grid: np.ndarray, norms: Mapping[str, tuple[Any, str]]) -> None:
    """A colour bar with its unit under each column of pictures."""
    units = {0: ("error", "ln"), 1: ("depth", "m"), 2: ("gradient", "ln/px"), 3: ("curvature", "ln/px²")}
    units |= {4: units[2], 5: ("error", "")}  # the last is blank: it keeps the spectra as high as the pictures
    for column, (kind, unit) in units.items():
        bar = figure.colorbar(
            ScalarMappable(*norms[kind]), ax=grid[:, column].tolist(), location="bottom", fraction=0.03, pad=0.01,
            aspect=16,
        )  # fmt: skip
        if not unit:
            bar.ax.set_axis_off()
            for drawn in bar.ax.collections:
                drawn.set_visible(False)
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(labelsize=7, length=2, pad=1, which="both")
        bar.ax.set_xlabel(unit, fontsize=7, labelpad=1)
        ticks = {"gradient": list(GRADIENT), "curvature": [-CURVATURE, 0, CURVATURE], "error": [-ERROR, 0, ERROR]}
        if kind in ticks:
            bar.set_ticks(ticks[kind], labels=[number(v, 1) for v in ticks[kind]])
            bar.minorticks_off()
        else:
            bar.locator = mpl.ticker.MaxNLocator(3)
