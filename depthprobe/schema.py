"""The one result schema: what every measurement says, the checks that it says it, and its Parquet form.

A table is a tidy frame with one row per (key, metric). It is the wall between tensors and statistics: nothing here
imports torch, and everything downstream needs only this module and the table.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

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
_ARROW = pa.schema([(c, pa.float64() if c in _FLOAT else pa.int64() if c in _INT else pa.string()) for c in COLUMNS])
_NOTE = b"depthprobe"
LEAST = 2**20  # bytes left on a disk under which it counts as full


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
    if (infinite := np.isinf(table["value"].to_numpy(float))).any():
        first = table[infinite].iloc[0][["model", "sample", "metric"]].to_dict()
        raise ValueError(
            f"Expected finite or NaN `value`, but got infinity for {first}; NaN is the mark for undefined."
        )
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


@contextlib.contextmanager
def replacing(path: Path, *, failures: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """A path to write to; at the end of the block the file takes the place of `path`, as a whole or not at all.

    Convention: what the writer raises instead of an OSError where it cannot write is named in `failures`.

    Raises:
        OSError: if it cannot be written, with the reason and what to do.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    expected: tuple[type[Exception], ...] = (OSError, *failures)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except expected as error:
        code = getattr(error, "errno", None)
        writable = partial.parent.is_dir() and os.access(partial.parent, os.W_OK)
        full = code in (errno.ENOSPC, errno.EDQUOT) or (code is None and _full(partial.parent))
        if writable:
            partial.unlink(missing_ok=True)
        why = "the disk is full" if full else getattr(error, "strerror", None) or str(error)
        remedy = "free some space" if full else "choose a folder that can be written"
        message = f"Expected to write {path}, but {why}; {remedy} and run again: finished parts are kept."
        failure = OSError(message)  # with the code as an argument the sentence would begin with "[Errno 28]"
        failure.errno = errno.ENOSPC if full and code is None else code
        raise failure from error


def _full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a run killed half-way, sees all of it or nothing.

    Raises:
        OSError: if it cannot be written, with the reason and what to do.
    """
    with replacing(path) as partial:
        partial.write_bytes(content)


def write_part(table: pd.DataFrame, path: Path, note: Mapping[str, Any] | None = None) -> None:
    """Write one Parquet part atomically, with a JSON `note` (samples left out, device, seconds) in its header."""
    arrow = pa.Table.from_pandas(typed(table), schema=_ARROW, preserve_index=False)
    header = {**(arrow.schema.metadata or {}), _NOTE: json.dumps(dict(note or {})).encode()}
    sink = pa.BufferOutputStream()
    pq.write_table(arrow.replace_schema_metadata(header), sink, compression="zstd")
    write_atomic(path, sink.getvalue().to_pybytes())


def read_note(path: Path) -> dict[str, Any] | None:
    """The note of a part; None if there is no whole part at `path`."""
    try:
        header = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowInvalid):
        return None
    return dict(json.loads(header.get(_NOTE, b"{}")))


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table: a run's folder or one Parquet file.

    Convention: of a folder, the parts that its `table.json` lists are read (all of `parts/*.parquet` where there is
    no list), so that parts of an earlier description that still lie there never mix in.

    Raises:
        FileNotFoundError: if there is no table at `path`, with what to run.
        ValueError: if a part is damaged or of another schema.
    """
    path = Path(path)
    files = [path] if path.is_file() else sorted((path / "parts").glob("*.parquet"))
    listed = None if path.is_file() else read_sidecar(path).get("parts")
    if listed is not None:
        files = [file for file in files if file.stem in set(listed)]
    if not files:
        raise FileNotFoundError(
            f"Expected a table at {path} (parts/*.parquet), but found none; make one: depthprobe run --out {path}"
        )
    table = pa.concat_tables([_read_part(file) for file in files]).to_pandas()
    return validate(ordered(typed(table)))


def _read_part(file: Path) -> pa.Table:
    try:
        return pq.read_table(file, partitioning=None).replace_schema_metadata(None).cast(_ARROW)
    except (ValueError, pa.ArrowException, OSError) as error:
        raise ValueError(f"Expected a whole part at {file}, but {error}; delete it and run again.") from error


def read_object(file: Path, remedy: str) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
        ValueError: if it is damaged, nested without end, or something else; `remedy` says what to do.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected {file} to be a JSON object, but {error}; {remedy}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"Expected {file} to be a JSON object, but it is a {type(content).__name__}; {remedy}.")
    return content


def read_sidecar(path: str | Path) -> dict[str, Any]:
    """The JSON that `run` writes beside the parts: plans, protocol, axes, versions, skipped samples ({} if absent).

    Raises:
        ValueError: if it is damaged.
    """
    file = Path(path) / "table.json"
    return read_object(file, "delete it and run again: finished parts are kept") if file.is_file() else {}
