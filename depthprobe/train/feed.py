"""The micro-batches of a step: read one step ahead by a thread, augmented where the network is."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from depthprobe.data.cache import ArrayCache
from depthprobe.functional.augment import augment
from depthprobe.train.order import batch_at, share_of
from depthprobe.train.recipe import Recipe

AUGMENTATION = ("flip", "colour", "rotation", "crop", "cut_depth", "drop_pixels")
PIECE = 2**17  # numbers of an image piece that fit into a core's cache
Part = tuple[Tensor, Tensor, Tensor, list[int]]


class Feed:
    """This process's part of every step, as micro-batches (image, depth, valid) on the device.

    Convention: `numbers` are the samples of `cache` to train on; `fill` is the colour of dropped pixels. `waited` are
    the seconds that the last step waited for its samples.
    """

    def __init__(
        self, recipe: Recipe, cache: ArrayCache, numbers: Sequence[int], fabric: Fabric, fill: Sequence[float]
    ) -> None:
        self.recipe, self.cache, self.numbers, self.fabric = recipe, cache, list(numbers), fabric
        self.options: dict[str, Any] = {name: getattr(recipe, name) for name in AUGMENTATION} | {"fill": fill}
        self.waited = 0.0
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="depthprobe-feed")
        self._ahead: tuple[int, Future[list[Part]]] | None = None

    def __enter__(self) -> "Feed":
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._reader.shutdown(cancel_futures=True)

    def shares(self, step: int) -> list[list[tuple[int, int]]]:
        """(place in `numbers`, key) of this process's samples, by micro-batch."""
        batch = batch_at(step, len(self.numbers), self.recipe.batch_size, self.recipe.seed)
        return share_of(batch, self.fabric.global_rank, self.fabric.world_size, self.recipe.accumulate)

    def names(self, step: int) -> list[str]:
        """Ids of this process's samples."""
        names = self.cache.dataset.samples
        return [names[self.numbers[place]] for share in self.shares(step) for place, _ in share]

    def micro_batches(self, step: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Image (B,3,H,W) in [0,1], depth (B,1,H,W) in metres and valid, on the device, augmented."""
        started = time.perf_counter()
        number, future = self._ahead or (-1, None)
        parts = future.result() if future is not None and number == step else self._read(step)
        self.waited = time.perf_counter() - started
        self._ahead = (step + 1, self._reader.submit(self._read, step + 1))
        for image, depth, valid, keys in parts:
            sample = tuple(x.to(self.fabric.device, non_blocking=True) for x in (image, depth, valid))
            yield self._augmented(sample, keys)

    def _augmented(self, sample: tuple[Tensor, ...], keys: list[int]) -> tuple[Tensor, Tensor, Tensor]:
        """The micro-batch augmented; on the CPU in pieces that stay in its cache, which halves the time."""
        size = max(1, PIECE // sample[0][0].numel()) if sample[0].device.type == "cpu" else len(keys)
        layout = torch.channels_last if self.recipe.channels_last else torch.contiguous_format
        whole: list[Tensor] = []
        for start in range(0, len(keys), size):
            here = slice(start, start + size)
            pieces = augment(*(x[here] for x in sample), keys=keys[here], **self.options)
            if not whole:
                whole = [torch.empty((len(keys), *x.shape[1:]), dtype=x.dtype, device=x.device) for x in pieces]
                whole[0] = whole[0].to(memory_format=layout)
            for into, piece in zip(whole, pieces, strict=True):
                into[here] = piece
        return whole[0], whole[1], whole[2]

    def _read(self, step: int) -> list[Part]:
        parts = []
        for share in self.shares(step):
            tensors = self.cache.batch([self.numbers[place] for place, _ in share])
            if self.fabric.device.type == "cuda":
                tensors = (tensors[0].pin_memory(), tensors[1].pin_memory(), tensors[2].pin_memory())
            parts.append((*tensors, [key for _, key in share]))
        return parts
