"""Numbers, names and sentences of the page: what is rounded away, turned round or said of many must stay true."""

import json

import pandas as pd
import pytest
import report_tables as planted

from depthprobe.report import svg, tables, text, write_report


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"), (0.2134, "0.213"), (1234.5, "1,234"), (-0.02, "−0.0200"), (2.5e6, "2.50 M"), (3e9, "3.00 G"),
        (0.0001, "0.0001"), (3.2e-5, "3.2×10⁻⁵"), (-4e-12, "−4.0×10⁻¹²"), (float("nan"), "undefined"),
    ],
)  # fmt: skip
def test_no_number_reads_0_without_being_it(value, said):
    assert text.number(value) == said
    assert (text.number(value) == "0") == (value == 0)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.261, "26.1"), (0.5, "50"), (1.0, "100"), (9.99, "999"), (25.2, "2,520"), (1234.0, "123,400"),
        (2e-8, "2.0×10⁻⁶"), (0.0, "0"),
    ],
)  # fmt: skip
def test_shares_are_per_cent_without_powers_where_a_reader_knows_none(share, said):
    assert text.percent(share) == f"{said}\N{NO-BREAK SPACE}%"


def test_ticks_of_small_numbers_are_written_like_all_others():
    assert [svg.tick(v) for v in (0.25, -1.0, 2e-5, 3e6)] == ["0.25", "−1", "2.0×10⁻⁵", "3.00 M"]


@pytest.mark.parametrize("name", ["zoo:שלום", "x:مرحبا", "שלום"])
def test_names_from_right_to_left_do_not_turn_round_the_numbers_beside_them(name):
    short = text.short_names([name, "zoo:pvt"])[name]
    assert (short[0], short[-1]) == ("\u2068", "\u2069")
    clipped = text.clipped(text.isolated(name + 40 * "א"), 20)
    assert (clipped[0], clipped[-1], len(clipped)) == ("\u2068", "\u2069", 20)


@pytest.mark.parametrize("name", ["pvt", "深度估计网络", "<b>", "a b"])
def test_other_names_stay_as_they_are(name):
    assert text.isolated(name) == name


def test_names_in_sentences_are_short_as_long_as_they_tell_networks_apart():
    long = ["py:" + "a" * 100 + end for end in ("x", "y")]
    short = text.short_names([*long, "zoo:pvt"])
    assert short["zoo:pvt"] == "pvt"
    assert [len(short[name]) for name in long] == [text.ROOM, text.ROOM]
    assert len(set(short.values())) == 3
    alike = ["py:" + "a" * 50 + middle + "b" * 50 for middle in "xy"]
    assert list(text.short_names(alike).values()) == [name[3:] for name in alike]
    assert list(text.short_names(["zoo:a", "py:a"]).values()) == ["zoo:a", "py:a"]


def test_one_sample_is_no_samples():
    frame = pd.DataFrame({"n": [1, 1], "groups": [1, 1]})
    assert tables.sizes(frame) == "n = 1 sample in 1 group"
    assert tables.sizes(frame.assign(n=[3, 24])) == "n = 3 to 24 samples in 1 group"


FAMILIES = {f"zoo:n{k}": "cnn" if k % 2 else "transformer" for k in range(7)}


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A report of seven networks; the first is clearly the best."""
    out = tmp_path_factory.mktemp("crowd")
    table = planted.make_table(24, FAMILIES)
    best = (table["model"] == "zoo:n0") & (table["metric"] == "abs_rel")
    table.loc[best, "value"] -= 0.1
    smooth = table[(table["probe"] == "error") & (table["metric"] == "abs_rel")]
    smooth = smooth.assign(probe="continuity", metric="grad_mae_smooth", unit="ln/px", plan="c0c0c0c0")
    table = pd.concat([table, smooth], ignore_index=True)
    planted.write_run(out, table, maps=0)
    page = write_report(out, n_boot=60)
    return page.read_text(), json.loads((out / "report.json").read_text())


def test_a_crowd_of_networks_is_not_told_pair_by_pair(crowd):
    page, data = crowd
    said = {f["lead"]: f["text"] for f in data["findings"]}
    assert "7 networks on scenes" in data["title"]
    assert len(said) <= 6 and max(map(len, said.values())) < 500
    decided = [r for r in data["frames"]["accuracy_differences"]
               if r["metric"] == "abs_rel" and r["verdict"] != "undecided"]  # fmt: skip
    assert f"n0 is clearly better than 6 of the 6 others; {len(decided)} of 21" in said["How accurate:"]
    means = [r for r in data["frames"]["accuracy"] if r["metric"] == "abs_rel"]
    first, last = (f(means, key=lambda r: r["estimate"]) for f in (min, max))
    for one in (first, last):
        number = text.interval(one["estimate"], one["low"], one["high"])
        assert f"{one['model'].removeprefix('zoo:')} {number}" in said["How accurate:"]
    assert said["Continuity and boundaries:"].startswith(
        "gradient error on surfaces of 7 networks (lower is better) from n0"
    )
    assert "of 21 pairs" in said["Networks compared on sparse pixels:"]
    assert "texture for 7" in said["Which pixels:"]
    assert page.count("on sparse pixels:</strong>") == 21 + 1  # every pair is there, folded away


def test_few_networks_are_told_by_name_and_direction(tmp_path):
    planted.write_run(tmp_path, planted.make_table(8), maps=0)
    write_report(tmp_path, n_boot=60)
    data = json.loads((tmp_path / "report.json").read_text())
    assert data["title"] == "zoo:convnext and zoo:pvt on scenes"
    assert "(lower is better)" in data["findings"][0]["lead"]
