"""Which device to measure on, and how several processes share one run (Lightning Fabric)."""

import contextlib
import contextvars
import dataclasses
import datetime
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from depthprobe.memory import kept_memory

LOST_AFTER = 300.0
"""Seconds without a sign of life after which a process counts as lost (or $DEPTHPROBE_LOST_AFTER)."""
_WATCHED: contextvars.ContextVar[bool] = contextvars.ContextVar("_WATCHED", default=False)


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
    CPU each rank takes its share of the cores while the run lasts. A barrier waits for days if need be, since shares
    take unequally long; a process that died ends it at once, and one that gives no sign of life (a machine that is
    gone) ends all others after LOST_AFTER seconds.

    Processes that have met may not part and meet again: what trains and then measures opens its ranks once around both,
    and what opens them within that block joins the same meeting.

    Raises:
        ConnectionError: at a barrier that another process did not live to reach.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        alone = pick_device(device)
        with kept_memory(alone.type):
            yield Ranks(0, 1, alone, lambda: None)
        return
    from lightning.fabric import Fabric
    from lightning.fabric.strategies import DDPStrategy

    local = int(os.environ.get("LOCAL_WORLD_SIZE", str(world)))
    strategy = DDPStrategy(process_group_backend="gloo", timeout=datetime.timedelta(days=7))
    met = torch.distributed.is_initialized()
    fabric = Fabric(accelerator="cpu", devices=local, num_nodes=max(1, world // local), strategy=strategy)
    fabric.launch()
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, cores() // local))

    def barrier() -> None:
        try:
            fabric.barrier()
        except RuntimeError as error:
            raise ConnectionError(lost(world)) from error

    try:
        own = pick_device(device, local_rank=fabric.local_rank)
        with watched(fabric.global_rank, world), kept_memory(own.type):
            yield Ranks(fabric.global_rank, world, own, barrier)
    finally:
        torch.set_num_threads(threads)
        if not met and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def watched(rank: int, world: int) -> Iterator[None]:
    """Among several processes, end this one with a sentence if another is lost while the block runs.

    Convention: a block within such a block changes nothing.

    Raises:
        ConnectionError: in place of the error of an exchange that another process did not live to take part in.
    """
    if world == 1 or _WATCHED.get():
        yield
        return
    token, pulse = _WATCHED.set(True), Pulse(rank, world)
    try:
        yield
    except RuntimeError as error:
        if _broken(error):
            raise ConnectionError(lost(world)) from error
        raise
    finally:
        pulse.stop()
        _WATCHED.reset(token)


def _broken(error: RuntimeError) -> bool:
    """Whether an exchange between processes failed: NCCL and the store have an error of their own, gloo only words."""
    return isinstance(error, torch.distributed.DistError) or "gloo" in str(error)


def lost(world: int, who: str = "one") -> str:
    """What is said when a process is gone."""
    return (
        f"Expected all {world} processes to do their share, but {who} was lost (killed, out of memory, or stopped by "
        "an error of its own above). Finished parts and checkpoints are kept: the same command goes on from there, "
        "with any number of processes."
    )


class Pulse:
    """A thread that tells the other processes that this one lives, and ends this one if another gives no sign of life.

    A frozen process, or a machine that has gone, closes no connection: without this the others would wait for it.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self.limit = float(os.environ.get("DEPTHPROBE_LOST_AFTER", LOST_AFTER))
        self.done = threading.Event()
        threading.Thread(target=self._watch, daemon=True).start()

    def stop(self) -> None:
        """From now on nobody is missed."""
        self.done.set()

    def _watch(self) -> None:
        others = {rank: ("", time.monotonic()) for rank in range(self.world) if rank != self.rank}
        try:
            store = self._store()
            for beat in range(sys.maxsize):
                store.set(f"depthprobe/alive/{self.rank}", str(beat))
                for rank, (last, when) in others.items():
                    key = f"depthprobe/alive/{rank}"
                    said = store.get(key).decode() if store.check([key]) else ""
                    if said != last:
                        others[rank] = (said, time.monotonic())
                    elif time.monotonic() - when > self.limit:
                        self._end(f"process {rank}")
                if self.done.wait(self.limit / 10):
                    return
        except RuntimeError:  # the store lives in the first process, or in its launcher
            if not self.done.wait(self.limit / 10):
                self._end("the first")

    def _store(self) -> Any:
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        patience = datetime.timedelta(seconds=self.limit)
        return torch.distributed.TCPStore(address, port, None, False, patience, False)

    def _end(self, who: str) -> None:
        """End this process from outside: it waits in a barrier and would hear of nothing."""
        if not self.done.is_set():
            sys.stderr.write(f"Error: {lost(self.world, who)}\n")
            sys.stderr.flush()
            os._exit(2)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
