"""How far attention reaches: mean attention distance, and where tokens stand in the image (Raghu et al. 2021).

Places are (y, x) in pixels of the image that the network reads, the centre of a token's patch; NaN marks a token that
stands nowhere (class and register tokens, padding).
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_shapes
from depthprobe.functional.terms import METRICS

RAGHU = "Raghu et al. 2021, arXiv:2108.08810"


@METRICS.register("attention_distance", unit="px", better="none", source=RAGHU, inputs="weights queries keys")
def attention_distance(weights: Tensor, queries: Tensor, keys: Tensor) -> Tensor:
    """Euclidean distance between query and key, weighted by attention, then the mean over queries.

    Convention: weights (B,G,heads,q,k), G groups of tokens that see each other (windows; 1 without), rows summing to 1;
    queries (G,q,2), keys (G,k,2) places in pixels; returns (B,heads), float64. Queries that stand nowhere do not count,
    attention to keys that stand nowhere is left out and the rest scaled up to 1.

    Raises:
        ValueError: if shapes do not fit.
    """
    check_shapes(weights=(weights, "b g heads q k"), queries=(queries, "g q 2"), keys=(keys, "g k 2"))
    stands, placed = queries.isfinite().all(-1), keys.isfinite().all(-1)  # (G,q), (G,k)
    queries, keys = queries.nan_to_num().double(), keys.nan_to_num().double()
    distance = torch.cdist(queries, keys, compute_mode="donot_use_mm_for_euclid_dist") * placed[:, None]
    weights = weights if weights.dtype == torch.float64 else weights.float()  # a copy may be gigabytes
    reach = torch.einsum("bghqk,gqk->bghq", weights, distance.to(weights))
    held = torch.einsum("bghqk,gk->bghq", weights, placed.to(weights))
    counts = stands[:, None].to(weights.device)
    return (reach / held).double().where(counts, 0.0).sum((1, 3)) / stands.sum()


@METRICS.register("attention_layers", unit="1", better="none", source="depthprobe", inputs="names")
def attention_layers(names: list[str]) -> int:
    """How many layers of a network attended in a forward pass, by their names; 0 for a CNN."""
    return len(names)


def grid_places(grid: tuple[int, int], stride: tuple[float, float]) -> Tensor:
    """Places (h·w,2) of the tokens of a grid, row by row: the centres of patches of `stride` pixels, float64."""
    y, x = ((torch.arange(n, dtype=torch.float64) + 0.5) * step - 0.5 for n, step in zip(grid, stride, strict=True))
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)


def window_places(
    grid: tuple[int, int], window: tuple[int, int], shift: tuple[int, int], stride: tuple[float, float]
) -> Tensor:
    """Places (windows, wh·ww, 2) of the tokens in every window of a (shifted) window attention (Swin, Liu et al. 2021).

    Convention: the grid is rolled up and to the left by `shift`, padded below and on the right to whole windows, and
    cut into windows row by row; padding stands nowhere. Tokens that only the roll brought together keep their true
    places, far apart: the network's mask gives them no attention.
    """
    places = grid_places(grid, stride).view(*grid, 2).roll((-shift[0], -shift[1]), (0, 1))
    below, right = (-n % side for n, side in zip(grid, window, strict=True))
    places = F.pad(places, (0, 0, 0, right, 0, below), value=math.nan)
    height, width = places.shape[0] // window[0], places.shape[1] // window[1]
    cut = places.view(height, window[0], width, window[1], 2).permute(0, 2, 1, 3, 4)
    return cut.reshape(height * width, window[0] * window[1], 2)


def reduced_places(
    grid: tuple[int, int], kernel: tuple[int, int], step: tuple[int, int], stride: tuple[float, float]
) -> Tensor:
    """Places of the keys of a spatial-reduction attention (PVT, Wang et al. 2021): centres of the kernels on the grid.

    Convention: an unpadded convolution of `kernel` and `step` over the token grid of `stride` pixels, row by row.
    """
    count = tuple((n - k) // s + 1 for n, k, s in zip(grid, kernel, step, strict=True))
    y, x = (
        ((torch.arange(n, dtype=torch.float64) * s + (k - 1) / 2) + 0.5) * pixels - 0.5
        for n, k, s, pixels in zip(count, kernel, step, stride, strict=True)
    )
    return torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).reshape(-1, 2)


def allowed_pairs(places: Tensor, window: tuple[int, int], stride: tuple[float, float]) -> Tensor:
    """Which pairs (windows,n,n) of a window's tokens stand as they do in an unshifted window: others are masked."""
    inside = grid_places(window, stride)
    offset = inside[:, None] - inside[None]
    return ((places[:, :, None] - places[:, None] - offset).abs() < 1e-6).all(-1)
