"""What stops a training with a reason: numbers that are not finite, and memory that runs out."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from depthprobe.probes.sparse_jobs import out_of_memory

Names = Callable[[int], Sequence[str]]
PATIENCE = 25  # steps in a row that fp16 scaling may skip before it counts as failed


class Guard:
    """Watches every step's loss and gradient norm.

    On the CPU a step is judged before it changes weights. On a GPU, where asking would stop the queue, it is judged
    while the next one runs; `settle` is called before anything is written, so a poisoned state is never saved.
    """

    def __init__(self, last_good: Path, *, scaled: bool = False) -> None:
        self.last_good, self.scaled, self.skipped = last_good, scaled, 0
        self.numbers: dict[str, float] = {}
        self._pending: tuple[int, Names, Tensor, torch.cuda.Event | None] | None = None

    def watch(self, step: int, samples: Names, loss: Tensor, norm: Tensor) -> None:
        """Judge a step: loss and gradient norm are scalars on the device; `samples` gives a step's ids.

        Raises:
            FloatingPointError: if this step, or on a GPU the one before it, is not finite.
        """
        self.settle()
        found = torch.stack([loss.detach().float(), norm.detach().float()])
        if found.is_cuda:
            host = torch.empty(2, pin_memory=True)
            host.copy_(found, non_blocking=True)
            event = torch.cuda.Event()
            event.record()
            self._pending = (step, samples, host, event)
        else:
            self._pending = (step, samples, found, None)
            self.settle()

    def settle(self) -> None:
        """Judge what has not been judged yet.

        Raises:
            FloatingPointError: naming the step, the samples and the last good checkpoint.
        """
        if self._pending is None:
            return
        step, samples, found, event = self._pending
        self._pending = None
        if event is not None:
            event.synchronize()
        loss, norm = found.tolist()
        self.numbers = {"loss": loss, "gradient_norm": norm}
        if not math.isfinite(loss):
            self._stop("loss", loss, step, samples)
        self.skipped = 0 if math.isfinite(norm) else self.skipped + 1
        if self.skipped > (PATIENCE if self.scaled else 0):
            self._stop("norm of the gradients", norm, step, samples)

    def _stop(self, what: str, value: float, step: int, samples: Names) -> None:
        saved = f"the last good checkpoint is {self.last_good}" if self.last_good.exists() else "no checkpoint yet"
        raise FloatingPointError(
            f"The {what} is {value} at step {step} on {list(samples(step))}; {saved}. Look at these samples, or train "
            "with a lower lr, a smaller clip or precision 32-true in another --out."
        )


@contextlib.contextmanager
def explained_memory(images: int, size: Sequence[int], accumulate: int, device: torch.device) -> Iterator[None]:
    """Say what to change when the memory runs out in this block.

    Raises:
        MemoryError: in place of the error of the device or the allocator.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        raise MemoryError(
            f"Expected {images} images of {'x'.join(map(str, size))} at a time to fit on {device}, but its memory ran "
            f"out; set accumulate={2 * accumulate} (the same step in smaller parts), precision=bf16-mixed, or smaller "
            "images."
        ) from error
