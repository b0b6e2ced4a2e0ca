"""Your own images and depth maps: pairs of files with declared unit, scale and invalid value, or a `dataset.json`."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from depthprobe.checks import check_one_of
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.folder_json import JSON_NAME, read_description
from depthprobe.data.folder_tables import assign_groups, assign_intrinsics
from depthprobe.data.images import DEPTH_SUFFIXES, IMAGE_SUFFIXES, STORES, DepthEncoding, unknown_values
from depthprobe.data.records import Record, existing_root, inside, open_records, reader


@DATASETS.register("folder", source="your own files")
def folder(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    protocol: str = "scenes",
    images: str | None = None,
    depths: str | None = None,
    scale: float | None = None,
    unit: str | None = None,
    invalid: float | Sequence[float] | None = None,
    stores: str | None = None,
    intrinsics: str | Path | Sequence[float] | None = None,
    groups: str | Path | None = None,
) -> Dataset:
    """Images with depth maps from a folder.

    If `root/dataset.json` exists it declares everything, and the options from `images` on must be left out:
    `{"format": "depthprobe-folder", "version": 1, "depth": {"unit": "m", "scale": 0.001, "invalid": 0},
    "samples": [{"id": "a", "group": "g", "image": "images/a.png", "depth": "depth/a.png", "intrinsics": [[...]]}],
    "facts": {...}}`; `group`, `intrinsics`, `facts`, `depth.stores` and a sample's `split` may be left out. `split`
    selects only where the samples name theirs.

    Otherwise files are paired by two patterns below `root`: a pair is an image and a depth map at which the
    wildcards stand for the same text (`*/rgb_*.jpg` with `*/depth_*.png`), file suffixes aside.

    Convention:
        images, depths: patterns; default `images/*` and `depth/*` (depth: 16-bit PNG or TIFF, or .npy).
        scale: metres (or `unit`s) per stored 1; default 0.001 for integers, 1 for floating-point files.
        unit: "m" (default), "cm" or "mm". invalid: stored value(s) meaning unknown, default 0.
        stores: "depth" (default, z-depth) or "disparity" (its inverse, in 1/unit).
        intrinsics: `fx,fy,cx,cy`, or a file: .csv with the header id,fx,fy,cx,cy, or a 3x3 matrix as text; the origin
            is the centre of the top-left pixel.
        groups: a .csv file with the header id,group, or a regular expression whose first bracket in the sample id
            is the group; default: every sample is its own group. Frames of one scene are not independent: group them.
        n: an evenly spread subset, always the same.

    Raises:
        FileNotFoundError: if `root` or a declared file is missing.
        ValueError: on a malformed description, repeated ids, a path that leaves `root`, or patterns without a pair.
        SampleError: from reading, or at once if a file is missing and `on_error` is "raise".
    """
    place = existing_root(root, f"a folder of images and depth maps (or with a {JSON_NAME})")
    if place.name == JSON_NAME:
        place = place.parent
    if not place.is_dir():
        raise ValueError(f"Expected `root` to be a folder, but {place} is a file; give its folder.")
    plain: dict[str, Any] = {
        "images": images, "depths": depths, "scale": scale, "unit": unit, "invalid": invalid, "stores": stores,
        "intrinsics": intrinsics, "groups": groups,
    }  # fmt: skip
    given = {name: value for name, value in plain.items() if value is not None}
    if (place / JSON_NAME).is_file():
        if given:
            raise ValueError(
                f"Expected no {sorted(given)} beside {place / JSON_NAME}, which declares them; leave them out, or "
                "remove that file."
            )
        records, encoding, facts = read_description(place, split)
    else:
        records, encoding, facts = _read_pairs(place, **given)
    return open_records(
        "folder",
        records,
        root=place,
        read=reader(encoding),
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol=protocol,
        facts=facts,
    )


def _read_pairs(
    root: Path,
    *,
    images: str = "images/*",
    depths: str = "depth/*",
    scale: float | None = None,
    unit: str = "m",
    invalid: float | Sequence[float] = 0.0,
    stores: str = "depth",
    intrinsics: str | Path | Sequence[float] | None = None,
    groups: str | Path | None = None,
) -> tuple[list[Record], DepthEncoding, dict[str, Any]]:
    check_one_of("stores", stores, STORES)
    encoding = DepthEncoding(
        scale=None if scale is None else float(scale), unit=unit, invalid=unknown_values(invalid), stores=stores
    )
    pictures, maps = match(root, images, IMAGE_SUFFIXES), match(root, depths, DEPTH_SUFFIXES)
    if not set(pictures) & set(maps):
        raise ValueError(
            f"Expected pairs of images {images!r} and depth maps {depths!r} below {root}, but found {len(pictures)} "
            f"images, {len(maps)} depth maps and no pair; correct the patterns (`images`, `depths`)."
        )
    ids = sorted(pictures)
    matrices, sources = assign_intrinsics(root, ids, intrinsics), assign_groups(root, ids, groups)
    records = [
        Record(sample=i, group=sources[i], image=pictures[i], depth=maps.get(i), intrinsics=matrices[i]) for i in ids
    ]
    facts = {
        "split": "all",
        "layout": f"{images} + {depths}",
        "unit": unit,
        "scale": "0.001 for integers, 1 for floating-point files" if scale is None else encoding.scale,
        "invalid": list(encoding.invalid),
        "stores": stores,
        "groups": "every sample" if groups is None else str(groups),
        "depths_without_image": len(set(maps) - set(pictures)),
    }
    return records, encoding, facts


def match(root: Path, pattern: str, suffixes: Sequence[str]) -> dict[str, Path]:
    """Files below `root` that fit `pattern`, by what its wildcards stand for (joined by "-", suffix aside).

    Raises:
        ValueError: if the pattern leaves `root`, has no `*`, or two files have one key.
    """
    inside(root, pattern, "a pattern")
    if "*" not in pattern:
        raise ValueError(f"Expected a pattern with a `*`, such as 'images/*.png', but got {pattern!r}.")
    stem = pattern.rsplit(".", 1)[0] if "." in PurePosixPath(pattern).name else pattern
    regex = re.compile(_pattern_regex(stem))
    found: dict[str, Path] = {}
    for path in sorted(root.glob(pattern)):
        hit = regex.fullmatch(path.relative_to(root).with_suffix("").as_posix())
        if hit is None or path.suffix.lower() not in suffixes or not path.is_file():
            continue
        key = "-".join(part.strip("/").replace("/", "-") for part in hit.groups() if part) or path.stem
        if key in found:
            raise ValueError(
                f"Expected one file per sample, but {found[key]} and {path} are both {key!r}; make the pattern "
                f"{pattern!r} narrower."
            )
        found[key] = path
    return found


def _pattern_regex(pattern: str) -> str:
    """A glob pattern as a regular expression in which every wildcard is a bracket."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^]]+\])", pattern)
    wild = {"**/": "((?:[^/]+/)*)", "**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    return "".join(wild.get(p) or (f"({p})" if p.startswith("[") else re.escape(p)) for p in parts)
