"""Named changes: each a paired difference, over one set of samples, so that a chain adds up."""

import numpy as np
import pandas as pd
import pytest
from stats_tables import make_table

from depthprobe.stats import compare
from depthprobe.stats.changes import changes

CHAIN = pd.DataFrame(
    {"how": ["turn", "turn", "turn", "all"], "a": ["p0", "p1", "p2", "p0"], "b": ["p1", "p2", "p3", "p3"]}
)


def table(holes=()):
    """Four plans, two metrics, 20 samples in 10 groups; NaN at `holes` = (plan, metric, sample)."""
    draw, rows = np.random.default_rng(0), []
    for metric, better in (("abs_rel", "lower"), ("delta1", "higher")):
        level = draw.normal(1, 0.1, 20)
        for i in range(4):
            value = level + 0.05 * i**2 + draw.normal(0, 0.01, 20)
            for plan, of, sample in holes:
                if (plan, of) == (f"p{i}", metric):
                    value[sample] = np.nan
            rows.append({"plan": f"p{i}", "metric": metric, "better": better, "value": value})
    return make_table(rows, per_group=2, probe="error")


@pytest.mark.parametrize("holes", [(), (("p1", "abs_rel", 3), ("p2", "abs_rel", 4), ("p2", "delta1", 3))])
def test_a_chain_adds_up_to_the_whole_for_every_metric(holes):
    found = changes(table(holes), CHAIN)
    assert list(found["how"]) == ["turn"] * 6 + ["all"] * 2
    for metric, left in (("abs_rel", 2), ("delta1", 1)):
        own = found[found["metric"] == metric]
        whole = own[own["how"] == "all"].iloc[0]
        assert own.loc[own["how"] == "turn", "estimate"].sum() == pytest.approx(whole["estimate"], rel=1e-12)
        assert own["n"].unique().tolist() == [20 - (left if holes else 0)], "one set of samples for all"
        assert own["left_out"].unique().tolist() == [left if holes else 0]
        assert own["mean_a"].iloc[0] == pytest.approx(whole["mean_a"])
        assert own["mean_b"].iloc[2] == pytest.approx(whole["mean_b"])


def test_each_change_is_the_paired_difference_with_its_interval():
    found = changes(table(), CHAIN, n_boot=500).set_index(["a", "b", "metric"])
    for a, b in CHAIN[["a", "b"]].itertuples(index=False):
        want = compare(table(), ["metric"], between="plan", a=a, b=b, n_boot=500).set_index("metric")
        for metric in ("abs_rel", "delta1"):
            for column in ("estimate", "low", "high", "n", "groups", "unit", "better"):
                assert found.loc[(a, b, metric), column] == want.loc[metric, column]


def test_samples_undefined_on_one_side_leave_every_change():
    found = changes(table((("p3", "abs_rel", 0),)), CHAIN)
    own = found[found["metric"] == "abs_rel"]
    assert own["n"].tolist() == [19] * 4
    plain = compare(table(), ["metric"], between="plan", a="p0", b="p1").set_index("metric")
    assert own["estimate"].iloc[0] != plain.loc["abs_rel", "estimate"]


def test_a_table_of_one_metric_needs_no_by():
    one = table((("p1", "abs_rel", 3),)).query("metric == 'abs_rel'")
    found = changes(one, CHAIN, by=())
    pd.testing.assert_frame_equal(found, changes(one, CHAIN)[found.columns])
    assert found["left_out"].tolist() == [1] * 4


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match=r"Expected the sides to be in \['p0', 'p1', 'p2', 'p3'\], but got \['p9'\]"):
        changes(table(), pd.DataFrame({"a": ["p0"], "b": ["p9"]}))
    empty = table([("p1", m, s) for m in ("abs_rel", "delta1") for s in range(20)])
    with pytest.raises(ValueError, match="Expected samples with a value on all 4 sides of `plan`, but got none"):
        changes(empty, CHAIN)
    with pytest.raises(ValueError, match="one value of every column"):
        changes(table(), CHAIN, by=())
