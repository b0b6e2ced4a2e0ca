"""The leading numbers of probes (`topics`): one value per sample, its estimates, and where a subject stands."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from depthprobe import stats
from depthprobe.report import estimates, text
from depthprobe.report.source import Source
from depthprobe.report.topic import ANY, ERROR, Lead
from depthprobe.report.topics import TOPICS

SAME = ["dataset", "sample", "group", "model", "tag", "family", "probe", "plan", "seed"]
ACCURACY = Lead(key="error", metric=ERROR, says="error on the full image", trait="accuracy", word="more accurate")
SPARSE = Lead(
    key="sparse", metric=f"{ERROR}@self", factor=("random",), area=True, trait="need for pixels", word="steadier",
    says="answer lost on random pixels, mean over budgets",
)  # fmt: skip


def traits() -> list[tuple[str, Lead]]:
    """(probe, lead) of everything that networks are compared by, in the order of the page."""
    listed = [(name, lead) for name, topic in TOPICS.items() for lead in topic.leads]
    return [(probe, lead) for probe, lead in [("error", ACCURACY), ("sparse", SPARSE), *listed] if lead.trait]


def error_metric(source: Source) -> str:
    """The metric that ERROR stands for."""
    known = source.probe("error")["metric"].unique()
    return estimates.first_metric(list(known)) if len(known) else estimates.PREFERRED[0]


def rows(source: Source, probe: str, lead: Lead) -> pd.DataFrame:
    """The rows of one lead: one value per sample, model, plan and seed; empty where it was not measured.

    Convention: NaN where one of the values averaged within the sample is.
    """
    here = _chosen(source.probe(probe), lead, error_metric(source))
    if here.empty:
        return here
    if lead.area:
        here = stats.area(here[here["level"].notna()])
    kept = here.groupby([*SAME, "unit", "better"], sort=True)["value"]
    made = kept.agg(lambda v: v.mean(skipna=False)).reset_index()
    return made.assign(layer="", factor="", level=np.nan, factor2="", level2=np.nan, metric=lead.key)[
        source.table.columns
    ]


def _chosen(here: pd.DataFrame, lead: Lead, error: str) -> pd.DataFrame:
    here = here[here["metric"] == lead.metric.format(error=error)]
    if lead.factor == ANY:
        here = here[here["factor"] != ""]
    else:
        known = set(here["factor"])
        factor = next((f for f in lead.factor if f in known), None)
        here = here[here["factor"] == factor]
    fills = [f for f in here["factor2"].unique() if f]
    plain = here["factor2"] == ""
    if not plain.any() and fills:  # the fill that comes first on the page; controls stand beside the plain rows
        plain = here["factor2"] == sorted(fills, key=lambda f: (f != estimates.FIRST_FILL, f))[0]
    here = here[plain]
    if lead.level is not None and here["level"].notna().any():
        levels = here["level"].dropna().unique()
        here = here[here["level"] == min(levels, key=lambda v: (abs(v - lead.level), v))]
    return here if lead.layers else here[here["layer"] == ""]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Estimated:
    """What is known of one lead: `means` per plan and model, `gaps` of the pairs compared (empty: none).

    `right`: the mean of what would be right, NaN where nothing says so.
    """

    lead: Lead
    metric: str
    means: pd.DataFrame
    gaps: pd.DataFrame
    rows: pd.DataFrame
    right: float

    @property
    def unit(self) -> str:
        """Of the values."""
        return str(self.means["unit"].iloc[0])

    @property
    def better(self) -> str:
        """Which way is better: "lower", "higher" or "none"."""
        return str(self.means["better"].iloc[0])


def estimate(source: Source, probe: str, leads: Sequence[Lead], options: estimates.Options) -> list[Estimated]:
    """The leads of one probe that were measured, for its first plan; all differences are one Holm family."""
    values = {lead.key: rows(source, probe, lead) for lead in leads}
    known = {key: v for key, v in values.items() if v["value"].notna().any()}
    if not known:
        return []
    table = pd.concat(known.values(), ignore_index=True)
    table = table[table["plan"] == sorted(table["plan"].unique())[0]]
    by = ["plan", "metric"]
    means = stats.summarise(table, [*by, "model", "family"], **options.both)
    facts = {lead.key for lead in leads if lead.exact}  # equal or not, without a test
    parts = [estimates.comparable(source, part) for key, part in table.groupby("metric") if key not in facts]
    same = pd.concat(parts) if parts else table.iloc[:0]
    gaps = stats.compare(same, by, b=source.subject, **options.both) if len(same) else pd.DataFrame()
    error = error_metric(source)
    return [
        Estimated(lead=lead, metric=lead.metric.format(error=error), means=_of(means, lead.key),
                  gaps=_of(gaps, lead.key), rows=_of(table, lead.key),
                  right=_right(source, probe, lead))
        for lead in leads if lead.key in set(table["metric"])
    ]  # fmt: skip


Led = dict[str, list[Estimated]]


def every(source: Source, options: estimates.Options) -> Led:
    """Probe -> its leads that were measured, of all probes that have any; estimated once for the whole page."""
    asked = {"error": (ACCURACY,), "sparse": (SPARSE,), **{name: topic.leads for name, topic in TOPICS.items()}}
    measured = set(source.table["probe"])
    return {name: estimate(source, name, leads, options) for name, leads in asked.items() if name in measured}


def _of(frame: pd.DataFrame, key: str) -> pd.DataFrame:
    return frame[frame["metric"] == key].reset_index(drop=True) if len(frame) else frame


def _right(source: Source, probe: str, lead: Lead) -> float:
    if not lead.right:
        return float("nan")
    found = rows(source, probe, dataclasses.replace(lead, metric=lead.right))
    return float(found["value"].mean()) if len(found) else float("nan")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """Where the subject stands among the references: how many it is better than (or above, where none is better).

    Convention: `percentile` counts by the means over the samples that both have, half for a tie; `low`, `high`: what
    the paired verdicts leave open, `undecided`: of how many references.
    """

    percentile: float
    low: float
    high: float
    above: int
    of: int
    undecided: int
    word: str

    def said(self) -> str:
        """`better than 3 of 4 references (1 undecided), percentile 75 [50, 100]`."""
        if not self.of:
            return "no reference was measured beside it"
        ends = f"[{self.low:.0f}, {self.high:.0f}]"
        named = text.counted(self.of, "reference")
        left = f" ({self.undecided} undecided)" if self.undecided else ""
        return f"{self.word} than {self.above} of {named}{left}, percentile {self.percentile:.0f} {ends}"


def standing(source: Source, found: Estimated) -> Standing:
    """Where the subject of an audit stands among the references by one lead."""
    word = found.lead.word or ("larger" if found.better == "none" else "better")
    beside = _beside(source, found)
    if not beside:
        return Standing(percentile=np.nan, low=np.nan, high=np.nan, above=0, of=0, undecided=0, word=word)
    sign = -1 if found.better == "lower" else 1
    above = sum(sign * mine > sign * other for mine, other in beside)
    ties = sum(mine == other for mine, other in beside)
    judged = found.gaps[found.gaps["a"].isin(source.references)]["verdict"] if len(found.gaps) else pd.Series(dtype=str)
    sure = int(judged.isin(["better", "higher"]).sum())
    below = int(judged.isin(["worse", "lower"]).sum())
    of = len(beside)
    if found.lead.exact:  # nothing is left open
        sure, below = above, of - int(above)
    return Standing(percentile=(above + ties / 2) * 100 / of, low=sure * 100 / of, high=(of - below) * 100 / of,
                    above=int(above), of=of, undecided=of - sure - below, word=word)  # fmt: skip


def _beside(source: Source, found: Estimated) -> list[tuple[float, float]]:
    """The means of the subject and of every reference, over the samples that both have where they were paired."""
    alone = found.means.set_index("model")["estimate"]
    whole = {name: (alone.get(source.subject, np.nan), alone[name]) for name in source.references if name in alone}
    paired = {r.a: (r.mean_b, r.mean_a) for r in found.gaps.itertuples() if r.a in whole} if len(found.gaps) else {}
    return [pair for pair in {**whole, **paired}.values() if np.isfinite(pair).all()]


def families(source: Source, found: Sequence[Estimated], options: estimates.Options) -> pd.DataFrame:
    """`stats.leaning` of every lead, one Holm family over all; empty where the references are not of two families."""
    kinds = source.models[source.models["model"].isin(source.references)]["family"]
    if not found or not {"cnn", "transformer"} <= set(kinds) or source.subject is None:
        return pd.DataFrame()
    chosen = [source.subject, *source.references]
    tables = [f.rows[f.rows["model"].isin(chosen)].assign(metric=f"{f.lead.key}") for f in found]
    mine = [t for t in tables if source.subject in set(t["model"])]
    if not mine:
        return pd.DataFrame()
    by: dict[str, Any] = {"by": ["probe", "metric"]}
    return stats.leaning(pd.concat(mine, ignore_index=True), source.subject, **by, **options.both)
