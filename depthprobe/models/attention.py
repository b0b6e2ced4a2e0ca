"""Reading attention maps: fused attention off for a while, every map with the places of its tokens.

Knows the layouts of timm and transformers: plain token grids with class or register tokens, timm's (shifted, padded,
non-square) windows of Swin, and the spatial reduction of PVT and SegFormer.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from depthprobe.functional.attention import allowed_pairs, grid_places, reduced_places, window_places
from depthprobe.models.attention_taps import HOW, attention_modules, tap, unfused

T = TypeVar("T")
PREFIX = 16
"""Most class and register tokens before a token grid."""


@dataclasses.dataclass(frozen=True)
class AttentionMap:
    """The attention of one layer and where its tokens stand.

    Convention: weights (B,G,heads,q,k), G windows (1 without); queries (G,q,2), keys (G,k,2) places (y,x) in pixels of
    the network's canvas, NaN for tokens that stand nowhere; allowed (G,q,k) bool, pairs that may attend to each other.
    """

    weights: Tensor
    queries: Tensor
    keys: Tensor
    allowed: Tensor

    def uniform(self) -> Tensor:
        """The map (1,G,1,q,k) of a network that attends to all that it may alike."""
        equal = (self.allowed & self.keys.isfinite().all(-1)[:, None]).double()
        return (equal / equal.sum(-1, keepdim=True)).nan_to_num()[None, :, None]


@contextlib.contextmanager
def capture_attention(
    net: nn.Module, read: Callable[[AttentionMap], T], *, size: tuple[int, int]
) -> Iterator[dict[str, T]]:
    """Collect `read(map)` of every attention layer that runs in the block, by name, in the order in which they run.

    Convention: `size` is the (h, w) of what the network itself is given. Maps are read as they arise and not kept.

    Raises:
        ValueError: if the network has no attention that can be read, none was captured, or the tokens of a layer do not
            fit any known layout.
    """
    layers = attention_modules(net)
    if not layers:
        raise ValueError(
            f"Expected attention layers that can be read ({HOW}), but the network has none; give a Transformer of "
            "timm or transformers, or name the softmax's dropout `attn_drop`."
        )
    found: dict[str, T] = {}
    inputs: dict[str, tuple[Any, ...]] = {}
    handles = []

    def noting(name: str) -> Callable[[nn.Module, Any], None]:
        def note(module: nn.Module, args: Any) -> None:
            inputs[name] = args

        return note

    def reading(name: str, module: nn.Module, block: nn.Module) -> Callable[[Tensor], None]:
        def look(weights: Tensor) -> None:
            found[name] = read(_layer(name, weights, module, block, inputs, size))

        return look

    known = dict(net.named_modules())
    try:
        handles.append(net.register_forward_pre_hook(noting("")))
        for name, module in layers.items():
            parent = name.rpartition(".")[0]
            handles.append(known[parent].register_forward_pre_hook(noting(parent)))
            handles.append(module.register_forward_pre_hook(noting(name)))
            handles.append(tap(module, reading(name, module, known[parent])))
        with unfused(net):
            yield found
    finally:
        for handle in handles:
            handle.remove()
    if not found:
        raise ValueError(
            f"Expected attention maps of {list(layers)[:3]}, ..., but none was captured; run the network inside the "
            "block, with its attention not fused (layers that always fuse it have no map to read)."
        )


def _layer(
    name: str,
    weights: Tensor,
    module: nn.Module,
    block: nn.Module,
    inputs: Mapping[str, tuple[Any, ...]],
    size: tuple[int, int],
) -> AttentionMap:
    """The map of one layer from what it, its block and the whole network were given."""
    args, image = inputs[name], inputs[""][0]
    around = inputs.get(name.rpartition(".")[0], args)  # a list of layers is never called itself
    if hasattr(module, "window_size") and hasattr(block, "shift_size"):
        return _windowed(weights, module, block, around[0], size)
    if weights.ndim != 4 or len(weights) != len(image):
        raise ValueError(
            f"Expected attention layer `{name}` to give (b heads q k) with b={len(image)} or Swin's windows, but "
            f"got {tuple(weights.shape)}; its layout is not known."
        )
    count, keys = int(weights.shape[-2]), int(weights.shape[-1])
    grid, stride, prefix = _tokens(name, count, size, _given(args), _patch(module))
    places = torch.cat([torch.full((prefix, 2), torch.nan, dtype=torch.float64), grid_places(grid, stride)])
    seen = places if keys == count else _reduced(name, module, keys, grid, stride)
    return AttentionMap(weights[:, None], places[None], seen[None], torch.ones(1, count, keys, dtype=torch.bool))


def _windowed(
    weights: Tensor, module: nn.Module, block: nn.Module, tokens: Tensor, size: tuple[int, int]
) -> AttentionMap:
    """The map of a window attention; the block's input (B,h,w,C) tells the grid, its `shift_size` the shift."""
    grid = (int(tokens.shape[1]), int(tokens.shape[2]))
    window, shift = _pair(module.window_size), _pair(block.shift_size)
    stride = _stride(size, grid)
    places = window_places(grid, window, shift, stride)
    grouped = weights.reshape(len(tokens), len(places), *weights.shape[1:])
    return AttentionMap(grouped, places, places, allowed_pairs(places, window, stride))


def _reduced(name: str, module: nn.Module, keys: int, grid: tuple[int, int], stride: tuple[float, float]) -> Tensor:
    """Places of the keys of a spatial reduction: its pooling (PVT's linear attention) or its convolution `sr`."""
    pool, conv = getattr(module, "pool", None), getattr(module, "sr", None)
    places = None
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        side = _pair(pool.output_size)
        step = (grid[0] / side[0], grid[1] / side[1])  # bins overlap or differ by a token where this is not whole
        places = grid_places(side, (stride[0] * step[0], stride[1] * step[1]))
    elif isinstance(conv, nn.Conv2d):
        places = reduced_places(grid, _pair(conv.kernel_size), _pair(conv.stride), stride)
    if places is None or len(places) != keys:
        raise ValueError(
            f"Expected attention layer `{name}` to have as many keys as queries, a spatial reduction `sr`, or windows, "
            f"but got {keys} keys for a grid of {grid}; its layout is not known."
        )
    return places


def _given(args: tuple[Any, ...]) -> tuple[int, int] | None:
    """The grid that a layer is told beside its tokens: as one pair (timm's PVT) or as height and width (SegFormer)."""
    if len(args) > 1 and isinstance(args[1], tuple | list | torch.Size):
        return _pair(args[1])
    two = args[1:3]
    return _pair(two) if len(two) == 2 and all(type(side) is int for side in two) else None


def _patch(module: Any) -> int | None:
    """The side of a patch in pixels, where a layer's configuration says it."""
    side = getattr(getattr(module, "config", None), "patch_size", None)
    return side if isinstance(side, int) else None


def _tokens(
    name: str, count: int, size: tuple[int, int], given: tuple[int, int] | None, patch: int | None
) -> tuple[tuple[int, int], tuple[float, float], int]:
    """Grid, stride and number of prefix tokens of a token sequence."""
    if given is not None and given[0] * given[1] == count:
        return given, _stride(size, given), 0
    for prefix in range(PREFIX + 1):
        for step in [patch] if patch else sorted(range(1, max(size) + 1), key=lambda s: _order(size, s)):
            grid = (-(-size[0] // step), -(-size[1] // step))
            if grid[0] * grid[1] == count - prefix:
                return grid, (float(step), float(step)), prefix
    raise ValueError(
        f"Expected attention layer `{name}` to attend over a grid of tokens of an image of {size}, but got {count} "
        "tokens, which fit none; its layout is not known."
    )


def _stride(size: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float]:
    """Pixels per token: one whole number for both sides where there is one, preferring an exact division."""
    fits = [s for s in range(1, max(size) + 1) if all(-(-n // s) == m for n, m in zip(size, grid, strict=True))]
    if fits:
        step = float(min(fits, key=lambda s: _order(size, s)))
        return step, step
    return size[0] / grid[0], size[1] / grid[1]


def _order(size: tuple[int, int], step: int) -> tuple[bool, bool, int]:
    """Strides that divide the image come first, then powers of two, then small ones."""
    return any(n % step for n in size), bool(step & (step - 1)), step


def _pair(sides: Any) -> tuple[int, int]:
    """Height and width of something given as one number or two."""
    return (int(sides[0]), int(sides[1])) if isinstance(sides, tuple | list | torch.Size) else (int(sides), int(sides))
