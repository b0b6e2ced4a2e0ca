import numpy as np
import pandas as pd
import pytest
from stats_tables import make_table, sparse_table

from depthprobe import stats
from depthprobe.stats import quantities

LEVELS = np.geomspace(0.01, 1, 9)


def planted(curve, *, n=6, **facts):
    return [{"level": x, "value": np.full(n, curve(x)), **facts} for x in LEVELS]


def quantity(summary, name, column="estimate"):
    return summary.set_index("quantity").loc[name, column]


def test_a_line_in_log_budget_has_its_closed_form():
    table = make_table(planted(lambda x: 0.2 - 0.1 * np.log(x)))
    out = stats.curve(table, ["model"], n_boot=50, targets=(0.3, 0.1)).summary
    assert quantity(out, "auc") == pytest.approx(0.2 + 0.1 * np.log(100) / 2)
    assert quantity(out, "b50") == pytest.approx(0.1)
    assert quantity(out, "b90") == pytest.approx(10**-0.2)
    assert quantity(out, "b@0.3") == pytest.approx(np.exp(-1))
    assert np.isnan(quantity(out, "b@0.1"))
    assert quantity(out, "b@0.1", "high") == np.inf
    assert quantity(out, "b@0.1", "not_reached") == 1.0
    assert out["unit"].tolist() == ["1"] * 5


def test_a_line_in_budget_on_the_linear_scale_and_a_rising_metric():
    table = make_table(planted(lambda x: 0.5 + 0.4 * x), metric="delta1", better="higher")
    out = stats.curve(table, ["model"], n_boot=50, scale="linear").summary
    assert quantity(out, "auc") == pytest.approx(0.5 + 0.4 * 1.01 / 2)
    assert quantity(out, "b50") == pytest.approx(0.505)
    assert quantity(out, "b90") == pytest.approx(0.01 + 0.9 * 0.99)


def test_a_floor_replaces_the_smallest_budget():
    table = make_table(planted(lambda x: 0.2 - 0.1 * np.log(x)))
    out = stats.curve(table, ["model"], n_boot=50, start=0.5).summary
    assert quantity(out, "b50") == pytest.approx(np.exp(-1.5))
    assert quantity(stats.curve(table, ["model"], n_boot=50, start=5.0).summary, "b50") == pytest.approx(LEVELS[0])


def test_a_curve_that_gets_worse_never_arrives():
    out = stats.curve(make_table(planted(lambda x: 0.2 + x)), ["model"], n_boot=50).summary
    assert np.isnan(quantity(out, "b50"))
    assert quantity(out, "b50", "not_reached") == 1.0
    assert quantity(out, "auc") > 0


def test_first_reach_equals_a_plain_search():
    draw = np.random.default_rng(0)
    u, mean = np.arange(7.0), draw.normal(size=(7, 200)).cumsum(0)
    target, falling = draw.normal(size=200), draw.random(200) < 0.5
    got = quantities.first_reach(u, mean, target, falling)
    fine = np.linspace(0, 6, 60_001)
    for i in range(200):
        line = np.interp(fine, u, mean[:, i])
        hit = np.flatnonzero(line <= target[i] if falling[i] else line >= target[i])
        want = fine[hit[0]] if len(hit) else np.inf
        assert got[i] == pytest.approx(want, abs=2e-4)


def test_the_band_is_wider_than_the_interval_and_covers_jointly():
    draw = np.random.default_rng(4)
    runs, groups = 500, 40
    truth = np.linspace(1, 0.2, 5)
    rows = []
    for run in range(runs):
        scene = draw.normal(0, 0.3, groups)
        rows += [
            {"layer": f"{run:03d}", "level": x, "value": t + scene + draw.normal(0, 0.3, groups)}
            for x, t in zip(LEVELS[:5], truth, strict=True)
        ]
    points = stats.curve(make_table(rows), ["layer"], n_boot=1000).points
    width, band = points["high"] - points["low"], points["band_high"] - points["band_low"]
    assert (band > width).mean() > 0.99
    want = points["level"].map(dict(zip(LEVELS[:5], truth, strict=True)))
    inside = {
        name: ((points[low] <= want) & (points[high] >= want)).groupby(points["layer"]).all().mean()
        for name, low, high in (("point", "low", "high"), ("band", "band_low", "band_high"))
    }
    assert 0.925 <= inside["band"] <= 0.975
    assert inside["point"] < 0.9  # what the band is for


def test_points_equal_summarise_and_area_equals_auc():
    table = sparse_table()
    by = ["model", "factor"]
    out = stats.curve(table, by, n_boot=200)
    want = stats.summarise(table, [*by, "level"], n_boot=200)
    pd.testing.assert_frame_equal(out.points[want.columns], want, rtol=1e-12)
    areas = stats.summarise(stats.area(table), [*by, "metric"], n_boot=200)
    auc = out.summary[out.summary["quantity"] == "auc"]
    for column in ("estimate", "low", "high", "n", "groups"):
        assert np.allclose(areas[column], auc[column], rtol=1e-12)
    assert areas["metric"].unique().tolist() == ["auc(abs_rel)"]


def test_area_counts_a_missing_level_and_leaves_other_rows_alone():
    table = sparse_table(seeds=(0,))
    errors = make_table([{"probe": "error", "value": [1.0, 2.0]}])
    hole = table.drop(index=table.index[(table["sample"] == "s00001") & (table["level"] == 0.2)])
    out = stats.area(pd.concat([hole, errors]))
    assert out.loc[out["sample"] == "s00001", "value"].isna().sum() == 4  # two models, two selectors
    assert out.loc[out["probe"] == "error", "value"].tolist() == [1.0, 2.0]
    assert out["level"].isna().all()


def test_seeds_of_a_random_selector_are_averaged_within_the_sample():
    table = sparse_table(models=("convnext",), selectors=("random",))
    out = stats.curve(table, ["model"], n_boot=50).points
    assert (out["n"] == 24).all()
    assert (out["seeds"] == 2).all()


def test_a_curve_twice_as_slow_needs_a_planted_ratio_of_budgets():
    shape = lambda shift: lambda x: np.clip(0.2 - 0.1 * (np.log(x) - shift), 0.2, 0.6)  # noqa: E731
    grid = np.geomspace(0.01, 1, 200)
    rows = [
        {"model": m, "level": x, "value": np.full(4, shape(s)(x))}
        for m, s in (("convnext", -2.0), ("pvt", -1.0)) for x in grid
    ]  # fmt: skip
    out = stats.curve_difference(make_table(rows), n_boot=20)
    assert quantity(out.summary, "ratio50") == pytest.approx(np.e, rel=1e-3)
    assert quantity(out.summary, "ratio90") == pytest.approx(np.e, rel=1e-3)
    a, b = (shape(s)(grid) for s in (-2.0, -1.0))
    assert quantity(out.summary, "auc") == pytest.approx(np.trapezoid(b - a, np.log(grid)) / np.log(100))
    back = stats.curve_difference(make_table(rows), a="pvt", b="convnext", n_boot=20)
    assert quantity(back.summary, "ratio50") == pytest.approx(1 / np.e, rel=1e-3)


def test_curves_that_share_no_error_have_no_ratio():
    rows = planted(lambda x: 0.3 - 0.01 * np.log(x), model="convnext") + planted(lambda x: 5 - np.log(x), model="pvt")
    out = stats.curve_difference(make_table(rows), n_boot=20).summary
    assert np.isnan(quantity(out, "ratio50"))
    assert quantity(out, "ratio50", "not_reached") == 1.0
    assert quantity(out, "auc") > 4


def test_curve_difference_is_paired_and_agrees_with_compare():
    table = sparse_table(scenes=14)
    out = stats.curve_difference(table, ["factor"], n_boot=300)
    want = stats.compare(stats.area(table), ["factor"], n_boot=300)
    auc = out.summary[out.summary["quantity"] == "auc"]
    for column in ("estimate", "low", "high", "n"):
        assert np.allclose(auc[column], want[column])
    points = stats.compare(table, ["factor", "level"], n_boot=300)
    assert np.allclose(out.points["estimate"], points["estimate"])
    assert np.allclose(out.points["low"], points["low"])


def test_three_models_give_all_pairs_and_holes_stay_visible():
    table = sparse_table(models=("convnext", "pvt", "swin"))
    out = stats.curve_difference(table, ["factor"], n_boot=50)
    assert len(out.summary) == 3 * 2 * 3
    hole = table[~((table["model"] == "swin") & (table["factor"] == "grid"))]
    part = stats.curve_difference(hole, ["factor"], n_boot=50)
    lost = part.summary[(part.summary["factor"] == "grid") & (part.summary["b"] == "swin")]
    assert lost["n"].tolist() == [0] * 6
    assert lost["estimate"].isna().all()


def test_what_is_no_curve_is_refused():
    table = sparse_table()
    with pytest.raises(ValueError, match="`factor`"):
        stats.curve(table, ["model"])
    with pytest.raises(ValueError, match="without"):
        stats.curve(pd.concat([table, make_table([{"probe": "error", "value": [1.0]}])]), ["probe", "model", "factor"])
    with pytest.raises(ValueError, match="linear"):
        stats.curve(table.assign(level=table["level"] - 0.01), ["model", "factor"])
    with pytest.raises(ValueError, match="`scale`"):
        stats.curve(table, ["model", "factor"], scale="sqrt")


def test_rows_in_another_order_give_the_same_curve():
    table = sparse_table()
    mixed = table.sample(frac=1, random_state=1)
    for one, other in zip(
        stats.curve_difference(table, ["factor"], n_boot=50),
        stats.curve_difference(mixed, ["factor"], n_boot=50),
        strict=True,
    ):
        pd.testing.assert_frame_equal(one, other, check_exact=True)
