"""Radial power spectra of ln depth: which scales a prediction has, and at which it errs."""

import torch
from torch import Tensor

from depthprobe.checks import check_range, check_shapes
from depthprobe.functional.terms import METRICS


def ring_centres(rings: int) -> list[float]:
    """The spatial frequencies, in cycles per pixel, at the middle of each of `rings` rings of equal width up to 1/2."""
    return [0.5 * (k + 0.5) / rings for k in range(rings)]


@METRICS.register("log_power", unit="dB", better="none", source="depthprobe", inputs="x valid rings", scope="structure")
def log_power(x: Tensor, valid: Tensor, rings: int = 16) -> Tensor:
    """Power spectral density of a map by spatial frequency: 10 log10 of its mean over rings of the Fourier plane.

    Convention: x (B,H,W), e.g. ln depth; valid (B,H,W) bool; returns (B,rings), dB re 1 px² times the unit of x
    squared, at `ring_centres`. The map less its mean, times a Hann window that is 0 where invalid; density: its
    integral over all frequencies is the windowed variance. NaN where a ring has no power or no frequency, as for an
    empty mask.

    Raises:
        ValueError: on unequal shapes, or less than one ring.
    """
    sizes = check_shapes(x=(x, "b h w"), valid=(valid, "b h w"))
    check_range("rings", rings, 1, 1e6)
    rows, columns = (torch.hann_window(sizes[k] + 2, False, dtype=torch.float64)[1:-1].to(x.device) for k in "hw")
    window = rows[:, None] * columns * valid
    x = torch.where(valid, x.double(), 0.0)
    centred = (x - (x * window).sum((1, 2), keepdim=True) / window.sum((1, 2), keepdim=True)) * window
    density = torch.fft.fft2(centred).abs().square() / window.square().sum((1, 2), keepdim=True)
    fy, fx = (torch.fft.fftfreq(sizes[k], dtype=torch.float64, device=x.device) for k in "hw")
    radius = (fy[:, None].square() + fx.square()).sqrt()
    ring = torch.where((radius > 0) & (radius < 0.5), (radius * 2 * rings).long(), rings).flatten()
    total = torch.zeros(len(x), rings + 1, dtype=torch.float64, device=x.device)
    total.index_add_(1, ring, density.flatten(1))
    mean = total[:, :rings] / torch.bincount(ring, minlength=rings + 1)[:rings]
    return 10 * torch.where(mean > 0, mean, torch.nan).log10()
