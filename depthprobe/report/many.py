"""The same findings where there are many networks: who is first and last, and how many pairs are decided.

A sentence for every pair of 16 networks is 120 sentences; the tables hold them all.
"""

from collections.abc import Sequence

import pandas as pd

from depthprobe.report import findings, text
from depthprobe.report.blocks import Finding
from depthprobe.report.estimates import Sparse

MOST = 4  # networks that a sentence names one by one


def accuracy(
    means: pd.DataFrame, pairs: pd.DataFrame, metric: str, short: dict[str, str], protocol: str = ""
) -> Finding:
    """From the best to the worst mean, and what of it is decided."""
    lead = f"How accurate{f' under {protocol}' if protocol else ''}:"
    body, decided = ranged(means, pairs, metric, short)
    return Finding(lead=lead, text=body, section="accuracy", undecided=not decided)


def ranged(means: pd.DataFrame, pairs: pd.DataFrame, says: str, short: dict[str, str]) -> tuple[str, int]:
    """One number of many networks in words, and how many of its paired differences are decided."""
    known, better = means.dropna(subset=["estimate"]), str(means["better"].iloc[0])
    order = known.sort_values("estimate", ascending=better != "higher")
    ends = [f"{short[r.model]} {text.interval(r.estimate, r.low, r.high, r.unit)}"
            for r in order.iloc[[0, -1]].itertuples()]  # fmt: skip
    decided = int((pairs["verdict"] != "undecided").sum())
    way = "" if better == "none" else f" ({better} is better)"
    said = f"{says} of {len(order)} networks{way} from {ends[0]} to {ends[1]}. "
    if better != "none":
        best = order["model"].iloc[0]
        said += f"{short[best]} is clearly better than {wins(pairs, best)} of the {len(order) - 1} others; "
    return f"{said}{decided} of {text.counted(len(pairs), 'paired difference')} are decided.", decided


def wins(pairs: pd.DataFrame, model: str) -> int:
    """How many others a network is clearly better than."""
    as_second = (pairs["b"] == model) & (pairs["verdict"] == "better")
    as_first = (pairs["a"] == model) & (pairs["verdict"] == "worse")
    return int((as_second | as_first).sum())


def few_pixels(found: Sparse, models: Sequence[str], short: dict[str, str]) -> Finding:
    """The budgets on random pixels of the networks that need least and most."""
    every = findings.wide(found.curves.summary)
    fill, control = found.fills[0], found.selectors[0]
    here = every[(every["factor2"] == fill) & (every["factor"] == control) & every["model"].isin(models)]
    here = here.dropna(subset=["b90"]).sort_values(["b90", "model"])
    first = text.percent(found.budgets[0])
    of = f"90 % of what the full image gains over {first} of the pixels (fill {fill or 'none'})"
    if here.empty:
        return Finding(lead="From how few pixels:", text=f"no network reaches {of}.", section="sparse")
    ends = [f"{findings.budget(r.b90, r.b90_low, r.b90_high, found.budgets[0])} ({short[r.model]})"
            for r in here.iloc[[0, -1]].itertuples()]  # fmt: skip
    body = (
        f"{len(here)} of {len(models)} networks get {of} from {ends[0]} to {ends[1]} of "
        f"{text.selector_name(control)} pixels; the table of budgets has every order."
    )
    return Finding(lead="From how few pixels:", text=body, section="sparse")


def which_pixels(found: Sparse, models: Sequence[str]) -> Finding:
    """For how many networks an order of pixels beats or misses random ones under every fill."""
    agreed = findings.consistent(found.control[found.control["model"].isin(models)], ["model", "b"])
    count = agreed.groupby("b")["verdict"].agg([lambda v, w=w: int((v == w).sum()) for w in ("better", "worse")])
    count.columns = ["better", "worse"]
    said = []
    for word, verb in (("better", "are better than"), ("worse", "are worse than")):
        some = count[count[word] > 0].sort_values(word, ascending=False)
        each = text.listed(f"{findings.named(found, str(s))} for {n}" for s, n in some[word].items())
        said.append(f"{each} {verb} random pixels" if len(some) else f"none {verb} random pixels")
    undecided = not count.to_numpy().any()
    body = f"{findings.under_fills(found)}, of {len(models)} networks: {'; '.join(said)}; the rest is undecided."
    return Finding(lead="Which pixels:", text=body, section="sparse", undecided=undecided)


def who_needs_more(found: Sparse) -> Finding:
    """In how many pairs some order of pixels tells the two apart under every fill."""
    pairs = sorted(set(zip(found.areas["a"], found.areas["b"], strict=True)))
    told = [
        sum(any(v != "undecided" for v in findings.verdicts(areas, a, b).values()) for a, b in pairs)
        for areas in (found.areas, found.own_areas)
    ]
    body = (
        f"of {text.counted(len(pairs), 'pair')} {told[0]} differ in the area under the {found.metric} curve against "
        f"truth on some order of pixels, every fill agreeing, and {told[1]} in what they lose against their own "
        f"full-image answer ({found.metric}@self); each pair stands in words below."
    )
    return Finding(lead="Networks compared on sparse pixels:", text=body, section="sparse", undecided=not any(told))
