"""What a network makes of one cue: readings of a depth map, doses of a cue, and the slope of the one on the other.

After van Dijk & de Croon 2019, "How do neural networks see depth in single images?" (arXiv:1905.07005), who pasted
objects into street scenes and read disparity; here everything is read in ln depth, so that a slope on ln distance is 1
for a network that follows the cue alone and 0 for one that does not look at it.
"""

import math

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.geometry import rays
from depthprobe.functional.terms import METRICS
from depthprobe.functional.texture import partial_slope

SOURCE = "van Dijk & de Croon 2019, arXiv:1905.07005"
_LEAST_PIXELS = 16  # of a plane whose tilt is read
_UPRIGHT = 0.8  # cosine between a plane's normal and the image's upright, to count as level ground


@METRICS.register("log_depth", unit="ln m", better="none", source=SOURCE, inputs="depth mask")
def log_depth(depth: Tensor, mask: Tensor) -> Tensor:
    """Mean ln depth over a mask, (B,1,H,W) both: (B,), float64; NaN where the mask is empty."""
    check_shapes(depth=(depth, "b 1 h w"), mask=(mask, "b 1 h w"))
    log = torch.where(mask, depth, 1.0).log().flatten(1)
    return log.sum(1, dtype=torch.float64) / mask.flatten(1).sum(1)


@METRICS.register("depth_gain", unit="1", better="none", source="depthprobe", inputs="aligned depth mask")
def depth_gain(pred: Tensor, depth: Tensor, mask: Tensor) -> Tensor:
    """Slope of ln z on ln g within each image over a mask, (B,1,H,W) all: 1 = all of the depth, 0 = none: (B,)."""
    z, g = (torch.where(mask, x, 1.0).log() for x in (pred, depth))
    return partial_slope(z, g, mask)


def _plane(depth: Tensor, mask: Tensor, intrinsics: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Right, down, forward components (B,) of a normal fitted to 1/z over a mask; NaN where that is undetermined.

    On a plane n·P = D the inverse depth is n·r / D in the viewing ray r, hence linear: no iteration, no outlier model.
    """
    check_shapes(depth=(depth, "b 1 h w"), mask=(mask, "b 1 h w"), intrinsics=(intrinsics, "b 3 3"))
    height, width = depth.shape[-2:]
    weight = mask.flatten(1).double()
    ray = rays(intrinsics.double(), height, width).flatten(2)  # b 3 n
    inverse = 1 / torch.where(mask, depth, 1.0).flatten(1).double()
    gram = torch.einsum("bin,bjn,bn->bij", ray, ray, weight)
    right_side = torch.einsum("bin,bn->bi", ray, inverse * weight)
    scale = gram.diagonal(dim1=1, dim2=2).sum(1).clamp_min(1e-300)
    unclear = (torch.linalg.eigvalsh(gram)[:, 0] < 1e-9 * scale) | (weight.sum(1) < _LEAST_PIXELS)
    safe = torch.where(unclear[:, None, None], torch.eye(3, dtype=gram.dtype, device=gram.device), gram)
    normal = torch.linalg.solve(safe, right_side).masked_fill(unclear[:, None], torch.nan)
    a, b, c = normal.unbind(1)
    return a, b, c


@METRICS.register("ground_pitch", unit="degree", better="none", source=SOURCE, inputs="depth mask intrinsics")
def ground_pitch(depth: Tensor, mask: Tensor, intrinsics: Tensor) -> Tensor:
    """How far the camera looks up, judged by the depth of level ground: (B,), float64.

    Convention: depth (B,1,H,W) > 0 on the mask, up to a factor; mask (B,1,H,W) bool: pixels on one level plane.
    """
    _, b, c = _plane(depth, mask, intrinsics)
    return torch.atan2(-c, b) * (180 / math.pi)


@METRICS.register("ground_roll", unit="degree", better="none", source=SOURCE, inputs="depth mask intrinsics")
def ground_roll(depth: Tensor, mask: Tensor, intrinsics: Tensor) -> Tensor:
    """How far the camera is turned clockwise about its axis, judged as `ground_pitch` judges."""
    a, b, _ = _plane(depth, mask, intrinsics)
    return torch.atan2(a, b) * (180 / math.pi)


def level_ground(plane: Tensor, normal: Tensor, valid: Tensor) -> Tensor:
    """The largest plane that faces up: bool (B,1,H,W), empty where there is none.

    Convention: plane (B,1,H,W) ids (-1: on no plane); normal (B,3,H,W) in camera coordinates (right, down, forward),
    towards the camera; up is the image's upright to within 37 degrees. Every such plane tells the same tilt.
    """
    check_shapes(plane=(plane, "b 1 h w"), normal=(normal, "b 3 h w"), valid=(valid, "b 1 h w"))
    facing = valid & (plane >= 0) & (-normal[:, 1:2] > _UPRIGHT)
    out = torch.zeros_like(facing)
    for i, (ids, here) in enumerate(zip(plane, facing, strict=True)):
        if here.any():
            found, counts = ids[here].unique(return_counts=True)
            out[i] = here & (ids == found[counts.argmax()])
    return out


def rise(mask: Tensor) -> Tensor:
    """Height in the image of a mask's mean row above the bottom row, in image heights: (B,), float64; NaN if empty."""
    height = mask.shape[-2]
    row = torch.arange(height, device=mask.device, dtype=torch.float64).view(1, -1, 1)
    count = mask.flatten(1).sum(1)
    return (height - 1 - (row * mask[:, 0]).sum((1, 2)) / count) / height


def log_size(mask: Tensor) -> Tensor:
    """Ln of the side of a square as large as a mask, in pixels: (B,), float64; NaN if empty."""
    count = mask.flatten(1).sum(1).double()
    return torch.where(count > 0, count.log() / 2, torch.nan)


@METRICS.register("cue_dose", unit="dose", better="none", source=SOURCE, inputs="levels")
def as_dose(levels: Tensor) -> Tensor:
    """How much of a cue there is, (B,), float64: the level of an edit itself, where nothing better is measured."""
    return levels.double()


def line_slope(x: Tensor, y: Tensor) -> Tensor:
    """Least-squares slope (B,) of y (B,n) on x (B,n), float64, over the points where both are known.

    Convention: NaN where fewer than two different x are left. Exactly 0 where y is constant.
    """
    check_shapes(x=(x, "b n"), y=(y, "b n"))
    known = x.isfinite() & y.isfinite()
    x, y = (torch.where(known, v, 0.0).double() for v in (x, y))
    first = known.int().argmax(1, keepdim=True)
    x, y = ((v - v.gather(1, first)) * known for v in (x, y))
    x = (x - x.sum(1, keepdim=True) / known.sum(1, keepdim=True)) * known
    spread = x.square().sum(1)
    return ((x * y).sum(1) / spread).where(spread > 1e-12, torch.nan)


def card(image: Tensor, mask: Tensor, share: float, *, over: bool) -> tuple[Tensor, Tensor]:
    """A plain card held in front of an object (B,3,H,W), and the pixels of the object that it would leave in sight.

    Convention: mask (B,1,H,W) bool, the object; the card, in the image's mean colour, is `share` of the object's width
    wide and a tenth higher and lower than it. `over`: it covers that share of the object from the side that has more
    room beside it, so that the object's foot stays in sight; otherwise it stands beside the object at that edge, as a
    control that hides nothing (cut off by the image). Both leave the same pixels to be read.
    """
    check_shapes(image=(image, "b 3 h w"), mask=(mask, "b 1 h w"))
    out, left_over = image.clone(), mask.clone()
    height, width = mask.shape[-2:]
    for i, one in enumerate(mask[:, 0]):
        rows, cols = one.any(1).nonzero().flatten().tolist(), one.any(0).nonzero().flatten().tolist()
        wide = math.ceil(share * (cols[-1] - cols[0] + 1)) if cols else 0
        if not wide:
            continue
        more = math.ceil((rows[-1] - rows[0] + 1) / 10)
        top, bottom = max(0, rows[0] - more), min(height, rows[-1] + 1 + more)
        at_left = cols[0] >= width - 1 - cols[-1]
        hidden = (cols[0], cols[0] + wide) if at_left else (cols[-1] + 1 - wide, cols[-1] + 1)
        beside = (max(0, cols[0] - wide), cols[0]) if at_left else (cols[-1] + 1, min(width, cols[-1] + 1 + wide))
        start, end = hidden if over else beside
        out[i, :, top:bottom, start:end] = image[i].mean((1, 2))[:, None, None]
        left_over[i, :, :, hidden[0] : hidden[1]] = False
    return out, left_over


for _name, _unit in (("log_depth", "ln"), ("depth_gain", "1"), ("ground_pitch", "degree"), ("ground_roll", "degree")):
    METRICS.register(f"{_name}_slope", unit=f"{_unit}/dose", better="none", source=SOURCE, inputs="cue_dose reading")(
        line_slope
    )
