"""The section on sparse pixels: from how few pixels, and which ones, a network still gives its depth."""

import dataclasses
from typing import Any

import pandas as pd
from markupsafe import Markup

from depthprobe.report import blocks, estimates, figures, findings, many, pairs, pictures, svg, tables, text
from depthprobe.report.source import Source

TITLE, ID, QUESTION = "Sparse pixels", "sparse", "From how few pixels, and which ones, does it still give its depth?"
READ = (
    "A selector ranks the pixels; a budget keeps the top share of them and the fill replaces the rest. Pixels outside "
    "the protocol's crop are kept last. Each panel is one selector, each line one network; the band holds the whole "
    "true curve with 95 % probability, and the right end is the full image. A curve that falls early needs few "
    "pixels. The area under the curve (AUC, over ln budget) is the mean over budgets; b50 and "
    "b90 are the budgets at which half and 90 % of what the full image "
    "gains over the smallest budget is reached. Random pixels are the control: a selector says something about the "
    "network only where it differs from them, and only if it does so under every fill. The best of many selectors is "
    "flattered by the choice."
)
CAPTIONS = {
    "enrichment": "Share of the kept pixels on each kind of place over the share of random pixels, at "
    "{at} of the pixels; the rule marks 1, as often as random. {sizes}. The CSV holds every budget.",
    "share": "Share of the kept pixels on each kind of place at {at} of the pixels; {sizes}. "
    "The CSV holds every budget.",
}
NO_CURVE = "The `sparse` probe of this plan has no error at several budgets, so there is no curve to draw."


Plans = dict[str, estimates.Sparse | None]


def estimated(source: Source, options: estimates.Options) -> Plans:
    """Plan -> everything estimated about it; None where it has no curve."""
    plans = sorted(source.probe("sparse")["plan"].unique())
    return {plan: estimates.sparse(source, plan, options) for plan in plans}


def section(source: Source, plans: Plans) -> tuple[blocks.Section, list[blocks.Finding], dict[str, Any]]:
    """The section, its findings and its frames (for report.json)."""
    if not plans:
        note = blocks.Note(text=f"Not measured: {source.absent('sparse')}")
        return blocks.Section(id=ID, title=TITLE, question=QUESTION, blocks=[note]), [], {}
    names = source.protocols
    told_apart = len({names[plan] for plan in plans}) == len(plans)
    titles = {plan: names[plan] if told_apart else f"plan {plan}" for plan in plans}
    content: list[Any] = []
    said: list[blocks.Finding] = []
    frames: dict[str, pd.DataFrame] = {}
    for plan, found in plans.items():
        if len(plans) > 1:
            content.append(blocks.Heading(text=f"Plan {plan}, protocol {names[plan]}"))
        if found is None:
            content.append(blocks.Note(text=NO_CURVE))
            continue
        content += plan_blocks(source, found, names[plan])
        said += plan_findings(source, found, under=titles[plan] if len(plans) > 1 else "")
        frames |= plan_frames(found, f"_{plan}" if len(plans) > 1 else "")
    line = f"{said[0].lead} {said[0].text}" if said else ""
    if source.subject:  # the top of an audit's page has its five lines only
        content[:0] = _in_words(said[1:])
    made = blocks.Section(id=ID, title=TITLE, question=QUESTION, finding=line, blocks=content, read=READ,
                          measured=source.plan("sparse"))  # fmt: skip
    return made, said, frames


def _in_words(said: list[blocks.Finding]) -> list[Any]:
    """The other sentences of an audit; those about each reference open on request."""
    each = [f for f in said if " against " in f.lead]
    rest = [f for f in said if f not in each]
    folded = blocks.More(summary="Against each reference, in words", blocks=[blocks.Points(findings=each)])
    return [*([blocks.Points(findings=rest)] if rest else []), *([folded] if each else [])]


def plan_findings(source: Source, found: estimates.Sparse, under: str = "") -> list[blocks.Finding]:
    """All sentences about one plan; `under` names it where there are several."""
    models, short = estimates.about(source), source.short
    if _many(source, found):
        which = None if found.control.empty else many.which_pixels(found, models)
        made = [many.few_pixels(found, models, short), which, many.who_needs_more(found)]
    else:
        made = [findings.few_pixels(found, models, short), findings.which_pixels(found, models, short),
                *findings.who_needs_more(found, short)]  # fmt: skip
    made.append(findings.where_they_lie(found))
    said = [f for f in made if f is not None]
    return [dataclasses.replace(f, lead=f"{f.lead.removesuffix(':')} under {under}:") for f in said] if under else said


def _many(source: Source, found: estimates.Sparse) -> bool:
    """Whether there are too many networks for a sentence about each pair."""
    return source.subject is None and len(estimates.about(source)) > many.MOST and not found.areas.empty


def plan_frames(found: estimates.Sparse, suffix: str) -> dict[str, pd.DataFrame]:
    """The frames of one plan by name."""
    named = {"curves": found.curves.points, "budgets": found.curves.summary, "areas": found.areas,
             "areas_self": found.own_areas, "ratios": found.ratios, "control": found.control,
             "where": found.where}  # fmt: skip
    if found.own is not None:
        named |= {"curves_self": found.own.points, "budgets_self": found.own.summary}
    return {f"sparse_{name}{suffix}": frame for name, frame in named.items()}


def plan_blocks(source: Source, found: estimates.Sparse, protocol: str) -> list[Any]:
    """Curves, budgets, comparisons, places and pictures of one plan."""
    content: list[Any] = [
        *pictures.slider(source, found),
        blocks.Heading(text="Error against the ground truth"),
        *_curves(source, found, found.curves, protocol, ""),
    ]
    content.append(blocks.Heading(text="Change against the network's own full-image prediction"))
    if found.own is None:
        content.append(blocks.Note(text=f"{found.metric}@self was not measured, so self-consistency is not known."))
    else:
        content += _curves(source, found, found.own, protocol, "@self")
    content += _compared(found, protocol)
    if _many(source, found):
        each = blocks.Points(findings=findings.who_needs_more(found, source.short))
        content.append(blocks.More(summary="Every pair, in words", blocks=[each]))
    content += _control(source, found) + _where(found)
    return content + pictures.sparse_gallery(source, found)


def _curves(source: Source, found: estimates.Sparse, curve: Any, protocol: str, against: str) -> list[Any]:
    metric, shown = found.metric + against, []
    up = metric if found.unit == "1" else f"{metric} ({found.unit})"
    frame, style = svg.shared_frame(curve.points, up=up), svg.styles(source.models, source.short)
    for fill in found.fills:
        points = curve.points[curve.points["factor2"] == fill]
        panels = _panels(points, found, frame, style, metric, source.subject)
        legend = [(svg.key(s), s.name) for m, s in style.items() if m in set(points["model"])]
        caption = (
            f"{metric} ({'no unit' if found.unit == '1' else found.unit}) against the share of pixels kept, "
            f"fill {fill or 'none'}, protocol {protocol}; simultaneous 95 % bands{figures.beside(source)}, "
            f"{tables.sizes(points)}. "
            f"Thin dots: the same network on {text.selector_name(found.selectors[0])} pixels."
        )
        name = f"curves-{metric}-{fill}.csv"
        shown.append(
            blocks.Multiples(panels=panels, legend=legend, caption=caption, csv=tables.csv_uri(points), filename=name)
        )
    others = [
        blocks.More(summary=f"The same under fill {fill}", blocks=[figure])
        for fill, figure in zip(found.fills[1:], shown[1:], strict=True)
    ]
    return [
        shown[0],
        *others,
        blocks.Table(table=budgets_table(source.led(findings.wide(curve.summary)), metric, found)),
    ]


def _panels(
    points: pd.DataFrame,
    found: estimates.Sparse,
    frame: svg.Frame,
    style: dict[str, svg.Style],
    metric: str,
    subject: str | None,
) -> list[tuple[str, Markup]]:
    control = points[(points["factor"] == found.selectors[0]) & (points["model"].isin([subject or m for m in style]))]
    out = []
    for selector in found.selectors:
        mine, name = points[points["factor"] == selector], text.selector_name(selector)
        ends = mine.sort_values("level").groupby("model")["estimate"].agg(["first", "last"])
        said = "; ".join(
            f"{style[m].name} from {text.number(v.first)} to {text.number(v.last)}"
            for m, v in zip(ends.index, ends.itertuples(index=False), strict=True)
        )
        alt = f"{metric} against pixels kept by {name}, smallest budget to full image: {said}."
        other = control if selector != found.selectors[0] else control.iloc[:0]
        out.append((name, svg.curve_panel(mine, other, frame, style, alt, subject)))
    return out


def budgets_table(frame: pd.DataFrame, metric: str, found: estimates.Sparse) -> tables.HtmlTable:
    """AUC, b50 and b90 of every curve (`findings.wide`)."""
    unit = found.unit
    cells = {
        "network": tables.plain(frame["model"].tolist()),
        "selector": tables.plain([text.selector_name(s) for s in frame["factor"]]),
        "fill": tables.plain([f or "none" for f in frame["factor2"]]),
        f"AUC of {metric}": tables.with_intervals(frame, "auc", unit),
        "b50": budget_cells(frame, "b50", found.budgets[0]),
        "b90": budget_cells(frame, "b90", found.budgets[0]),
        "n": tables.plain(frame["n"].tolist()),
    }
    caption = f"Area under the {metric} curve and budgets needed, with 95 % intervals."
    return tables.html_table(frame, cells, caption=caption, filename=f"budgets-{metric}.csv")


def budget_cells(frame: pd.DataFrame, name: str, smallest: float) -> list[tables.Cell]:
    """Budgets in words: `3.1 % [2.4 %, 4.0 %]`, "no measured budget"."""
    columns = frame[[name, f"{name}_low", f"{name}_high"]].itertuples(index=False)
    return [
        tables.Cell(shown=findings.budget(float(a), float(b), float(c), smallest), key=repr(float(a)), numeric=True)
        for a, b, c in columns
    ]


def _compared(found: estimates.Sparse, protocol: str) -> list[Any]:
    out: list[Any] = [blocks.Heading(text="Networks compared")]
    if found.areas.empty:
        return [
            *out,
            blocks.Note(text="Only one network was measured, oracles aside, so there is nothing to compare it with."),
        ]
    areas = found.areas
    cells = {
        "selector": tables.plain([text.selector_name(s) for s in areas["factor"]]),
        "fill": tables.plain([f or "none" for f in areas["factor2"]]),
        **pairs.side_columns(areas),
        **pairs.pair_columns(areas, bars=True),
    }
    caption = (
        f"Area under the {found.metric} curve, {pairs.pair_name(areas)}, per selector and fill: "
        f"{pairs.better_side(areas, found.better)}; hollow means undecided. Protocol {protocol}, {tables.sizes(areas)}."
    )
    out.append(blocks.Table(table=tables.html_table(areas, cells, caption=caption, filename="areas.csv")))
    if len(found.ratios):
        out.append(blocks.Table(table=_ratio_table(found.ratios)))
    return out


def _ratio_table(ratios: pd.DataFrame) -> tables.HtmlTable:
    shown = [tables.Cell(shown=text.UNDEFINED if pd.isna(r.estimate) else findings.times(r.estimate, r.low, r.high),
                         key=repr(float(r.estimate)), numeric=True) for r in ratios.itertuples()]  # fmt: skip
    cells = {
        "selector": tables.plain([text.selector_name(s) for s in ratios["factor"]]),
        "fill": tables.plain([f or "none" for f in ratios["factor2"]]),
        **pairs.side_columns(ratios),
        "error reached": tables.plain([f"{q.removeprefix('ratio')} % of the way" for q in ratios["quantity"]]),
        "budget needed": shown,
        "resamples without": [
            tables.Cell(shown=text.percent(v), key=repr(float(v)), numeric=True) for v in ratios["not_reached"]
        ],
    }
    one = pairs.second(ratios)
    who, whom = (text.isolated(one), "the other") if one else ("the second network", "the first")
    caption = f"How many times the budget of {whom} {who} needs for the same error."
    return tables.html_table(ratios, cells, caption=caption, filename="ratios.csv")


def _control(source: Source, found: estimates.Sparse) -> list[Any]:
    out: list[Any] = [blocks.Heading(text="Selectors against random pixels")]
    if found.control.empty:
        return [*out, blocks.Note(text="The random control was not measured, so no selector can be judged.")]
    frame = found.control
    cells = {
        "network": tables.plain(frame["model"].tolist()),
        "fill": tables.plain([f or "none" for f in frame["factor2"]]),
        "selector": tables.plain([text.selector_name(s) for s in frame["b"]]),
        **pairs.pair_columns(frame, bars=True, who="selector"),
    }
    side = "right" if found.better == "higher" else "left"
    caption = (
        f"Area under the {found.metric} curve, selector minus random: {side} of the rule at 0 the selector is better."
    )
    return [*out, blocks.Table(table=tables.html_table(frame, cells, caption=caption, filename="control.csv"))]


def _where(found: estimates.Sparse) -> list[Any]:
    out: list[Any] = [blocks.Heading(text="Where the kept pixels lie")]
    if found.where.empty:
        return [*out, blocks.Note(text="Shares of the kept pixels were not measured in this run.")]
    at = estimates.nearest_budget(sorted(found.where["level"].dropna().unique()))
    here = found.where[found.where["level"] == at]
    for kind, null in (("enrichment", 1.0), ("share", None)):
        frame = here[here["kind"] == kind].reset_index(drop=True)
        if frame.empty:
            continue
        cells = {
            "selector": tables.plain([text.selector_name(s) for s in frame["factor"]]),
            "place": tables.plain([text.place_name(str(o)) for o in frame["on"]]),
            "network": tables.plain(frame["model"].tolist()),
            f"{kind} [95 %]": tables.with_intervals(frame),
            **tables.bar_column(frame, null=null),
            "undefined": tables.plain(frame["undefined"].tolist()),
        }
        caption = CAPTIONS[kind].format(at=text.percent(at), sizes=tables.sizes(frame))
        every = found.where[found.where["kind"] == kind]
        table = blocks.Table(table=tables.html_table(every, cells, caption=caption, filename=f"{kind}.csv"))
        out.append(table if kind == "enrichment" else blocks.More(summary="The shares themselves", blocks=[table]))
    return out
