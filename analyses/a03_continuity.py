"""Do Transformers break the continuity of depth gradients more than CNNs do, and where?

Question: networks of two families that differ in the encoder alone (same decoder, scenes, steps, schedule, input and
output size). Whose depth follows smooth surfaces worse: in first order (`grad_mae_smooth`), in second
(`curvature_mae`), and by tearing them apart (`break_rate`)?

Context: claim C3 ("Transformers preserve depth-gradient continuity worse than CNNs") of Yao, Wu and Zhang (arXiv
2308.08333). If it holds here, all three are larger for the Transformers than for the CNNs, and a token or window grid
shows in the errors of Transformers alone.

Endpoints, chosen before looking: the three named, on exact scenes, Holm-corrected together; of them those of first
order again, as a replication with a correction of its own, on NYU Depth v2 at the 96x128 pixels that the networks read
(enlarged to 480x640, no network would tear or bridge anything). Its truth is too coarse for second differences: it is
rounded to steps that grow to centimetres with distance. How much noise of that step scores as a prediction is measured
and drawn beside the networks. C3 is supported where all endpoints say so. A change within 5 % of the CNNs' mean counts
as none. Every other metric drawn is description.

The unit of C3 is the architecture: the interval holds for another architecture of each family on other scenes. What
two networks at hand do is judged pair by pair, over scenes alone. Who is the more accurate is said beside it, since a
network that is better overall is often the smoother one as well.

Command: python -m analyses.a03_continuity --root PATH/TO/nyuv2   (without --root: scenes only; --quick: seconds)
Cost: three forward passes per image and network and about 40 ms of judging; the defaults take about 10 minutes on two
cores. A run that was stopped goes on where it was.
Expected result: none is promised. With two architectures in a family only large differences can be seen, and the
difference that would have been found stands beside every "undecided".

What this cannot show: small networks, trained from scratch on synthetic scenes; a shared convolutional decoder smooths
whatever the encoder hands on, as the decoder of the paper's networks does not.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analyses import continuity_figures as figure
from analyses import continuity_grids as grids
from analyses.command import comparison, conclude, folders
from analyses.common import MODELS, change, claimed, crossed, datasets, judged, matched, measure
from analyses.structure import protocol_of
from depthprobe import stats
from depthprobe.data import Dataset
from depthprobe.models import DepthModel
from depthprobe.plots.theme import display_name
from depthprobe.probes import PROBES
from depthprobe.report.source import Source

ENDPOINTS = {"scenes": ("grad_mae_smooth", "curvature_mae", "break_rate"), "nyu": ("grad_mae_smooth", "break_rate")}
NYU_METRICS = (
    "grad_mae", "grad_mae_edge", "grad_mae_smooth", "grad_cos", "grad_w1", "break_rate", "bridge_rate", "depthpro_f1",
    "depthpro_recall", "moge_f1_r1", "moge_f1_r3", "dbe_acc", "dbe_com",
)  # fmt: skip
ROPE = 0.05
WORDS = {
    "worse": "the Transformers are worse", "better": "the Transformers are better",
    "equivalent": "no noticeable difference", "undecided": "undecided",
}  # fmt: skip
CAUTIONS = (
    "With two architectures on each side, the interval of a family leans on both scattering alike.",
    "Small networks, trained from scratch on synthetic scenes, with one convolutional decoder for all.",
    "Where the difference that would have been found is large, undecided does not mean equal.",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What is estimated on one data set. `family`, `pairs`: differences transformer - cnn, also `relative`, in %."""

    family: pd.DataFrame
    pairs: pd.DataFrame
    bands: pd.DataFrame
    accuracy: pd.DataFrame
    spectra: pd.DataFrame
    grids: pd.DataFrame
    floor: pd.DataFrame


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = (),
    n: int = 400,
    n_nyu: int | None = None,
) -> dict[str, Any]:
    """Measure, estimate, draw and judge.

    Args:
        quick: a few samples and few resamples; by default into a temporary folder.
        root: folder of NYU Depth v2; without one, the scenes alone.
        out: folder of the runs (default out/a03).
        figures: folder of the figures (default figures/; beside the runs when quick).
        models: names for `load_model`, at least one CNN and one Transformer, for all data sets (default: on each the
            networks of the zoo that were trained for it).
        n, n_nyu: samples of the scenes and of NYU (8 and 2 when quick).

    Returns:
        sources (what was measured, by data set), found (estimates, by data set), verdict (sentences), figures (paths).

    Raises:
        ValueError: if a family is missing, or the networks do not see and give the same number of pixels.
    """
    out, figures = folders("a03", out, figures, quick=quick)
    n_boot = 500 if quick else 10_000
    data = datasets(root, (8, 2) if quick else (n, n_nyu))
    loaded = {name: matched(models or MODELS[name]) for name in data}
    sources = {name: _measured(name, dataset, loaded[name], out / name, n_boot) for name, dataset in data.items()}
    found = {name: estimate(source, ENDPOINTS[name], n_boot=n_boot) for name, source in sources.items()}
    sentences = verdict(found)
    paths = figure.draw(sources, found, data, loaded, figures)
    conclude(sentences, paths)
    return {"sources": sources, "found": found, "verdict": sentences, "figures": paths}


def plans(name: str) -> dict[str, Any]:
    """The plans of a data set: on photographs only what its truth can carry, and what its rounding does."""
    protocol = protocol_of(name)
    only = {} if name == "scenes" else {"metrics": NYU_METRICS, "depth_bands": (), "edge_bands": (), "dither": True}
    return {
        "error": protocol,
        "continuity": PROBES.facts("continuity")["plan"](protocol=protocol, **only),
        "spectrum": PROBES.facts("spectrum")["plan"](protocol=protocol),
    }


def _measured(name: str, dataset: Dataset, models: Sequence[DepthModel], out: Path, n_boot: int) -> Source:
    title = f"Continuity: {', '.join(m.card.name for m in models)} on {name}"
    return measure(models, plans(name), dataset, out, n_boot=n_boot, title=title)


def estimate(source: Source, endpoints: Sequence[str], *, n_boot: int) -> Found:
    """All estimates of a data set; verdicts are Holm-corrected over the endpoints (and pairs), others stand alone."""
    rows, spectrum = source.probe("continuity"), source.probe("spectrum")
    networks = rows["family"].isin(["cnn", "transformer"])
    own = rows[networks & ~rows["metric"].str.contains("@") & (rows["metric"] != "depth_step")]
    whole, banded = own[own["factor"] == ""], own[own["factor"] != ""]
    by_family = whole[whole["family"] == "cnn"].groupby("metric")["value"].mean().abs()
    rope = {metric: ROPE * value for metric, value in by_family.items() if value > 0}  # without: no equivalence
    options: dict[str, Any] = {"n_boot": n_boot}
    sides = source.models.groupby("family")["model"].apply(list)
    pairs = [(a, b) for a in sides["cnn"] for b in sides["transformer"]]
    radial = spectrum[(spectrum["factor"] == "radial") & (spectrum["metric"] == "log_power@residual")]
    floor = rows[rows["metric"].str.endswith("@dither") & (rows["model"] == sides["cnn"][0])]
    return Found(
        family=judged(stats.family_contrast(whole, ["metric"], a="cnn", b="transformer", rope=rope), endpoints),
        pairs=judged(crossed(whole, pairs, ["metric"], {**options, "rope": rope}), endpoints),
        bands=crossed(banded, pairs, ["metric", "factor", "level"], options) if len(banded) else banded,
        accuracy=crossed(source.probe("error"), pairs, ["metric"], options),
        spectra=crossed(radial, pairs, ["metric", "level"], options),
        grids=grids.estimate(spectrum, n_boot=n_boot),
        floor=stats.summarise(floor, ["metric"], **options) if len(floor) else floor,
    )


def verdict(found: dict[str, Found]) -> list[str]:
    """C3 in sentences, each with its interval; who is the more accurate; where; grids; what this cannot show."""
    said = []
    for name, one in found.items():
        ends = one.family.set_index("metric", drop=False).loc[list(ENDPOINTS[name])]
        said.append(_claim(name, ends))
        said += [_endpoint(name, row) for _, row in ends.iterrows()]
        said += [_counted(name, one.pairs, metric) for metric in ENDPOINTS[name]]
        said += [_accuracy(name, row) for _, row in one.accuracy[one.accuracy["metric"] == "abs_rel"].iterrows()]
        said += (
            [f"{name}, where | {figure.agreement(one.bands, 'grad_mae', 'edge_distance')}."] if len(one.bands) else []
        )
        said.append(f"{name}, grids | {grids.sentence(one.grids)}")
        said += [f"{name}, rounding | {figure.floor_sentence(one)}"] if len(one.floor) else []
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def _claim(name: str, ends: pd.DataFrame) -> str:
    """All endpoints together: the claim holds if every one of them says so."""
    k = int(ends[["units_a", "units_b"]].min(axis=None))
    word = claimed(ends["verdict"].tolist(), sure="worse")
    each = ", ".join(f"{metric} {row['verdict']}" for metric, row in ends.iterrows())
    alone = "; a family of one network decides nothing" if k < 2 else ""
    return f"C3, {name} | {word}: of the Transformers, {each}{alone}."


def _endpoint(name: str, row: pd.Series) -> str:
    a, b = int(row["units_a"]), int(row["units_b"])
    if min(a, b) < 2 or pd.isna(row["low"]):
        return f"C3, {name}, {row['metric']} | undecided: {change(row)} from CNN to Transformer, without interval."
    seen = f"{row['relative_detectable']:.0f} %" if row["mean_a"] else f"{row['detectable']:.2g} {row['unit']}"
    return (
        f"C3, {name}, {row['metric']} | {WORDS[row['verdict']]}: {change(row)} from {a} CNNs to {b} "
        f"Transformers; {seen} would have been found (n = {row['n']} images)."
    )


def _counted(name: str, pairs: pd.DataFrame, metric: str) -> str:
    part = pairs[pairs["metric"] == metric]
    each = "; ".join(
        f"{display_name(r['b'])} against {display_name(r['a'])} {change(r)}, {r['verdict']}" for _, r in part.iterrows()
    )
    worse, better = (int((part["verdict"] == word).sum()) for word in ("worse", "better"))
    return f"{name}, {metric} | the Transformer is worse in {worse} of {len(part)} pairs, better in {better}: {each}."


def _accuracy(name: str, row: pd.Series) -> str:
    a, b = display_name(row["a"]), display_name(row["b"])
    return f"{name}, accuracy | abs_rel {change(row)} from {a} to {b} ({row['verdict']})."


if __name__ == "__main__":
    main(**vars(comparison(__doc__, "a03", n=400, n_nyu=None).parse_args()))
