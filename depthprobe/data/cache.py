"""A training set rendered (or decoded) once and kept as memory-mapped arrays; filling it can be interrupted."""

import hashlib
import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.data.batch import Batch
from depthprobe.data.dataset import Dataset, SampleError, load_dataset

MADE, UNREADABLE = 1, -1
Progress = Callable[[int, int], None]


class ArrayCache:
    """Image and depth of every sample of a data set as arrays on disk.

    Convention: `rgb.npy` uint8 (N,H,W,3); `depth.npy` float32 (N,H,W) in metres, inf where invalid; `done.npy` int8
    (N,) is 1 for finished samples, -1 for those that could not be read (with `on_error="skip"`). `size` (h, w) is what
    samples are resized to: images by antialiased bilinear interpolation, as an adapter does, depth and validity by the
    nearest pixel. Without it all samples must have one size.
    """

    def __init__(self, dataset: Dataset, folder: str | Path, *, size: Sequence[int] = (), key: str = "") -> None:
        self.dataset, self.size = dataset, tuple(size)
        key = key or hashlib.sha256(json.dumps(dataset.facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.folder = Path(folder) / "-".join([dataset.name, key, *(["x".join(map(str, size))] if size else [])])
        self.folder.mkdir(parents=True, exist_ok=True)
        height, width = self.size or _first_size(dataset)
        count = len(dataset)
        self.rgb = self._open("rgb", (count, height, width, 3), np.uint8)
        self.depth = self._open("depth", (count, height, width), np.float32)
        self.done = self._open("done", (count,), np.int8)

    def __len__(self) -> int:
        return len(self.dataset)

    def _open(self, name: str, shape: tuple[int, ...], dtype: type) -> np.memmap:
        path = self.folder / f"{name}.npy"
        fresh = not path.exists()
        array = np.lib.format.open_memmap(path, mode="w+" if fresh else "r+", shape=shape, dtype=dtype)
        if array.shape != shape or array.dtype != dtype:
            raise ValueError(
                f"Expected {path} to hold {shape} {dtype.__name__}, but got {array.shape}; delete {path.parent}."
            )
        return array

    def missing(self) -> list[int]:
        """Numbers of the samples that are not there yet."""
        return np.flatnonzero(self.done == 0).tolist()

    def usable(self) -> list[int]:
        """Numbers of the samples that are there."""
        return np.flatnonzero(self.done == MADE).tolist()

    def fill(self, *, share: tuple[int, int] = (0, 1), progress: Progress | None = None) -> None:
        """Make what is missing; `share` = (k, n): every n-th sample from the k-th, for n processes on one cache.

        Raises:
            ValueError: if a sample has another size than the first and no `size` is given.
            SampleError: if a sample cannot be read and the data set's `on_error` is "raise".
        """
        mine = [i for i in self.missing() if i % share[1] == share[0]]
        for count, i in enumerate(mine):
            if progress is not None and count % 8 == 0:
                progress(len(self) - len(mine) + count, len(self))
            try:
                self._keep(i, self.dataset.read(i))
                self.done[i] = MADE
            except SampleError:
                if self.dataset.on_error == "raise":
                    raise
                self.done[i] = UNREADABLE

    def _keep(self, i: int, one: Batch) -> None:
        image, depth = one.image, torch.where(one.valid, one.depth, torch.inf)
        if self.size and tuple(image.shape[-2:]) != self.size:
            image = F.interpolate(image, self.size, mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)
            depth = F.interpolate(depth, self.size, mode="nearest-exact")
        if tuple(image.shape[-2:]) != self.rgb.shape[1:3]:
            raise ValueError(
                f"Expected all images of `{self.dataset.name}` to have one size {self.rgb.shape[1:3]}, but "
                f"{one.sample[0]} has {tuple(image.shape[-2:])}; give a size to which all are resized."
            )
        self.rgb[i] = (image[0] * 255).round().byte().permute(1, 2, 0).numpy()
        self.depth[i] = depth[0, 0].numpy()

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
        """Image uint8 (B,3,H,W), depth (B,1,H,W) and valid of the samples at `indices`.

        Only numpy works here, so that a thread that reads ahead does not take torch's threads from the network.
        """
        index = np.asarray(indices)
        depth = self.depth[index][:, None]
        valid = ~np.isposinf(depth)  # NaN stays valid: a training must stop at it, not learn around it
        np.copyto(depth, 1.0, where=~valid)
        return torch.from_numpy(self.rgb[index]).permute(0, 3, 1, 2), torch.from_numpy(depth), torch.from_numpy(valid)


def _first_size(dataset: Dataset) -> tuple[int, int]:
    """The size of the first sample that can be read."""
    for i in range(len(dataset)):
        try:
            height, width = dataset.read(i).image.shape[-2:]
            return int(height), int(width)
        except SampleError:
            if dataset.on_error == "raise":
                raise
    raise ValueError(f"Expected data set `{dataset.name}` to have a sample that can be read, but got none.")


def open_cache(
    name: str,
    options: Mapping[str, Any],
    folder: str | Path,
    *,
    size: Sequence[int] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> ArrayCache:
    """The filled cache of a registered data set; what is missing is made by `workers` processes (default: one a core).

    `progress` is called with (finished, total) about twice a second. Interrupted, the next call goes on.

    Raises:
        RuntimeError: if a worker fails; what it printed says why.
    """
    cache = ArrayCache(load_dataset(name, **options), folder, size=size)
    count = min(workers or os.cpu_count() or 1, max(1, len(cache.missing()) // 64))
    if count <= 1:
        cache.fill(progress=progress)
        return cache
    context = multiprocessing.get_context("spawn")
    share = (name, dict(options), folder, tuple(size))
    jobs = [context.Process(target=_fill_share, args=(*share, k, count)) for k in range(count)]
    for job in jobs:
        job.start()
    try:
        while any(job.is_alive() for job in jobs):
            jobs[0].join(0.5)
            if progress is not None:
                progress(len(cache) - len(cache.missing()), len(cache))
    finally:
        for job in jobs:
            job.terminate() if job.is_alive() else job.join()
    if failed := [job.exitcode for job in jobs if job.exitcode]:
        raise RuntimeError(
            f"Expected every worker to finish the cache {cache.folder}, but exit codes were {failed}; what they "
            "printed says why. A script of your own must start under `if __name__ == '__main__':`."
        )
    return cache


def _fill_share(name: str, options: dict[str, Any], folder: str | Path, size: tuple[int, ...], k: int, n: int) -> None:
    torch.set_num_threads(1)
    ArrayCache(load_dataset(name, **options), folder, size=size).fill(share=(k, n))
