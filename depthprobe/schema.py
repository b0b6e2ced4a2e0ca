"""The one result schema: what every measurement says, the checks that it says it, and its Parquet form.

A table is a tidy frame with one row per (key, metric). It is the wall between tensors and statistics: nothing here
imports torch, and everything downstream needs only this module and the table.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

SCHEMA_VERSION = 1
MEASURED = ["sample", "layer", "factor", "level", "factor2", "level2", "metric", "value"]
STAMPED = ["dataset", "group", "model", "tag", "family", "probe", "plan", "seed", "unit", "better"]
COLUMNS = [
    "dataset", "sample", "group", "model", "tag", "family", "probe", "plan", "seed",
    "layer", "factor", "level", "factor2", "level2", "metric", "value", "unit", "better",
]  # fmt: skip
KEY = [c for c in COLUMNS if c not in ("group", "family", "value", "unit", "better")]
FAMILIES = ("cnn", "transformer", "hybrid", "oracle")
BETTER = ("lower", "higher", "none")
_FLOAT, _INT = ("level", "level2", "value"), ("seed",)


def rows(
    sample: Sequence[str],
    metric: str,
    value: Iterable[float],
    *,
    layer: str = "",
    factor: str = "",
    level: float = float("nan"),
    factor2: str = "",
    level2: float = float("nan"),
) -> pd.DataFrame:
    """Per-sample values (B,) as the rows that a probe states.

    Convention: `factor` names what was varied and `level` how much (NaN: not varied); `metric` is a registered
    metric name, optionally followed by `@` and what it is measured against or on (`abs_rel@self`).

    Raises:
        ValueError: if there is not one value per sample.
    """
    values = [float(v) for v in value]
    if len(values) != len(sample):
        raise ValueError(f"Expected one `value` per sample ({len(sample)}), but got {len(values)}.")
    constant = {"layer": layer, "factor": factor, "level": float(level), "factor2": factor2, "level2": float(level2)}
    frame = pd.DataFrame({"sample": list(sample), **constant, "metric": metric, "value": values})
    return frame[MEASURED]


def plan_id(plan: Any) -> str:
    """8-character hash of a plan (frozen dataclass) without its seed, so that seeds of one plan can be averaged."""
    fields = {k: v for k, v in dataclasses.asdict(plan).items() if k != "seed"}
    text = json.dumps({"plan": type(plan).__name__, **fields}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def validate(table: pd.DataFrame) -> pd.DataFrame:
    """Return `table` unchanged if it is a valid measurement table.

    Raises:
        ValueError: on wrong columns, an unknown family or direction, an infinite value or a repeated key.
    """
    if list(table.columns) != COLUMNS:
        raise ValueError(f"Expected columns {COLUMNS}, but got {list(table.columns)}.")
    for column, known in (("family", FAMILIES), ("better", BETTER)):
        if unknown := set(table[column].unique()) - set(known):
            raise ValueError(f"Expected `{column}` to be one of {list(known)}, but got {sorted(map(str, unknown))}.")
    if np.isinf(table["value"].to_numpy(float)).any():
        raise ValueError("Expected finite or NaN `value`, but got infinity; NaN is the mark for undefined.")
    if (twice := table.duplicated(KEY)).any():
        first = table[twice].iloc[0][KEY].to_dict()
        raise ValueError(f"Expected one row per key, but got {int(twice.sum())} repeated, e.g. {first}.")
    return table


def typed(table: pd.DataFrame) -> pd.DataFrame:
    """The columns in order and with the schema's types (text, float64, int64)."""
    out = table[COLUMNS].copy()
    for column in COLUMNS:
        kind = "float64" if column in _FLOAT else "int64" if column in _INT else "str"
        out[column] = out[column].astype(kind)
    return out


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by key, so that a table does not depend on the order in which it was measured."""
    return table.sort_values(KEY, kind="stable", na_position="first").reset_index(drop=True)


def write_part(table: pd.DataFrame, path: Path) -> None:
    """Write one Parquet part atomically: a reader sees the whole part or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    typed(table).to_parquet(partial, index=False)
    partial.replace(path)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table: a run's folder (its `parts/*.parquet`) or one Parquet file.

    Raises:
        FileNotFoundError: if there is no table at `path`, with what to run.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted((path / "parts").glob("*.parquet"))
    if not files:
        raise FileNotFoundError(
            f"Expected a table at {path} (parts/*.parquet), but found none; make one: depthprobe run --out {path}"
        )
    table = pd.concat([pd.read_parquet(f) for f in files], ignore_index=True)
    return validate(ordered(typed(table)))


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The JSON that `run` writes beside the parts: plans, protocol, axes, versions, skipped samples ({} if absent)."""
    file = Path(path) / "table.json"
    return dict(json.loads(file.read_text())) if file.is_file() else {}
