"""Training augmentation that keeps depth true.

Everything here knows what it does to depth: a mirror image and a turned camera keep each point's z-depth, a window
keeps the pixels it shows, and what only changes colours leaves depth alone. Nothing zooms: an enlarged picture is that
of another camera, in which the same depths would be wrong. Chance comes from one key per sample, so a sample's
augmentation does not depend on its batch.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_shapes
from depthprobe.functional.filling_core import IMAGENET_MEAN, flat

Sample = tuple[Tensor, Tensor, Tensor]

DRAWS = (
    "flip", "saturation", "contrast", "gain", "red", "green", "blue", "noise", "rotation", "top", "left",
    "cut", "cut_left", "cut_top", "cut_width", "cut_height", "drop", "budget", "side",
)  # fmt: skip
CUT_SHARE = 0.75
SIDES = (1, 4, 8, 16)
LEAST = 0.01
BYTE = (12 / (256**2 - 1)) ** 0.5  # 1 / standard deviation of the whole numbers that a byte holds


def augment(
    image: Tensor,
    depth: Tensor,
    valid: Tensor,
    *,
    keys: Sequence[int],
    flip: float = 0.5,
    colour: float = 1.0,
    rotation: float = 0.0,
    crop: Sequence[int] = (),
    cut_depth: float = 0.0,
    drop_pixels: float = 0.0,
    fill: Sequence[float] = IMAGENET_MEAN,
) -> Sample:
    """Randomly changed copies of a batch.

    Convention: image (B,3,H,W), uint8 or float in [0,1], comes back as float in [0,1]; depth, valid (B,1,H,W). `keys`
    (B) decide each sample's chance, and what is drawn for one augmentation does not depend on the others.

    Args:
        keys: one seed per sample.
        flip: probability of a mirror image.
        colour: strength of gain, contrast, saturation, white balance and noise; 0: colours stay.
        rotation: the camera is turned about its axis by up to so many degrees.
        crop: (h, w) of a random window; empty: the whole frame.
        cut_depth: probability that a rectangle shows depth instead of colours.
        drop_pixels: probability that all but a random share of the pixels are replaced by `fill`: single ones or
            squares of 4, 8 or 16, the share kept drawn from 1 % to all, evenly on a logarithmic scale.
        fill: RGB colour in [0,1] that means no information (the network's `card.fill`).

    Raises:
        ValueError: if shapes do not fit, there is not one key per sample, or the window is larger than the frame.
    """
    size = check_shapes(image=(image, "b 3 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    if len(keys) != size["b"]:
        raise ValueError(f"Expected one key per sample ({size['b']}), but got {len(keys)}.")
    u = _draws(keys)
    sample = (image, depth, valid)
    if rotation:
        sample = rotated(*sample, rotation * (2 * u["rotation"] - 1))
    if crop:
        sample = windowed(*sample, u["top"], u["left"], crop)
    if flip:
        sample = mirrored(*sample, u["flip"] < flip)
    image, depth, valid = sample
    if colour:
        image = recoloured(image, *_colours(u, colour))
        image = image.add_(_noise(keys, image, 0.02 * colour * u["noise"])).clamp_(0, 1)
    elif not image.is_floating_point():
        image = image.float() / 255
    if cut_depth:
        image = with_cut_depth(image, depth, valid, _boxes(u, depth.shape[-2:]), u["cut"] < cut_depth)
    if drop_pixels:
        image = _with_dropped(image, keys, u, u["drop"] < drop_pixels, fill)
    return image, depth, valid


def mirrored(image: Tensor, depth: Tensor, valid: Tensor, which: Tensor) -> Sample:
    """Mirror images of the samples `which` (B,): left and right change places, depth with them."""
    chosen = which.nonzero()[:, 0].to(image.device)
    out = []
    for x in (image, depth, valid):
        out.append(x.clone())
        out[-1][chosen] = x[chosen].flip(-1)
    return out[0], out[1], out[2]


def rotated(image: Tensor, depth: Tensor, valid: Tensor, degrees: Tensor) -> Sample:
    """The picture of a camera turned about its optical axis by `degrees` (B,), clockwise.

    Convention: turning a camera about its axis moves points in the picture and keeps their z-depth, so the values of
    depth are those of the nearest pixel, never mixed. The axis is taken to pass through the picture's centre. Corners
    that the frame does not show are not valid; there the image is continued as in a mirror.
    """
    b, _, h, w = image.shape
    angle = torch.deg2rad(degrees.float())
    cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(b)
    rows = [torch.stack([cos, -sin * h / w, zero], 1), torch.stack([sin * w / h, cos, zero], 1)]
    grid = F.affine_grid(torch.stack(rows, 1).to(image.device), [b, 1, h, w], align_corners=False)
    colours = image if image.is_floating_point() else image.float() / 255
    turned = F.grid_sample(colours, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    known = F.grid_sample(
        torch.cat([depth, valid.to(depth.dtype)], 1), grid.to(depth.dtype), mode="nearest", align_corners=False
    )
    shown = known[:, 1:] > 0.5
    return turned.clamp(0, 1), torch.where(shown, known[:, :1], 1.0), shown


def windowed(image: Tensor, depth: Tensor, valid: Tensor, top: Tensor, left: Tensor, size: Sequence[int]) -> Sample:
    """A window of `size` (h, w) in each picture, at its own scale; `top`, `left` (B,) in [0, 1) place it.

    Raises:
        ValueError: if the window is larger than the picture.
    """
    (h, w), (height, width) = size, image.shape[-2:]
    if h > height or w > width:
        raise ValueError(f"Expected `crop` to fit into images of {height}x{width}, but got {h}x{w}.")
    y, x = (top * (height - h + 1)).long().tolist(), (left * (width - w + 1)).long().tolist()
    out = [
        torch.stack([a[i, :, y[i] : y[i] + h, x[i] : x[i] + w] for i in range(len(a))]) for a in (image, depth, valid)
    ]
    return out[0], out[1], out[2]


def recoloured(image: Tensor, saturation: Tensor, contrast: Tensor, balance: Tensor) -> Tensor:
    """Other saturation, contrast (B,) and white balance with gain (B,3), as one affine map of the colours.

    Convention: image uint8, or float in [0,1]; the result is float and not clamped. Saturation acts about each
    pixel's grey, contrast about the image's mean level, and the balance multiplies at last. 1 changes nothing.
    """
    b, _, h, w = image.shape
    scale = 1.0 if image.is_floating_point() else 255.0
    total = image.sum((1, 2, 3), dtype=torch.float64 if scale == 1.0 else torch.int64)
    level = (total / (3 * h * w * scale)).float().view(b, 1, 1)
    saturation, contrast, balance = (x.to(image.device, torch.float32) for x in (saturation, contrast, balance))
    grey = torch.full((1, 3, 3), 1 / 3, device=image.device)
    mix = saturation.view(b, 1, 1) * (torch.eye(3, device=image.device) - grey) + grey
    matrix = balance.view(b, 3, 1) * contrast.view(b, 1, 1) * mix / scale
    offset = balance.view(b, 3, 1) * (1 - contrast.view(b, 1, 1)) * level
    return torch.baddbmm(offset, matrix, image.float().flatten(2)).view(b, 3, h, w)


def with_cut_depth(image: Tensor, depth: Tensor, valid: Tensor, boxes: Tensor, which: Tensor) -> Tensor:
    """CutDepth (Ishii & Yamashita 2021): in a rectangle the image shows its own depth as grey.

    Convention: boxes (B,4) = top, bottom, left, right in pixels, half-open. Depth is stretched from the nearest to the
    farthest valid depth of the image to [0,1], so that it is a picture and no number in metres; pixels without depth
    keep their colours. Depth and its validity do not change.
    """
    boxes, which = boxes.to(image.device), which.to(image.device).view(-1, 1, 1, 1)
    far = torch.where(valid, depth, -torch.inf).amax((1, 2, 3), keepdim=True)
    near = torch.where(valid, depth, torch.inf).amin((1, 2, 3), keepdim=True)
    y = torch.arange(image.shape[-2], device=image.device).view(1, 1, -1, 1)
    x = torch.arange(image.shape[-1], device=image.device).view(1, 1, 1, -1)
    top, bottom, left, right = (boxes[:, i].view(-1, 1, 1, 1) for i in range(4))
    inside = (y >= top) & (y < bottom) & (x >= left) & (x < right) & valid & which
    return torch.where(inside, ((depth - near) / (far - near).clamp(min=1e-6)).to(image.dtype), image)


def _draws(keys: Sequence[int]) -> dict[str, Tensor]:
    """Uniform numbers in [0, 1) by name, each (B,): one generator per sample."""
    rows = [torch.rand(len(DRAWS), generator=torch.Generator().manual_seed(key)) for key in keys]
    return dict(zip(DRAWS, torch.stack(rows).unbind(1), strict=True))


def _noise(keys: Sequence[int], image: Tensor, strength: Tensor) -> Tensor:
    """Noise of standard deviation `strength` (B,), evenly distributed, each sample's from its own generator.

    Every number drawn gives eight of noise, one a byte: normal noise would cost a third of all augmentation.
    """
    count = image[0].numel()
    drawn = torch.empty(len(keys), -(-count // 8), dtype=torch.int64, device=image.device)
    generator = torch.Generator(image.device)
    for one, key in zip(drawn, keys, strict=True):
        one.random_(-(2**63), None, generator=generator.manual_seed(key ^ 1))
    bytes_ = drawn.view(torch.int8)[:, :count].float().add_(0.5).view(image.shape)
    return bytes_.mul_((strength * BYTE).view(-1, 1, 1, 1).to(image.device))


def _colours(u: dict[str, Tensor], colour: float) -> tuple[Tensor, Tensor, Tensor]:
    def between(name: str, low: float, high: float) -> Tensor:
        return 1 + colour * (low + (high - low) * u[name])

    balance = torch.stack([between(channel, -0.1, 0.1) for channel in ("red", "green", "blue")], 1)
    gain = between("gain", -0.3, 0.3)
    return between("saturation", -0.5, 0.4), between("contrast", -0.3, 0.3), balance * gain[:, None]


def _boxes(u: dict[str, Tensor], size: Sequence[int]) -> Tensor:
    """Rectangles (B,4) whose corner is anywhere and whose sides are up to 75 % of what is left there, 1 at least."""
    sides = []
    for length, place, extent in ((size[0], "cut_top", "cut_height"), (size[1], "cut_left", "cut_width")):
        start = (u[place] * length).long()
        sides += [start, start + ((length - start) * u[extent] * CUT_SHARE).long().clamp(min=1)]
    return torch.stack(sides, 1)


def _with_dropped(
    image: Tensor, keys: Sequence[int], u: dict[str, Tensor], which: Tensor, fill: Sequence[float]
) -> Tensor:
    height, width = image.shape[-2:]
    keep = torch.ones(len(keys), 1, height, width, dtype=torch.bool)
    for i in which.nonzero()[:, 0].tolist():
        side = SIDES[int(u["side"][i] * len(SIDES))]
        share = LEAST ** float(u["budget"][i])
        generator = torch.Generator().manual_seed(keys[i] ^ 2)
        cells = torch.rand(math.ceil(height / side), math.ceil(width / side), generator=generator) < share
        keep[i, 0] = cells.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width]
    return torch.where(keep.to(image.device), image, flat(image, fill))
