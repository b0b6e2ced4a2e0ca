"""The one path by which masked images reach a network: jobs packed into batches, whatever they belong to."""

import dataclasses
import functools
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.data.batch import Batch
from depthprobe.functional.filling import fill_pixels
from depthprobe.functional.protocol import Protocol
from depthprobe.functional.selection import kept_count, rank_pixels, reverse_rank, sample_seeds
from depthprobe.models.adapter import DepthModel
from depthprobe.probes.sparse_plan import REVERSED, Job

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Canvas:
    """A batch at the resolution the network reads, where pixels are removed (a later resize would blur a mask).

    Convention: image resized as the network does it; depth, valid, domain and maps by nearest neighbour; intrinsics
    scaled. domain (B,1,h,w) bool: the pixels inside the protocol's crop, all of them without a crop.
    """

    image: Tensor
    depth: Tensor
    valid: Tensor
    domain: Tensor
    intrinsics: Tensor | None
    maps: Mapping[str, Tensor]
    seeds: Sequence[int]

    @classmethod
    def of(cls, model: DepthModel, batch: Batch, seed: int, protocol: Protocol | None = None) -> "Canvas":
        """The canvas of a model for a batch; without a protocol, without a crop.

        Raises:
            ValueError: if the protocol's crop does not fit the images.
        """
        image = model.canvas(batch.image)
        size = (image.shape[-2], image.shape[-1])
        return cls(
            image=image,
            depth=_resized(batch.depth, size),
            valid=_resized(batch.valid, size),
            domain=_resized(_inside(batch.valid, protocol), size),
            intrinsics=_scaled(batch.intrinsics, (batch.image.shape[-2], batch.image.shape[-1]), size),
            maps={name: _resized(x, size) for name, x in batch.maps.items()},
            seeds=sample_seeds(batch.sample, seed),
        )

    def judged(self, protocol: Protocol) -> Tensor:
        """The pixels (B,1,h,w) that a protocol judges: valid, inside its crop and within its depths."""
        within = (self.depth > protocol.min_depth) & (self.depth < protocol.max_depth)
        return self.valid & self.domain & within


def _inside(valid: Tensor, protocol: Protocol | None) -> Tensor:
    if protocol is None:
        return torch.ones_like(valid)
    mask = protocol.region((valid.shape[-2], valid.shape[-1]))
    return mask.to(valid.device).expand_as(valid)


def _domain_first(rank: Tensor, domain: Tensor) -> Tensor:
    """The strict rank (1,1,h,w) with all pixels of the domain before all others, each in the order they had."""
    if bool(domain.all()):
        return rank
    order = (rank.long() + rank.numel() * domain).flatten().argsort()
    position = torch.arange(rank.numel(), dtype=rank.dtype, device=rank.device)
    return torch.empty_like(position).scatter_(0, order, position).view(rank.shape)


def _resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x.double(), size, mode="nearest-exact").to(x.dtype)


def _scaled(intrinsics: Tensor | None, old: tuple[int, int], new: tuple[int, int]) -> Tensor | None:
    if intrinsics is None or old == new:
        return intrinsics
    y, x = new[0] / old[0], new[1] / old[1]
    resize = torch.tensor([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])  # (0, 0) is a pixel's centre
    return resize.to(intrinsics) @ intrinsics


class Masker:
    """Makes masked images of a canvas on demand; keeps the ranks of the last few jobs only."""

    def __init__(self, model: DepthModel, canvas: Canvas, size: int) -> None:
        self._model, self._canvas = model, canvas
        self.rank = functools.lru_cache(maxsize=size + 1)(self._rank)

    def _rank(self, image: int, selector: str) -> Tensor:
        """Rank (1,1,h,w) of one image, a permutation of 0..hw-1; outside the domain every pixel comes last."""
        c, one = self._canvas, slice(image, image + 1)
        if selector.endswith(REVERSED):
            return _domain_first(reverse_rank(self.rank(image, selector.removesuffix(REVERSED))), c.domain[one])
        rank = rank_pixels(
            selector,
            c.image[one],
            seeds=c.seeds[one],
            depth=c.depth[one],
            valid=c.valid[one],
            intrinsics=None if c.intrinsics is None else c.intrinsics[one],
            maps={name: x[one] for name, x in c.maps.items()},
            model=self._model,
        )
        return _domain_first(rank, c.domain[one])

    def keep(self, jobs: Sequence[Job]) -> Tensor:
        """The masks (J,1,h,w) bool of some jobs: one comparison for all."""
        ranks = torch.cat([self.rank(job.image, job.selector) for job in jobs])
        pixels = ranks[0].numel()
        first = [pixels - kept_count(job.budget, pixels) for job in jobs]
        return ranks >= torch.tensor(first, dtype=ranks.dtype, device=ranks.device).view(-1, 1, 1, 1)

    def masked(self, jobs: Sequence[Job]) -> Tensor:
        """The masked images (J,3,h,w) of some jobs, each with its own fill."""
        keep, index = self.keep(jobs), torch.tensor([job.image for job in jobs])
        fills = sorted({job.fill for job in jobs})
        if len(fills) == 1:
            return self._filled(fills[0], keep, index)
        out = keep.new_empty(len(jobs), *self._canvas.image.shape[1:], dtype=self._canvas.image.dtype)
        for fill in fills:
            mine = torch.tensor([job.fill == fill for job in jobs])
            out[mine.to(out.device)] = self._filled(fill, keep[mine.to(keep.device)], index[mine])
        return out

    def _filled(self, fill: str, keep: Tensor, index: Tensor) -> Tensor:
        image = self._canvas.image[index.to(keep.device)]
        seeds = [self._canvas.seeds[i] for i in index.tolist()]
        return fill_pixels(fill, image, keep, seeds=seeds, mean=self._model.card.fill)


CPU_PIXELS = 2**21
"""Pixels of images that a CPU works on at once: 32 of 256x256, 6 of 480x640."""


class Packer:
    """Cuts a sequence of items into batches and works on each; out of memory halves the batch, for good.

    Convention: `like`: a tensor (...,h,w) of the images that are worked on. A CPU, which ends a process when memory
    runs out and gains nothing from large batches of large images, is given at most CPU_PIXELS at once.
    """

    def __init__(self, size: int, like: Tensor) -> None:
        most = size if like.device.type != "cpu" else CPU_PIXELS // (like.shape[-2] * like.shape[-1])
        self.size = max(1, min(size, most))
        self._warned = False

    def run(self, items: Sequence[T], work: Callable[[Sequence[T]], R]) -> Iterator[R]:
        """Results of `work` on consecutive batches of `items`.

        Raises:
            torch.OutOfMemoryError: if even a batch of one does not fit.
        """
        start = 0
        while start < len(items):
            batch = items[start : start + self.size]
            try:
                result = work(batch)
            except RuntimeError as error:
                if len(batch) == 1 or not out_of_memory(error):
                    raise
                self._halve(len(batch))
                continue
            yield result
            start += len(batch)

    def _halve(self, size: int) -> None:
        self.size = max(1, size // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"Out of memory with {size} images at once; going on with {self.size} (slower, same numbers). "
                f"Set the plan's `batch` to {self.size} or less to avoid the attempt.",
                RuntimeWarning,
                stacklevel=4,
            )


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, of a GPU or of the machine: each allocator says it in its own words."""
    said, words = str(error).lower(), ("out of memory", "can't allocate memory", "not enough memory")
    ran_out = isinstance(error, RuntimeError) and any(text in said for text in words)
    return ran_out or isinstance(error, torch.OutOfMemoryError | MemoryError)
