"""The figures of study 04: quality by local texture, reactions to edits beside their controls, and who has less."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses import texture_pictures
from analyses.common import signed
from analyses.texture_rows import CHANGE, CONTROL, EDIT, GROWTH, TEXTURED
from depthprobe import plots
from depthprobe.data import Dataset
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.models import DepthModel
from depthprobe.plots.theme import WIDTH, display_name
from depthprobe.plots.words import with_interval
from depthprobe.report.source import Source

if TYPE_CHECKING:
    from analyses.a04_texture import Found

NAMES = {
    TEXTURED: "error in texture", GROWTH: "growth of the error with texture",
    "change@texture_swap": "change under other materials", "change@palette_swap": "change under swapped colours",
    "texture_off": "texture off", "texture_grey": "all grey", "texture_swap": "other materials",
    "texture_permute": "materials dealt anew", "low_pass": "low-pass", "high_pass": "high-pass",
    "phase_only": "phase only", "palette_swap": "swapped colours", "colour_jitter": "jittered colours",
    "patch_shuffle": "patches shuffled", EDIT: "edit", CONTROL: "as large a change",
}  # fmt: skip
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
        one, levels = found[name], edits_of(source)
        made[folder / f"a04_compare_{name}"] = compared(source, one, name)
        made[folder / f"a04_reliance_{name}"] = reliance(source, one, name)
        made[folder / f"a04_quality_{name}"] = quality(source, one, name)
        for why, index in texture_pictures.picked(source, data[name], one.endpoints[-1].partition("@")[2]).items():
            place = folder if name == "scenes" else source.out
            drawn = texture_pictures.gallery(data[name], index, why, models[name], name, levels, named(levels))
            made[place / f"a04_gallery_{why}_{name}"] = drawn
    return [path for stem, (figure, frame) in made.items() for path in plots.save_figure(figure, stem, frame)]


def edits_of(source: Source) -> dict[str, float]:
    """The edits that a run made, in the order of NAMES, and the level of each (of draws: the first)."""
    rows = source.probe("texture")
    first = rows[rows["metric"] == CHANGE].groupby("factor")["level"].min()
    return {edit: float(first[edit]) for edit in NAMES if edit in first.index}


def named(levels: Mapping[str, float]) -> dict[str, str]:
    """The names of edits with their levels, where these are more than on and off."""
    units = {edit: PERTURBATIONS.facts(edit)["unit"] for edit in levels if edit in PERTURBATIONS.names()}
    said = {edit: f"{NAMES[edit]} ({levels[edit]:g} {unit})" for edit, unit in units.items() if unit != "1"}
    return {**NAMES, **said}


def points(row: pd.Series) -> str:
    """`+3.1 [1.2, 5.0]` of a difference in per cent; without interval where there is none."""
    return signed(row["estimate"]) if pd.isna(row["low"]) else with_interval(row, sign=True)


def compared(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Difference Transformer - CNN in every endpoint, pair by pair and for the families."""
    pair = one.pairs["a"].map(display_name) + " → " + one.pairs["b"].map(display_name)
    family = one.family[one.family["low"].notna()].assign(pair=FAMILY)
    frame = pd.concat([one.pairs.assign(pair=pair), family], ignore_index=True)
    order = list(one.endpoints)
    frame = frame[frame["metric"].isin(order)]
    units = frame.drop_duplicates("metric").set_index("metric")["unit"]
    titles = {m: f"{NAMES[m]} ({units[m]})" for m in order}

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["pair"], numbers=False, label="Transformer − CNN (left: less)")

    figure = plots.small_multiples(
        frame, panel, panel="metric", order=order, names=titles, height=0.85 + 0.17 * frame["pair"].nunique(),
        share_x=False,
    )  # fmt: skip
    ends = one.pairs[one.pairs["role"] == "endpoint"]
    caption = (
        f"{name} · endpoints: {', '.join(order)} · hollow = undecided; less is better · "
        f"{plots.caption_line(ends, source.side)}; for the families: the mixed model, architectures as units"
    )
    return plots.describe_figure(figure, title=_counted(ends, order), caption=caption), frame


def _counted(ends: pd.DataFrame, order: Sequence[str]) -> str:
    """In how many pairs the Transformer has less, and more, of every endpoint."""
    said = []
    for metric in order:
        word = ends.loc[ends["metric"] == metric, "verdict"]
        less, more = (int((word == v).sum()) for v in ("better", "worse"))
        said.append(f"{NAMES[metric]} smaller in {less}, larger in {more}")
    return (
        f"From CNN to Transformer, of {len(ends) // len(order)} pairs: {'; '.join(said)} (others: undecided or alike)"
    )


def reliance(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """How far the depth of every network moves under each edit and under as large a change of pixels."""
    order = {EDIT: 0, CONTROL: 1}
    frame = one.arms.sort_values(["factor", "factor2", "family", "model"],
                                 key=lambda x: x.map(order) if x.name == "factor2" else x)  # fmt: skip
    families = dict(zip(frame["model"], frame["family"], strict=True))
    levels = edits_of(source)

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["factor2"], hue="model", families=families, names=NAMES, numbers=False,
                          zero=0.0, label="change of depth (% of the unchanged answer)")  # fmt: skip

    rows = frame.groupby(["factor2", "model"]).ngroups
    figure = plots.small_multiples(
        frame, panel, panel="factor", order=list(levels), names=named(levels), height=0.5 + 0.15 * rows
    )
    edit = one.endpoints[-1].partition("@")[2]
    caption = (
        f"{name} · as large a change: the same pixel change in size and spectrum, phases at random, which also draws "
        f"texture where there was none · endpoint: {NAMES[edit]} · {plots.caption_line(frame, source.side)}"
    )
    return plots.describe_figure(figure, title=_moved(one.own, edit), caption=caption), frame


def _moved(own: pd.DataFrame, edit: str) -> str:
    """By how much depth moves under the endpoint's edit, and for how many networks that is less than the control."""
    part = own[own["factor"] == edit].sort_values("mean_b")
    least, most = part.iloc[0], part.iloc[-1]
    count = {word: int((part["verdict"] == word).sum()) for word in ("better", "worse", "undecided")}
    return (
        f"Under {NAMES[edit]} depth moves by {least['mean_b']:.1f} % ({display_name(least['model'])}) to "
        f"{most['mean_b']:.1f} % ({display_name(most['model'])}), which is less than under as large a change of pixels "
        f"in {count['better']} of {len(part)} networks and more in {count['worse']} ({count['undecided']} undecided)"
    )


def quality(source: Source, one: "Found", name: str) -> tuple[Figure, pd.DataFrame]:
    """Error by quarter of local texture, and its growth within images at the same depth and place."""
    grown = one.means[one.means["metric"] == GROWTH].sort_values(["family", "model"])
    families = dict(zip(one.bands["model"], one.bands["family"], strict=True))
    with plots.theme():
        figure = Figure(figsize=(WIDTH, 2.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        plots.draw_curves(one.bands.assign(metric="error"), left, log=False, direct=False, families=families, axes={})
        starts = sorted(one.bands["level"].unique())
        left.set_xticks(starts, [f"{100 * s:g}" for s in starts])
        left.set_xlabel("local texture: quarters of the smooth pixels\nfrom the least (0) to the most (75)")
        left.set_ylabel("error (abs_rel, % of depth)")
        label = "error added per tenfold texture energy,\nsame depth and place (% of the mean)"
        plots.draw_forest(
            grown, right, rows=["model"], hue="model", families=families, numbers=False, zero=0.0, label=label
        )
        left.set_title("error by local texture")
        right.set_title("growth within images")
    caption = f"{name}, smooth surfaces, away from contours · {plots.caption_line(grown, source.side)}"
    frame = pd.concat([one.bands, grown.assign(level=np.nan)], ignore_index=True)
    return plots.describe_figure(figure, title=_grown(grown), caption=caption), frame


def _grown(grown: pd.DataFrame) -> str:
    """By how much the error grows, or falls, with texture, for every network."""
    each = [f"{display_name(r['model'])} {with_interval(r, sign=True)} %" for _, r in grown.iterrows()]
    up, down = int((grown["low"] > 0).sum()), int((grown["high"] < 0).sum())
    return (
        f"Error grows with texture in {up} of {len(grown)} networks and falls in {down}; per tenfold energy, at the "
        f"same depth and place: {', '.join(each)}"
    )
