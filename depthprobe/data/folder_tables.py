"""Groups and intrinsics of the `folder` data set: from an option, a pattern or a small table."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CAMERA = ("fx", "fy", "cx", "cy")


def matrix(values: Any, where: str) -> tuple[float, ...]:
    """Intrinsics as the nine numbers of the 3x3 matrix, from 3x3 numbers or from fx, fy, cx, cy.

    Raises:
        ValueError: if they are neither, not finite, or no camera matrix (fx, fy > 0; last row 0 0 1).
    """
    try:
        flat = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        flat = np.empty(0)
    if flat.shape == (4,):
        fx, fy, cx, cy = flat
        flat = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
    good = flat.shape == (3, 3) and bool(np.isfinite(flat).all()) and flat[0, 0] > 0 and flat[1, 1] > 0
    if not good or flat[2].tolist() != [0, 0, 1]:
        raise ValueError(f"Expected {where} to give intrinsics as fx, fy, cx, cy or 3x3 numbers, but got {values!r}.")
    return tuple(float(x) for x in flat.ravel())


def assign_intrinsics(
    root: Path, ids: Sequence[str], given: str | Path | Sequence[float] | None
) -> dict[str, tuple[float, ...] | None]:
    """The intrinsics of every sample: none, one camera for all, or a table `id,fx,fy,cx,cy`.

    Raises:
        ValueError: if they cannot be understood, or the table leaves out a sample.
        FileNotFoundError: if the file is missing.
    """
    if given is None:
        return dict.fromkeys(ids)
    if not isinstance(given, (str, Path)):
        return dict.fromkeys(ids, matrix(given, "`intrinsics`"))
    text = str(given)
    if text.count(",") == 3 and not text.endswith(".csv"):
        return dict.fromkeys(ids, matrix(_numbers(text.split(","), "`intrinsics`"), "`intrinsics`"))
    file = _file(root, text, "intrinsics")
    if file.suffix == ".csv":
        table = _table(file, ids, CAMERA)
        return {i: matrix(_numbers([table[i][c] for c in CAMERA], f"{file} ({i})"), f"{file} ({i})") for i in ids}
    rows = [line.replace(",", " ").split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    numbers = [_numbers(row, str(file)) for row in rows]
    return dict.fromkeys(ids, matrix(numbers[0] if len(numbers) == 1 else numbers, str(file)))


def assign_groups(root: Path, ids: Sequence[str], given: str | Path | None) -> dict[str, str]:
    """The group of every sample: itself, the first bracket of a regular expression, or a table `id,group`.

    Raises:
        ValueError: if the expression does not fit a sample, or the table leaves one out.
        FileNotFoundError: if the table is missing.
    """
    if given is None:
        return {i: i for i in ids}
    if str(given).endswith(".csv"):
        file = _file(root, str(given), "groups")
        return {i: row["group"] for i, row in _table(file, ids, ("group",)).items()}
    try:
        pattern = re.compile(str(given))
    except re.error as error:
        raise ValueError(f"Expected `groups` to be a .csv file or a regular expression, but {error}.") from error
    if pattern.groups < 1:
        raise ValueError(f"Expected `groups` to have a bracket that captures the group, but got {str(given)!r}.")
    found = {i: pattern.search(i) for i in ids}
    if misfits := [i for i, hit in found.items() if hit is None or not hit[1]]:
        raise ValueError(
            f"Expected `groups` {str(given)!r} to fit every sample id, but it fits none of {misfits[:3]} "
            f"({len(misfits)} of {len(ids)}); widen the expression."
        )
    return {i: hit[1] for i, hit in found.items() if hit is not None}


def _file(root: Path, name: str, option: str) -> Path:
    """A table that the user names: relative to `root` if it is there, else as given."""
    for file in (root / name, Path(name).expanduser()):
        if file.is_file():
            return file
    raise FileNotFoundError(f"Expected `{option}` to name a file, but there is neither {root / name} nor {name}.")


def _table(file: Path, ids: Sequence[str], columns: Sequence[str]) -> dict[str, dict[str, str]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        if absent := [c for c in ("id", *columns) if c not in (reader.fieldnames or [])]:
            raise ValueError(
                f"Expected {file} to have the header {','.join(('id', *columns))}, but {absent} is missing."
            )
        rows: dict[str, dict[str, str]] = {}
        for row in reader:
            if row["id"] in rows:
                raise ValueError(f"Expected {file} to name every sample once, but line {reader.line_num} repeats one.")
            rows[row["id"]] = row
    if missing := [i for i in ids if i not in rows or not all(rows[i][c] for c in columns)]:
        raise ValueError(
            f"Expected {file} to have a row for every sample, but {missing[:3]} ({len(missing)}) lack one."
        )
    return {i: rows[i] for i in ids}


def _numbers(texts: Sequence[str], where: str) -> list[float]:
    try:
        return [float(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"Expected {where} to hold numbers, but {error}.") from error
