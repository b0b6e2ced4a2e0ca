"""Where pixels lie: regions of an image by its depth and texture."""

import math

from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.filters import depth_step, dilate, edge_strength
from depthprobe.registry import Registry

REGIONS = Registry("region")
EDGE_RATIO = 1.1
EDGE_STRENGTH = 0.03
NEARBY = 3


def regions(image: Tensor, depth: Tensor, valid: Tensor) -> dict[str, Tensor]:
    """Every registered region as a bool map (B,1,H,W) inside `valid`; regions may overlap.

    Convention: image (B,3,H,W) in [0,1], depth (B,1,H,W) in metres, valid (B,1,H,W) bool, of one size.
    """
    check_shapes(image=(image, "b 3 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    return {name: REGIONS[name](image, depth, valid) & valid for name in REGIONS}


@REGIONS.register("depth_edge", source="depthprobe (neighbour ratio > 1.1)")
def depth_edge(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Pixels with a neighbour (of four) whose depth differs by a ratio > 1.1; both sides of the edge."""
    return depth_step(depth, valid) > math.log(EDGE_RATIO)


def image_edge(image: Tensor) -> Tensor:
    """Pixels whose luminance changes by more than 0.03 per pixel (Sobel magnitude)."""
    return edge_strength(image) > EDGE_STRENGTH


@REGIONS.register("texture_edge", source="depthprobe")
def texture_edge(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Image edges with no depth edge within 3 pixels: paint, pattern, shadow."""
    return image_edge(image) & ~dilate(depth_edge(image, depth, valid), NEARBY)


@REGIONS.register("flat", source="depthprobe")
def flat(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """Interiors: neither an image edge nor a depth edge within 3 pixels."""
    return ~dilate(image_edge(image) | depth_edge(image, depth, valid), NEARBY)


def _band(depth: Tensor, valid: Tensor, third: int) -> Tensor:
    """The pixels of the `third` tercile (0, 1, 2) of each image's valid depths; equal depths stay in one band."""
    cuts = depth.masked_fill(~valid, float("nan")).flatten(1)
    low, high = (cuts.nanquantile(q, dim=1).view(-1, 1, 1, 1) for q in (1 / 3, 2 / 3))
    return (depth <= low, (depth > low) & (depth <= high), depth > high)[third]


@REGIONS.register("near", source="nearest third of the image's valid depths")
def near(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """The nearest third of each image's valid pixels."""
    return _band(depth, valid, 0)


@REGIONS.register("mid", source="middle third of the image's valid depths")
def mid(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """The middle third of each image's valid pixels."""
    return _band(depth, valid, 1)


@REGIONS.register("far", source="farthest third of the image's valid depths")
def far(image: Tensor, depth: Tensor, valid: Tensor) -> Tensor:
    """The farthest third of each image's valid pixels."""
    return _band(depth, valid, 2)
