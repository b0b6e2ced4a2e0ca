"""Data sets made of files: what one sample is, which are taken, where they may lie, and how they are opened."""

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import Dataset
from depthprobe.data.images import DepthEncoding, missing, one_sample, read_depth, read_rgb, unusable
from depthprobe.data.links import check_links

ARCHIVES = (".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar")
PLAIN = (".npy", ".tif", ".tiff", ".bmp")
LONGEST = 4096  # characters of a line in a list
_HEAD, _TAIL = 512, 64


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One sample of a data set made of files.

    `depth` is None where an image has no depth map; `where` says which list line or entry named it; `intrinsics`
    are the nine numbers of the 3x3 matrix, row by row, and hold for images of `frame` (h,w) only (None: any size);
    `besides` are the other files that it is read from (a mask, a calibration).
    """

    sample: str
    group: str
    image: Path
    depth: Path | None
    where: str = ""
    intrinsics: tuple[float, ...] | None = None
    frame: tuple[int, int] | None = None
    besides: tuple[Path, ...] = ()

    @property
    def files(self) -> list[Path]:
        """All that it is read from, as far as there is a depth map."""
        return [file for file in (self.image, self.depth, *self.besides) if file is not None]


def open_records(
    name: str,
    records: Sequence[Record],
    *,
    root: Path,
    read: Callable[[Record], Batch],
    n: int | None,
    batch_size: int,
    on_error: str,
    protocol: str,
    facts: dict[str, Any],
) -> Dataset:
    """The data set of `records`, each read by `read`, thinned evenly to `n`; adds `root`, `n`, `digest` to the facts.

    With `on_error="raise"` every file is looked for before the first is read, so that a missing one is reported at
    once and not in the middle of a run.

    Raises:
        ValueError: on repeated sample ids, an `n` or `batch_size` out of range, or a link out of `root`.
        SampleError: if a file is missing and `on_error` is "raise".
    """
    check_unique(records)
    chosen = [records[i] for i in spread(len(records), n)]
    check_range("batch_size", batch_size, 1, float("inf"))
    check_links((file for record in chosen for file in record.files), root, name)
    dataset = Dataset(
        name=name,
        samples=[record.sample for record in chosen],
        groups=[record.group for record in chosen],
        read=lambda i: read(chosen[i]),
        facts={"root": str(root), **facts, "n": len(chosen), "digest": fingerprint(chosen, root)},
        protocol=protocol,
        batch_size=batch_size,
        on_error=on_error,
    )
    if on_error == "raise":
        for record in chosen:
            _check_present(record)
    return dataset


def reader(encoding: DepthEncoding) -> Callable[[Record], Batch]:
    """The reader of records whose depth maps are files of one encoding.

    It raises SampleError if a file is missing or cannot be used.
    """

    def read(record: Record) -> Batch:
        if record.depth is None:
            raise _no_depth(record)
        return picture_and_truth(record, *read_depth(record.depth, encoding, record.where))

    return read


def picture_and_truth(record: Record, depth: NDArray[np.float32], valid: NDArray[np.bool_]) -> Batch:
    """The record's picture with its depth in metres (H,W) and valid mask, as a batch of one.

    Raises:
        SampleError: if the picture is missing or cannot be used, or the two do not fit.
    """
    size = (depth.shape[0], depth.shape[1])
    return record_batch(record, read_rgb(record.image, record.where, size), depth, valid)


def record_batch(
    record: Record, image: NDArray[np.uint8], depth: NDArray[np.float32], valid: NDArray[np.bool_]
) -> Batch:
    """What was read of a record as a batch of one.

    Raises:
        SampleError: if picture and depth differ in size, or no pixel is valid.
    """
    files = " + ".join(str(path) for path in dict.fromkeys((record.image, record.depth)))
    return one_sample(
        image,
        depth,
        valid,
        sample=record.sample,
        group=record.group,
        intrinsics=record.intrinsics if record.frame in (None, depth.shape) else None,
        source=files + (f" ({record.where})" if record.where else ""),
    )


def spread(total: int, n: int | None) -> list[int]:
    """`n` of `total` sample numbers, evenly spread and always the same; None: all.

    Evenly spread, because neighbours in a list are often frames of one scene: the first n would be few scenes.

    Raises:
        ValueError: if `n` is not in 1..total.
    """
    if n is None:
        return list(range(total))
    if not 1 <= n <= total:
        raise ValueError(f"Expected `n` to be in [1, {total}] (the samples there are), but got {n!r}.")
    return [i * total // n for i in range(n)]


def existing_root(root: str | Path | None, what: str) -> Path:
    """The folder or file that `root` names.

    Raises:
        ValueError: if no root is given, or it is an archive: nothing is unpacked here.
        FileNotFoundError: if there is nothing at `root`.
    """
    if root is None or str(root) == "":
        raise ValueError(f"Expected `root` to be {what}, but got none; give its place: --root PATH.")
    path = Path(root).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"Expected `root` to be {what}, but {path} does not exist; correct --root.")
    if path.suffix.lower() in ARCHIVES and path.is_file():
        raise ValueError(f"Expected `root` to be {what}, but {path} is an archive; unpack it and give its folder.")
    return path


def inside(root: Path, name: str, where: str) -> Path:
    """The path `name` below `root`.

    Convention: where links lead is looked at when the files are known (`check_links`).

    Raises:
        ValueError: if `name` is empty, absolute or climbs with `..`: a list must not reach files outside its folder.
    """
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if not name or posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ValueError(
            f"Expected {where} to name a file below {root}, but got {name!r}; write the path relative to that folder, "
            "without `..`."
        )
    return root / name


def numbered_lines(listing: Path) -> list[tuple[str, str]]:
    """The lines of a list that are not blank, stripped, each with its place as the sentences name it.

    Raises:
        ValueError: if the file is no text, or a line of it is endless.
    """
    try:
        lines = listing.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"Expected {listing} to be text (UTF-8), but {error}; save it again as such.") from error
    found = [(f"{listing}:{number}", line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if endless := [where for where, line in found if len(line) > LONGEST]:
        raise ValueError(f"Expected {endless[0]} to be a line of at most {LONGEST} characters, but it is longer.")
    return found


def check_unique(records: Sequence[Record]) -> None:
    """Raise ValueError if two records share a sample id, naming both, or an id is no text that can be written down."""
    for record in records:
        if not record.sample.isprintable():
            raise ValueError(
                f"Expected sample ids of printable characters, but got {record.sample!r} of {str(record.image)!r}; "
                "rename the file."
            )
    first: dict[str, Record] = {}
    twice = Counter(record.sample for record in records)
    for record in records:
        if twice[record.sample] > 1 and record.sample in first:
            one, two = (r.where or str(r.image) for r in (first[record.sample], record))
            raise ValueError(
                f"Expected unique sample ids, but {one} and {two} are both {record.sample!r}; remove or rename one."
            )
        first.setdefault(record.sample, record)


def fingerprint(records: Sequence[Record], root: Path) -> str:
    """12-character hash of the samples' ids, names and files: cheap enough for every start.

    Of compressed files the size, the first 512 and the last 64 bytes count: another picture has another size, and a PNG
    ends in a checksum. Arrays and pictures stored plain keep their size when they are corrected, so all bytes count.
    """
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.sample}\0{record.group}\0{record.intrinsics}\n".encode())
        for path in record.files:
            digest.update(os.fsencode(path.relative_to(root)) + b"\0" + file_bytes(path))
    return digest.hexdigest()[:12]


def file_bytes(path: Path) -> bytes:
    """The size, the first 512 and the last 64 bytes of a file; of a PLAIN one a hash (b"-" if it cannot be read)."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() in PLAIN:
                return hashlib.file_digest(file, "sha256").digest()
            head = file.read(_HEAD)
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            return f"{size}:".encode() + head + file.read()
    except OSError:
        return b"-"


def _check_present(record: Record) -> None:
    if record.depth is None:
        raise _no_depth(record)
    for path in record.files:
        if not path.is_file():
            raise missing(path, record.where)


def _no_depth(record: Record) -> Exception:
    return unusable(f"a depth map for {record.image}", "none matches", "add it or remove the image")
