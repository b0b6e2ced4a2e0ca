"""Fixed points of a batch of Sinkhorn iterations, accelerated: preconditioned in the spectrum, then extrapolated.

Near the solution one Sinkhorn iteration multiplies the error by P P*, P the plan as a Markov kernel: a diffusion by the
blur, so the error's waves longer than the blur take about 1/blur² iterations to fade. For an even density P is the
blur itself, so in cosine modes the whole remaining error is known: `cross_direction` adds it. Anderson's extrapolation
(Anderson 1965; Walker & Ni 2011) removes what is left by unevenness and holes. Each sample keeps its own state, so that
a result does not depend on the batch it was computed in.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from depthprobe.functional.transport_grid import GridKernel

MEMORY = 8  # pairs that Anderson's extrapolation looks back on
FAR = 0.2  # residual above which the linear theory does not hold and a plain iteration is taken
GROWTH = 2.0  # growth of the residual above which an accelerated step is taken back

Direction = Callable[[Tensor, Tensor | None], Tensor]


class Update(NamedTuple):
    """One step: the new f, the partner it answers, the smallest sum of its kernel (None: cannot underflow)."""

    f: Tensor
    partner: Tensor
    smallest: Tensor | None


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """Where an iteration ended: `f` and `partner` of step(`point`), residual and verdict per sample."""

    point: Tensor
    f: Tensor
    partner: Tensor
    residual: list[float]
    converged: list[bool]
    iterations: int


def cross_direction(kernel: GridKernel, weight: Tensor, damping: float) -> Direction:
    """Change of f for the difference d = step(f) - f: an estimate of (1 - P P*)^-1 d.

    The density scales both sides of the estimate, since where it is c times higher so is the diffusion. `strength`
    (B,1,1) in [0,1] is the share of the estimate that is trusted; 0 is the plain iteration.
    """
    square = (damping * kernel.symbol).square()
    response = square / (1 - square)
    response[0, 0] = 0
    mean = weight.sum((1, 2), keepdim=True) / (weight > 0).sum((1, 2), keepdim=True)
    wide = GridKernel((kernel.y.n, kernel.x.n), 3 * max(kernel.sigma, 0.5), weight.dtype, weight.device)
    scale = (wide.average(weight) / mean).clamp_(1 / 9, 9).rsqrt_()
    inner = weight * scale / mean

    def direction(d: Tensor, strength: Tensor | None) -> Tensor:
        d = d - (weight * d).sum((1, 2), keepdim=True)  # a constant added to f changes nothing
        rest = kernel.low_pass(inner * d, response).mul_(scale)
        return d + (rest if strength is None else strength * rest)

    return direction


def self_direction(kernel: GridKernel, damping: float) -> Direction:
    """The same for f = step(f) of a symmetric problem, whose error becomes -P error: an estimate of (1 + P)^-1 d.

    `strength` 0 is the average of f and step(f), which halves every error.
    """
    symbol = damping * kernel.symbol
    response = -symbol / (1 + symbol)

    def direction(d: Tensor, strength: Tensor | None) -> Tensor:
        rest = kernel.low_pass(d, response)
        return d + rest if strength is None else (0.5 + 0.5 * strength) * d + strength * rest

    return direction


class Anderson:
    """The combination of the last points whose preconditioned residuals cancel best, in the norm of `weight`."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight.flatten(1)
        self.ridge = 1e-10 if weight.dtype == torch.float64 else 1e-6
        self.count = 0
        self.last: tuple[Tensor, Tensor] | None = None
        self.broken: list[int] = []

    def __call__(self, moved: Tensor, change: Tensor, rejected: list[int]) -> Tensor:
        """The next point after `moved` = point + `change`; samples in `rejected` forget their past and stay there."""
        new, old = (moved.flatten(1), change.flatten(1)), self.last
        self.last = new
        if old is None:
            self.broken = rejected
            return moved
        slot, used = self._store(new, old, rejected)
        right = torch.stack((self.changes[:, slot], new[1]), -1) * self.weight[..., None]
        dots = torch.bmm(self.changes[:, :used], right)
        self.gram[:, slot, :used] = self.gram[:, :used, slot] = dots[..., 0]
        gram = self.gram[:, :used, :used].clone()
        diagonal = gram.diagonal(dim1=1, dim2=2)
        diagonal += self.ridge * diagonal.sum(1, keepdim=True) + torch.finfo(gram.dtype).tiny
        share = torch.linalg.solve(gram, dots[..., 1:])
        return moved - torch.bmm(self.moves[:, :used].transpose(1, 2), share).view_as(moved)

    def _store(self, new: tuple[Tensor, Tensor], old: tuple[Tensor, Tensor], rejected: list[int]) -> tuple[int, int]:
        if self.count == 0:
            batch, pixels = self.weight.shape
            self.moves, self.changes = (self.weight.new_zeros(batch, MEMORY, pixels) for _ in range(2))
            self.gram = self.weight.new_zeros(batch, MEMORY, MEMORY)
        slot = self.count % MEMORY
        torch.sub(new[0], old[0], out=self.moves[:, slot])
        torch.sub(new[1], old[1], out=self.changes[:, slot])
        for store in (self.moves, self.changes):
            if self.broken:
                store[self.broken, slot] = 0  # their last point was taken back, so there is no difference to it
            if rejected:
                store[rejected] = 0
        if rejected:
            self.gram[rejected] = 0
        self.broken = rejected
        self.count += 1
        return slot, min(self.count, MEMORY)


def fixed_point(
    step: Callable[[Tensor], Update],
    f: Tensor,
    weight: Tensor,
    direction: Direction,
    *,
    least: float,
    tolerance: float,
    limit: int,
) -> FixedPoint | None:
    """Iterate f = step(f) until Σ weight |exp(f - step(f)) - 1| <= `tolerance` in every sample, or `limit` times.

    That sum is the L1 error of the plan's marginal. None comes back if a sum of a step's kernel was below `least`, i.e.
    if the numbers cannot be trusted. No residual falls below the rounding error of potentials as large as f: that much
    counts as converged.
    """
    batch = len(f)
    strength, best, converged = [1.0] * batch, [math.inf] * batch, [False] * batch
    anderson, kept = Anderson(weight), f
    for iteration in range(1, limit + 1):
        new, partner, smallest = step(f)
        d = new - f
        residual, goal, sound = _measure(d, f, weight, smallest, least, tolerance)
        if not sound:
            return None
        converged = [was or r <= t for was, r, t in zip(converged, residual, goal, strict=True)]
        if all(converged) or iteration == limit:
            return FixedPoint(f, new, partner, residual, converged, iteration)
        rejected = [i for i in range(batch) if not (converged[i] or residual[i] <= GROWTH * best[i])]
        best = [b if i in rejected else r for i, (b, r) in enumerate(zip(best, residual, strict=True))]
        strength = [s / 4 if i in rejected else min(1.0, 1.5 * s) for i, s in enumerate(strength)]
        change = direction(d, f.new_tensor(strength)[:, None, None] if min(strength) < 1 else None)
        moved = f + change
        _put(moved, rejected, kept)
        after = anderson(moved, change, rejected)
        after = after.clone() if after is moved else after
        _put(after, [i for i in range(batch) if residual[i] > FAR], new)
        _put(after, rejected, kept)
        _put(after, [i for i in range(batch) if converged[i]], f)
        _put(new, rejected, kept)
        f, kept = after, new
    raise ValueError(f"Expected `limit` to be at least 1, but got {limit}.")


def _put(x: Tensor, rows: list[int], value: Tensor) -> None:
    if rows:
        x[rows] = value[rows]


def _measure(
    d: Tensor, f: Tensor, weight: Tensor, smallest: Tensor | None, least: float, tolerance: float
) -> tuple[list[float], list[float], bool]:
    """Residual and goal of every sample, and whether the numbers are sound; one transfer from the device."""
    residual = (torch.expm1((-d).clamp_(max=60)).abs_() * weight).sum((1, 2))
    rounding = 4 * torch.finfo(f.dtype).eps * f.abs().amax((1, 2))
    low = residual.new_full((1,), math.inf) if smallest is None else smallest.reshape(1)
    *numbers, lowest = torch.cat((residual, rounding, low)).tolist()
    batch = len(f)
    return numbers[:batch], [max(tolerance, r) for r in numbers[batch:]], lowest >= least
