"""Cells of a `datasets` row as pictures and depth maps."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depthprobe.data.images import one_map, read_rgb, read_stored, unusable


def image_of(cell: Any, where: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The picture (H,W,3) of a cell: an encoded picture, or an array (H,W,3) of 8 bits.

    Convention: `size` as in `read_rgb`.

    Raises:
        SampleError: if it is neither; names the row.
    """
    encoded = _encoded(cell, where)
    if encoded is not None:
        return read_rgb(io.BytesIO(encoded), where, size)
    pixels = _array(cell, where)
    whole = pixels.dtype.kind in "iu" and pixels.min() >= 0 and pixels.max() <= 255
    if not whole or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise unusable(
            f"{where} to be a picture (H,W,3) of 8 bits",
            f"it has shape {pixels.shape} and type {pixels.dtype}",
            "name the column of the pictures by `image`",
        )
    return pixels.astype(np.uint8)


def depth_of(cell: Any, where: str) -> NDArray[Any]:
    """The stored depth (H,W) of a cell: an encoded picture of 16 or 32 bits, or an array.

    Raises:
        SampleError: if it is neither; names the row.
    """
    encoded = _encoded(cell, where)
    return one_map(_array(cell, where), where) if encoded is None else read_stored(io.BytesIO(encoded), where)


def _encoded(cell: Any, where: str) -> bytes | None:
    """The bytes of an encoded picture; None if the cell is none."""
    if isinstance(cell, dict):
        cell = cell.get("bytes")
        if not isinstance(cell, bytes):
            raise unusable(
                f"{where} to hold a picture",
                "it only names a file, and none outside the data set is read",
                "store the pictures in the data set's own files",
            )
    return cell if isinstance(cell, bytes) else None


def _array(cell: Any, where: str) -> NDArray[Any]:
    try:
        numbers = np.asarray(cell)
    except ValueError:
        numbers = np.empty(0, dtype=object)
    if numbers.dtype.kind not in "iuf" or not numbers.size:
        held = type(cell).__name__ if numbers.dtype.kind != "O" or cell is None else "rows of different lengths"
        raise unusable(f"{where} to hold a picture or an array of numbers", f"it holds {held}", "name another column")
    return numbers
