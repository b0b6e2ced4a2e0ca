"""p values adjusted for the number of comparisons: Holm and Benjamini–Hochberg."""

from collections.abc import Callable

import numpy as np


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's step-down adjusted p values (n,), family-wise error; NaN stays NaN and counts for nothing (Holm 1979)."""
    return _step(p, lambda ranked, m: np.maximum.accumulate(ranked * (m - np.arange(m))))


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg adjusted p values (n,), false-discovery rate; NaN stays NaN and counts for nothing (1995)."""
    return _step(p, lambda ranked, m: np.minimum.accumulate((ranked * m / np.arange(1, m + 1))[::-1])[::-1])


def _step(p: np.ndarray, adjusted: Callable[[np.ndarray, int], np.ndarray]) -> np.ndarray:
    p = np.asarray(p, float)
    out = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    out[order] = np.minimum(adjusted(p[order], len(order)), 1.0)
    return out
