"""The running average of the weights (EMA): what is validated and saved."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

WARM = 10


class Average:
    """An average of weights and floating-point buffers, kept beside the network that trains.

    Convention: after the update of step k (from 0), mean += (1 - d) (weights - mean) with d = min(decay, (k + 1) /
    (k + 10)), so that the first steps do not linger. With `decay` 0 there is no average. On sharded networks each
    process keeps its shards.
    """

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        kept = net.state_dict().values() if decay > 0 else []
        self.live = [_local(x) for x in kept if x.is_floating_point()]
        self.mean = [x.clone() for x in self.live]

    def update(self, step: int) -> None:
        """Take the weights after step `step` in."""
        if self.mean:
            torch._foreach_lerp_(self.mean, self.live, 1 - min(self.decay, (step + 1) / (step + WARM)))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """While in this block the network has the averaged weights; after it, its own again, bit for bit."""
        own = [x.clone() for x in self.live]
        try:
            _copy(self.live, self.mean)
            yield
        finally:
            _copy(self.live, own)

    def install(self) -> None:
        """Give the network the averaged weights for good."""
        _copy(self.live, self.mean)

    def reset(self) -> None:
        """Start again from the weights that the network has now."""
        _copy(self.mean, self.live)


def _copy(to: list[Tensor], source: list[Tensor]) -> None:
    if to:
        torch._foreach_copy_(to, source)


def _local(x: Tensor) -> Tensor:
    """This process's shard of a sharded tensor; any other tensor as it is."""
    return x.to_local() if hasattr(x, "to_local") else x
