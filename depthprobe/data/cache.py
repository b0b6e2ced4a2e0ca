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

from depthprobe.data.dataset import Dataset, load_dataset


class ArrayCache:
    """Image and depth of every sample of a data set as arrays on disk.

    Convention: `rgb.npy` uint8 (N,H,W,3); `depth.npy` float32 (N,H,W) in metres, inf where invalid; `done.npy` int8
    (N,) is > 0 for finished samples. All samples must have one size.
    """

    def __init__(self, dataset: Dataset, folder: str | Path, *, key: str | None = None) -> None:
        self.dataset = dataset
        key = key or hashlib.sha256(json.dumps(dataset.facts, sort_keys=True, default=str).encode()).hexdigest()[:12]
        self.folder = Path(folder) / f"{dataset.name}-{key}"
        self.folder.mkdir(parents=True, exist_ok=True)
        height, width = dataset.read(0).image.shape[-2:]
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

    def fill(self, *, share: tuple[int, int] = (0, 1)) -> None:
        """Make what is missing; `share` = (k, n): every n-th sample from the k-th, for n processes on one cache."""
        for i in self.missing():
            if i % share[1] == share[0]:
                one = self.dataset.read(i)
                self.rgb[i] = (one.image[0] * 255).round().byte().permute(1, 2, 0).numpy()
                self.depth[i] = torch.where(one.valid, one.depth, torch.inf)[0, 0].numpy()
                self.done[i] = 1

    def batch(self, indices: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Image (B,3,H,W) in [0,1], depth (B,1,H,W) and valid of the samples at `indices`."""
        index = np.asarray(indices)
        image = torch.from_numpy(self.rgb[index]).permute(0, 3, 1, 2).float().div_(255)
        depth = torch.from_numpy(self.depth[index])[:, None]
        valid = torch.isfinite(depth)
        return image, torch.where(valid, depth, 1.0), valid


def open_cache(
    name: str,
    options: Mapping[str, Any],
    folder: str | Path,
    *,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ArrayCache:
    """The filled cache of a registered data set; what is missing is made by `workers` processes (default: one a core).

    `progress` is called with (finished, total) about twice a second. Interrupted, the next call goes on.

    Raises:
        RuntimeError: if a worker fails; what it printed says why.
    """
    cache = ArrayCache(load_dataset(name, **options), folder)
    count = min(workers or os.cpu_count() or 1, max(1, len(cache.missing()) // 64))
    if count <= 1:
        cache.fill()
        return cache
    context = multiprocessing.get_context("spawn")
    jobs = [context.Process(target=_fill_share, args=(name, dict(options), folder, k, count)) for k in range(count)]
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
        raise RuntimeError(f"Expected every worker to finish the cache {cache.folder}, but exit codes were {failed}.")
    return cache


def _fill_share(name: str, options: dict[str, Any], folder: str | Path, k: int, n: int) -> None:
    torch.set_num_threads(1)
    ArrayCache(load_dataset(name, **options), folder).fill(share=(k, n))
