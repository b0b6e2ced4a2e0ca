"""The page of a portrait: pictures, curves and the profile of one network beside the others."""

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from depthprobe import plots
from depthprobe.plots.gallery import DEPTH_MAP, kept_overlay, picture, shorten
from depthprobe.plots.theme import WIDTH, display_name, styles, theme
from depthprobe.plots.words import number

PICTURES = ("what it looks at", "how far it looks", "from that alone", "from all of it", "truth")
CURVES = {
    "pixels": ("what it needs", "its own pixels left (%)", "change of its answer (abs_rel)"),
    "window": ("how far it needs to see", "window left, radius (px)", "change at its centre (abs_rel)"),
    "beyond": ("how far its gradient reaches", "radius (px)", "share of the gradient beyond"),
}
GREY = "#B0B0B0"
TICKS = (0.02, 0.05, 0.1, 0.2, 0.33, 0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50)
_ROW = 0.19  # inches of a row of the profile


def draw_portrait(
    found: pd.DataFrame,
    lines: Mapping[str, pd.DataFrame],
    entry: Mapping[str, Any],
    model: str,
    families: Mapping[str, str],
    *,
    title: str,
    side: Mapping[str, Any],
) -> Figure:
    """The page of one network from `portrait.profile`, `portrait.curves` and `portrait.shown`.

    What was not measured is said in its place.
    """
    style = styles(list(families), families)
    about = list(dict.fromkeys(found["about"]))
    sizes = {name: found.loc[found["about"] == name, "metric"].nunique() for name in about}
    profile = sum(_ROW * count + 0.3 for count in sizes.values()) + 0.3
    with theme():
        figure = Figure(figsize=(WIDTH, 1.55 + 1.75 + profile), layout="constrained")
        rows = figure.add_gridspec(3, 1, height_ratios=(1.55, 1.75, profile))
        with mpl.rc_context({"axes.grid": False}):
            _pictures(figure, rows[0], entry, style[model]["color"])
        _curves(figure, rows[1], lines, model, style)
        _profile(figure, rows[2], found, model, style, sizes)
    own = found[found["model"] == model]
    caption = (
        f"{display_name(model)} ({families[model]}) · top: {entry.get('sample', 'no scene kept')}, the middle one by "
        "the networks' mean rank; marked: the 5 % of its pixels with the largest gradient; squares hold 50 and 90 % of "
        "the gradient's energy around a pixel, on average · below: multiples of the other networks' geometric mean, "
        f"filled = decided (Holm over {len(own)}), in brackets its own mean and unit · scenes · "
        f"{plots.caption_line(own, side)}"
    )
    return plots.describe_figure(figure, title=title, caption=caption)


def _pictures(figure: Figure, place: SubplotSpec, entry: Mapping[str, Any], colour: str) -> None:
    axes = dict(zip(PICTURES, place.subgridspec(1, len(PICTURES)).subplots(), strict=True))
    for name, ax in axes.items():
        picture(ax).set_title(name, fontsize=8)
    if not entry:
        for ax in axes.values():
            _missing(ax, "no picture kept")
        return
    image, depth = np.asarray(entry["image"]), np.asarray(entry["depth"], float)
    span = Normalize(float(np.nanmin(depth)), float(np.nanmax(depth)))
    axes[PICTURES[0]].imshow(_marked(image, np.asarray(entry["keep"]), colour))
    axes[PICTURES[1]].imshow(image)
    _squares(axes[PICTURES[1]], image.shape[1], image.shape[0], entry["radii"], colour)
    axes[PICTURES[2]].imshow(entry["pred"], cmap=DEPTH_MAP, norm=span)
    axes[PICTURES[3]].imshow(entry["whole"], cmap=DEPTH_MAP, norm=span)
    axes[PICTURES[4]].imshow(np.ma.masked_invalid(depth), cmap=DEPTH_MAP, norm=span)
    bar = figure.colorbar(ScalarMappable(span, DEPTH_MAP), ax=axes[PICTURES[4]], fraction=0.05, pad=0.03, aspect=14)
    bar.ax.set_title("m", fontsize=7, pad=2, loc="left")
    bar.ax.tick_params(labelsize=7, length=2, pad=1)
    bar.outline.set_linewidth(0.4)
    radii = " and ".join(f"{r * image.shape[1]:.0f} px" for _, r in sorted(entry["radii"].items()))
    words = ("5 % by its gradient", f"50, 90 % in {radii}" if radii else "not measured",
             f"abs_rel {number(entry['error'])}", f"abs_rel {number(entry['error_whole'])}",
             shorten(str(entry["sample"]), 18))  # fmt: skip
    for ax, text in zip(axes.values(), words, strict=True):
        ax.set_xlabel(text, fontsize=7, labelpad=2)


def _marked(image: np.ndarray, keep: np.ndarray, colour: str) -> np.ndarray:
    """The image dimmed, with the kept pixels in one colour: single ones would be lost in their own."""
    paint = np.round(255 * np.array(to_rgb(colour))).astype(np.uint8)
    return np.where(keep[..., None], paint, kept_overlay(image, np.zeros_like(keep)))


def _squares(ax: Axes, width: int, height: int, radii: Mapping[float, float], colour: str) -> None:
    """Windows of the radii (shares of the width) around the middle, cut at the border as the image cuts the field."""
    x, y = (width - 1) / 2, (height - 1) / 2
    ax.plot([x], [y], marker="+", color="white", markersize=5, markeredgewidth=2.4)
    ax.plot([x], [y], marker="+", color=colour, markersize=5, markeredgewidth=1.2)
    for share, radius in radii.items():
        left, right = max(-0.5, x - radius * width), min(width - 0.5, x + radius * width)
        top, bottom = max(-0.5, y - radius * width), min(height - 0.5, y + radius * width)
        for edge, thick in (("white", 2.4), (colour, 1.3)):
            ax.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=edge,
                                   linewidth=thick, linestyle="-" if share <= 0.5 else "--"))  # fmt: skip


def _curves(
    figure: Figure, place: SubplotSpec, lines: Mapping[str, pd.DataFrame], model: str, style: Mapping[Any, Any]
) -> None:
    quiet = {m: {**s, "color": s["color"] if m == model else GREY} for m, s in style.items()}
    for ax, (name, (title, across, up)) in zip(place.subgridspec(1, 3).subplots(), CURVES.items(), strict=True):
        ax.set_title(title, fontsize=8)
        if name not in lines:
            _missing(ax, "not measured")
            continue
        part = lines[name].assign(metric=up, better="none")
        axes = {"sparse": {"level": "budget"}} if name == "pixels" else {}
        plots.draw_curves(part[part["model"] != model], ax, style=quiet, direct=False, axes=axes)
        plots.draw_curves(part[part["model"] == model], ax, style=quiet, direct=False, axes=axes)
        for line in ax.lines[-1:]:
            line.set(linewidth=2.2, zorder=5)
        ax.set_xlabel(across)
        ax.set_ylabel(up, fontsize=7)


def _profile(
    figure: Figure,
    place: SubplotSpec,
    found: pd.DataFrame,
    model: str,
    style: Mapping[Any, Any],
    sizes: Mapping[str, int],
) -> None:
    heights = [count + 1.4 for count in sizes.values()]
    axes = place.subgridspec(len(sizes), 1, height_ratios=heights).subplots(sharex=True, squeeze=False)[:, 0]
    for ax, name in zip(axes, sizes, strict=True):
        part = found[(found["about"] == name) & found["estimate"].notna()]
        own = part[part["model"] == model]
        plots.draw_forest(own.assign(better="none"), ax, rows=["metric"], ratio=True, label=" ")
        _coloured(ax, style[model])
        heights = dict(zip(own["metric"], ax.get_yticks(), strict=True))
        for _, row in part[part["model"] != model].iterrows():
            mark = style[row["model"]]
            ax.plot([row["estimate"]], [heights[row["metric"]]], marker=mark["marker"], color=mark["color"],
                    markersize=3.5, markerfacecolor="none", markeredgewidth=0.8, alpha=0.8, zorder=2)  # fmt: skip
        words = [f"{r['metric']} ({_value(r)})" for _, r in own.iterrows()]
        ax.set_yticks(list(heights.values()), words)
        ax.set_title(name, fontsize=8)
        ax.set_xlabel("multiple of the other networks' mean" if ax is axes[-1] else "")
        ax.tick_params(axis="x", labelbottom=ax is axes[-1])
    _fit(axes[-1], found)
    marks = [Line2D([], [], linestyle="none", marker=style[m]["marker"], color=style[m]["color"], markersize=3.5,
                    markerfacecolor="none", label=display_name(m)) for m in style if m != model]  # fmt: skip
    axes[-1].legend(handles=marks, loc="upper center", bbox_to_anchor=(0.5, -0.35), ncols=len(marks), frameon=False,
                    fontsize=7, handletextpad=0.2)  # fmt: skip


def _value(row: pd.Series) -> str:
    return number(row["value"]) + ("" if row["unit"] == "1" else f" {row['unit']}")


def _coloured(ax: Axes, style: Mapping[str, Any]) -> None:
    """The forest's marks and bars in the colour and shape of the network."""
    for line in ax.lines[1:]:  # the first is the line of no difference
        filled = line.get_markerfacecolor() != "white"
        line.set(color=style["color"], marker=style["marker"] if line.get_marker() == "o" else line.get_marker())
        line.set(markerfacecolor=style["color"] if filled else "white", markeredgecolor=style["color"])


def _fit(ax: Axes, found: pd.DataFrame) -> None:
    """Give the shared axis of ratios room for every mark, of the others as well."""
    ends = found[["estimate", "low", "high"]].to_numpy(float).ravel()
    ends = np.append(ends[np.isfinite(ends) & (ends > 0)], 1.0)
    pad = 0.05 * np.ptp(np.log(ends)) or 0.1
    left, right = float(np.exp(np.log(ends.min()) - pad)), float(np.exp(np.log(ends.max()) + pad))
    ax.set_xlim(left, right)
    ax.set_xticks([t for t in TICKS if left <= t <= right])


def _missing(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", fontsize=7.5, color="#666666")
