"""Weights as safetensors, and the whole state of a training, from which it goes on exactly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils._pytree import tree_map_only

from depthprobe.models import DepthModel
from depthprobe.schema import replacing
from depthprobe.train.average import Average

FORMAT = 2


def save_weights(model: DepthModel, path: Path) -> None:
    """Write the network's weights (without the adapter) as safetensors, atomically."""
    write_weights(whole_weights(model), path)


def whole_weights(model: DepthModel) -> dict[str, Tensor]:
    """A copy of the network's weights (without the adapter) on the CPU; sharded ones are put together.

    Convention: where they are sharded, every process must call it.
    """
    return {name: _whole(x) for name, x in model.net.state_dict().items()}


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as safetensors, atomically."""
    with replacing(path, failures=(SafetensorError,)) as partial:
        save_file({k: x.contiguous() for k, x in weights.items()}, partial)


def pack_state(model: DepthModel, optimizer: torch.optim.Optimizer, average: Average) -> dict[str, Any]:
    """Everything that decides the next steps: copies of weights, average and optimiser, whole and on the CPU.

    Convention: where they are sharded, every process must call it.
    """
    with average.applied():
        mean = whole_weights(model)
    own = tree_map_only(Tensor, _whole, optimizer.state_dict())
    return {"format": FORMAT, "model": whole_weights(model), "average": mean, "optimizer": own}


def write_state(state: Mapping[str, Any], path: Path) -> None:
    """Write a packed state, atomically."""
    with replacing(path, failures=(RuntimeError,)) as partial:  # as torch's writer says it
        torch.save(state, partial)


def read_state(path: Path) -> dict[str, Any]:
    """A packed state from a file; nothing in it is executed (weights_only).

    Raises:
        ValueError: if the file is no such state, or of another version.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds on a damaged file
        raise ValueError(f"Expected {path} to be a checkpoint, but {error}; start again with --no-resume.") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(
            f"Expected {path} to be a checkpoint of this version (format {FORMAT}), but it is not; "
            "start again with --no-resume."
        )
    return state


@torch.no_grad()
def unpack_state(
    state: Mapping[str, Any], model: DepthModel, optimizer: torch.optim.Optimizer, average: Average
) -> None:
    """Put a packed state back in place."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    packed = dict(state["optimizer"])
    packed["state"] = {
        i: {name: _like(x, parameters[i]) for name, x in moments.items()} for i, moments in packed["state"].items()
    }
    optimizer.load_state_dict(packed)
    _fill(model, state["average"])
    average.reset()
    _fill(model, state["model"])


def _fill(model: DepthModel, weights: Mapping[str, Tensor]) -> None:
    for name, mine in model.net.state_dict().items():
        mine.copy_(_like(weights[name], mine))


def _whole(x: Tensor) -> Tensor:
    """A copy of a tensor on the CPU; a sharded one is put together."""
    return (x.full_tensor() if isinstance(x, DTensor) else x).detach().to("cpu", copy=True)


def _like(x: Tensor, like: Tensor) -> Tensor:
    """A whole tensor, sharded as `like` is (scalars stay whole)."""
    if not isinstance(like, DTensor) or x.ndim == 0:
        return x
    return distribute_tensor(x.to(like.device), like.device_mesh, like.placements)
