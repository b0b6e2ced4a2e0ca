"""Which device to measure on, and how several processes share one run (Lightning Fabric)."""

import contextlib
import dataclasses
import datetime
import os
from collections.abc import Callable, Iterator

import torch


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that share a run: its number, how many there are, its device."""

    rank: int
    world: int
    device: torch.device
    barrier: Callable[[], None]

    @property
    def first(self) -> bool:
        """Whether this process writes what is written once (table.json, maps)."""
        return self.rank == 0


def pick_device(device: str = "auto", *, local_rank: int = 0) -> torch.device:
    """`auto`: CUDA before MPS before the CPU; ranks of one machine spread over its CUDA devices.

    Raises:
        ValueError: if the named device is not there.
    """
    if device == "auto":
        mps = getattr(torch.backends, "mps", None)
        device = "cuda" if torch.cuda.is_available() else "mps" if mps is not None and mps.is_available() else "cpu"
    try:
        found = torch.device(device)
        if found.type == "cuda" and found.index is None:
            found = torch.device("cuda", local_rank % max(1, torch.cuda.device_count()))
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"Expected `device` to be auto, cpu or a device that is here, but got {device!r} ({reason})."
        ) from error
    return found


@contextlib.contextmanager
def open_ranks(device: str = "auto") -> Iterator[Ranks]:
    """Join the processes that `torchrun` started, or be the only one.

    The ranks exchange no tensors, only barriers, so gloo serves every device and two ranks may share one GPU. On the
    CPU each rank takes its share of the cores while the run lasts.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(0, 1, pick_device(device), lambda: None)
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    strategy = DDPStrategy(process_group_backend="gloo", timeout=datetime.timedelta(days=7))
    fabric = Fabric(accelerator="cpu", devices=local, num_nodes=max(1, world // local), strategy=strategy)
    fabric.launch()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // local))
    try:
        yield Ranks(
            fabric.global_rank, world, pick_device(device, local_rank=fabric.local_rank), lambda: fabric.barrier()
        )
    finally:
        torch.set_num_threads(threads)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
