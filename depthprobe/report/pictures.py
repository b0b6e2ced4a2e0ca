"""Galleries and slider: which stored maps are shown, by a stated rule, and their pictures."""

import json
import math
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from depthprobe.plots.gallery import DEPTH_MAP, ERROR_MAP
from depthprobe.report import blocks, tables, text
from depthprobe.report.estimates import Sparse, nearest_budget
from depthprobe.report.maps import (
    Dense,
    colour_bar,
    data_uri,
    depth_picture,
    depth_range,
    error_picture,
    error_range,
    kept_picture,
)
from depthprobe.report.slider import payload
from depthprobe.report.source import Source

NO_MAPS = (
    "This run kept no dense maps of this probe, so there is nothing to look at here; run again with maps (the default "
    "keeps three samples)."
)
MAX_ROWS = 4  # samples of a gallery
OPEN_ROWS = 8  # pictures one below the other before the rest is folded away


def chosen(maps: list[Dense], metric: str, better: str) -> list[tuple[str, str]]:
    """(why, sample) of the best, median and worst stored sample and of the largest disagreement between models.

    Convention: where there are several models, the samples on which they disagree most come first.
    """
    scores = pd.DataFrame(
        [{"sample": m.sample, "model": m.model, "value": m.metrics.get(metric, np.nan)} for m in maps]
    )
    grid = scores.groupby(["sample", "model"])["value"].mean().unstack().dropna(how="all")
    if grid.empty:
        return []
    mean = grid.mean(axis=1).sort_values(ascending=better != "higher", kind="stable")
    named = [("best", mean.index[0]), ("median", mean.index[len(mean) // 2]), ("worst", mean.index[-1])]
    if grid.shape[1] > 1:
        named.append(("largest disagreement", (grid.max(axis=1) - grid.min(axis=1)).idxmax()))
    seen: dict[str, list[str]] = {}
    for why, sample in named:
        seen.setdefault(str(sample), []).append(why)
    spread = (grid.max(axis=1) - grid.min(axis=1)).fillna(0.0)
    order = sorted(seen, key=lambda sample: -float(spread[sample]))
    return [(text.listed(seen[sample]), sample) for sample in order[:MAX_ROWS]]


def sparse_gallery(source: Source, found: Sparse) -> list[Any]:
    """Image | kept pixels | prediction | truth | signed error at one budget."""
    maps = _of_plan(source, found)
    if not maps:
        return [blocks.Heading(text="Pictures"), blocks.Note(text=NO_MAPS)]
    at = nearest_budget(sorted({m.level for m in maps}))
    selector = next((s for s in found.selectors if any(m.factor == s for m in maps)), maps[0].factor)
    fill = next((f for f in found.fills if any(m.factor2 == f for m in maps)), maps[0].factor2)
    here = [m for m in maps if (m.factor, m.factor2, m.level) == (selector, fill, at)]
    rule = (
        f"{text.percent(at)} of the pixels kept by {text.selector_name(selector)}, fill {fill or 'none'}. Among the "
        f"{text.counted(len({m.sample for m in here}), 'sample')} with stored maps, the rows are those with the best, "
        f"median and worst {found.metric} (mean over networks) and the largest disagreement between networks, "
        "which comes first."
    )
    if kept := source.side.get("maps_rule"):
        rule += f" Stored were {kept}."
    return _gallery(source, here, rule, found.metric, found.better, found.unit)


def _of_plan(source: Source, found: Sparse) -> list[Dense]:
    return [m for m in source.maps if m.probe == "sparse" and m.plan in ("", found.plan) and math.isfinite(m.level)]


def _gallery(source: Source, maps: list[Dense], rule: str, metric: str, better: str, unit: str) -> list[Any]:
    """The pictures of the chosen samples; where there are many, those after the first sample open on request."""
    picked = chosen(maps, metric, better)
    maps = sorted(maps, key=lambda m: m.model != source.subject)
    first, rest = (_rows(maps, some, metric, unit) for some in (picked[:1], picked[1:]))
    heading = blocks.Heading(text="Pictures")
    if len(first) + len(rest) <= OPEN_ROWS:
        return [heading, blocks.Gallery(rule=rule, rows=[*first, *rest])]
    more = blocks.More(summary=f"{len(rest)} more rows of pictures", blocks=[blocks.Gallery(rule="", rows=rest)])
    return [heading, blocks.Gallery(rule=rule, rows=first), *([more] if rest else [])]


def error_gallery(source: Source, plan: str, metric: str, better: str, unit: str) -> list[Any]:
    """Image | prediction | truth | signed error on the full image, judged by one plan."""
    maps = [m for m in source.maps if m.probe == "error" and m.plan in ("", plan)]
    if not maps:
        return [blocks.Heading(text="Pictures"), blocks.Note(text=NO_MAPS)]
    rule = (
        f"Among the {text.counted(len({m.sample for m in maps}), 'sample')} with stored maps, the rows are those with "
        f"the best, median and worst {metric} (mean over networks) and the largest disagreement between networks, "
        "which comes first."
    )
    return _gallery(source, maps, rule, metric, better, unit)


def _rows(maps: list[Dense], picked: list[tuple[str, str]], metric: str, unit: str) -> list[dict[str, Any]]:
    rows = []
    for why, sample in picked:
        mine = [m for m in maps if m.sample == sample]
        limits, half = depth_range(mine[0]), error_range(mine)
        one_each = list({m.model: m for m in mine}.values())
        rows += [_row(m, why, limits, half, metric, unit) for m in one_each]
        rows[-1]["scales"] = scales(limits, half)
    return rows


def _row(m: Dense, why: str, limits: tuple[float, float], half: float, metric: str, unit: str) -> dict[str, Any]:
    arrays = m.arrays
    truth, pred = (depth_picture(arrays[k], limits) for k in ("depth", "pred"))
    pictures = [("image", arrays["image"]), ("prediction", pred), ("truth", truth),
                ("signed error", error_picture(arrays["pred"], arrays["depth"], half))]  # fmt: skip
    if "keep" in arrays:
        pictures.insert(1, ("kept pixels", kept_picture(arrays["image"], arrays["keep"])))
    cells = [
        {"label": label, "uri": data_uri(p), "alt": f"{label} of sample {m.sample}, {m.model}"} for label, p in pictures
    ]
    value = m.metrics.get(metric, float("nan"))
    end = "" if unit == "1" else f" {unit}"
    return {"why": f"{why}: {text.isolated(m.model)}",
            "caption": f"sample {text.isolated(m.sample)}, {metric} {text.number(value)}{end}",
            "cells": cells, "scales": None}  # fmt: skip


def scales(limits: tuple[float, float], half: float) -> dict[str, str]:
    """The ends of the two colour bars of a row of pictures."""
    near, far = (f"{text.number(v)} m" for v in limits)
    size = f"{text.number(half)} m"
    return {"near": near, "far": far, "minus": f"\N{MINUS SIGN}{size}", "plus": f"+{size}", **bars()}


def bars() -> dict[str, str]:
    """The two colour bars."""
    return {"depth_bar": colour_bar(DEPTH_MAP), "error_bar": colour_bar(ERROR_MAP)}


def slider(source: Source, found: Sparse) -> list[Any]:
    """The slider through all budgets with stored maps: of the subject of an audit, else of all networks."""
    maps = _of_plan(source, found)
    if not maps:
        return []
    mine = [m for m in maps if m.model == source.subject] or maps
    data = payload(mine, found.metric)
    shown, stored = len(data["samples"]), data.pop("stored")
    part = "all" if shown == stored else f"the first {shown} (to keep the page small)"
    budgets = text.listed(text.percent(b) for b in data["budgets"])
    rule = f"Pictures are stored for {text.counted(stored, 'sample')} at {budgets} of the pixels; {part} can be chosen."
    data["unit"], data["curves"] = found.unit, _curve_data(found, set(data["selectors"]), source)
    body = json.dumps(data, separators=(",", ":"), sort_keys=True, allow_nan=False)
    safe = Markup(body.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
    caption = (
        f"The curve is the mean {found.metric} over {tables.sizes(found.curves.points)} with its 95 % interval at each "
        "budget; the number above the pictures is that of this one sample."
    )
    if len(source.references) > 1:
        caption += " Thin lines are the references, on the grey range that they span."
    return [blocks.Slider(title="Slide through the budgets", rule=rule, caption=caption, json=safe, **bars())]


def _curve_data(found: Sparse, selectors: set[str], source: Source) -> list[dict[str, Any]]:
    points = found.curves.points
    points = points[points["factor"].isin(selectors)]
    out = []
    for (model, family, factor, fill), part in points.groupby(["model", "family", "factor", "factor2"], sort=True):
        numbers = {k: [_json(v) for v in part[k]] for k in ("estimate", "low", "high")}
        beside = source.subject is not None and model != source.subject
        what = {"name": source.short[model], "family": family, "selector": factor, "fill": fill}
        out.append({**what, "reference": beside, "budget": [float(v) for v in part["level"]], **numbers})
    return out


def _json(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
