"""Processes, device and precision of a training (Lightning Fabric)."""

import contextlib
import datetime
import os
from collections.abc import Iterator
from typing import Any

import torch
from lightning.fabric import Fabric
from lightning.fabric.strategies import DDPStrategy, ModelParallelStrategy
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

from depthprobe.memory import kept_memory
from depthprobe.ranks import cores, pick_device, watched
from depthprobe.train.recipe import Recipe

TIMEOUT = datetime.timedelta(days=7)  # ranks wait while the first one makes the training set
SHARDED = 0.01


@contextlib.contextmanager
def open_fabric(recipe: Recipe) -> Iterator[Fabric]:
    """Join the processes that torchrun started, or start as many as `devices` says, and be one of them.

    On the CPU each process takes its share of the cores while the training lasts. A process that is lost ends the
    others (`ranks.watched`).

    Raises:
        ConnectionError: if another process is lost.
        ValueError: if the device is not there, or does not offer the precision.
    """
    kind, met = pick_device(recipe.device).type, torch.distributed.is_initialized()  # within `open_ranks`
    fabric = Fabric(accelerator=kind, precision=precision_of(recipe, kind), **_processes(recipe))
    fabric.launch()
    threads = torch.get_num_threads()
    if fabric.world_size > 1 and kind == "cpu":
        torch.set_num_threads(max(1, cores() // int(os.environ.get("LOCAL_WORLD_SIZE", fabric.world_size))))
    try:
        with watched(fabric.global_rank, fabric.world_size), kept_memory(kind):
            yield fabric
    finally:
        torch.set_num_threads(threads)
        if fabric.world_size > 1 and not met and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def precision_of(recipe: Recipe, kind: str) -> Any:
    """The precision of a recipe on a kind of device: `auto` is bf16 or fp16 on CUDA and float32 elsewhere.

    Raises:
        ValueError: if fp16, whose small gradients need scaling, is asked for off CUDA or together with sharding.
    """
    if recipe.precision == "16-mixed" and (kind != "cuda" or recipe.strategy == "fsdp"):
        raise ValueError(
            f"Expected precision 16-mixed on CUDA and without fsdp, but got {kind} and {recipe.strategy}; "
            "use bf16-mixed or 32-true."
        )
    if recipe.precision != "auto":
        return recipe.precision
    if kind != "cuda":
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() or recipe.strategy == "fsdp" else "16-mixed"


def _processes(recipe: Recipe) -> dict[str, Any]:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    launched = "LOCAL_RANK" in os.environ and world > 1
    count, nodes = (local, max(1, world // local)) if launched else (recipe.devices, 1)
    strategy: Any = "auto"
    if recipe.strategy == "fsdp":
        whole = count * nodes if count > 0 else max(1, torch.cuda.device_count())
        strategy = ModelParallelStrategy(shard, data_parallel_size=whole, tensor_parallel_size=1, timeout=TIMEOUT)
    elif recipe.strategy == "ddp" or count * nodes not in (0, 1):
        strategy = DDPStrategy(timeout=TIMEOUT)
    return {"devices": count, "num_nodes": nodes, "strategy": strategy}


def shard(model: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Spread a network over processes: every block of a sequence that holds at least 1 % of it, then the rest."""
    mesh, total = mesh["data_parallel"], sum(p.numel() for p in model.parameters())
    listed = [m for m in model.modules() if isinstance(m, nn.Sequential | nn.ModuleList)]
    blocks = {id(block): block for sequence in listed for block in sequence}
    for block in reversed([m for m in model.modules() if id(m) in blocks]):  # inner ones first
        alone = type(block).forward is not nn.Module.forward  # a list of modules is never called
        if alone and sum(p.numel() for p in block.parameters()) >= SHARDED * total:
            fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model
