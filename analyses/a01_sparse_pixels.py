"""From how few pixels, and which ones, do a CNN and a Transformer still give their depth?

Question: two networks that differ in the encoder alone (ConvNeXt-atto, PVT-v2-b0; same decoder, scenes, steps and
schedule) see an image of which only some pixels are left. Which network needs fewer, and which pixels serve it best?
On photographs the same two answer after they were fine-tuned on NYU's training images.

Context: claims C1 ("Transformers handle global context better") and C2 ("... intricate texture better") of Yao, Wu and
Zhang (arXiv 2308.08333). If C1 holds here, the Transformer should lose less on random and regular pixels, which keep
the layout and destroy the detail: its answer should change less against its own full-image answer (`abs_rel@self`). A
smaller error against the truth is judged as well, but alone says nothing about losing: whoever is better on the full
image has it. If C2 holds, it should gain more from textured pixels. Hu, Zhang and Okatani
(ICCV 2019) found that a CNN needs few pixels, edges above all, and the region of the vanishing point.

Hypothesis, stated before looking: (1) both networks are better on pixels chosen by image edges than on as many random
ones; (2) the Transformer loses less than the CNN on random pixels, and needs fewer of them for the same error; (3)
keeping depth edges alone serves neither, because flat ground and walls carry the scale.

Command: python -m analyses.a01_sparse_pixels --root PATH/TO/nyuv2 (without --root: scenes only; --quick: seconds)
Cost: 176 masked forward passes per image and network; the defaults (150 scenes, 80 photographs, on which the sparse
probe takes three numbers of `bts_nyu` instead of nine) are made to fit into about 15 minutes on two cores. A run that
was stopped goes on where it was.
Expected result: errors fall monotonically with the budget for every selector; the ranking of selectors is alike for
both networks; differences between the networks under the fill `mean` are partly differences in how they bear the fill,
so only those that hold under `blur` as well are counted. No number is promised.

What this cannot show: one CNN and one Transformer say nothing about families; both are small and have seen little; a
masked image is unlike anything that they were trained on. All three are printed beside the verdict.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analyses.command import comparison, conclude, folders
from analyses.common import measure
from depthprobe import plots
from depthprobe.data import Dataset, load_dataset
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.report import estimates, findings, pictures, text
from depthprobe.report.source import Source

MODELS = ("zoo:convnext", "zoo:pvt")
FILLS = ("mean", "blur")
METRICS = ("abs_rel", "rmse", "delta1")
FULL = {
    "selectors": ("random", "grid", "patch8", "superpixel", "image_edges", "canny", "texture", "depth_edges"),
    "reverse": ("image_edges", "texture", "depth_edges"),
}
QUICK = {"selectors": ("random", "image_edges"), "reverse": ("image_edges",), "budgets": (0.05, 0.2, 1.0)}
CAUTIONS = (
    "One CNN and one Transformer: no claim about families follows from this.",
    "Both networks are small and saw synthetic scenes, then 795 photographs; their errors there are large.",
    "Masked images are out of distribution; only what holds under every fill counts, and fills are two.",
)


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = MODELS,
    n: int = 150,
    n_nyu: int = 80,
) -> dict[str, Any]:
    """Measure, estimate, draw and judge.

    Args:
        quick: a few samples, two selectors and few resamples; by default into a temporary folder.
        root: folder of NYU Depth v2; without one, the scenes alone.
        out: folder of the runs (default out/a01).
        figures: folder of the figures (default figures/; beside the runs when quick).
        models: names for `load_model`, at least two; of the zoo's MODELS, NYU sees those fine-tuned on it.
        n, n_nyu: samples of the scenes and of NYU (4 each when quick).

    Returns:
        sources (what was measured, by data set), estimates (by data set), verdict (sentences), figures (paths).

    Raises:
        ValueError: if fewer than two networks (oracles do not count) are named.
    """
    out, figures = folders("a01", out, figures, quick=quick)
    options = estimates.Options(n_boot=1_000 if quick else 10_000)
    counts = (4, 4) if quick else (n, n_nyu)
    sources = measure_all(models or MODELS, root, out, quick=quick, n=counts, n_boot=options.n_boot)
    found = {name: sparse_of(source, options) for name, source in sources.items()}
    sentences = verdict(sources, found)
    paths = draw(sources, found, figures)
    conclude(sentences, paths)
    return {"sources": sources, "estimates": found, "verdict": sentences, "figures": paths}


def open_models(names: Sequence[str], dataset: str) -> list[DepthModel]:
    """The networks; those of MODELS, on another data set than scenes, fine-tuned on it: same name, another tag.

    Raises:
        ValueError: if fewer than two are networks.
    """
    found = []
    for name in names:
        model = load_model(f"{name}.{dataset}" if name in MODELS and dataset != "scenes" else name)
        model.card = dataclasses.replace(model.card, name=name) if name in MODELS else model.card
        found.append(model)
    if sum(model.card.family != "oracle" for model in found) < 2:
        raise ValueError(f"Expected `models` to name at least two networks to compare, but got {list(names)}.")
    return found


def measure_all(
    names: Sequence[str], root: str | Path | None, out: Path, *, quick: bool, n: tuple[int, int], n_boot: int
) -> dict[str, Source]:
    """The runs: scenes under their own protocol, NYU under `bts_nyu` (and its error under `midas_nyu`).

    Convention: n: samples of scenes and of NYU. The sparse probe takes METRICS alone, since judging a photograph at its
    full size costs more than the network.
    """
    plan = PROBES.facts("sparse")["plan"]
    chosen = {"fills": FILLS, **(QUICK if quick else FULL)}
    jobs: dict[str, tuple[Dataset, tuple[str, ...]]] = {"scenes": (load_dataset("scenes", n=n[0]), ("scenes",))}
    if root is not None:
        jobs["nyu"] = (load_dataset("nyu", root=root, n=n[1]), ("bts_nyu", "midas_nyu"))
    sources = {}
    for name, (dataset, protocols) in jobs.items():
        judged = [get_protocol(protocol) for protocol in protocols]
        few = dataclasses.replace(judged[0], metrics=METRICS)
        plans = {"error": judged, "sparse": plan(protocol=few, **chosen)}
        models = open_models(names, name)
        title = f"Sparse pixels: {' and '.join(m.card.name for m in models)} on {name}"
        sources[name] = measure(models, plans, dataset, out / name, n_boot=n_boot, title=title)
    return sources


def sparse_of(source: Source, options: estimates.Options) -> estimates.Sparse:
    """The estimates of the one sparse plan that a study's folder holds.

    Raises:
        ValueError: if the folder holds several, or none with a curve.
    """
    plans = source.probe("sparse")["plan"].unique()
    found = estimates.sparse(source, plans[0], options) if len(plans) == 1 else None
    if found is None:
        raise ValueError(f"Expected one sparse plan with several budgets in {source.out}, but got {list(plans)}.")
    return found


def verdict(sources: dict[str, Source], found: dict[str, estimates.Sparse]) -> list[str]:
    """The answer in sentences, each with its interval, and what it cannot show."""
    said = []
    for name, source in sources.items():
        short, models = source.short, estimates.networks(source)
        parts = [
            findings.few_pixels(found[name], models, short),
            findings.which_pixels(found[name], models, short),
            *findings.who_needs_more(found[name], short),
            findings.where_they_lie(found[name]),
        ]
        said += [f"{name} | {f.lead} {f.text}" for f in parts if f is not None]
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def draw(sources: dict[str, Source], found: dict[str, estimates.Sparse], folder: Path) -> list[Path]:
    """All figures of the study: PDF, PNG and the CSV of what is drawn."""
    paths = []
    for name, source in sources.items():
        figure, frame = curves(source, found[name], name)
        paths += plots.save_figure(figure, folder / f"a01_curves_{name}", frame)
    for stem, (figure, frame) in {"a01_compare": compared(sources, found), "a01_where": places(sources, found),
                                  "a01_gallery": gallery(sources, found)}.items():  # fmt: skip
        paths += plots.save_figure(figure, folder / stem, frame)
    return paths


def curves(source: Source, found: estimates.Sparse, name: str) -> tuple[Figure, pd.DataFrame]:
    """Error against budget, a panel per selector, under the first fill."""
    fill = found.fills[0]
    points = found.curves.points[found.curves.points["factor2"] == fill]
    names = {s: text.selector_name(s) for s in found.selectors}
    figure = plots.draw_curve_panels(
        points, order=found.selectors, names={**names, **source.short}, axes=source.side["axes"]
    )
    caption = f"{name}, fill {fill} · {plots.caption_line(points, source.side)}"
    return plots.describe_figure(figure, title=_needed(found), caption=caption), points


def _needed(found: estimates.Sparse) -> str:
    """Who needs how many times the random pixels under each fill, and whether the fills agree on it."""
    control = found.selectors[0]
    rows = found.ratios[(found.ratios["factor"] == control) & (found.ratios["quantity"] == "ratio50")]
    rows = rows.set_index("factor2").loc[found.fills]
    each = [f"{plots.ratio_title(row, what=f'{control} pixels')} (fill {fill})" for fill, row in rows.iterrows()]
    agree = (rows["low"] > 1).nunique() == (rows["high"] < 1).nunique() == 1
    within = [one.replace("Undecided", "undecided", 1) for one in each]
    return "; ".join([each[0], *within[1:]]) if agree else f"Not alike under every fill: {'; '.join(within)}"


def compared(sources: dict[str, Source], found: dict[str, estimates.Sparse]) -> tuple[Figure, pd.DataFrame]:
    """Paired differences of the areas against truth and against the own answer, per selector, fill and data set."""
    parts = [
        _ordered(areas, f.selectors).assign(dataset=name, against=against, panel=f"{against}, {name}")
        for name, f in found.items()
        for against, areas in (("error against the truth", f.areas), ("change against the own answer", f.own_areas))
    ]
    frame = pd.concat(parts, ignore_index=True)
    names = {s: findings.named(f, s) for f in found.values() for s in f.selectors}
    short = next(iter(sources.values())).short
    a, b = (str(frame[side].iloc[0]) for side in ("a", "b"))
    rows = frame.groupby(["factor", "factor2"]).ngroups

    def panel(part: pd.DataFrame, ax: Any, last: bool) -> None:
        label = f"difference of areas: {short[b]} − {short[a]} (left: {short[b]} has or loses less)"
        plots.draw_forest(part, ax, rows=["factor", "factor2"], names=names, numbers=False, label=label)

    order = list(dict.fromkeys(frame["panel"]))
    figure = plots.small_multiples(frame, panel, panel="panel", order=order, columns=2, height=0.9 + 0.17 * rows)
    _show_all(figure, frame, 0.0)
    side = {"protocols": [p for source in sources.values() for p in source.side["protocols"]]}
    caption = (
        f"areas under the curves of {' and '.join(sorted({f.metric for f in found.values()}))} and its change @self, "
        f"{short[b]} minus {short[a]}; hollow = undecided · {plots.caption_line(frame, side)}"
    )
    return plots.describe_figure(figure, title=_both_verdicts(found, a, b, short), caption=caption), frame


def _both_verdicts(found: dict[str, estimates.Sparse], a: str, b: str, short: dict[str, str]) -> str:
    """Who has the smaller error and who loses less, counted over selectors and data sets where every fill agrees."""
    error, loss = (
        [v for f in found.values() for v in findings.verdicts(getattr(f, areas), a, b).values()]
        for areas in ("areas", "own_areas")
    )
    cells = f"{len(error)} {'selectors' if len(found) == 1 else 'selectors × data sets'}"
    return (
        f"{short[b]} has the smaller error than {short[a]} in {error.count('better')} of {cells}, the larger in "
        f"{error.count('worse')} ({error.count('undecided')} undecided); against its own full-image answer it loses "
        f"less in {loss.count('better')}, more in {loss.count('worse')} ({loss.count('undecided')} undecided); every "
        "fill agreeing"
    )


def places(sources: dict[str, Source], found: dict[str, estimates.Sparse]) -> tuple[Figure, pd.DataFrame]:
    """How much more often than random pixels the kept ones lie on each kind of place, at the budget nearest 0.1."""
    name, one = next(iter(found.items()))
    at = estimates.nearest_budget(one.budgets)
    frame = one.where[(one.where["kind"] == "enrichment") & (one.where["level"] == at)].dropna(subset=["estimate"])
    frame = _ordered(frame.drop_duplicates(["factor", "on"]), one.selectors).reset_index(drop=True)
    names = {**{s: findings.named(one, s) for s in one.selectors}, **{o: text.place_name(o) for o in frame["on"]}}

    def panel(part: pd.DataFrame, ax: Any, last: bool) -> None:
        plots.draw_forest(part, ax, rows=["factor"], names=names, zero=1.0, numbers=False, label="enrichment")

    rows = frame["factor"].nunique()
    figure = plots.small_multiples(frame, panel, panel="on", names=names, height=0.7 + 0.17 * rows, share_y=True)
    _show_all(figure, frame, 1.0)
    title = _most_enriched(frame[~frame["factor"].map(one.saw_truth).astype(bool)], names)
    line = plots.caption_line(frame, sources[name].side)
    caption = f"{name}, {text.percent(at)} of the pixels; 1 = as often as random · {line}"
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _most_enriched(frame: pd.DataFrame, names: dict[str, str]) -> str:
    """The sentence on the largest enrichment among selectors that were not given the truth."""
    enriched = frame[(frame["low"] > 1) & (frame["factor"].str.partition(".")[0] != "random")]
    if enriched.empty:
        return "No selector that saw the image alone is enriched anywhere"
    top = enriched.loc[enriched["low"].idxmax()]
    often, place = findings.times(top["estimate"], top["low"], top["high"]), names[top["on"]]
    return (
        f"Of the selectors that saw the image alone, {names[top['factor']]} is the most enriched: its pixels lie on "
        f"{place} {often} as often as random ones"
    )


def _ordered(frame: pd.DataFrame, selectors: Sequence[str]) -> pd.DataFrame:
    """Rows in the order of the selectors: the control first, each beside its reverse."""
    return frame.sort_values("factor", key=lambda names: names.map(list(selectors).index), kind="stable")


def _show_all(figure: Figure, frame: pd.DataFrame, null: float) -> None:
    """Give all panels an x axis that holds every interval of the figure and the value of no difference."""
    ends = [*frame["low"].dropna(), *frame["high"].dropna(), *frame["estimate"], null]
    pad = 0.06 * (max(ends) - min(ends)) or 0.1
    for ax in figure.axes:
        ax.set_xlim(min(ends) - pad, max(ends) + pad)


def gallery(sources: dict[str, Source], found: dict[str, estimates.Sparse]) -> tuple[Figure, pd.DataFrame]:
    """Best, median and worst stored sample and the largest disagreement, random pixels at the budget nearest 0.1."""
    name, source = next(iter(sources.items()))
    one = found[name]
    maps = [m for m in source.maps if m.probe == "sparse" and m.factor == one.selectors[0]]
    at = estimates.nearest_budget(sorted({m.level for m in maps}))
    maps = [m for m in maps if m.level == at and m.factor2 == one.fills[0]]
    picked = pictures.chosen(maps, one.metric, one.better)
    shown = [m for _, sample in picked for m in maps if m.sample == sample]
    meta: list[dict[str, Any]] = [
            {"sample": m.sample, "model": m.model, "factor": m.factor, "level": m.level, "factor2": m.factor2,
             "metrics": m.metrics} for m in shown]  # fmt: skip
    figure = plots.draw_gallery(
        [{**m.arrays, "meta": row} for m, row in zip(shown, meta, strict=True)], metric=one.metric
    )
    rule = "; ".join(f"{sample}: {why}" for why, sample in picked)
    title = (
        f"What {text.percent(at)} of the pixels still give: {one.metric} {_span(shown, one.metric)} on these samples"
    )
    caption = f"{name}, {one.selectors[0]} pixels, fill {one.fills[0]}. Rows by {one.metric}, mean of networks: {rule}."
    frame = pd.DataFrame([{**row, **row.pop("metrics")} for row in meta])
    return plots.describe_figure(figure, title=title, caption=caption), frame


def _span(maps: Sequence[Any], metric: str) -> str:
    values = [m.metrics[metric] for m in maps]
    return f"{text.number(min(values))} to {text.number(max(values))}"


if __name__ == "__main__":
    main(**vars(comparison(__doc__, "a01", n=150, n_nyu=80).parse_args()))
