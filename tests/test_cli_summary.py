"""Which numbers a run ends with: curves only where they reach the whole image, masks told apart, never a mixture."""

import numpy as np
import pandas as pd
import pytest

from depthprobe.cli import console
from depthprobe.cli.summary import headline, show

SIDE = {"axes": {"curve": {"factor": "selector", "level": "budget"}}, "protocols": [{"metrics": ["abs_rel"]}]}


def rows(levels, factors=("random",), probe="curve"):
    made = [
        {
            "sample": f"s{i}",
            "group": f"g{i}",
            "level": level,
            "factor": factor,
            "value": 1.0 / (1 + 9 * (level or 0)) + i,
        }
        for i in range(3)
        for level in levels
        for factor in factors
    ]
    same = {"dataset": "d", "model": "m", "tag": "t", "family": "cnn", "probe": probe, "plan": "p", "seed": 0}
    frame = pd.DataFrame(made).assign(**same, layer="", factor2="", level2=np.nan, metric="abs_rel", unit="1")
    return frame.assign(better="lower", level=frame["level"].astype(float))


@pytest.mark.parametrize(("levels", "shown"), [((0.1, 0.5, 1.0), 1), ((0.1, 0.3, 0.5), 0)])
def test_a_budget_is_named_only_where_the_curve_reaches_the_whole_image(levels, shown):
    found = headline(rows(levels), SIDE)
    assert found["measure"].str.startswith("budget for 90 %").sum() == shown


@pytest.mark.parametrize(("metric", "said"), [("failed", "No number (NaN)"), ("nonpositive", "Zero or negative")])
def test_what_was_judged_in_the_place_of_something_else_is_said(tmp_path, capsys, metric, said):
    """Clamped into the protocol's range, a negative depth would be an error like any other."""
    table = rows([None])
    (tmp_path / "table.json").write_text("{}")
    show(pd.concat([table, table.assign(metric=metric, value=[0.5, 0.25, 0.0])]), tmp_path)
    assert f"{said}: 25 % of the judged pixels of m, judged as the nearest depth" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("place", "speaks"),
    [({}, True), ({"RANK": "0", "LOCAL_RANK": "0"}, True), ({"RANK": "2", "LOCAL_RANK": "0"}, False),
     ({"LOCAL_RANK": "0"}, True), ({"LOCAL_RANK": "1"}, False)],
    ids=["alone", "first", "another machine", "first of devices=2", "second of devices=2"],
)  # fmt: skip
def test_one_process_speaks(monkeypatch, place, speaks):
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert console.is_first() == speaks


def test_a_probe_without_a_whole_is_shown_by_what_it_tells_apart():
    found = headline(rows([None], factors=("soft", "hard")), SIDE)
    assert sorted(found["measure"]) == ["abs_rel · hard", "abs_rel · soft"]


def test_a_probe_with_a_whole_shows_that_alone():
    found = headline(rows([None], factors=("", "band")), SIDE)
    assert found["measure"].tolist() == ["abs_rel"]
