"""The original labelled file of NYU Depth v2: `nyu_depth_v2_labeled.mat` (HDF5) with `splits.mat` beside it."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
from numpy.typing import NDArray

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import Dataset
from depthprobe.data.hdf5 import kept_here, member
from depthprobe.data.images import DepthEncoding, one_sample, unusable
from depthprobe.data.records import file_bytes, spread

MAT_NAME = "nyu_depth_v2_labeled.mat"
SPLITS_NAME = "splits.mat"
_DEPTH_KEYS = {"dense": "depths", "raw": "rawDepths"}
_METRES = DepthEncoding(scale=1.0)


def open_mat(
    path: Path,
    *,
    split: str,
    depth: str,
    intrinsics: Sequence[float],
    frame: tuple[int, int],
    n: int | None,
    batch_size: int,
    on_error: str,
) -> Dataset:
    """Open the labelled .mat file; frames are read from it one at a time.

    Convention: MATLAB's axes come out reversed: images (N,3,W,H) uint8, depths (N,W,H) metres.

    Raises:
        FileNotFoundError: if `splits.mat` is not beside the file.
        ValueError: if one of the files is not what its name says.
    """
    key = _DEPTH_KEYS[depth]
    scenes = _check_layout(path, key)
    numbers = _split_numbers(path.with_name(SPLITS_NAME), split, len(scenes))
    chosen = [numbers[i] for i in spread(len(numbers), n)]
    check_range("batch_size", batch_size, 1, float("inf"))
    samples = [f"nyu-{number:05d}" for number in chosen]
    groups = [scenes[number - 1] for number in chosen]

    def read(i: int) -> Batch:
        image, stored = _read_arrays(path, key, chosen[i])
        metres, valid = _METRES.decode(stored)
        return one_sample(
            image,
            metres,
            valid,
            sample=samples[i],
            group=groups[i],
            intrinsics=intrinsics if metres.shape == frame else None,
            source=f"frame {chosen[i]} of {path}",
        )

    digest = hashlib.sha256(f"{depth}{samples}{groups}".encode() + file_bytes(path)).hexdigest()[:12]
    facts = {
        "root": str(path),
        "split": split,
        "layout": "mat",
        "depth": depth,
        "groups": "scenes named in the file",
        "n": len(chosen),
        "digest": digest,
    }
    return Dataset(
        name="nyu",
        samples=samples,
        groups=groups,
        read=read,
        facts=facts,
        protocol="bts_nyu",
        batch_size=batch_size,
        on_error=on_error,
    )


def _read_arrays(path: Path, key: str, number: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    try:
        with h5py.File(path, "r") as file:
            image = np.ascontiguousarray(member(file, "images")[number - 1].transpose(2, 1, 0))
            return image, np.ascontiguousarray(member(file, key)[number - 1].T)
    except OSError as error:
        raise unusable(
            f"frame {number} of {path} to be readable", f"reading it failed: {error}", "download the file again"
        ) from error


def _check_layout(path: Path, key: str) -> list[str]:
    """The scene name of every frame, once the file has the arrays that it must have."""
    if not h5py.is_hdf5(path):
        raise ValueError(
            f"Expected {path} to be {MAT_NAME} (MATLAB v7.3, an HDF5 file), but it is no HDF5 file; download it again, "
            "or give the folder of the list layout as `root`."
        )
    try:
        with h5py.File(path, "r") as file:
            if absent := {"images", "scenes", key} - set(file):
                raise ValueError(f"Expected {path} to hold {sorted(absent)}, but it has only {sorted(file)}.")
            images, depths = member(file, "images").shape, member(file, key).shape
            named = [kept_here(file[ref], "scenes") for ref in np.ravel(member(file, "scenes")[()])]
            scenes = ["".join(map(chr, np.ravel(name[()]))) for name in named]
    except (OSError, KeyError, TypeError) as error:
        raise ValueError(f"Expected {path} to be a complete {MAT_NAME}, but {error}; download it again.") from error
    if len(images) != 4 or images[1] != 3 or depths != (images[0], *images[2:]) or len(scenes) != images[0]:
        raise ValueError(
            f"Expected {path} to hold images (N,3,W,H), {key} (N,W,H) and N scenes, but got {images}, {depths} and "
            f"{len(scenes)} scenes."
        )
    return scenes


def _split_numbers(path: Path, split: str, total: int) -> list[int]:
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the official split at {path}, but there is none; put the data set's {SPLITS_NAME} there."
        )
    key = f"{split}Ndxs"
    try:
        content: dict[str, Any] = scipy.io.loadmat(path, variable_names=[key])
        numbers = [int(x) for x in np.ravel(content[key])]
    except Exception as error:  # scipy raises many kinds on a damaged file
        raise ValueError(f"Expected {path} to be a MAT file with {key}, but reading it failed: {error}.") from error
    if not numbers or min(numbers) < 1 or max(numbers) > total:
        raise ValueError(
            f"Expected {key} of {path} to hold frame numbers in 1..{total}, but they run from "
            f"{min(numbers, default=0)} to {max(numbers, default=0)}; the two files do not belong together."
        )
    return numbers
