"""A made-up run with planted numbers, written to disk as `run` would: what the report and analyses tests read."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from depthprobe.schema import COLUMNS, SCHEMA_VERSION, rows, write_part

MODELS = {"zoo:convnext": "cnn", "zoo:pvt": "transformer"}
BUDGETS = (0.01, 0.05, 0.2, 0.5, 1.0)
SELECTORS = ("random", "random.reversed", "texture", "texture.reversed", "image_edges", "image_edges.reversed")
FILLS = ("mean", "blur")
METRICS = {
    "abs_rel": ("1", "lower"),
    "delta1": ("1", "higher"),
    "share": ("1", "none"),
    "enrichment": ("1", "none"),
}
SIZE = (24, 32)


def planted_error(model: str, selector: str, budget: float) -> float:
    """Mean abs_rel against truth: falls with the logarithm of the budget, faster for the second model."""
    floor = {"zoo:convnext": 0.22, "zoo:pvt": 0.20}.get(model, 0.25)
    rate = 0.10 if model == "zoo:convnext" else 0.07
    rate *= 0.6 if selector.startswith("texture") else 1.0
    return floor - rate * np.log10(budget)


def make_table(n: int = 16, models: dict[str, str] = MODELS, *, sparse: bool = True, seed: int = 0) -> pd.DataFrame:
    """Rows of the error and sparse probes with noise around `planted_error`; two samples per group."""
    rng = np.random.default_rng(seed)
    sample = [f"rooms-{11_000_000 + i}" for i in range(n)]
    hard = rng.normal(0, 0.03, n)
    parts = []
    for model, family in models.items():
        frames = [_error_rows(rng, sample, hard, model).assign(probe="error", plan="0e0e0e0e")]
        if sparse:
            frames.append(_sparse_rows(rng, sample, hard, model).assign(probe="sparse", plan="5a5a5a5a"))
        parts.append(pd.concat(frames).assign(model=model, family=family, tag="planted"))
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(dataset="scenes", seed=0, group=[f"g{int(s[-4:]) // 2}" for s in table["sample"]])
    base = table["metric"].str.partition("@")[0]
    return table.assign(unit=base.map(lambda m: METRICS[m][0]), better=base.map(lambda m: METRICS[m][1]))[COLUMNS]


def _error_rows(rng: np.random.Generator, sample: list[str], hard: np.ndarray, model: str) -> pd.DataFrame:
    error = planted_error(model, "random", 1.0) + hard + rng.normal(0, 0.005, len(sample))
    return pd.concat([rows(sample, "abs_rel", error), rows(sample, "delta1", 1.2 - 2 * error)])


def _sparse_rows(rng: np.random.Generator, sample: list[str], hard: np.ndarray, model: str) -> pd.DataFrame:
    out = []
    for selector in SELECTORS:
        for budget in BUDGETS:
            share = 0.3 if "texture" in selector else 0.1
            where = {"share@depth_edge": share, "enrichment@depth_edge": share / 0.1}
            for metric, value in where.items():
                noisy = value * (1 + rng.normal(0, 0.05, len(sample)))
                out.append(rows(sample, metric, noisy, factor=selector, level=budget))
            for fill in FILLS:
                error = planted_error(model, selector, budget) + hard + rng.normal(0, 0.005, len(sample))
                at = {"factor": selector, "level": budget, "factor2": fill}
                full = planted_error(model, selector, 1.0)
                own = np.abs(error - full - hard) * (budget < 1)
                values = {"abs_rel": error, "delta1": 1.2 - 2 * error, "abs_rel@self": own, "delta1@self": 1 - own}
                out += [rows(sample, metric, value, **at) for metric, value in values.items()]
    return pd.concat(out)


def make_sidecar() -> dict:
    """A sidecar as `run` writes it, with the fields that the page states."""
    cards = [
        {
            "name": name,
            "tag": "planted",
            "family": family,
            "output": "metric_depth",
            "size": [24, 32],
            "parameters": 4_200_000,
        }
        for name, family in MODELS.items()
    ]
    protocol = {"name": "scenes", "min_depth": 1e-3, "max_depth": 10.0}
    return {
        "status": "complete",
        "version": "0.1.0",
        "schema_version": SCHEMA_VERSION,
        "models": cards,
        "plans": {
            "5a5a5a5a": {
                "probe": "sparse",
                "protocol": "scenes",
                "budgets": list(BUDGETS),
                "fills": list(FILLS),
                "seeds": [0],
            },
            "0e0e0e0e": {"probe": "error", **protocol, "seeds": [0]},
        },
        "axes": {"sparse": {"factor": "selector", "level": "budget", "factor2": "fill"}},
        "protocols": [{**protocol, "hash": "0e0e0e0e"}],
        "versions": {"torch": "2.9"},
        "commit": "0123456789ab",
        "device": ["cpu"],
        "dataset": {"name": "scenes", "facts": {"split": "test", "version": 1}},
        "skipped": {},
        "selectors_given_truth": [],
    }


def write_run(out: Path, table: pd.DataFrame, sidecar: dict | None = None, *, maps: int = 2) -> Path:
    """Write table, sidecar and the maps of `maps` samples per model under `out`."""
    for number, (_, part) in enumerate(table.groupby("model")):
        write_part(part, out / "parts" / f"{number:03d}.parquet")
    (out / "table.json").write_text(json.dumps(make_sidecar() if sidecar is None else sidecar))
    (out / "study.toml").write_text('dataset = "scenes"\nprobes = ["error", "sparse"]\n')
    if maps:
        write_maps(out / "maps", table, maps)
    return out


def write_maps(folder: Path, table: pd.DataFrame, n: int) -> None:
    """Dense maps of the first `n` samples for every model and budget, three selectors and the first fill."""
    folder.mkdir(parents=True, exist_ok=True)
    sparse = table[(table["probe"] == "sparse") & (table["metric"] == "abs_rel") & (table["factor2"] == FILLS[0])]
    sparse = sparse[sparse["factor"].isin(SELECTORS[:3])]
    for (sample, group), part in list(sparse.groupby(["sample", "group"]))[:n]:
        for number, row in enumerate(part.itertuples()):
            arrays = dense_maps(int(sample[-4:]), row.level, row.value)
            meta = {
                "sample": sample, "group": group, "model": row.model, "probe": "sparse", "plan": row.plan,
                "factor": row.factor, "level": row.level, "factor2": row.factor2,
                "metrics": {"abs_rel": row.value}, "protocol": "scenes",
            }  # fmt: skip
            np.savez(folder / f"{sample}-{number:04d}.npz", meta=json.dumps(meta), **arrays)


def dense_maps(seed: int, budget: float, error: float) -> dict[str, np.ndarray]:
    """A tilted plane with a box, a random mask of the budget and a prediction that is off by `error`."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    depth = (8 - 6 * y / SIZE[0]).astype(np.float32)
    depth[6:14, 8:16] = 2.0
    depth[:2] = np.nan
    image = np.stack([255 * y / SIZE[0], 255 * x / SIZE[1], 20 * np.nan_to_num(depth)], -1).astype(np.uint8)
    keep = rng.random(SIZE) <= budget
    masked = np.where(keep[..., None], image, 118).astype(np.uint8)
    pred = np.nan_to_num(depth, nan=5.0) * np.float32(1 + error)
    return {"image": image, "depth": depth, "pred": pred, "keep": keep, "masked": masked}
