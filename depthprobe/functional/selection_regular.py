"""Selectors that do not look at the image: random, centre, lattice, random blocks, and the user's own rank map."""

import functools

import torch
from torch import Tensor

from depthprobe.functional.selection_core import SELECTORS, SelectorInput, permutations


def _blank(view: SelectorInput) -> Tensor:
    return torch.zeros_like(view.image[:, :1])


@SELECTORS.register("random", needs=(), source="control")
def random(view: SelectorInput) -> Tensor:
    """Pixels in random order: all scores equal, so that the sample's permutation decides."""
    return _blank(view)


@SELECTORS.register("centre", needs=(), source="control")
def centre(view: SelectorInput) -> Tensor:
    """Pixels by nearness to the image's centre, where photographers put what matters: a prior that sees nothing."""
    height, width = view.image.shape[-2:]
    y = torch.arange(height).view(-1, 1) - (height - 1) / 2
    x = torch.arange(width).view(1, -1) - (width - 1) / 2
    return -torch.hypot(y, x).to(view.image).expand(len(view.image), 1, -1, -1)


@SELECTORS.register("grid", needs=(), source="Bayer 1973 (ordered dither)")
def grid(view: SelectorInput) -> Tensor:
    """A regular lattice that gets finer: the order of Bayer's dither matrix.

    Convention: the budget 4^-k is the square lattice of period 2^k, 2*4^-k the lattice with its cell centres added;
    budgets between fill the next lattice evenly. The lattice is shifted by a third to two thirds of every period, so
    that no level hugs the border. The same for every sample.
    """
    height, width = view.image.shape[-2:]
    bits = max(1, (max(height, width) - 1).bit_length())
    shift = sum(4**i for i in range(bits // 2 + 1))  # ...010101b: about a third or two thirds of each power of two
    y = (torch.arange(height) + shift).view(-1, 1) % 2**bits
    x = (torch.arange(width) + shift).view(1, -1) % 2**bits
    order = torch.zeros(height, width, dtype=torch.int64)
    for bit in range(bits):  # the lowest bits of the coordinates are the highest digits of the order
        order = order * 4 + (((x ^ y) >> bit) & 1) * 2 + ((y >> bit) & 1)
    # a float64 score is exact for 2 * bits <= 53; the device of the image may know float32 only
    place = order.flatten().argsort().argsort().view(1, 1, height, width)
    return (-place).to(view.image.device).expand(len(view.image), -1, -1, -1)


def patch(view: SelectorInput, *, size: int) -> Tensor:
    """Whole blocks of size x size pixels in random order (blocks at the right and lower border may be cut).

    Convention: blocks start at the top-left corner. Of the last block a budget keeps random pixels.
    """
    height, width = view.image.shape[-2:]
    down, across = -(-height // size), -(-width // size)
    block = (torch.arange(height) // size).view(-1, 1) * across + (torch.arange(width) // size).view(1, -1)
    order = permutations(view.seeds, down * across, salt=f"patch{size}")
    return order[:, block.flatten()].view(-1, 1, height, width).to(view.image.device)


for _size in (4, 8, 16, 32):
    SELECTORS.register(f"patch{_size}", needs=(), source="Naseer et al. 2021 (patch drop)")(
        functools.partial(patch, size=_size)
    )


@SELECTORS.register("rank_map", needs=("rank",), source="the user's map")
def rank_map(view: SelectorInput) -> Tensor:
    """The user's own scores: map `rank` (B,1,H,W), higher = kept earlier."""
    return view.maps["rank"]
