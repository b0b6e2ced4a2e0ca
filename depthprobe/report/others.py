"""A section for every probe without one of its own: means, paired differences, and everything by its axes."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from depthprobe import stats
from depthprobe.report import accuracy, blocks, estimates, tables, text
from depthprobe.report.source import Source

OWN = ("error", "sparse")  # probes with sections of their own
AXES = ("factor", "level", "factor2", "level2", "layer")
READ = (
    "Each row is a mean over samples with the interval that holds 95 % of the means that come up when whole groups are "
    "drawn again. All paired differences of this section are one family of Holm's correction, so a single measure has "
    "to be clear to be called better or worse; what counts was best chosen before looking."
)

Made = tuple[blocks.Section, list[blocks.Finding], dict[str, pd.DataFrame]]


def sections(source: Source, options: estimates.Options) -> list[Made]:
    """The sections, findings and frames (for report.json) of all other probes, by name."""
    return [_section(source, probe, options) for probe in sorted(set(source.table["probe"]) - set(OWN))]


def _section(source: Source, probe: str, options: estimates.Options) -> Made:
    rows = source.probe(probe)
    split = [c for c in AXES if rows[c].nunique(dropna=False) > 1]
    whole = rows[(rows["factor"] == "") & (rows["layer"] == "")]
    title, place = probe.replace("_", " ").capitalize(), probe.replace("_", "-")
    content: list[Any] = []
    found: list[blocks.Finding] = []
    frames: dict[str, pd.DataFrame] = {}
    names = accuracy.protocol_names(source)
    if len(whole):
        means = stats.summarise(whole, _by(whole, ["plan", "metric", "model", "family"]), **options.both)
        frames[probe] = means
        what = f"Every measure of `{probe}` on the whole image."
        content.append(blocks.Table(table=accuracy.means_table(means, names, caption=what, filename=f"{probe}.csv")))
        gaps = _differences(whole, estimates.networks(source), options)
        if len(gaps):
            frames[f"{probe}_differences"] = gaps
            finding = _finding(gaps, title, place, source.short)
            found = [finding]
            what = f"Paired differences of `{probe}` on the same samples, {accuracy.pair_name(gaps)}."
            table = accuracy.gaps_table(gaps, names, caption=what, filename=f"{probe}_differences.csv")
            content.append(blocks.More(summary="Paired differences", blocks=[blocks.Table(table=table)]))
    if split:
        every = stats.summarise(rows, ["plan", "metric", *split, "model", "family"], **options.both)
        frames[f"{probe}_by_axes"] = every
        summary = "By " + text.listed(_labels(source, probe, split))
        content.append(blocks.More(summary=summary, blocks=[_by_axes(source, probe, every, split)]))
    finding_text = f"{found[0].lead} {found[0].text}" if found else ""
    made = blocks.Section(
        id=place, title=title, finding=finding_text, blocks=content, read=READ, measured=source.plan(probe)
    )
    return made, found, frames


def _by(rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """The keys, and every axis that still varies within them."""
    return [*keys, *(c for c in AXES if rows[c].nunique(dropna=False) > 1)]


def _differences(whole: pd.DataFrame, models: Sequence[str], options: estimates.Options) -> pd.DataFrame:
    """All pairs of networks, one Holm family per plan; empty with one network or where nothing is defined."""
    here = whole[whole["model"].isin(models)]
    known = here.dropna(subset=["value"]).groupby("metric")["model"].nunique()
    here = here[here["metric"].isin(known[known > 1].index)]
    if here.empty:
        return pd.DataFrame()
    return stats.compare(here, _by(here, ["plan", "metric"]), family=["plan"], **options.both)


def _finding(gaps: pd.DataFrame, title: str, place: str, short: dict[str, str]) -> blocks.Finding:
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
    return blocks.Finding(lead=f"{title}:", text=f"{'; '.join(each)}.", section=place, undecided=undecided)


def _labels(source: Source, probe: str, split: Sequence[str]) -> list[str]:
    axes = source.side.get("axes") or {}
    return [stats.label(column, axes, probe) for column in split]


def _by_axes(source: Source, probe: str, every: pd.DataFrame, split: Sequence[str]) -> blocks.Table:
    labels = _labels(source, probe, split)
    shown = {
        label: tables.plain(every[column].where(every[column].notna(), "").tolist())
        for label, column in zip(labels, split, strict=True)
    }
    cells = {
        "metric": tables.plain(every["metric"].tolist()),
        **shown,
        "network": tables.plain(every["model"].tolist()),
        "mean [95 %]": tables.with_intervals(every),
        "n": tables.plain(every["n"].tolist()),
        "undefined": tables.plain(every["undefined"].tolist()),
    }
    caption = f"Every measure of `{probe}` by {text.listed(labels)}."
    return blocks.Table(table=tables.html_table(every, cells, caption=caption, filename=f"{probe}_by_axes.csv"))
