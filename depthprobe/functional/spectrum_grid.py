"""Grid artefacts: does the residual repeat with the period of a network's tokens or windows?

The method, along x (along y it is the same, transposed), for one period p and the pixels where the truth is smooth:
  1. forward differences of the residual d = ln z - ln g, less their running mean over 2p + 1 pixels, divided by their
     running root mean square and cut at 3: every place counts alike, however wrong the prediction is there;
  2. the sum over rows, and its power P at the frequencies h / p below 1/2 that no shorter period in question has;
  3. the background of each: the mean over the K nearest frequencies, at whole multiples of 1 / N (N columns) from it,
     that are on no line of a period in question (if it fits 4 times). Without a grid all are powers of one noise,
     independent and exponential, so that P / background > r has the probability (1 + r / K)^-K: the null distribution.
     Where the spectrum bends across the window the mean exceeds the middle, and the test is conservative.
A period's p value is that of its most surprising line, for as many lines as it has (Šidák); both axes are combined by
Fisher's method, and a grid counts as found where p < alpha / number of periods. The period of the grid is the one with
the least p: the harmonics of a grid lie on shorter periods.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.terms import METRICS

SOURCE = "depthprobe (F test of a spectral line against its neighbours)"
CUT = 3.0
LEAST_CYCLES = 4
_FLOOR = 1e-6  # differences of ln depth in float32 are rounded at a tenth of it
_SIDE, _REACH, _LEAST = 6, 20, 4
"""Neighbours of a line wanted on each side; bins to look for them; fewest of them in all."""


class Grid(NamedTuple):
    """What one axis (or both) says about one period, (B,) each: see the metrics of these names."""

    energy: Tensor
    p: Tensor
    amplitude: Tensor


def own_lines(period: float, periods: Sequence[float]) -> list[float]:
    """The frequencies h / period below 1/2 that no shorter period of `periods` has among its own multiples."""
    harmonics = [h / period for h in range(1, math.ceil(period / 2))]
    shorter = [q for q in periods if q < period * (1 - 1e-6)]
    return [f for f in harmonics if all(abs(f * q - round(f * q)) > 1e-6 for q in shorter)]


def _neighbours(line: float, columns: int, lines: Sequence[float]) -> list[float]:
    """Frequencies of the background of a line: nearest first on both sides, more than 1.5 bins from every line."""
    found = []
    for side in (-1, 1):
        near = (line + side * j / columns for j in range(1, _REACH + 1))
        inside = (f for f in near if 1.5 / columns < f < 0.5 - 0.5 / columns)
        free = [f for f in inside if all(abs(f - other) * columns > 1.5 for other in lines)]
        found += free[:_SIDE]
    return found


def _running(x: Tensor, width: int) -> Tensor:
    """Running mean of (B,H,N) along rows over `width` pixels, zeros beyond the border."""
    return F.avg_pool1d(x, width, 1, width // 2)


def _profile(residual: Tensor, zone: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """The sum over rows (B,N) of the normalised differences, and the sum (B,) of what they were divided by, inverted.

    Convention: residual (B,H,N+1) float64, zone bool; a place counts if a quarter of the pixels around it does.
    """
    known = (zone[..., 1:] & zone[..., :-1]).double()
    known = known * (_running(known, width) >= 0.25)
    share = _running(known, width).clamp_min(1e-9)
    step = torch.where(known > 0, residual[..., 1:] - residual[..., :-1], 0.0)
    step = (step - _running(step, width) / share) * known
    size = (_running(step.square(), width) / share).sqrt().clamp_min(_FLOOR)
    return (step / size).clamp(-CUT, CUT).sum(1), (known / size).sum((1, 2))


def _gain(line: float, width: int) -> float:
    """What differencing and taking away the running mean make of a wave of amplitude 1."""
    mean = math.sin(math.pi * line * width) / (width * math.sin(math.pi * line))
    return 2 * math.sin(math.pi * line) * (1 - mean)


def _powers(profile: Tensor, lines: Sequence[float]) -> Tensor:
    """Squared magnitude (B,L) of the Fourier transform of (B,N) at some frequencies."""
    place = torch.arange(profile.shape[1], dtype=torch.float64, device=profile.device)
    phase = 2 * math.pi * place[:, None] * torch.tensor(lines, dtype=torch.float64, device=profile.device)
    return (profile @ phase.cos()).square() + (profile @ phase.sin()).square()


def grid_lines(residual: Tensor, zone: Tensor, period: float, periods: Sequence[float]) -> Grid:
    """Energy, p value and amplitude of a grid of one period along x.

    Convention: residual (B,H,W) = ln z - ln g; zone (B,H,W) bool, the pixels that count; period in pixels, `periods`
    all that are in question (this one included). NaN where fewer than 4 periods fit into the columns, where the period
    has no line below 1/2 (up to 2 pixels), or where the background of a line is unknown or 0.

    Raises:
        ValueError: on unequal shapes, or a period that is not positive.
    """
    sizes = check_shapes(residual=(residual, "b h w"), zone=(zone, "b h w"))
    check_range("period", period, 0, 1e9, open_low=True)
    columns, width = sizes["w"] - 1, 2 * math.ceil(period) + 1
    fits = [q for q in periods if sizes["w"] >= LEAST_CYCLES * q]
    every = [h / q for q in fits for h in range(1, math.ceil(q / 2) + 1)]
    backgrounds = {line: _neighbours(line, max(1, columns), every) for line in own_lines(period, periods)}
    backgrounds = {line: near for line, near in backgrounds.items() if len(near) >= _LEAST}
    if period not in fits or not backgrounds:
        nothing = torch.full((sizes["b"],), torch.nan, dtype=torch.float64, device=residual.device)
        return Grid(nothing, nothing, nothing)
    profile, weight = _profile(residual.double(), zone, width)
    ratios, logs, squares = [], [], []
    for line, near in backgrounds.items():
        power = _powers(profile, [line, *near])
        background = power[:, 1:].mean(1)
        ratios.append(power[:, 0] / background)
        logs.append(-len(near) * torch.log1p(ratios[-1] / len(near)))
        squares.append((power[:, 0] - background) * (2 / (weight * _gain(line, width))).square())
    least = torch.stack(logs).amin(0).exp()
    p = -torch.expm1(len(logs) * torch.log1p(-least))
    amplitude = torch.stack(squares).sum(0).clamp_min(0.0).sqrt()
    return Grid(torch.stack(ratios).mean(0), p, amplitude.where(weight > 0, torch.nan))


class GridTest(NamedTuple):
    """A grid in two directions: x and y (of (B,P) each); p of both axes together, `found` as 0 or 1 (B,P).

    `period` (B,): number of the period of the grid that was found, -1 without any.
    """

    x: Grid
    y: Grid
    p: Tensor
    found: Tensor
    period: Tensor


def grid_test(
    residual: Tensor, zone: Tensor, periods: Sequence[tuple[float, float]], *, alpha: float = 0.05
) -> GridTest:
    """The test for each of P periods, each given in pixels along (y, x); the probability of any false one is <= alpha.

    Convention: as `grid_lines`; every image is cut to the rows and columns that its zone reaches.

    Raises:
        ValueError: on unequal shapes, or if alpha is not in (0, 1).
    """
    check_shapes(residual=(residual, "b h w"), zone=(zone, "b h w"))
    check_range("alpha", alpha, 0, 1, open_low=True)
    found = [_both_axes(*_cut(one, where), periods) for one, where in zip(residual, zone, strict=True)]
    x, y = (Grid(*(torch.stack(v) for v in zip(*(axes[k] for axes in found), strict=True))) for k in (0, 1))
    p = _together(x.p, y.p)
    tests = p.isfinite().sum(1, keepdim=True)
    hit = p < alpha / tests
    best = torch.where(hit, p, torch.inf).min(1)
    period = best.indices.where(best.values.isfinite(), -1)
    return GridTest(x, y, p, hit.double().where(p.isfinite(), torch.nan), period)


def _cut(residual: Tensor, zone: Tensor) -> tuple[Tensor, Tensor]:
    """One image (1,h,w) without the rows and columns outside its zone."""
    rows, columns = (zone.any(k).nonzero().flatten() for k in (1, 0))
    if not len(rows):
        return residual[None, :0, :0], zone[None, :0, :0]
    box = slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
    return residual[box][None], zone[box][None]


def _both_axes(residual: Tensor, zone: Tensor, periods: Sequence[tuple[float, float]]) -> tuple[Grid, Grid]:
    """The values (P,) of one image along x and y."""
    along = []
    for axis, (one, where) in ((1, (residual, zone)), (0, (residual.mT, zone.mT))):
        mine = [pair[axis] for pair in periods]
        along.append([grid_lines(one, where, period, mine) for period in mine])
    x, y = (Grid(*(torch.cat(v) for v in zip(*some, strict=True))) for some in along)
    return x, y


def _together(a: Tensor, b: Tensor) -> Tensor:
    """Fisher's combination of two p values; the other one alone where one is NaN."""
    product = (a * b).clamp_min(1e-300)
    both = product * (1 - product.log())
    return torch.where(a.isnan(), b, torch.where(b.isnan(), a, both))


@METRICS.register(
    "grid_energy", unit="1", better="lower", perfect=1.0, range=(0.0, float("inf")), source=SOURCE,
    inputs="residual zone period periods", scope="structure", differentiable=False,
)  # fmt: skip
def grid_energy(residual: Tensor, zone: Tensor, period: float, periods: Sequence[float]) -> Tensor:
    """Power of the residual at a grid's own lines over the local background, mean over lines; about 1 without a grid.

    See `grid_lines`.
    """
    return grid_lines(residual, zone, period, periods).energy


@METRICS.register(
    "grid_amplitude", unit="ln", better="lower", perfect=0.0, range=(0.0, float("inf")), source=SOURCE,
    inputs="residual zone period periods", scope="structure", differentiable=False,
)  # fmt: skip
def grid_amplitude(residual: Tensor, zone: Tensor, period: float, periods: Sequence[float]) -> Tensor:
    """Amplitude of the grid's waves in ln depth, that is as a share of depth, background taken away.

    Quadratic sum over the period's own lines; see `grid_lines`.
    """
    return grid_lines(residual, zone, period, periods).amplitude


@METRICS.register(
    "grid_p", unit="1", better="none", perfect=1.0, range=(0.0, 1.0), source=SOURCE,
    inputs="residual zone period periods", scope="structure", differentiable=False,
)  # fmt: skip
def grid_p(residual: Tensor, zone: Tensor, period: float, periods: Sequence[float]) -> Tensor:
    """Probability of a line at least as strong without a grid: uniform in [0, 1] under the null; see `grid_lines`."""
    return grid_lines(residual, zone, period, periods).p


@METRICS.register(
    "grid_found", unit="1", better="lower", perfect=0.0, range=(0.0, 1.0), source=SOURCE,
    inputs="residual zone periods", scope="structure", differentiable=False,
)  # fmt: skip
def grid_found(residual: Tensor, zone: Tensor, periods: Sequence[tuple[float, float]], alpha: float = 0.05) -> Tensor:
    """1 where a grid of any of the periods is found, else 0; on predictions without one the mean is <= alpha.

    See `grid_test`; NaN where no period could be tested.
    """
    found = grid_test(residual, zone, periods, alpha=alpha).found
    return found.nan_to_num(0.0).amax(1).where(found.isfinite().any(1), torch.nan)


@METRICS.register(
    "grid_period", unit="px", better="none", perfect=float("nan"), range=(0.0, float("inf")), source=SOURCE,
    inputs="residual zone periods", scope="structure", differentiable=False,
)  # fmt: skip
def grid_period(residual: Tensor, zone: Tensor, periods: Sequence[tuple[float, float]], alpha: float = 0.05) -> Tensor:
    """The period, along x, of the grid that is found; NaN without any."""
    number = grid_test(residual, zone, periods, alpha=alpha).period
    along_x = torch.tensor([pair[1] for pair in periods] + [torch.nan], dtype=torch.float64, device=residual.device)
    return along_x[number]
