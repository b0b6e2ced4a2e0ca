"""Effect sizes of paired samples: how large a difference is against its spread, and how often it goes one way."""

import numpy as np

from depthprobe.stats.units import Units


def effects(units: Units) -> dict[str, np.ndarray]:
    """d_z, cliff and superiority (C,) of units with value (U, 3) = difference b - a, a, b; NaN where undefined.

    Convention: d_z is mean over standard deviation of the samples' differences with Hedges' correction
    1 - 3 / (4 df - 1); cliff is Cliff's delta (1993) of all pairs of a sample of b with a sample of a, the share where
    b is larger minus the share where it is smaller; both have the sign of the difference. superiority is the share of
    samples on which b is *better* than a (ties half; larger, where `better` is none).
    """
    known = np.isfinite(units.value).all(1)
    cell, (diff, a, b) = units.cell[known], units.value[known].T
    size = len(units.cells)
    n = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(cell, weights=diff, minlength=size) / n
        square = np.bincount(cell, weights=(diff - mean[cell]) ** 2, minlength=size)
        d_z = mean / np.sqrt(square / (n - 1)) * (1 - 3 / (4 * (n - 1) - 1))
        larger = np.bincount(cell, weights=(np.sign(diff) + 1) / 2, minlength=size) / n
    stop = np.cumsum(n)
    cliff = [_dominance(a[end - k : end], b[end - k : end]) for k, end in zip(n, stop, strict=True)]
    lower = (units.cells["better"] == "lower").to_numpy()
    return {
        "d_z": np.where((n >= 2) & (square > 0), d_z, np.nan),
        "cliff": np.array(cliff),
        "superiority": np.where(lower, 1 - larger, larger),
    }


def _dominance(a: np.ndarray, b: np.ndarray) -> float:
    """Share of all pairs in which a value of `b` is larger than one of `a`, minus the share where it is smaller."""
    if not len(a):
        return np.nan
    ranked = np.sort(a)
    b = np.sort(b)  # neighbours are found next to each other: faster
    larger, not_smaller = (np.searchsorted(ranked, b, side).sum() for side in ("left", "right"))
    return float(larger + not_smaller) / (len(a) * len(b)) - 1
