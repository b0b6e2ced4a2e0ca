"""Leading numbers in words: of the subject and where it stands, or of all networks and who differs."""

from collections.abc import Sequence

import pandas as pd

from depthprobe.report import estimates, many, text, traits
from depthprobe.report.blocks import Finding
from depthprobe.report.source import Source


def finding(source: Source, title: str, section: str, led: Sequence[traits.Estimated]) -> Finding:
    """The sentence of a section."""
    if source.subject:
        said = "; ".join(stands(source, one) for one in led)
        return Finding(lead=f"{title}:", text=f"{said}.", section=section)
    first = led[0]
    real = first.means[first.means["model"].isin(estimates.networks(source))]
    if len(real) > many.MOST and len(first.gaps):
        said, decided = many.ranged(real, first.gaps, first.lead.says, source.short)
        return Finding(lead=f"{title}:", text=said, section=section, undecided=not decided)
    each = text.listed(
        f"{source.short[r.model]} {text.interval(r.estimate, r.low, r.high, r.unit)}" for r in first.means.itertuples()
    )
    said = f"{first.lead.says} is {each}."
    if first.gaps.empty:
        return Finding(lead=f"{title}:", text=said, section=section)
    clear = first.gaps[first.gaps["verdict"] != "undecided"]
    end = f"{said} {_clear(first.gaps, clear, source.short)}"
    return Finding(lead=f"{title}:", text=end, section=section, undecided=clear.empty)


def _clear(gaps: pd.DataFrame, clear: pd.DataFrame, short: dict[str, str]) -> str:
    if clear.empty:
        return "The difference is undecided." if len(gaps) == 1 else f"All {len(gaps)} differences are undecided."
    names = text.listed(f"{short[r.b]} is {r.verdict} than {short[r.a]}" for r in clear.itertuples())
    return f"Clear is that {names}" + (f" (of {len(gaps)} pairs)." if len(gaps) > 1 else ".")


def number(source: Source, one: traits.Estimated) -> str:
    """The subject's number with its interval; "undefined" in words."""
    mine = one.means[one.means["model"] == source.subject]
    if mine.empty or not pd.notna(mine["estimate"].iloc[0]):
        return "undefined for it"
    row = mine.iloc[0]
    right = f" (right would be {text.number(one.right)})" if one.right == one.right else ""
    if one.lead.exact:
        return f"{text.number(row['estimate'])}{'' if row['unit'] == '1' else ' ' + row['unit']}"
    return f"{text.interval(row['estimate'], row['low'], row['high'], row['unit'])}{right}"


def stands(source: Source, one: traits.Estimated) -> str:
    """`on surfaces its gradients are off by 0.0111 [...], better than 2 of 3 references, percentile 67 [33, 100]`."""
    said = (one.lead.plain or f"{one.lead.says} {{}}").format(number(source, one))
    place = traits.standing(source, one)
    return f"{said}, {place.said()}" if place.of and one.lead.ranked else said
