"""Effect sizes, equivalence and verdicts that are read again after a correction."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from stats_tables import make_table, sparse_table

from depthprobe import stats
from depthprobe.stats.flips import sign_flip_tost, smallest_p


def two(a, b, *, per_group=1, **facts):
    return make_table([{"model": "a", "value": a, **facts}, {"model": "b", "value": b, **facts}], per_group=per_group)


def test_cliffs_delta_equals_the_double_loop():
    draw = np.random.default_rng(0)
    for a, b in ((draw.normal(size=13), draw.normal(0.5, 1, 13)), (draw.integers(0, 4, 9), draw.integers(0, 4, 9))):
        want = sum(np.sign(y - x) for x in a for y in b) / (len(a) * len(b))
        for better in ("lower", "higher"):  # the sign is the difference's, not the reader's
            one = stats.compare(two(a.astype(float), b.astype(float), better=better), n_boot=20).iloc[0]
            assert one["cliff"] == pytest.approx(want, abs=1e-12)
    assert stats.compare(two([1.0, 2.0], [3.0, 4.0]), n_boot=20).iloc[0]["cliff"] == 1.0


def test_cliffs_delta_takes_the_pairs_both_sides_have_and_is_undefined_without():
    one = stats.compare(two([1.0, 5.0, np.nan], [2.0, 3.0, -9.0]), n_boot=20).iloc[0]
    assert one["cliff"] == 0.0
    none = stats.compare(two([1.0, np.nan], [np.nan, 2.0]), n_boot=20).iloc[0]
    assert np.isnan(none["cliff"])
    assert none["undefined"] == 2  # one on each side


def test_tost_by_sign_flips_equals_enumeration():
    draw = np.random.default_rng(2)
    diff, rope = draw.normal(0.05, 0.3, (9, 2)), 0.3
    sums = diff.sum(1)
    p = []
    for toward in (rope * 2 - sums, rope * 2 + sums):  # two samples per group
        p.append(np.mean([np.dot(s, toward) >= toward.sum() - 1e-12 for s in product((1, -1), repeat=9)]))
    one = stats.compare(two(np.zeros(18), diff.ravel(), per_group=2), n_boot=100, rope=rope).iloc[0]
    assert one["p_tost"] == pytest.approx(max(p), abs=1e-12)
    assert one["rope"] == rope
    assert np.isnan(stats.compare(two(np.zeros(18), diff.ravel()), n_boot=100).iloc[0]["p_tost"])


def test_random_flips_come_close_to_enumeration_and_each_rope_is_its_own():
    draw = np.random.default_rng(3)
    total, count = draw.normal(0.1, 1.0, (14, 1)), np.ones((14, 1))
    twice, rope = np.hstack([total, total, total]), np.array([0.3, 0.6, np.nan])
    got = sign_flip_tost(twice, np.ones((14, 3)), rope, n_flip=20_000, seed=0)
    signs = np.array(list(product((1, -1), repeat=14)))
    for r, p in zip(rope[:2], got[:2], strict=True):
        exact = max((signs @ (r * count + side * total) >= (r * count + side * total).sum()).mean() for side in (1, -1))
        assert p == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))
    assert np.isnan(got[2])


def test_a_difference_at_the_edge_of_the_rope_is_called_equivalent_in_at_most_five_percent():
    draw = np.random.default_rng(4)
    runs, groups = 1000, 15
    noise = draw.normal(0, 0.2, (runs, groups, 1)) + draw.normal(0, 0.2, (runs, groups, 2))
    rows = [{"model": "a", "layer": f"{i:04d}", "value": np.zeros(2 * groups)} for i in range(runs)]
    rows += [{"model": "b", "layer": f"{i:04d}", "value": 0.3 + v.ravel()} for i, v in enumerate(noise)]
    out = stats.compare(make_table(rows, per_group=2), ["layer"], family=["layer"], rope=0.3, n_boot=1000)
    error = np.sqrt(0.05 * 0.95 / runs)
    assert 0.05 - 3 * error <= (out["p_tost"] <= 0.05).mean() <= 0.05 + 3 * error
    assert (out["verdict"] == "equivalent").mean() <= 0.05


def test_equivalence_is_corrected_for_the_number_of_claims():
    frame = pd.DataFrame({
        "p": [0.9, 0.8], "p_tost": [0.03, 0.04], "rope": 0.1, "low": -0.05, "high": 0.05, "better": "lower",
        "metric": ["abs_rel", "rmse"],
    })  # fmt: skip
    assert stats.adjust(frame)["verdict"].tolist() == ["undecided", "undecided"]
    assert stats.adjust(frame, ["metric"])["verdict"].tolist() == ["equivalent", "equivalent"]
    assert stats.adjust(frame.assign(high=0.2), ["metric"])["verdict"].tolist() == ["undecided", "undecided"]


def test_equivalence_needs_more_than_few_groups_can_say():
    same = two(np.ones(4), 1 + np.array([0.001, -0.001, 0.002, -0.002]))
    one = stats.compare(same, n_boot=100, rope=0.1).iloc[0]
    assert one["high"] < 0.1  # the interval is inside ...
    assert one["p_tost"] == pytest.approx(1 / 16)  # ... but 4 groups cannot reach 5 %
    assert one["verdict"] == "undecided"
    assert smallest_p(np.array([4, 6])).tolist() == [1 / 8, 1 / 32]


def test_results_put_together_are_corrected_together():
    draw = np.random.default_rng(0)
    parts = []
    for shift in (0.011, 0.0, 0.0, 0.0, 0.0):
        base, noise = draw.normal(1, 0.1, 30), draw.normal(0, 0.026, 30)
        parts.append(stats.compare(two(base, base + shift + noise - noise.mean()), n_boot=400))
    alone = pd.concat(parts, ignore_index=True)
    assert alone.loc[0, "verdict"] == "worse"
    both = stats.adjust(alone)
    assert np.allclose(both["p_holm"], stats.holm(alone["p"].to_numpy()))
    assert np.allclose(both["p_bh"], stats.benjamini_hochberg(alone["p"].to_numpy()))
    assert both.loc[0, "verdict"] == "undecided"
    assert alone.loc[0, "verdict"] == "worse"  # the frame given is left as it is
    assert list(both.columns) == list(alone.columns)
    marked = alone.assign(study=range(5))
    pd.testing.assert_frame_equal(stats.adjust(marked, ["study"])[alone.columns], alone.assign(p_bh=both["p_bh"]))


def test_adjust_corrects_any_frame_with_p_and_says_what_is_missing():
    frame = pd.DataFrame({"metric": ["x", "x", "y"], "p": [0.01, 0.04, 0.04]})
    out = stats.adjust(frame, ["metric"])
    assert np.allclose(out["p_holm"], [0.02, 0.04, 0.04])
    assert np.allclose(out["p_bh"], [0.03, 0.04, 0.04])
    assert "verdict" not in out
    with pytest.raises(ValueError, match="probe"):
        stats.adjust(frame, ["probe"])
    with pytest.raises(ValueError, match="'p'"):
        stats.adjust(frame[["metric"]])


def test_a_rope_of_metrics_that_are_not_there_is_refused():
    table = sparse_table(scenes=6)
    with pytest.raises(ValueError, match="abs_rel"):
        stats.compare(table[table["level"] == 1], ["factor"], rope={"rmse": 0.1})


def test_a_pair_that_shares_no_sample_stands_beside_one_that_does():
    draw = np.random.default_rng(1)
    table = make_table([{"model": m, "value": draw.normal(size=10)} for m in ("a", "b", "c")])
    table.loc[table["model"] == "c", ["sample", "group"]] += "x"
    out = stats.compare(table, n_boot=50, rope=1.0).set_index(["a", "b"])
    assert out["n"].tolist() == [10, 0, 0]
    assert out["unpaired"].tolist() == [0, 20, 20]
    assert out.loc[("a", "c"), ["estimate", "p", "cliff", "detectable"]].isna().all()
    assert (out["verdict"].iloc[1:] == "undecided").all()


@pytest.mark.parametrize("most", [1, 300, 10**9])
def test_pairs_in_few_or_many_batches_give_the_same(monkeypatch, most):
    table = sparse_table(models=("convnext", "pvt", "swin", "row"), scenes=8)
    table = table[table["level"] < 0.5]
    want = stats.compare(table, ["factor", "level"], n_boot=60)
    monkeypatch.setattr("depthprobe.stats.paired.MAX_ENTRIES", most)
    pd.testing.assert_frame_equal(stats.compare(table, ["factor", "level"], n_boot=60), want)
