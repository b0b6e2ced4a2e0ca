"""Sentences with numbers and intervals, computed from the frames of `estimates`."""

import numpy as np
import pandas as pd

from depthprobe.report import text
from depthprobe.report.blocks import Finding
from depthprobe.report.estimates import Sparse, nearest_budget


def accuracy(
    means: pd.DataFrame, gaps: pd.DataFrame, metric: str, plan: str, short: dict[str, str], protocol: str = ""
) -> Finding:
    """How accurate on the full image, and whether the difference is decided; `protocol` where there are several."""
    here = means[(means["plan"] == plan) & (means["metric"] == metric)]
    order = here.sort_values("estimate", ascending=here["better"].iloc[0] != "higher")
    each = text.listed(
        f"{short[r.model]} {text.interval(r.estimate, r.low, r.high, r.unit)}" for r in order.itertuples()
    )
    lead = f"How accurate{f' under {protocol}' if protocol else ''}: {metric} {each}."
    if gaps.empty:
        return Finding(lead=lead, text="There is no second network to compare with.", section="accuracy")
    pair = gaps[(gaps["plan"] == plan) & (gaps["metric"] == metric)]
    said = " ".join(difference(r, metric, short) for r in pair.itertuples())
    return Finding(lead=lead, text=said, section="accuracy", undecided=bool((pair["verdict"] == "undecided").all()))


def difference(row: pd.Series, what: str, short: dict[str, str]) -> str:
    """One paired difference as a sentence; undecided is said so."""
    size = f"{text.interval(row.estimate, row.low, row.high, row.unit)} in {what}, n = {row.n}"
    if row.verdict == "undecided":
        return f"{short[row.b]} against {short[row.a]} is undecided: paired difference {size}."
    return f"{short[row.b]} is {row.verdict} than {short[row.a]}: paired difference {size}."


def best_selectors(found: Sparse) -> pd.DataFrame:
    """The selector with the best area of every model and fill, with its b50 and b90 (one row each)."""
    summary = found.curves.summary
    area = summary[summary["quantity"] == "auc"].dropna(subset=["estimate"])
    area = area.sort_values(["estimate", "factor"], ascending=[found.better != "higher", True], kind="stable")
    best = area.groupby(["model", "factor2"], sort=True).head(1)[["model", "factor2", "factor"]]
    return best.merge(wide(summary), on=["model", "factor2", "factor"]).sort_values(["model", "factor2"])


def wide(summary: pd.DataFrame) -> pd.DataFrame:
    """One row per curve with auc, b50, b90 and their `_low`, `_high`, `_not_reached` as columns."""
    keys = ["model", "factor", "factor2"]
    parts = []
    for name, part in summary.groupby("quantity", sort=True):
        renamed = {"estimate": str(name), **{c: f"{name}_{c}" for c in ("low", "high", "not_reached")}}
        parts.append(part.set_index(keys)[list(renamed)].rename(columns=renamed))
    facts = summary[summary["quantity"] == "auc"].set_index(keys)[["n", "groups", "undefined"]]
    return pd.concat([*parts, facts], axis=1).reset_index()


def few_pixels(found: Sparse, models: list[str], short: dict[str, str]) -> Finding:
    """From how few pixels, under the first fill."""
    best = best_selectors(found)
    fill = found.fills[0]
    said = []
    for row in best[(best["factor2"] == fill) & best["model"].isin(models)].itertuples():
        if not np.isfinite(row.b50):
            said.append(f"{short[row.model]} gains nothing, so no budget is stated ({text.selector_name(row.factor)})")
            continue
        half = budget(row.b50, row.b50_low, row.b50_high, found.budgets[0])
        most = budget(row.b90, row.b90_low, row.b90_high, found.budgets[0])
        said.append(
            f"{short[row.model]} gets half of it from {half} and 90 % from {most} ({text.selector_name(row.factor)})"
        )
    lead = "From how few pixels:"
    first = text.percent(found.budgets[0])
    body = f"of what the full image gains over {first} of the pixels (fill {fill or 'none'}), {'; '.join(said)}."
    return Finding(lead=lead, text=body, section="sparse")


def budget(estimate: float, low: float, high: float, smallest: float) -> str:
    """A budget with interval; "not reached" and "at most the smallest measured" are said in words."""
    if not np.isfinite(estimate):
        return "no measured budget"
    top = text.percent(high) if np.isfinite(high) else "not reached" if np.isinf(high) else "no interval"
    at = "at most " if estimate <= smallest else ""
    return f"{at}{text.percent(estimate)} [{text.percent(low)}, {top}]"


def consistent(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Verdicts that hold under every fill: one row per cell of `by`, verdict "undecided" where fills disagree."""
    rows = []
    for key, part in frame.groupby(by, sort=True):
        verdicts = set(part["verdict"])
        verdict = verdicts.pop() if len(verdicts) == 1 else "undecided"
        rows.append({**dict(zip(by, key, strict=True)), "verdict": verdict, "fills": part["factor2"].nunique()})
    return pd.DataFrame(rows)


def which_pixels(found: Sparse, models: list[str], short: dict[str, str]) -> Finding | None:
    """Which selectors beat or miss the random control under every fill."""
    if found.control.empty:
        return None
    count = len(found.fills)
    under = (
        f"under the one fill {found.fills[0]}"
        if count == 1
        else f"under {'both' if count == 2 else f'all {count}'} fills"
    )
    agreed = consistent(found.control[found.control["model"].isin(models)], ["model", "b"])
    said = [f"{short[model]}: {_judged(part)}" for model, part in agreed.groupby("model", sort=True)]
    undecided = bool((agreed["verdict"] == "undecided").all())
    return Finding(lead="Which pixels:", text=f"{under}, {'; '.join(said)}.", section="sparse", undecided=undecided)


def _judged(part: pd.DataFrame) -> str:
    better, worse, left = (
        [text.selector_name(s) for s in part[part["verdict"] == v]["b"]] for v in ("better", "worse", "undecided")
    )
    said = [
        f"{text.listed(better) if better else 'no selector'} {'beat' if len(better) > 1 else 'beats'} random pixels"
    ]
    said += [f"{text.listed(worse)} {'do' if len(worse) > 1 else 'does'} worse"] if worse else []
    said += [f"{text.listed(left)} {'are' if len(left) > 1 else 'is'} undecided"] if left else []
    return text.listed(said)


def who_needs_more(found: Sparse, short: dict[str, str]) -> list[Finding]:
    """Paired areas between networks over selectors and fills, and the budget ratio on random pixels."""
    if found.areas.empty:
        return []
    out = []
    for (a, b), part in found.areas.groupby(["a", "b"], sort=True):
        agreed = consistent(part.assign(one=""), ["factor", "one"])
        count = agreed["verdict"].value_counts()
        total, lead = len(agreed), f"{short[b]} against {short[a]} on sparse pixels:"
        better, worse, left = (count.get(verdict, 0) for verdict in ("better", "worse", "undecided"))
        said = (
            f"over {text.counted(total, 'selector')} and {text.counted(len(found.fills), 'fill')}, {short[b]} is "
            f"better in {better}, worse in {worse}, undecided in {left} (area under the {found.metric} curve, "
            "every fill agreeing)."
        )
        ratio = _ratio(found, str(a), str(b), short)
        none = left == total
        out.append(Finding(lead=lead, text=f"{said} {ratio}".strip(), section="sparse", undecided=bool(none)))
    return out


def _ratio(found: Sparse, a: str, b: str, short: dict[str, str]) -> str:
    if found.ratios.empty:
        return ""
    control = found.selectors[0]
    mine = found.ratios[(found.ratios["a"] == a) & (found.ratios["b"] == b) & (found.ratios["factor"] == control)]
    mine = mine[(mine["quantity"] == "ratio50") & np.isfinite(mine["estimate"])]
    if mine.empty:
        return (
            f"No error is passed by both curves of {text.selector_name(control)} pixels, so no budget ratio is stated."
        )
    each = text.listed(f"{times(r.estimate, r.low, r.high)} (fill {r.factor2 or 'none'})" for r in mine.itertuples())
    return f"For the same error on {text.selector_name(control)} pixels it needs {each} the budget."


def times(estimate: float, low: float, high: float) -> str:
    """A ratio: `1.8 times [1.5, 2.2]`."""
    top = text.number(high) if np.isfinite(high) else "unbounded"
    return f"{text.number(estimate)} times [{text.number(low)}, {top}]"


def where_they_lie(found: Sparse) -> Finding | None:
    """Which forward selector is most enriched on depth edges, at the budget nearest 0.1."""
    if found.where.empty:
        return None
    at = nearest_budget(sorted(found.where["level"].dropna().unique()))
    here = found.where[(found.where["kind"] == "enrichment") & (found.where["level"] == at)]
    here = here[~here["factor"].str.endswith(".reversed") & (here["factor"] != "random")].dropna(subset=["estimate"])
    if here.empty:
        return None
    said, none = [], []
    for on, part in here.groupby("on", sort=True):
        top = part.sort_values(["estimate", "factor"], ascending=[False, True]).iloc[0]
        often, place = times(top["estimate"], top["low"], top["high"]), text.place_name(str(on))
        if top["low"] > 1:
            said.append(f"on {place}, {text.selector_name(top['factor'])} pixels lie {often} as often")
        else:
            none.append(place)
    body = (
        f"at {text.percent(at)} of the pixels and relative to random ones, {'; '.join(said) or 'nothing is enriched'}"
    )
    rest = f". On {text.listed(none)} no selector is enriched" if said and none else ""
    return Finding(lead="Where the kept pixels lie:", text=f"{body}{rest}.", section="sparse")
