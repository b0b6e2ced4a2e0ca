"""KITTI: the raw drives with the Eigen split, against improved ground truth or the raw LiDAR."""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.images import DepthEncoding
from depthprobe.data.kitti_lidar import Calibration, project, read_calibration, read_points
from depthprobe.data.records import (
    Record,
    existing_root,
    inside,
    numbered_lines,
    open_records,
    picture_and_truth,
    reader,
)

SPLITS = ("train", "val", "test")
LISTS = ("splits/eigen/{split}_files.txt", "eigen_{split}_files_with_gt.txt", "eigen_{split}_files.txt")
IMPROVED = ("data_depth_annotated/train", "data_depth_annotated/val", "train", "val", "")
SUFFIXES = (".png", ".jpg")
EIGEN_TEST = {697: 652}
"""How many frames the list of Eigen's test split names, and how many of those have improved ground truth."""
_FRAME = re.compile(r"/?(\d{4}_\d\d_\d\d)/(\1_drive_\d{4}_sync)(?:/image_0([23])/data/(\d+)\.(?:png|jpe?g))?")
_PNG = DepthEncoding(scale=1 / 256)
_WHAT = "the KITTI raw data (folders 2011_09_26, ...) with a list of the Eigen split"


class Frame(NamedTuple):
    """One frame of a drive: day, folder of the drive, camera (2 left, 3 right), number, where it was listed."""

    day: str
    drive: str
    camera: int
    number: int
    where: str

    @property
    def sample(self) -> str:
        """The sample id."""
        return f"kitti-{self.drive.removesuffix('_sync')}-{self.number:010d}{'-right' if self.camera == 3 else ''}"


@DATASETS.register(
    "kitti", source="Geiger et al. 2013, Vision meets robotics; Eigen et al. 2014; improved depth: Uhrig et al. 2017"
)
def kitti(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
    depth: str = "improved",
    files: str | None = None,
) -> Dataset:
    """KITTI raw, synchronised and rectified, with the Eigen split (test: 697 frames, 652 of them with improved depth).

    ```
    DIR/2011_09_26/calib_cam_to_cam.txt
                   calib_velo_to_cam.txt                                            only for depth="raw"
                   2011_09_26_drive_0002_sync/image_02/data/0000000069.png          or .jpg
                                              velodyne_points/data/0000000069.bin   only for depth="raw"
    DIR/data_depth_annotated/val/2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/0000000069.png
    DIR/splits/eigen/test_files.txt            the list, or eigen_test_files_with_gt.txt, eigen_test_files.txt
    ```

    Lines of the list read `DATE/DRIVE FRAME l` (monodepth2), `rgb depth focal` (BTS; where depth is "None" the line is
    left out and counted) or `rgb` alone (Eigen). The improved depth may also lie in `DIR/train` and `DIR/val`, in the
    drives' own folders (`DIR/DRIVE/proj_depth`, as BTS), or, with DEPTHPROBE_LINKS=1, behind a link out of DIR.

    Convention:
        depth: "improved" (several scans, checked against stereo; 16-bit PNG / 256) or "raw" (one scan of the LiDAR).
            Raw depth is z of the rectified camera, the nearest point of each pixel; a point falls on the pixel of its
            rounded coordinates less 1, as in monodepth and monodepth2, which quote KITTI's MATLAB code. Those two
            write down another depth: the scanner's forward axis (`vel_depth`), about 0.27 m more than z, and mix up
            the first pixel of a row with the last of the row above.
        files: the list, relative to DIR; default: the first there is.
        Listed frames without improved depth are left out and counted: none has it at the ends of a drive. Of the 697
            of Eigen's test split 652 must have it, unless `on_error` is "skip".
        Groups are drives. Intrinsics are P_rect of the frame's camera, with 0-based pixels; where there is no
            calibration there are none. `n` takes an evenly spread subset.

    Raises:
        FileNotFoundError: if `root`, the list or (for raw depth) a calibration is missing.
        ValueError: on a malformed list or calibration, or an unknown option.
        SampleError: from reading, or at once if a listed file is missing and `on_error` is "raise".
    """
    check_one_of("split", split, SPLITS)
    check_one_of("depth", depth, ("improved", "raw"))
    place = existing_root(root, _WHAT)
    listing = find_list(place, split, files)
    frames, unlisted = read_list(place, listing)
    cameras = {key: _camera(place, key, depth) for key in dict.fromkeys((f.day, f.camera) for f in frames)}
    if depth == "improved":
        records = [_improved(place, frame, cameras) for frame in frames]
        kept = [record for record in records if record.depth is not None]
        _check_complete(listing, len(frames) + unlisted, len(kept), on_error)
        read = reader(_PNG)
    else:
        kept = [_raw(place, frame, cameras) for frame in frames]
        found = {f.sample: camera for f in frames if (camera := cameras[f.day, f.camera])}
        read = functools.partial(_read_raw, found)
    facts = {
        "split": split,
        "layout": listing.relative_to(place).as_posix(),
        "version": "raw, synchronised and rectified",
        "depth": depth,
        "frames_without_depth": len(frames) + unlisted - len(kept),
        "images": sorted({record.image.suffix for record in kept}),
        "groups": "drives",
    }
    return open_records(
        "kitti",
        kept,
        root=place,
        read=read,
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="bts_kitti",
        facts=facts,
    )


def find_list(root: Path, split: str, files: str | None) -> Path:
    """The list of a split: `files` below `root`, or the first of the usual names that is there.

    Raises:
        FileNotFoundError: if there is none; names where it was looked for.
        ValueError: if `files` leaves `root`.
    """
    names = [form.format(split=split) for form in LISTS] if files is None else [files]
    for name in names:
        if (listing := inside(root, name, "`files`")).is_file():
            return listing
    raise FileNotFoundError(
        f"Expected `root` to be {_WHAT}, but {root} has none of {names}; put the list there or name it by `files`."
    )


def read_list(root: Path, listing: Path) -> tuple[list[Frame], int]:
    """The frames of a list, and how many of its lines say that there is no depth.

    Raises:
        ValueError: naming file and line, if a line is malformed or leaves `root`, or if none is left.
    """
    frames, without = [], 0
    for where, line in numbered_lines(listing):
        fields = line.split()
        for name in fields[:2]:
            inside(root, name.lstrip("/"), where)
        if len(fields) > 1 and fields[1] == "None":
            without += 1
        else:
            frames.append(_frame(fields, where, line))
    if not frames:
        raise ValueError(f"Expected {listing} to list frames, but no line has one with depth.")
    return frames, without


def _frame(fields: Sequence[str], where: str, line: str) -> Frame:
    hit = _FRAME.fullmatch(fields[0])
    if hit and hit[4]:
        return Frame(hit[1], hit[2], int(hit[3]), int(hit[4]), where)
    if hit and len(fields) == 3 and fields[1].isdecimal() and fields[2] in ("l", "r"):
        return Frame(hit[1], hit[2], 2 if fields[2] == "l" else 3, int(fields[1]), where)
    raise ValueError(
        f"Expected {where} to read `DATE/DATE_drive_NNNN_sync FRAME l|r` or "
        f"`DATE/DATE_drive_NNNN_sync/image_02/data/NNNNNNNNNN.png depth focal`, but got {line!r}."
    )


Cameras = Mapping[tuple[str, int], Calibration | None]


def _camera(root: Path, key: tuple[str, int], depth: str) -> Calibration | None:
    """The calibration of a day and camera; None if there is none and it can be done without."""
    day, camera = key
    if depth == "improved" and not (root / day / "calib_cam_to_cam.txt").is_file():
        return None
    return read_calibration(root / day, camera, velodyne=depth == "raw")


def _record(root: Path, frame: Frame, cameras: Cameras, depth: Path | None, *besides: Path) -> Record:
    folder = root / frame.day / frame.drive / f"image_0{frame.camera}" / "data"
    images = [folder / f"{frame.number:010d}{suffix}" for suffix in SUFFIXES]
    camera = cameras[frame.day, frame.camera]
    return Record(
        sample=frame.sample,
        group=frame.drive.removesuffix("_sync"),
        image=next((image for image in images if image.is_file()), images[0]),
        depth=depth,
        where=frame.where,
        intrinsics=camera.intrinsics if camera else None,
        frame=camera.size if camera else None,
        besides=besides,
    )


def _improved(root: Path, frame: Frame, cameras: Cameras) -> Record:
    tail = Path(frame.drive, "proj_depth", "groundtruth", f"image_0{frame.camera}", f"{frame.number:010d}.png")
    places = [root / base / tail for base in (*IMPROVED, frame.day)]
    return _record(root, frame, cameras, next((place for place in places if place.is_file()), None))


def _raw(root: Path, frame: Frame, cameras: Cameras) -> Record:
    day = root / frame.day
    scan = day / frame.drive / "velodyne_points" / "data" / f"{frame.number:010d}.bin"
    return _record(root, frame, cameras, scan, day / "calib_cam_to_cam.txt", day / "calib_velo_to_cam.txt")


def _read_raw(cameras: Mapping[str, Calibration], record: Record) -> Batch:
    assert record.depth is not None
    camera = cameras[record.sample]
    depth = project(read_points(record.depth, record.where), camera.from_velodyne, camera.size)
    return picture_and_truth(record, depth, depth > 0)


def _check_complete(listing: Path, listed: int, found: int, on_error: str) -> None:
    if not found:
        raise ValueError(
            f"Expected improved depth for the frames of {listing}, but found none of {listed}; put KITTI's "
            'data_depth_annotated beside the drives, or take depth="raw".'
        )
    whole = EIGEN_TEST.get(listed, found)
    if found != whole and on_error == "raise":
        raise ValueError(
            f"Expected improved depth for {whole} of the {listed} frames of {listing}, but found {found}; complete "
            'data_depth_annotated, or take those there are with on_error="skip".'
        )
