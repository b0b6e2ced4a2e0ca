"""Reading and replacing activations; every change to a model undoes itself, also after an exception."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def _modules(net: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    known = dict(net.named_modules())
    if missing := [name for name in names if name not in known]:
        near = sorted(n for n in known if n and any(n.startswith(m.split(".")[0]) for m in missing))[:12]
        raise ValueError(f"Expected layer names of this network, but got {missing}; for example it has {near}.")
    return {name: known[name] for name in names}


@contextlib.contextmanager
def capture(net: nn.Module, names: Sequence[str], *, size: tuple[int, int]) -> Iterator[dict[str, Tensor]]:
    """Collect activations of named layers as (B,C,h,w) while the block runs.

    Convention: `size` is the (h, w) of the image that the network reads; it tells a token grid's shape.

    Raises:
        ValueError: on an unknown layer, on a layer that was not called, or on an activation that is no map.
    """
    found: dict[str, Tensor] = {}
    handles = []

    def reader(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            found[name] = as_map(output, size, name)

        return read

    overwriting = [m for m in net.modules() if getattr(m, "inplace", False) is True]
    try:
        for name, module in _modules(net, names).items():
            handles.append(module.register_forward_hook(reader(name)))
        for module in overwriting:  # else an in-place activation changes what the layer before it gave
            module.inplace = False  # type: ignore[assignment]
        yield found
    finally:
        for handle in handles:
            handle.remove()
        for module in overwriting:
            module.inplace = True  # type: ignore[assignment]
    if silent := [name for name in names if name not in found]:
        raise ValueError(f"Expected layers {silent} to run in the forward pass, but they were not called.")


@contextlib.contextmanager
def intervene(net: nn.Module, edits: Mapping[str, Callable[[Tensor], Tensor]]) -> Iterator[nn.Module]:
    """Replace the outputs of named layers while the block runs: {dotted name: tensor -> tensor}."""
    handles = []

    def writer(edit: Callable[[Tensor], Tensor]) -> Callable[[nn.Module, Any, Any], Any]:
        return lambda module, inputs, output: edit(output)

    try:
        for name, module in _modules(net, list(edits)).items():
            handles.append(module.register_forward_hook(writer(edits[name])))
        yield net
    finally:
        for handle in handles:
            handle.remove()


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Eval mode for the block; each module's own mode is restored after it."""
    modes = {module: module.training for module in model.modules()}
    try:
        yield model.eval()
    finally:
        for module, mode in modes.items():
            module.training = mode


@contextlib.contextmanager
def training(model: nn.Module) -> Iterator[nn.Module]:
    """Train mode for the block; each module's mode and buffers (batch statistics) are restored after it."""
    modes = {module: module.training for module in model.modules()}
    held = [(m, name, b, b.detach().clone()) for m in modes for name, b in m._buffers.items() if b is not None]
    try:
        yield model.train()
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for module, name, buffer, was in held:
                module._buffers[name] = buffer.copy_(was)


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Chance inside the network (dropout) from a seed for the block; the global generators are as before after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def as_map(output: Any, size: tuple[int, int], name: str = "output") -> Tensor:
    """An activation as (B,C,h,w): maps as they are, channel-last maps permuted, token sequences put on their grid.

    Prefix tokens (class, registers) are dropped. The grid is the one with the aspect of `size`.

    Raises:
        ValueError: if the activation is no tensor or fits no grid.
    """
    if isinstance(output, list | tuple) and output:
        output = output[0]
    if isinstance(output, Tensor) and output.ndim == 4:
        _, a, b, c = output.shape
        channel_last = _is_grid(a, b, size) and not _is_grid(b, c, size)
        return output.permute(0, 3, 1, 2) if channel_last else output
    if isinstance(output, Tensor) and output.ndim == 3:
        for prefix in range(0, 17):
            if (grid := _grid(output.shape[1] - prefix, size)) is not None:
                return output[:, prefix:].transpose(1, 2).unflatten(2, grid)
    what = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
    raise ValueError(f"Expected layer `{name}` to give a map or a token grid for an input of {size}, but got {what}.")


def _is_grid(rows: int, columns: int, size: tuple[int, int]) -> bool:
    return rows * size[1] == columns * size[0]


def _grid(tokens: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """The (h, w) with h*w = tokens and the aspect of `size`, up to the rounding of a stride."""
    for stride in range(1, max(size) + 1):
        grid = (-(-size[0] // stride), -(-size[1] // stride))
        if grid[0] * grid[1] == tokens:
            return grid
        if grid[0] * grid[1] < tokens:
            return None
    return None
