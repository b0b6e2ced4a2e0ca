"""Mass made ready for transport: checked, masked, normalised; differentiable."""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes


def balanced_mass(a: Tensor, b: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both masses divided by their own totals, per sample."""
    p, q = _ready(a, b, valid)
    return p / p.sum((1, 2), keepdim=True), q / q.sum((1, 2), keepdim=True)


def unbalanced_mass(a: Tensor, b: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """Both masses divided by the mean of the two totals, per sample: their ratio is kept, their unit is not."""
    p, q = _ready(a, b, valid, together=True)
    mean = (p.sum((1, 2), keepdim=True) + q.sum((1, 2), keepdim=True)) / 2
    return p / mean, q / mean


def _ready(a: Tensor, b: Tensor, valid: Tensor | None, *, together: bool = False) -> tuple[Tensor, Tensor]:
    """Float32 (or float64) mass, 0 outside `valid`, scaled so that no sum can overflow or vanish."""
    check_shapes(a=(a, "b h w"), b=(b, "b h w"), **({} if valid is None else {"valid": (valid, "b h w")}))
    dtype = torch.float64 if torch.float64 in (a.dtype, b.dtype) else torch.float32
    masses = [x.to(dtype) if valid is None else torch.where(valid, x, 0).to(dtype) for x in (a, b)]
    tops = [_top(name, mass) for name, mass in zip("ab", masses, strict=True)]
    if together:
        top = torch.maximum(*tops)
        if not bool((torch.minimum(*tops) / top > torch.finfo(dtype).tiny).all()):
            raise ValueError(f"Expected `a` and `b` to weigh comparably, but got a ratio beyond what {dtype} holds.")
        tops = [top, top]
    return masses[0] / tops[0], masses[1] / tops[1]


def _top(name: str, mass: Tensor) -> Tensor:
    """The largest value per sample (B,1,1), after the checks."""
    if mass.numel() == 0:
        raise ValueError(f"Expected `{name}` to have a sample and a pixel, but got shape {tuple(mass.shape)}.")
    low, high = mass.detach().amin(), mass.detach().amax((1, 2), keepdim=True)
    if not bool((low >= 0) & torch.isfinite(high).all()):
        raise ValueError(
            f"Expected `{name}` to be finite and not negative where valid, but got values from {float(low):g} to "
            f"{float(high.max()):g}; mark pixels without a value in `valid`."
        )
    if not bool((high > 0).all()):
        empty = (high <= 0).flatten().nonzero().flatten().tolist()
        raise ValueError(
            f"Expected `{name}` to have a positive total mass, but samples {empty} have none; leave them out."
        )
    return high
