"""Forest plots as SVG text: one number of every network, with its interval, on one axis."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from depthprobe.report import svg, text

WIDTH, ROW, BOTTOM, PAD = 330, 36, 24, 6
ROOM = 20  # letters of a name beside its number


def forest(
    means: pd.DataFrame, style: dict[str, svg.Style], *, subject: str | None = None, references: Sequence[str] = (),
    right: float = math.nan, exact: bool = False, alt: str,
) -> Markup:  # fmt: skip
    """A row per network: its name and number, under them a marker with the interval; the best number on top.

    Convention: `means` has model, estimate, low, high, n, groups, unit, better. The subject is bold; the grey band is
    the range of the references; the dashed rule is what would be `right`; `exact` numbers have no interval.
    """
    up = means["better"].iloc[0] != "lower"
    rows = means.sort_values(["estimate", "model"], ascending=[not up, True])
    low, high = svg.bar_scale(means["low"].fillna(means["estimate"]).tolist(),
                              means["high"].fillna(means["estimate"]).tolist(),
                              right if math.isfinite(right) else None)  # fmt: skip
    height = ROW * len(rows) + BOTTOM

    def at(value: float) -> float:
        return PAD + (WIDTH - 2 * PAD) * (min(max(value, low), high) - low) / (high - low)

    body = [_band(means, references, at, height), _axis(low, high, at, height)]
    if math.isfinite(right):
        x = at(right)
        body.append(f'<line class="right" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - BOTTOM}"/>')
    body += [_row(row, k * ROW, at, style[str(row.model)], bold=row.model == subject, exact=exact)
             for k, row in enumerate(rows.itertuples())]  # fmt: skip
    size = f'viewBox="0 0 {WIDTH} {height}"'
    head = f'<svg class="forest tips" {size} role="img" tabindex="0" aria-label="{escape(alt)}">'
    return Markup(f"{head}{''.join(body)}</svg>")


def _band(means: pd.DataFrame, references: Sequence[str], at: Any, height: int) -> str:
    known = means[means["model"].isin(references)]["estimate"].dropna()
    if len(known) < 2:
        return ""
    left, end = at(known.min()), at(known.max())
    return f'<rect class="range" x="{left:.1f}" y="0" width="{end - left:.1f}" height="{height - BOTTOM}"/>'


def _axis(low: float, high: float, at: Any, height: int) -> str:
    base, out = height - BOTTOM, []
    for value in svg.ticks(low, high, 5):
        x = at(value)
        anchor = "start" if x < 22 else "end" if x > WIDTH - 22 else "middle"
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{base}" y2="{base + 5}"/>')
        out.append(f'<text x="{x:.1f}" y="{base + 17}" text-anchor="{anchor}">{svg.tick(value)}</text>')
    return f'<line class="grid" x1="{PAD}" x2="{WIDTH - PAD}" y1="{base}" y2="{base}"/>{"".join(out)}'


def _row(row: Any, top: float, at: Any, style: svg.Style, *, bold: bool, exact: bool) -> str:
    number = text.number(row.estimate) if exact else text.interval(row.estimate, row.low, row.high)
    middle = top + 25
    unit = "" if row.unit == "1" else f" {row.unit}"
    tip = escape(f"{style.name}: {number}{unit}, n = {row.n} in {text.counted(row.groups, 'group')}")
    line = ""
    if math.isfinite(row.low) and math.isfinite(row.high):
        line = f'<line class="line" x1="{at(row.low):.1f}" x2="{at(row.high):.1f}" y1="{middle}" y2="{middle}"/>'
    dot = svg.marker(style, at(row.estimate), middle, 4.5) if math.isfinite(row.estimate) else ""
    name = f'<text class="name" x="{PAD}" y="{top + 13}">{escape(text.clipped(style.name, ROOM))}</text>'
    value = f'<text class="name" x="{WIDTH - PAD}" y="{top + 13}" text-anchor="end">{escape(number)}</text>'
    return (
        f'<g class="{escape(style.family)}{" subject" if bold else ""}" data-tip="{tip}">{name}{value}{line}{dot}</g>'
    )
