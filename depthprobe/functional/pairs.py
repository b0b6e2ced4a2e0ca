"""Pairs of pixels that a prediction or its truth separates by more than a ratio: breaks, bridges, occlusion boundaries.

Few pairs are separated at all, so that they are found once, listed, and counted for every threshold and metric from
the list. Thresholds are t = linspace(1.05, 1.25, 10), those of Depth Pro and (as 1 + t) of MoGe.
A pixel without a positive prediction separates nothing.
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from depthprobe.functional.neighbours import Bands, sum_by
from depthprobe.functional.terms import Terms, Truth

RATIOS = torch.linspace(1.05, 1.25, 10, dtype=torch.float64)
RINGS: dict[int, tuple[tuple[int, int], ...]] = {
    1: ((0, 1), (1, 0)),
    2: ((1, 1), (1, -1), (0, 2), (2, 0)),
    3: ((1, 2), (1, -2), (2, 1), (2, -1), (2, 2), (2, -2), (0, 3), (3, 0)),
}
"""Offsets (rows, columns) of half of the pixels at a distance in (r - 1, r]; the other half is these pairs reversed."""

_LEAST = math.log(float(RATIOS[0])) - 1e-5  # a first sieve in ln depth, a little wide for its rounding


class Pairs(NamedTuple):
    """Pairs of pixels (p, q = p + offset) of one ring, those that pred or truth separates by a ratio > 1.05.

    Convention: all (N,), small integers, since a noisy prediction has millions. `image`: number of the prediction;
    `p`, `q`: flat pixel numbers; `offset`: number in the ring; `pred`, `truth`: levels, that is how many thresholds
    the ratio of the two depths exceeds (strictly), > 0 where q is farther, < 0 where p is.
    """

    image: Tensor
    p: Tensor
    q: Tensor
    offset: Tensor
    pred: Tensor
    truth: Tensor

    def keep(self, mask: Tensor) -> "Pairs":
        """The pairs where a bool mask (N,) holds."""
        return Pairs(*(x[mask] for x in self))

    @property
    def kinds(self) -> tuple[Tensor, Tensor, Tensor]:
        """Levels of pred, of truth, and of both: what they exceed in the same direction."""
        least = torch.minimum(self.pred.abs(), self.truth.abs())
        return self.pred, self.truth, least * self.pred.sign() * (self.pred * self.truth > 0)

    def exceeding(self, t: Terms, level: Tensor, group: Tensor | None = None, groups: int = 1) -> Tensor:
        """How many pairs exceed each threshold, in either direction, by group 0..groups-1: (B,groups,10) float64."""
        place = self.image if group is None else self.image * groups + group
        steps = len(RATIOS) + 1
        count = torch.bincount(place * steps + level.abs(), minlength=len(t) * groups * steps)
        return count.view(len(t), groups, steps).flip(-1).cumsum(-1).flip(-1)[..., 1:].double()


def _ends(height: int, width: int, offset: tuple[int, int]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """The slices of a map (B,H,W) at the pixels p that have a q = p + offset, and at those q."""
    dy, dx = offset
    left, right = max(0, -dx), max(0, dx)
    here = (slice(None), slice(0, max(0, height - dy)), slice(left, max(left, width - right)))
    there = (slice(None), slice(dy, max(dy, height)), slice(right, max(right, width - left)))
    return here, there


def _far(log: Tensor, offset: tuple[int, int]) -> Tensor:
    """Pairs of a map of ln depth (B,H,W) that may differ by a ratio > 1.05."""
    here, there = _ends(log.shape[1], log.shape[2], offset)
    return (log[there] - log[here]).abs() > _LEAST


@functools.cache
def _of_truth(radius: int) -> Callable[[Truth], list[tuple[Tensor, Tensor]]]:
    """What finds, by offset of a ring, the pairs of a truth that may be separated, and those whose ends are valid."""

    def find(truth: Truth) -> list[tuple[Tensor, Tensor]]:
        found = []
        for offset in RINGS[radius]:
            here, there = _ends(truth.valid.shape[1], truth.valid.shape[2], offset)
            valid = truth.valid[here] & truth.valid[there]
            found.append((_far(truth.log, offset) & valid, valid))
        return found

    return find


@functools.cache
def ring(radius: int) -> Callable[[Terms], Pairs]:
    """What lists the separated pairs at a distance in (radius - 1, radius], for `Terms.derive`."""

    def find(t: Terms) -> Pairs:
        log, parts = t.log_pred.detach(), []
        for number, (offset, known) in enumerate(zip(RINGS[radius], t.truth.derive(_of_truth(radius)), strict=True)):
            truth, valid = (t.take(x) for x in known)
            far = _far(log, offset)
            image, y, x = ((far | truth) if t.truth.dense else (far & valid) | truth).nonzero().unbind(1)
            parts.append(_listed(t, number, offset, image, y, x))
        return Pairs(*(torch.cat(columns) for columns in zip(*parts, strict=True)))

    return find


def _listed(t: Terms, number: int, offset: tuple[int, int], image: Tensor, y: Tensor, x: Tensor) -> Pairs:
    width = t.pred.shape[2]
    p = y * width + x + max(0, -offset[1])
    q = p + offset[0] * width + offset[1]
    which = image if len(t.depth) > 1 else torch.zeros_like(image)
    maps = ((t.pred.detach().flatten(1), image), (t.depth.flatten(1), which))
    levels = [_level(z[i, p], z[i, q]) for z, i in maps]
    image, p, q = (v.int() for v in (image, p, q))
    return Pairs(image, p, q, torch.full_like(p, number, dtype=torch.int8), *levels)


def _level(a: Tensor, b: Tensor) -> Tensor:
    """Number of thresholds that the ratio of two depths exceeds, > 0 where b is the larger."""
    ratio = torch.maximum(a, b).double() / torch.minimum(a, b).double()
    exceeded = torch.bucketize(ratio, RATIOS.to(ratio.device), out_int32=True) * ((a > 0) & (b > 0))
    return torch.where(b > a, exceeded, -exceeded).to(torch.int8)


def by_band(t: Terms, pairs: Pairs, by: Bands | None) -> tuple[Tensor, Tensor, Tensor]:
    """How many pairs exceed each threshold in pred, truth and both, whichever end is farther: (B,n,10) float64.

    Convention: n = 1 without bands; a pair belongs to the band of its first pixel p.
    """
    group, groups = None, 1
    if by is not None:
        group, groups = t.take(by.labels).flatten(1).expand(len(t), -1)[pairs.image, pairs.p], by.n
        pairs, group = pairs.keep(group >= 0), group[group >= 0]
    pred, truth = pairs.pred.abs(), pairs.truth.abs()
    levels = (pred, truth, torch.minimum(pred, truth))
    a, b, c = (pairs.exceeding(t, level, group, groups) for level in levels)
    return a, b, c


def inside(t: Terms, pairs: Pairs, zone: Tensor) -> Pairs:
    """The pairs with both ends in a zone of the truth, bool (T,H,W)."""
    flat = t.take(zone).flatten(1).expand(len(t), -1)
    return pairs.keep(flat[pairs.image, pairs.p] & flat[pairs.image, pairs.q])


def pair_total(t: Terms, zone: Tensor, by: Bands | None) -> Tensor:
    """Number of pairs of four-neighbours with both ends in a zone, bool (T,H,W): (B,n) float64, n = 1 without bands."""
    total = []
    for offset in RINGS[1]:
        here, there = _ends(zone.shape[1], zone.shape[2], offset)
        pair = t.take(zone[here] & zone[there])
        if by is None:
            total.append(pair.sum((1, 2)).double()[:, None])
        else:
            total.append(sum_by(pair, t.take(by.labels)[here].expand_as(pair), by.n))
    return (total[0] + total[1]).expand(len(t), -1)
