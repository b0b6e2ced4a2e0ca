"""SUN RGB-D: rooms seen by four kinds of depth cameras, NYU Depth v2 among them."""

import dataclasses
import re
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import scipy.io
from numpy.typing import NDArray

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.folder_tables import matrix
from depthprobe.data.images import DEPTH_SUFFIXES, IMAGE_SUFFIXES, DepthEncoding, missing, named, read_stored, unusable
from depthprobe.data.nyu import block
from depthprobe.data.records import Record, existing_root, inside, open_records, picture_and_truth

SPLITS = {"train": "alltrain", "test": "alltest"}
SPLIT_FILE = "SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat"
FOLDERS = {"dense": "depth_bfx", "raw": "depth"}
_MILLIMETRES = DepthEncoding(scale=0.001)
_WHAT = "the folder of SUN RGB-D (with SUNRGBD/ and SUNRGBDtoolbox/)"


@DATASETS.register("sunrgbd", source="Song et al. 2015, SUN RGB-D: A RGB-D scene understanding benchmark suite")
def sunrgbd(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    depth: str = "dense",
) -> Dataset:
    """SUN RGB-D with its official split (5285 train, 5050 test), or "all" pictures there are.

    ```
    DIR/SUNRGBD/kv1/NYUdata/NYU0001/image/NYU0001.jpg
                                    depth_bfx/NYU0001.png     refined depth
                                    depth/NYU0001.png         the sensor's
                                    intrinsics.txt            nine numbers, row by row
    DIR/SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat          not needed for split="all"
    ```

    Convention:
        depth: "dense" (in-filled, `depth_bfx`) or "raw". Stored as 16 bits in millimetres, turned left by 3 bits. The
            toolbox cuts depth off at 8 m; here it is as stored, and the protocol says what counts.
        Intrinsics are taken with 0-based pixels; the toolbox's own code counts from 1. Groups: the scene of the Sun3D
        frames, the recording of the Kinect v2's, blocks of 10 consecutive numbers of NYU's (as in `nyu`), else each
        picture its own. 1449 of the pictures are NYU's.

    Raises:
        FileNotFoundError: if `root` or the split is missing.
        ValueError: if the split is damaged, leaves `root` or names nothing, or an option is unknown.
        SampleError: from reading, or at once if a file is missing and `on_error` is "raise".
    """
    check_one_of("split", split, ("all", *SPLITS))
    check_one_of("depth", depth, FOLDERS)
    place = existing_root(root, _WHAT)
    if split == "all":
        frames = [(f.parent, "") for f in sorted((place / "SUNRGBD").rglob("intrinsics.txt"))]
    else:
        frames = _listed(place, split)
    if not frames:
        raise ValueError(f"Expected `root` to be {_WHAT}, but {place} has no pictures of split {split!r}.")
    records = [_record(place, folder, where, FOLDERS[depth]) for folder, where in frames]
    facts = {
        "split": split,
        "layout": "sensor/source/frame",
        "depth": depth,
        "groups": "Sun3D scenes, Kinect v2 recordings, blocks of NYU numbers, else single pictures",
    }
    return open_records(
        "sunrgbd",
        records,
        root=place,
        read=_read,
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="scenes",
        facts=facts,
    )


def _listed(root: Path, split: str) -> list[tuple[Path, str]]:
    """The folders of a split's frames, and where each is listed."""
    file, key = root / SPLIT_FILE, SPLITS[split]
    if not file.is_file():
        raise FileNotFoundError(
            f'Expected the official split at {file}, but there is none; put the toolbox there or take split="all".'
        )
    try:
        with file.open("rb") as stream:
            cells = scipy.io.loadmat(stream, variable_names=[key])[key]
        names = [str(np.ravel(cell)[0]) for cell in np.ravel(cells)]
    except Exception as error:  # scipy raises many kinds on a damaged file
        raise ValueError(f"Expected {file} to be a MAT file with {key}, but reading it failed: {error}.") from error
    return [_place(root, name, f"{file} entry {i}") for i, name in enumerate(names, start=1)]


def _place(root: Path, name: str, where: str) -> tuple[Path, str]:
    """Names are absolute on the authors' machine: what counts begins at `SUNRGBD/`."""
    _, mark, tail = name.partition("/SUNRGBD/")
    return inside(root, f"SUNRGBD/{tail}" if mark else name.lstrip("/"), where), where


def _record(root: Path, folder: Path, where: str, depths: str) -> Record:
    name = folder.relative_to(root).as_posix().removeprefix("SUNRGBD/").strip("/")
    return Record(
        sample=f"sunrgbd-{name.replace('/', '-')}",
        group=f"sunrgbd-{_group(PurePosixPath(name))}",
        image=_only(folder / "image", IMAGE_SUFFIXES),
        depth=_only(folder / depths, DEPTH_SUFFIXES),
        where=where,
        besides=(folder / "intrinsics.txt",),
    )


def _group(name: PurePosixPath) -> str:
    if "sun3ddata" in name.parts:
        return name.parent.as_posix().replace("/", "-")
    if hit := re.fullmatch(r"NYU(\d+)", name.name):
        return block(int(hit[1]))
    return name.as_posix().split("_rgbf")[0].replace("/", "-")


def _only(folder: Path, suffixes: tuple[str, ...]) -> Path:
    """The picture in a folder that holds one; where there is none, the name of what is missing."""
    found = sorted(f for f in folder.glob("*") if f.suffix.lower() in suffixes)
    return found[0] if found else folder / f"*{suffixes[0]}"


def _read(record: Record) -> Batch:
    assert record.depth is not None
    stored = read_stored(record.depth, record.where)
    if stored.dtype.kind not in "iu":
        raise unusable(
            f"{named(record.depth, record.where)} to hold 16-bit integers", f"it holds {stored.dtype}", "copy it again"
        )
    (camera,) = record.besides
    known = dataclasses.replace(record, intrinsics=_intrinsics(camera, record.where))
    return picture_and_truth(known, *_MILLIMETRES.decode(unrotated(stored)))


def _intrinsics(file: Path, where: str) -> tuple[float, ...]:
    try:
        numbers = [float(text) for text in file.read_text(encoding="utf-8").split()]
        return matrix(np.reshape(numbers, (3, 3)), named(file, where))
    except FileNotFoundError as error:
        raise missing(file, where) from error
    except ValueError as error:
        raise unusable(
            f"{named(file, where)} to hold the nine numbers of a camera matrix", str(error), "copy it again"
        ) from error


def unrotated(stored: NDArray[Any]) -> NDArray[np.uint16]:
    """Millimetres of stored 16-bit numbers, which are turned left by 3 bits."""
    turned = stored.astype(np.uint16)
    return ((turned >> 3) | (turned << 13)).astype(np.uint16)
