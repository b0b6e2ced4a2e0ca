"""The figures of study 03: who is smoother, where, at which scales, grids, what rounding does, and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses import continuity_grids
from analyses.structure import METRIC, look, protocol_of
from depthprobe import plots
from depthprobe.data import Dataset
from depthprobe.models import DepthModel
from depthprobe.plots.theme import WIDTH, display_name
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
FREQUENCIES = (0.02, 0.05, 0.1, 0.2, 0.5)
FAMILY = "all CNNs → all Transformers"


def draw(
    sources: Mapping[str, Source], found: "Mapping[str, Found]", data: Mapping[str, Dataset],
    models: Mapping[str, Sequence[DepthModel]], folder: Path,
) -> list[Path]:  # fmt: skip
    """All figures of the study: PDF, PNG and the CSV of what is drawn.

    Pictures of photographs, which belong to the owners of their data set, stay in the folder of the run.
    """
    made = {}
    for name, source in sources.items():
        one = found[name]
        made[folder / f"a03_compare_{name}"] = compared(source, one, name)
        made[folder / f"a03_spectrum_{name}"] = spectra(source, one, name)
        made[folder / f"a03_grids_{name}"] = continuity_grids.draw(source, one.grids, name)
        for band in BANDS if len(one.bands) else ():
            made[folder / f"a03_where_{band}_{name}"] = where(source, one, name, band)
        if len(one.floor):
            made[folder / f"a03_rounding_{name}"] = rounding(source, one, name)
        for why, index in picked(source, data[name]).items():
            place = folder if name == "scenes" else source.out
            made[place / f"a03_gallery_{why}_{name}"] = gallery(data[name], index, why, models[name], name)
    return [path for stem, (figure, frame) in made.items() for path in plots.save_figure(figure, stem, frame)]


def _in_per_cent(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with its relative estimate and interval in the place of the absolute ones."""
    return frame.assign(unit="%", **{c: frame[f"relative_{c}"] for c in ("estimate", "low", "high")})


def _pair(frame: pd.DataFrame) -> pd.Series:
    return frame["a"].map(display_name) + " → " + frame["b"].map(display_name)


def compared(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Change from CNN to Transformer of every metric, pair by pair and for the families."""
    pairs, family = one.pairs.assign(pair=_pair(one.pairs)), one.family.assign(pair=FAMILY)
    frame = pd.concat([pairs, family[family["low"].notna()]], ignore_index=True)
    frame = frame[np.isfinite(frame["relative_estimate"])]
    order = [m for m in DRAWN[name] if (frame["metric"] == m).any() and _known(frame, m)]
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


def _known(frame: pd.DataFrame, metric: str) -> bool:
    return bool(frame.loc[frame["metric"] == metric, "low"].notna().any())


def agreement(bands: pd.DataFrame, metric: str, band: str) -> str:
    """Where every pair says the same, after Holm's correction over pairs and bands, and in how many of all it is so."""
    part = bands[(bands["metric"] == metric) & (bands["factor"] == band)].dropna(subset=["low"])
    unit = "px" if band == "edge_distance" else "m"
    said = []
    for word, more in (("worse", "larger"), ("better", "smaller")):
        alike = part.groupby("level")["verdict"].agg(lambda v, word=word: bool((v == word).all()))
        if places := [f"{level:g}" for level in alike.index[alike]]:
            said.append(f"{more} in every pair in the bands from {', '.join(places)} {unit}")
    count = part["level"].nunique()
    if not said:
        return f"in none of {count} bands do all pairs agree on {metric}"
    return (
        f"{metric} of the Transformer is {'; '.join(said)}; in the other of {count} bands pairs are undecided or differ"
    )


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
    title = agreement(one.bands, order[0], band)
    title = title if title.startswith(order[0]) else title[0].upper() + title[1:]
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
    alike = frame.groupby("level")["verdict"].agg(lambda v: v.iloc[0] if v.nunique() == 1 else "undecided")
    title = "; ".join(
        f"{more} power of the error in every pair at {_span(alike.index[alike == word])}"
        for word, more in (("lower", "less"), ("higher", "more"))
        if (alike == word).any()
    )
    title = f"Transformer against CNN: {title or 'no scale at which all pairs agree'}"
    caption = f"{name} · below 0: the Transformer errs less · {plots.caption_line(frame, source.side)}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _span(frequencies: pd.Index) -> str:
    return f"{len(frequencies)} scales from {frequencies.min():.2g} to {frequencies.max():.2g} cycles/px"


def floor_frame(one: "Found") -> pd.DataFrame:
    """What noise of the truth's step scores, in % of every network's mean; of scores, in % of what they lack to 1."""
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
    frame = frame[np.isfinite(frame["estimate"])]  # where a network has 0 there is no share of it
    order = [*DRAWN["nyu"], *frame["metric"]]
    return frame.sort_values(["metric", "model"], key=lambda x: x.map(order.index) if x.name == "metric" else x)


def floor_sentence(one: "Found") -> str:
    """Which of the drawn metrics noise of the truth's step scores most and least of, on average over the networks."""
    shares = floor_frame(one)
    share = shares[shares["metric"].isin(DRAWN["nyu"])].groupby("metric", sort=False)["estimate"].mean()
    most, least = share.idxmax(), share.idxmin()
    return (
        f"noise of one step of the truth alone scores as much as {share[most]:.0f} % of the networks' {most} "
        f"(most) and {share[least]:.0f} % of their {least} (least)."
    )


def rounding(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """What the rounding of the truth alone contributes, beside what every network gets."""
    frame = floor_frame(one)
    frame = frame[frame["metric"].isin(DRAWN["nyu"])]
    families = dict(zip(source.models["model"], source.models["family"], strict=True))
    rows = len(frame)
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 0.75 + 0.17 * rows), layout="constrained")
        label = "score of noise of one step of the truth (% of the network's value)"
        plots.draw_forest(frame, figure.subplots(), rows=["metric"], hue="model", families=families, zero=100.0,
                          label=label)  # fmt: skip
    said = floor_sentence(one)
    caption = (
        f"{name} · the truth plus independent noise as wide as its own step, judged as a prediction: near 100 % a "
        "number says as much about the camera as about the network; scores (higher is better): what they lack to 1 · "
        f"{plots.caption_line(frame, source.side)}"
    )
    title = said[0].upper() + said[1:].rstrip(".")
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
    protocol = protocol_of(name)
    entries, box = look(dataset.read(index), models, protocol)
    figure = plots.draw_structure(entries, box=box, names={e["name"]: display_name(e["name"]) for e in entries})
    scores = {e["name"]: e[METRIC] for e in entries[1:]}
    best, worst = min(scores, key=scores.__getitem__), max(scores, key=scores.__getitem__)
    title = (
        f"Here, on smooth surfaces, the gradients of {display_name(best)} err by {scores[best]:.4f} ln/px, those of "
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
