"""The figures of study 07: what masks cost and are worth, budgets, where they are open, and pictures."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analyses.masks_estimates import SEARCHED, SOFT_LINE, Found
from depthprobe import plots
from depthprobe.plots.gallery import picture
from depthprobe.plots.theme import WIDTH, display_name, theme
from depthprobe.report.source import Source

QUANTITIES = {
    ("soft", "open_share"): "mean of the soft mask",
    ("soft", "rmse@self"): "rmse to the own answer (m), soft mask",
    ("binarised", "rmse@self"): "rmse to the own answer (m), as many whole pixels",
    ("uniform", "rmse@self"): "rmse to the own answer (m), every pixel dimmed alike",
    ("soft", "rmse"): "rmse to the truth (m), soft mask",
    ("binarised", "rmse"): "rmse to the truth (m), as many whole pixels",
}
ROWS = 6
AXES = {"learned_mask": {"level": "budget"}}


def draw(found: Found, folder: Path) -> list[Path]:
    """All figures of the study: PDF, PNG and the CSV of what is drawn."""
    made = {"masks": masks(found), "budgets": budgets(found), "pairs": pairs(found), "places": places(found)}
    return [
        path for name, drawn in made.items() for path in plots.save_figure(drawn[0], folder / f"a07_{name}", drawn[1])
    ]


def draw_gallery(source: Source) -> list[Path]:
    """The pictures of the masks, into the folder of the run: photographs belong to the owners of their data set."""
    figure, frame = gallery(source)
    return plots.save_figure(figure, source.out / "a07_gallery", frame)


def masks(found: Found) -> tuple[Figure, pd.DataFrame]:
    """How open every generator's soft masks are, and what the network answers through them and through stand-ins."""
    keys = list(zip(found.masks["factor2"], found.masks["metric"], strict=True))
    frame = found.masks.assign(quantity=[QUANTITIES.get(key) for key in keys]).dropna(subset=["quantity"])
    order = [name for name in QUANTITIES.values() if (frame["quantity"] == name).any()]

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["generator"], hue="model", numbers=False, label="")
        for name in ("least", "most"):  # of the trainings
            some = part[part["trainings"] > 1]
            heights = [ax.get_yticks()[list(part.index).index(i)] for i in some.index]
            ax.plot(some[name], heights, linestyle="", marker="|", color="#222222", markersize=7, zorder=4)

    rows = frame.groupby(["generator", "model"]).ngroups
    figure = plots.small_multiples(
        frame, panel, panel="quantity", order=order, columns=2, height=0.6 + 0.17 * rows, share_x=False
    )
    trainings = int(frame["trainings"].max())
    caption = (
        f"n = {frame['n'].max()} images in {frame['groups'].max()} groups · 95 % intervals over groups · "
        f"| least and largest of {trainings} trainings of the generator"
    )
    return plots.describe_figure(figure, title=_masks_title(frame), caption=caption), frame


def _masks_title(frame: pd.DataFrame) -> str:
    """What whole pixels cost over half-open ones, by network, of the generator with most trainings."""
    main = frame[frame["trainings"] == frame["trainings"].max()]
    means = main.groupby(["model", "factor2", "metric"])["estimate"].mean()
    said = [
        f"{display_name(m)} {means[m, 'binarised', 'rmse@self'] / means[m, 'soft', 'rmse@self']:.1f}"
        for m in main["model"].unique()
    ]
    return f"As many whole pixels in place of the soft mask: error times {', '.join(said)}"


def budgets(found: Found) -> tuple[Figure, pd.DataFrame]:
    """Change of the network's answer over the budget of hard masks: learned for it, for the other, and controls."""
    frame = found.curves
    figure = plots.draw_curve_panels(frame, panel="model", line="line", families={}, columns=2, axes=AXES)
    caption = (
        f"n = {frame['n'].max()} images in {frame['groups'].max()} groups · 95 % intervals over groups · "
        "removed pixels have the network's mean colour"
    )
    return plots.describe_figure(figure, title=_budget_title(frame), caption=caption), frame


def _budget_title(frame: pd.DataFrame) -> str:
    """How the learned order stands among the orders, and what single images could do with."""
    orders = frame[frame["line"] != SEARCHED]
    least = orders.loc[orders.groupby(["model", "level"])["estimate"].idxmin()]
    own = int((least["line"] == SOFT_LINE).sum())
    searched = frame[frame["line"] == SEARCHED]
    found = ", ".join(f"{display_name(r['model'])} {r['estimate']:.2g} m" for _, r in searched.iterrows())
    share = f"{100 * searched['level'].iloc[0]:g} %"
    return (
        f"Of all orders the soft mask's is best in {own} of {len(least)} networks × budgets; pixels searched for image "
        f"by image ({share}) leave {found}"
    )


def pairs(found: Found) -> tuple[Figure, pd.DataFrame]:
    """The endpoints: every network's own mask against each control, in per cent of the control."""
    frame = found.pairs.copy()
    frame = frame.assign(unit="%", **{c: frame[f"relative_{c}"] for c in ("estimate", "low", "high")})
    frame = frame.assign(comparison=frame["a"].str.replace("_", " ") + " → " + frame["b"])
    names = {"endpoint": "endpoints", "added": "added after a first look"}

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["comparison"], hue="model", numbers=False,
                          label="change of rmse to the own answer (%); less is better")  # fmt: skip

    height = 0.5 + 0.17 * frame.groupby("role").size().max()
    figure = plots.small_multiples(
        frame, panel, panel="role", order=list(names), names=names, columns=1, height=height, share_y=False
    )
    ends = frame[frame["role"] == "endpoint"]
    counted = {w: int((ends["verdict"] == w).sum()) for w in ("better", "worse", "equivalent", "undecided")}
    title = f"At {100 * ends['level'].iloc[0]:g} % of the pixels the learned order is " + ", ".join(
        f"{w} in {n}" for w, n in counted.items()
    )
    caption = (
        f"n = {frame['n'].max()} images in {frame['groups'].max()} groups · 95 % intervals · hollow = undecided · Holm "
        "over the endpoints, and over what was added"
    )
    return plots.describe_figure(figure, title=f"{title} of {len(ends)} comparisons", caption=caption), frame


def places(found: Found) -> tuple[Figure, pd.DataFrame]:
    """Where soft masks are open: their mean in a region over their mean where depth is judged."""
    frame = found.places[found.places["estimate"].notna()].reset_index(drop=True)

    def panel(part: pd.DataFrame, ax: Axes, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["region"], hue="model", zero=1.0, numbers=False, label="enrichment")

    rows = frame.groupby(["region", "model"]).ngroups
    figure = plots.small_multiples(frame, panel, panel="generator", columns=2, height=0.6 + 0.16 * rows)
    top = frame.loc[frame["low"].fillna(-1).idxmax()]
    title = (
        f"The largest of {len(frame)} enrichments: {top['estimate']:.2f} [{top['low']:.2f}, {top['high']:.2f}] on "
        f"{top['region'].replace('_', ' ')} ({display_name(top['model'])}, {top['generator']})"
    )
    caption = (
        f"n up to {frame['n'].max()} images · 95 % intervals over groups · 1 = as on average where depth is judged"
    )
    return plots.describe_figure(figure, title=title, caption=caption), frame


def gallery(source: Source) -> tuple[Figure, pd.DataFrame]:
    """Soft masks of every network, generator and image of which maps were kept: white is open."""
    own = [m for m in source.maps if m.probe == "learned_mask" and m.factor.startswith(f"{m.model}/")]
    own = [m for m in own if "/weight5/" in m.factor]
    samples = list(dict.fromkeys(m.sample for m in own))[:ROWS]
    columns = sorted({(m.model, m.factor) for m in own})
    kept = {(m.sample, m.model, m.factor): m for m in own if m.sample in samples}
    frame = pd.DataFrame([{"sample": m.sample, "model": m.model, "mask": m.factor, "open_share": m.level} for m in own])
    with theme():
        figure = Figure(figsize=(WIDTH, 0.4 + len(samples) * 0.8 * WIDTH / (1 + len(columns))), layout="constrained")
        grid = figure.subplots(len(samples), 1 + len(columns), squeeze=False)
        for line, sample in zip(grid, samples, strict=True):
            for ax, column in zip(line[1:], columns, strict=True):
                one = kept[sample, *column]
                picture(ax).imshow(_stored(one.path, "score"), vmin=0, vmax=1, cmap="gray")
                ax.set_xlabel(f"{one.level:.3f}", fontsize=5)
            picture(line[0]).imshow(_stored(one.path, "image"))
        for ax, (model, mask) in zip(grid[0, 1:], columns, strict=True):
            ax.set_title("\n".join([display_name(model), *mask.split("/")[1:]]), fontsize=5)
    title = f"Soft masks of {len({m for m, _ in columns})} networks: white is open, under each its mean"
    return plots.describe_figure(figure, title=title), frame


def _stored(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as stored:
        found: np.ndarray = stored[name]
    return found
