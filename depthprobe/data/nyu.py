"""NYU Depth v2: the list layout of the depth literature, and the original labelled file (`nyu_mat`)."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from depthprobe.checks import check_one_of
from depthprobe.data.dataset import DATASETS, Dataset, SampleError
from depthprobe.data.images import DepthEncoding, read_stored
from depthprobe.data.nyu_mat import MAT_NAME, open_mat
from depthprobe.data.records import Record, existing_root, inside, numbered_lines, open_records, reader

SPLITS = ("train", "test")
FOCAL = 518.8579
FRAME = (480, 640)
INTRINSICS = (FOCAL, 0.0, 325.5824, 0.0, 519.4696, 253.7362, 0.0, 0.0, 1.0)
BLOCK = 10
MILLIMETRES = DepthEncoding(scale=0.001)
_WHAT = f"the NYU Depth v2 folder (train.txt, test.txt) or its {MAT_NAME}"
_SCENE = re.compile(r".*_\d+[a-z]?")


@DATASETS.register("nyu", source="Silberman et al. 2012, Indoor segmentation and support inference from RGBD images")
def nyu(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    depth: str = "dense",
) -> Dataset:
    """NYU Depth v2 with the official split (795 train, 654 test).

    `root` is one of
      * a folder with `train.txt`, `test.txt`: lines `rgb depth focal`, depth as 16-bit PNG in millimetres
        (the list layout of BTS; a leading "/" is dropped, lines whose depth is "None" are left out and counted);
      * a folder with `nyu_depth_v2_labeled.mat` and `splits.mat`, or the path of that .mat file itself.
    A folder that has both is read by its lists, unless `depth="raw"`.

    Convention: `n` takes an evenly spread subset, always the same. Sample ids are `nyu-` and the official, 1-based
    frame number. Groups are the real scenes where they are known (.mat, scene folders); otherwise blocks of 10
    consecutive official numbers, because frames of one room are neighbours in the numbering. Depth is valid where
    it is > 0. `depth="raw"` (only in the .mat) takes the sensor's depth with its holes, "dense" the in-filled one.
    Intrinsics are the toolbox's colour camera, calibrated with 0-based pixels (origin = centre of the top-left
    pixel) and used so here; the toolbox's own back-projection counts pixels from 1, a shift of one pixel (0.11
    degrees). They hold for 480x640 frames, so frames of another size carry none.

    Raises:
        FileNotFoundError: if `root` or the list is missing.
        ValueError: on a malformed list or .mat file, or an unknown option.
        SampleError: from reading, or at once if a listed file is missing and `on_error` is "raise".
    """
    check_one_of("split", split, SPLITS)
    check_one_of("depth", depth, ("dense", "raw"))
    place = existing_root(root, _WHAT)
    options: dict[str, Any] = {"n": n, "batch_size": batch_size, "on_error": on_error}
    if place.is_file():
        return open_mat(place, split=split, depth=depth, intrinsics=INTRINSICS, frame=FRAME, **options)
    mat, listing = place / MAT_NAME, place / f"{split}.txt"
    if mat.is_file() and (depth == "raw" or not listing.is_file()):
        return open_mat(mat, split=split, depth=depth, intrinsics=INTRINSICS, frame=FRAME, **options)
    if depth == "raw":
        raise ValueError(
            f'Expected `depth` to be "dense" for the lists in {place}, but got "raw"; the sensor\'s raw depth is only '
            f"in {MAT_NAME}."
        )
    if not listing.is_file():
        raise FileNotFoundError(
            f"Expected `root` to be {_WHAT}, but {place} has neither {split}.txt nor {MAT_NAME}; correct --root."
        )
    return _open_list(place, listing, split, **options)


def _open_list(root: Path, listing: Path, split: str, **options: Any) -> Dataset:
    records, without_depth = read_list(root, listing)
    named_scenes = any(not record.group.startswith("nyu-block-") for record in records)
    facts = {
        "split": split,
        "layout": "list",
        "depth": "dense",
        "lines_without_depth": without_depth,
        "groups": "scene folders" if named_scenes else f"blocks of {BLOCK} consecutive official frame numbers",
        "depth_step_m": depth_step(records),
    }
    return open_records("nyu", records, root=root, read=reader(MILLIMETRES), protocol="bts_nyu", facts=facts, **options)


def read_list(root: Path, listing: Path) -> tuple[list[Record], int]:
    """The records of a list file, and how many of its lines have no depth.

    Raises:
        ValueError: naming file and line, if a line is malformed, leaves `root` or is for another camera, or if none
            is left.
    """
    records, without_depth = [], 0
    for where, line in numbered_lines(listing):
        fields = line.split()
        if len(fields) not in (2, 3):
            raise ValueError(f"Expected {where} to read `rgb depth focal`, but got {line!r}.")
        if fields[1] == "None":
            without_depth += 1
            continue
        _check_focal(fields[2:], where)
        records.append(_record(root, fields[0], fields[1], where))
    if not records:
        raise ValueError(f"Expected {listing} to list samples, but no line has an image and a depth map.")
    return records, without_depth


def _record(root: Path, image: str, depth: str, where: str) -> Record:
    files = [inside(root, name.lstrip("/"), where) for name in (image, depth)]
    sample, group = _names(PurePosixPath(image), where)
    return Record(
        sample=sample,
        group=group,
        image=files[0],
        depth=files[1],
        where=where,
        intrinsics=INTRINSICS,
        frame=FRAME,
    )


def depth_step(records: Sequence[Record], files: int = 4) -> float | None:
    """The depth map's own resolution in metres: the median gap between the distinct values of a few files.

    Copies of NYU that went through 8 bits move in steps of centimetres; whoever takes second derivatives of depth
    must know. None if the files cannot be read.
    """
    values = []
    for i in range(min(files, len(records))):
        path = records[i * len(records) // files].depth if len(records) >= files else records[i].depth
        try:
            values.append(np.unique(read_stored(path))) if path else None
        except SampleError:
            continue
    distinct = np.unique(np.concatenate(values)) if values else np.empty(0)
    return round(float(np.median(np.diff(distinct.astype(np.float64)))) * 0.001, 6) if len(distinct) > 1 else None


def block(number: int) -> str:
    """The group of an official frame number where scenes are unknown: its block of 10 consecutive numbers."""
    return f"nyu-block-{(number - 1) // BLOCK:03d}"


def _names(path: PurePosixPath, where: str) -> tuple[str, str]:
    """Sample and group of `test/00671.jpg`, `bathroom/rgb_00045.jpg` (0-based) or `kitchen_0028b/rgb_00045.jpg`."""
    match = re.fullmatch(r"(rgb_)?(\d+)", path.stem)
    if match is None:
        raise ValueError(f"Expected {where} to name an image NNNNN or rgb_NNNNN, but got {path.name!r}.")
    folder, number = path.parent.name, int(match[2])
    if number < 1 and not match[1]:
        raise ValueError(
            f"Expected {where} to carry an official frame number (they start at 1), but got {path.name!r}."
        )
    if _SCENE.fullmatch(folder):
        return f"nyu-{folder}-{number:05d}", f"nyu-{folder}"
    official = number + 1 if match[1] else number
    return f"nyu-{official:05d}", block(official)


def _check_focal(field: Sequence[str], where: str) -> None:
    try:
        wrong = bool(field) and abs(float(field[0]) - FOCAL) > 1
    except ValueError:
        wrong = True
    if wrong:
        raise ValueError(
            f"Expected {where} to give NYU's focal length {FOCAL}, but got {field[0]!r}; use the `folder` data set for "
            "another camera."
        )
