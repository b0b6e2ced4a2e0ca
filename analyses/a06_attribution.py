"""Which attributions of dense depth can be believed on CNNs and Transformers, and where do those say that they look?

Question: an attribution map says which pixels a network's depth rests on. Many do not depend on the network at all. Of
five methods (gradient, input x gradient, integrated gradients, SmoothGrad, occlusion), which can be believed? And by
those alone: do CNNs and Transformers look at different places?

Context: Adebayo et al. (2018) showed that some maps stay as they are when the weights are shuffled; Petsiuk et al.
(2018) and Rong et al. (2022) try a map by removing or showing the pixels in its order. Hu et al. (2019) find that CNNs
look at edges and at the vanishing point, Bae et al. (2023) that depth CNNs lean on texture and Transformers on shape.
If Bae et al. hold here, attribution lies less on texture edges and more on depth edges in Transformers than in CNNs.

Endpoints, chosen before looking. Believed, per network and method: of the mean depth's attribution, the area under the
change of the network's own answer (abs_rel) by deletion, insertion and ROAD beats random places and those nearest to
the centre, in all six comparisons, by more than 5 % of the controls' mean over networks, and its rank correlation with
the map of the same network with shuffled weights is below 0.5. Squares of 8x8 pixels are removed or shown as a whole,
by controls as well: single pixels in disorder are another disturbance than a hole, whatever they show. Where, by
believed methods alone: enrichment of the attribution (1 = as if it lay anywhere) on depth edges, on texture edges and
in smooth interiors, on scenes also where objects stand on the ground and along the horizon (the vanishing region), on
NYU, which knows neither, on the farthest third; all methods and regions Holm-corrected together; a difference of less
than 0.1 counts as none.

The unit is the architecture: the interval holds for another one of each family on other scenes. What two networks at
hand do is judged pair by pair, over scenes alone.

Command: python -m analyses.a06_attribution --root PATH/TO/nyuv2   (without --root: scenes only; --quick: seconds)
Cost: about 290 forward and 52 backward passes per image and network; the defaults (36 scenes, 18 photographs, 24 scenes
for the portraits) are made to fit into about 15 minutes on one core. A run that was stopped goes on where it was.
Expected result: none is promised. That no method can be believed everywhere is a likely answer, and then nothing is
said on where networks look by it.

What this cannot show: an attribution of the mean depth says nothing on single pixels; removing pixels leaves what the
networks were trained on, under every fill; where no single pixel matters, all orders are alike and nothing is believed.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analyses import attribution_figures as figure
from analyses import portrait
from analyses.attribution_estimates import CURVES, Found, estimate
from analyses.command import comparison, conclude, folders
from analyses.common import MODELS, claimed, datasets, matched, measure
from analyses.structure import protocol_of
from depthprobe.plots.theme import display_name
from depthprobe.plots.words import number, with_interval
from depthprobe.probes import PROBES
from depthprobe.report.text import listed, place_name

PLAN = {
    "methods": ("saliency", "input_x_gradient", "integrated_gradients", "smoothgrad", "occlusion"),
    "targets": ("mean",), "shares": (0.02, 0.05, 0.15, 0.4), "square": 8, "checks": ("completeness_gap", "infidelity"),
    "randomise": (1.0,), "steps": 16, "samples": 8, "window": 24, "stride": 12, "perturbations": 2,
}  # fmt: skip
QUICK = {**PLAN, "methods": ("saliency", "input_x_gradient"), "shares": (0.05, 0.4), "perturbations": 1}
PLACES = {
    "scenes": ("depth_edge", "texture_edge", "flat", "ground_contact", "horizon"),
    "nyu": ("depth_edge", "texture_edge", "flat", "far"),
}  # fmt: skip
CLAIMS = {"texture_edge": "lower", "depth_edge": "higher"}  # of the Transformers, if Bae et al. hold here
WORDS = {"higher": "more", "lower": "less", "equivalent": "as much", "undecided": "undecided"}
CAUTIONS = (
    "With two architectures on each side, the interval of a family leans on both scattering alike.",
    "Small networks, trained from scratch on synthetic scenes, with one convolutional decoder for all.",
    "Removed pixels leave what the networks were trained on; only what holds under all three curves counts.",
    "What is nearest to the centre is one hole, harder to repair than scattered ones: a hard control for ROAD.",
    "Attribution is that of the mean depth: what decides the depth at one place may lie elsewhere.",
)


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = (),
    n: int = 36,
    n_nyu: int = 18,
    n_portrait: int = 24,
) -> dict[str, Any]:
    """Measure, estimate, draw and judge; then the portrait of every network.

    Args:
        quick: a few samples, two methods and few resamples; by default into a temporary folder.
        root: folder of NYU Depth v2; without one, the scenes alone.
        out: folder of the runs (default out/a06).
        figures: folder of the figures (default figures/; beside the runs when quick).
        models: names for `load_model`, at least one CNN and one Transformer, for all data sets (default: on each the
            networks of the zoo that were trained for it).
        n, n_nyu, n_portrait: samples of the scenes, of NYU and of the portraits (4, 2 and 4 when quick).

    Returns:
        sources (what was measured, by data set), found (estimates, by data set), portraits (their sources and
        sentences), verdict (sentences), figures (paths).

    Raises:
        ValueError: if a family is missing, or the networks do not see and give the same number of pixels.
    """
    out, figures = folders("a06", out, figures, quick=quick)
    n_boot = 500 if quick else 10_000
    sources, found = {}, {}
    for name, dataset in datasets(root, (4, 2) if quick else (n, n_nyu)).items():
        loaded = matched(models or MODELS[name])
        plan = PROBES.facts("attribution")["plan"](protocol=protocol_of(name), **(QUICK if quick else PLAN))
        title = f"Attribution: {', '.join(m.card.name for m in loaded)} on {name}"
        sources[name] = measure(loaded, {"attribution": plan}, dataset, out / name, n_boot=n_boot, title=title)
        found[name] = estimate(sources[name].probe("attribution"), PLACES[name], n_boot=n_boot)
    paths = figure.draw(sources, found, figures)
    seen = portrait.main(quick, out / "portraits", figures=figures, models=models, n=n_portrait)
    sentences = [*verdict(found), *(f"portrait | {said}" for said in seen["said"].values())]
    paths += seen["figures"]
    conclude(sentences, paths)
    return {"sources": sources, "found": found, "portraits": seen, "verdict": sentences, "figures": paths}


def verdict(found: dict[str, Found]) -> list[str]:
    """What can be believed, where networks look by it, whether Bae et al. hold, and what this cannot show."""
    said = []
    for name, one in found.items():
        said += [_believed(name, part) for _, part in one.trust.groupby("factor", sort=True)]
        said.append(_everywhere(name, one))
        if one.family.empty:
            said.append(f"families, {name} | undecided: no method can be believed on a CNN and a Transformer alike.")
            said += [f"description, {name} | not believed, {_counted(one.described, place)}" for place in PLACES[name]]
            continue
        said += [_claim(name, one, place) for place in CLAIMS]
        said += [_family(name, one, place) for place in PLACES[name]]
        said += [f"pairs, {name} | believed, {_counted(one.pairs, place)}" for place in PLACES[name]]
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def _believed(name: str, part: pd.DataFrame) -> str:
    """One method: on which networks it can be believed, its weakest gain over a control, its likeness."""
    method, count = part["factor"].iloc[0], int((part["word"] == "supported").sum())
    each = "; ".join(
        f"{word} on {listed(map(display_name, some['model']))}" for word, some in part.groupby("word", sort=True)
    )
    alone = int((part["beaten_random"] == len(CURVES)).sum())
    weak = part.loc[part["weakest_gain_low"].fillna(-float("inf")).idxmin()]
    low, high = (number(part["likeness_estimate"].agg(end)) for end in ("min", "max"))
    return (
        f"believed, {name}, {method} | on {count} of {len(part)} networks: {each}. Its weakest gain: "
        f"{figure.gain(weak, 'weakest_gain')} of {weak['weakest_against']} ({weak['weakest_metric']}, "
        f"{display_name(weak['model'])}); against random places alone it gains on all curves on {alone}; likeness "
        f"to the map of shuffled weights {low} to {high}."
    )


def _everywhere(name: str, one: Found) -> str:
    """Regions in which every believed attribution of every network is enriched, or depleted."""
    cells = figure.trusted_places(one)
    if cells.empty:
        return f"look, {name}, all networks | undecided: no method can be believed on any network."
    more = [p for p, part in cells.groupby("metric", sort=True) if (part["low"] > 1).all()]
    less = [p for p, part in cells.groupby("metric", sort=True) if (part["high"] < 1).all()]
    count = len(cells[["model", "factor"]].drop_duplicates())
    return (
        f"look, {name}, all networks | in each of {count} believed maps (network × method) attribution lies more often "
        f"than chance on {listed(map(place_name, more))}, less often on {listed(map(place_name, less))}."
    )


def _claim(name: str, one: Found, place: str) -> str:
    """Bae et al. for one region: supported where every believed method says so of the families."""
    rows = one.family[one.family["metric"] == place]
    wanted = CLAIMS[place]
    head = f"claim, {name}, Transformers look {WORDS[wanted]} at {place_name(place)}"
    sides = {"higher": "worse", "lower": "better"}
    word = claimed([sides.get(v, v) for v in rows["verdict"]], sure=sides[wanted]).replace("endpoints", "methods")
    each = ", ".join(f"{row['factor']} {WORDS[row['verdict']]}" for _, row in rows.iterrows())
    return f"{head} | {word}: {each}."


def _family(name: str, one: Found, place: str) -> str:
    """The difference of the families in one region, by each believed method, with its interval."""
    rows = one.family[one.family["metric"] == place]
    each = "; ".join(
        f"by {r['factor']} {WORDS[r['verdict']]}, {r['mean_a']:.2f} → {r['mean_b']:.2f} times chance, "
        + (f"{with_interval(r, sign=True)}, {r['detectable']:.2g} would have been found"
           if r["low"] == r["low"] else "without interval")
        for _, r in rows.iterrows()
    )  # fmt: skip
    head = f"families, {name}, {place_name(place)}"
    return f"{head} | from {rows['units_a'].max()} CNNs to {rows['units_b'].max()} Transformers at most: {each}."


def _counted(pairs: pd.DataFrame, place: str) -> str:
    """How many pairs of a CNN and a Transformer, by each method, differ in one region."""
    part = pairs[pairs["metric"] == place]
    counts = {word: int((part["verdict"] == word).sum()) for word in WORDS}
    return (
        f"{place_name(place)}: of {len(part)} pairs × methods the Transformer looks there more in {counts['higher']}, "
        f"less in {counts['lower']}, as much in {counts['equivalent']}, undecided in {counts['undecided']}."
    )


if __name__ == "__main__":
    parser = comparison(__doc__, "a06", n=36, n_nyu=18)
    parser.add_argument("--n-portrait", type=int, default=24, help="scenes of the portraits (default %(default)s)")
    main(**vars(parser.parse_args()))
