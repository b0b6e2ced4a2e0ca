"""Optimal transport between maps of mass on a pixel grid.

Convention: a, b are (B,H,W), non-negative, of any size, 1 x W and H x 1 included. The cost of moving a unit of mass
from pixel y to pixel z is ½ |y - z|² with coordinates = pixel index / max(H,W): isotropic, the longer side is 1.
Entropy is taken relative to a ⊗ b and eps = blur² (as geomloss), so `blur` is a length in the same unit; in pixels it
is blur * max(H,W). Mass outside `valid` does not exist: it has no influence and no gradient. Pixels without mass are
exact and have the right gradient. Half precision is computed in float32, also under autocast; float64 stays float64.

How near S is to the exact cost (`ot.emd2`) on 24 x 32 pixels, by the blur, as benchmarks/transport.py prints it. What
is missing at a blur of a pixel is no error of the solver: atoms pay for places between pixels that a blur does not see.

| the guess's depth, mass moves | 2 px | 1 px | 1/2 px | 1/4 px |
|---|---|---|---|---|
| smooth guess, 1.8 px | 0.8994 | 0.9029 | 0.9080 | 0.9649 |
| stronger guess, 4.4 px | 0.9782 | 0.9817 | 0.9832 | 0.9938 |
| noise, 1.8 px | 0.8684 | 0.8869 | 0.9044 | 0.9652 |

The solver is in `transport_solver` (stages), `transport_fixed_point` (acceleration) and `transport_grid` (kernel).
"""

import warnings
from typing import Any, NamedTuple

import torch
from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.functional.transport_fixed_point import FixedPoint
from depthprobe.functional.transport_grid import full_precision
from depthprobe.functional.transport_line import histogram_wasserstein, row_wasserstein
from depthprobe.functional.transport_mass import balanced_mass, unbalanced_mass
from depthprobe.functional.transport_solver import Problem, potentials

__all__ = ["Potentials", "histogram_wasserstein", "row_wasserstein", "sinkhorn_divergence", "sinkhorn_potentials"]


class Potentials(NamedTuple):
    """Dual potentials f, g (B,H,W) in units of cost, known at every pixel, mass or not; and how far they converged.

    The plan is a(y) b(z) exp((f(y) + g(z) - cost(y,z)) / eps), with a, b as normalised by the solver. Its first
    marginal is exact; `residual` (B,) is the L1 error of the other. `iterations` counts those on all pixels.
    """

    f: Tensor
    g: Tensor
    residual: Tensor
    iterations: int
    converged: bool


def sinkhorn_divergence(
    a: Tensor,
    b: Tensor,
    *,
    valid: Tensor | None = None,
    blur: float = 0.05,
    reach: float | None = None,
    debias: bool = True,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
) -> Tensor:
    """Entropic optimal transport between two maps of mass, debiased: S = OT(a,b) - OT(a,a)/2 - OT(b,b)/2, per sample.

    S is 0 for a = b, positive otherwise, tends to half the squared Wasserstein-2 distance as `blur` -> 0 and to half a
    squared kernel distance as it grows; mass that is merely translated costs ½ |translation|² at any blur. Structure
    finer than the blur is not seen, distances beyond it are.

    Convention: balanced (`reach` None), each map is divided by its own total, so S is blind to the scale of either.
    Unbalanced, both are divided by the mean of the two totals: blind to the common unit, not to their ratio; mass
    farther than about `reach` is destroyed and created, at reach² KL, instead of moved. Returns (B,), without unit.

    Gradient: by the envelope theorem the gradient in a is the potential, so nothing of the iteration is kept: memory
    O(HW). It exists at pixels without mass too. First order only.

    Accuracy: iterations end when the L1 error of the plan's marginal is at most `tolerance` in every sample, or at the
    rounding error of the potentials (about 5e-7 max|f| / eps in float32) where that is larger. The error of S is of
    second order in it (about tolerance² / 20), that of the gradient of first order. If `max_iterations` on all pixels
    do not suffice, the value so far (within the same second order of its error) is returned with a RuntimeWarning;
    `sinkhorn_potentials` returns the residual instead.

    Args:
        a: mass, e.g. depth.
        b: mass, same shape.
        valid: bool (B,H,W), pixels that exist; None: all.
        blur: √eps.
        reach: √rho of the unbalanced problem, or None.
        debias: False returns OT(a,b) alone, whose minimum over b is not at a.
        tolerance: L1 error of the marginal, in shares of the mass.
        max_iterations: of the last stage; tens suffice unless the blur is well below a pixel.

    Raises:
        ValueError: if the shapes differ, mass is negative, NaN or infinite where valid, or a sample has none.

    Source: Cuturi 2013; Feydy et al. 2019, arXiv:1810.08278; Séjourné et al. 2019, arXiv:1910.12958 (unbalanced);
    separable kernels: Solomon et al. 2015. The acceleration is described in `transport_fixed_point`.
    """
    p, q, settings = _prepare(a, b, valid, blur, reach, tolerance, max_iterations)
    eps = settings["blur"] ** 2
    with torch.no_grad(), full_precision(p.device):
        cross = potentials(Problem(p, q, **settings))
        value = _dual(p, q, cross, eps, reach)
        slopes = [_slope(cross.f, eps, reach), _slope(cross.partner, eps, reach)]
        if debias:
            both = torch.cat((p, q))
            own = potentials(Problem(both, None, **settings))
            value -= _dual(both, both, own, eps, reach).unflatten(0, (2, -1)).sum(0) / 2
            halves = ((own.f + own.partner) / 2).chunk(2)
            slopes = [s - _slope(f, eps, reach) for s, f in zip(slopes, halves, strict=True)]
        elif reach is not None:
            totals = [mass.sum((1, 2), dtype=torch.float64) for mass in (p, q)]
            value += eps * totals[0] * totals[1]
            slopes = [s + eps * (m[:, None, None] - 1).to(s) for s, m in zip(slopes, totals[::-1], strict=True)]
        for solved in (cross, own) if debias else (cross,):
            _warn(solved, tolerance, max_iterations)
    result: Tensor = _Envelope.apply(p, q, value.to(p.dtype), *slopes)
    return result


def sinkhorn_potentials(
    a: Tensor,
    b: Tensor | None,
    *,
    valid: Tensor | None = None,
    blur: float = 0.05,
    reach: float | None = None,
    tolerance: float = 1e-5,
    max_iterations: int = 200,
) -> Potentials:
    """The dual potentials of OT(a,b), or of the symmetric OT(a,a) if `b` is None; never differentiable, never warns.

    Arguments, conventions and errors as `sinkhorn_divergence`.
    """
    with torch.no_grad(), full_precision(a.device):
        p, q, settings = _prepare(a, a if b is None else b, valid, blur, reach, tolerance, max_iterations)
        solved = potentials(Problem(p, None if b is None else q, **settings))
    residual = p.new_tensor(solved.residual)
    eps = settings["blur"] ** 2
    return Potentials(eps * solved.f, eps * solved.partner, residual, solved.iterations, all(solved.converged))


def _prepare(
    a: Tensor, b: Tensor, valid: Tensor | None, blur: float, reach: float | None, tolerance: float, limit: int
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    check_range("blur", blur, 0, float("inf"), open_low=True)
    check_range("tolerance", tolerance, 0, 1)
    check_range("max_iterations", limit, 1, float("inf"))
    if reach is not None:
        check_range("reach", reach, 0, float("inf"), open_low=True)
    p, q = (balanced_mass if reach is None else unbalanced_mass)(a, b, valid)
    return p, q, {"blur": float(blur), "reach": reach, "tolerance": tolerance, "limit": int(limit)}


def _dual(p: Tensor, q: Tensor, solved: FixedPoint, eps: float, reach: float | None) -> Tensor:
    """The dual objective (B,), float64, without the constant eps Σp Σq of the unbalanced one."""

    def total(x: Tensor) -> Tensor:
        return x.sum((1, 2), dtype=torch.float64)

    if reach is None:
        return eps * (total(p * solved.f) / total(p) + total(q * solved.partner) / total(q))
    rho = reach**2
    lost, gained = (total(m * torch.expm1(-eps / rho * f)) for m, f in ((p, solved.f), (q, solved.partner)))
    return -rho * (lost + gained) - eps * (total(p) + lost)  # f answers g, so the plan weighs Σ p exp(-f/rho)


def _slope(f: Tensor, eps: float, reach: float | None) -> Tensor:
    """Derivative of the dual objective by the mass, up to a constant that debiasing removes."""
    return eps * f if reach is None else -(reach**2 + eps) * torch.expm1(-eps / reach**2 * f)


def _warn(solved: FixedPoint, tolerance: float, limit: int) -> None:
    if not all(solved.converged):
        warnings.warn(
            f"Expected the transport plan to meet its marginals to {tolerance:g}, but after {limit} iterations it "
            f"misses them by {max(solved.residual):.1e}; raise `max_iterations`, `tolerance` or `blur`.",
            RuntimeWarning,
            stacklevel=3,
        )


class _Envelope(torch.autograd.Function):
    """A value whose gradient is known."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, q: Tensor, value: Tensor, slope_p: Tensor, slope_q: Tensor) -> Tensor:
        ctx.save_for_backward(p, q, slope_p, slope_q)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        p, q, *slopes = ctx.saved_tensors
        by_p, by_q = (grad[:, None, None] * _FirstOrder.apply(slope, p, q) for slope in slopes)
        return by_p, by_q, None, None, None


class _FirstOrder(torch.autograd.Function):
    """A gradient that refuses to be differentiated, instead of passing for a constant."""

    @staticmethod
    def forward(ctx: Any, slope: Tensor, p: Tensor, q: Tensor) -> Tensor:
        return slope.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> None:
        raise RuntimeError("Expected first derivatives of a transport cost only, but got a request for second ones.")
