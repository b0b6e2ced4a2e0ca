"""Ranks: a strict order of the pixels of each image, from which every budget takes the top."""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.registry import Registry

SELECTORS = Registry("selector")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SelectorInput:
    """What a selector may look at; all tensors have the size of the image.

    Convention: image (B,3,H,W) in [0,1]; seeds: one per sample; depth (B,1,H,W) in metres; valid (B,1,H,W) bool;
    intrinsics (B,3,3) in pixels of this size; maps as in `Batch`; model: image -> prediction. What a selector needs
    beyond the image stands in its fact `needs`: "depth", "intrinsics", "model" or the name of a map.
    """

    image: Tensor
    seeds: Sequence[int]
    depth: Tensor | None = None
    valid: Tensor | None = None
    intrinsics: Tensor | None = None
    maps: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    model: Callable[[Tensor], Tensor] | None = None

    def offers(self) -> list[str]:
        """The names under which a selector's needs are met here."""
        fields = ("depth", "intrinsics", "model")
        return [name for name in fields if getattr(self, name) is not None] + sorted(self.maps)

    def truth(self) -> tuple[Tensor, Tensor]:
        """Depth and its valid mask (all true if none was given); only for selectors that need "depth"."""
        assert self.depth is not None
        valid = torch.ones_like(self.depth, dtype=torch.bool) if self.valid is None else self.valid
        return self.depth, valid


def sample_seeds(samples: Sequence[str], seed: int) -> list[int]:
    """One seed per sample from its id and the plan's seed, so that batching and order never matter."""
    digests = (hashlib.sha256(f"{seed}:{sample}".encode()).digest() for sample in samples)
    return [int.from_bytes(digest[:7], "big") for digest in digests]


def generator(seed: int, salt: str = "") -> torch.Generator:
    """A local CPU generator; another `salt` gives an independent stream of the same sample."""
    mixed = hashlib.sha256(f"{seed}/{salt}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(mixed[:7], "big"))


def permutations(seeds: Sequence[int], n: int, salt: str = "") -> Tensor:
    """A random permutation of range(n) per seed: (B, n) int64 on the CPU."""
    return torch.stack([torch.randperm(n, generator=generator(seed, salt)) for seed in seeds])


def strict_rank(score: Tensor, seeds: Sequence[int]) -> Tensor:
    """Order the pixels of each image by score; equal scores are ordered by the sample's seeded permutation.

    Convention: score (B,1,H,W), higher = kept earlier -> rank (B,1,H,W) int32, a permutation of 0..HW-1 per image.

    Raises:
        ValueError: if a score is NaN.
    """
    size = check_shapes(score=(score, "b 1 h w"))
    count = size["h"] * size["w"]
    if torch.isnan(score).any():
        raise ValueError("Expected `score` to order all pixels, but got NaN; give unwanted pixels -inf.")
    shuffled = permutations(seeds, count).to(score.device)
    order = shuffled.gather(1, score.reshape(-1, count).gather(1, shuffled).argsort(dim=1, stable=True))
    position = torch.arange(count, dtype=torch.int32, device=score.device).expand_as(order)
    return torch.empty_like(order, dtype=torch.int32).scatter_(1, order, position).view(score.shape)


def rank_pixels(
    name: str,
    image: Tensor,
    *,
    seeds: Sequence[int],
    depth: Tensor | None = None,
    valid: Tensor | None = None,
    intrinsics: Tensor | None = None,
    maps: Mapping[str, Tensor] | None = None,
    model: Callable[[Tensor], Tensor] | None = None,
    rank: Tensor | None = None,
    **options: Any,
) -> Tensor:
    """Rank the pixels of each image by a registered selector.

    Convention: image (B,3,H,W) -> rank (B,1,H,W) int32, a permutation of 0..HW-1 per image, higher = kept earlier.
    `rank` is the user's own map (B,1,H,W) of the selector `rank_map` (any scores; ties are broken by seed).
    `name` may end in `.reversed`: the most important pixels are then kept last.

    Raises:
        ValueError: if the selector is unknown, or needs something that was not given.
    """
    base, is_reversed = (name.removesuffix(".reversed"), name.endswith(".reversed"))
    sizes = check_shapes(image=(image, "b 3 h w"))
    named = {**(maps or {}), **({} if rank is None else {"rank": rank})}
    spec = {"depth": (depth, "b 1 h w"), "valid": (valid, "b 1 h w"), "intrinsics": (intrinsics, "b 3 3")}
    check_shapes(image=(image, "b 3 h w"), **{k: v for k, v in spec.items() if v[0] is not None})
    if len(seeds) != sizes["b"]:
        raise ValueError(f"Expected one seed per image ({sizes['b']}), but got {len(seeds)}.")
    view = SelectorInput(
        image=image, seeds=seeds, depth=depth, valid=valid, intrinsics=intrinsics, maps=named, model=model
    )
    missing = [need for need in SELECTORS.facts(base).get("needs", ()) if need not in view.offers()]
    if missing:
        raise ValueError(
            f"Expected selector `{base}` to get {missing}, but got only {view.offers()}; "
            "leave the selector out or use a data set that has it."
        )
    found = strict_rank(SELECTORS[base](view, **options), seeds)
    return reverse_rank(found) if is_reversed else found


def reverse_rank(rank: Tensor) -> Tensor:
    """The reversed order: what was kept first is kept last."""
    return -rank if rank.is_floating_point() else rank.shape[-2] * rank.shape[-1] - 1 - rank


def kept_count(budget: float, pixels: int) -> int:
    """How many of `pixels` a budget keeps: the budget's share, rounded up (rounding noise of the product aside).

    Raises:
        ValueError: if the budget is not in [0, 1].
    """
    check_range("budget", budget, 0, 1)
    return math.ceil(round(budget * pixels, 6))


def keep_top(rank: Tensor, budget: float) -> Tensor:
    """The mask (B,1,H,W) bool of the ceil(budget * HW) highest ranked pixels of each image; budgets are nested.

    Convention: an integer `rank` is strict, as `rank_pixels` returns it; scores (floating point) are ordered here,
    ties by position: use `strict_rank` to break them by seed.
    """
    pixels = check_shapes(rank=(rank, "b 1 h w"))
    count = pixels["h"] * pixels["w"]
    if rank.is_floating_point():
        order = rank.reshape(len(rank), -1).argsort(dim=1, stable=True)
        position = torch.arange(count, device=rank.device).expand_as(order)
        rank = torch.empty_like(order).scatter_(1, order, position).view(rank.shape)
    return rank >= count - kept_count(budget, count)
