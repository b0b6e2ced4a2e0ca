"""Time of 10,000 group resamples of a 100,000-row table, beside scipy.stats.bootstrap on 16 cells of it.

Run:    python benchmarks/statistics.py            (about 20 s on 2 cores)
Expect: summarise, compare and curve in seconds each; both bootstraps give the same intervals within Monte Carlo error.
"""

import time

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from depthprobe import stats
from depthprobe.schema import COLUMNS

N_BOOT, GROUPS, PER_GROUP = 10_000, 139, 5
SELECTORS, LEVELS = 8, np.geomspace(0.01, 1, 9)


def make_table() -> pd.DataFrame:
    """Two models, eight selectors, nine budgets, 695 samples in 139 groups: 100,080 rows."""
    draw = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [("convnext", "pvt"), [f"selector{i}" for i in range(SELECTORS)], LEVELS, range(GROUPS * PER_GROUP)],
        names=["model", "factor", "level", "number"],
    )
    table = index.to_frame(index=False)
    group = table["number"] // PER_GROUP
    scene = draw.lognormal(0, 0.3, GROUPS)[group]
    slower = 1 + 0.2 * (table["model"] == "pvt")
    table["value"] = scene * (0.2 + 0.3 * np.exp(-np.log(table["level"] / 0.01) / slower)) + draw.normal(
        0, 0.02, len(group)
    )
    table["sample"], table["group"] = table["number"].map("s{:05d}".format), group.map("g{:05d}".format)
    constant = {
        "dataset": "simulated", "tag": "v1", "family": "cnn", "probe": "sparse", "plan": "0" * 8, "seed": 0,
        "layer": "", "factor2": "mean", "level2": np.nan, "metric": "abs_rel", "unit": "1", "better": "lower",
    }  # fmt: skip
    return table.assign(**constant)[COLUMNS]


def timed(what: str, function) -> tuple[float, object]:
    start = time.perf_counter()
    out = function()
    seconds = time.perf_counter() - start
    print(f"{what:<58}{seconds:8.2f} s")
    return seconds, out


def main() -> None:
    """Print the times, the ratio on 16 cells and the largest gap of the intervals in Monte Carlo errors."""
    table = make_table()
    by = ["model", "factor", "level"]
    print(f"{len(table):,} rows, {N_BOOT:,} resamples of {GROUPS} groups, {2 * SELECTORS * len(LEVELS)} cells")
    timed("summarise", lambda: stats.summarise(table, by, n_boot=N_BOOT))
    timed("compare (paired, sign flips, Holm)", lambda: stats.compare(table, by[1:], n_boot=N_BOOT))
    timed("curve (bands, area, b50, b90)", lambda: stats.curve(table, by[:2], n_boot=N_BOOT))
    timed("curve_difference", lambda: stats.curve_difference(table, ["factor"], n_boot=N_BOOT))

    some = table[table["level"] == LEVELS[0]]
    means = some.groupby([*by[:2], "group"])["value"].mean().to_numpy().reshape(-1, GROUPS)  # equal groups
    ours, mine = timed(
        f"{len(means)} cells, depthprobe", lambda: stats.summarise(some, by, n_boot=N_BOOT, method="percentile", seed=1)
    )
    theirs, other = timed(
        f"{len(means)} cells, scipy.stats.bootstrap on ready group means",
        lambda: [
            bootstrap((m,), np.mean, n_resamples=N_BOOT, method="percentile", rng=np.random.default_rng(2))
            for m in means
        ],
    )
    spread = np.array([[o.standard_error] for o in other])
    density = np.exp(-(1.96**2) / 2) / np.sqrt(2 * np.pi)
    error = np.sqrt(2) * spread * np.sqrt(0.025 * 0.975 / N_BOOT) / density  # of a difference of two 2.5 % quantiles
    ends = np.array([[*o.confidence_interval] for o in other])
    worst = float((np.abs(mine[["low", "high"]].to_numpy() - ends) / error).max())
    print(f"time ratio scipy / depthprobe: {theirs / ours:.1f}")
    print(f"largest gap of {2 * len(means)} interval ends: {worst:.1f} Monte Carlo errors")
    if worst > 5:
        raise SystemExit("The two intervals differ by more than Monte Carlo error.")


if __name__ == "__main__":
    main()
