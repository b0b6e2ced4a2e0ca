"""Readers of stored images and depth maps, shared by the data sets made of files, and their error sentences.

Every file that cannot be used raises `SampleError` with one sentence: which file, what is wrong, what to do.
"""

import dataclasses
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from depthprobe.checks import check_one_of
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import SampleError
from depthprobe.data.photographs import PhotographEditor

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
DEPTH_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
_FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "PPM", "GIF", "JPEG2000")  # not all: EPS would run Ghostscript
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}
STORES = ("depth", "disparity")
_RGB_MODES = ("RGB", "L", "RGBA", "LA", "P", "PA", "1", "CMYK", "YCbCr", "RGBX")
_DEPTH_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I", "F")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_ORIENTATION = 0x0112  # the EXIF tag that says which way up a picture is shown
Source = Path | IO[bytes]


def unusable(expected: str, got: str, remedy: str) -> SampleError:
    """The error of a sample that cannot be read: what was expected, what is there, what to do."""
    return SampleError(f'Expected {expected}, but {got}; {remedy}, or leave the sample out with on_error="skip".')


def named(path: Source, where: str) -> str:
    """A file as the sentences name it: its path, and where it was listed; a stream by `where` alone."""
    if not isinstance(path, Path):
        return where
    return f"{path} ({where})" if where else str(path)


def read_rgb(path: Source, where: str = "", size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """Read an 8-bit picture (a file, or a stream of its bytes) as RGB (H,W,3).

    Convention:
        Grey and palette pictures become RGB with three equal (or looked-up) channels; of 16-bit colour the upper 8
        bits count, of an animation the first picture; an alpha channel is dropped without blending, so what lies under
        transparent pixels is used as stored.
        size: (h, w) of the depth map. Depth maps carry no EXIF orientation, so a picture that has one is turned if,
            and only if, that gives it this size; where its size fits both ways nothing says which was meant.

    Raises:
        SampleError: if the file is missing, truncated, not a picture, too large, not 8 bits per channel, or fits the
            depth map turned as well as unturned.
    """
    with _opened(path, where) as picture:
        if picture.mode not in _RGB_MODES:
            raise unusable(
                f"{named(path, where)} to be an 8-bit picture",
                f"its mode is {picture.mode}",
                "convert it to 8-bit RGB (is it a depth map listed in the image's place?)",
            )
        try:
            turned = size is not None and _to_turn(picture, size)
            upright = ImageOps.exif_transpose(picture) if turned else picture
            opaque = upright.convert("RGBA") if upright.mode in ("P", "PA") else upright
            pixels = np.array(opaque.convert("RGB"), dtype=np.uint8)
        except _BROKEN as error:
            raise _broken(path, where, error) from error
    if turned is None:
        raise unusable(
            f"{named(path, where)} to say which way up its depth map is",
            "its EXIF orientation turns it into a picture of the same size",
            "store it as it is to be seen, without that tag",
        )
    return pixels


def _to_turn(picture: Image.Image, size: tuple[int, int]) -> bool | None:
    """Whether the EXIF orientation is to be applied for a picture of `size` (h, w); None: it fits both ways."""
    orientation = picture.getexif().get(_ORIENTATION, 1)
    stored = (picture.height, picture.width)
    shown = stored[::-1] if orientation in range(5, 9) else stored
    if orientation not in range(2, 9) or size != shown:
        return False
    return None if stored == shown else True


def read_stored(path: Source, where: str = "") -> NDArray[Any]:
    """Read the stored numbers of a depth map (H,W), as they are: 16/32-bit PNG or TIFF, or `.npy`.

    Convention: `.npy` is (H,W), (H,W,1) or (1,H,W), of numbers; pickled arrays are refused and never executed.

    Raises:
        SampleError: if the file is missing, truncated, of 8 bits, in colour, or not one number per pixel.
    """
    if isinstance(path, Path) and path.suffix == ".npy":
        return _read_npy(path, where)
    with _opened(path, where) as picture:
        if picture.mode not in _DEPTH_MODES:
            raise unusable(
                f"{named(path, where)} to hold depth as one channel of 16 or 32 bits",
                f"its mode is {picture.mode} (8 bits or colour)",
                "store depth as a 16-bit PNG or as .npy",
            )
        try:
            return np.array(picture)
        except _BROKEN as error:
            raise _broken(path, where, error) from error


def _read_npy(path: Path, where: str) -> NDArray[Any]:
    try:
        stored = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise missing(path, where) from error
    except _BROKEN as error:
        raise _broken(path, where, error) from error
    if not isinstance(stored, np.ndarray):
        stored.close()
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "iuf":
        kind = stored.dtype if isinstance(stored, np.ndarray) else "an archive of arrays"
        raise unusable(f"{named(path, where)} to hold real numbers", f"it holds {kind}", "save depth as a float array")
    return one_map(stored, named(path, where))


def one_map(stored: NDArray[Any], name: str) -> NDArray[Any]:
    """An array of shape (H,W), (H,W,1) or (1,H,W) as one map (H,W).

    Raises:
        SampleError: if it has another shape or is empty; `name` says whose.
    """
    shape = stored.shape
    if stored.ndim == 3 and 1 in (shape[0], shape[2]):
        stored = stored[0] if shape[0] == 1 else stored[..., 0]
    if stored.ndim != 2 or not stored.size:
        raise unusable(f"{name} to have shape (H,W), (H,W,1) or (1,H,W)", f"it has {shape}", "save one map per file")
    return stored


def unknown_values(invalid: float | str | Sequence[float]) -> tuple[float, ...]:
    """The stored value or values that mean "unknown", as numbers.

    Raises:
        ValueError: if one is no number.
    """
    try:
        return tuple(map(float, (invalid,) if isinstance(invalid, int | float | str) else invalid))
    except (TypeError, ValueError):
        raise ValueError(f"Expected `invalid` to be a number or several, but got {invalid!r}.") from None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DepthEncoding:
    """How a depth map is stored: metres = stored x scale x unit (or the inverse of that, for disparity).

    Convention:
        scale: units per stored 1; None: 0.001 for files of integers, 1 for files of floating-point numbers.
        unit: "m", "cm" or "mm"; disparity is in 1/unit.
        invalid: stored values that mean "unknown"; NaN, infinities, zero and negative depth are invalid anyway.
        stores: "depth" (z-depth) or "disparity" (its inverse).
    """

    scale: float | None = None
    unit: str = "m"
    invalid: tuple[float, ...] = (0.0,)
    stores: str = "depth"

    def __post_init__(self) -> None:
        check_one_of("unit", self.unit, UNITS)
        check_one_of("stores", self.stores, STORES)
        if self.scale is not None and not 0 < self.scale < float("inf"):
            raise ValueError(f"Expected `scale` to be a positive number, but got {self.scale!r}.")

    def decode(self, stored: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Stored numbers (H,W) -> depth in metres (0 where invalid) and the valid mask."""
        integer = stored.dtype.kind in "iu"
        scale = self.scale if self.scale is not None else 0.001 if integer else 1.0
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            value = stored.astype(np.float64) * scale
            depth = ((1.0 / value if self.stores == "disparity" else value) * UNITS[self.unit]).astype(np.float32)
        valid = np.isfinite(depth) & (depth > 0)
        for unknown in self.invalid:
            # A stored float32 -0.1 is not the double -0.1: compare in the stored precision.
            valid &= stored != (unknown if integer else stored.dtype.type(unknown))
        return np.where(valid, depth, np.float32(0)), valid


def read_depth(path: Source, encoding: DepthEncoding, where: str = "") -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read a depth map as metres (H,W) and its valid mask.

    Raises:
        SampleError: as `read_stored`.
    """
    return encoding.decode(read_stored(path, where))


def one_sample(
    image: NDArray[np.uint8],
    depth: NDArray[np.float32],
    valid: NDArray[np.bool_],
    *,
    sample: str,
    group: str,
    intrinsics: Sequence[float] | None = None,
    source: str,
) -> Batch:
    """A batch of one from an RGB picture (H,W,3), depth in metres (H,W), its valid mask and 3x3 intrinsics (9 numbers).

    With intrinsics, its objects can be cut and pasted (`PhotographEditor`).

    Raises:
        SampleError: if picture and depth differ in size, or no pixel is valid; `source` names the files.
    """
    if image.shape[:2] != depth.shape:
        (h, w), (depth_h, depth_w) = image.shape[:2], depth.shape
        raise unusable(
            f"image and depth of {source} to have one size",
            f"the image is {h}x{w} and the depth {depth_h}x{depth_w} (height x width)",
            "give the depth map that belongs to the image, at the image's size (resize depth by nearest neighbour)",
        )
    if not valid.any():
        raise unusable(
            f"the depth of {source} to have at least one valid pixel",
            f"all {valid.size} are zero, negative, not finite or marked invalid",
            "check the declared scale, unit and invalid value, or replace the file",
        )
    matrix = None if intrinsics is None else torch.tensor(intrinsics, dtype=torch.float32).reshape(1, 3, 3)
    return Batch(
        image=torch.from_numpy(image).permute(2, 0, 1)[None].to(torch.float32) / 255,
        depth=torch.from_numpy(depth)[None, None],
        valid=torch.from_numpy(valid)[None, None],
        intrinsics=matrix,
        sample=(sample,),
        group=(group,),
        editor=None if matrix is None else PhotographEditor(),
    )


def _opened(path: Source, where: str) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=_FORMATS)
    except FileNotFoundError as error:
        raise missing(path, where) from error
    except UnidentifiedImageError as error:
        raise unusable(
            f"{named(path, where)} to be a complete, readable file",
            f"it is none of {', '.join(_FORMATS)}",
            "convert it to one of these, or copy it again if it was one",
        ) from error
    except _BOMBS as error:
        raise unusable(
            f"{named(path, where)} to have at most {Image.MAX_IMAGE_PIXELS or 0:,} pixels",
            "it says that it has more",
            "make it smaller, and its depth map with it",
        ) from error
    except _BROKEN as error:
        raise _broken(path, where, error) from error


def missing(path: Source, where: str) -> SampleError:
    """The error of a file that is listed but not there."""
    return unusable(
        f"a file at {named(path, where)}", "there is none", "put it there or correct the line that names it"
    )


def _broken(path: Source, where: str, error: BaseException) -> SampleError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return unusable(
        f"{named(path, where)} to be a complete, readable file",
        f"reading it failed: {reason}",
        "it may be truncated: copy or download it again",
    )
