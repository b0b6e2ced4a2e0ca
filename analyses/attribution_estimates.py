"""What study 06 estimates: which attributions can be believed, and where those lie."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from analyses.common import in_per_cent, judged
from depthprobe import stats

CURVES = {"deletion": "higher", "insertion": "lower", "road": "higher"}
"""Curves of the probe, and which way the area under the change of the answer has to go."""
CONTROLS = ("random", "centre")
METRIC = "abs_rel"
ADVANTAGE = 0.05  # of the controls' mean area: a smaller gain counts as none
LIKENESS = 0.5  # rank correlation with the map of shuffled weights that a believed one stays below
DIFFERENCE = 0.1  # in enrichment (1 = chance): a smaller difference of networks counts as none
SANITY = "rank_correlation@random_weights"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Found:
    """What is estimated on one data set.

    `curves`: the answer's change by share of the pixels; `gains`: areas under them against each control; `checks`:
    likeness under shuffled weights, infidelity, completeness; `trust`: one row per network and method with its `word`;
    `places`: enrichment by region; `family`, `pairs`: differences transformer - cnn of it, by believed methods alone;
    `described`: those of pairs by every method, believed or not, which decide nothing.
    """

    curves: pd.DataFrame
    gains: pd.DataFrame
    checks: pd.DataFrame
    trust: pd.DataFrame
    places: pd.DataFrame
    family: pd.DataFrame
    pairs: pd.DataFrame
    described: pd.DataFrame


def estimate(table: pd.DataFrame, endpoints: Sequence[str], *, n_boot: int) -> Found:
    """All estimates from the rows of the attribution probe; `endpoints` are the regions judged together."""
    rows = table[table["family"].isin(["cnn", "transformer"])]
    answers = rows[rows["metric"].isin([f"{METRIC}@{curve}.self" for curve in CURVES])]
    gained = gains(answers, n_boot=n_boot)
    checked = rows[rows["metric"].isin([SANITY, "infidelity", "completeness_gap"])].assign(level=float("nan"))
    checks = stats.summarise(checked, ["model", "family", "factor", "metric"], n_boot=n_boot)
    believed = trust(gained, checks)
    placed = rows[rows["metric"].str.startswith("enrichment@")]
    placed = placed.assign(metric=placed["metric"].str.partition("@")[2])
    keys = believed.loc[believed["word"] == "supported", ["model", "factor"]]
    trusted = placed.merge(keys, on=["model", "factor"])
    return Found(
        curves=stats.curve(answers, ["model", "family", "metric", "factor"], n_boot=n_boot).points,
        gains=gained,
        checks=checks,
        trust=believed,
        places=stats.summarise(placed, ["model", "family", "factor", "metric"], n_boot=n_boot),
        family=_all(list(_families(trusted)), endpoints),
        pairs=_all(list(_crossed(trusted, n_boot)), endpoints),
        described=_all(list(_crossed(placed, n_boot)), endpoints),
    )


def gains(answers: pd.DataFrame, *, n_boot: int) -> pd.DataFrame:
    """Every method (factor) against every control (`against`) by network and curve (metric), paired over scenes.

    Convention: area under the change of the network's own answer over ln share; `gain_*` in % of the control's, > 0
    where the attribution is the better one. Verdicts are Holm-corrected over all rows.
    """
    areas = stats.area(answers)
    areas = areas.assign(metric=areas["metric"].str.extract(r"@(\w+)\.", expand=False))
    areas = areas.assign(better=areas["metric"].map(CURVES))
    control = areas["factor"].isin(CONTROLS)
    rope = (ADVANTAGE * areas[control].groupby("metric")["value"].mean()).to_dict()
    options: dict[str, Any] = {"between": "factor", "rope": rope, "n_boot": n_boot}
    found = [
        stats.compare(areas[~control | (areas["factor"] == one)], ["model", "metric"], a=one, **options)
        for one in CONTROLS
    ]
    out = in_per_cent(stats.adjust(pd.concat(found, ignore_index=True)))
    up = out["better"] == "higher"
    ends = {"estimate": "estimate", "low": "high", "high": "low"}  # less is better: the interval is turned round
    turned = {f"gain_{c}": out[f"relative_{c}"].where(up, -out[f"relative_{other}"]) for c, other in ends.items()}
    family = answers.groupby("model")["family"].first()
    beats = (out["low"] > out["rope"]).where(up, out["high"] < -out["rope"])
    out = out.assign(**turned, beats=beats, family=out["model"].map(family))
    return out.rename(columns={"a": "against", "b": "factor"})


def trust(gained: pd.DataFrame, checks: pd.DataFrame) -> pd.DataFrame:
    """Can a method (factor) be believed on a network? One row for each, with its `word` and its weakest gain.

    Convention: supported where it beats both controls by more than ADVANTAGE on all three curves, and its map stays
    less alike than LIKENESS to that of shuffled weights. All of it has to hold, so the p of a row is the largest of its
    comparisons (Berger 1982), Holm-corrected over networks and methods. Refuted where one comparison is decided
    otherwise, or the map surely is that alike; else undecided.
    """
    alike = checks[checks["metric"] == SANITY].set_index(["model", "factor"])
    rows = []
    for (model, method), part in gained.groupby(["model", "factor"], sort=True):
        likeness = alike.loc[(model, method)]
        weakest = part.loc[part["gain_low"].fillna(-float("inf")).idxmin()]
        rows.append({
            "model": model, "family": part["family"].iloc[0], "factor": method, "beaten": int(part["beats"].sum()),
            "of": len(part), "beaten_random": int((part["beats"] & (part["against"] == "random")).sum()),
            "p": part["p"].max(skipna=False),
            **{f"weakest_{c}": weakest[c] for c in ("metric", "against", "gain_estimate", "gain_low", "gain_high")},
            **{f"likeness_{c}": likeness[c] for c in ("estimate", "low", "high")},
            "lost": bool(part["verdict"].isin(["worse", "equivalent"]).any()),
        })  # fmt: skip
    out = stats.adjust(pd.DataFrame(rows))
    sure = (out["beaten"] == out["of"]) & (out["p_holm"] <= 0.05) & (out["likeness_high"] < LIKENESS)
    never = out["lost"] | (out["likeness_low"] > LIKENESS)
    word = ["supported" if s else "refuted" if n else "undecided" for s, n in zip(sure, never, strict=True)]
    return out.assign(word=word)


def _families(trusted: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The families by every method that is believed on a network of each at least; the architecture is the unit."""
    for _, part in trusted.groupby("factor", sort=True):
        if part["family"].nunique() == 2:
            by = ["factor", "metric"]
            yield stats.family_contrast(part, by, a="cnn", b="transformer", rope=DIFFERENCE)


def _crossed(trusted: pd.DataFrame, n_boot: int) -> Iterator[pd.DataFrame]:
    """Every CNN against every Transformer by every method that has rows of both, over scenes alone."""
    for _, part in trusted.groupby("factor", sort=True):
        sides = part.groupby("family")["model"].unique()
        for a in sides.get("cnn", ()):
            for b in sides.get("transformer", ()):
                yield stats.compare(part, ["factor", "metric"], a=a, b=b, rope=DIFFERENCE, n_boot=n_boot)


def _all(found: Sequence[pd.DataFrame], endpoints: Sequence[str]) -> pd.DataFrame:
    """One frame with the verdicts of all endpoints by all methods corrected together; empty where nothing is found."""
    if not found:
        return pd.DataFrame(columns=["factor", "metric", "a", "b", "estimate", "low", "high", "verdict", "role"])
    return judged(pd.concat(found, ignore_index=True), endpoints)
