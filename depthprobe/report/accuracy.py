"""The section on the error of the full image."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from depthprobe.report import (
    blocks,
    estimates,
    figures,
    findings,
    many,
    pairs,
    pictures,
    standings,
    tables,
    text,
    traits,
)
from depthprobe.report.source import Source

TITLE, ID, QUESTION = "Accuracy on the full image", "accuracy", "How far is its depth from the truth?"
READ = (
    "Each point is the mean over samples; the bar holds 95 % of the means that come up when whole groups (scenes, "
    "drives) are drawn again. Compare two networks by the paired differences, not by whether their bars overlap: both "
    "saw the same samples, so most of the spread is shared. A verdict needs an interval without 0 and a sign-flip p, "
    "corrected for the number of comparisons (Holm), of at most 0.05."
)


def section(
    source: Source, led: Sequence[traits.Estimated], options: estimates.Options
) -> tuple[blocks.Section, list[blocks.Finding], dict[str, Any]]:
    """The section, its findings and its frames (for report.json)."""
    if source.probe("error").empty:
        note = blocks.Note(text=f"Not measured: {source.absent('error')}")
        return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[note]), [], {}
    means, gaps = estimates.accuracy(source, options), estimates.accuracy_difference(source, options)
    metric = estimates.first_metric(means["metric"])
    names = source.protocols
    real, plans = means[means["model"].isin(estimates.networks(source))], sorted(means["plan"].unique())
    found = [_finding(source, real, gaps, metric, plan, names[plan] if len(plans) > 1 else "") for plan in plans]
    content: list[Any] = [figures.forest(source, led, f"accuracy-{metric}-forest.csv")] if led else []
    content += [blocks.Table(table=t) for t in _forest(source.led(means), gaps, metric, names)]
    if gaps.empty:
        content.append(
            blocks.Note(text="Only one network was measured, oracles aside, so there is nothing to compare it with.")
        )
    every = [means_table(means, names), *([] if gaps.empty else [gaps_table(gaps, names)])]
    content.append(blocks.More(summary="Every metric", blocks=[blocks.Table(table=t) for t in every]))
    row = means[means["metric"] == metric].iloc[0]
    content += pictures.error_gallery(source, row["plan"], metric, row["better"], row["unit"])
    first = standings.finding(source, TITLE, ID, led) if source.subject else found[0]
    made = blocks.Section(
        id=ID,
        title=TITLE,
        question=QUESTION,
        finding=findings.sentence(first, TITLE),
        blocks=content,
        read=READ,
        measured=source.plan("error"),
    )
    return made, found, {"accuracy": means, "accuracy_differences": gaps}


def _finding(
    source: Source, real: pd.DataFrame, gaps: pd.DataFrame, metric: str, plan: str, under: str
) -> blocks.Finding:
    here, pair = (f[(f["plan"] == plan) & (f["metric"] == metric)] if len(f) else f for f in (real, gaps))
    if source.subject or len(here) <= many.MOST or pair.empty:
        return findings.accuracy(real, gaps, metric, plan, source.short, under)
    return many.accuracy(here, pair, metric, source.short, under)


def _forest(means: pd.DataFrame, gaps: pd.DataFrame, metric: str, names: dict[str, str]) -> list[tables.HtmlTable]:
    """Means and paired differences of one metric, drawn as interval bars beside their numbers."""
    here = means[means["metric"] == metric]
    unit, better, plans = here["unit"].iloc[0], here["better"].iloc[0], sorted(set(here["plan"]))
    cells = {
        "network": tables.plain(here["model"].tolist()),
        **protocol_column(here, names),
        f"{metric} [95 %]": tables.with_intervals(here),
        **tables.bar_column(here, family=here["family"].tolist()),
        "undefined": tables.plain(here["undefined"].tolist()),
    }
    said = "no unit" if unit == "1" else unit
    protocols = text.listed(names[p] for p in plans)
    caption = f"{metric} ({said}, {better} is better) of every network, {protocols}; {tables.sizes(here)}."
    out = [tables.html_table(here, cells, caption=caption, filename=f"accuracy-{metric}.csv")]
    if gaps.empty:
        return out
    pair = gaps[gaps["metric"] == metric]
    cells = {**pairs.side_columns(pair), **protocol_column(pair, names), **pairs.pair_columns(pair, bars=True)}
    side = pairs.better_side(pair, better)
    caption = f"Paired differences of {metric}, {pairs.pair_name(pair)}: {side}; hollow means undecided."
    return [*out, tables.html_table(pair, cells, caption=caption, filename=f"accuracy-{metric}-differences.csv")]


def means_table(
    means: pd.DataFrame,
    names: dict[str, str],
    *,
    caption: str = "Every metric on the full image.",
    filename: str = "accuracy.csv",
) -> tables.HtmlTable:
    """Every metric of every network."""
    cells = {
        "metric": tables.plain(means["metric"].tolist()),
        **protocol_column(means, names),
        "network": tables.plain(means["model"].tolist()),
        "mean [95 %]": tables.with_intervals(means),
        "better": tables.plain(means["better"].tolist()),
        "n": tables.plain(means["n"].tolist()),
        "groups": tables.plain(means["groups"].tolist()),
        "undefined": tables.plain(means["undefined"].tolist()),
    }
    return tables.html_table(means, cells, caption=caption, filename=filename)


def gaps_table(
    gaps: pd.DataFrame, names: dict[str, str], *, caption: str = "", filename: str = "accuracy_differences.csv"
) -> tables.HtmlTable:
    """Every paired difference."""
    cells = {
        "metric": tables.plain(gaps["metric"].tolist()),
        **pairs.side_columns(gaps),
        **protocol_column(gaps, names),
        **pairs.pair_columns(gaps),
    }
    caption = caption or f"Paired differences on the same samples, {pairs.pair_name(gaps)}."
    return tables.html_table(gaps, cells, caption=caption, filename=filename)


def protocol_column(frame: pd.DataFrame, names: dict[str, str]) -> dict[str, list[tables.Cell]]:
    """A column with the protocol of every row, where the run has several."""
    return {"protocol": tables.plain([names[p] for p in frame["plan"]])} if frame["plan"].nunique() > 1 else {}
