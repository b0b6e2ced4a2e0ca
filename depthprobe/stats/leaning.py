"""Does one network behave more like the networks of one family, or of another?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from depthprobe.stats.flips import sign_flip_p
from depthprobe.stats.multiplicity import adjust, check_family
from depthprobe.stats.pairs import FOLLOWERS
from depthprobe.stats.resample import check_options, expanded_interval, means, resample_means
from depthprobe.stats.units import (
    FREE,
    Units,
    blocks,
    cell_codes,
    check_by,
    check_pooling,
    complete,
    group_sums,
    per_sample,
)

_NUMBERS = [
    "estimate", "low", "high", "without_low", "without_high", "n", "groups", "models_a", "models_b", "mean", "mean_a",
    "mean_b", "p", "p_holm", "p_bh", "verdict", "undefined", "unit",
]  # fmt: skip
_FOUND = ("estimate", "low", "high", "without_low", "without_high", "n", "groups", "mean", "mean_a", "mean_b", "p")


def leaning(
    table: pd.DataFrame,
    subject: Any,
    by: Sequence[str] = (),
    *,
    a: str = "cnn",
    b: str = "transformer",
    family: Sequence[str] = (),
    n_boot: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How much nearer the mean of `subject` is to the mean of family b than to that of family a, per cell of `by`.

    Convention: estimate = |subject - a| - |subject - b| in the unit of the metric: positive is nearer to b, and no
    longer than the gap between the families, which is what it comes to outside of it. A family is the mean over its
    networks, each counting once, the subject left out; only samples that all of them have count (`n`). The interval
    resamples whole groups, the same for all ("expanded"). Distances are no means, so p has no sign flip of its own: it
    is the larger p of the two differences that a decision needs, of the families (b - a) and of the subject from half
    way between them. It is conservative, since both have to be clear. `without_low`, `without_high`: the ends of what
    the estimate is when any one network is left out; NaN where that leaves none of its family. Verdict: the name of the
    family that the subject is nearer to where the interval leaves out 0, p_holm <= 1 - level and no single network
    turns it, else "undecided"; a family of one network is never decided about, since that network alone would. The
    *family* of Holm's correction is as in `compare`.

    It speaks about these networks on new groups: with few networks in a family it is no statement about architectures
    (see `family_contrast`). A cell in which one side is missing is undecided with NaN.

    Returns:
        The `by` columns, a, b, estimate, low, high, without_low, without_high, n, groups, models_a, models_b, mean (of
        the subject), mean_a, mean_b, p, p_holm, p_bh, verdict, undefined, unit.

    Raises:
        ValueError: if `subject` is not in the table, another column varies inside a cell, or an option is out of range.
    """
    check_options(n_boot, level)
    by = check_by(table, by)
    family = check_family(family, by)
    if subject not in set(table["model"]):
        raise ValueError(f"Expected `subject` to be one of {sorted(set(table['model']))}, but got {subject!r}.")
    table = table[table["family"].isin([a, b]) | (table["model"] == subject)]
    check_pooling(table, cell_codes(table, by)[0], by, free=(*FREE, "model", *FOLLOWERS["model"]))
    units = per_sample(table, [*by, "model", "family"])
    units = complete(units, cell_codes(units.cells, by)[0])
    out = pd.DataFrame(_rows(units, by, subject, (a, b), n_boot=n_boot, level=level, seed=seed))
    out = adjust(out, family, level=level)
    sure = out["p_holm"] <= 1 - level
    to_b = out[["low", "without_low"]].min(axis=1, skipna=False) > 0
    to_a = out[["high", "without_high"]].max(axis=1, skipna=False) < 0
    out["verdict"] = np.select([sure & to_b, sure & to_a], [b, a], "undecided")
    out = out.sort_values(by, kind="stable", ignore_index=True) if by else out
    return out[[*by, "a", "b", *_NUMBERS]]


def _rows(units: Units, by: list[str], subject: Any, pair: tuple[str, str], **options: Any) -> list[dict[str, Any]]:
    item, keys = cell_codes(units.cells, by)
    mine = (units.cells["model"] == subject).to_numpy()
    sides = [mine, *((units.cells["family"] == name).to_numpy() & ~mine for name in pair)]
    rows = []
    for some, groups in blocks(units, item):
        total, count = group_sums(units, some, groups)
        for one in np.unique(item[some]):
            here = item[some] == one
            columns = [np.flatnonzero(here & side[some]) for side in sides]
            facts = units.cells[item == one]
            rows.append({
                **keys.iloc[one].to_dict(), "a": pair[0], "b": pair[1],
                "models_a": len(columns[1]), "models_b": len(columns[2]),
                **dict(zip(_FOUND, _estimate(total, count, columns, **options), strict=True)),
                "undefined": int(facts["undefined"].sum()), "unit": facts["unit"].iloc[0],
            })  # fmt: skip
    return rows


def _estimate(
    total: np.ndarray, count: np.ndarray, columns: list[np.ndarray], *, n_boot: int, level: float, seed: int
) -> tuple[float, ...]:
    """The numbers `_FOUND` from sums `total` (G, C) over `count` (G, C), columns of the subject, of a and of b."""
    nan = float("nan")
    size = count[:, columns[0][:1]]  # the same for all: `complete`
    if not all(len(c) for c in columns) or not size.any():
        return (nan,) * 5 + (0, 0) + (nan,) * 4
    three = np.stack([total[:, c].mean(1) for c in columns], 1)
    held = np.array([np.count_nonzero(size)])
    mean = means(three, size)
    boot = _gap(resample_means(three, size, n_boot=n_boot, seed=seed))
    low, high = expanded_interval(boot[None], _gap(mean[:, None]), held, level)
    apart = np.stack([three[:, 2] - three[:, 1], three[:, 0] - (three[:, 1] + three[:, 2]) / 2], 1)
    p = sign_flip_p(apart, np.repeat(size, 2, 1), n_flip=n_boot, seed=seed).max() if held[0] > 1 else nan
    without = _without_one(means(total, np.repeat(size, total.shape[1], 1)), columns)
    numbers = (_gap(mean[:, None])[0], low[0], high[0], *without, size.sum(), held[0], *mean, p)
    return tuple(float(v) for v in numbers)


def _without_one(mean: np.ndarray, columns: list[np.ndarray]) -> tuple[float, float]:
    """The smallest and largest gap of means (C,) when each network is left out in turn; NaN if a family has but one."""
    subject, *sides = columns
    if min(map(len, sides)) < 2:
        return float("nan"), float("nan")
    fewer = [[np.delete(side, i) if k == j else side for k, side in enumerate(sides)]
             for j, left in enumerate(sides) for i in range(len(left))]  # fmt: skip
    found = [_gap(np.array([[mean[c].mean()] for c in (subject, *two)]))[0] for two in fewer]
    return min(found), max(found)


def _gap(three: np.ndarray) -> np.ndarray:
    """|subject - a| - |subject - b| of (3, n) rows subject, a, b."""
    return np.asarray(np.abs(three[0] - three[1]) - np.abs(three[0] - three[2]))
