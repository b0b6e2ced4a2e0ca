"""The figures of study 06: which attributions beat their controls, what checks say, where they lie, and pictures."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from analyses.attribution_estimates import ADVANTAGE, CONTROLS, CURVES, LIKENESS, METRIC, SANITY, Found
from depthprobe import plots
from depthprobe.gallery import choose_samples
from depthprobe.plots.gallery import DEPTH_MAP, kept_overlay, picture, shorten
from depthprobe.plots.theme import WIDTH, display_name, styles, theme
from depthprobe.report.source import Source
from depthprobe.report.text import listed, place_name

TOP = 0.1  # share of the pixels that pictures show
CHECKED = {SANITY: "likeness to shuffled weights", "infidelity": "infidelity", "completeness_gap": "completeness gap"}
FAMILY = "all → all"


def draw(sources: Mapping[str, Source], found: Mapping[str, Found], folder: Path) -> list[Path]:
    """All figures of the study: PDF, PNG and the CSV of what is drawn.

    Pictures of photographs, which belong to the owners of their data set, stay in the folder of the run.
    """
    made = {}
    for name, source in sources.items():
        one = found[name]
        made[folder / f"a06_curves_{name}"] = curves(source, one, name)
        made[folder / f"a06_gains_{name}"] = gained(source, one, name)
        made[folder / f"a06_checks_{name}"] = checked(source, one, name)
        made[folder / f"a06_where_{name}"] = where(source, one, name)
        made[folder / f"a06_families_{name}"] = families(source, one, name)
        made[(folder if name == "scenes" else source.out) / f"a06_maps_{name}"] = maps(source, one, name)
    return [path for stem, (figure, frame) in made.items() for path in plots.save_figure(figure, stem, frame)]


def gain(row: pd.Series, prefix: str = "gain") -> str:
    """`+12 % [+3, +21]` of a gain over a control in per cent."""
    value, low, high = (f"{row[f'{prefix}_{c}']:+.0f}".replace("-", "−") for c in ("estimate", "low", "high"))
    return f"{value} %" if pd.isna(row[f"{prefix}_low"]) else f"{value} % [{low}, {high}]"


def trusted_places(one: Found) -> pd.DataFrame:
    """Where the attributions lie of the networks on which their method can be believed."""
    keys = one.trust.loc[one.trust["word"] == "supported", ["model", "factor"]]
    return one.places.merge(keys, on=["model", "factor"])


def believed(one: Found) -> str:
    """Which methods can be believed on how many networks, as a sentence."""
    held = one.trust[one.trust["word"] == "supported"].groupby("factor", sort=True)["model"].nunique()
    count = one.trust["model"].nunique()
    if held.empty:
        return f"No method of {one.trust['factor'].nunique()} can be believed on any of {count} networks"
    return f"{listed(f'{m} on {n}' for m, n in held.items())} of {count} networks can be believed"


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of methods, families and networks, `network` without its scheme."""
    frame = frame.sort_values(["factor", "family", "model"], kind="stable", ignore_index=True)
    return frame.assign(network=frame["model"].map(display_name))


def curves(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """How the network's own answer changes by share of the pixels: a row of panels per network, a line per order."""
    frame = one.curves.assign(curve=one.curves["metric"].str.extract(r"@(\w+)\.", expand=False))
    frame = frame.assign(metric=f"{METRIC} vs own answer", better="none")
    frame = frame.assign(panel=frame["curve"] + ", " + frame["model"].map(display_name))
    orders = sorted(frame["factor"].unique(), key=lambda f: (f in CONTROLS, f))
    style = styles([f for f in orders if f not in CONTROLS])
    style |= {c: {"color": "#888888", "linestyle": line} for c, line in zip(CONTROLS, ("-", ":"), strict=True)}
    networks = frame.drop_duplicates("model").sort_values(["family", "model"])["model"].map(display_name)
    panels = [f"{curve}, {network}" for network in networks for curve in CURVES]

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_curves(part, ax, line="factor", style=style, direct=last, axes={})
        ax.set_xlabel("pixels removed or shown (share)")

    figure = plots.small_multiples(frame, panel, panel="panel", order=panels, height=1.5)
    caption = (
        f"{name} · deletion, road: a believable order rises above both controls; insertion: it falls below them · "
        f"{plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=believed(one), caption=caption), frame


def gained(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """The gain of every method over both controls on every curve, by network."""
    frame = _named(one.gains)
    frame = frame.assign(unit="%", **{c: frame[f"gain_{c}"] for c in ("estimate", "low", "high")})
    frame = frame.assign(panel=frame["metric"] + " against " + frame["against"])
    frame = frame[np.isfinite(frame["estimate"])]
    hue = dict(zip(frame["model"], frame["family"], strict=True))
    panels = [p for c in CONTROLS for p in (f"{curve} against {c}" for curve in CURVES) if (frame["panel"] == p).any()]

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["factor"], hue="model", families=hue, zero=0.0, numbers=False,
                          label="gain over the control (%)")  # fmt: skip

    rows = frame[["factor", "model"]].drop_duplicates().shape[0]
    figure = plots.small_multiples(frame, panel, panel="panel", order=panels, height=0.5 + 0.15 * rows, share_x=False)
    caption = (
        f"{name} · area under the change of the own answer, in % of the control's; right: the attribution is better · "
        f"believed: beyond {100 * ADVANTAGE:g} % in all six, and unlike the map of shuffled weights · hollow = "
        f"undecided (Holm over all) · {plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=believed(one), caption=caption), frame


def checked(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """Likeness to the map of shuffled weights, infidelity and completeness of every method, by network."""
    frame = _named(one.checks).dropna(subset=["estimate"])
    order = [m for m in CHECKED if (frame["metric"] == m).any()]
    hue = dict(zip(frame["model"], frame["family"], strict=True))

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        line = LIKENESS if part["metric"].iloc[0] == SANITY else None
        plots.draw_forest(part, ax, rows=["factor"], hue="model", families=hue, zero=line, numbers=False, label=" ")

    rows = frame[["factor", "model"]].drop_duplicates().shape[0]
    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=CHECKED, height=0.5 + 0.15 * rows, share_x=False
    )
    alike = frame[(frame["metric"] == SANITY)]
    sure = alike[alike["high"] < LIKENESS]
    title = (
        f"{len(sure)} of {len(alike)} maps surely change when the weights are shuffled (rank correlation below "
        f"{LIKENESS:g}); the most alike: {_extreme(alike, 'idxmax')}, the least: {_extreme(alike, 'idxmin')}"
    )
    caption = (
        f"{name} · infidelity: 0 = predicts what removed blocks do, 1 = as badly as no attribution; completeness gap: "
        f"share of the change from the baseline that is not explained · {plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _extreme(frame: pd.DataFrame, which: str) -> str:
    if frame.empty:
        return "none"
    row = frame.loc[getattr(frame["estimate"], which)()]
    return f"{row['factor']} of {row['network']}, {plots.words.with_interval(row)}"


def where(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """How much more often than by chance attribution lies in each region; filled where the method can be believed."""
    word = one.trust.set_index(["model", "factor"])["word"]
    frame = _named(one.places).dropna(subset=["estimate"])
    held = [word[key] == "supported" for key in zip(frame["model"], frame["factor"], strict=True)]
    frame = frame.assign(verdict=["believed" if h else "undecided" for h in held])
    hue = dict(zip(frame["model"], frame["family"], strict=True))
    order = sorted(frame["metric"].unique())

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["factor"], hue="model", families=hue, zero=1.0, numbers=False,
                          label="enrichment of the attribution (1 = chance)")  # fmt: skip

    rows = frame[["factor", "model"]].drop_duplicates().shape[0]
    names = {p: place_name(p) for p in order}
    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=names, columns=4, height=0.5 + 0.15 * rows
    )
    shown = trusted_places(one)
    title = "No method can be believed here, so nothing is said on where networks look"
    if len(shown):
        top = shown.loc[shown["low"].idxmax()]
        title = (
            f"By what can be believed, attribution lies most on {place_name(top['metric'])}: "
            f"{plots.words.with_interval(top)} times chance ({top['factor']}, {display_name(top['model'])})"
        )
    caption = (
        f"{name} · share of the attribution over the region's share of the pixels · filled = the method can be "
        f"believed on this network · {plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def families(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """Difference of the enrichment from CNN to Transformer by believed methods, pair by pair and for the families.

    Where none is believed on both sides, all pairs are shown, hollow, since nothing is decided by them.
    """
    pairs = one.pairs if len(one.pairs) else one.described.assign(verdict="undecided")
    short = lambda model: display_name(model).partition(".")[0]  # noqa: E731  (all of them have one tag)
    pair = pairs["a"].map(short) + " → " + pairs["b"].map(short)
    whole = one.family.assign(pair=FAMILY)
    parts = [pairs.assign(pair=pair), whole[whole["low"].notna()]]
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    frame = frame[frame["estimate"].notna() & (frame["role"] == "endpoint")].sort_values("factor", kind="stable")
    order = sorted(frame["metric"].unique())

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["factor", "pair"], numbers=False, label="difference of enrichment")

    rows = frame[["factor", "pair"]].drop_duplicates().shape[0]
    names = {p: place_name(p) for p in order}
    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=names, height=0.5 + 0.15 * rows, share_x=False
    )
    ends = pairs[pairs["role"] == "endpoint"]
    counted = {w: int((ends["verdict"] == w).sum()) for w in ("higher", "lower", "equivalent", "undecided")}
    title = (
        "No method can be believed on a CNN and a Transformer alike: what all of them say is shown and not counted"
        if one.pairs.empty
        else f"Of {len(ends)} pairs × methods × regions, the Transformer looks there more in {counted['higher']}, "
        f"less in {counted['lower']}, as much in {counted['equivalent']}, undecided in {counted['undecided']}"
    )
    caption = (
        f"{name} · by {'every method' if one.pairs.empty else 'methods that can be believed on both networks'} · "
        f"hollow = undecided · {plots.caption_line(pairs, source.side)}; all → all: the families by the "
        "mixed model, architectures as units"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def maps(source: Source, one: Found, name: str) -> tuple[Figure, pd.DataFrame]:
    """The tenth of the pixels that matters most by every method, a row per network: the middle one of the samples."""
    chosen = choose_samples(source.probe("attribution"), 3)
    sample = chosen[len(chosen) // 2]
    stored = {(m.model, m.factor): m for m in source.maps if m.probe == "attribution" and m.sample == sample}
    networks = one.trust.drop_duplicates("model").sort_values(["family", "model"])["model"].tolist()
    methods = sorted(one.trust["factor"].unique())
    word = one.trust.set_index(["model", "factor"])["word"]
    entries = [[_arrays(stored[network, method].path) for method in methods] for network in networks]
    cell = WIDTH / (len(methods) + 1)
    height, width = entries[0][0]["depth"].shape
    with theme(), mpl.rc_context({"axes.grid": False}):
        figure = Figure(figsize=(WIDTH, (cell * height / width + 0.24) * len(networks) + 0.2), layout="constrained")
        grid = figure.subplots(len(networks), len(methods) + 1, squeeze=False)
        for line, network, row in zip(grid, networks, entries, strict=True):
            _prediction(line[0], row[0], display_name(network), room=int(cell / 0.07))
            for ax, method, entry in zip(line[1:], methods, row, strict=True):
                picture(ax).imshow(_overlay(entry))
                ax.set_xlabel(word[network, method], fontsize=7, labelpad=2)
        for ax, title in zip(grid[0], ["prediction", *methods], strict=True):
            ax.set_title(title, fontsize=7.5)
    values = source.probe("attribution")
    values = values[(values["sample"] == sample) & values["metric"].str.startswith("enrichment@")]
    frame = values[["sample", "model", "factor", "metric", "value"]].reset_index(drop=True)
    title = f"The {100 * TOP:g} % of the pixels that matter most, by every method: {believed(one)}"
    caption = (
        f"{name}, {sample}: the middle one of the samples by the networks' mean rank · in colour: the {100 * TOP:g} % "
        "of the pixels with the largest attribution of the mean depth; below: can the method be believed there?"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _arrays(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as stored:
        return {k: stored[k] for k in stored.files if k != "meta"} | {"meta": json.loads(str(stored["meta"]))}


def _overlay(entry: Mapping[str, Any]) -> np.ndarray:
    score, image = entry["score"], entry["image"]
    rows, columns = (np.arange(n) * m // n for n, m in zip(image.shape, score.shape, strict=False))
    return kept_overlay(image, (score >= np.quantile(score, 1 - TOP))[rows][:, columns])


def _prediction(ax: Axes, entry: Mapping[str, Any], name: str, *, room: int) -> None:
    span = Normalize(np.nanmin(entry["depth"]), np.nanmax(entry["depth"]))
    picture(ax).imshow(entry["pred"], cmap=DEPTH_MAP, norm=span)
    ax.set_xlabel(shorten(name, room), fontsize=7, labelpad=2)
