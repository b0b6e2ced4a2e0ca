"""The Gibbs kernel of a pixel grid, applied in the log domain, and its spectrum: what the Sinkhorn solver is made of.

Convention: fields are (B,H,W), potentials divided by eps; lengths are in pixels of the grid. The kernel
exp(-|y - z|² / 2σ²) is a product of one kernel per axis, so applying it costs two small matrix products, O(HW(H+W)).
"""

import contextlib
import functools
import math
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

ROOM = {torch.float32: 60.0, torch.float64: 600.0}  # natural logarithms that fit between 1 and underflow, with a margin
LEAST = {torch.float32: 1e-30, torch.float64: 1e-280}  # a sum this large lost less than 1e-7 of itself to underflow
LOWEST = -1e30  # stands for the maximum of nothing, so that (-inf) - (-inf) never happens


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Float32 products in float32: no autocast, no TF32, no bfloat16 inside; every setting is as before after it.

    Trainings often allow TF32, whose products are known to 1e-3: a marginal could never be met to 1e-5.
    """
    backends = [b for b in (torch.backends.cuda, torch.backends.mkldnn) if hasattr(b, "matmul")]
    products = [b.matmul for b in backends if hasattr(b.matmul, "fp32_precision")]
    before = [p.fp32_precision for p in products]
    legacy = None if products else torch.get_float32_matmul_precision()  # before torch 2.9
    try:
        for product in products:
            product.fp32_precision = "ieee"
        if legacy is not None:
            torch.set_float32_matmul_precision("highest")
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        for product, value in zip(products, before, strict=True):
            product.fp32_precision = value
        if legacy is not None:
            torch.set_float32_matmul_precision(legacy)


class Line:
    """One axis of n pixels under a Gaussian of width `sigma` pixels; `line` caches them."""

    def __init__(self, n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> None:
        self.n, self.sigma, self.dtype, self.device = n, sigma, dtype, device

    def _range(self, start: int, stop: int) -> Tensor:
        return torch.arange(start, stop, dtype=self.dtype, device=self.device)

    def _gaussian(self, n: int) -> Tensor:
        i = self._range(0, n)
        return torch.exp(-0.5 * ((i[:, None] - i) / self.sigma).square())

    @functools.cached_property
    def matrix(self) -> Tensor:
        """The kernel (n,n)."""
        return self._gaussian(self.n)

    @functools.cached_property
    def modes(self) -> tuple[Tensor, Tensor]:
        """The cosines (m,n) that the kernel does not erase, orthonormal, and what it multiplies them by (m,).

        The width is widened by 0.1 pixels², as a plan spreads over neighbours even where the kernel is far narrower.
        """
        k = self._range(0, self.n)[:, None]
        cosines = torch.cos(math.pi / self.n * k * (k.T + 0.5)) * math.sqrt(2 / self.n)
        cosines[0] /= math.sqrt(2)
        sigma = math.sqrt(self.sigma**2 + 0.1)
        reach = math.ceil(6 * sigma) + 1
        offset = self._range(-reach, reach + 1)
        taps = torch.exp(-0.5 * (offset / sigma).square())
        symbol = torch.cos(math.pi / self.n * k * offset) @ (taps / taps.sum())
        kept = max(1, int((symbol > 1e-3).sum()))
        return cosines[:kept].contiguous(), symbol[:kept].contiguous()

    @functools.cached_property
    def _tiles(self) -> tuple[int, Tensor, Tensor, Tensor]:
        width = min(self.n, max(1, int(math.sqrt(2 * ROOM[self.dtype]) * self.sigma)))
        count = -(-self.n // width)
        width = -(-self.n // count)
        inside = self._range(0, width) - (width - 1) / 2
        centre = self._range(0, count) * width
        apart = (centre[:, None] - centre)[:, :, None]  # (to, from, 1)
        tilt_from = apart * inside / self.sigma**2
        tilt_to = -tilt_from - apart.square() / (2 * self.sigma**2)
        return count, self._gaussian(width), tilt_from, tilt_to

    def exact(self, x: Tensor) -> Tensor:
        """Ln Σ_j exp(x_j - (j - k)² / 2σ²) over the last axis, whatever the range of x (-inf allowed).

        The axis is cut into tiles of about 11 σ (float32) or 35 σ (float64), inside which the kernel cannot underflow;
        between two tiles it is that same small kernel, tilted: exp(-(D+q-p)²/2σ²) = exp(Dp/σ²) exp(-(p-q)²/2σ²)
        exp(-Dq/σ² - D²/2σ²). Every sum is shifted by its own maximum, so nothing that matters is lost.
        """
        count, kernel, tilt_from, tilt_to = self._tiles
        if count == 1:
            top = x.amax(-1, keepdim=True).clamp_min_(LOWEST)
            return ((x - top).exp_() @ kernel).log_().add_(top)
        x = F.pad(x, (0, count * len(kernel) - self.n), value=-math.inf)
        x = x.unflatten(-1, (1, count, len(kernel))) + tilt_from
        top = x.amax(-1, keepdim=True).clamp_min_(LOWEST)
        part = x.sub_(top).exp_() @ kernel
        bound = tilt_to + top
        highest = bound.amax(-2, keepdim=True)
        out = bound.sub_(highest).exp_().mul_(part).sum(-2).log_().add_(highest.squeeze(-2))
        return out.flatten(-2)[..., : self.n]


@functools.lru_cache(maxsize=128)
def line(n: int, sigma: float, dtype: torch.dtype, device: torch.device) -> Line:
    """The line of these facts, made once."""
    return Line(n, sigma, dtype, device)


class GridKernel:
    """The kernel of an H x W grid: x -> ln Σ_y exp(x(y) - |y - z|² / 2σ²)."""

    def __init__(self, size: tuple[int, int], sigma: float, dtype: torch.dtype, device: torch.device) -> None:
        self.sigma, self.least = sigma, LEAST[dtype]
        self.y, self.x = (line(n, sigma, dtype, device) for n in size)

    @property
    def turned(self) -> "GridKernel":
        """The same kernel for fields (B,W,H)."""
        return GridKernel((self.x.n, self.y.n), self.sigma, self.x.dtype, self.x.device)

    def fast(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The field (B,W,H), turned, by one shift for the whole image, and the smallest sum that was met.

        The field is right to rounding if that sum is at least `least`; otherwise (or NaN) nothing in it can be trusted
        and `exact` is to be used. It is smaller where ln-range and distances exceed what the number format holds.
        """
        top = x.amax((1, 2), keepdim=True)
        sums = _both((x - top).exp_(), self.x.matrix, self.y.matrix)
        smallest = sums.amin()
        return sums.log_().add_(top), smallest

    def exact(self, x: Tensor) -> tuple[Tensor, None]:
        """The field (B,W,H), turned; right to rounding for every input."""
        return self.y.exact(self.x.exact(x).transpose(1, 2)), None

    def average(self, x: Tensor) -> Tensor:
        """The field (B,H,W) averaged with the kernel's weights."""
        coverage = self.y.matrix.sum(1, keepdim=True) * self.x.matrix.sum(1)
        return _both(x, self.x.matrix, self.y.matrix).transpose(1, 2) / coverage

    def low_pass(self, x: Tensor, response: Tensor) -> Tensor:
        """The field (B,H,W) with its cosine modes multiplied by `response`, the modes the kernel erases dropped."""
        (cy, _), (cx, _) = self.y.modes, self.x.modes
        return _both(_both(x, cx.T, cy.T) * response, cy, cx)

    @property
    def symbol(self) -> Tensor:
        """What the kernel, normalised, multiplies each cosine mode by (mx,my)."""
        return self.x.modes[1][:, None] * self.y.modes[1]


def _both(x: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """A field (B,H,W) times a matrix along its last axis, then times one along the other: (B,W,H), turned.

    Batched in this order both products are one plain matrix product; a matrix times a batch is several times slower.
    """
    return (x @ first).transpose(1, 2) @ second
