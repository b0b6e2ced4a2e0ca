"""Sentences with numbers and intervals, computed from the frames of `estimates`."""

from typing import Any

import numpy as np
import pandas as pd

from depthprobe.report import text
from depthprobe.report.blocks import Finding
from depthprobe.report.estimates import Sparse, nearest_budget


def sentence(found: Finding, title: str) -> str:
    """A finding as the sentence of its section, without repeating the title above it."""
    if found.lead != f"{title}:":
        return f"{found.lead} {found.text}"
    return f"{found.text[:1].upper()}{found.text[1:]}"


def accuracy(
    means: pd.DataFrame, gaps: pd.DataFrame, metric: str, plan: str, short: dict[str, str], protocol: str = ""
) -> Finding:
    """How accurate on the full image, and whether the difference is decided; `protocol` where there are several."""
    here = means[(means["plan"] == plan) & (means["metric"] == metric)]
    better = here["better"].iloc[0]
    order = here.sort_values("estimate", ascending=better != "higher")
    each = text.listed(
        f"{short[r.model]} {text.interval(r.estimate, r.low, r.high, r.unit)}" for r in order.itertuples()
    )
    lead = f"How accurate{f' under {protocol}' if protocol else ''}: {metric} {each} ({better} is better)."
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


def named(found: Sparse, selector: str) -> str:
    """A selector in words; one that was given the answer is labelled."""
    return text.selector_name(selector) + (" (chosen from the ground truth)" if found.saw_truth(selector) else "")


def best_selectors(found: Sparse) -> pd.DataFrame:
    """Of the selectors not given the truth, the one with the best area of every model and fill (one row each).

    Convention: columns as `wide`, and `of`: among how many it was picked.
    """
    summary = found.curves.summary
    area = summary[(summary["quantity"] == "auc") & ~summary["factor"].map(found.saw_truth).astype(bool)]
    area = area.dropna(subset=["estimate"])
    area = area.sort_values(["estimate", "factor"], ascending=[found.better != "higher", True], kind="stable")
    groups = area.groupby(["model", "factor2"], sort=True)
    best = groups.head(1)[["model", "factor2", "factor"]]
    best = best.merge(groups.size().rename("of").reset_index(), on=["model", "factor2"])
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
    """From how few pixels, under the first fill: the best selector that saw no truth, and random pixels beside it."""
    best, every = best_selectors(found), wide(found.curves.summary)
    fill, said, picked = found.fills[0], [], False
    for row in best[(best["factor2"] == fill) & best["model"].isin(models)].itertuples():
        control = every[(every["model"] == row.model) & (every["factor2"] == fill) & (every["factor"] == "random")]
        chosen = row.of > 1
        which = f"{text.selector_name(row.factor)}{f', the best of {row.of} selectors' if chosen else ''}"
        parts = [f"{short[row.model]} {_gained(row, which, found.budgets[0])}"]
        if row.factor != "random":
            parts += [_gained(r, "random, the control", found.budgets[0]) for r in control.itertuples()]
        picked |= chosen
        said.append(" and ".join(parts))
    first = text.percent(found.budgets[0])
    body = f"of what the full image gains over {first} of the pixels (fill {fill or 'none'}), {'; '.join(said)}."
    if not said:
        body = "no selector was measured that was not given the ground truth."
    if picked:
        body += " The best was picked after looking, and its interval does not account for that choice."
    if found.given_truth is None:
        body += " The run does not record which selectors were given the ground truth."
    return Finding(lead="From how few pixels:", text=body, section="sparse")


def _gained(row: Any, which: str, smallest: float) -> str:
    """`gets half of it from 5 % [...] and 90 % from 20 % [...] (random)`."""
    if not np.isfinite(row.b50):
        return f"gains nothing, so no budget is stated ({which})"
    half = budget(row.b50, row.b50_low, row.b50_high, smallest) + _missed(row.b50_not_reached)
    most = budget(row.b90, row.b90_low, row.b90_high, smallest) + _missed(row.b90_not_reached)
    return f"gets half of it from {half} and 90 % from {most} ({which})"


def _missed(share: float, what: str = "not reached") -> str:
    return f" ({what} in {text.percent(share)} of resamples)" if share > 0 else ""


def budget(estimate: float, low: float, high: float, smallest: float) -> str:
    """A budget with interval; "not reached", "no interval" and "at most the smallest measured" are said in words."""
    if not np.isfinite(estimate):
        return "no measured budget"
    at = "at most " if estimate <= smallest else ""
    if np.isnan(low) or np.isnan(high):
        return f"{at}{text.percent(estimate)} [no interval]"
    ends = ("not reached" if np.isinf(end) else text.percent(end) for end in (low, high))
    return f"{at}{text.percent(estimate)} [{', '.join(ends)}]"


def consistent(frame: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Verdicts that hold under every fill: one row per cell of `by`, verdict "undecided" where fills disagree."""
    rows = []
    for key, part in frame.groupby(by, sort=True):
        verdicts = set(part["verdict"])
        verdict = verdicts.pop() if len(verdicts) == 1 else "undecided"
        rows.append({**dict(zip(by, key, strict=True)), "verdict": verdict, "fills": part["factor2"].nunique()})
    return pd.DataFrame(rows, columns=[*by, "verdict", "fills"])


def which_pixels(found: Sparse, models: list[str], short: dict[str, str]) -> Finding | None:
    """Which selectors beat or miss the random control under every fill."""
    if found.control.empty:
        return None
    agreed = consistent(found.control[found.control["model"].isin(models)], ["model", "b"])
    if agreed.empty:
        return None
    said = [f"{short[model]}: {_judged(part, found)}" for model, part in agreed.groupby("model", sort=True)]
    undecided = bool((agreed["verdict"] == "undecided").all())
    body = f"{under_fills(found)}, {'; '.join(said)}."
    return Finding(lead="Which pixels:", text=body, section="sparse", undecided=undecided)


def under_fills(found: Sparse) -> str:
    """`under both fills`."""
    count = len(found.fills)
    return (
        f"under the one fill {found.fills[0]}"
        if count == 1
        else f"under {'both' if count == 2 else f'all {count}'} fills"
    )


def _judged(part: pd.DataFrame, found: Sparse) -> str:
    better, worse, left = (
        [named(found, s) for s in part[part["verdict"] == v]["b"]] for v in ("better", "worse", "undecided")
    )
    said = [
        f"{text.listed(better) if better else 'no selector'} {'beat' if len(better) > 1 else 'beats'} random pixels"
    ]
    said += [f"{text.listed(worse)} {'do' if len(worse) > 1 else 'does'} worse"] if worse else []
    said += [f"undecided {'are' if len(left) > 1 else 'is'} {text.listed(left)}"] if left else []
    return ", ".join(said)


def who_needs_more(found: Sparse, short: dict[str, str]) -> list[Finding]:
    """Per pair of networks: who has the smaller error, who loses less, and the budget ratio on random pixels.

    Convention: the first compares areas against truth, so that a network that is better on the full image wins it
    without losing less; the second compares the change against each network's own full-image answer, and "loses less"
    rests on it alone. Both count a selector only where every fill agrees.
    """
    if found.areas.empty:
        return []
    out = []
    for a, b in sorted(set(zip(found.areas["a"], found.areas["b"], strict=True))):
        error, loss = verdicts(found.areas, a, b), verdicts(found.own_areas, a, b)
        side = "smaller error" if found.better == "lower" else f"higher {found.metric}"
        other = "larger" if found.better == "lower" else "lower"
        said = (
            f"over {text.counted(len(error), 'selector')} and {text.counted(len(found.fills), 'fill')}, {short[b]} has "
            f"the {side} than {short[a]} in {_count(error, 'better')}, the {other} in {_count(error, 'worse')}, "
            f"undecided in {_count(error, 'undecided')} (area under the {found.metric} curve against truth, every fill "
            f"agreeing). {_loss(found, loss, short[b])} {_ratio(found, a, b, short)}"
        )
        none = _count(error, "undecided") + _count(loss, "undecided") == len(error) + len(loss)
        lead = f"{short[b]} against {short[a]} on sparse pixels:"
        out.append(Finding(lead=lead, text=said.strip(), section="sparse", undecided=none))
    return out


def verdicts(areas: pd.DataFrame, a: str, b: str) -> dict[str, str]:
    """Selector -> the verdict about b against a that every fill agrees on; empty where nothing was compared."""
    if areas.empty:
        return {}
    agreed = consistent(areas[(areas["a"] == a) & (areas["b"] == b)].assign(one=""), ["factor", "one"])
    return dict(zip(agreed["factor"], agreed["verdict"], strict=True))


def _count(agreed: dict[str, str], verdict: str) -> int:
    return sum(v == verdict for v in agreed.values())


def _loss(found: Sparse, agreed: dict[str, str], b: str) -> str:
    """Who loses less against its own full-image answer, selectors by name."""
    if not agreed:
        return f"{found.metric}@self was not measured, so who loses less is not known."
    less, more = ([s for s, v in agreed.items() if v == verdict] for verdict in ("better", "worse"))
    which = [f" ({text.listed(named(found, s) for s in side)})" if side else "" for side in (less, more)]
    return (
        f"Against its own full-image answer {b} loses less in {len(less)}{which[0]}, more in {len(more)}{which[1]}, "
        f"undecided in {_count(agreed, 'undecided')} (area under the {found.metric}@self curve, every fill agreeing)."
    )


def _ratio(found: Sparse, a: str, b: str, short: dict[str, str]) -> str:
    if found.ratios.empty:
        return ""
    control = found.selectors[0]
    mine = found.ratios[(found.ratios["a"] == a) & (found.ratios["b"] == b) & (found.ratios["factor"] == control)]
    mine = mine[(mine["quantity"] == "ratio50") & np.isfinite(mine["estimate"])]
    if mine.empty:
        pixels = text.selector_name(control)
        return f"Both have no gain from the fewest to all {pixels} pixels in common, so no budget ratio is stated."
    each = text.listed(
        f"{times(r.estimate, r.low, r.high)} (fill {r.factor2 or 'none'}){_missed(r.not_reached, 'no common error')}"
        for r in mine.itertuples()
    )
    held = len(mine) == len(found.fills) and ((mine["low"] > 1).all() or (mine["high"] < 1).all())
    end = "" if held else " Which of the two needs more is undecided."
    lead = f"For the same error on {text.selector_name(control)} pixels the budget of {short[b]} is"
    return f"{lead} {each} that of {short[a]}.{end}"


def times(estimate: float, low: float, high: float) -> str:
    """A ratio: `1.8 times [1.5, 2.2]`; an infinite bound is unbounded, a missing one is no interval."""
    if np.isnan(low) or np.isnan(high):
        return f"{text.number(estimate)} times [no interval]"
    shown = ("unbounded" if np.isinf(end) else text.number(end) for end in (low, high))
    return f"{text.number(estimate)} times [{', '.join(shown)}]"


def where_they_lie(found: Sparse) -> Finding | None:
    """Per kind of place, the selector most enriched there, at the budget nearest 0.1.

    Convention: reversed orders, the random control and selectors that were given the ground truth are left out; a place
    where the interval of the most enriched holds 1 counts as not enriched.
    """
    if found.where.empty:
        return None
    at = nearest_budget(sorted(found.where["level"].dropna().unique()))
    here = found.where[(found.where["kind"] == "enrichment") & (found.where["level"] == at)]
    plain = ~here["factor"].str.endswith(".reversed") & (here["factor"] != "random")
    here = here[plain & ~here["factor"].map(found.saw_truth).astype(bool)].dropna(subset=["estimate"])
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
