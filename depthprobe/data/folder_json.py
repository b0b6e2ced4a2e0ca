"""The `dataset.json` of the `folder` data set: what it must say, and reading it. The scenes writer makes it."""

import json
from pathlib import Path
from typing import Any

from depthprobe.data.folder_tables import matrix
from depthprobe.data.images import DepthEncoding
from depthprobe.data.records import Record, inside

JSON_NAME = "dataset.json"
FORMAT, VERSION = "depthprobe-folder", 1


def read_description(root: Path, split: str) -> tuple[list[Record], DepthEncoding, dict[str, Any]]:
    """Records, depth encoding and facts that `root/dataset.json` declares.

    Raises:
        ValueError: naming the file and the entry that is wrong.
    """
    file = root / JSON_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Expected {file} to be JSON, but {error}; write it again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        got = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise ValueError(f'Expected {file} to say "format": "{FORMAT}", but got {got!r}.')
    if content.get("version") != VERSION:
        raise ValueError(
            f"Expected {file} to be of version {VERSION}, but got {content.get('version')!r}; read it with the "
            "depthprobe that wrote it."
        )
    encoding = _encoding(file, content.get("depth"))
    entries = content.get("samples")
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"Expected {file} to have a list `samples` with at least one entry, but it has none.")
    records = [_record(root, entry, f"{file} sample {i}") for i, entry in enumerate(entries) if _in_split(entry, split)]
    if not records:
        known = sorted({str(e["split"]) for e in entries if isinstance(e, dict) and "split" in e})
        raise ValueError(f"Expected `split` to be one of {known} (named in {file}), but got {split!r}.")
    facts = {
        "split": split if any("split" in e for e in entries if isinstance(e, dict)) else "all",
        "layout": JSON_NAME,
        "unit": encoding.unit,
        "scale": encoding.scale,
        "invalid": list(encoding.invalid),
        "stores": encoding.stores,
        "source": content.get("facts", {}),
    }
    return records, encoding, facts


def _in_split(entry: Any, split: str) -> bool:
    return not isinstance(entry, dict) or entry.get("split", split) == split


def _encoding(file: Path, depth: Any) -> DepthEncoding:
    if not isinstance(depth, dict) or "scale" not in depth:
        raise ValueError(f'Expected {file} to declare "depth": {{"unit", "scale", "invalid"}}, but got {depth!r}.')
    unknown = depth.get("invalid", 0)
    unknown = [] if unknown is None else unknown if isinstance(unknown, list) else [unknown]
    try:
        return DepthEncoding(
            scale=float(depth["scale"]),
            unit=depth.get("unit", "m"),
            invalid=tuple(float(x) for x in unknown),
            stores=depth.get("stores", "depth"),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"Expected {file} to declare a usable `depth`: {error}") from error


def _record(root: Path, entry: Any, where: str) -> Record:
    texts = ("id", "image", "depth")
    if not isinstance(entry, dict) or any(not isinstance(entry.get(key), str) or not entry[key] for key in texts):
        raise ValueError(f"Expected {where} to have the texts `id`, `image` and `depth`, but got {entry!r}.")
    intrinsics = entry.get("intrinsics")
    return Record(
        sample=entry["id"],
        group=str(entry.get("group", entry["id"])),
        image=inside(root, entry["image"], where),
        depth=inside(root, entry["depth"], where),
        where=where,
        intrinsics=None if intrinsics is None else matrix(intrinsics, where),
    )
