"""The figures of study 05: who does more of what, windows, receptive fields and cues; the others by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses import context_fields, context_inside
from analyses.context_fields import anywhere, capital, each, names_of, size_of
from analyses.context_rows import FILLS, SHARE, WINDOW
from depthprobe import plots
from depthprobe.plots.theme import WIDTH
from depthprobe.plots.words import number
from depthprobe.report.source import Source

if TYPE_CHECKING:
    from analyses.a05_context import Found

DRAWN = {
    "reach": "reach (90 % radius)", "gain_mean": "gain (fill mean)", "gain_blur": "gain (fill blur)",
    "far_near": "far ÷ near error", "whole": "error, whole image", "window_mean": f"error, {WINDOW} px window",
    "need_mean": f"need of near {WINDOW} px", "gain_near": "gain, near pixels", "gain_far": "gain, far pixels",
}  # fmt: skip
FAMILY = "all CNNs → all Transformers"
VIEWS = {"visible": "window seen, rest", "hidden": "window hidden by"}
GREY = "every pixel alike"
TICKS = ((0.01, 0.1, 1, 10, 100), (0.1, 0.3, 1, 3, 10), (0.25, 0.5, 1, 2, 4), (0.5, 0.7, 1, 1.4, 2),
         (0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5), (0.9, 0.95, 1, 1.05, 1.1))  # fmt: skip


def draw(sources: Mapping[str, Source], found: "Mapping[str, Found]", folder: Path) -> list[Path]:
    """All figures of the study: PDF, PNG and the CSV of what is drawn."""
    made = {}
    for name, source in sources.items():
        one = found[name]
        made[f"a05_compare_{name}"] = compared(source, one, name)
        made[f"a05_windows_{name}"] = windows(source, one, name)
        made[f"a05_reach_{name}"] = reach(source, one, name)
        made[f"a05_layers_{name}"] = context_inside.layers(source, one, name)
        made[f"a05_fields_{name}"] = context_fields.draw(one.middle, name)
        if len(one.attention):
            made[f"a05_attention_{name}"] = context_inside.attention(source, one, name)
        if len(one.cues):
            made[f"a05_cues_{name}"] = cues(source, one, name)
    return [path for stem, (figure, frame) in made.items() for path in plots.save_figure(figure, folder / stem, frame)]


def factor(log: float) -> str:
    """`1.31`: what a difference of logarithms multiplies by."""
    return number(float(np.exp(log)), 3)


def times(row: pd.Series) -> str:
    """`1.31× [0.94, 1.83]` of a difference of logarithms."""
    e, low, high = (factor(row[c]) for c in ("estimate", "low", "high"))
    return f"{e}×" if pd.isna(row["low"]) else f"{e}× [{low}, {high}]"


def compared(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """How many times the Transformer's value is the CNN's, pair by pair and for the families."""
    names = names_of([*one.pairs["a"], *one.pairs["b"]])
    pair = one.pairs["a"].map(names) + " → " + one.pairs["b"].map(names)
    frame = pd.concat([one.pairs.assign(pair=pair), one.family.assign(pair=FAMILY)], ignore_index=True)
    frame = frame[frame["metric"].isin(list(DRAWN)) & frame["low"].notna()]
    frame = frame[[c for c in frame if not c.startswith("relative_")]]
    logs = ["estimate", "low", "high", "detectable"]
    frame = frame.assign(unit="×", **{c: np.exp(frame[c]) for c in logs})
    order = [metric for metric in DRAWN if (frame["metric"] == metric).any()]
    frame = frame.sort_values("metric", key=lambda names: names.map(order.index), kind="stable")

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["pair"], numbers=False, ratio=True, label="Transformer ÷ CNN")
        _ratio_ticks(ax)

    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=DRAWN, share_x=False,
        height=0.7 + 0.17 * frame["pair"].nunique(),
    )  # fmt: skip
    ends = one.pairs[one.pairs["role"] == "endpoint"]
    verdicts = {
        metric: ends.loc[ends["metric"] == metric, "verdict"] for metric in DRAWN if metric in set(ends["metric"])
    }
    counts = [f"{DRAWN[m]} {(v == 'higher').sum()}/{(v == 'lower').sum()}" for m, v in verdicts.items()]
    count = max(len(v) for v in verdicts.values())
    title = f"Pairs, of {count}, in which the Transformer's value is higher/lower than the CNN's: {', '.join(counts)}"
    caption = (
        f"{name} · endpoints, C1 says: reach and gain higher, far ÷ near lower · gain: error with only a window of "
        f"radius {WINDOW} px visible ÷ error with the whole image; need: with that window hidden · hollow = undecided "
        f"· {plots.caption_line(one.pairs, source.side)}; for the families: the mixed model, architectures as units"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _ratio_ticks(ax: Axes) -> None:
    """At least three ticks inside the limits of a ratio axis, where a set has so many."""
    low, high = ax.get_xlim()
    found = next((inside for ticks in TICKS if len(inside := [t for t in ticks if low <= t <= high]) >= 3), [1])
    ax.set_xticks(found, [f"{t:g}×" for t in found])


def windows(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """The error through windows, and around them, over that with the whole image: a panel per view and fill."""
    frame = one.points.assign(panel=one.points["factor"] + "|" + one.points["factor2"])
    filled = dict(zip(FILLS, ("mean colour", "blur"), strict=True))
    names = {f"{view}|{fill}": f"{VIEWS[view]} {filled[fill]}" for view in VIEWS for fill in FILLS}
    families = dict(zip(frame["model"], frame["family"], strict=True))
    style = plots.styles(sorted(families), families)

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_curves(part, ax, style=style, direct=last, axes={}, names=names_of(families))
        ax.axhline(1, color="#444444", linewidth=0.8, zorder=1)
        ax.set_xlabel("radius of the square window (px)")
        ax.set_ylabel("error ÷ error with\nthe whole image (×)")

    figure = plots.small_multiples(frame, panel, panel="panel", order=list(names), names=names, columns=2, height=1.8)
    caption = (
        f"{name} · geometric means of abs_rel at 3 pixels per image, each in an image of its own; the line at 1: the "
        f"whole image · canvas {'×'.join(map(str, size_of(source)))} px · {plots.caption_line(frame, source.side)}"
    )
    title = capital(window_sentence(one).partition("; with the window hidden")[0])
    return plots.describe_figure(figure, title=title, caption=caption), frame


def window_sentence(one: "Found") -> str:
    """How much the error grows through the window of the endpoint, for every network."""
    at = one.points[(one.points["level"] == WINDOW) & (one.points["factor2"] == FILLS[0])]
    seen, hidden = (each(at[at["factor"] == view]) for view in VIEWS)
    return (
        f"with only a window of radius {WINDOW} px visible (the rest of mean colour) the error is this many times that "
        f"with the whole image: {seen}; with the window hidden: {hidden}"
    )


def reach(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """The radii of 50 and 90 % of the receptive field, and the share of it beyond every radius."""
    frame = pd.concat([one.field, _even(one.field, anywhere(size_of(source)))], ignore_index=True)
    names, families = (
        names_of(one.field["model"]) | {GREY: GREY},
        dict(zip(frame["model"], frame["family"], strict=True)),
    )
    radii, beyond = (frame[frame["metric"] == m] for m in ("erf_radius", "erf_beyond"))
    radii = radii.assign(share=radii["level"].map(lambda s: f"{100 * s:g} %"), last=radii["model"] == GREY)
    radii = radii.sort_values(["level", "last", "family", "model"])
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 0.8 + 0.2 * len(radii)), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        plots.draw_forest(radii, left, rows=["share"], hue="model", numbers=False, label="radius (px)",
                          families=families, names=names)  # fmt: skip
        left.set_xlim(left=0)
        percent = beyond.assign(**{c: 100 * beyond[c] for c in ("estimate", "low", "high")}, unit="%")
        plots.draw_curves(percent, right, axes={}, families=families, names=names)
        right.set_xlabel("radius r (px)")
        right.set_ylabel("share beyond r (%)")
    caption = (
        f"{name} · square windows around the pixel; energy: the squared gradient of the depth at a pixel by the image "
        f"· grey: a field in which every pixel of the canvas counts alike, for a pixel anywhere · canvas "
        f"{'×'.join(map(str, size_of(source)))} px · {plots.caption_line(one.field, source.side)}"
    )
    title = capital(reach_sentence(one).partition("; beyond")[0])
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _even(field: pd.DataFrame, share: np.ndarray) -> pd.DataFrame:
    """The rows that a field would have in which every pixel counts alike, from the `share` of `anywhere`."""
    rows = field.drop_duplicates(["metric", "level"])
    value = [
        (share >= level).argmax(0).mean()
        if metric == "erf_radius"
        else 1 - share[min(int(level), len(share) - 1)].mean()
        for metric, level in zip(rows["metric"], rows["level"], strict=True)
    ]
    return rows.assign(model=GREY, family="oracle", estimate=value, low=np.nan, high=np.nan)


def reach_sentence(one: "Found") -> str:
    """The radius of 90 % and the share beyond the endpoint's window, for every network."""
    radius = one.field[(one.field["metric"] == "erf_radius") & (one.field["level"] == SHARE)]
    beyond = one.field[(one.field["metric"] == "erf_beyond") & (one.field["level"] == WINDOW)]
    return (
        f"{100 * SHARE:g} % of what moves a pixel's depth lies within this radius (px): {each(radius)}; beyond "
        f"{WINDOW} px lies this share (%): {each(beyond, 100)}"
    )


def cues(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """The slope of every network's answer on every cue, beside that of the truth."""
    frame = one.cues.assign(truth=one.cues["metric"].str.endswith("@truth"))
    right = frame[frame["truth"]].drop_duplicates("factor").assign(model="truth", family="oracle")
    frame = pd.concat([frame[~frame["truth"]], right], ignore_index=True)
    frame = frame.assign(metric=frame["metric"].str.removesuffix("@truth"))
    frame = frame.sort_values(["truth", "family", "model"])
    families = dict(zip(frame["model"], frame["family"], strict=True))
    names = names_of(one.cues["model"].unique()) | {"truth": "truth"}

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["model"], hue="model", families=families, numbers=False, names=names,
                          label="slope of the answer on the cue")  # fmt: skip

    units = frame.drop_duplicates("factor").set_index("factor")["unit"]
    figure = plots.small_multiples(
        frame, panel, panel="factor", share_x=False, height=0.6 + 0.17 * frame["model"].nunique(),
        names={cue: f"{cue.replace('_', ' ')} ({unit})" for cue, unit in units.items()},
    )  # fmt: skip
    caption = (
        f"{name} · response per dose of each cue, one varied at a time; right is the slope of the truth (grey) · "
        f"{plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=capital(cues_sentence(one)), caption=caption), frame


def cues_sentence(one: "Found") -> str:
    """For how many networks the slope on each cue is shown to lie below or above that of the truth."""
    said, count = [], one.cues["model"].nunique()
    for cue, part in one.cues.groupby("factor"):
        truth = part["metric"].str.endswith("@truth")
        own, right = part[~truth], part.loc[truth, "estimate"].iloc[0]
        below, above = (own["high"] < right).sum(), (own["low"] > right).sum()
        said.append(f"{str(cue).replace('_', ' ')} {below}/{above}")
    return (
        f"networks, of {count}, whose interval of the slope on a cue lies below/above the truth's mean, uncorrected: "
        f"{', '.join(said)}"
    )
