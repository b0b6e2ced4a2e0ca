"""Dense maps for galleries: which samples are shown, by a stated rule, and their `.npz` files."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.schema import MEASURED

RULE = "samples at evenly spaced ranks of the mean error rank over all models and measurements: best to worst"


def choose_samples(table: pd.DataFrame, count: int) -> list[str]:
    """The samples that a gallery shows (best, ..., median, ..., worst), chosen by RULE and never by hand.

    Convention: only metrics that are better one way count; ties go by sample id; fewer samples than `count`: all.
    """
    if count < 1 or table.empty:
        return []
    judged = table[table["better"] != "none"]
    judged = judged if not judged.empty else table
    worse = judged["value"].where(judged["better"] != "higher", -judged["value"])
    series = [
        c for c in ("model", "tag", "probe", "plan", "seed", *MEASURED[1:-1]) if judged[c].nunique(dropna=False) > 1
    ]
    keys = [judged[c] for c in series]
    rank = worse.groupby(keys, dropna=False).rank(pct=True) if keys else worse.rank(pct=True)
    mean = rank.groupby(judged["sample"]).mean().rename("rank").reset_index()
    ranking = mean.sort_values(["rank", "sample"], na_position="last")["sample"].tolist()
    at = np.linspace(0, len(ranking) - 1, min(count, len(ranking))) if count > 1 else [(len(ranking) - 1) / 2]
    return [ranking[round(i)] for i in at]


def pack_map(entry: Mapping[str, Any], stamp: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """One map of a probe as arrays for `np.savez`, its `meta` completed by what the run knows and written as JSON."""
    meta = entry.get("meta", {})
    meta = dict(json.loads(meta)) if isinstance(meta, str) else dict(meta)
    arrays = {k: np.asarray(v) for k, v in entry.items() if k != "meta"}
    return {**arrays, "meta": np.array(json.dumps({**meta, **stamp}, sort_keys=True, default=str))}


def indices_of(samples: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where each wanted sample stands in the data set."""
    place = {name: i for i, name in enumerate(samples)}
    return [place[name] for name in wanted]
