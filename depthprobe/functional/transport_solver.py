"""Sinkhorn potentials of mass on a pixel grid: wide to narrow, coarse to fine, every stage accelerated.

Convention: mass (B,H,W), non-negative, a positive total per sample; potentials are divided by eps = blur², costs are
½ |y - z|² with coordinates = pixel index / max(H,W). A stage is one grid (pixels pooled 2^level x 2^level) at one blur:
first the blur shrinks, on the coarsest grid that still shows it, then the grid is refined. The last stage, the only one
on all pixels, starts almost at the solution.
"""

import abc
import dataclasses
import math

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.functional.transport_dense import Dense, half_squares
from depthprobe.functional.transport_fixed_point import (
    Direction,
    FixedPoint,
    Update,
    cross_direction,
    fixed_point,
    self_direction,
)
from depthprobe.functional.transport_grid import GridKernel

WIDEST = 0.15  # blur of the first stage
TINY = 256  # pixels up to which a blur below one pixel is solved for densely
COARSEST = 8  # pixels of the longer side below which nothing is pooled
ON_THE_WAY = (1e-2, 30)  # tolerance and limit of iterations at a blur that is not the last
AT_THE_BLUR = (1e-3, 30)  # the same on a grid that is not the last


@dataclasses.dataclass(frozen=True)
class Stage:
    """One grid at one blur, and the effort to spend on it."""

    level: int
    blur: float
    tolerance: float
    limit: int


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is to be solved: `b` None is the symmetric problem of `a` with itself; `reach` None is balanced."""

    a: Tensor
    b: Tensor | None
    blur: float
    reach: float | None
    tolerance: float
    limit: int


def stages(problem: Problem) -> list[Stage]:
    """The way to the blur of a problem; a symmetric one needs no wider blur first, it starts near its solution."""
    side, blur = max(problem.a.shape[1:]), problem.blur

    def level(width: float) -> int:
        return int(math.log2(max(1.0, min(width * side, side / COARSEST))))

    out, width = [], WIDEST
    while problem.b is not None and width > 1.001 * blur:
        out.append(Stage(level(width), width, *ON_THE_WAY))
        width *= 0.5 if width * side > 1 else 0.7
    out += [Stage(coarse, blur, *AT_THE_BLUR) for coarse in range(level(blur), 0, -1)]
    out = [dataclasses.replace(s, tolerance=max(s.tolerance, problem.tolerance)) for s in out]
    return [*out, Stage(0, blur, problem.tolerance, problem.limit)]


def potentials(problem: Problem) -> FixedPoint:
    """The scaled potentials (f/eps, g/eps) as (`f`, `partner`), both (B,H,W), known at every pixel, mass or not.

    f answers g exactly, so the plan's first marginal is a; `residual` is what the second one lacks. Where a stage's
    sums may have underflowed, it and the rest are solved again: on a CPU in float64, whose range is ten times wider,
    and where that is not enough with kernels that cannot underflow.
    """
    h, w = problem.a.shape[1:]
    if problem.b is not None and h * w <= TINY and problem.blur * max(h, w) < 1:
        return _dense_potentials(problem)
    make: type[_Grid] = _Symmetric if problem.b is None else _Cross
    way = stages(problem)
    exact, dtype = False, problem.a.dtype
    past: list[tuple[Tensor, Stage]] = []
    while len(past) < len(way):
        grid = make(problem, way[len(past)], dtype, exact)
        solved = grid.solve(grid.resume(past) if past else grid.start())
        if solved is not None:
            past.append((solved.f, grid.stage))
        elif dtype == torch.float32 and problem.a.device.type == "cpu":
            dtype = torch.float64
        else:
            exact = True
    assert solved is not None
    f, partner = (x.to(problem.a.dtype) for x in grid.finished(solved))
    return dataclasses.replace(solved, f=f, partner=partner)


def _dense_potentials(problem: Problem) -> FixedPoint:
    """The same on the whole cost matrix."""
    assert problem.b is not None
    a, b = (x.flatten(1).double() for x in (problem.a, problem.b))
    if problem.reach is None:
        a, b = (x / x.sum(1, keepdim=True) for x in (a, b))
    h, w = problem.a.shape[1:]
    cost = half_squares((h, w), a) / max(h, w) ** 2
    past: list[tuple[Tensor, float]] = []
    f = torch.zeros_like(a)
    for stage in stages(problem):
        eps = stage.blur**2
        dense = Dense(a, b, cost / eps, 0.0 if problem.reach is None else eps / problem.reach**2)
        if past:
            f = past[-1][0]
        if len(past) > 1 and past[-1][1] > eps:
            f = f + (f - past[-2][0]) * _stretch(eps, past[-1][1], past[-2][1])
        solved = dense.solve(f / eps, stage.tolerance, stage.limit)
        past.append((eps * solved.point, eps))
    f, partner = (x.unflatten(1, (h, w)).to(problem.a.dtype) for x in (solved.f, solved.partner))
    return dataclasses.replace(solved, f=f, partner=partner)


def _stretch(eps: float, last: float, before: float) -> float:
    """How far to go on from the potentials at eps = `last`, coming from `before`: they are nearly linear in eps."""
    return (last - eps) / (before - last)


class _Grid(abc.ABC):
    """A problem at one stage: the kernel of the grid, the mass pooled to it."""

    def __init__(self, problem: Problem, stage: Stage, dtype: torch.dtype, exact: bool) -> None:
        self.stage, self.exact = stage, exact
        self.share = 0.0 if problem.reach is None else (stage.blur / problem.reach) ** 2  # eps / rho
        self.damping = 1 / (1 + self.share)
        mass = self.pooled(problem.a, dtype)
        self.log_a, self.weight = mass.log(), mass / mass.sum((1, 2), keepdim=True)
        sigma = stage.blur * max(problem.a.shape[1:]) / 2**stage.level
        self.kernel = GridKernel((mass.shape[1], mass.shape[2]), sigma, dtype, mass.device)

    def pooled(self, mass: Tensor, dtype: torch.dtype) -> Tensor:
        """Mass on this grid; if balanced it is normalised again, so that both totals agree to this dtype's rounding."""
        mass = pool(mass, self.stage.level).to(dtype)
        return mass if self.share > 0 else mass / mass.sum((1, 2), keepdim=True)

    def answer(self, x: Tensor, kernel: GridKernel) -> tuple[Tensor, Tensor | None]:
        """The potential that answers ln mass + potential = `x`, turned to (B,W,H), and the smallest sum met."""
        field, smallest = kernel.exact(x) if self.exact else kernel.fast(x)
        return field.mul_(-self.damping), smallest

    def resume(self, past: list[tuple[Tensor, Stage]]) -> Tensor:
        """Where the stages so far lead, on this grid and at this blur."""
        start, last = self.carry(*past[-1]), past[-1][1].blur
        if len(past) == 1 or last <= self.stage.blur:
            return start
        stretch = _stretch(self.stage.blur**2, last**2, past[-2][1].blur ** 2)
        return start + (start - self.carry(*past[-2])) * stretch

    def carry(self, f: Tensor, before: Stage) -> Tensor:
        """The potential of a stage before, on this grid and divided by this eps."""
        f = f.to(self.log_a.dtype)
        if before.level > self.stage.level:
            h, w = self.log_a.shape[1:]
            f = F.interpolate(f[:, None], scale_factor=2 ** (before.level - self.stage.level), mode="bilinear")[:, 0]
            f = f[:, :h, :w].contiguous()
        return f * (before.blur / self.stage.blur) ** 2

    def solve(self, f: Tensor) -> FixedPoint | None:
        """The fixed point from `f`, or None if sums of the fast kernel may have underflowed."""
        stage, least, direction = self.stage, self.kernel.least, self.direction()
        return fixed_point(
            self.step, f, self.weight, direction, least=least, tolerance=stage.tolerance, limit=stage.limit
        )

    @abc.abstractmethod
    def start(self) -> Tensor:
        """A potential to begin with."""

    @abc.abstractmethod
    def step(self, f: Tensor) -> Update:
        """One iteration."""

    @abc.abstractmethod
    def direction(self) -> Direction:
        """How to turn a difference into a change."""

    @abc.abstractmethod
    def finished(self, solved: FixedPoint) -> tuple[Tensor, Tensor]:
        """The potentials (f, g), (B,H,W) both."""


class _Symmetric(_Grid):
    """OT(a,a), whose two potentials are one."""

    def start(self) -> Tensor:
        """Half of the answer to 0: near the solution."""
        return self.kernel.exact(self.log_a)[0].transpose(1, 2).mul(-0.5 * self.damping).contiguous()

    def step(self, f: Tensor) -> Update:
        """Its answer to itself."""
        new, smallest = self.answer(self.log_a + f, self.kernel)
        return Update(new.transpose(1, 2).contiguous(), f, smallest)

    def direction(self) -> Direction:
        """As `self_direction`."""
        return self_direction(self.kernel, self.damping)

    def finished(self, solved: FixedPoint) -> tuple[Tensor, Tensor]:
        """The potential and its answer, which differ by the residual."""
        return solved.f, solved.partner


class _Cross(_Grid):
    """OT(a,b); g and everything of b is kept turned, (B,W,H), so that no step has to copy for its products."""

    def __init__(self, problem: Problem, stage: Stage, dtype: torch.dtype, exact: bool) -> None:
        super().__init__(problem, stage, dtype, exact)
        assert problem.b is not None
        self.log_b = self.pooled(problem.b.transpose(1, 2), dtype).log()
        self.back = self.kernel.turned

    def start(self) -> Tensor:
        """Zero."""
        return torch.zeros_like(self.log_a)

    def step(self, f: Tensor) -> Update:
        """The answer to its answer."""
        g, first = self.answer(self.log_a + f, self.kernel)
        new, second = self.answer(self.log_b + g, self.back)
        if self.share > 0:
            new -= self.damping * self._imbalance(f, g)
        return Update(new, g, None if first is None or second is None else torch.minimum(first, second))

    def _imbalance(self, f: Tensor, g: Tensor) -> Tensor:
        """Ln of the ratio of the two masses that the unbalanced plan should have, by f and by its answer g (B,1,1).

        Taking damping times it off the next f makes the iteration blind to a constant added to f, whose error would
        otherwise fade by only eps/rho per iteration (Séjourné, Vialard & Peyré 2022). `finished` puts it right.
        """
        by_f = torch.logsumexp(self.log_a - self.share * f, (1, 2), keepdim=True)
        return by_f - torch.logsumexp(self.log_b - self.share * g, (1, 2), keepdim=True)

    def direction(self) -> Direction:
        """As `cross_direction`."""
        return cross_direction(self.kernel, self.weight, self.damping)

    def finished(self, solved: FixedPoint) -> tuple[Tensor, Tensor]:
        """The potentials, with the constant that the unbalanced iteration is blind to."""
        f, g = solved.f, solved.partner
        if self.share > 0:
            constant = self._imbalance(solved.point, g) / (self.share * (1 + self.damping))
            f, g = f + constant, g - self.damping * constant
        return f, g.transpose(1, 2)


def pool(mass: Tensor, level: int) -> Tensor:
    """Mass (B,H,W) summed over 2^level x 2^level pixels; what is missing at the far edges counts as 0."""
    if level == 0:
        return mass.contiguous()
    factor = 2**level
    padded = F.pad(mass, (0, -mass.shape[2] % factor, 0, -mass.shape[1] % factor))
    return F.avg_pool2d(padded[:, None], factor, divisor_override=1)[:, 0]
