"""iBims-1: 100 indoor pictures with exact laser depth, annotated edges and planes."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch
from numpy.typing import NDArray

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import DATASETS, Dataset
from depthprobe.data.hdf5 import member
from depthprobe.data.images import DepthEncoding, missing, named, unusable
from depthprobe.data.records import Record, existing_root, inside, numbered_lines, open_records, record_batch

LIST = "imagelist.txt"
NEEDED = ("rgb", "depth", "mask_invalid", "mask_transp")
OPTIONAL = ("calib", "edges", "mask_wall", "mask_table", "mask_floor")
PLANES = ("mask_wall", "mask_table", "mask_floor")
_METRES = DepthEncoding(scale=1.0)
_WHAT = f"the folder of iBims-1's .mat files (ibims1_core_mat) with {LIST}"


@DATASETS.register("ibims", source="Koch et al. 2018, Evaluation of CNN-based depth estimation, arXiv:1805.01328")
def ibims(
    *,
    root: str | Path | None = None,
    split: str = "test",
    n: int | None = None,
    batch_size: int = 8,
    on_error: str = "raise",
) -> Dataset:
    """iBims-1's 100 pictures, from its .mat files, in the order of its list.

    ```
    DIR/imagelist.txt        one name per line: corridor_01, ...          or both below DIR/ibims1_core_mat
    DIR/corridor_01.mat      struct `data`: rgb, depth, mask_invalid, mask_transp and, where there are any, calib,
                             edges, mask_wall, mask_table, mask_floor; MATLAB v5 or v7.3
    ```

    Convention:
        Depth is valid where it is > 0 and neither invalid nor transparent (both masks are 1 where all is well). Maps:
        `edges` (bool, annotated depth edges) and `plane` (int32, every wall, table top and floor its own number, -1
        elsewhere). `calib` is stored transposed and counts pixels from 1, as the authors' script does: 1 is taken from
        its centre.
        Which pictures show one place is not recorded: a group is a kind of room, the name without its number.

    Raises:
        FileNotFoundError: if `root` or its list is missing.
        ValueError: if the list names nothing, or leaves `root`.
        SampleError: from reading, or at once if a listed file is missing and `on_error` is "raise".
    """
    check_one_of("split", split, ("test",))
    place = existing_root(root, _WHAT)
    listing = next((f for f in (place / LIST, place / "ibims1_core_mat" / LIST) if f.is_file()), None)
    if listing is None:
        raise FileNotFoundError(f"Expected `root` to be {_WHAT}, but {place} has no {LIST}; correct --root.")
    records = [_record(listing.parent, name, where) for where, name in numbered_lines(listing)]
    if not records:
        raise ValueError(f"Expected {listing} to list pictures, but it is empty.")
    facts = {
        "split": split,
        "layout": "mat",
        "version": "iBims-1 core",
        "groups": "kinds of room (the name without its number)",
    }
    return open_records(
        "ibims",
        records,
        root=place,
        read=_read,
        n=n,
        batch_size=batch_size,
        on_error=on_error,
        protocol="ibims",
        facts=facts,
    )


def _record(folder: Path, name: str, where: str) -> Record:
    file = inside(folder, name if name.endswith(".mat") else f"{name}.mat", where)
    group = re.sub(r"_?\d+$", "", file.stem) or file.stem
    return Record(sample=f"ibims-{file.stem}", group=f"ibims-{group}", image=file, depth=file, where=where)


def _read(record: Record) -> Batch:
    fields = _fields(record.image, record.where)
    depth, valid = _METRES.decode(fields["depth"])
    for name in ("mask_invalid", "mask_transp"):
        valid &= fields[name] > 0
    known = dataclasses.replace(record, intrinsics=_intrinsics(fields["calib"], record) if "calib" in fields else None)
    batch = record_batch(known, _picture(fields["rgb"], record), np.where(valid, depth, np.float32(0)), valid)
    maps = {"plane": torch.from_numpy(_planes(fields, depth.shape))[None, None]}
    if "edges" in fields:
        maps["edges"] = torch.from_numpy(fields["edges"] > 0)[None, None]
    return batch.replace(maps=maps)


def _picture(rgb: NDArray[Any], record: Record) -> NDArray[np.uint8]:
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise unusable(
            f"rgb of {named(record.image, record.where)} to be a picture (H,W,3) of 8 bits",
            f"it has shape {rgb.shape} and type {rgb.dtype}",
            "download the file again",
        )
    return np.ascontiguousarray(rgb)


def _planes(fields: Mapping[str, NDArray[Any]], size: tuple[int, ...]) -> NDArray[np.int32]:
    """Numbers of planes (H,W), -1 on none: the labels of walls, tables and floors, counted on."""
    planes = np.full(size, -1, np.int32)
    count = 0
    for labels in (fields[name] for name in PLANES if name in fields):
        for label in np.unique(labels[labels > 0]):
            planes[labels == label] = count
            count += 1
    return planes


def _intrinsics(calib: NDArray[Any], record: Record) -> tuple[float, ...]:
    matrix = calib.astype(np.float64)  # a copy
    matrix = matrix.T if matrix.shape == (3, 3) and not matrix[:2, 2].any() else matrix
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise unusable(
            f"calib of {named(record.image, record.where)} to be a camera matrix (3,3)",
            f"it is {calib.tolist()}",
            "download the file again",
        )
    matrix[:2, 2] -= 1
    return tuple(float(x) for x in matrix.ravel())


def _fields(path: Path, where: str) -> dict[str, NDArray[Any]]:
    """The arrays of the file's struct `data`, pictures as (H,W) or (H,W,3); nothing in it is run.

    Raises:
        SampleError: if the file is missing, cannot be read, lacks an array, or they differ in size.
    """
    try:
        fields = _read_hdf5(path) if h5py.is_hdf5(path) else _read_mat(path)
    except FileNotFoundError as error:
        raise missing(path, where) from error
    except Exception as error:  # scipy raises many kinds on a damaged file
        reason = " ".join(str(error).split()) or type(error).__name__
        raise unusable(
            f"{named(path, where)} to be a MAT file with the struct `data`",
            f"reading it failed: {reason}",
            "it may be truncated: copy or download it again",
        ) from error
    fields = {name: array for name, array in fields.items() if array.size and array.dtype.kind in "biuf"}
    size = fields["depth"].shape if "depth" in fields else ()
    wrong = [name for name in NEEDED if name not in fields]
    wrong += [name for name in fields if name not in ("rgb", "calib") and fields[name].shape != size]
    if wrong:
        raise unusable(
            f"{named(path, where)} to hold {', '.join(NEEDED)} of one size",
            f"{', '.join(dict.fromkeys(wrong))} is missing or of another size",
            "download it again",
        )
    return fields


def _read_mat(path: Path) -> dict[str, NDArray[Any]]:
    with path.open("rb") as file:
        data = scipy.io.loadmat(file, variable_names=["data"])["data"]
    return {name: np.asarray(data[name][0, 0]) for name in (*NEEDED, *OPTIONAL) if name in (data.dtype.names or ())}


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    """MATLAB v7.3: the axes come out reversed."""
    with h5py.File(path, "r") as file:
        data = member(file, "data")
        return {name: np.asarray(member(data, name)[()]).T for name in (*NEEDED, *OPTIONAL) if name in data}
