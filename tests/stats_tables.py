"""Simulated measurement tables for the tests of statistics and figures."""

import numpy as np
import pandas as pd

from depthprobe.schema import COLUMNS, validate

FAMILY = {"convnext": "cnn", "regnet": "cnn", "pvt": "transformer", "swin": "transformer", "row": "oracle"}


def make_table(rows, *, per_group=1, **constant):
    """A table from dicts of column values in which `value` has one entry per sample; the rest has defaults."""
    sizes = [len(row["value"]) for row in rows]
    index = np.concatenate([np.arange(n) for n in sizes])
    column = {
        "dataset": "scenes", "model": "convnext", "tag": "v1", "probe": "sparse", "plan": "abcd1234", "seed": 0,
        "layer": "", "factor": "", "level": np.nan, "factor2": "", "level2": np.nan, "metric": "abs_rel",
        "unit": "1", "better": "lower", **constant,
    }  # fmt: skip
    for name in {n for row in rows for n in row} - {"value"}:
        column[name] = np.repeat([row.get(name, column.get(name)) for row in rows], sizes)
    models = np.broadcast_to(column["model"], index.shape)
    column.setdefault("family", pd.Series(models).map(FAMILY).fillna("cnn").to_numpy())
    ids = np.array([[f"s{i:05d}", f"g{i // per_group:05d}"] for i in range(max(sizes))])
    column |= {"sample": ids[index, 0], "group": ids[index, 1], "value": np.concatenate([row["value"] for row in rows])}
    table = pd.DataFrame(column)[COLUMNS]
    return validate(table) if len(table) < 20_000 else table


def sparse_table(
    models=("convnext", "pvt"), selectors=("random", "grid"), *, scenes=12, per_group=2, seeds=(0, 1), rng=0
):
    """A sparse-probe table: falling error curves, slower for later models, with scene effects."""
    draw = np.random.default_rng(rng)
    scene, rows = draw.normal(0, 0.05, scenes), []
    for m, model in enumerate(models):
        for s, selector in enumerate(selectors):
            for level in (0.01, 0.05, 0.2, 0.5, 1.0):
                base = 0.2 + 0.5 * np.exp(-np.log(level / 0.01) / (0.9 + 0.5 * m + 0.2 * s))
                for seed in seeds:
                    value = base + np.repeat(scene, per_group) + draw.normal(0, 0.02, scenes * per_group)
                    rows.append({
                        "model": model, "factor": selector, "level": level, "factor2": "mean", "seed": seed,
                        "value": value,
                    })  # fmt: skip
    return make_table(rows, per_group=per_group)
