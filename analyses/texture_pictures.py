"""Pictures of study 04: one sample under every edit, and what each network makes of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from torch import Tensor

from analyses.structure import protocol_of
from analyses.texture_rows import CHANGE, EDIT, arms
from depthprobe import plots
from depthprobe.data import Batch, Dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import Protocol, prepare
from depthprobe.models import DepthModel
from depthprobe.plots.gallery import DEPTH_MAP, ERROR_MAP, picture, shorten
from depthprobe.plots.theme import WIDTH, display_name
from depthprobe.plots.words import Names
from depthprobe.probes.error import predict
from depthprobe.report.source import Source

ERROR = 0.5  # range of the colours of the signed error, in ln
TICKS = (0.2, 0.5, 0.7, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 7, 10, 15, 20, 30, 50, 80)  # metres
MOST = 5  # edits that fit side by side
_BAR = 0.45  # inches below the pictures for the colour bars


def picked(source: Source, dataset: Dataset, edit: str) -> dict[str, int]:
    """Numbers of the sample in the middle of all by the networks' mean change, and of the largest disagreement."""
    rows = source.probe("texture")
    rows = arms(rows[rows["family"].isin(["cnn", "transformer"])])
    rows = rows[(rows["factor"] == edit) & (rows["factor2"] == EDIT)]
    grid = rows.pivot_table(index="sample", columns="model", values="value").dropna()
    mean, span = grid.mean(axis=1).sort_values(kind="stable"), grid.max(axis=1) - grid.min(axis=1)
    places = {sample: i for i, sample in enumerate(dataset.samples)}
    return {"median": places[mean.index[len(mean) // 2]], "disagreement": places[span.idxmax()]}


def look(
    batch: Batch, models: Sequence[DepthModel], protocol: Protocol, edits: Mapping[str, float]
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """The images of a batch of one sample under no edit ("") and every edit at its level, and an entry per network.

    Convention: an entry has name, family, depth {edit: (H,W) metres}, change {edit: the number of CHANGE}, error in ln
    and truth in metres (H,W), both NaN where not judged. Edits that the batch offers are exact, others change its image
    alone.
    """
    offered = batch.edits()
    images = {"": batch.image}
    for edit, level in edits.items():
        images[edit] = (batch.edited(edit, level).image if edit in offered
                        else PERTURBATIONS[edit](batch.image, level, seed=0))  # fmt: skip
    entries = []
    for model in models:
        answers = {
            edit: prepare(predict(model, image, flip=protocol.flip), batch.depth, batch.valid,
                          kind=model.card.output, protocol=protocol)
            for edit, image in images.items()
        }  # fmt: skip
        own, mask = answers[""]
        error = (own / batch.depth.where(mask, 1.0)).log().where(mask, np.nan)
        truth = batch.depth.where(mask, np.nan)[0, 0].numpy()
        change = {edit: float(METRICS["abs_rel"](pred, own, mask)) for edit, (pred, _) in answers.items()}
        depth = {edit: pred[0, 0].numpy() for edit, (pred, _) in answers.items()}
        entries.append({"name": model.card.name, "family": model.card.family, "depth": depth, "change": change,
                        "error": error[0, 0].numpy(), "truth": truth})  # fmt: skip
    return images, entries


def gallery(
    dataset: Dataset,
    index: int,
    why: str,
    models: Sequence[DepthModel],
    name: str,
    edits: Mapping[str, float],
    names: Names,
) -> tuple[Figure, pd.DataFrame]:
    """One sample under its edits, and the depth that every network gives."""
    batch, protocol = dataset.read(index), protocol_of(name)
    exact = [edit for edit in edits if edit in batch.edits()]
    shown = (exact or list(edits))[:MOST]
    images, entries = look(batch, models, protocol, {edit: edits[edit] for edit in shown})
    figure = draw(images, entries, names)
    means = {e["name"]: float(np.mean([e["change"][edit] for edit in shown])) for e in entries}
    least, most = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    title = (
        f"Over these edits the depth of {display_name(least)} moves by {100 * means[least]:.1f} %, that of "
        f"{display_name(most)} by {100 * means[most]:.1f} % on average"
    )
    rule = {"median": "the sample in the middle by the networks' mean change",
            "disagreement": "the sample on which the networks' changes lie farthest apart"}[why]  # fmt: skip
    caption = (
        f"{name}, {batch.sample[0]}: {rule} · under a prediction: its change ({CHANGE}); first column: its error "
        f"against the truth, in ln · depth on one logarithmic scale, that of the truth · protocol {protocol.name}"
    )
    frame = pd.DataFrame([{"sample": batch.sample[0], "model": e["name"], "metric": CHANGE, "edit": edit, "value": v}
                          for e in entries for edit, v in e["change"].items() if edit])  # fmt: skip
    return plots.describe_figure(figure, title=title, caption=caption), frame


def draw(images: Mapping[str, Tensor], entries: Sequence[Mapping[str, Any]], names: Names) -> Figure:
    """Images in the first row, the depth of a network in each further one; first column: truth and signed errors."""
    truth = entries[0]["truth"]
    near_far = LogNorm(float(np.nanmin(truth)), float(np.nanmax(truth)), clip=True)
    signed = Normalize(-ERROR, ERROR)
    cell = WIDTH / (len(images) + 1.1)
    room = int(cell / 0.075)
    with plots.theme(), mpl.rc_context({"axes.grid": False}):
        height = (cell * truth.shape[0] / truth.shape[1] + 0.2) * (1 + len(entries)) + 0.2 + _BAR
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        grid = figure.subplots(1 + len(entries), 1 + len(images), squeeze=False)
        _show(grid[0, 0], truth, DEPTH_MAP, near_far, "")
        for ax, image in zip(grid[0, 1:], images.values(), strict=True):
            picture(ax).imshow((image[0] * 255).round().byte().permute(1, 2, 0).numpy())
        for ax, edit in zip(grid[0], ("truth · error", *images), strict=True):
            ax.set_title("\n".join(_two_lines(names.get(edit, edit) or "unchanged")), fontsize=7)
        for line, entry in zip(grid[1:], entries, strict=True):
            _show(line[0], entry["error"], ERROR_MAP, signed, shorten(display_name(entry["name"]), room))
            for ax, edit in zip(line[1:], images, strict=True):
                under = f"{100 * entry['change'][edit]:.1f} %" if edit else "its answer"
                _show(ax, entry["depth"][edit], DEPTH_MAP, near_far, under)
        _bars(figure, grid, near_far, signed)
    return figure


def _show(ax: Axes, values: np.ndarray, colours: str, norm: Normalize, under: str) -> None:
    picture(ax).imshow(np.ma.masked_invalid(values), cmap=colours, norm=norm, interpolation="nearest")
    ax.set_xlabel(under, fontsize=7, labelpad=2)


def _two_lines(text: str) -> list[str]:
    """Words on two lines of about equal length where they are many."""
    words = text.split(" ")
    cut = min(range(1, len(words) + 1), key=lambda k: abs(len(" ".join(words[:k])) - len(text) / 2))
    return [text] if len(text) < 14 else [" ".join(words[:cut]), " ".join(words[cut:])]


def _bars(figure: Figure, grid: np.ndarray, near_far: Normalize, signed: Normalize) -> None:
    for axes, norm, colours, unit in (
        (grid[:, 0], signed, ERROR_MAP, "error (ln)"), (grid[:, 1:].ravel(), near_far, DEPTH_MAP, "depth (m)"),
    ):  # fmt: skip
        bar = figure.colorbar(ScalarMappable(norm, colours), ax=axes.tolist(), location="bottom", fraction=0.03,
                              pad=0.01, aspect=14 if len(axes) == len(grid) else 60)  # fmt: skip
        bar.outline.set_linewidth(0.4)
        bar.ax.tick_params(labelsize=7, length=2, pad=1)
        if isinstance(norm, LogNorm):
            bar.ax.xaxis.set_major_locator(FixedLocator([t for t in TICKS if norm.vmin <= t <= norm.vmax]))
            bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
            bar.ax.xaxis.set_minor_locator(NullLocator())
        bar.ax.set_xlabel(unit, fontsize=7, labelpad=1)
