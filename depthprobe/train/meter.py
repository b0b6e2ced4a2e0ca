"""What is counted between two lines of the history: loss and gradient norm on the device, images and seconds."""

import sys
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from depthprobe.functional.quantities import data_wait, peak_memory, throughput


class Meter:
    """Sums over the steps since the last line; nothing here waits for the device before `read`."""

    def __init__(self, device: torch.device) -> None:
        self.sums = torch.zeros(2, device=device)
        self.steps, self.images, self.waited, self.seconds = 0, 0, 0.0, 0.0

    def add(self, loss: Tensor, norm: Tensor, images: int, waited: float, seconds: float) -> None:
        """Count one step: images over all processes, seconds of this one."""
        self.sums += torch.stack([loss.detach().float(), norm.detach().float()])
        self.steps, self.images = self.steps + 1, self.images + images
        self.waited, self.seconds = self.waited + waited, self.seconds + seconds

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that the next line's means are those of an uninterrupted training."""
        return {"sums": self.sums.tolist(), "steps": self.steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint's sums; seconds start anew."""
        self.sums, self.steps = torch.tensor(state["sums"], device=self.sums.device), int(state["steps"])

    def read(self, fabric: Fabric) -> dict[str, float]:
        """The means over steps and processes, and start again. Every process must call it."""
        means: Any = fabric.all_reduce(self.sums / max(1, self.steps), reduce_op="mean")
        loss, norm = means.tolist()
        numbers = {"loss": loss, "gradient_norm": norm}
        if self.seconds > 0:
            numbers["throughput"] = throughput(self.images, self.seconds)
            numbers["data_wait"] = data_wait(self.waited, self.seconds)
        numbers["peak_memory"] = peak_memory(_most_bytes(self.sums.device))
        self.__init__(self.sums.device)  # type: ignore[misc]
        return numbers


def _most_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(most if sys.platform == "darwin" else 1024 * most)
