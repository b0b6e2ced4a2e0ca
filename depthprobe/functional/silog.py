"""The scale-invariant log errors: one name in the literature, seven formulas, seven names here.

Convention: as in `metrics`; v = mean d² - (mean d)² over the valid pixels, m = mean d.
"""

import math

from torch import Tensor

from depthprobe.functional.terms import Terms, per_pixel

LOG = ("units", "swap", "inverse")
SCALE = ("scale", *LOG)


@per_pixel("silog", unit="100 ln", better="lower", source="KITTI devkit; BTS, ZoeDepth, Marigold", invariant=SCALE)
def silog(t: Terms) -> Tensor:
    """100 √v. The KITTI server's SILog (also "LogSI"), and BTS's, ZoeDepth's, Marigold's, MDE-Toolbox's.

    MDE-Toolbox replaces NaN by 0, which is perfect; here NaN stays.
    """
    return 100 * t.log_variance.sqrt()


@per_pixel("silog_unbiased", unit="100 ln", better="lower", source="UniDepth, evaluation_depth.py", invariant=SCALE)
def silog_unbiased(t: Terms) -> Tensor:
    """100 √(v n / (n - 1)): UniDepth (torch.std); NaN for one pixel."""
    return 100 * (t.log_variance * t.count / (t.count - 1)).sqrt()


@per_pixel("silog_half", unit="1", better="lower", source="Depth Anything V2, SiLogLoss", invariant=LOG)
def silog_half(t: Terms) -> Tensor:
    """√(mean d² - m²/2): Depth Anything V2's "silog" (Eigen's training loss under a root); reacts to scale."""
    return (t.log_variance + 0.5 * t.log_mean.square()).sqrt()


@per_pixel("silog_bts_loss", unit="10 ln", better="lower", source="BTS, arXiv:1907.10326, loss", invariant=LOG)
def silog_bts_loss(t: Terms) -> Tensor:
    """10 √(mean d² - 0.85 m²): the training loss of BTS and its descendants; reacts to scale."""
    return 10 * (t.log_variance + 0.15 * t.log_mean.square()).sqrt()


@per_pixel("silog_log10", unit="1", better="lower", source="Metric3D, utils/avg_meter.py", invariant=SCALE)
def silog_log10(t: Terms) -> Tensor:
    """√v of decimal logarithms, without the 100: Metric3D."""
    return t.log_variance.sqrt() / math.log(10)


@per_pixel("silog_var", unit="1", better="lower", source="Eigen et al. 2014; torch-uncertainty", invariant=SCALE)
def silog_var(t: Terms) -> Tensor:
    """The variance v: Eigen's scale-invariant mean squared error; no root, no 100.

    torch-uncertainty's SILog, except that it pools the pixels of all images.
    """
    return t.log_variance


@per_pixel("silog_var_half", unit="1", better="lower", source="Eigen et al. 2014, training loss", invariant=LOG)
def silog_var_half(t: Terms) -> Tensor:
    """Mean d² - m²/2: Eigen's training loss (λ = 0.5); reacts to scale."""
    return t.log_variance + 0.5 * t.log_mean.square()
