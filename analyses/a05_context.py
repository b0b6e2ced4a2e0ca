"""Do Transformers use more of the image around a pixel than CNNs do, and do they gain more from it?

Question: networks of two families that differ in the encoder alone (same decoder, scenes, steps, schedule, input and
output size). How far do the pixels lie that move the depth at a pixel, and how much better is that depth for seeing the
whole image instead of a window around it? To look far and to gain from it are two things; both are said.

Context: claim C1 ("Transformers handle global context better than CNNs") of Yao, Wu and Zhang (arXiv 2308.08333).

Endpoints, chosen before looking, each a ratio of the Transformers' to the CNNs':
- `reach`: the radius (of a square window) that holds 90 % of a pixel's effective receptive field. They use more.
- `gain_mean`, `gain_blur`: the error with only a window of radius 16 visible over that with the whole image at the same
  pixels; the rest is the mean colour, or blurred, since no conclusion may rest on one fill. They gain more.
- `far_near`: the error of the farthest third of an image's pixels over that of the nearest, where the image around
  tells more than the pixels themselves. They do better where context is what there is: C1 says lower.
The four are Holm-corrected together on every data set (scenes; NYU Depth v2 at the 96x128 pixels that the networks
read, a replication with a correction of its own). C1 is supported where all say so. A ratio between 1/1.05 and 1.05
counts as none. Curves, attention, likeness of layers and cues are description.

The unit of C1 is the architecture: the interval holds for another architecture of each family on other scenes. What
two networks at hand do is judged pair by pair, over scenes alone. Who errs less on the whole image has the larger gain
for it, so both errors that make up a gain stand beside it.

Command: python -m analyses.a05_context --root PATH/TO/nyuv2   (without --root: scenes only; --quick: seconds)
Cost, per image and network: 61 forward passes of windows (0.3 to 0.5 s on one core with their fills), one forward and
three backward (40 ms), one with attention read (10 ms); of 32 images the layers and the receptive field of the middle
pixel (50 ms), of 48 scenes 20 renderings and passes for the cues (0.5 s). The defaults (150 scenes, 150 photographs,
four networks) take about 14 minutes on one core. A run that was stopped goes on where it was.
Expected result: none is promised. With two architectures in a family only large differences can be seen, and the
difference that would have been found stands beside every "undecided".

What this cannot show: small networks of 96x128 pixels, trained from scratch; all have one convolutional decoder, which
widens every receptive field alike; on so small a canvas a field in which every pixel counts alike has 90 % within 87
px, so that reach cannot grow much (figures show that field in grey); an image of which only a window is left is unlike
anything they were trained on, so what is lost without context is a gain from it or a dependence on it.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analyses import context_fields, context_inside
from analyses import context_figures as figure
from analyses.command import comparison, conclude, folders
from analyses.common import MODELS, crossed, datasets, judged, matched, measure
from analyses.context_rows import ERROR, FILLS, SHARE, WINDOW, across_families, likeness, quantities, relative_errors
from analyses.context_verdict import ENDPOINTS, verdict
from analyses.structure import protocol_of
from depthprobe import stats
from depthprobe.data import load_dataset
from depthprobe.models import DepthModel
from depthprobe.probes import PROBES
from depthprobe.report.source import Source, read_source
from depthprobe.run import run

ROPE = float(np.log(1.05))
RADII = (4, 8, WINDOW, 32, 64)
LAYERED, CUED = 32, 48  # images whose layers are compared, scenes whose cues are varied
CUES = (
    ("vertical_position", (0.0, 0.1, 0.2, 0.3)), ("apparent_size", (1.0, 0.7, 0.85, 1.2)),
    ("pitch", (0.0, -6.0, -3.0, 3.0, 6.0)), ("roll", (0.0, -10.0, -5.0, 5.0, 10.0)), ("perspective", (0.0, 1.0)),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What is estimated on one data set. `family`, `pairs`: differences transformer - cnn in ln; `points`: in ×."""

    family: pd.DataFrame
    pairs: pd.DataFrame
    points: pd.DataFrame
    field: pd.DataFrame
    middle: pd.DataFrame
    attention: pd.DataFrame
    layers: pd.DataFrame
    alike: pd.DataFrame
    cues: pd.DataFrame
    accuracy: pd.DataFrame


def main(
    quick: bool = False,
    root: str | Path | None = None,
    out: str | Path | None = None,
    *,
    figures: str | Path | None = None,
    models: Sequence[str] = (),
    n: int = 150,
    n_nyu: int = 150,
) -> dict[str, Any]:
    """Measure, estimate, draw and judge.

    Args:
        quick: a few samples, windows and resamples; by default into a temporary folder.
        root: folder of NYU Depth v2; without one, the scenes alone.
        out: folder of the runs (default out/a05).
        figures: folder of the figures (default figures/; beside the runs when quick).
        models: names for `load_model`, at least one CNN and one Transformer, for all data sets (default: on each the
            networks of the zoo that were trained for it).
        n, n_nyu: samples of the scenes and of NYU (4 each when quick).

    Returns:
        sources (what was measured, by data set), found (estimates, by data set), verdict (sentences), figures (paths).

    Raises:
        ValueError: if a family is missing, or the networks do not read one size.
    """
    out, figures = folders("a05", out, figures, quick=quick)
    n_boot = 500 if quick else 10_000
    sources, found = {}, {}
    for name, dataset in datasets(root, (4, 4) if quick else (n, n_nyu)).items():
        loaded = matched(models or MODELS[name])
        title = f"Context: {', '.join(m.card.name for m in loaded)} on {name}"
        sources[name] = measure(loaded, plans(name, quick), dataset, out / name, n_boot=n_boot, title=title)
        few = datasets(root, (2, 2) if quick else (LAYERED, LAYERED))[name]
        layers = likeness(loaded, few, out / f"{name}_layers")
        middle = context_fields.fields(loaded, few, n_boot=n_boot)
        found[name] = estimate(sources[name], middle, layers, cue_rows(loaded, name, out, quick), n_boot=n_boot)
    sentences = verdict(found)
    paths = figure.draw(sources, found, figures)
    conclude(sentences, paths)
    return {"sources": sources, "found": found, "verdict": sentences, "figures": paths}


def plans(name: str, quick: bool) -> dict[str, Any]:
    """The plans of a data set; three query pixels per image, the same for windows and receptive fields."""
    protocol, radii = protocol_of(name), (4, WINDOW) if quick else RADII
    return {
        "error": protocol,
        "context": PROBES.facts("context")["plan"](
            protocol=protocol, queries=3, radii=radii, fills=FILLS, metrics=(ERROR,)
        ),
        "receptive_field": PROBES.facts("receptive_field")["plan"](
            protocol=protocol, queries=3, shares=(0.5, SHARE), radii=radii
        ),
        "attention": PROBES.facts("attention")["plan"](),
    }


def cue_rows(models: Sequence[DepthModel], name: str, out: Path, quick: bool) -> pd.DataFrame:
    """Rows of the networks' response to cues of the layout and of size; only scenes can be varied."""
    if name != "scenes":
        return pd.DataFrame()
    facts = PROBES.facts("cues")
    plan = facts["plan"](cues=facts["quick"]["cues"] if quick else CUES)
    run(list(models), {"cues": plan}, load_dataset("scenes", kind="mixed", n=2 if quick else CUED), out=out / "cues")
    return read_source(out / "cues").probe("cues")


def estimate(source: Source, middle: pd.DataFrame, layers: pd.DataFrame, cues: pd.DataFrame, *, n_boot: int) -> Found:
    """All estimates of a data set; verdicts are Holm-corrected over the endpoints (and pairs), others stand alone."""
    rows, options = quantities(source), {"n_boot": n_boot}
    rows = rows[rows["family"].isin(["cnn", "transformer"])]
    sides = source.models.groupby("family")["model"].apply(list)
    pairs = [(a, b) for a in sides["cnn"] for b in sides["transformer"]]
    error = source.probe("error").query("metric == 'abs_rel'")
    by = ["model", "family", "factor", "factor2", "metric"]
    field, attention = source.probe("receptive_field"), source.probe("attention")
    both = across_families(layers)
    slopes = cues[cues["metric"].str.contains("_slope")] if len(cues) else cues
    return Found(
        family=judged(stats.family_contrast(rows, ["metric"], a="cnn", b="transformer", rope=ROPE), list(ENDPOINTS)),
        pairs=judged(crossed(rows, pairs, ["metric"], {**options, "rope": ROPE}), list(ENDPOINTS)),
        points=_times(stats.curve(relative_errors(source.probe("context")), by, n_boot=n_boot).points),
        field=stats.summarise(
            field[field["metric"].isin(["erf_radius", "erf_beyond"])], ["metric", "model", "family", "level"], **options
        ),
        middle=middle,
        attention=_attention(attention[attention["layer"] != ""], n_boot),
        layers=stats.summarise(layers, context_inside.LAYERS, **options),
        alike=stats.summarise(both, ["metric"], **options) if len(both) else both,
        cues=stats.summarise(slopes, ["factor", "metric", "model", "family"], **options) if len(slopes) else slopes,
        accuracy=crossed(error, pairs, ["metric"], options),
    )


def _times(points: pd.DataFrame) -> pd.DataFrame:
    """Points in ln as factors."""
    ends = ["estimate", "low", "high", "band_low", "band_high"]
    return points.assign(**{c: np.exp(points[c]) for c in ends}, unit="×", better="none")


def _attention(rows: pd.DataFrame, n_boot: int) -> pd.DataFrame:
    """Mean distance by layer (numbered as they run) and head; empty without a network whose attention can be read."""
    if rows.empty:
        return rows
    order = rows.drop_duplicates(["model", "layer"])
    number = order.assign(depth=order.groupby("model").cumcount() + 1)[["model", "layer", "depth"]]
    by = ["model", "family", "layer", "factor", "level", "metric"]
    return stats.summarise(rows, by, n_boot=n_boot).merge(number, on=["model", "layer"])


if __name__ == "__main__":
    main(**vars(comparison(__doc__, "a05", n=150, n_nyu=150).parse_args()))
