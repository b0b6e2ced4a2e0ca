"""The figures of study 03: who is smoother, where, at which scales, grids, what rounding does, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.structure import METRIC, look
from depthprobe import plots
from depthprobe.data import Dataset
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import DepthModel
from depthprobe.plots.theme import WIDTH, display_name
from depthprobe.probes import PROBES
from depthprobe.report.source import Source

if TYPE_CHECKING:
    from analyses.a03_continuity import Found

DRAWN = {
    "scenes": ("grad_mae_smooth", "curvature_mae", "break_rate", "grad_mae_edge", "bridge_rate", "grad_cos",
               "third_mae", "planarity", "plane_orientation"),
    "nyu": ("grad_mae_smooth", "break_rate", "grad_mae_edge", "bridge_rate", "grad_cos", "depthpro_f1"),
}  # fmt: skip
BANDED = ("grad_mae", "curvature_mae", "break_rate", "bridge_rate")
BANDS = {"edge_distance": "distance to the nearest depth edge (px)", "depth": "true depth (m)"}
ALPHA = PROBES.facts("spectrum")["plan"]().alpha
FREQUENCIES = (0.02, 0.05, 0.1, 0.2, 0.5)
FAMILY = "all CNNs → all Transformers"


def draw(
    sources: Mapping[str, Source], found: "Mapping[str, Found]", data: Mapping[str, Dataset],
    models: Mapping[str, Sequence[DepthModel]], folder: Path,
) -> list[Path]:  # fmt: skip
    """All figures of the study: PDF, PNG and the CSV of what is drawn."""
    made = {}
    for name, source in sources.items():
        one = found[name]
        made[f"a03_compare_{name}"] = compared(source, one, name)
        made[f"a03_spectrum_{name}"] = spectra(source, one, name)
        made[f"a03_grids_{name}"] = grids(source, one, name)
        for band in BANDS if len(one.bands) else ():
            made[f"a03_where_{band}_{name}"] = where(source, one, name, band)
        if len(one.floor):
            made[f"a03_rounding_{name}"] = rounding(source, one, name)
        for why, index in picked(source, data[name]).items():
            made[f"a03_gallery_{why}_{name}"] = gallery(data[name], index, why, models[name], name)
    return [path for stem, (figure, frame) in made.items() for path in plots.save_figure(figure, folder / stem, frame)]


def change(row: pd.Series) -> str:
    """`+3.1 % [+1.2, +5.0]` of a comparison in per cent; without an interval where there is none."""
    e, low, high = (row[f"relative_{c}"] for c in ("estimate", "low", "high"))
    return f"{signed(e)} %" if pd.isna(low) else f"{signed(e)} % [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """`+3.1` or `−3.1`."""
    return f"{value:+.1f}".replace("-", "−")


def rate(row: pd.Series) -> str:
    """`4.2 % [3.1, 5.3]` of a share."""
    return f"{100 * row['estimate']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def _more(decibels: float) -> str:
    return f"{abs(decibels):.1f} dB {'less' if decibels < 0 else 'more'}"


def _in_per_cent(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its relative estimate and interval in the place of the absolute ones."""
    return frame.assign(unit="%", **{c: frame[f"relative_{c}"] for c in ("estimate", "low", "high")})


def _pair(frame: pd.DataFrame) -> pd.Series:
    return frame["a"].map(display_name) + " → " + frame["b"].map(display_name)


def compared(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Change from CNN to Transformer of every metric, pair by pair and for the families."""
    pairs, family = one.pairs.assign(pair=_pair(one.pairs)), one.family.assign(pair=FAMILY)
    frame = pd.concat([pairs, family[family["low"].notna()]], ignore_index=True)
    order = [m for m in DRAWN[name] if (frame["metric"] == m).any() and frame.loc[frame["metric"] == m, "low"].any()]
    frame = _in_per_cent(frame[frame["metric"].isin(order)])
    better = frame.drop_duplicates("metric").set_index("metric")["better"]
    titles = {m: m if better[m] == "lower" else f"{m} ({better[m]} is better)" for m in order}

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["pair"], numbers=False, label="change from CNN to Transformer (% of the CNN)")

    height = 0.7 + 0.17 * frame["pair"].nunique()
    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=titles, height=height, share_x=False
    )
    ends = one.pairs[one.pairs["role"] == "endpoint"]
    counted = {word: int((ends["verdict"] == word).sum()) for word in ("worse", "better", "equivalent", "undecided")}
    title = (
        f"The Transformer is worse in {counted['worse']} of {len(ends)} pairs × endpoints, better in "
        f"{counted['better']}, equivalent in {counted['equivalent']}, undecided in {counted['undecided']}"
    )
    caption = (
        f"{name} · endpoints: {', '.join(ends['metric'].unique())} · hollow = undecided; lower is better unless said · "
        f"{plots.caption_line(pairs, source.side)}; for the families: the mixed model, architectures as units"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def where(source: Source, one: "Found", name: str, band: str) -> tuple[Figure, pd.DataFrame]:
    """The same change by band: a line per pair, a panel per metric."""
    frame = one.bands[(one.bands["factor"] == band) & one.bands["metric"].isin(BANDED)].dropna(subset=["low"])
    frame = _in_per_cent(frame).assign(pair=_pair(frame), better="lower")
    order = [m for m in BANDED if (frame["metric"] == m).any()]

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        part = part.assign(metric="change")
        plots.draw_curves(part, ax, x="level", line="pair", log=False, direct=False, axes={})
        ax.set_xlabel(BANDS[band])
        ax.set_xscale("symlog", linthresh=1)
        starts = sorted(part["level"].unique())
        ax.set_xticks(starts, [f"{s:g}" for s in starts])
        ax.minorticks_off()
        ax.set_ylabel("change from CNN to Transformer\n(% of the CNN)")
        if ax.get_subplotspec().is_first_col() and ax.get_subplotspec().is_first_row():
            ax.legend(loc="best", frameon=False, fontsize=7, handlelength=2.6)

    figure = plots.small_multiples(frame, panel, panel="metric", order=order, columns=2, height=1.9, share_y=False)
    mean = frame[frame["metric"] == order[0]].groupby("level")["estimate"].mean()
    title = (
        f"From CNN to Transformer {order[0]} changes by {signed(mean.min())} % to {signed(mean.max())} % "
        f"(mean of pairs), most from {mean.abs().idxmax():g} {'px' if band == 'edge_distance' else 'm'} on"
    )
    caption = f"{name} · bands begin at the marks · {plots.caption_line(frame, source.side)}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def spectra(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """How much more power the Transformer's error of ln depth has than the CNN's, by spatial frequency, per pair."""
    frame = one.spectra.assign(pair=_pair(one.spectra))
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 2.7), layout="constrained")
        ax = plots.draw_curves(frame, figure.subplots(), line="pair", log=False, axes={})
        ax.set_xscale("log")
        ax.set_xticks(FREQUENCIES, [f"{f:g}" for f in FREQUENCIES])
        ax.minorticks_off()
        ax.set_xlabel("spatial frequency (cycles per pixel of the truth)")
        ax.set_ylabel("power of the error of ln depth:\nTransformer − CNN (dB)")
    mean = frame.groupby("level")["estimate"].mean()
    title = (
        f"The Transformer's error has {_more(mean.iloc[0])} power than the CNN's at the coarsest scale "
        f"({mean.index[0]:.2g} cycles/px) and {_more(mean.iloc[-1])} at the finest (means of pairs)"
    )
    caption = f"{name} · below 0: the Transformer errs less · {plots.caption_line(frame, source.side)}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def grids(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Share of images in whose errors a grid is found, by period, beside what chance gives."""
    frame = one.grids.assign(estimate=100 * one.grids["estimate"], low=100 * one.grids["low"],
                             high=100 * one.grids["high"], unit="%", metric="images with a grid")  # fmt: skip
    frame = frame[frame["factor"] != ""].sort_values(["level", "family", "model"])
    frame = frame.assign(period=frame["level"].map(lambda p: f"period {p:g} px"))
    alpha = 100 * ALPHA / frame.groupby("model")["level"].nunique().max()
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 0.75 + 0.2 * len(frame)), layout="constrained")
        label = "images with a grid (%)"
        plots.draw_forest(frame, figure.subplots(), rows=["period"], hue="model", zero=alpha, label=label)
    top = frame.loc[frame["low"].idxmax()]
    beyond = frame[frame["low"] > alpha]
    title = (
        f"No network shows a grid in more images than chance gives ({alpha:.1f} %)"
        if beyond.empty
        else f"{display_name(top['model'])} shows a grid of {top['level']:g} px in {top['estimate']:.1f} % "
        f"[{top['low']:.1f}, {top['high']:.1f}] of the images; chance gives up to {alpha:.1f} %"
    )
    caption = f"{name} · line: what chance gives at most · {plots.caption_line(frame, source.side)}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def floor_frame(one: "Found") -> pd.DataFrame:
    """What the rounding of the truth gives, in % of every network's mean; of scores, in % of what they lack to 1."""
    floor = one.floor.assign(metric=one.floor["metric"].str.removesuffix("@dither"))
    sides = [one.pairs[["metric", side, f"mean_{side}"]].set_axis(["metric", "model", "mean"], axis=1) for side in "ab"]
    means = pd.concat(sides).drop_duplicates(["metric", "model"])
    frame = floor.merge(means, on="metric")
    score = frame["better"] == "higher"
    scale = (1 - frame["mean"]).where(score, frame["mean"]) / 100
    low, high = ((1 - frame[c]).where(score, frame[c]) for c in ("high", "low"))
    low, high = low.where(score, frame["low"]), high.where(score, frame["high"])
    lack = (1 - frame["estimate"]).where(score, frame["estimate"])
    frame = frame.assign(estimate=lack / scale, low=low / scale, high=high / scale, unit="%", better="none")
    order = [*DRAWN["nyu"], *frame["metric"]]
    return frame.sort_values(["metric", "model"], key=lambda x: x.map(order.index) if x.name == "metric" else x)


def rounding(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """What the rounding of the truth alone contributes, beside what every network gets."""
    frame = floor_frame(one)
    families = dict(zip(source.models["model"], source.models["family"], strict=True))
    rows = len(frame)
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 0.75 + 0.17 * rows), layout="constrained")
        label = "given by the rounding of the truth alone (% of the network's value)"
        plots.draw_forest(frame, figure.subplots(), rows=["metric"], hue="model", families=families, zero=100.0,
                          label=label)  # fmt: skip
    share = frame.groupby("metric", sort=False)["estimate"].mean()
    title = (
        f"Rounding alone gives {share.max():.0f} % of the networks' {share.idxmax()} and {share.min():.0f} % of their "
        f"{share.idxmin()}"
    )
    caption = (
        f"{name} · the truth plus noise of its own step, judged as a prediction; scores (higher is better): of what "
        f"they lack to 1 · {plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def picked(source: Source, dataset: Dataset) -> dict[str, int]:
    """Numbers of the sample in the middle of all by the networks' mean METRIC, and of the largest disagreement."""
    rows = source.probe("continuity")
    rows = rows[(rows["metric"] == METRIC) & (rows["factor"] == "") & rows["family"].isin(["cnn", "transformer"])]
    grid = rows.pivot_table(index="sample", columns="model", values="value").dropna()
    mean, span = grid.mean(axis=1).sort_values(kind="stable"), grid.max(axis=1) - grid.min(axis=1)
    places = {sample: i for i, sample in enumerate(dataset.samples)}
    return {"median": places[mean.index[len(mean) // 2]], "disagreement": places[span.idxmax()]}


def gallery(
    dataset: Dataset, index: int, why: str, models: Sequence[DepthModel], name: str
) -> tuple[Figure, pd.DataFrame]:
    """Depth, gradient, curvature and error of one sample, for the truth and every network."""
    protocol = get_protocol("scenes" if name == "scenes" else "bts_nyu")
    entries, box = look(dataset.read(index), models, protocol)
    figure = plots.draw_structure(entries, box=box, names={e["name"]: display_name(e["name"]) for e in entries})
    scores = {e["name"]: e[METRIC] for e in entries[1:]}
    best, worst = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    title = (
        f"On smooth surfaces the gradients of {display_name(best)} err by {scores[best]:.4f} ln/px, those of "
        f"{display_name(worst)} by {scores[worst]:.4f}"
    )
    rule = {"median": f"the sample in the middle by the networks' mean {METRIC}",
            "disagreement": f"the sample on which the networks' {METRIC} lie farthest apart"}[why]  # fmt: skip
    caption = (
        f"{name}, {entries[0]['sample']}: {rule} · gradient and curvature of ln depth · zoomed: where the networks' "
        f"gradients are worst on smooth surfaces · spectra on one scale · protocol {protocol.name}"
    )
    frame = pd.DataFrame([{"sample": entries[0]["sample"], "model": n, "metric": METRIC, "value": v}
                          for n, v in scores.items()])  # fmt: skip
    return plots.describe_figure(figure, title=title, caption=caption), frame
