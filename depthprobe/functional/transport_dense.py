"""Sinkhorn potentials of tiny maps whose pixels are wider than the blur, by Newton's method on the whole cost matrix.

There the problem is nearly a linear programme: mass waits at barriers that an iteration crosses a constant step at a
time, so no acceleration of one helps. A few hundred unknowns are solved for directly; on larger maps a blur below a
pixel is left to `transport_solver`, which needs a hundred iterations and says so where they do not suffice.

Convention: as `transport_solver`; N = HW pixels, rows of the plan are those of a.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from depthprobe.functional.transport_fixed_point import FixedPoint

STIFF = 1e-3  # first damping of a step, in shares of the mass; from 1e-12 it is Newton's own step


class Plan(NamedTuple):
    """A plan: the answer g (B,N) to its f, its mass (B,N,N), the dual value (B,) and its slope (B,N) by f."""

    g: Tensor
    mass: Tensor
    value: Tensor
    slope: Tensor


class Dense:
    """The problem at one blur; `share` = eps / rho, 0 if balanced."""

    def __init__(self, a: Tensor, b: Tensor, cost: Tensor, share: float) -> None:
        self.a, self.log_a, self.log_b = a, a.log(), b.log()
        self.b, self.cost, self.share = b, cost, share

    def answer(self, x: Tensor, dim: int) -> Tensor:
        """The potential that answers ln mass + potential = x (B,N), along axis `dim` of the cost."""
        return -torch.logsumexp(x.unsqueeze(3 - dim) - self.cost, dim) / (1 + self.share)

    def plan(self, f: Tensor) -> Plan:
        """The plan of f (B,N) and its answer g."""
        g = self.answer(self.log_a + f, 1)
        mass = torch.exp((self.log_a + f)[:, :, None] + (self.log_b + g)[:, None] - self.cost)
        if self.share == 0:
            value = (self.a * f).sum(1) + (self.b * g).sum(1)
            return Plan(g, mass, value, self.a - mass.sum(2))
        kept = [m * torch.expm1(-self.share * x) for m, x in ((self.a, f), (self.b, g))]
        value = -sum(x.sum(1) for x in kept) / self.share - mass.sum((1, 2))
        return Plan(g, mass, value, self.a + kept[0] - mass.sum(2))

    def step(self, plan: Plan, stiff: Tensor) -> Tensor:
        """Newton's step (B,N) of f, damped by `stiff` (B,) times the mass."""
        rows, columns = plan.mass.sum(2), plan.mass.sum(1)
        shared = plan.mass / torch.where(self.b > 0, columns * (1 + self.share), 1)[:, None]
        curvature = -torch.bmm(shared, plan.mass.transpose(1, 2))
        own = rows + stiff[:, None] * self.a + self.share * (plan.slope + rows)
        curvature.diagonal(dim1=1, dim2=2).add_(torch.where(self.a > 0, own, 1))
        if self.share == 0:
            curvature += self.a[:, :, None] * self.a[:, None]  # a constant added to f changes nothing
        step: Tensor = torch.linalg.solve(curvature, plan.slope)
        return step

    def solve(self, f: Tensor, tolerance: float, limit: int) -> FixedPoint:
        """The fixed point from f (B,N): steps that raise the dual value, stiffer ones after one that did not."""
        stiff = torch.full_like(f[:, 0], STIFF)
        kept, at = f, self.plan(f)
        for iteration in range(1, limit + 1):
            residual = at.slope.abs().sum(1) / self.a.sum(1)
            done = (residual <= tolerance).tolist()
            if all(done) or iteration == limit:
                answer = self.answer(self.log_b + at.g, 2)
                return FixedPoint(kept, answer, at.g, residual.tolist(), done, iteration)
            trial = kept + self.step(at, stiff)
            new = self.plan(trial)
            better = (new.value >= at.value - 1e-14 * (1 + at.value.abs())) & (residual > tolerance)
            stiff = torch.where(better, (stiff / 5).clamp_min(1e-12), 10 * stiff)
            kept = torch.where(better[:, None], trial, kept)
            at = Plan(*(torch.where(better.view(-1, *[1] * (x.ndim - 1)), x, y) for x, y in zip(new, at, strict=True)))
        raise ValueError(f"Expected `limit` to be at least 1, but got {limit}.")


def half_squares(size: tuple[int, int], like: Tensor) -> Tensor:
    """The cost ½ |y - z|² between all pixels (N,N), in pixels²."""
    y, x = (torch.arange(n, dtype=like.dtype, device=like.device) for n in size)
    rows, columns = ((i[:, None] - i).square() / 2 for i in (y, x))
    return (rows[:, None, :, None] + columns[None, :, None, :]).reshape(len(y) * len(x), -1)
