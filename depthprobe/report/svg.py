"""Curves and interval bars drawn as SVG text: small, sharp at any width, in the page's own light or dark colours.

Figures for papers come from `depthprobe.plots`; a page needs panels that reflow on a phone and follow its theme.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from depthprobe.report import text

WIDTH, HEIGHT = 330, 220
LEFT, RIGHT, TOP, BOTTOM = 60, 10, 8, 34
DASHES = ("", "7 3", "2 3", "9 3 2 3")
SHAPES = {"cnn": 0, "transformer": 2, "hybrid": 3, "oracle": 1}
BAR_WIDTH, BAR_HEIGHT = 150, 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class Style:
    """How one network is drawn everywhere on the page: hue by family, dash and marker by place within it."""

    name: str
    family: str
    place: int

    @property
    def dash(self) -> str:
        """SVG dash pattern."""
        return DASHES[self.place % len(DASHES)]


def styles(models: pd.DataFrame, short: dict[str, str]) -> dict[str, Style]:
    """Model -> Style from the columns model, family."""
    unique = models.drop_duplicates("model").sort_values(["family", "model"])
    place = unique.groupby("family").cumcount()
    rows = zip(unique["model"], unique["family"], place, strict=True)
    return {model: Style(name=short[model], family=family, place=int(at)) for model, family, at in rows}


def key(style: Style) -> Markup:
    """A short sample of the network's line for the legend."""
    line = f'<line class="line" x1="1" x2="35" y1="7" y2="7" stroke-dasharray="{style.dash or "none"}"/>'
    body = line + marker(style, 18, 7)
    return Markup(
        f'<svg class="key {style.family}" viewBox="0 0 36 14" width="36" height="14" aria-hidden="true">{body}</svg>'
    )


def marker(style: Style, x: float, y: float, r: float = 3.2) -> str:
    """Circle, square, triangle or diamond: by family first, then by place within it, so that grey print reads."""
    shape = (SHAPES.get(style.family, 0) + style.place) % 4
    if shape == 0:
        return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    corners = {
        1: [(-r, -r), (r, -r), (r, r), (-r, r)],
        2: [(0, -1.3 * r), (1.2 * r, r), (-1.2 * r, r)],
        3: [(0, -1.3 * r), (1.3 * r, 0), (0, 1.3 * r), (-1.3 * r, 0)],
    }[shape]
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)
    return f'<polygon class="dot" points="{points}"/>'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """The axes that all panels of one figure share: x over the measured `levels`, linear y.

    Convention: `label`, `up`: what the axes across and upwards say; `scale`: "log", "linear", or "steps" (levels at
    equal distances); `share`: they are shares, shown as %.
    """

    levels: tuple[float, ...]
    y: tuple[float, float]
    up: str
    label: str = "pixels kept (log)"
    scale: str = "log"
    share: bool = True

    @property
    def x(self) -> tuple[float, float]:
        """The ends of the axis."""
        return self.levels[0], self.levels[-1]

    def at(self, level: float, value: float) -> tuple[float, float]:
        """Where a point of the data stands in the drawing."""
        low, here, high = (self._place(v) for v in (self.x[0], level, self.x[1]))
        across = (here - low) / ((high - low) or 1.0)
        up = (value - self.y[0]) / ((self.y[1] - self.y[0]) or 1.0)
        return LEFT + across * (WIDTH - LEFT - RIGHT), TOP + (1 - up) * (HEIGHT - TOP - BOTTOM)

    def _place(self, level: float) -> float:
        if self.scale == "steps":
            return float(self.levels.index(level))
        return math.log(level) if self.scale == "log" else level

    def shown(self, level: float) -> str:
        """A level as the axis and the hover texts name it."""
        return f"{100 * level:g} %" if self.share else f"{level:g}"

    def ticks(self) -> list[float]:
        """The levels that the axis names: those of budgets, else the measured ones where they have room."""
        if self.share:
            return _budget_ticks(*self.x)
        return list(self.levels) if len(self.levels) <= 8 else ticks(*self.x, 5)


def shared_frame(points: pd.DataFrame, **axis: Any) -> Frame:
    """Axes that hold every curve and band of `points` (columns level, estimate, band_low, band_high)."""
    values = points[["estimate", "band_low", "band_high"]].to_numpy(float)
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.05 * abs(high) or 1.0
    levels = tuple(sorted(float(v) for v in points["level"].unique()))
    if axis.get("scale", "log") == "log" and levels[0] <= 0:
        axis["scale"] = "linear"
    return Frame(levels=levels, y=(low - pad, high + pad), **axis)


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` round numbers inside [low, high]."""
    raw = (high - low) / count
    size = 10 ** math.floor(math.log10(raw))
    step = next(s * size for s in (1, 2, 2.5, 5, 10) if s * size >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def curve_panel(
    points: pd.DataFrame, control: pd.DataFrame, frame: Frame, style: dict[str, Style], alt: str,
    subject: str | None = None,
) -> Markup:  # fmt: skip
    """One selector: a line, markers and a simultaneous band per network; thin dots = the same network on `control`.

    Convention: with a `subject`, only it has markers and band; the others are thin lines on the grey range they span.
    """
    body = [_axes(frame)]
    others = points[points["model"] != subject] if subject else points.iloc[:0]
    if others["model"].nunique() > 1:
        body.append(_range(others, frame))
    for model, part in points.groupby("model", sort=True):
        thin = model in set(others["model"])
        body.append(_line(part.sort_values("level"), frame, style[str(model)], thin=thin))
    for model, part in control.groupby("model", sort=True):
        path = _path(part.sort_values("level"), "estimate", frame)
        body.append(f'<polyline class="control {style[str(model)].family}" points="{path}"/>')
    size = f'viewBox="0 0 {WIDTH} {HEIGHT}"'
    head = f'<svg class="curves tips" {size} role="img" tabindex="0" aria-label="{escape(alt)}">'
    return Markup(f"{head}{''.join(body)}</svg>")


def _range(others: pd.DataFrame, frame: Frame) -> str:
    """The grey band from the lowest to the highest of the references at every level."""
    ends = others.groupby("level")["estimate"].agg(["min", "max"]).reset_index().dropna()
    outline = f"{_path(ends, 'min', frame)} {_path(ends[::-1], 'max', frame)}"
    return f'<polygon class="range" points="{outline.strip()}"/>'


def _path(part: pd.DataFrame, column: str, frame: Frame) -> str:
    known = part[np.isfinite(part[column])]
    places = (frame.at(b, v) for b, v in zip(known["level"], known[column], strict=True))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _line(part: pd.DataFrame, frame: Frame, style: Style, *, thin: bool = False) -> str:
    dash, path = style.dash or "none", _path(part, "estimate", frame)
    line = f'<polyline class="line" points="{path}" stroke-dasharray="{dash}"/>'
    if thin:
        return f'<g class="{style.family} thin">{line}</g>'
    band = part[np.isfinite(part["band_low"]) & np.isfinite(part["band_high"])]
    outline = f"{_path(band, 'band_low', frame)} {_path(band[::-1], 'band_high', frame)}"
    dots = "".join(_point(row, frame, style) for row in part.itertuples() if np.isfinite(row.estimate))
    return f'<g class="{style.family}"><polygon class="band" points="{outline.strip()}"/>{line}{dots}</g>'


def _point(row: Any, frame: Frame, style: Style) -> str:
    number = text.interval(row.estimate, row.band_low, row.band_high, row.unit)
    said = escape(f"{style.name}, {frame.shown(row.level)}: {number}")
    return f'<g data-tip="{said}">{marker(style, *frame.at(row.level, row.estimate))}</g>'


def _axes(frame: Frame) -> str:
    out = []
    for value in ticks(*frame.y):
        y = frame.at(frame.x[0], value)[1]
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{tick(value)}</text>')
    for level in frame.ticks():
        x = frame.at(level, frame.y[0])[0]
        anchor = "end" if level == frame.x[1] and frame.share else "middle"
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="{anchor}">{frame.shown(level)}</text>')
    across = f'x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle"'
    out.append(f'<text class="label" {across}>{escape(frame.label)}</text>')
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 11 {middle})" text-anchor="middle"'
    out.append(f'<text class="label" x="11" y="{middle}" {turned}>{escape(frame.up)}</text>')
    return "".join(out)


def _budget_ticks(low: float, high: float) -> list[float]:
    rounds = [m * 10.0**e for e in range(-4, 1) for m in (1, 2, 5)]
    inside = [b for b in rounds if low * 0.999 <= b <= high * 1.001]
    decades = [b for b in inside if f"{b:e}".startswith("1.0")]
    if len(decades) >= 3:
        return decades
    kept: list[float] = []
    for budget in reversed(inside):  # from the right, where 100 % always stands, as many as have room
        gap = math.log(kept[-1] / budget) / math.log(high / low) * (WIDTH - LEFT - RIGHT) if kept else math.inf
        kept += [budget] if gap > (56 if len(kept) == 1 else 44) else []
    return kept[::-1]


def tick(value: float) -> str:
    """A number of an axis."""
    plain = f"{value:g}"
    return text.number(value) if "e" in plain or abs(value) >= 1e5 else plain.replace("-", "\N{MINUS SIGN}")


def bar_scale(lows: Sequence[float], highs: Sequence[float], null: float | None) -> tuple[float, float]:
    """Ends of the axis that a column of interval bars shares; holds `null` (the value of "no difference")."""
    known = [v for v in (*lows, *highs, *([] if null is None else [null])) if math.isfinite(v)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    pad = 0.05 * (high - low) or 0.5
    return low - pad, high + pad


def interval_bar(
    estimate: float, low: float, high: float, scale: tuple[float, float], *,
    null: float | None = None, decided: bool = True, family: str = "",
) -> Markup:  # fmt: skip
    """A point with its interval on a shared axis: filled when decided, hollow when not; a rule at `null`."""

    def at(value: float) -> float:
        return 4 + (BAR_WIDTH - 8) * (min(max(value, scale[0]), scale[1]) - scale[0]) / (scale[1] - scale[0])

    mid, body = BAR_HEIGHT / 2, ""
    if null is not None:
        body += f'<line class="null" x1="{at(null):.1f}" x2="{at(null):.1f}" y1="0" y2="{BAR_HEIGHT}"/>'
    if math.isfinite(low) and math.isfinite(high):
        body += f'<line class="line" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{mid}" y2="{mid}"/>'
    if math.isfinite(estimate):
        body += f'<circle class="{"dot" if decided else "hollow"}" cx="{at(estimate):.1f}" cy="{mid}" r="4"/>'
    return Markup(
        f'<svg class="bar {escape(family)}" viewBox="0 0 {BAR_WIDTH} {BAR_HEIGHT}" width="{BAR_WIDTH}" '
        f'height="{BAR_HEIGHT}" aria-hidden="true">{body}</svg>'
    )
