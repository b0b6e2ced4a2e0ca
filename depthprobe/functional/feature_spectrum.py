"""The frequency profile of features: do a network's layers keep fine detail or smooth it away (Park & Kim 2022)?"""

import torch
from torch import Tensor

from depthprobe.checks import check_shapes
from depthprobe.functional.terms import METRICS

PARK = "Park & Kim 2022, arXiv:2202.06709"
FLOOR = 1e-6
"""Amplitudes below this share of a channel's largest are rounding and count as that share."""


def profile_levels(size: tuple[int, int]) -> list[float]:
    """The frequencies at which a map (h,w) has a profile, as shares of the highest that it can hold, up to 1."""
    count = min(size) // 2
    return [(k + 1) / count for k in range(count)]


@METRICS.register("feature_log_amplitude", unit="ln", better="none", source=PARK, inputs="features")
def feature_log_amplitude(features: Tensor) -> Tensor:
    """Log amplitude of the Fourier transform along its diagonal, less that at frequency 0, the mean over channels.

    Convention: features (B,C,h,w); returns (B,K) at `profile_levels`, float64; frequencies rise equally in rows and
    columns, in shares of each side's highest, so that a map need not be square. A channel that is 0 everywhere does not
    count; NaN where all are. Layers whose channels have means near 0 (after a normalisation) get large values, which
    then say little: the definition's weakness, not the network's.
    """
    size = check_shapes(features=(features, "b c h w"))
    height, width = size["h"], size["w"]
    levels = torch.tensor(profile_levels((height, width)), dtype=torch.float64)
    rows, columns = ((levels * (n // 2)).round().long().to(features.device) for n in (height, width))
    amplitude = torch.fft.fft2(features.double()).abs()
    largest = amplitude.amax((-2, -1))[..., None]
    along = torch.maximum(amplitude[..., rows, columns], FLOOR * largest)
    still = torch.maximum(amplitude[..., :1, 0], FLOOR * largest)
    return (along.log() - still.log()).where(largest > 0, torch.nan).nanmean(1)
