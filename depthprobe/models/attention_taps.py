"""Where a layer's attention map can be seen: the ways in which timm and transformers form it, fused kernels off."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

HOW = "timm's child `attn_drop`, or the attention of transformers"


@dataclasses.dataclass(frozen=True)
class Tap:
    """One way in which layers form their map: which ones do, and how to look at it.

    Convention: `fits` says whether a layer forms its map in this way; `attach` makes it call a function with every map
    (B,heads,q,k) that it forms, until the handle is removed.
    """

    fits: Callable[[Any], bool]
    attach: Callable[[Any, Callable[[Tensor], None]], RemovableHandle]


def _through(child: str) -> Callable[[Any, Callable[[Tensor], None]], RemovableHandle]:
    """The map passes through a dropout of this name."""

    def attach(layer: Any, look: Callable[[Tensor], None]) -> RemovableHandle:
        drop: nn.Module = getattr(layer, child)
        return drop.register_forward_pre_hook(lambda _, args: look(args[0]))

    return attach


def _beside(layer: Any, look: Callable[[Tensor], None]) -> RemovableHandle:
    """The layer returns the map beside what it attended to, where its kernel is the eager one."""

    def hook(_: nn.Module, args: Any, found: Any) -> None:
        if isinstance(found, tuple) and len(found) > 1 and isinstance(found[1], Tensor):
            look(found[1])

    handle: RemovableHandle = layer.register_forward_hook(hook)
    return handle


def _has(layer: Any, *children: str) -> bool:
    return all(isinstance(getattr(layer, child, None), nn.Module) for child in children)


def _selects_kernel(layer: Any) -> bool:
    """Whether its configuration says by which kernel it attends (transformers' attention interface)."""
    return hasattr(layer, "scaling") and hasattr(getattr(layer, "config", None), "_attn_implementation")


TAPS = (
    Tap(lambda layer: _has(layer, "attn_drop"), _through("attn_drop")),
    Tap(_selects_kernel, _beside),
    Tap(lambda layer: _has(layer, "query", "key", "value", "dropout"), _through("dropout")),
)
"""timm; transformers' interface; transformers' networks from before it (GLPN)."""


def attention_modules(net: nn.Module) -> dict[str, nn.Module]:
    """The layers whose attention can be read, by dotted name."""
    return {name: m for name, m in net.named_modules() if any(tap.fits(m) for tap in TAPS)}


def tap(layer: nn.Module, look: Callable[[Tensor], None]) -> RemovableHandle:
    """Call `look` with every map that one of `attention_modules` forms."""
    return next(way for way in TAPS if way.fits(layer)).attach(layer, look)


@contextlib.contextmanager
def unfused(net: nn.Module) -> Iterator[nn.Module]:
    """Fused attention, which never forms a map, off for the block; every layer's own setting is restored after it."""
    fused = {m: m.fused_attn for m in net.modules() if isinstance(getattr(m, "fused_attn", None), bool)}
    configs: dict[int, Any] = {id(m.config): m.config for m in net.modules() if _selects_kernel(m)}
    kernels = {key: config._attn_implementation for key, config in configs.items()}
    try:
        for module in fused:
            module.fused_attn = False  # type: ignore[assignment]
        for config in configs.values():
            config._attn_implementation = {"": "eager"}  # of this configuration alone, not of those in it
        yield net
    finally:
        for module, setting in fused.items():
            module.fused_attn = setting
        for key, kernel in kernels.items():
            configs[key]._attn_implementation = {"": kernel}
