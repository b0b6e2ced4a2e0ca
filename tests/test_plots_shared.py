"""Forests in panels on shared axes: nothing outside the limits, no row under another's label."""

import numpy as np
import pandas as pd
import pytest

from depthprobe import plots


def forest_rows(panel, factors, estimates, half=0.1):
    return [
        {"panel": panel, "factor": f, "estimate": e, "low": e - half, "high": e + half, "n": 9, "metric": "abs_rel",
         "unit": "1", "better": "lower"} for f, e in zip(factors, estimates, strict=True)
    ]  # fmt: skip


def panels(rows, **options):
    def draw(part, ax, last):
        plots.draw_forest(part, ax, rows=["factor"], numbers=False, **options)

    return plots.small_multiples(pd.DataFrame(rows), draw, panel="panel", columns=2)


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("wide", ["a", "b"])
def test_shared_limits_hold_the_marks_of_every_panel(ratio, wide):
    far = [0.2, 8.0] if ratio else [-5.0, 3.0]
    rows = [r for p in "abc" for r in forest_rows(p, ["x", "y"], far if p == wide else [1.0, 1.2])]
    figure = panels(rows, ratio=ratio)
    assert len({ax.get_xlim() for ax in figure.axes}) == 1
    low, high = figure.axes[0].get_xlim()
    assert low < min(r["low"] for r in rows)
    assert high > max(r["high"] for r in rows)
    if ratio:
        assert {0.2, 1.0, 5.0} <= set(figure.axes[0].get_xticks())


def test_a_bound_at_infinity_runs_to_the_edge_that_a_later_panel_sets():
    rows = forest_rows("a", ["x"], [1.0]) + forest_rows("b", ["x"], [9.0])
    rows[0]["high"] = np.inf
    figure = panels(rows)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    arrow = next(line for line in ax.get_lines() if line.get_marker() == ">")
    tip = arrow.get_transform().transform(arrow.get_xydata())[0, 0]
    line = ax.patches[0].get_path().vertices if ax.patches else None
    assert line is not None
    assert tip == pytest.approx(ax.bbox.x1)
    assert ax.get_xlim()[1] > 9.1


def test_rows_keep_their_label_where_panels_have_different_rows():
    rows = forest_rows("a", ["x", "y", "z"], [1.0, 2.0, 3.0]) + forest_rows("b", ["z", "w"], [3.5, 4.5])
    figure = panels(rows)
    for ax, value in zip(figure.axes, "ab", strict=False):
        ticks = ax.get_yticks()
        named = dict(zip(ticks, ax.yaxis.get_major_formatter().format_ticks(ticks), strict=True))
        marks = [line for line in ax.get_lines() if line.get_linestyle() == "None"]
        got = {named[m.get_ydata()[0]]: m.get_xdata()[0] for m in marks}
        assert got == {r["factor"]: r["estimate"] for r in rows if r["panel"] == value}
        assert all(ax.get_ylim()[0] < m.get_ydata()[0] < ax.get_ylim()[1] for m in marks)
