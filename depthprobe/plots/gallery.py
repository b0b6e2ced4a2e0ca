"""Galleries: image, kept pixels, prediction, truth and signed error, one row per map."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from depthprobe.plots.theme import WIDTH, display_name, theme
from depthprobe.plots.words import Names, number

DEPTH_MAP, ERROR_MAP = "plasma_r", "RdBu_r"  # near = warm; too far = red
COLUMNS = ("image", "kept pixels", "prediction", "truth", "prediction − truth")
_CHARACTER = 0.075  # inches of one character at 7 pt


def draw_gallery(
    entries: Sequence[Mapping[str, Any]],
    *,
    metric: str = "abs_rel",
    error_range: float | None = None,
    names: Names | None = None,
    width: float = WIDTH,
) -> Figure:
    """Draw map entries (the arrays of a run's `maps/*.npz`) as rows, in the order given.

    Convention: an entry has image (H,W,3 uint8), pred and depth (H,W metres, depth NaN where invalid), optionally keep
    (H,W bool), and meta (dict or JSON: sample, model, factor, level, factor2, metrics). Near is warm; a row has one
    metric range, from the valid truth (values beyond it saturate); invalid pixels are hatched grey; the signed error
    has one symmetric range, +-`error_range` metres in all rows (default: the 98th percentile of its size over them).
    Pixels that were not kept are shown dimmed and grey, so the picture stays recognisable.

    Raises:
        ValueError: if there is no entry, or one has no valid truth.
    """
    if not entries:
        raise ValueError("Expected at least one map to draw, but got none; run with maps > 0.")
    metas = [_meta(e) for e in entries]
    errors = [np.asarray(e["pred"], float) - np.asarray(e["depth"], float) for e in entries]
    for meta, error in zip(metas, errors, strict=True):
        if not np.isfinite(error).any():
            raise ValueError(f"Expected valid truth in every map, but got none for sample {meta.get('sample')!r}.")
    limit = error_range or float(np.nanpercentile(np.abs(np.concatenate([e.ravel() for e in errors])), 98)) or 1.0
    shown = [c for c in COLUMNS if c != "kept pixels" or any("keep" in e for e in entries)]
    cell = (width - 1.1) / len(shown)
    ratio = max(np.shape(e["depth"])[0] / np.shape(e["depth"])[1] for e in entries)
    with theme(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(width, (cell * ratio + 0.27) * len(entries) + 0.15), layout="constrained")
        grid = figure.subplots(len(entries), len(shown), squeeze=False)
        for line, entry, meta, error in zip(grid, entries, metas, errors, strict=True):
            _draw_row(dict(zip(shown, line, strict=True)), entry, meta, error, limit, metric, names, cell)
        for ax, title in zip(grid[0], shown, strict=True):
            ax.set_title(title, fontsize=8)
    return figure


def _meta(entry: Mapping[str, Any]) -> dict[str, Any]:
    meta = entry.get("meta", {})
    return dict(meta) if isinstance(meta, Mapping) else dict(json.loads(str(meta)))


def _draw_row(
    axes: Mapping[str, Axes], entry: Mapping[str, Any], meta: Mapping[str, Any], error: np.ndarray, limit: float,
    metric: str, names: Names | None, cell: float,
) -> None:  # fmt: skip
    depth, image = np.asarray(entry["depth"], float), np.asarray(entry["image"])
    low, high = float(np.nanmin(depth)), float(np.nanmax(depth))
    near_far, signed = Normalize(low, high), Normalize(-limit, limit)
    room = int(cell / _CHARACTER)
    for name, ax in axes.items():
        picture(ax)
        ax.set_xlabel(shorten(_under(name, entry, meta, metric, names, (low, high)), room), fontsize=7, labelpad=2)
    axes["image"].imshow(image)
    if "kept pixels" in axes:
        axes["kept pixels"].imshow(kept_overlay(image, np.asarray(entry["keep"])) if "keep" in entry else image)
    axes["prediction"].imshow(np.asarray(entry["pred"], float), cmap=DEPTH_MAP, norm=near_far)
    axes["truth"].imshow(np.ma.masked_invalid(depth), cmap=DEPTH_MAP, norm=near_far)
    axes["prediction − truth"].imshow(np.ma.masked_invalid(error), cmap=ERROR_MAP, norm=signed)
    for name, mappable in (("truth", (near_far, DEPTH_MAP)), ("prediction − truth", (signed, ERROR_MAP))):
        bar = axes[name].figure.colorbar(ScalarMappable(*mappable), ax=axes[name], fraction=0.05, pad=0.03, aspect=14)
        bar.ax.tick_params(labelsize=7, length=2, pad=1)
        bar.outline.set_linewidth(0.4)
        bar.ax.set_title("m", fontsize=7, pad=2, loc="left")
        bar.locator = mpl.ticker.MaxNLocator(4)


def _under(
    name: str, entry: Mapping[str, Any], meta: Mapping[str, Any], metric: str, names: Names | None,
    span: tuple[float, float],
) -> str:  # fmt: skip
    """The words under one picture of a row."""
    if name == "image":
        return str(meta.get("sample", ""))
    if name == "kept pixels":
        if "keep" not in entry:
            return "all pixels"
        return f"{meta.get('factor', '')} {100 * float(meta.get('level', np.mean(entry['keep']))):.3g} %".strip()
    if name == "prediction":
        return display_name(meta.get("model", ""), names)
    if name == "truth":
        return f"{number(span[0])}–{number(span[1])} m"
    values = meta.get("metrics", {})
    return f"{metric} {number(float(values[metric]))}" if name == COLUMNS[4] and metric in values else ""


def picture(ax: Axes) -> Axes:
    """Make an Axes a picture frame whose empty (invalid) pixels are hatched grey."""
    ax.set_xticks([])
    ax.set_yticks([])
    ax.patch.set(facecolor="#DDDDDD", hatch="//////", edgecolor="#999999")
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def kept_overlay(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """The image (H,W,3 uint8) with every pixel that is not in `keep` (H,W) grey and dimmed towards white."""
    grey = image.astype(float) @ np.array([0.299, 0.587, 0.114])
    dimmed = 255 - 0.45 * (255 - np.repeat(grey[..., None], 3, axis=-1))
    return np.where(keep[..., None], image, dimmed).astype(np.uint8)


def shorten(text: str, room: int) -> str:
    """The text with its middle replaced by an ellipsis where it is longer than `room` characters."""
    if len(text) <= room:
        return text
    tail = (room - 1) * 2 // 3
    return f"{text[: room - 1 - tail]}…{text[-tail:]}"
