"""Which samples make up a step, and the key of each one's chance: functions of recipe and step alone.

Nothing here depends on the number of processes or on how a batch is split, so a training can be cut at any step, and
two processes see what one would see.
"""

import functools
import hashlib
from collections.abc import Sequence

import torch


def key_of(*parts: object) -> int:
    """A seed (63 bits) from anything that has a text, for a local generator."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=8).digest(), "big") >> 1


def batch_at(step: int, count: int, batch_size: int, seed: int) -> list[tuple[int, int]]:
    """The samples of one step, as (sample number, key), by number.

    Convention: the samples form one endless stream of `count` each, every pass in its own seeded order; step k takes
    the k-th `batch_size` of it, so that every pass sees each sample once, whatever the batch size. The key belongs to
    the place in the stream: a sample meets another chance in every pass.
    """
    chosen = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        epoch, rest = divmod(place, count)
        chosen.append((_order(seed, epoch, count)[rest], key_of(seed, "sample", place)))
    return sorted(chosen)


def share_of(batch: Sequence[tuple[int, int]], rank: int, world: int, parts: int) -> list[list[tuple[int, int]]]:
    """This process's share of a batch, in `parts` equal micro-batches; all shares in order make up the batch."""
    size = len(batch) // (world * parts)
    first = rank * parts * size
    return [list(batch[first + i * size : first + (i + 1) * size]) for i in range(parts)]


@functools.lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> list[int]:
    generator = torch.Generator().manual_seed(key_of(seed, "order", epoch))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order
