"""The words of study 05: what claim C1 says, endpoint by endpoint, and what was found, each with its interval."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from analyses import context_figures as figure
from analyses import context_inside
from analyses.common import change, claimed
from analyses.context_fields import names_of
from analyses.context_rows import FILLS, WINDOW

if TYPE_CHECKING:
    from analyses.a05_context import Found

OPPOSITE = {"higher": "lower", "lower": "higher"}


class Endpoint(NamedTuple):
    """What C1 says of the Transformers' value, what is asked, and the value in words with its unit."""

    claim: str
    asks: str
    value: str
    unit: str


ENDPOINTS = {
    "reach": Endpoint("higher", "do they use more context", "radius of 90 % of the receptive field", " px"),
    **{
        f"gain_{fill}": Endpoint(
            "higher", "do they gain more from context",
            f"error through a window of radius {WINDOW} px (the rest: {what}) over that with the whole image", "×",
        )
        for fill, what in zip(FILLS, ("mean colour", "blurred"), strict=True)
    },
    "far_near": Endpoint("lower", "do they do better where context is what there is", "far over near error", "×"),
}  # fmt: skip
CAUTIONS = (
    "With two architectures on each side, the interval of a family leans on both scattering alike.",
    "To look far is not to gain from it, and what is lost without context is a gain from it or a dependence on it.",
    "A window alone is unlike any image of the training; only what holds for both fills counts.",
    "Small networks of 96x128 pixels, trained from scratch, with one convolutional decoder for all.",
    "Where the difference that would have been found is large, undecided does not mean equal.",
)


def verdict(found: "Mapping[str, Found]") -> list[str]:
    """C1 in sentences, each with its interval; how far, how much, who is the more accurate; what this cannot show."""
    said = []
    for name, one in found.items():
        ends = one.family.set_index("metric", drop=False).loc[list(ENDPOINTS)]
        said.append(_claim(name, ends))
        said += [_endpoint(name, row) for _, row in ends.iterrows()]
        said += [_counted(name, one.pairs, metric) for metric in ENDPOINTS]
        said.append(f"{name}, windows | {figure.window_sentence(one)}.")
        said.append(f"{name}, near and far | {_near_far(one.family.set_index('metric'))}.")
        said.append(f"{name}, receptive field | {figure.reach_sentence(one)}.")
        said += [f"{name}, attention | {context_inside.attention_sentence(one)}."] if len(one.attention) else []
        said += [f"{name}, layers | {context_inside.alike_sentence(one)}."] if len(one.alike) else []
        said += [f"{name}, cues | {figure.cues_sentence(one)}."] if len(one.cues) else []
        said += [_accuracy(name, row) for _, row in one.accuracy.iterrows()]
    return [*said, *(f"caution | {caution}" for caution in CAUTIONS)]


def _claim(name: str, ends: pd.DataFrame) -> str:
    """All endpoints together: the claim holds if every one of them says so."""
    words = {metric: {end.claim: "better", OPPOSITE[end.claim]: "worse"} for metric, end in ENDPOINTS.items()}
    word = claimed([words[metric].get(v, v) for metric, v in ends["verdict"].items()], sure="better")
    k = int(ends[["units_a", "units_b"]].min(axis=None))
    each = ", ".join(f"{m} {v} (claimed: {ENDPOINTS[m].claim})" for m, v in ends["verdict"].items())
    alone = "; a family of one network decides nothing" if k < 2 else ""
    return f"C1, {name} | {word}: of the Transformers, {each}{alone}."


def _endpoint(name: str, row: pd.Series) -> str:
    end, a, b = ENDPOINTS[row["metric"]], int(row["units_a"]), int(row["units_b"])
    start, stop = (f"{figure.factor(row[f'mean_{side}'])}{end.unit}" for side in "ab")
    what = f"C1, {name}, {row['metric']} | {end.asks}?"
    if min(a, b) < 2 or pd.isna(row["low"]):
        return f"{what} undecided: {end.value} {start} for the CNN, {stop} for the Transformer, without interval."
    answers = {end.claim: "yes", OPPOSITE[end.claim]: "no, the opposite", "equivalent": "no noticeable difference"}
    return (
        f"{what} {answers.get(row['verdict'], 'undecided')}: {end.value} {figure.times(row)} that of the CNNs (from "
        f"{start} of {a} CNNs to {stop} of {b} Transformers); a factor of {figure.factor(row['detectable'])} would "
        f"have been found (n = {row['n']} images)."
    )


def _counted(name: str, pairs: pd.DataFrame, metric: str) -> str:
    part, names = pairs[pairs["metric"] == metric], names_of([*pairs["a"], *pairs["b"]])
    each = "; ".join(
        f"{names[r['b']]} against {names[r['a']]} {figure.times(r)}, {r['verdict']}" for _, r in part.iterrows()
    )
    up, down = (int((part["verdict"] == word).sum()) for word in ("higher", "lower"))
    return f"{name}, {metric} | higher for the Transformer in {up} of {len(part)} pairs, lower in {down}: {each}."


def _near_far(family: pd.DataFrame) -> str:
    near, far = (figure.times(family.loc[f"gain_{side}"]) for side in ("near", "far"))
    return (
        f"what Transformers gain from context is this many times what CNNs gain: {near} at the nearest third of the "
        f"pixels asked, {far} at the farthest (described, not judged)"
    )


def _accuracy(name: str, row: pd.Series) -> str:
    names = names_of([row["a"], row["b"]])
    return f"{name}, accuracy | abs_rel {change(row)} from {names[row['a']]} to {names[row['b']]} ({row['verdict']})."
