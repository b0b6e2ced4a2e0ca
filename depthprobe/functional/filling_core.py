"""FILLS, and the one door to them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.registry import Registry

FILLS = Registry("fill")
IMAGENET_MEAN = (0.485, 0.456, 0.406)


def fill_pixels(
    name: str,
    image: Tensor,
    keep: Tensor,
    *,
    seeds: Sequence[int],
    mean: Sequence[float] = IMAGENET_MEAN,
) -> Tensor:
    """Replace the pixels that are not kept.

    Convention: image (B,3,H,W) in [0,1], keep (B,1,H,W) bool -> (B,3,H,W); kept pixels are bit-identical to the input.
    seeds: one per row, so that a sample's fill does not depend on its batch; mean: the network's mean colour.

    Raises:
        ValueError: if the fill is unknown, or shapes or the number of seeds do not fit.
    """
    size = check_shapes(image=(image, "b 3 h w"), keep=(keep, "b 1 h w"))
    if len(seeds) != size["b"]:
        raise ValueError(f"Expected one seed per image ({size['b']}), but got {len(seeds)}.")
    return torch.where(keep, image, FILLS[name](image, keep, seeds, mean))


def flat(image: Tensor, colour: Sequence[float]) -> Tensor:
    """A colour as a tensor (1,3,1,1) that goes with `image`."""
    return torch.tensor(list(colour), dtype=image.dtype, device=image.device).view(1, 3, 1, 1)
