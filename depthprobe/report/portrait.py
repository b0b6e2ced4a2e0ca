"""One picture of an audited network: input, prediction, truth, error, the pixels that suffice, how far it looks."""

import math
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.report import blocks, estimates, text
from depthprobe.report.maps import Dense, data_uri, depth_picture, depth_range, error_picture, error_range, kept_picture
from depthprobe.report.pictures import chosen, scales
from depthprobe.report.source import Source

TITLE, ID = "One picture", "picture"
QUESTION = "What does it see in one image?"
SHARE = 0.9  # of what the full image gains over the fewest pixels
WHOLE = 0.9  # of the influence inside the receptive field shown


def section(source: Source, found: estimates.Sparse | None) -> blocks.Section:
    """The median stored image of the subject; what is missing is said."""
    maps = [m for m in source.maps if m.model == source.subject]
    full = [m for m in maps if m.probe == "error"] or [m for m in maps if m.probe == "sparse" and m.level == 1]
    if not full:
        note = blocks.Note(
            text="No dense maps of this network are stored, so there is no picture; run again with maps."
        )
        return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[note])
    metric = next((m for m in estimates.PREFERRED if m in full[0].metrics), next(iter(full[0].metrics), ""))
    better = "higher" if metric.startswith("delta") else "lower"
    sample = next((s for why, s in chosen(full, metric, better) if "median" in why), full[0].sample)
    one = next(m for m in full if m.sample == sample)
    row, missing = _row(source, one, metric, better, found)
    stored = text.counted(len({m.sample for m in full}), "stored image")
    rule = f"Of {stored} the one whose {metric or 'error'} is the median of this network's; it was not chosen by eye."
    read = " ".join([READ, *(said for said, gap in ((READ_SET, NO_SET), (READ_FIELD, NO_FIELD)) if gap not in missing)])
    notes = [blocks.Note(text=said) for said in missing]
    gallery = blocks.Gallery(rule=rule, rows=[row])
    return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[gallery, *notes], read=read)


READ = "Near is warm. In the signed error red is too far and blue too near."
READ_SET = (
    f"The kept pixels are the smallest stored set that keeps {text.percent(SHARE)} of what the full image gains over "
    "the fewest pixels, in this one image."
)
READ_FIELD = (
    f"The receptive field shows, around the middle, the square that holds {text.percent(WHOLE)} of the influence on an "
    "answer."
)


def _row(
    source: Source, one: Dense, metric: str, better: str, found: estimates.Sparse | None
) -> tuple[dict[str, Any], list[str]]:
    arrays, limits, half = one.arrays, depth_range(one), error_range([one])
    pictures = [
        ("image", arrays["image"]), ("prediction", depth_picture(arrays["pred"], limits)),
        ("truth", depth_picture(arrays["depth"], limits)),
        ("signed error", error_picture(arrays["pred"], arrays["depth"], half)),
    ]  # fmt: skip
    missing = []
    for made, otherwise in ((_kept(source, one, metric, better, found), NO_SET), (_field(source, one), NO_FIELD)):
        pictures += [made] if made else []
        missing += [] if made else [otherwise]
    cells = [
        {"label": label, "uri": data_uri(p), "alt": f"{label} of sample {one.sample}, {one.model}"}
        for label, p in pictures
    ]
    value = one.metrics.get(metric, math.nan)
    sample = f"sample {text.isolated(one.sample)}"
    caption = f"{sample}, {metric} {text.number(value)}" if metric else sample
    return {
        "why": text.isolated(str(source.subject)),
        "caption": caption,
        "cells": cells,
        "scales": scales(limits, half),
    }, missing


NO_SET = "The smallest set of pixels is not shown: no sparse maps of this image are stored, or no stored set suffices."
NO_FIELD = "The receptive field is not shown: it was not measured for this image."


def _kept(
    source: Source, one: Dense, metric: str, better: str, found: estimates.Sparse | None
) -> tuple[str, np.ndarray] | None:
    """The fewest pixels among the stored maps of this image, of selectors not given the truth, that keep SHARE."""
    mine = [m for m in source.maps if m.probe == "sparse" and (m.sample, m.model) == (one.sample, one.model)]
    mine = [m for m in mine if metric in m.metrics and not (found and found.saw_truth(m.factor))]
    table = pd.DataFrame([{"at": k, "order": f"{m.factor}|{m.factor2}", "level": m.level, "value": m.metrics[metric]}
                          for k, m in enumerate(mine)])  # fmt: skip
    if table.empty:
        return None
    sign = -1 if better == "higher" else 1
    good = []
    for _, part in table.groupby("order", sort=True):
        ends = part.sort_values("level")["value"].iloc[[0, -1]].to_numpy()
        goal = ends[0] + SHARE * (ends[1] - ends[0])
        if sign * (ends[0] - ends[1]) > 0:
            good.append(part[(sign * part["value"] <= sign * goal) & (part["level"] < 1)])
    enough = pd.concat(good).sort_values(["level", "order"]) if good else table.iloc[:0]
    if enough.empty:
        return None
    best = mine[int(enough["at"].iloc[0])]
    if "keep" not in best.arrays:
        return None
    label = f"{text.percent(best.level)} of the pixels, {text.selector_name(best.factor)}"
    return label, kept_picture(best.arrays["image"], best.arrays["keep"])


def _field(source: Source, one: Dense) -> tuple[str, np.ndarray] | None:
    """The image with all that lies outside the mean receptive field of this sample faded."""
    rows = source.probe("receptive_field")
    rows = rows[(rows["model"] == one.model) & (rows["sample"] == one.sample)]
    radius = rows[(rows["metric"] == "erf_radius") & (rows["level"] == WHOLE)]["value"]
    side = rows[rows["metric"] == "canvas_side"].groupby("factor")["value"].mean()
    if radius.empty or not {"height", "width"} <= set(side.index) or not math.isfinite(radius.mean()):
        return None
    image = one.arrays["image"]
    height, width = image.shape[:2]
    said = (source.side.get("plans") or {}).get(rows["plan"].iloc[0]) or {}
    counted = said.get("height")  # rows of the image in whose pixels lengths are stated; None: the network's own
    down, across = (height / counted,) * 2 if counted else (height / side["height"], width / side["width"])
    y, x = np.mgrid[0:height, 0:width]
    reach, seen = radius.mean(), counted or side["height"]
    inside = (abs(x - (width - 1) / 2) <= reach * across) & (abs(y - (height - 1) / 2) <= reach * down)
    return f"receptive field, radius {text.number(reach)} px of {seen:g} rows", kept_picture(image, inside)
