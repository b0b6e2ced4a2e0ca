"""KITTI's LiDAR: its calibration files, its scans, and their projection to depth maps."""

import dataclasses
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from depthprobe.data.images import missing, unusable

_SHAPES = {"P_rect": (3, 4), "R_rect": (3, 3), "S_rect": (2,), "R": (3, 3), "T": (3,)}


@dataclasses.dataclass(frozen=True)
class Calibration:
    """One rectified camera of one day.

    Convention: `intrinsics` (9 numbers, row by row), `size` (h, w) of its images, and `from_velodyne` (3,4):
    homogeneous points of the scanner (forward, left, up) to (u w, v w, w), w being depth; zeros where it was not read.
    """

    intrinsics: tuple[float, ...]
    size: tuple[int, int]
    from_velodyne: NDArray[np.float64]


def read_calibration(day: Path, camera: int, *, velodyne: bool) -> Calibration:
    """The calibration of camera 2 or 3 in a day's folder, and for its scans that of the scanner.

    Raises:
        FileNotFoundError: if one is missing.
        ValueError: if one lacks an entry, or it is not of its numbers; names file and entry.
    """
    cameras = _Entries(day / "calib_cam_to_cam.txt")
    projection = cameras.array(f"P_rect_0{camera}")
    width, height = cameras.array(f"S_rect_0{camera}")
    from_velodyne = np.zeros((3, 4))
    if velodyne:
        scanner = _Entries(day / "calib_velo_to_cam.txt")
        rectify, to_camera = np.eye(4), np.eye(4)
        rectify[:3, :3] = cameras.array("R_rect_00")
        to_camera[:3, :3], to_camera[:3, 3] = scanner.array("R"), scanner.array("T")
        from_velodyne = projection @ rectify @ to_camera
    intrinsics = tuple(float(x) for x in projection[:, :3].ravel())
    return Calibration(intrinsics, (int(height), int(width)), from_velodyne)


class _Entries:
    """The lines `name: numbers` of a calibration file."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"Expected KITTI's calibration at {path}, but there is none; put it there.")
        self._path = path
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        self._texts = {name.strip(): text for name, _, text in (line.partition(":") for line in lines)}

    def array(self, name: str) -> NDArray[np.float64]:
        shape = _SHAPES[name.rstrip("0123456789").rstrip("_")]
        try:
            numbers = np.array([float(text) for text in self._texts.get(name, "").split()])
        except ValueError:
            numbers = np.empty(0)
        if numbers.size != np.prod(shape) or not np.isfinite(numbers).all():
            raise ValueError(
                f"Expected {self._path} to give {name} as {np.prod(shape)} numbers, but got "
                f"{self._texts.get(name, 'no such line')!r}; download it again."
            )
        return numbers.reshape(shape)


def read_points(path: Path, where: str = "") -> NDArray[np.float64]:
    """The points (N,3) of a scan: forward, left, up, in metres.

    Raises:
        SampleError: if the file is missing or no list of 4 float32 numbers a point.
    """
    try:
        numbers = np.fromfile(path, dtype="<f4")
        size = path.stat().st_size
    except FileNotFoundError as error:
        raise missing(path, where) from error
    except OSError as error:
        raise unusable(f"{path} to be readable", f"reading it failed: {error}", "copy it again") from error
    if not size or size % 16:
        raise unusable(
            f"{path} to hold points of 4 float32 numbers", f"it has {size} bytes", "copy or download it again"
        )
    return numbers.reshape(-1, 4)[:, :3].astype(np.float64)


def project(points: NDArray[np.float64], matrix: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """The depth map (H,W) of points (N,3) under a projection (3,4); 0 where no point falls.

    Convention: points behind the scanner or the camera are left out; a point falls on the pixel of its rounded (half to
    even) coordinates less 1, and the nearest of a pixel's points counts.
    Source: monodepth2, kitti_utils.py, with z for depth.
    """
    height, width = size
    ahead = points[np.isfinite(points).all(1) & (points[:, 0] >= 0)]
    seen = ahead @ matrix[:, :3].T + matrix[:, 3]
    seen = seen[seen[:, 2] > 0]
    x, y = (np.round(seen[:, i] / seen[:, 2]) - 1 for i in (0, 1))
    within = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    nearest = np.full(height * width, np.inf)
    pixel = (y[within] * width + x[within]).astype(np.int64)
    np.minimum.at(nearest, pixel, seen[within, 2])
    return np.where(np.isfinite(nearest), nearest, 0).astype(np.float32).reshape(size)
