"""The lattices on which a network works: the strides of its feature maps and the windows of its attention."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import as_map, evaluating


def strides(model: DepthModel, image: Tensor) -> dict[str, int]:
    """The stride of every layer in `model.layers()` that gives a map or a token grid, by name, in pixels of its canvas.

    Convention: image (B,3,H,W), of which the first is looked at. Layers that give no map, and maps that do not divide
    the canvas by the same whole number in both directions, are left out.
    """
    known = dict(model.net.named_modules())
    return _measured(model, image, {name: known[name] for name in model.layers() if name in known})


def windows(model: DepthModel, image: Tensor) -> dict[str, tuple[int, ...]]:
    """The sides of the attention windows of every block that has them (`window_size`), in pixels of its canvas.

    Convention: as `strides`; one side of a square window, else height and width. A side as long as the shorter side of
    the canvas is left out.
    """
    blocks = {name: m for name, m in model.net.named_modules() if _window(m)}
    canvas = min(model.canvas_size(image.shape[-2], image.shape[-1]))
    found: dict[str, tuple[int, ...]] = {}
    for name, stride in _measured(model, image, blocks).items():
        sides = tuple(stride * side for side in _window(blocks[name]) if stride * side < canvas)
        found |= {name: sides} if sides else {}
    return found


def periods(model: DepthModel, image: Tensor) -> dict[int, list[str]]:
    """Every period larger than 1 at which the network's lattices repeat, with the layers that have it, rising."""
    found: dict[int, list[str]] = {}
    steps = {name: (side,) for name, side in strides(model, image).items()}
    for lattices in (steps, windows(model, image)):
        for name, sides in lattices.items():
            for side in sides:
                if side > 1 and name not in found.setdefault(side, []):
                    found[side].append(name)
    return {side: names for side, names in sorted(found.items()) if names}


def _window(module: nn.Module) -> tuple[int, ...]:
    """The different sides of a module's attention windows, in tokens; () where it has none."""
    size: Any = getattr(module, "window_size", ())
    sides = size if isinstance(size, tuple | list) else (size,)
    fits = len(sides) in (1, 2) and all(isinstance(side, int) and side > 1 for side in sides)
    return tuple(dict.fromkeys(sides)) if fits else ()


def _measured(model: DepthModel, image: Tensor, modules: dict[str, nn.Module]) -> dict[str, int]:
    if not modules:
        return {}
    size = model.canvas_size(image.shape[-2], image.shape[-1])
    with torch.no_grad(), evaluating(model), _shapes(modules, size) as shapes:
        model(image[:1])
    return {name: stride for name, shape in shapes.items() if (stride := _stride(size, shape)) is not None}


@contextlib.contextmanager
def _shapes(modules: dict[str, nn.Module], size: tuple[int, int]) -> Iterator[dict[str, tuple[int, int]]]:
    """The (h, w) of what some modules put out, where that is a map, while the block runs."""
    found: dict[str, tuple[int, int]] = {}

    def reader(name: str) -> Any:
        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            with contextlib.suppress(ValueError):
                shape = as_map(output, size, name).shape
                found[name] = (int(shape[-2]), int(shape[-1]))

        return read

    handles = []
    try:
        handles += [module.register_forward_hook(reader(name)) for name, module in modules.items()]
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _stride(size: tuple[int, int], shape: tuple[int, int]) -> int | None:
    """The whole number by which a canvas was divided in both directions, rounded up at its end."""
    if min(shape) < 2:
        return None
    step = round(size[1] / shape[1])
    fits = step >= 1 and all(-(-n // step) == m for n, m in zip(size, shape, strict=True))
    return step if fits else None
