"""The frames behind the sections: every number on the page is a cell of one of these."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from depthprobe import stats
from depthprobe.report.source import Source

PREFERRED = ("abs_rel", "delta1", "rmse")
FIRST_FILL = "mean"
NEAR_BUDGET = 0.1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """How the page resamples."""

    n_boot: int = 10_000
    seed: int = 0

    @property
    def both(self) -> dict[str, Any]:
        """As keywords of an estimator."""
        return {"n_boot": self.n_boot, "seed": self.seed}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sparse:
    """Everything estimated about one sparse plan, for one metric.

    `curves`, `own`: `stats.Curve` against truth and against the network's own full-image prediction (None: not
    measured); `areas`: b - a of the area under the curve against truth (who has the smaller error), per selector x
    fill; `own_areas`: the same of `own` (who loses less); `ratios`: how many times the budget b needs for the same
    error; `control`: every selector minus `random`, per model x fill; `where`: share and enrichment. Each comparison is
    a Holm family of its own. `given_truth`: the selectors that were given the ground truth (None: not recorded).
    """

    plan: str
    metric: str
    better: str
    unit: str
    fills: list[str]
    selectors: list[str]
    budgets: list[float]
    curves: stats.Curve
    own: stats.Curve | None
    areas: pd.DataFrame
    own_areas: pd.DataFrame
    ratios: pd.DataFrame
    control: pd.DataFrame
    where: pd.DataFrame
    given_truth: frozenset[str] | None

    def saw_truth(self, selector: str) -> bool:
        """Whether the pixels of this order were chosen from the ground truth, as far as the run recorded it."""
        return selector.removesuffix(".reversed") in (self.given_truth or ())


def first_metric(metrics: Sequence[str]) -> str:
    """The metric that sentences are about: abs_rel where measured, else the next of PREFERRED, else the first."""
    known = sorted(set(metrics))
    return next((m for m in PREFERRED if m in known), known[0])


def networks(source: Source) -> list[str]:
    """The models that findings are about: all but the oracles, unless there is nothing else."""
    models = source.models
    real = models[(models["family"] != "oracle") | (models["model"] == source.subject)]["model"]
    return real.drop_duplicates().tolist() or models["model"].drop_duplicates().tolist()


def about(source: Source) -> list[str]:
    """The models that a sentence about single networks names: the subject of an audit, else all of `networks`."""
    return [source.subject] if source.subject else networks(source)


def comparable(source: Source, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the networks; none where fewer than two have any, or the subject of an audit has none."""
    real = rows[rows["model"].isin(networks(source))]
    known = set(real.dropna(subset=["value"])["model"])
    return real if len(known) > 1 and (source.subject is None or source.subject in known) else real.iloc[:0]


def accuracy(source: Source, options: Options) -> pd.DataFrame:
    """Mean error of every model on the full image, per plan and metric."""
    return stats.summarise(source.probe("error"), ["plan", "metric", "model", "family"], **options.both)


def accuracy_difference(source: Source, options: Options) -> pd.DataFrame:
    """Paired differences of the pairs of networks; Holm over the pairs within each plan and metric."""
    table = source.probe("error")
    table = comparable(source, table[table["better"] != "none"])
    if table.empty:
        return pd.DataFrame()
    by = ["plan", "metric"]
    return stats.compare(table, by, between="model", family=by, b=source.subject, **options.both)


def sparse(source: Source, plan: str, options: Options) -> Sparse | None:
    """Estimate everything about one sparse plan; None where it has no curve (no error metric at several budgets)."""
    table = source.probe("sparse")
    table = table[(table["plan"] == plan) & table["level"].notna()]
    judged = table[table["better"] != "none"]
    if judged.empty or judged["level"].nunique() < 2:
        return None
    metric = first_metric([m for m in judged["metric"] if "@" not in m] or list(judged["metric"]))
    rows = judged[judged["metric"] == metric]
    own = judged[judged["metric"] == f"{metric}@self"]
    by = ["metric", "model", "family", "factor", "factor2"]
    given = source.side.get("selectors_given_truth")
    return Sparse(
        plan=plan, metric=metric, better=rows["better"].iloc[0], unit=rows["unit"].iloc[0],
        fills=_first(rows["factor2"].unique(), FIRST_FILL), selectors=_first(rows["factor"].unique(), "random"),
        budgets=sorted(rows["level"].unique()),
        curves=stats.curve(rows, by, **options.both),
        own=stats.curve(own, by, **options.both) if len(own) else None,
        areas=_areas(source, rows, options), own_areas=_areas(source, own, options),
        ratios=_ratios(source, rows, options), control=_control(source, rows, options), where=_where(table, options),
        given_truth=None if given is None else frozenset(given),
    )  # fmt: skip


def _first(values: Sequence[str] | np.ndarray, name: str) -> list[str]:
    return sorted(values, key=lambda v: (v.partition(".")[0] != name, v))


def _areas(source: Source, rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    real = comparable(source, rows)
    if real.empty:
        return pd.DataFrame()
    by = ["metric", "factor", "factor2"]
    return stats.compare(stats.area(real), by, between="model", b=source.subject, **options.both)


def _ratios(source: Source, rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    real = comparable(source, rows)
    if real.empty:
        return pd.DataFrame()
    by = ["metric", "factor", "factor2"]
    found = stats.curve_difference(real, by, between="model", b=source.subject, **options.both).summary
    return found[found["quantity"].isin(["ratio50", "ratio90"])].reset_index(drop=True)


def _control(source: Source, rows: pd.DataFrame, options: Options) -> pd.DataFrame:
    rows = rows[rows["model"] == source.subject] if source.subject in set(rows["model"]) else rows
    if "random" not in set(rows["factor"]) or rows["factor"].nunique() < 2:
        return pd.DataFrame()
    area = stats.area(rows)
    return stats.compare(area, ["metric", "model", "factor2"], between="factor", a="random", **options.both)


def _where(table: pd.DataFrame, options: Options) -> pd.DataFrame:
    base = table["metric"].str.partition("@")[0]
    rows = table[base.isin(["share", "enrichment"])]
    if rows.empty:
        return pd.DataFrame()
    found = stats.summarise(rows, ["metric", "factor", "level", "model"], **options.both)
    found["kind"] = found["metric"].str.partition("@")[0]
    found["on"] = found["metric"].str.partition("@")[2]
    numbers = ["estimate", "low", "high"]
    spread = found.groupby(["metric", "factor", "level"])[numbers].transform(lambda v: v.round(12).nunique())
    same = (spread <= 1).all(axis=1)
    found.loc[same, "model"] = "all"
    return found.drop_duplicates(["metric", "factor", "level", "model"]).reset_index(drop=True)


def nearest_budget(budgets: Sequence[float], wanted: float = NEAR_BUDGET) -> float:
    """The measured budget that is nearest to `wanted` on the log scale, the full image aside."""
    partial = [b for b in budgets if b < 1] or list(budgets)
    return min(partial, key=lambda b: (abs(np.log(b / wanted)), b))
