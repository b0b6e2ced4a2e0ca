"""Do two families of networks differ? The architecture is the unit, its trainings are nested, scenes are crossed."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from depthprobe.checks import check_range
from depthprobe.stats.detection import noncentrality
from depthprobe.stats.multiplicity import adjust, check_family, per_metric
from depthprobe.stats.pairs import sides
from depthprobe.stats.resample import means
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

MOST_LABELS = 20_000  # up to here every way to hand out the labels is tried
_NUMBERS = [
    "estimate", "low", "high", "n", "groups", "units_a", "units_b", "runs", "mean_a", "mean_b", "df", "p", "p_holm",
    "p_bh", "p_tost", "rope", "p_labels", "superiority", "spread", "error_units", "error_groups", "detectable",
    "verdict", "undefined", "unit", "better",
]  # fmt: skip


def family_contrast(
    table: pd.DataFrame,
    by: Sequence[str] = (),
    *,
    between: str = "family",
    unit: str = "model",
    a: Any = None,
    b: Any = None,
    rope: float | Mapping[str, float] | None = None,
    family: Sequence[str] = (),
    level: float = 0.95,
    power: float = 0.8,
    seed: int = 0,
) -> pd.DataFrame:
    """Difference b - a of two families of networks, as a claim about architectures that were not measured as well.

    Convention: the mean of a family is over its architectures (`unit`), each counting once; an architecture is the mean
    over its trainings (tags), a training over its seeds. Architectures are a random sample of their family, scenes
    (groups) one of scenes, and every architecture sees the same scenes: only samples that all of them have count (`n`).
    The interval is that of the mixed model with random architectures (nested in family), scenes, family x scene and
    architecture x scene, fitted by moments, exact for balanced normal data up to Satterthwaite's `df`:

        error^2 = s_a^2 / K_a + s_b^2 / K_b   (error_units^2: architecture means scatter, with their trainings' noise)
                + error_groups^2              (the contrast scatters over scenes)
                - what both of them hold      (architecture x scene), and never less than either.

    Not a bootstrap over architectures: of 3 per family it knows 10 sets each, and its 95 % interval covers about 80 %.

    What it cannot show: with one architecture in a family nothing (NaN, undecided), however many seeds or images. With
    few, `df` is near K_a + K_b - 2 or below and the interval wide; it then leans on the architectures' being scattered
    normally, which no 3 of them can confirm. p_labels leans on nothing: the share of ways to hand the labels out to the
    architectures that give as large a difference; with 3 and 3 it cannot go below 0.1, with 4 and 4 below 0.03. Where
    the smaller family is also the one that scatters far more, 95 % cover 90 (2 against 6, spreads 1 : 5), and with 2
    against 2 of very unequal spread 92 (1 : 15). It says nothing about why: match the families by parameters,
    pretraining, data and decoder, or say so.

    With `between="model", unit="tag"` (or "seed", where trainings are told apart so) it is two architectures over their
    trainings, which `compare` takes as they are. A unit found on both sides is two units.

    Returns:
        The `by` columns, a, b, estimate, low, high, n, groups, units_a, units_b, runs (fewest trainings x seeds of a
        unit), mean_a, mean_b, df, p (t test of the model), p_holm, p_bh, p_tost, rope (as `compare`), p_labels,
        superiority (share of pairs of units in which b's is better), spread (standard deviation of unit means inside
        the families), error_units, error_groups, detectable, verdict (see `adjust`), undefined, unit, better.

    Raises:
        ValueError: as `compare`; if a unit holds several models, or no sample is shared by all units.
    """
    check_range("level", level, 0.5, 0.9999)
    check_range("power", power, 0.01, 0.999)
    by = check_by(table, by)
    if wrong := [c for c in check_by(table, [between, unit]) if c in by]:
        raise ValueError(f"Expected `by` without the columns compared, but got {wrong} in {by}.")
    family = check_family(family, by)
    found = []
    for pair in sides(table, between, a, b):
        units = _units(table[table[between].isin(pair)], by, between, unit)
        found += _rows(units, by, between, unit, pair, seed)
    out = pd.DataFrame(found)
    out["rope"] = per_metric("rope", rope, out, table)
    out = adjust(_inferred(out, level, power), family, level=level)
    return out.sort_values([*by, "a", "b"], kind="stable", ignore_index=True)[[*by, "a", "b", *_NUMBERS]]


def _units(table: pd.DataFrame, by: list[str], between: str, unit: str) -> Units:
    """Units of `by` x `between` x `unit` x training, every sample there for all of a cell of `by` or for none."""
    inside = [c for c in ("tag",) if c not in (between, unit, *by)]
    codes, _ = cell_codes(table, by)
    check_pooling(table, codes, by, free=(*FREE, between, unit, "model", "tag", "family"))
    units = per_sample(table, [*by, between, unit, *inside])
    units = complete(units, cell_codes(units.cells, by)[0])
    if not np.isfinite(units.value).any():
        raise ValueError(f"Expected samples that every `{unit}` shares, but got none; run all on the same samples.")
    return units


def _rows(
    units: Units, by: list[str], between: str, unit: str, pair: tuple[Any, Any], seed: int
) -> list[dict[str, Any]]:
    """One row per cell of `by`: what is estimated, and the facts."""
    item, keys = cell_codes(units.cells, by)
    member, names = cell_codes(units.cells, [*by, between, unit])
    of_b = names[between].to_numpy() == pair[1]
    rows = []
    for some, groups in blocks(units, item):
        total, count = group_sums(units, some, groups)
        known = np.isfinite(means(total, count))
        for one in np.unique(item[some]):
            at = np.flatnonzero((item[some] == one) & known)
            members, of = np.unique(member[some[at]], return_inverse=True)
            share = np.eye(len(members))[of] / np.bincount(of)  # trainings of a unit count alike
            size = count[:, at[0]] if len(at) else np.zeros(len(groups))
            facts = units.cells[item == one]
            runs = np.bincount(of, weights=units.cells["seeds"].to_numpy()[some[at]])
            rows.append({
                **keys.iloc[one].to_dict(), "a": pair[0], "b": pair[1],
                **contrast(total[:, at] @ share, size, of_b[members]),
                **orders(means(total, count)[at] @ share, of_b[members], facts["better"].iloc[0], seed),
                "runs": int(min(runs, default=0)),
                "undefined": int(facts["undefined"].sum()),
                "unit": facts["unit"].iloc[0], "better": facts["better"].iloc[0],
            })  # fmt: skip
    return rows


def contrast(total: np.ndarray, size: np.ndarray, of_b: np.ndarray) -> dict[str, float]:
    """The estimate and its error, from sums `total` (G, K) of K units over the same `size` (G,) samples of G groups.

    Convention: `of_b` (K,) says which units are of family b. Errors are NaN with one unit in a family or one group.
    """
    n, groups = float(size.sum()), int(np.count_nonzero(size))
    sides = [np.flatnonzero(~of_b), np.flatnonzero(of_b)]
    k = [len(side) for side in sides]
    out: dict[str, float] = {"n": int(n), "groups": groups, "units_a": k[0], "units_b": k[1]}
    out |= dict.fromkeys(
        ("mean_a", "mean_b", "estimate", "error", "error_units", "error_groups", "df", "spread"), np.nan
    )
    if not min(k) or not n:
        return out
    mean = total.sum(0) / n
    out["mean_a"], out["mean_b"] = (float(mean[side].mean()) for side in sides)
    out["estimate"] = out["mean_b"] - out["mean_a"]
    return out if min(*k, groups) < 2 else {**out, **_errors(total, mean, size, sides)}


def _errors(total: np.ndarray, mean: np.ndarray, size: np.ndarray, sides: list[np.ndarray]) -> dict[str, float]:
    groups = int(np.count_nonzero(size))
    residual = (total - size[:, None] * mean) / size.sum() * np.sqrt(groups / (groups - 1))
    units, crossed, inside, shared = [], [], 0.0, []
    for side in sides:
        k, own = len(side), residual[:, side].mean(1)
        units.append((float(mean[side].var(ddof=1)) / k, k - 1))
        crossed.append((float(((residual[:, side].T - own) ** 2).sum()) / k / (k - 1), (k - 1) * (groups - 1)))
        inside += float(((mean[side] - mean[side].mean()) ** 2).sum())
        shared.append(own)
    scenes = float(((shared[1] - shared[0]) ** 2).sum())
    of_units, both = sum(v for v, _ in units), sum(v for v, _ in crossed)
    square = max(of_units, scenes, of_units + scenes - both)
    parts = [*units, (scenes, groups - 1), *crossed]
    return {
        "error": square**0.5,
        "error_units": of_units**0.5,
        "error_groups": scenes**0.5,
        "df": square**2 / sum(v**2 / df for v, df in parts) if square > 0 else 1.0,
        "spread": (inside / (sum(map(len, sides)) - 2)) ** 0.5,
    }


def orders(mean: np.ndarray, of_b: np.ndarray, better: str, seed: int) -> dict[str, float]:
    """What the order of the unit means (K,) says alone: p_labels and superiority."""
    k, k_b = len(mean), int(of_b.sum())
    if not 0 < k_b < k:
        return {"p_labels": np.nan, "superiority": np.nan}
    if exact := comb(k, k_b) <= MOST_LABELS:
        chosen = np.array(list(combinations(range(k), k_b)))
    else:
        chosen = np.random.default_rng([seed, 3]).permuted(np.tile(np.arange(k), (MOST_LABELS, 1)), axis=1)[:, :k_b]
    gap = np.abs(mean[chosen].mean(1) - (mean.sum() - mean[chosen].sum(1)) / (k - k_b))
    seen = abs(mean[of_b].mean() - mean[~of_b].mean())
    hits = np.count_nonzero(gap >= seen - 1e-9 * np.abs(mean).max())
    larger = float(((np.sign(mean[of_b][:, None] - mean[~of_b]) + 1) / 2).mean())
    p = hits / len(chosen) if exact else (hits + 1) / (len(chosen) + 1)
    return {"p_labels": p, "superiority": 1 - larger if better == "lower" else larger}


def _inferred(out: pd.DataFrame, level: float, power: float) -> pd.DataFrame:
    """With interval, p values and detectable difference from estimate, error, df and rope."""
    out, error = out.copy(), out["error"].to_numpy(float)
    df = np.maximum(out["df"].fillna(1.0).to_numpy(float), 1.0)
    half = error * student.ppf((1 + level) / 2, df)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.nan_to_num(np.abs(out["estimate"]) / error, posinf=np.inf)
        margin = (out["rope"] - np.abs(out["estimate"])) / error
    known = np.isfinite(error)
    out["low"], out["high"] = out["estimate"] - half, out["estimate"] + half
    out["p"] = np.where(known, 2 * student.sf(t, df), np.nan)
    out["p_tost"] = np.where(known, student.sf(margin, df), np.nan)
    out["detectable"] = error * noncentrality(df, level, power)
    return out
