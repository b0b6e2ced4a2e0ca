"""Query pixels: the few places of an image at which a probe looks closely, drawn by one stated rule."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.selection_core import generator, strict_rank


def query_pixels(depth: Tensor, valid: Tensor, count: int, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Draw `count` pixels per image, one from each of `count` equal parts of its valid pixels in the order of depth.

    The mean over the queries estimates the mean over all valid pixels without bias and with less noise than a free
    draw; the first third are near pixels of their image, the last third far ones.

    Convention: depth (B,1,H,W), valid bool (B,1,H,W), one seed per image -> index (B,count) into the H·W pixels, row by
    row, and found (B,count) bool: false (index 0) where a part is empty, as in images with fewer valid pixels than
    `count`. Equal depths are ordered at random. An image's queries depend on its own depth and seed alone.

    Raises:
        ValueError: on unequal shapes, or less than one query.
    """
    check_shapes(depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    check_range("count", count, 1, 1e6)
    order = strict_rank(depth.masked_fill(~valid, torch.inf), seeds).flatten(1).argsort(1)  # invalid pixels come last
    draws = torch.stack(
        [torch.rand(count, generator=generator(seed, "queries"), dtype=torch.float64) for seed in seeds]
    )
    pixels = valid.sum((1, 2, 3)).cpu()[:, None]
    edges = torch.arange(count + 1) * pixels // count
    width = edges[:, 1:] - edges[:, :-1]
    found = width > 0
    place = (edges[:, :-1] + (draws * width).long().clamp_max(width - 1)).where(found, 0)
    index = order.gather(1, place.to(order.device))
    found = found.to(order.device)
    return index.where(found, 0), found


def check_queries(count: int) -> None:
    """Raise unless queries fall into equal thirds.

    Raises:
        ValueError: if `count` is no multiple of 3 from 3 on.
    """
    if count < 3 or count % 3:
        raise ValueError(f"Expected `queries` to be a multiple of 3 (near, mid, far), but got {count}.")
