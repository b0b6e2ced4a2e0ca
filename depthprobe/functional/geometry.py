"""Pixel boxes, resizing and subsampling of maps, viewing rays."""

import functools
import math

import torch
from torch import Tensor
from torch.nn import functional as F

Box = tuple[float, float, float, float]
PixelBox = tuple[int, int, int, int]
RESIZES = ("bilinear", "bicubic")


def crop_box(size: tuple[int, int], box: Box, frame: tuple[int, int]) -> PixelBox:
    """The whole pixels (top, bottom, left, right), half-open, of an image of `size` (h, w) that lie inside a crop.

    Convention: `box` = (top, bottom, left, right), half-open, in the pixels of an image of size `frame` (h, w).
    A frame of (1, 1) means fractions of whatever image (cut down to pixels, as BTS). An image of the frame's aspect
    but another size gets the box scaled (only pixels wholly inside it).

    Raises:
        ValueError: if the image has another aspect than the frame, where the box would mean another crop.
    """
    (h, w), (fh, fw) = size, frame
    top, bottom, left, right = box
    if (fh, fw) == (1, 1):
        return int(top * h), int(bottom * h), int(left * w), int(right * w)
    if abs(h * fw / (w * fh) - 1) > 0.01:
        raise ValueError(
            f"Expected images of the aspect of {fh}x{fw} (the frame of the crop {box}), but got {h}x{w}; "
            "use a protocol without a crop, e.g. `scenes`."
        )
    rows = (math.ceil(top * h / fh), math.floor(bottom * h / fh))
    cols = (math.ceil(left * w / fw), math.floor(right * w / fw))
    return *rows, *cols


def window_box(size: tuple[int, int], window: tuple[int, int]) -> PixelBox:
    """The box of a `window` (h, w) at the bottom of an image of `size`, centred; of an odd rest, less is at the left.

    Raises:
        ValueError: if the image is smaller.
    """
    (h, w), (height, width) = size, window
    if h < height or w < width:
        raise ValueError(
            f"Expected images of at least {height}x{width} (the protocol's window), but got {h}x{w}; "
            "use a protocol without a window, e.g. `scenes`."
        )
    left = (w - width) // 2
    return h - height, h, left, left + width


def overlap(a: PixelBox, b: PixelBox) -> PixelBox:
    """What two boxes share; empty (bottom <= top or right <= left) where they are apart."""
    return max(a[0], b[0]), min(a[1], b[1]), max(a[2], b[2]), min(a[3], b[3])


def box_mask(size: tuple[int, int], box: PixelBox) -> Tensor:
    """The pixels inside a box, bool (H,W)."""
    mask = torch.zeros(size, dtype=torch.bool)
    mask[box[0] : max(box[:2]), box[2] : max(box[2:])] = True
    return mask


def crop_mask(size: tuple[int, int], box: Box, frame: tuple[int, int]) -> Tensor:
    """The pixels inside a crop, bool (H,W); see `crop_box`."""
    return box_mask(size, crop_box(size, box, frame))


def resize_map(x: Tensor, size: tuple[int, int], *, mode: str = "bilinear", align_corners: bool = False) -> Tensor:
    """Resize a prediction (B,1,h,w) to `size`; never for ground truth, in whose edges it would invent depths."""
    if tuple(x.shape[-2:]) == tuple(size):
        return x
    return F.interpolate(x, size, mode=mode, align_corners=align_corners)


@functools.lru_cache(maxsize=16)
def _cells(h: int, w: int, rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """For every pixel its cell in a rows x cols grid, and its place in the order of distance to the cell's centre."""
    y, x = torch.meshgrid((torch.arange(h) + 0.5) * rows / h, (torch.arange(w) + 0.5) * cols / w, indexing="ij")
    cell = (y.long() * cols + x.long()).flatten()
    order = ((y % 1 - 0.5) ** 2 + (x % 1 - 0.5) ** 2).flatten().sort(stable=True).indices
    return cell, order


def nearest_valid(valid: Tensor, size: tuple[int, int] = (64, 64)) -> tuple[Tensor, Tensor]:
    """A masked nearest subsample: in every cell of a grid the valid pixel nearest to the cell's centre.

    Convention: valid bool (B,H,W); returns flat pixel indices (B,n) and whether the cell has a valid pixel (B,n), with
    n = min(H, size[0]) * min(W, size[1]) cells.
    """
    b, h, w = valid.shape
    rows, cols = min(h, size[0]), min(w, size[1])
    cell, order = (x.to(valid.device) for x in _cells(h, w, rows, cols))
    place = torch.empty_like(order)
    place[order] = torch.arange(h * w, device=valid.device)
    ranked = torch.where(valid.flatten(1), place, h * w)
    best = torch.full((b, rows * cols), h * w, device=valid.device, dtype=torch.long)
    best.scatter_reduce_(1, cell.expand(b, -1), ranked, "amin")
    return order[best.clamp(max=h * w - 1)], best < h * w


def rays(intrinsics: Tensor, height: int, width: int) -> Tensor:
    """Viewing rays (B,3,H,W) with forward component 1 (camera: x right, y down, z forward) of each pixel's centre."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixel = torch.stack([x, y, torch.ones_like(x)]).to(intrinsics).view(3, -1)
    out: Tensor = torch.linalg.inv(intrinsics) @ pixel
    return out.view(-1, 3, height, width)
