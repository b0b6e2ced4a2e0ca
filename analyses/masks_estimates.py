"""What study 07 estimates from the rows of the probe of learned masks."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analyses.common import in_per_cent
from depthprobe import stats

BUDGET = 0.1
SOFT, HARD = "weight5", f"budget{BUDGET:g}"
CONTROLS = ("random", "image_edges", "depth_edges")
SELF, ROPE = "rmse@self", 0.05
SOFT_LINE, OTHER_LINE, HARD_LINE, SEARCHED = "trained soft", "trained soft for the other", "trained hard", "per image"
ENDPOINTS = tuple((other, SOFT_LINE) for other in ("image_edges", "random", OTHER_LINE))
ADDED = tuple((other, line) for line in (HARD_LINE, SEARCHED) for other in ("image_edges", "random", SOFT_LINE))
"""Comparisons that were added after a first look, and are described, not judged with the endpoints."""


@dataclasses.dataclass(frozen=True)
class Found:
    """What is estimated.

    Convention: `masks` has a row per network, generator and quantity; `curves` run over budgets; `pairs` has the
    endpoints and what was added, by `role`; `places` says where soft masks are open.
    """

    masks: pd.DataFrame
    curves: pd.DataFrame
    pairs: pd.DataFrame
    places: pd.DataFrame


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the probe with columns that say where a mask comes from.

    Convention: `whose` is own, other (network's) or what has no generator; `generator` is its body and what it was
    trained for; `training` its seed.
    """
    parts = rows["factor"].str.split("/", expand=True).reindex(columns=range(4))
    learned = parts[1].notna()
    own = (parts[0] == rows["model"]).map({True: "own", False: "other"})
    return rows.assign(
        whose=rows["factor"].where(~learned, own),
        generator=(parts[1] + " " + parts[2]).where(learned, rows["factor"]),
        training=parts[3].fillna(""),
    )


def estimate(table: pd.DataFrame, *, n_boot: int) -> Found:
    """All estimates, from the rows of the probe."""
    rows = labelled(table)
    options: dict[str, Any] = {"n_boot": n_boot}
    hard = _over_trainings(_lines(rows), ["line"])
    soft = rows[rows["whose"].isin(["own", SEARCHED]) & rows["factor2"].isin(["soft", "binarised", "uniform"])]
    soft = soft[~soft["generator"].str.contains("budget")]
    return Found(
        masks=_masks(soft, options),
        curves=stats.summarise(hard, ["model", "family", "line", "level", "metric"], **options),
        pairs=_pairs(hard[hard["level"] == BUDGET], options),
        places=_places(_over_trainings(soft[soft["factor2"] == "soft"], ["generator"]), options),
    )


def _lines(rows: pd.DataFrame) -> pd.DataFrame:
    """Changes of the own answer by hard masks, as the lines of a picture: body and weight are the main ones."""
    own = rows[(rows["whose"] == "own") & rows["generator"].str.endswith(f" {SOFT}")]
    body = own.groupby("generator")["training"].nunique().idxmax().split(" ")[0]  # the one trained most often
    soft, hard = f"{body} {SOFT}", f"{body} {HARD}"
    names = {("own", soft): SOFT_LINE, ("other", soft): OTHER_LINE, ("own", hard): HARD_LINE}
    names |= {(control, control): control for control in CONTROLS}
    tried = rows[(rows["metric"] == SELF) & rows["factor2"].isin(["hard", "searched"])]
    keys = zip(tried["whose"], tried["generator"], tried["factor2"], strict=True)
    line = [SEARCHED if kind == "searched" else names.get((whose, made)) for whose, made, kind in keys]
    return tried.assign(line=line, factor2="hard").dropna(subset=["line"])


def _over_trainings(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """The rows with the trainings of a generator averaged: one value per sample."""
    facts = ["dataset", "group", "family", "plan", "seed", "tag", "unit", "better", "probe"]
    keys = ["model", "sample", "metric", "level", "factor2", *by]
    return (
        rows.groupby(keys, dropna=False, sort=False)
        .agg({**dict.fromkeys(facts, "first"), "value": "mean"})
        .reset_index()
    )


def _masks(soft: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """Per network, generator, kind and metric the mean over its trainings, and the least and the largest of them."""
    by = ["model", "family", "generator", "factor2", "metric"]
    each = stats.summarise(soft.drop(columns=["factor", "whose"]), [*by, "training"], n_boot=2)
    spread = each.groupby(by)["estimate"].agg(least="min", most="max", trainings="size").reset_index()
    mean = stats.summarise(_over_trainings(soft, ["generator"]), by, **options)
    return mean.merge(spread, on=by)


def _pairs(hard: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    """The endpoints, Holm over all of them, and what was added, corrected among itself."""
    found = []
    for model, part in hard.groupby("model"):
        scale = ROPE * part.loc[part["line"] == SOFT_LINE, "value"].mean()
        for a, b in (*ENDPOINTS, *ADDED):
            pair = stats.compare(part, ["metric", "level"], between="line", a=a, b=b, rope=scale, **options)
            found.append(pair.assign(model=model, role="endpoint" if (a, b) in ENDPOINTS else "added"))
    return in_per_cent(stats.adjust(pd.concat(found, ignore_index=True), ["role"]))


def _places(soft: pd.DataFrame, options: Mapping[str, Any]) -> pd.DataFrame:
    some = soft[soft["metric"].str.startswith("enrichment@")]
    found = stats.summarise(some, ["model", "family", "generator", "metric"], **options)
    return found.assign(region=found["metric"].str.removeprefix("enrichment@"))
