"""Time of 10,000 group resamples of 100 models x 1,000 samples x 20 metrics, beside SciPy, pingouin and statsmodels.

Run:    python benchmarks/estimators.py            (about 2 minutes on 2 cores; --quick: a tenth of it)
        python benchmarks/estimators.py --all-pairs    (adds 99,000 comparisons: some minutes more)
        pip install pingouin                       (brings statsmodels; without it those parts are left out)
Expect: every estimator of the 2,000,000 rows in seconds, the four together in less than 60 s; the same numbers as the
        others give, wherever they give them: intervals within Monte Carlo error, the rest to rounding.
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import bootstrap
from scipy.stats import t as student

from depthprobe import stats
from depthprobe.schema import COLUMNS

PER_GROUP = 5
SELECTORS, LEVELS = 8, np.geomspace(0.01, 1, 9)
CONSTANT = {
    "dataset": "simulated", "model": "", "tag": "v1", "family": "cnn", "probe": "error", "plan": "0" * 8, "seed": 0,
    "layer": "", "factor": "", "level": np.nan, "factor2": "", "level2": np.nan, "metric": "abs_rel", "unit": "1",
    "better": "lower",
}  # fmt: skip


def wide_table(models: int, samples: int, metrics: int) -> pd.DataFrame:
    """An error table with scene effects: every model, sample and metric."""
    draw, groups = np.random.default_rng(0), samples // PER_GROUP
    index = pd.MultiIndex.from_product(
        [[f"m{i:03d}" for i in range(models)], [f"metric{i:02d}" for i in range(metrics)], range(samples)],
        names=["model", "metric", "number"],
    )
    table = index.to_frame(index=False)
    skill = np.repeat(np.linspace(0, 0.5, models), metrics * samples)
    scene = draw.normal(1, 0.5, groups)[table["number"] // PER_GROUP]
    table["value"] = skill + scene + draw.normal(0, 0.5, len(table))
    table["family"] = np.where(table["model"].str[1:].astype(int) % 2, "cnn", "transformer")
    return finished(table)


def sparse_table() -> pd.DataFrame:
    """Two models, eight selectors, nine budgets, 695 samples in 139 groups: 100,080 rows."""
    draw = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [("convnext", "pvt"), [f"selector{i}" for i in range(SELECTORS)], LEVELS, range(695)],
        names=["model", "factor", "level", "number"],
    )
    table = index.to_frame(index=False)
    scene = draw.lognormal(0, 0.3, 139)[table["number"] // PER_GROUP]
    slower = 1 + 0.2 * (table["model"] == "pvt")
    fall = 0.2 + 0.3 * np.exp(-np.log(table["level"] / 0.01) / slower)
    table["value"] = scene * fall + draw.normal(0, 0.02, len(table))
    return finished(table.assign(probe="sparse", factor2="mean"))


def finished(table: pd.DataFrame) -> pd.DataFrame:
    number = table["number"]
    table["sample"], table["group"] = number.map("s{:05d}".format), (number // PER_GROUP).map("g{:05d}".format)
    return table.assign(**{c: v for c, v in CONSTANT.items() if c not in table})[COLUMNS]


def timed(what: str, function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    out = function()
    seconds = time.perf_counter() - start
    print(f"  {what:<66}{seconds:8.2f} s")
    return seconds, out


def same(what: str, mine: Any, theirs: Any, within: float) -> None:
    """Print the largest gap and stop if it is larger than `within`."""
    gap = float(np.max(np.abs(np.asarray(mine, float) - np.asarray(theirs, float))))
    print(f"  largest gap of {what}: {gap:.2g}")
    if not gap <= within:
        raise SystemExit(f"Expected the same {what} within {within:g}, but got a gap of {gap:g}.")


def monte_carlo(n_boot: int) -> float:
    """The error of the difference of two bootstrap 2.5 % quantiles, in standard errors of the mean."""
    density = np.exp(-(1.96**2) / 2) / np.sqrt(2 * np.pi)
    return float(np.sqrt(2 * 0.025 * 0.975 / n_boot) / density)


def time_wide(n_boot: int, models: int, all_pairs: bool) -> tuple[pd.DataFrame, float]:
    """Every estimator on the wide table; returns it and the time of `summarise` per cell."""
    table = wide_table(models, 1000, 20)
    print(f"{len(table):,} rows: {models} models x 1,000 samples in 200 groups x 20 metrics, {n_boot:,} resamples")
    spent = []
    for what, function in {
        "summarise": lambda: stats.summarise(table, ["metric", "model"], n_boot=n_boot),
        f"compare, {models - 1} pairs with one reference": lambda: stats.compare(
            table, ["metric"], a="m000", n_boot=n_boot
        ),
        "ranks": lambda: stats.ranks(table, ["metric"], n_boot=n_boot),
        "rank_agreement of 190 pairs of metrics": lambda: stats.rank_agreement(table, n_boot=n_boot),
    }.items():
        spent.append(timed(what, function)[0])
    print(f"  {'together':<66}{sum(spent):8.2f} s")
    timed("summarise, nested", lambda: stats.summarise(table, ["metric", "model"], n_boot=n_boot, nested=True))
    timed("family_contrast, two families", lambda: stats.family_contrast(table, ["metric"]))
    timed("power, pairs with one reference", lambda: stats.power(table, ["metric"], a="m000", effect=0.1))
    if all_pairs:
        pairs = models * (models - 1) // 2
        timed(f"compare, all {pairs:,} pairs", lambda: stats.compare(table, ["metric"], n_boot=n_boot))
    return table, spent[0] / (20 * models)


def time_curves(n_boot: int) -> None:
    """Curves of the sparse table."""
    table = sparse_table()
    by = ["model", "factor"]
    print(f"\n{len(table):,} rows of curves over 9 budgets, {n_boot:,} resamples of 139 groups")
    timed("curve (bands, area, b50, b90)", lambda: stats.curve(table, by, n_boot=n_boot))
    timed("curve_difference", lambda: stats.curve_difference(table, ["factor"], n_boot=n_boot))


def beside_scipy(table: pd.DataFrame, n_boot: int, per_cell: float) -> None:
    """The bootstrap intervals of scipy.stats.bootstrap on some cells, percentile and BCa."""
    some = table[(table["metric"] < "metric04") & (table["model"] < "m004")]
    by = ["metric", "model"]
    means = some.groupby([*by, "group"])["value"].mean().to_numpy().reshape(-1, 200)  # equal groups
    print(f"\nBeside scipy.stats.bootstrap, on ready group means of {len(means)} cells")
    for method in ("percentile", "bca"):
        ours, mine = timed(
            f"{method}, depthprobe",
            lambda m=method: stats.summarise(some, by, n_boot=n_boot, method=m, seed=1),
        )
        theirs, other = timed(
            f"{method}, scipy",
            lambda m=method: [
                bootstrap((v,), np.mean, n_resamples=n_boot, method=m, rng=np.random.default_rng(2)) for v in means
            ],
        )
        spread = np.array([[o.standard_error] for o in other])
        error = spread * monte_carlo(n_boot)
        ends = np.array([[*o.confidence_interval] for o in other])
        at_size = theirs / len(means) / per_cell
        print(f"  time ratio scipy / depthprobe: {theirs / ours:.1f}; per cell of the whole table {at_size:.1f}")
        same(f"{2 * len(means)} interval ends in Monte Carlo errors", mine[["low", "high"]] / error, ends / error, 5)


def beside_pingouin(table: pd.DataFrame, n_boot: int) -> None:
    """What pingouin gives for single paired columns: effect sizes, TOST, detectable difference, corrections."""
    pg = importlib.import_module("pingouin")
    some = table[table["model"].isin(["m000", "m001", "m040", "m050"])]
    some = some.assign(group=some["sample"])  # pingouin knows no groups
    print("\nBeside pingouin, on single images as groups: 60 paired cells (4 models x 20 metrics, one reference)")

    def alone() -> list[dict[str, float]]:
        out = []
        for _, part in some.groupby("metric"):
            wide = part.pivot(index="sample", columns="model", values="value")
            for b in wide.columns[1:]:
                x, y = wide[b].to_numpy(), wide["m000"].to_numpy()
                d = pg.power_ttest(n=len(x), power=0.8, alpha=0.05, contrast="paired")
                rows = bootstrapped(x - y)
                out.append({
                    "d_z": pg.compute_effsize(x - y, 0, eftype="hedges"),
                    "cliff": 2 * pg.compute_effsize(x, y, eftype="CLES") - 1,
                    "p_tost": pg.tost(x, y, bound=0.3, paired=True)["pval"].iloc[0],
                    "detectable": d * (x - y).std(ddof=1),
                    "low": rows[0], "high": rows[1],
                })  # fmt: skip
        return out

    def bootstrapped(v: np.ndarray) -> np.ndarray:
        return pg.compute_bootci(v, func="mean", n_boot=n_boot, method="per", seed=1, decimals=10)

    ours, mine = timed(
        "depthprobe, with sign flips and Holm",
        lambda: stats.compare(some, ["metric"], a="m000", rope=0.3, n_boot=n_boot, method="percentile"),
    )
    theirs, rows = timed("pingouin", alone)
    other = pd.DataFrame(rows)
    print(f"  time ratio pingouin / depthprobe: {theirs / ours:.1f}")
    for column, within in (("d_z", 1e-9), ("cliff", 1e-9), ("detectable", 1e-6)):
        same(column, mine[column], other[column], within)
    same("p_tost (t there, sign flips here)", mine["p_tost"], other["p_tost"], 0.03)
    error = (other["high"] - other["low"]).to_numpy()[:, None] / 3.92 * monte_carlo(n_boot)
    same("interval ends in Monte Carlo errors", mine[["low", "high"]] / error, other[["low", "high"]] / error, 5)
    p = np.random.default_rng(0).uniform(0, 0.2, 500)
    for method, function in (("holm", stats.holm), ("fdr_bh", stats.benjamini_hochberg)):
        same(f"p after {method}", function(p), pg.multicomp(p, method=method)[1], 1e-12)


def beside_statsmodels(table: pd.DataFrame) -> None:
    """The restricted likelihood fit of the mixed model behind `family_contrast`."""
    smf = importlib.import_module("statsmodels.formula.api")
    few = table["model"].isin([f"m{i:03d}" for i in (0, 1, 16, 17, 32, 33, 48, 49)]) & (table["group"] < "g00020")
    some = table[few & (table["metric"] == "metric00")]
    draw = np.random.default_rng(3)  # so that no component is 0, where the two differ by design
    effects = {f"{f}{g}": draw.normal(0, 0.6) for f in ("cnn", "transformer") for g in some["group"].unique()}
    some = some.assign(value=some["value"] + (some["family"] + some["group"]).map(effects))
    cells = some.groupby(["family", "model", "group"], as_index=False)["value"].mean()
    cells = cells.assign(one=1, shared=cells["family"] + cells["group"])
    crossed = {c: f"0+C({c})" for c in ("model", "group", "shared")}
    print("\nBeside statsmodels' MixedLM (REML), 8 networks x 20 scenes")
    ours, mine = timed("family_contrast", lambda: stats.family_contrast(some).iloc[0])
    theirs, fitted = timed(
        "MixedLM", lambda: smf.mixedlm("value ~ family", cells, groups="one", vc_formula=crossed).fit()
    )
    print(f"  time ratio statsmodels / depthprobe: {theirs / ours:.1f}")
    error = (mine["high"] - mine["estimate"]) / student.ppf(0.975, mine["df"])
    name = "family[T.transformer]"
    same("the difference", mine["estimate"], fitted.fe_params[name], 1e-8)
    same("its standard error, relative", error / fitted.bse_fe[name], 1.0, 0.01)


def main() -> None:
    """Print times, ratios and largest gaps; stop at the first number that differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1,000 resamples of 52 models")
    parser.add_argument("--all-pairs", action="store_true", help="also compare every pair of models")
    args = parser.parse_args()
    n_boot, models = (1000, 52) if args.quick else (10_000, 100)
    table, per_cell = time_wide(n_boot, models, args.all_pairs)
    time_curves(n_boot)
    beside_scipy(table, n_boot, per_cell)
    if importlib.util.find_spec("pingouin") is None:
        print("\nLeft out: pingouin and statsmodels (pip install pingouin)")
        return
    beside_pingouin(table, n_boot)
    beside_statsmodels(table)


if __name__ == "__main__":
    main()
