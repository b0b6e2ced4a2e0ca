"""`depthprobe protocols`: rules and differences in words, and by how much on a network's predictions."""

import json

import pytest
from test_cli import call, refused

from depthprobe.functional.protocol import PROTOCOLS, get_protocol
from depthprobe.schema import plan_id, read_sidecar, read_table

SMALL = ["--n", 6, "--size", "24x32", "--device", "cpu"]


def test_help_teaches_with_examples():
    assert "protocols" in call("--help").output
    assert "depthprobe protocols explain bts_kitti zoe_kitti" in call("protocols", "explain", "--help").output
    assert "depthprobe protocols show" in call("protocols", "show", "--help").output


@pytest.mark.parametrize("name", PROTOCOLS.names())
def test_show_prints_every_rule(name):
    text = call("protocols", "show", name).output
    assert plan_id(get_protocol(name)) in text
    assert "truth" in text


def test_explain_in_words():
    text = " ".join(call("protocols", "explain", "bts_kitti", "zoe_kitti").output.split())
    assert "rows 153:371 of 375" in text
    assert "rows 166:372 of 375" in text
    assert "align_corners=True" in text
    assert "alike" in call("protocols", "explain", "ibims", "ibims").output
    assert "rows 151:366 of" in call("protocols", "explain", "bts_kitti", "zoe_kitti", "--frame", "370x1226").output


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """`scenes` against `midas_nyu` on an oracle: as JSON, and where the table is."""
    out = tmp_path_factory.mktemp("explain") / "t"
    args = ["protocols", "explain", "scenes", "midas_nyu", "-m", "oracle:brightness", *SMALL, "--out", out]
    return out, args, json.loads(call(*args, "--json").stdout)


def test_changes_in_turn_add_up_to_the_difference_of_the_two_protocols(measured):
    out, _, found = measured
    table = read_table(out)
    mean = table.groupby(["plan", "metric"])["value"].mean()
    names = {p["name"]: p["hash"] for p in read_sidecar(out)["protocols"]}
    assert {d["aspect"] for d in found["differences"]} == {"data", "range", "alignment", "floor", "metrics"}
    for metric in ("abs_rel", "rmse", "delta1", "silog"):
        rows = [c for c in found["changes"] if c["metric"] == metric]
        whole = next(c for c in rows if c["how"] == "together")
        turn = [c for c in rows if c["how"] == "in turn"]
        assert [c["change"] for c in turn] == ["range", "alignment", "floor"]
        assert sum(c["estimate"] for c in turn) == pytest.approx(whole["estimate"], abs=1e-9)
        assert whole["mean_a"] == pytest.approx(mean[names["scenes"], metric])
        assert whole["mean_b"] == pytest.approx(mean[names["midas_nyu"], metric])
        assert all(c["low"] <= c["estimate"] <= c["high"] for c in rows)
    assert names["scenes+alignment"] in set(table["plan"])


def test_changes_are_printed_and_the_table_is_used_again(measured):
    out, args, found = measured
    before = {p: p.stat().st_mtime_ns for p in (out / "parts").iterdir()}
    text = call(*args).output
    assert "+ alignment" in text
    assert "= midas_nyu" in text
    assert "6 samples, 95 % intervals over 6 groups" in " ".join(text.split())
    whole = next(c for c in found["changes"] if c["how"] == "together" and c["metric"] == "abs_rel")
    assert f"{whole['mean_a']:.4f}" in text
    assert {p: p.stat().st_mtime_ns for p in (out / "parts").iterdir()} == before


def test_protocols_that_judge_a_kind_alike_need_no_run(tmp_path):
    args = ["protocols", "explain", "midas_nyu", "midas_nyu", "-m", "oracle:row", "--out", tmp_path / "none"]
    assert "judge a network of kind metric_depth alike" in call(*args).output
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["explain", "bts_kiti", "zoe_kitti"], "Did you mean `bts_kitti`?"),
        (["explain", "bts_nyu", "midas_nyu", "-m", "oracle:affine"], "protocols that fit affine_disparity"),
        (["explain", "bts_kitti", "zoe_kitti", "--frame", "96x128"], "Expected images of at least 352x1216"),
        (["explain", "bts_nyu", "bts_kitti", "-m", "oracle:row", *SMALL], "Expected images of at least 352x1216"),
        (["explain", "bts_nyu", "ibims", "-m", "oracle:row", "-d", "nyu", "--root", "nowhere"], "nowhere"),
        (["explain", "bts_nyu", "ibims", "-m", "oracle:row", "--root", "x"], "options of data set `scenes`"),
        (["show", "nope"], "Expected protocol to be one of"),
    ],
    ids=lambda x: " ".join(map(str, x)) if isinstance(x, list) else "",
)
def test_errors_are_one_sentence(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert message in refused("protocols", *args)
