"""Do Transformers handle intricate texture better than CNNs do, and do they rest on it less?

Question: networks of two families that differ in the encoder alone (same decoder, scenes, steps, schedule, input and
output size). Two questions that are often taken for one: how good is the depth *where there is texture*, and how much
does the depth change *when texture does* and geometry does not?

Context: claim C2 ("Transformers handle intricate texture better") of Yao, Wu and Zhang (arXiv 2308.08333) is about the
first. Bae et al. (arXiv 2301.03169) find the second: depth CNNs rest on texture, Transformers on shape. Either can hold
without the other.

Endpoints, chosen before looking, Holm-corrected together within each data set. Quality: (1) the error on the quarter of
an image's smooth surfaces that has the most texture (`abs_rel@textured`); whoever is better everywhere is better there,
so also (2) how much of a network's own error is added per tenfold texture energy, within images, at the same true depth
and place in the image (`texture_growth@place_held`). C2 is supported where both say so. Reliance: (3) how far the depth
moves when all materials are exchanged and geometry stays bit-identical (`change@texture_swap`, exact, scenes alone); on
NYU Depth v2, where no texture can be exchanged, when the colours are (`change@palette_swap`). What counts as no
difference: of (1) and (3) 5 % of the CNNs' mean, of (2) 5 points per decade. Beside (3) stands a control that changes
the pixels as much (same size and spectrum, phases at random). It is no zero: it draws a pattern where there was none,
to which a reader of texture reacts too. Whether the movement does harm (the error against the truth rises) is said
beside it. All other edits and numbers are description.

The unit of a claim is the architecture: the interval holds for another architecture of each family on other scenes.
What two networks at hand do is judged pair by pair, over scenes alone.

Command: python -m analyses.a04_texture --root PATH/TO/nyuv2   (without --root: scenes only; --quick: seconds)
Cost: 18 forward passes per scene and network (8 edits, 5 of them rendered, each with its control; twice the image
itself) and 14 per photograph (6 edits); with rendering, controls and judging 0.27 s and 0.13 s. The defaults take about
10 minutes on one core. A run that was stopped goes on where it was.
Expected result: none is promised. With two architectures in a family only large differences can be seen, and the
difference that would have been found stands beside every "undecided".

What this cannot show: small networks, trained from scratch on synthetic scenes of which some lacked texture or had
others (3 of 10 with one cue changed), and with random colours; a network that never saw such images may rest on texture
more. A slope within images is no experiment: what else differs where texture does is held fixed only in so far as depth
and place tell it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analyses import texture_figures as figure
from analyses import texture_rows as rows_of
from analyses.command import comparison, conclude, folders
from analyses.common import MODELS, change, claimed, crossed, datasets, judged, matched, measure
from analyses.structure import protocol_of
from analyses.texture_rows import CONTROL, EDIT, GROWTH, TEXTURED
from depthprobe import stats
from depthprobe.data import Dataset
from depthprobe.functional.protocol import Protocol
from depthprobe.models import DepthModel
from depthprobe.plots.theme import display_name
from depthprobe.probes import PROBES
from depthprobe.report.source import Source

QUALITY = (TEXTURED, GROWTH)
RELIANCE = {"scenes": "change@texture_swap", "nyu": "change@palette_swap"}
EDITS: dict[str, dict[str, Any]] = {
    "scenes": {
        "rendered": (("texture_off", (1.0,)), ("texture_grey", (1.0,)), ("texture_swap", (1.0, 2.0)),
                     ("texture_permute", (1.0,))),
        "filtered": (("low_pass", (2.0,)), ("palette_swap", (1.0,)), ("patch_shuffle", (4.0,))),
    },
    "nyu": {
        "rendered": (),
        "filtered": (("low_pass", (2.0,)), ("high_pass", (4.0,)), ("phase_only", (1.0,)), ("palette_swap", (1.0,)),
                     ("colour_jitter", (1.0,)), ("patch_shuffle", (4.0,))),
    },
}  # fmt: skip
METRICS = ("abs_rel", "silog")
ROPE, GROWTH_ROPE = 0.05, 5.0
WORDS = {
    "quality": {"worse": "the Transformers are worse", "better": "the Transformers are better"},
    "reliance": {"worse": "the Transformers move more", "better": "the Transformers move less"},
}  # fmt: skip
NEUTRAL = {"equivalent": "no noticeable difference", "undecided": "undecided"}
CAUTIONS = (
    "With two architectures on each side, the interval of a family leans on both scattering alike.",
    "Small networks, trained from scratch on scenes some of which lacked texture or had other colours.",
    "The control changes as many pixels, and adds texture of its own: it is a yardstick, not a zero.",
    "Where the difference that would have been found is large, undecided does not mean equal.",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What is estimated on one data set, in per cent.

    Convention: `family`, `pairs`: differences transformer - cnn; `own`: of each network, edit - control; `bands`,
    `arms`, `means`: means of each network.
    """

    endpoints: tuple[str, ...]
    family: pd.DataFrame
    pairs: pd.DataFrame
    own: pd.DataFrame
    bands: pd.DataFrame
    arms: pd.DataFrame
    means: pd.DataFrame
    accuracy: pd.DataFrame


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = (),
    n: int = 300,
    n_nyu: int | None = 300,
) -> dict[str, Any]:
    """Measure, estimate, draw and judge.

    Args:
        quick: a few samples and few resamples; by default into a temporary folder.
        root: folder of NYU Depth v2; without one, the scenes alone.
        out: folder of the runs (default out/a04).
        figures: folder of the figures (default figures/; beside the runs when quick).
        models: names for `load_model`, at least one CNN and one Transformer, for all data sets (default: on each the
            networks of the zoo that were trained for it).
        n, n_nyu: samples of the scenes and of NYU (4 and 2 when quick).

    Returns:
        sources (what was measured, by data set), found (estimates, by data set), verdict (sentences), figures (paths).

    Raises:
        ValueError: if a family is missing, or the networks do not see and give the same number of pixels.
    """
    out, figures = folders("a04", out, figures, quick=quick)
    n_boot = 500 if quick else 10_000
    data = datasets(root, (4, 2) if quick else (n, n_nyu))
    loaded = {name: matched(models or MODELS[name]) for name in data}
    sources = {name: _measured(name, dataset, loaded[name], out / name, n_boot) for name, dataset in data.items()}
    found = {name: estimate(source, RELIANCE[name], n_boot=n_boot) for name, source in sources.items()}
    sentences = verdict(found)
    paths = figure.draw(sources, found, data, loaded, figures)
    conclude(sentences, paths)
    return {"sources": sources, "found": found, "verdict": sentences, "figures": paths}


def plans(name: str) -> dict[str, Any]:
    """The plans of a data set: exact edits where there are some, few metrics under each."""
    protocol = protocol_of(name)
    few: Protocol = dataclasses.replace(protocol, metrics=METRICS)
    texture = PROBES.facts("texture")["plan"](protocol=few, controls=(CONTROL,), **EDITS[name])
    return {"error": protocol, "texture": texture}


def _measured(name: str, dataset: Dataset, models: Sequence[DepthModel], out: Path, n_boot: int) -> Source:
    title = f"Texture: {', '.join(m.card.name for m in models)} on {name}"
    return measure(models, plans(name), dataset, out, n_boot=n_boot, title=title)


def estimate(source: Source, reliance: str, *, n_boot: int) -> Found:
    """All estimates of a data set; verdicts are Holm-corrected over the endpoints (and pairs), others stand alone."""
    rows = source.probe("texture")
    rows = rows[rows["family"].isin(["cnn", "transformer"])]
    own, arms = rows_of.quantities(rows, source.probe("error")), rows_of.arms(rows)
    ends = (*QUALITY, reliance)
    rope = _margins(own, reliance)
    sides = source.models.groupby("family")["model"].apply(list)
    pairs = [(a, b) for a in sides["cnn"] for b in sides["transformer"]]
    options: dict[str, Any] = {"n_boot": n_boot}
    by_network = ["model", "family", "metric"]
    moved = stats.compare(arms, ["model", "family", "factor"], between="factor2", a=CONTROL, b=EDIT, **options)
    return Found(
        endpoints=ends,
        family=judged(stats.family_contrast(own, ["metric"], a="cnn", b="transformer", rope=rope), ends),
        pairs=judged(crossed(own, pairs, ["metric"], {**options, "rope": rope}), ends),
        own=stats.adjust(moved, ["factor"]),
        bands=stats.summarise(rows_of.bands(rows), [*by_network, "level"], **options),
        arms=stats.summarise(arms, [*by_network, "factor", "factor2"], **options),
        means=stats.summarise(own, by_network, **options),
        accuracy=crossed(source.probe("error"), pairs, ["metric"], options),
    )


def _margins(own: pd.DataFrame, reliance: str) -> dict[str, float]:
    """What counts as no difference in each endpoint, in its unit."""
    mean = own[own["family"] == "cnn"].groupby("metric")["value"].mean()
    known = {metric: ROPE * mean[metric] for metric in (TEXTURED, reliance) if mean[metric] > 0}
    return {**known, GROWTH: GROWTH_ROPE}


def verdict(found: dict[str, Found]) -> list[str]:
    """C2 and the texture bias in sentences, each with its interval; pairs; controls; what this cannot show."""
    said = []
    for name, one in found.items():
        ends = one.family.set_index("metric", drop=False)
        reliance = RELIANCE[name]
        said.append(_claim(f"C2, {name}", ends.loc[list(QUALITY)]))
        said += [_endpoint(f"C2, {name}", ends.loc[metric], "quality") for metric in QUALITY]
        said.append(_claim(f"less reliance, {name}", ends.loc[[reliance]]))
        said.append(_endpoint(f"less reliance, {name}", ends.loc[reliance], "reliance"))
        said += [_counted(name, one.pairs, metric) for metric in (*QUALITY, reliance)]
        said.append(f"{name}, control | {controlled(one.own, reliance.partition('@')[2])}.")
        said.append(_harm(name, one, reliance.partition("@")[2]))
        said += [_accuracy(name, row) for _, row in one.accuracy[one.accuracy["metric"] == "abs_rel"].iterrows()]
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def _claim(lead: str, ends: pd.DataFrame) -> str:
    """All endpoints together: the claim holds if the Transformers are better in every one of them."""
    word = claimed(ends["verdict"].tolist(), sure="better")
    each = ", ".join(f"{metric} {row['verdict']}" for metric, row in ends.iterrows())
    alone = "; a family of one network decides nothing" if ends[["units_a", "units_b"]].min(axis=None) < 2 else ""
    return f"{lead} | {word}: of the Transformers, {each}{alone}."


def _endpoint(lead: str, row: pd.Series, role: str) -> str:
    a, b, unit = int(row["units_a"]), int(row["units_b"]), row["unit"]
    sides = f"from {a} CNN{'s' * (a > 1)} ({row['mean_a']:.1f}) to {b} Transformer{'s' * (b > 1)} ({row['mean_b']:.1f})"
    sides = sides.replace("-", "−")
    if min(a, b) < 2 or pd.isna(row["low"]):
        return f"{lead}, {row['metric']} | undecided, without interval: {figure.points(row)} {unit} {sides}."
    word = {**NEUTRAL, **WORDS[role]}[row["verdict"]]
    return (
        f"{lead}, {row['metric']} | {word}: {figure.points(row)} {unit} {sides}; {row['detectable']:.1f} would have "
        f"been found (n = {row['n']} images)."
    )


def _counted(name: str, pairs: pd.DataFrame, metric: str) -> str:
    part = pairs[pairs["metric"] == metric]
    each = "; ".join(
        f"{display_name(r['b'])} against {display_name(r['a'])} {figure.points(r)}, {r['verdict']}"
        for _, r in part.iterrows()
    )
    count = {word: int((part["verdict"] == word).sum()) for word in ("worse", "better")}
    return (
        f"{name}, {metric} | the Transformer has less in {count['better']} of {len(part)} pairs, more in "
        f"{count['worse']} ({part['unit'].iloc[0]}): {each}."
    )


def controlled(own: pd.DataFrame, edit: str) -> str:
    """What an edit does to each network beside what as large a change of pixels without meaning does."""
    part = own[own["factor"] == edit]
    words = {"worse": "more", "better": "less", "equivalent": "as much", "undecided": "undecided"}
    each = "; ".join(
        f"{display_name(r['model'])} {r['mean_b']:.1f} % against {r['mean_a']:.1f} % ({words[r['verdict']]})"
        for _, r in part.iterrows()
    )
    return f"depth moves under {edit} against as large a change of pixels without meaning: {each}"


def _harm(name: str, one: Found, edit: str) -> str:
    """By how much an edit makes each network worse, and whether that tells the families apart."""
    means = one.means[one.means["metric"] == f"rise@{edit}"]
    each = ", ".join(f"{display_name(r['model'])} {figure.points(r)}" for _, r in means.iterrows())
    row = one.family[one.family["metric"] == f"rise@{edit}"].iloc[0]
    return (
        f"{name}, harm | under {edit} the error against the truth rises by {each} % of depth; Transformers − CNNs: "
        f"{figure.points(row)} ({row['verdict']})."
    )


def _accuracy(name: str, row: pd.Series) -> str:
    a, b = display_name(row["a"]), display_name(row["b"])
    return f"{name}, accuracy | abs_rel {change(row)} from {a} to {b} ({row['verdict']})."


if __name__ == "__main__":
    main(**vars(comparison(__doc__, "a04", n=300, n_nyu=300).parse_args()))
