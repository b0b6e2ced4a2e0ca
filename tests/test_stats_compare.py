from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.special import gamma
from stats_tables import make_table, sparse_table

from depthprobe import stats
from depthprobe.stats.flips import sign_flip_p


def two(a, b, *, per_group=1, **facts):
    return make_table([{"model": "a", "value": a, **facts}, {"model": "b", "value": b, **facts}], per_group=per_group)


def test_a_planted_difference_is_found_with_its_sign_and_direction():
    draw = np.random.default_rng(0)
    base = draw.normal(1, 0.3, 40)
    table = two(base, base + 0.1 + draw.normal(0, 0.02, 40))
    one = stats.compare(table, n_boot=500).iloc[0]
    assert one["estimate"] == pytest.approx(0.1, abs=0.01)
    assert one["low"] < one["estimate"] < one["high"]
    assert one["mean_b"] - one["mean_a"] == pytest.approx(one["estimate"])
    assert (one["a"], one["b"], one["verdict"], one["superiority"]) == ("a", "b", "worse", 0.0)
    for better, word, share in (("higher", "better", 1.0), ("none", "higher", 1.0), ("lower", "worse", 0.0)):
        got = stats.compare(table.assign(better=better), n_boot=500).iloc[0]
        assert (got["verdict"], got["superiority"]) == (word, share)
    back = stats.compare(table, a="b", b="a", n_boot=500).iloc[0]
    assert back["estimate"] == pytest.approx(-one["estimate"])
    assert back["verdict"] == "better"


def test_pairing_removes_what_samples_share():
    draw = np.random.default_rng(0)
    base = draw.normal(1, 1.0, 60)
    table = two(base, base + 0.05 + draw.normal(0, 0.05, 60))
    paired = stats.compare(table, n_boot=500).iloc[0]
    apart = stats.summarise(table, ["model"], n_boot=500)
    assert paired["high"] - paired["low"] < 0.2 * (apart["high"] - apart["low"]).min()


def test_a_model_against_itself_is_never_different():
    values = np.random.default_rng(0).normal(1, 0.3, 30)
    one = stats.compare(two(values, values), n_boot=200, rope=0.01).iloc[0]
    assert (one["estimate"], one["p"], one["superiority"], one["verdict"]) == (0.0, 1.0, 0.5, "equivalent")
    assert np.isnan(one["d_z"])


def test_sign_flips_by_group_equal_enumeration_and_random_flips_come_close():
    draw = np.random.default_rng(1)
    diff = draw.normal(0.3, 1.0, (10, 3))
    table = two(np.zeros(30), diff.ravel(), per_group=3)
    sums = diff.sum(1)
    flipped = [abs(np.dot(s, sums)) for s in product((1, -1), repeat=10)]
    want = np.mean([f >= abs(sums.sum()) - 1e-9 for f in flipped])
    assert stats.compare(table, n_boot=100).iloc[0]["p"] == pytest.approx(want, abs=1e-12)
    many = draw.normal(0.25, 1.0, (14, 1))
    exact = np.mean([abs(np.dot(s, many[:, 0])) >= abs(many.sum()) - 1e-9 for s in product((1, -1), repeat=14)])
    got = sign_flip_p(many, np.ones((14, 1)), n_flip=20_000, seed=0)[0]
    assert got == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20_000))


def test_random_flips_never_give_p_zero():
    """Phipson & Smyth 2010: the data's own signs are one of the patterns, so that p >= 1 / (n_flip + 1)."""
    total = np.full((30, 1), 1.0) + 0.01 * np.arange(30)[:, None]  # no random pattern of 30 signs comes near
    assert sign_flip_p(total, np.ones((30, 1)), n_flip=999, seed=0) == pytest.approx(1 / 1000)


def test_holm_and_benjamini_hochberg_by_hand():
    p = np.array([0.01, 0.04, np.nan, 0.03, 0.5])
    assert np.allclose(stats.holm(p), [0.04, 0.09, np.nan, 0.09, 0.5], equal_nan=True)
    assert np.allclose(stats.benjamini_hochberg(p), [0.04, 0.04 * 4 / 3, np.nan, 0.04 * 4 / 3, 0.5], equal_nan=True)
    slow = [
        max(min(1, (5 - r) * q) for r, q in enumerate(sorted([0.2, 0.01, 0.02, 0.03, 0.9])[: k + 1])) for k in range(5)
    ]
    assert np.allclose(np.sort(stats.holm(np.array([0.2, 0.01, 0.02, 0.03, 0.9]))), slow)


def test_a_null_comparison_rejects_at_most_five_percent():
    draw = np.random.default_rng(5)
    runs, groups, per = 1000, 24, 2
    scene = draw.normal(1, 0.5, (runs, groups, 1))
    rows = []
    for model in ("a", "b"):
        shift = draw.normal(0, 0.2, (runs, groups, 1)) + draw.normal(0, 0.2, (runs, groups, per))
        rows += [{"model": model, "layer": f"{i:04d}", "value": v.ravel()} for i, v in enumerate(scene + shift)]
    out = stats.compare(make_table(rows, per_group=per), ["layer"], family=["layer"], n_boot=1000)
    error = np.sqrt(0.05 * 0.95 / runs)
    assert (out["p"] <= 0.05).mean() <= 0.05 + 2 * error
    assert (out["p"] <= 0.05).mean() >= 0.05 - 3 * error  # and the test is not merely timid
    assert (out["verdict"] != "undecided").mean() <= 0.05 + 2 * error
    covered = ((out["low"] <= 0) & (out["high"] >= 0)).mean()
    assert 0.93 <= covered <= 0.97
    assert (stats.holm(out["p"].to_numpy()) <= 0.05).sum() <= 1


def test_a_seed_against_another_seed_of_one_model():
    table = sparse_table(models=("convnext",), selectors=("random",), scenes=20)
    out = stats.compare(table, ["level"], between="seed", n_boot=500)
    assert (out["verdict"] == "undecided").all()
    assert (out["a"] == 0).all()


def test_effect_sizes_equal_their_definitions():
    diff = np.array([0.1, -0.2, 0.4, 0.3, 0.0, 0.2])
    one = stats.compare(two(np.ones(6), 1 + diff), n_boot=4000).iloc[0]
    small = gamma(2.5) / (gamma(2.0) * np.sqrt(2.5))  # Hedges' exact factor, 5 degrees of freedom
    assert one["d_z"] == pytest.approx(diff.mean() / diff.std(ddof=1) * small, rel=0.01)
    assert one["superiority"] == pytest.approx((1 + 0.5) / 6)
    error = diff.std(ddof=1) / np.sqrt(6)
    assert one["detectable"] == pytest.approx(error * (2.5706 + 0.9195), rel=0.05)


def test_verdicts_need_the_interval_holm_and_the_rope():
    draw = np.random.default_rng(0)
    noise = draw.normal(0, 0.02, 40)
    table = two(np.ones(40), 1.03 + noise - noise.mean())
    word = [
        stats.compare(table, n_boot=300, rope=r).iloc[0]["verdict"] for r in (None, 0.01, 0.03, 0.1, {"abs_rel": 0.1})
    ]
    assert word == ["worse", "worse", "undecided", "equivalent", "equivalent"]
    with pytest.raises(ValueError, match="rope"):
        stats.compare(table, rope=-1.0)
    few = two(np.ones(4), 1.03 + noise[:4])  # 4 groups: the smallest possible p is 1/8
    assert stats.compare(few, n_boot=300).iloc[0]["verdict"] == "undecided"


def test_all_pairs_one_side_and_family():
    table = sparse_table(models=("convnext", "pvt", "swin"), scenes=14)
    table = table[table["level"] == 0.05]
    out = stats.compare(table, ["factor"], n_boot=100)
    assert list(zip(out["a"], out["b"], strict=True))[:3] == [
        ("convnext", "pvt"),
        ("convnext", "swin"),
        ("pvt", "swin"),
    ]
    assert len(out) == 6
    assert np.allclose(out["p_holm"], stats.holm(out["p"].to_numpy()))
    by_factor = stats.compare(table, ["factor"], family=["factor"], n_boot=100)
    for _, part in by_factor.groupby("factor"):
        assert np.allclose(part["p_holm"], stats.holm(part["p"].to_numpy()))
    assert stats.compare(table, ["factor"], b="convnext", n_boot=50)["a"].unique().tolist() == ["pvt", "swin"]


def test_unpaired_and_undefined_samples_are_counted_and_strangers_refused():
    table = two([1.0, 2.0, np.nan, 4.0], [2.0, 3.0, 4.0, 6.0])
    table = table[~((table["model"] == "b") & (table["sample"] == "s00003"))]
    one = stats.compare(table, n_boot=50).iloc[0]
    assert (one["n"], one["unpaired"], one["undefined"], one["estimate"]) == (2, 1, 1, 1.0)
    strangers = pd.concat(
        [table[table["model"] == "a"], table[table["model"] == "b"].assign(sample="x" + table["sample"])]
    )
    with pytest.raises(ValueError, match="share"):
        stats.compare(strangers)
    moved = table.assign(group=np.where(table["model"] == "b", "z", table["group"]))
    with pytest.raises(ValueError, match="group"):
        stats.compare(moved)


def test_what_must_not_differ_between_the_sides_is_refused():
    table = two(np.ones(5), np.ones(5))
    assert len(stats.compare(table.assign(tag=table["model"]), n_boot=20)) == 1  # tag and family go with the model
    for column in ("plan", "probe", "dataset", "unit"):
        with pytest.raises(ValueError, match=f"`{column}`"):
            stats.compare(table.assign(**{column: table["model"]}))
    families = sparse_table(models=("convnext", "regnet", "pvt"))
    with pytest.raises(ValueError, match="`model`"):
        stats.compare(families[families["level"] == 1], ["factor"], between="family")
    with pytest.raises(ValueError, match="`a`"):
        stats.compare(table, a="c")
    with pytest.raises(ValueError, match="different"):
        stats.compare(table, a="a", b="a")
    with pytest.raises(ValueError, match="`family`"):
        stats.compare(table, family=["layer"])


def test_a_cell_measured_on_one_side_only_stays_visible():
    table = sparse_table(scenes=8)
    table = table[(table["level"] == 1) & ~((table["model"] == "pvt") & (table["factor"] == "grid"))]
    out = stats.compare(table, ["factor"], n_boot=50).set_index("factor")
    assert (out.loc["grid", "n"], out.loc["grid", "unpaired"], out.loc["grid", "verdict"]) == (0, 16, "undecided")
    assert np.isnan(out.loc["grid", "p"])
    assert out.loc["random", "n"] == 16
