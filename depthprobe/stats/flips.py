"""Sign flips: p values that need no distribution, only differences of groups that could as well have the other sign."""

from collections.abc import Iterator

import numpy as np

EXACT_GROUPS = 12  # up to here all 2^G sign patterns are enumerated
_CHUNK = 4_000_000  # signs drawn at once


def _signs(groups: int, n_flip: int, seed: int) -> Iterator[np.ndarray]:
    if groups <= EXACT_GROUPS:
        yield 1.0 - 2.0 * ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1)
        return
    rng = np.random.default_rng([seed, 1])
    step = max(1, _CHUNK // groups)
    for start in range(0, n_flip, step):
        yield 1.0 - 2.0 * rng.integers(0, 2, (min(step, n_flip - start), groups), dtype=np.int8)


def smallest_p(groups: np.ndarray) -> np.ndarray:
    """The smallest two-sided p that sign flips of so many groups can give: 2 of the 2^G patterns."""
    return np.asarray(2.0 ** (1 - np.asarray(groups, float)))


def sign_flip_p(total: np.ndarray, count: np.ndarray, *, n_flip: int, seed: int) -> np.ndarray:
    """Two-sided p (C,) of "no difference" when the differences of whole groups change sign together.

    Convention: `total` (G, C) holds the summed differences of each group; the statistic is |sum over groups|. Up to 12
    groups all sign patterns are enumerated; beyond, `n_flip` random ones with the +1 correction (Phipson & Smyth 2010).
    """
    observed = np.abs(total.sum(0))
    slack = observed * (1 - 1e-9)  # equal sums in another order differ by rounding
    hits, tried = np.zeros(total.shape[1]), 0
    for sign in _signs(len(total), n_flip, seed):
        hits += (np.abs(sign @ total) >= slack).sum(0)
        tried += len(sign)
    return _share(hits, tried, total, count)


def sign_flip_tost(total: np.ndarray, count: np.ndarray, rope: np.ndarray, *, n_flip: int, seed: int) -> np.ndarray:
    """The p (C,) of "the difference is `rope` (C,) or larger, either way": the larger of two one-sided sign-flip tests.

    Convention: as `sign_flip_p`; each test flips the groups' differences from one end of +-rope (two one-sided tests,
    Schuirmann 1987). NaN where rope is.
    """
    above, below = rope * count - total, rope * count + total  # both sums are large where the difference is small
    hits, tried = np.zeros((2, total.shape[1])), 0
    for sign in _signs(len(total), n_flip, seed):
        for i, side in enumerate((above, below)):
            observed = side.sum(0)
            hits[i] += (sign @ side >= observed - 1e-9 * np.abs(observed)).sum(0)
        tried += len(sign)
    return np.where(np.isnan(rope), np.nan, _share(hits.max(0), tried, total, count))


def _share(hits: np.ndarray, tried: int, total: np.ndarray, count: np.ndarray) -> np.ndarray:
    exact = len(total) <= EXACT_GROUPS
    p = hits / tried if exact else (hits + 1) / (tried + 1)
    return np.where(count.sum(0) > 0, p, np.nan)
