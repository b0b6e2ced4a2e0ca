"""What does a network cost: parameters, floating point operations, latency and memory of one image?"""

import contextlib
import dataclasses
import math
import statistics
import time
import weakref
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from depthprobe.checks import check_range
from depthprobe.data.batch import Batch
from depthprobe.functional.quantities import flops, latency, parameters, peak_memory
from depthprobe.models.adapter import DepthModel
from depthprobe.models.hooks import evaluating
from depthprobe.probes.measured import Measured, frame
from depthprobe.probes.registry import PROBES


@dataclasses.dataclass(frozen=True, kw_only=True)
class CostPlan:
    """At which size, and how often and with how many threads is timed.

    Convention:
        size: (h, w) to which images are brought first; None: as the data set has them. Networks of a fixed size read
            theirs either way.
        repeats: passes of which the median time counts, after `warmup` passes that do not.
        threads: of the CPU while it is timed, so that runs on several processes can be compared; no matter on a GPU.
    """

    size: tuple[int, int] | None = None
    repeats: int = 5
    warmup: int = 2
    threads: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.size is not None:
            object.__setattr__(self, "size", tuple(self.size))
            if len(self.size) != 2:
                raise ValueError(f"Expected `size` to be (height, width), but got {self.size}.")
        for side in self.size or ():
            check_range("size", side, 1, 1e6)
        check_range("repeats", self.repeats, 1, 1e6)
        check_range("warmup", self.warmup, 0, 1e6)
        check_range("threads", self.threads, 1, 4096)

    def passes(self) -> int:
        """Forward passes per image: one that is counted, and those that are timed (8)."""
        return 1 + self.warmup + self.repeats


@PROBES.register("cost", plan=CostPlan, axes={}, quick={"repeats": 3, "warmup": 1}, timing=True)
def cost(model: DepthModel, batch: Batch, plan: CostPlan) -> pd.DataFrame:
    """Rows of `parameters`, and of `flops`, `latency` and `peak_memory` of a pass of each image alone, on its canvas.

    Convention: eval mode, no gradient; resizing to the canvas and back is left out, normalisation is not. FLOPs are
    those of convolutions, matrix products and attention, two for each multiplication; operations that torch has no
    formula for do not count. Latency (ms) is the median of wall clock times. Peak memory (MB) is above weights and
    image: of CUDA its allocator's peak, elsewhere that of all tensors that live at the same time, without what an
    operation allocates and frees within itself. Of a network that computes where torch does not see it (an ONNX file;
    see `outside_torch`) only the latency is known, the rest is NaN.
    """
    images, found, unseen = _canvases(model, batch, plan), [], outside_torch(model)
    with torch.no_grad(), evaluating(model), threads(plan.threads):
        for one in images.split(1):
            counts, most = counted(model, one)
            known = (math.nan,) * 3 if unseen else (float(parameters(model)), flops(counts), peak_memory(most))
            found.append((*known, latency(1, _seconds(model, one, plan))))
    names = ("parameters", "flops", "peak_memory", "latency")
    columns = torch.tensor(found, dtype=torch.float64).view(-1, len(names)).unbind(1)
    return frame(batch.sample, [Measured(name, x) for name, x in zip(names, columns, strict=True)])


def outside_torch(model: torch.nn.Module) -> bool:
    """Whether a layer says of itself, by `outside_torch = True`, that it has weights or computes where torch sees none.

    A network without parameters and operations is no such one: a prior has none.
    """
    return any(getattr(layer, "outside_torch", False) for layer in model.modules())


def _canvases(model: DepthModel, batch: Batch, plan: CostPlan) -> Tensor:
    image = batch.image
    if plan.size is not None and tuple(image.shape[-2:]) != plan.size:
        image = F.interpolate(image, plan.size, mode="bilinear", align_corners=False, antialias=True)
    return model.canvas(image)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """So many threads of the CPU for the block; afterwards as many as before."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def counted(model: DepthModel, image: Tensor) -> tuple[Mapping[str, int], int]:
    """Floating point operations of one pass by operation, and the most bytes that it holds above weights and image.

    Convention: torch's own attention layers are spelt out, since it has no formula for what they are fused into.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_MISSING)
    held = allocator(image.device) if image.device.type == "cuda" else LiveBytes(model, image)
    with _spelt_out(), held as memory, counter:
        model(image)
    whole: Mapping[Any, int] = counter.get_flop_counts().get("Global", {})
    return {str(operation): count for operation, count in whole.items()}, int(memory.peak)


@contextlib.contextmanager
def _spelt_out() -> Iterator[None]:
    """Without the fast path that `nn.MultiheadAttention` and `nn.TransformerEncoderLayer` take in eval mode."""
    before = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _cpu_attention(query: Any, key: Any, value: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Fused attention on a CPU, for which torch has the formula but does not use it."""
    return int(sdpa_flop_count(query, key, value))


_MISSING: dict[Any, Any] = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _cpu_attention}


@dataclasses.dataclass
class Peak:
    """The most bytes of a block."""

    peak: int = 0


@contextlib.contextmanager
def allocator(device: torch.device) -> Iterator[Peak]:
    """The peak of CUDA's allocator in the block, above what is allocated at its beginning; resets its statistics."""
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before, found = torch.cuda.memory_allocated(device), Peak()
    yield found
    torch.cuda.synchronize(device)
    found.peak = torch.cuda.max_memory_allocated(device) - before


class LiveBytes(TorchDispatchMode):
    """Watches the memory of tensors: every new storage counts from its operation until the last tensor on it is gone.

    Convention: `peak` is the most bytes at a time, without the storages of the network and of the inputs.
    """

    def __init__(self, model: torch.nn.Module, *inputs: Tensor) -> None:
        super().__init__()
        self.live = self.peak = 0
        kept = [*model.parameters(), *model.buffers(), *inputs]
        self._known = {tensor.untyped_storage()._cdata for tensor in kept}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and look at what it gave."""
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._see(tensor.untyped_storage())
        return out

    def _see(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._freed, key, size).atexit = False

    def _freed(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size


def _seconds(model: DepthModel, image: Tensor, plan: CostPlan) -> float:
    """The median time of a pass, by the wall clock."""
    times = []
    for _ in range(plan.warmup + plan.repeats):
        _wait(image.device)
        started = time.perf_counter()
        model(image)
        _wait(image.device)
        times.append(time.perf_counter() - started)
    return max(statistics.median(times[plan.warmup :]), 1e-9)


def _wait(device: torch.device) -> None:
    """Until the device has done what it was given: its work is not done when a call returns."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
