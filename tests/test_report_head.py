"""What the page says about where its numbers came from: protocols by their hash, failures first, pictures in print."""

import json
import re

import pandas as pd
import pytest
import report_tables as planted

from depthprobe.report import write_report
from depthprobe.report.head import reads, told


def report(out, table, side=None, *, maps=0):
    planted.write_run(out, table, planted.make_sidecar() if side is None else side, maps=maps)
    page = write_report(out, n_boot=200).read_text()
    return page, json.loads((out / "report.json").read_text())


def test_a_protocol_has_one_hash_on_the_page(tmp_path):
    side = planted.make_sidecar()
    side["plans"]["5a5a5a5a"]["protocol"] = {"name": "scenes", "min_depth": 1e-3, "max_depth": 10.0, "seed": 0}
    page, _ = report(tmp_path, planted.make_table(6), side)
    assert "protocol scenes (0e0e0e0e); simultaneous" in page
    assert "scenes (5a5a5a5a)" not in page, "the hash of a plan is not that of its protocol"


def test_a_changed_protocol_of_the_same_name_keeps_its_own_hash(tmp_path):
    side = planted.make_sidecar()
    changed = {"name": "scenes", "min_depth": 1e-3, "max_depth": 5.0}
    side["plans"]["5a5a5a5a"]["protocol"] = changed
    side["protocols"].append({**changed, "hash": "0f0f0f0f"})
    assert "protocol scenes (0f0f0f0f); simultaneous" in report(tmp_path, planted.make_table(6), side)[0]


@pytest.mark.parametrize(("metric", "what"), [("failed", "no number (NaN)"), ("nonpositive", "zero or negative depth")])
def test_pixels_without_a_depth_are_warned_of_first(tmp_path, metric, what):
    table = planted.make_table(4, sparse=False)
    rows = table[table["metric"] == "abs_rel"].assign(metric=metric, better="lower", value=0.0)
    rows.loc[rows["model"] == "zoo:pvt", "value"] = 0.25
    said = " ".join(report(tmp_path, pd.concat([table, rows]))[1]["warnings"])
    assert f"zoo:pvt gives {what} for 25\N{NO-BREAK SPACE}% of the judged pixels" in said
    assert "zoo:convnext gives" not in said


@pytest.mark.parametrize(("groups", "few", "none"), [(3, True, True), (8, True, False), (24, False, False)])
def test_few_groups_are_said_to_be_few(tmp_path, groups, few, none):
    table = planted.make_table(24, sparse=False)
    number = table["sample"].map({name: i % groups for i, name in enumerate(sorted(table["sample"].unique()))})
    said = " ".join(report(tmp_path, table.assign(group="g" + number.astype(str)))[1]["warnings"])
    assert (f"Only {groups} independent groups: intervals are wide" in said) == few
    assert ("No difference can be called one with fewer than 6" in said) == none


def test_rows_of_two_states_of_the_code_are_warned_of(tmp_path):
    side = planted.make_sidecar() | {"code": ["a", "b"]}
    said = " ".join(report(tmp_path, planted.make_table(4, sparse=False), side)[1]["warnings"])
    assert "The code that measures changed between parts of this table (2 states of it)" in said
    side["code"] = ["", "a"]
    assert "The code that measures" not in str(
        report(tmp_path, planted.make_table(4, sparse=False), side)[1]["warnings"]
    )


@pytest.mark.parametrize(("parts", "said"), [(1, "1 part of this table was"), (3, "3 parts of this table were")])
def test_parts_whose_code_is_not_recorded_are_counted_and_are_no_state(tmp_path, parts, said):
    side = planted.make_sidecar() | {"code": ["a"], "code_not_recorded": parts}
    warnings = " ".join(report(tmp_path, planted.make_table(4, sparse=False), side)[1]["warnings"])
    assert f"By what state of the code {said} measured is not recorded" in warnings
    assert "states of it" not in warnings


def test_pictures_are_there_before_the_reader_scrolls_to_them(tmp_path):
    page, _ = report(tmp_path, planted.make_table(6), maps=2)
    assert "<img src=" in page
    assert 'loading="lazy"' not in page, "a printer does not scroll"


def test_cards_follow_the_weights(tmp_path):
    table = planted.make_table(4, models={"zoo:pvt": "transformer"}, sparse=False)
    side = planted.make_sidecar()
    side["models"] = [
        dict(side["models"][1], tag=tag, parameters=n) for tag, n in (("planted", 1234), ("second", 4321))
    ]
    page, _ = report(tmp_path, pd.concat([table, table.assign(tag="second")]), side)
    assert "1,234" in page
    assert "4,321" in page


def two_plans(tmp_path):
    """One run judged by two protocols, as `--protocol` twice gives it, with maps of both."""
    side = planted.make_sidecar()
    other = {"name": "strict", "min_depth": 1e-3, "max_depth": 5.0}
    side["plans"]["5b5b5b5b"] = {**side["plans"]["5a5a5a5a"], "protocol": other}
    side["protocols"].append({**other, "hash": "0f0f0f0f"})
    table = planted.make_table(6)
    second = table[table["probe"] == "sparse"].assign(plan="5b5b5b5b")
    planted.write_maps(tmp_path / "maps", table, 2)
    (tmp_path / "maps").rename(tmp_path / "first")
    planted.write_maps(tmp_path / "maps" / "second", second, 2)
    (tmp_path / "first").rename(tmp_path / "maps" / "first")
    return report(tmp_path, pd.concat([table, second]), side)


def test_findings_of_two_plans_say_which(tmp_path):
    leads = [f["lead"] for f in two_plans(tmp_path)[1]["findings"] if f["section"] == "sparse"]
    assert len(set(leads)) == len(leads)
    assert "From how few pixels under scenes (0e0e0e0e):" in leads
    assert "From how few pixels under strict (0f0f0f0f):" in leads


def test_every_plan_has_its_own_slider(tmp_path):
    page, _ = two_plans(tmp_path)
    assert page.count('<div class="slider"') == page.count('<script type="application/json">') == 2
    ids = re.findall(r'<[^>]* id="([^"]+)"', page)
    assert len(set(ids)) == len(ids), "an id stands once on a page"


@pytest.mark.parametrize(
    ("card", "said"),
    [
        ({"size": [96, 128], "multiple": 1}, "96 × 128 px"),
        ({"size": None, "multiple": 32}, "any size, to a multiple of 32"),
        ({"size": None, "multiple": 1}, "any size"),
        (
            {"size": None, "reading": {"size": None, "multiple": 14, "aspect": "stretch"}},
            "any size, to a multiple of 14",
        ),
        ({"size": None, "reading": {"size": [518, 518], "aspect": "keep"}}, "about 518 × 518 px, keeping the aspect"),
        ({"size": None, "reading": {"size": [384, 512], "aspect": "stretch"}}, "384 × 512 px"),
        ({}, "not recorded"),
    ],
)
def test_at_what_size_a_network_reads(card, said):
    assert reads(card) == said


def test_of_a_trainings_scores_few_are_told():
    assert told({"rmse": 1.0, "abs_rel": 0.1, "silog": 9.0}) == {"abs_rel": 0.1, "rmse": 1.0}
    assert told({"silog": 9.0}) == {"silog": 9.0}
