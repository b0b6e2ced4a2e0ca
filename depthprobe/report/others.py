"""A section for every probe but `error` and `sparse`: its leading numbers and curves, then everything by its axes.

What leads and how it is read is declared in `topics`; a probe that is not listed there gets the same without a lead.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from depthprobe import stats
from depthprobe.report import accuracy, blocks, estimates, figures, findings, pairs, standings, tables, text, traits
from depthprobe.report.source import Source
from depthprobe.report.topic import Topic
from depthprobe.report.topics import TOPICS

OWN = ("error", "sparse")  # probes with sections of their own
AXES = ("factor", "level", "factor2", "level2", "layer")
MOST_ROWS = 400  # of a table by axes; the CSV holds all
READ = (
    "Each row is a mean over samples with the interval that holds 95 % of the means that come up when whole groups are "
    "drawn again. All paired differences of this section are one family of Holm's correction, so a single measure has "
    "to be clear to be called better or worse; what counts was best chosen before looking."
)
NO_LEAD = (
    "None of the leading numbers of this section is defined for any image, so there is no sentence and no figure of "
    "them; what was measured, and what is undefined, is counted below."
)

Made = tuple[blocks.Section, list[blocks.Finding], dict[str, pd.DataFrame]]


def sections(source: Source, led: traits.Led, options: estimates.Options) -> list[Made]:
    """The sections, findings and frames (for report.json): listed topics in their order, then other probes by name.

    Convention: an audit has a section for every topic, in which a probe that was not measured is named.
    """
    measured = set(source.table["probe"]) - set(OWN)
    listed = [t for t in TOPICS.values() if t.probe in measured or source.audit]
    rest = [_unlisted(probe) for probe in sorted(measured - set(TOPICS))]
    every = [*listed, *rest]
    return [
        _section(source, t, led.get(t.probe, []), options) if t.probe in measured else _missing(source, t)
        for t in every
    ]


def _unlisted(probe: str) -> Topic:
    return Topic(probe=probe, title=probe.replace("_", " ").capitalize(), question="", read=READ)


def place(topic: Topic) -> str:
    """The id of a topic's section."""
    return topic.probe.replace("_", "-")


def _missing(source: Source, topic: Topic) -> Made:
    note = blocks.Note(text=f"Not measured: {source.absent(topic.probe)}")
    return blocks.Section(id=place(topic), title=topic.title, question=topic.question, blocks=[note]), [], {}


def _section(source: Source, topic: Topic, led: Sequence[traits.Estimated], options: estimates.Options) -> Made:
    content: list[Any] = []
    frames: dict[str, pd.DataFrame] = {}
    if reason := source.refused(topic.probe):
        content.append(blocks.Note(text=f"Not measured of {source.subject}: {reason}"))
    found = [standings.finding(source, topic.title, place(topic), led)] if led else []
    if led:
        frames[f"{topic.probe}_leads"] = pd.concat([one.means for one in led], ignore_index=True)
        content.append(figures.forest(source, led, f"{topic.probe}-leads.csv"))
        content += _lead_differences(led, topic, frames)
    elif topic.leads:
        content.append(blocks.Note(text=NO_LEAD))
    drawn, points = figures.curves(source, topic, options)
    content += drawn
    frames |= {f"{topic.probe}_curves": points} if drawn else {}
    tabled, counted = _whole(source, topic, options, frames)
    content += [blocks.More(summary="Every measure", blocks=tabled)] if led and tabled else tabled
    content += _every(source, topic, options, frames)
    found = found or counted
    line = findings.sentence(found[0], topic.title) if found else ""
    made = blocks.Section(id=place(topic), title=topic.title, question=topic.question, finding=line, blocks=content,
                          read=topic.read, measured=source.plan(topic.probe))  # fmt: skip
    return made, found, frames


def _lead_differences(led: Sequence[traits.Estimated], topic: Topic, frames: dict[str, pd.DataFrame]) -> list[Any]:
    gaps = [one.gaps.assign(metric=one.lead.says) for one in led if len(one.gaps)]
    if not gaps:
        return []
    frame = pd.concat(gaps, ignore_index=True)
    frames[f"{topic.probe}_lead_differences"] = frame
    name = f"{topic.probe}-lead-differences.csv"
    caption = f"Paired differences of the numbers above, {pairs.pair_name(frame)}."
    table = accuracy.gaps_table(frame, {p: str(p) for p in set(frame["plan"])}, caption=caption, filename=name)
    return [blocks.Table(table=table)]


def _whole(
    source: Source, topic: Topic, options: estimates.Options, frames: dict[str, pd.DataFrame]
) -> tuple[list[Any], list[blocks.Finding]]:
    """Means and paired differences of every measure of the whole image, and the sentence that counts them."""
    probe, names = topic.probe, source.protocols
    rows = source.probe(probe)
    whole = rows[(rows["factor"] == "") & (rows["layer"] == "")]
    if whole.empty:
        return [], []
    means = stats.summarise(whole, _by(whole, ["plan", "metric", "model", "family"]), **options.both)
    frames[probe] = means
    what = f"Every measure of `{probe}` on the whole image."
    content: list[Any] = [blocks.Table(table=accuracy.means_table(means, names, caption=what, filename=f"{probe}.csv"))]
    gaps = _differences(source, whole, options)
    if gaps.empty:
        return content, []
    frames[f"{probe}_differences"] = gaps
    what = f"Paired differences of `{probe}` on the same samples, {pairs.pair_name(gaps)}."
    table = accuracy.gaps_table(gaps, names, caption=what, filename=f"{probe}_differences.csv")
    content.append(blocks.More(summary="Paired differences", blocks=[blocks.Table(table=table)]))
    return content, [_counted(gaps, topic, source.short)]


def _every(source: Source, topic: Topic, options: estimates.Options, frames: dict[str, pd.DataFrame]) -> list[Any]:
    """Every measure by every axis that varies, behind a summary."""
    rows = source.probe(topic.probe)
    split = [c for c in AXES if rows[c].nunique(dropna=False) > 1]
    if not split:
        return []
    every = stats.summarise(rows, ["plan", "metric", *split, "model", "family"], **options.both)
    frames[f"{topic.probe}_by_axes"] = every
    summary = "By " + text.listed(_labels(source, topic.probe, split))
    return [blocks.More(summary=summary, blocks=[_by_axes(source, topic.probe, every, split)])]


def _by(rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The keys, and every axis that still varies within them."""
    return [*keys, *(c for c in AXES if rows[c].nunique(dropna=False) > 1)]


def _differences(source: Source, whole: pd.DataFrame, options: estimates.Options) -> pd.DataFrame:
    """The pairs of networks, one Holm family per plan; empty with one network or where nothing is defined."""
    parts = [estimates.comparable(source, part) for _, part in whole.groupby("metric")]
    here = pd.concat(parts) if parts else whole.iloc[:0]
    if here.empty:
        return pd.DataFrame()
    return stats.compare(here, _by(here, ["plan", "metric"]), family=["plan"], b=source.subject, **options.both)


def _counted(gaps: pd.DataFrame, topic: Topic, short: dict[str, str]) -> blocks.Finding:
    """In how many measures the second of a pair is better, worse, different without a direction, or undecided."""
    each = []
    for (a, b), pair in gaps.groupby(["a", "b"], sort=False):
        count = {
            "better": (pair["verdict"] == "better").sum(),
            "worse": (pair["verdict"] == "worse").sum(),
            "different where neither is better": pair["verdict"].isin(["higher", "lower"]).sum(),
            "undecided": (pair["verdict"] == "undecided").sum(),
        }
        said = text.listed(f"{word} in {number}" for word, number in count.items() if number)
        each.append(f"{short[b]} against {short[a]}, of {text.counted(len(pair), 'measure')}: {said}")
    undecided = bool((gaps["verdict"] == "undecided").all())
    said = f"{'; '.join(each)}."
    return blocks.Finding(lead=f"{topic.title}:", text=said, section=place(topic), undecided=undecided)


def _labels(source: Source, probe: str, split: Sequence[str]) -> list[str]:
    axes = source.side.get("axes") or {}
    return [stats.label(column, axes, probe) for column in split]


def _by_axes(source: Source, probe: str, every: pd.DataFrame, split: Sequence[str]) -> blocks.Table:
    labels = _labels(source, probe, split)
    few = every if len(every) <= MOST_ROWS else every.head(MOST_ROWS)
    shown = {
        label: tables.plain(few[column].where(few[column].notna(), "").tolist())
        for label, column in zip(labels, split, strict=True)
    }
    cells = {
        "metric": tables.plain(few["metric"].tolist()),
        **shown,
        "network": tables.plain(few["model"].tolist()),
        "mean [95 %]": tables.with_intervals(few),
        "n": tables.plain(few["n"].tolist()),
        "undefined": tables.plain(few["undefined"].tolist()),
    }
    caption = f"Every measure of `{probe}` by {text.listed(labels)}."
    caption += f" The first {len(few):,} of {len(every):,} rows; the CSV holds all." if len(few) < len(every) else ""
    return blocks.Table(table=tables.html_table(every, cells, caption=caption, filename=f"{probe}_by_axes.csv"))
