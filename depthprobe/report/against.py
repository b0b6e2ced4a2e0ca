"""Against others: one forest plot per trait, where the subject stands, and which family it is nearer to."""

from typing import Any

import pandas as pd

from depthprobe.report import blocks, estimates, figures, tables, text, traits
from depthprobe.report.source import Source

TITLE, ID = "Against others", "against"
QUESTION = "Where does it stand among the references, and does it behave more like the CNNs or the Transformers?"
READ = (
    "A trait is one number per image. The percentile counts the references that the subject is better than, by the "
    "means; its bracket says what the paired differences leave open. Nearer to a family: the distance from the mean of "
    "its CNNs less the distance from the mean of its Transformers, so that above 0 is nearer to the Transformers, with "
    "whole groups drawn again for all networks at once. It is decided only where the families differ clearly, the "
    "subject is clearly off half way, each family has at least two references, and no single one turns it; all traits "
    "are one family of Holm's correction. Everything here is about the networks named, on new images: two or three "
    "networks are no statement about CNNs or Transformers in general."
)
ALONE = "No reference was measured beside it: run the audit with --against zoo."
NOTHING = "No trait of it has a value: every number by which networks are compared is undefined for it."
ONE_KIND = "The references are not of two families, so which of them it is nearer to cannot be asked."
NEARER = {"nearer": "estimate", "nearer_low": "low", "nearer_high": "high", "nearer_p_holm": "p_holm",
          "nearer_without_low": "without_low", "nearer_without_high": "without_high"}  # fmt: skip
NAMES = {"cnn": "CNNs", "transformer": "Transformers"}
SINGLE = "one has but one"


def section(
    source: Source, led: traits.Led, options: estimates.Options
) -> tuple[blocks.Section, list[blocks.Finding], dict[str, Any]]:
    """The section of an audit, its finding and its frames."""
    if not source.references:
        return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[blocks.Note(text=ALONE)]), [], {}
    found = [e for probe, lead in traits.traits() for e in led.get(probe, []) if e.lead.key == lead.key]
    found = [e for e in found if source.subject in set(e.means.dropna(subset=["estimate"])["model"])]
    if not found:
        return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[blocks.Note(text=NOTHING)]), [], {}
    near = traits.families(source, found, options)
    frame = _frame(source, found, near)
    content: list[Any] = [] if len(near) else [blocks.Note(text=ONE_KIND)]
    content.append(blocks.Table(table=_table(frame, bool(len(near)))))
    content.append(figures.forest(source, found, "traits.csv"))
    said = _finding(source, near)
    made = blocks.Section(id=ID, title=TITLE, question=QUESTION, finding=f"{said.lead} {said.text}" if said else "",
                          blocks=content, read=READ)  # fmt: skip
    return made, [said] if said else [], {"traits": frame, "leaning": near}


def _frame(source: Source, found: list[traits.Estimated], near: pd.DataFrame) -> pd.DataFrame:
    """One row per trait: the subject's number, its standing and its leaning."""
    lean = {(r.probe, r.metric): r for r in near.itertuples()} if len(near) else {}
    out = []
    for one in found:
        mine = one.means[one.means["model"] == source.subject].iloc[0]
        place, side = traits.standing(source, one), lean.get((one.rows["probe"].iloc[0], one.lead.key))
        out.append({
            "trait": one.lead.trait, "probe": one.rows["probe"].iloc[0], "metric": one.metric, "better": one.better,
            **{c: mine[c] for c in ("estimate", "low", "high", "n", "groups", "unit")},
            "percentile": place.percentile, "percentile_low": place.low, "percentile_high": place.high,
            "references": place.of, "undecided": place.undecided,
            **{name: getattr(side, c, float("nan")) for name, c in NEARER.items()},
            "side": _side(side),
        })  # fmt: skip
    return pd.DataFrame(out)


def _side(lean: Any) -> str:
    """The family that it is nearer to; where one of them has no such number, or of one network only, that."""
    if lean is not None and pd.isna(lean.estimate):
        return "one has none"
    if lean is not None and min(lean.models_a, lean.models_b) < 2:
        return SINGLE
    return NAMES.get(str(getattr(lean, "verdict", "")), "undecided")


def _table(frame: pd.DataFrame, two_kinds: bool) -> tables.HtmlTable:
    percentiles = [
        tables.Cell(shown=text.interval(r.percentile, r.percentile_low, r.percentile_high), key=repr(r.percentile),
                    numeric=True)
        for r in frame.itertuples()
    ]  # fmt: skip
    cells = {
        "trait": tables.plain(frame["trait"].tolist()),
        "subject [95 %]": tables.with_intervals(frame),
        "percentile [what is open]": percentiles,
    }
    if two_kinds:
        cells["nearer to"] = tables.plain(frame["side"].tolist())
        cells["Transformers over CNNs [95 %]"] = tables.with_intervals(frame, "nearer")
        cells["p (Holm)"] = [
            tables.Cell(shown=text.p_value(p), key=repr(float(p)), numeric=True) for p in frame["nearer_p_holm"]
        ]
    cells["n"] = tables.plain(frame["n"].tolist())
    caption = (
        "Every trait: the subject's number, its percentile among the references, and which family it is nearer to."
    )
    return tables.html_table(frame, cells, caption=caption, filename="traits-table.csv")


def _finding(source: Source, near: pd.DataFrame) -> blocks.Finding | None:
    near = near[near["estimate"].notna()] if len(near) else near  # a trait that one family does not have asks nothing
    if near.empty:
        return None
    count = {name: int((near["verdict"] == kind).sum()) for kind, name in NAMES.items()}
    kinds = source.models[source.models["model"].isin(source.references)].groupby("family")["model"].nunique()
    who = text.listed(text.counted(int(kinds.get(kind, 0)), name.removesuffix("s")) for kind, name in NAMES.items())
    each = [f"nearer to the {name} in {n}" for name, n in count.items() if n]
    left = len(near) - sum(count.values())
    said = f"of {text.counted(len(near), 'trait')} it is {text.listed([*each, f'undecided in {left}'])}"
    single = near[["models_a", "models_b"]].min(axis=1) < 2
    alone = " With a single network of a family nothing is decided: that one alone would." if single.any() else ""
    body = f"{said}, beside {who}.{alone} This is about these networks, not about their families."
    return blocks.Finding(lead="More like the CNNs or the Transformers:", text=body, section=ID, undecided=not each)
