"""The figures of a topic: a forest of its leading numbers, and curves over its levels."""

from collections.abc import Sequence

import pandas as pd
from markupsafe import Markup

from depthprobe import stats
from depthprobe.report import blocks, estimates, svg, svg_forest, tables, text, traits
from depthprobe.report.source import Source
from depthprobe.report.topic import ANY, Plot, Topic

MOST_PANELS = 12


def unit_name(unit: str) -> str:
    """A unit in a title: nothing where there is none."""
    return "" if unit == "1" else f" ({unit})"


def beside(source: Source) -> str:
    """Of whom the bands of curves are in an audit, and how its references are drawn where there are any."""
    if len(source.references) > 1:
        return " of the subject, the references as thin lines on the grey range they span"
    return " of the subject, the reference as a thin line" if source.references else ""


def forest(source: Source, found: Sequence[traits.Estimated], filename: str) -> blocks.Multiples:
    """One panel per leading number."""
    style, panels = svg.styles(source.models, source.short), []
    for one in found:
        way = "" if one.better == "none" else f", {one.better} is better"
        unit = "" if one.unit == "1" else f" in {one.unit}"
        title = f"{one.lead.says[:1].upper()}{one.lead.says[1:]} ({one.metric}{unit}{way})"
        said = "; ".join(f"{source.short[r.model]} {text.interval(r.estimate, r.low, r.high, r.unit)}"
                         for r in one.means.itertuples())  # fmt: skip
        drawn = svg_forest.forest(one.means, style, subject=source.subject, references=source.references,
                                  right=one.right, exact=one.lead.exact, alt=f"{title}: {said}.")  # fmt: skip
        panels.append((title, drawn))
    means = pd.concat([f.means for f in found], ignore_index=True)
    parts = [f"Means with 95 % intervals, {tables.sizes(means)}, {source.under(means['plan'])}."]
    if len(source.references) > 1:
        parts.append("The grey band is the range of the references.")
    if any(f.right == f.right for f in found):
        parts.append("The dashed rule is what would be right.")
    csv = tables.csv_uri(means)
    return blocks.Multiples(panels=panels, legend=[], caption=" ".join(parts), csv=csv, filename=filename)


def curves(source: Source, topic: Topic, options: estimates.Options) -> tuple[list[blocks.Multiples], pd.DataFrame]:
    """One figure with a panel per factor of every plot of a topic; nothing where no levels were measured."""
    drawn = [(plot, _points(source, topic, plot, options)) for plot in topic.plots]
    drawn = [(plot, points) for plot, points in drawn if len(points)]
    if not drawn:
        return [], pd.DataFrame()
    panels = [panel for plot, points in drawn for panel in _panels(source, plot, points)]
    every = pd.concat([points for _, points in drawn], ignore_index=True)
    legend = [
        (svg.key(s), s.name) for m, s in svg.styles(source.models, source.short).items() if m in set(every["model"])
    ]
    said = text.listed(
        f"{_metric(source, plot)}{unit_name(points['unit'].iloc[0])} {plot.title}".rstrip() for plot, points in drawn
    )
    bands = "95 % intervals" if any(plot.scale == "steps" for plot, _ in drawn) else "simultaneous 95 % bands"
    caption = f"{said}; {bands}{beside(source)}; {tables.sizes(every)}, {source.under(every['plan'])}."
    left_out = len(panels) - MOST_PANELS
    caption += f" {text.counted(left_out, 'panel')} more in the CSV." if left_out > 0 else ""
    name = f"{topic.probe}-curves.csv"
    figure = blocks.Multiples(panels=panels[:MOST_PANELS], legend=legend, caption=caption,
                              csv=tables.csv_uri(every), filename=name)  # fmt: skip
    return [figure], every


def _metric(source: Source, plot: Plot) -> str:
    return plot.metric.format(error=traits.error_metric(source))


def _panels(source: Source, plot: Plot, points: pd.DataFrame) -> list[tuple[str, Markup]]:
    style = svg.styles(source.models, source.short)
    up = f"{_metric(source, plot)}{unit_name(points['unit'].iloc[0])}"
    frame = svg.shared_frame(points, up=up, label=plot.x, scale=plot.scale, share=False)
    factors = sorted(points["factor"].unique(), key=lambda f: (plot.factors.index(f) if f in plot.factors else 0, f))
    panels = []
    for factor in factors:
        mine = points[points["factor"] == factor]
        name = plot.title if len(factors) == 1 else f"{plot.title} {text.selector_name(str(factor))}".strip()
        alt = f"{_metric(source, plot)} against {plot.x}, {name}; the arrow keys walk through its points."
        drawn = svg.curve_panel(mine, mine.iloc[:0], frame, style, alt, source.subject)
        panels.append((f"{name[:1].upper()}{name[1:]}", drawn))
    return panels


def _points(source: Source, topic: Topic, plot: Plot, options: estimates.Options) -> pd.DataFrame:
    """Means by level: curves of the same samples with simultaneous bands; bands of pixels, each on its own samples."""
    rows = source.probe(topic.probe)
    rows = rows[(rows["metric"] == _metric(source, plot)) & rows["level"].notna() & (rows["factor"] != "")]
    rows = _one(rows if plot.factors == ANY else rows[rows["factor"].isin(plot.factors)])
    if rows.empty:
        return rows
    rows = rows[rows.groupby("factor")["level"].transform("nunique") > 1]
    if rows.empty or rows["value"].isna().all():
        return rows.iloc[:0]
    by = ["plan", "metric", "model", "family", "factor"]
    if plot.scale == "steps":
        found = stats.summarise(rows, [*by, "level"], **options.both).dropna(subset=["estimate"])
        return found.assign(band_low=found["low"], band_high=found["high"])
    scale = "log" if plot.scale == "log" and (rows["level"] > 0).all() else "linear"
    return stats.curve(rows, by, scale=scale, **options.both).points


def _one(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first plan, without controls or of the first fill, of the whole network."""
    rows = rows[rows["layer"] == ""]
    if rows.empty:
        return rows
    first = sorted(rows["factor2"].unique(), key=lambda f: (f != "", f != estimates.FIRST_FILL, f))[0]
    return rows[(rows["plan"] == sorted(rows["plan"].unique())[0]) & (rows["factor2"] == first)]
