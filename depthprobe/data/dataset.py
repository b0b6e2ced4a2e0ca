"""Dataset: an indexable source of batches, and what happens when a sample cannot be read."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from depthprobe.checks import check_one_of, check_range
from depthprobe.data.batch import Batch, stack
from depthprobe.registry import Registry

DATASETS = Registry("dataset")


class SampleError(ValueError):
    """A sample that cannot be read; the message names the file and the remedy."""


@dataclasses.dataclass(kw_only=True)
class Dataset:
    """Samples by number, streamed as batches.

    `read(i)` returns sample i as a batch of one. `facts` describe the source (root, split, version, digest) and go
    into the run's description, as do `options`, the keywords that it was opened with. `on_error`: "raise" stops at an
    unreadable sample, "skip" leaves it out and notes it in `skipped`. Iterating gives batches of at most `batch_size`
    samples of one image size. `workers` threads read the samples of a chunk (for readers that release the GIL);
    neither the order nor the result depends on it.
    """

    name: str
    samples: Sequence[str]
    groups: Sequence[str]
    read: Callable[[int], Batch]
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)
    protocol: str = "scenes"
    batch_size: int = 8
    on_error: str = "raise"
    workers: int = 1
    skipped: dict[str, str] = dataclasses.field(default_factory=dict)
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_one_of("on_error", self.on_error, ("raise", "skip"))
        check_range("batch_size", self.batch_size, 1, float("inf"))
        if len(set(self.samples)) != len(self.samples):
            raise ValueError(f"Expected unique sample ids in data set `{self.name}`, but some repeat.")

    def __len__(self) -> int:
        return len(self.samples)

    def chunks(self) -> list[range]:
        """Sample numbers of each unit of work, fixed by `batch_size` alone: what resume and sharding count in."""
        return [range(i, min(i + self.batch_size, len(self))) for i in range(0, len(self), self.batch_size)]

    def load(self, indices: Sequence[int]) -> list[Batch]:
        """The samples at `indices` as batches of one image size each (usually one; none if all were skipped).

        Raises:
            SampleError: if a sample cannot be read and `on_error` is "raise".
        """
        by_size: dict[tuple[int, ...], list[Batch]] = {}
        for i, one in zip(indices, self._read_all(indices), strict=True):
            if isinstance(one, SampleError):
                if self.on_error == "raise":
                    raise one
                self.skipped[self.samples[i]] = str(one)
                continue
            by_size.setdefault(tuple(one.image.shape[1:]), []).append(one)
        return [stack(ones) for ones in by_size.values()]

    def _read_all(self, indices: Sequence[int]) -> Iterable[Batch | SampleError]:
        if self.workers <= 1 or len(indices) <= 1:
            return map(self._read_or_error, indices)
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._read_or_error, indices))

    def _read_or_error(self, i: int) -> Batch | SampleError:
        try:
            return self.read(i)
        except SampleError as error:
            return error

    def __iter__(self) -> Iterator[Batch]:
        for chunk in self.chunks():
            yield from self.load(chunk)


def load_dataset(name: str, **options: Any) -> Dataset:
    """Open a registered data set, e.g. `load_dataset("scenes", split="test", n=64)`.

    Raises:
        ValueError: if the name is unknown (lists the known), or an option does not fit.
    """
    dataset: Dataset = DATASETS[name](**options)
    dataset.options = options
    return dataset
