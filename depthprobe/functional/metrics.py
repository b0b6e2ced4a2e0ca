"""Per-sample depth errors.

Convention: every metric is (pred, depth, valid) -> (B,); pred and depth float (B,1,H,W) in metres, valid bool
(B,1,H,W). Notation: z = pred, g = depth, V = valid pixels, n = |V|, d = ln z - ln g. Pixels outside V have no effect,
also if they hold NaN; an empty V gives NaN (0 would be perfect). Average over images afterwards, never pool pixels.
A prediction z <= 0 or NaN fails every threshold and makes the other metrics NaN: a protocol clamps first.
Facts: `unit`, `better`, `perfect`, `source`, `invariant` (names of INVARIANCES), `differentiable`.
"""

import math

import torch
from torch import Tensor

from depthprobe.functional import (  # noqa: F401  (they register into METRICS)
    boundaries,
    boundaries_canny,
    boundaries_matte,
    continuity,
    cues,
    planes,
    quantities,
    silog,
    spectrum,
    spectrum_grid,
    texture,
)
from depthprobe.functional.terms import INVARIANCES, METRICS, Terms, Truth, all_metrics, measure, per_pixel

__all__ = ["INVARIANCES", "METRICS", "Terms", "Truth", "all_metrics", "measure", "per_pixel"]

EIGEN = "Eigen et al. 2014, arXiv:1406.2283"
KITTI = "KITTI depth devkit, evaluate_depth.cpp"
UNIDEPTH = "UniDepth, utils/evaluation_depth.py"
LOG = ("units", "swap", "inverse")


@per_pixel("abs_rel", unit="1", better="lower", source=EIGEN, invariant=("units",))
def abs_rel(t: Terms) -> Tensor:
    """Mean |z - g| / g."""
    return t.mean(t.relative)


@per_pixel("sq_rel", unit="m", better="lower", source=EIGEN)
def sq_rel(t: Terms) -> Tensor:
    """Mean (z - g)² / g.

    As reported since Eigen; it has a unit, so it is not the relative error that its name says: see `sq_rel_kitti`.
    """
    return t.mean(t.relative * t.difference.abs())


@per_pixel("sq_rel_kitti", unit="%", better="lower", source=KITTI, invariant=("units",))
def sq_rel_kitti(t: Terms) -> Tensor:
    """100 mean (z - g)² / g²: the KITTI server's SqRel, another quantity than Eigen's."""
    return 100 * t.mean(t.relative.square())


@per_pixel("rmse", unit="m", better="lower", source=EIGEN, invariant=("swap",))
def rmse(t: Terms) -> Tensor:
    """√ mean (z - g)², per image."""
    return t.mean(t.difference.square()).sqrt()


@per_pixel("mae", unit="m", better="lower", source=KITTI, invariant=("swap",))
def mae(t: Terms) -> Tensor:
    """Mean |z - g|."""
    return t.mean(t.difference.abs())


@per_pixel("rmse_log", unit="1", better="lower", source=EIGEN, invariant=LOG)
def rmse_log(t: Terms) -> Tensor:
    """√ mean d². Computed as √(variance + mean²), which is the same and shares SILog's passes."""
    return (t.log_variance + t.log_mean.square()).sqrt()


@per_pixel("log10", unit="1", better="lower", source="Saxena et al. 2009, Make3D", invariant=LOG)
def log10(t: Terms) -> Tensor:
    """Mean |log10 z - log10 g|."""
    return t.mean(t.log_ratio.abs()) / math.log(10)


@per_pixel("delta1", unit="1", better="higher", source=EIGEN, invariant=LOG, differentiable=False)
def delta1(t: Terms) -> Tensor:
    """Share of pixels with max(z/g, g/z) < 1.25."""
    return 1 - t.share_beyond(1.25)


@per_pixel("delta2", unit="1", better="higher", source=EIGEN, invariant=LOG, differentiable=False)
def delta2(t: Terms) -> Tensor:
    """Share of pixels with max(z/g, g/z) < 1.25²."""
    return 1 - t.share_beyond(1.25**2)


@per_pixel("delta3", unit="1", better="higher", source=EIGEN, invariant=LOG, differentiable=False)
def delta3(t: Terms) -> Tensor:
    """Share of pixels with max(z/g, g/z) < 1.25³."""
    return 1 - t.share_beyond(1.25**3)


@per_pixel("tau", unit="1", better="higher", source="UniDepth, arXiv:2403.18913", invariant=LOG, differentiable=False)
def tau(t: Terms) -> Tensor:
    """Share of pixels with max(z/g, g/z) < 1.03."""
    return 1 - t.share_beyond(1.03)


@per_pixel("d_auc", unit="1", better="higher", source=UNIDEPTH, invariant=LOG, differentiable=False, perfect=0.998)
def d_auc(t: Terms) -> Tensor:
    """∫ δ(1.25^x) dx / 5, trapezoids over x = linspace(0.01, 5, 100); at most 4.99/5, since x starts at 0.01."""
    x = torch.linspace(0.01, 5.0, 100, dtype=torch.float64, device=t.pred.device)
    first = torch.bucketize(t.log_ratio.abs().double() / math.log(1.25), x, right=True)  # first x beyond |d|, or 100
    lost = (first.double() - 0.5).clamp(0, 99) * (4.99 / 99)  # each pixel's own integral is 4.99 - lost
    return (4.99 - t.mean(lost)) / 5


@per_pixel(
    "d1_outlier", unit="%", better="lower", source="MiDaS, arXiv:1907.01341", invariant=LOG, differentiable=False
)
def d1_outlier(t: Terms) -> Tensor:
    """100 times the share of pixels with max(z/g, g/z) > 1.25 (MiDaS and DPT's error; strict, unlike 1 - delta1)."""
    return 100 * t.share_beyond(1.25, strict=True)


@per_pixel("irmse", unit="1/m", better="lower", source="Marigold, src/util/metric.py", invariant=("swap",))
def irmse(t: Terms) -> Tensor:
    """√ mean (1/z - 1/g)², in 1/m; the KITTI server's is `inv_rmse_km`."""
    return t.mean(t.inverse.square()).sqrt()


@per_pixel("inv_rmse_km", unit="1/km", better="lower", source=KITTI, invariant=("swap",))
def inv_rmse_km(t: Terms) -> Tensor:
    """1000 √ mean (1/z - 1/g)²: the KITTI server's iRMSE, in 1/km."""
    return 1000 * t.mean(t.inverse.square()).sqrt()


@per_pixel("inv_mae_km", unit="1/km", better="lower", source=KITTI, invariant=("swap",))
def inv_mae_km(t: Terms) -> Tensor:
    """1000 mean |1/z - 1/g|: the KITTI server's iMAE, in 1/km."""
    return 1000 * t.mean(t.inverse.abs())


@per_pixel("log_mae", unit="100 ln", better="lower", source=KITTI, invariant=LOG)
def log_mae(t: Terms) -> Tensor:
    """100 mean |d|: the KITTI server's LogMAE."""
    return 100 * t.mean(t.log_ratio.abs())


@per_pixel("log_rmse", unit="100 ln", better="lower", source=KITTI, invariant=LOG)
def log_rmse(t: Terms) -> Tensor:
    """100 √ mean d²: the KITTI server's LogRMSE (`rmse_log` without the 100)."""
    return 100 * (t.log_variance + t.log_mean.square()).sqrt()


@per_pixel("median_log", unit="100 ln", better="lower", source=UNIDEPTH, invariant=("units",), differentiable=False)
def median_log(t: Terms) -> Tensor:
    """100 |median d|, with torch's lower median (as UniDepth), so it is not exactly symmetric for even n."""
    return 100 * t.median(t.log_ratio).abs()


@per_pixel("failed", unit="1", better="lower", source="depthprobe", inputs="aligned valid", differentiable=False)
def failed(t: Terms) -> Tensor:
    """Share of valid pixels that hold no prediction (NaN), which the other metrics of a protocol judge as its floor."""
    return t.share(t.failed)
