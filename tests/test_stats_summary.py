import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from stats_tables import make_table, sparse_table

from depthprobe import stats
from depthprobe.stats import resample, units


def test_the_mean_is_over_samples_after_seeds():
    table = make_table([{"seed": 0, "value": [1.0, 2.0, 6.0]}, {"seed": 1, "value": [3.0, np.nan, 6.0]}])
    one = stats.summarise(table, ["model"], n_boot=50).iloc[0]
    assert one["estimate"] == pytest.approx((2 + 2 + 6) / 3)  # seeds first: 2, 2, 6; pooled rows would give 18 / 5
    assert (one["n"], one["groups"], one["seeds"], one["undefined"]) == (3, 3, 2, 1)
    assert (one["unit"], one["better"]) == ("1", "lower")


def test_undefined_values_are_counted_never_zero_and_never_silent():
    table = make_table([{"model": "a", "value": [np.nan] * 3}, {"model": "b", "value": [1.0, np.nan, 3.0]}])
    out = stats.summarise(table, ["model"], n_boot=50)
    assert out["undefined"].tolist() == [3, 1]
    assert out["n"].tolist() == [0, 2]
    assert np.isnan(out.loc[0, ["estimate", "low", "high"]].astype(float)).all()
    assert out.loc[1, "estimate"] == 2.0


def test_one_group_has_no_interval():
    out = stats.summarise(make_table([{"value": [1.0, 2.0]}], per_group=2), ["model"], n_boot=50).iloc[0]
    assert out["groups"] == 1
    assert np.isnan([out["low"], out["high"]]).all()


@pytest.mark.parametrize("column", ["model", "factor", "level", "factor2", "metric", "plan", "probe", "tag", "dataset"])
def test_pooling_over_a_column_that_varies_is_refused_by_name(column):
    two = (0.1, 0.5) if column == "level" else ("one", "two")
    table = make_table([{column: v, "value": [1.0, 2.0, 3.0]} for v in two])
    with pytest.raises(ValueError, match=f"`{column}`"):
        stats.summarise(table, ["layer"])
    assert len(stats.summarise(table, [column], n_boot=20)) == 2


def test_bad_arguments_are_explained():
    table = make_table([{"value": [1.0, 2.0]}])
    for by, words in ((["selector"], "selector"), (["model", "model"], "once"), (["value"], "value")):
        with pytest.raises(ValueError, match=words):
            stats.summarise(table, by)
    with pytest.raises(ValueError, match="`method`"):
        stats.summarise(table, ["model"], method="basic")
    with pytest.raises(ValueError, match="`level`"):
        stats.summarise(table, ["model"], level=95)
    with pytest.raises(ValueError, match="empty"):
        stats.summarise(table[:0], ["model"])
    with pytest.raises(ValueError, match="repeated"):
        stats.summarise(pd.concat([table, table]), ["model"])
    with pytest.raises(ValueError, match="`group`"):
        stats.summarise(table.assign(seed=[0, 1], sample="s", group=["g", "h"]), ["model"])


def test_interval_equals_a_python_loop_that_copies_groups():
    table = sparse_table(models=("convnext",), selectors=("random",), scenes=7)
    table = table[table["level"] == 0.05]
    out = stats.summarise(table, ["model"], n_boot=400, seed=3, method="percentile").iloc[0]
    mean = table.groupby(["group", "sample"])["value"].mean()
    parts, draw = [mean[g].to_numpy() for g in sorted(table["group"].unique())], np.random.default_rng(3)
    loop = []
    for _ in range(400):
        loop.append(np.concatenate([parts[i] for i in draw.integers(0, len(parts), len(parts))]).mean())
    assert out["estimate"] == pytest.approx(mean.mean(), abs=1e-12)
    assert [out["low"], out["high"]] == pytest.approx(np.quantile(loop, [0.025, 0.975]).tolist(), abs=1e-12)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_of_a_given_bootstrap_equal_scipy(method):
    data = np.random.default_rng(0).lognormal(size=25)
    want = scipy_stats.bootstrap((data,), np.mean, n_resamples=2000, method=method, rng=np.random.default_rng(1))
    total, count = data[:, None], np.ones((25, 1))
    got = resample.intervals(
        want.bootstrap_distribution[None], np.array([data.mean()]), total, count, level=0.95, method=method
    )
    assert [float(v[0]) for v in got] == pytest.approx(list(want.confidence_interval), rel=1e-12)


def test_bca_of_a_skewed_metric_lies_above_percentile():
    table = make_table([{"value": np.random.default_rng(2).lognormal(sigma=1.2, size=40)}])
    percentile, bca = (stats.summarise(table, ["model"], method=m).iloc[0] for m in ("percentile", "bca"))
    assert bca["low"] > percentile["low"]
    assert bca["high"] > percentile["high"]


def test_expanded_is_wider_and_meets_percentile_with_many_groups():
    for groups, most in ((6, 2.0), (2000, 1.01)):
        table = make_table([{"value": np.random.default_rng(2).normal(size=groups)}])
        width = [np.ptp(stats.summarise(table, ["model"], n_boot=2000, method=m)[["low", "high"]].to_numpy())
                 for m in ("percentile", "expanded")]  # fmt: skip
        assert 1.0 <= width[1] / width[0] < most
        assert (width[1] / width[0] > 1.2) == (groups == 6)


@pytest.mark.parametrize("method", ["percentile", "expanded", "bca"])
def test_coverage_of_the_95_percent_interval_on_clustered_data(method):
    draw = np.random.default_rng(7)
    runs, groups, per = 2000, 60, 2
    value = draw.normal(1.0, 0.5, (runs, groups, 1)) + draw.normal(0, 0.5, (runs, groups, per))
    table = make_table([{"layer": f"{i:04d}", "value": v.ravel()} for i, v in enumerate(value)], per_group=per)
    out = stats.summarise(table, ["layer"], n_boot=1000, method=method)
    covered = ((out["low"] <= 1.0) & (out["high"] >= 1.0)).mean()
    assert 0.93 <= covered <= 0.97


def test_expanded_covers_with_few_groups_where_percentile_does_not():
    value = np.random.default_rng(7).normal(1.0, 0.5, (2000, 12))
    table = make_table([{"layer": f"{i:04d}", "value": v} for i, v in enumerate(value)])
    covered = {}
    for method in ("expanded", "percentile"):
        out = stats.summarise(table, ["layer"], n_boot=2000, method=method)
        covered[method] = ((out["low"] <= 1.0) & (out["high"] >= 1.0)).mean()
    assert 0.93 <= covered["expanded"] <= 0.97
    assert covered["percentile"] < 0.925


@pytest.mark.parametrize("groups", [2, 3, 4, 5, 7, 8])
def test_the_default_interval_covers_with_very_few_groups(groups):
    value = np.random.default_rng(groups).normal(1.0, 0.5, (4000, groups))
    table = make_table([{"layer": f"{i:04d}", "value": v} for i, v in enumerate(value)])
    out = stats.summarise(table, ["layer"], n_boot=1000)
    covered = ((out["low"] <= 1.0) & (out["high"] >= 1.0)).mean()
    assert (0.935 if groups < resample.FEW_GROUPS else 0.93) <= covered <= 0.962


def test_with_few_groups_the_interval_is_students():
    value = np.array([0.3, 1.0, 0.4, 0.9])
    one = stats.summarise(make_table([{"value": value}]), ["model"], n_boot=200_000, level=0.9).iloc[0]
    want = scipy_stats.ttest_1samp(value, 0.0).confidence_interval(0.9)
    assert [one["low"], one["high"]] == pytest.approx(list(want), rel=0.01)


def test_resampling_images_instead_of_groups_would_not_cover():
    draw = np.random.default_rng(7)
    value = draw.normal(1.0, 0.5, (800, 30, 1)) + draw.normal(0, 0.1, (800, 30, 5))
    table = make_table([{"layer": f"{i:04d}", "value": v.ravel()} for i, v in enumerate(value)], per_group=5)
    covered = [
        ((out["low"] <= 1.0) & (out["high"] >= 1.0)).mean()
        for out in (stats.summarise(t, ["layer"], n_boot=800) for t in (table, table.assign(group=table["sample"])))
    ]
    assert covered[0] > 0.925
    assert covered[1] < 0.8


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_the_order_of_rows_does_not_matter(seed):
    table = sparse_table(scenes=4)
    mixed = table.sample(frac=1, random_state=seed).reset_index(drop=True)
    by = ["model", "factor", "level"]
    pd.testing.assert_frame_equal(
        stats.summarise(table, by, n_boot=30), stats.summarise(mixed, by, n_boot=30), check_exact=True
    )


def test_a_cell_does_not_depend_on_what_else_is_in_the_table(monkeypatch):
    table = sparse_table()
    few = table["sample"] < "s00010"
    table = table[(table["factor"] == "grid") | few].reset_index(drop=True)  # cells with different groups
    by = ["model", "factor", "level"]
    whole = stats.summarise(table, by, n_boot=100)
    alone = pd.concat([stats.summarise(part, by, n_boot=100) for _, part in table.groupby(by)], ignore_index=True)
    pd.testing.assert_frame_equal(whole, alone, rtol=1e-12)
    monkeypatch.setattr(units, "MAX_ENTRIES", 300)
    monkeypatch.setattr(resample, "_CHUNK", 60)
    pd.testing.assert_frame_equal(stats.summarise(table, by, n_boot=100), whole, rtol=1e-12)


def test_row_quantiles_equal_numpy_and_rank_infinity():
    values = np.random.default_rng(0).normal(size=(5, 41))
    assert np.allclose(resample.row_quantiles(values, 0.3), np.quantile(values, 0.3, axis=1))
    values[:, :7] = np.nan
    assert np.allclose(resample.row_quantiles(values, 0.975), np.nanquantile(values, 0.975, axis=1))
    values[0, 7:12] = np.inf
    assert resample.row_quantiles(values, 0.975)[0] == np.inf
    assert np.isfinite(resample.row_quantiles(values, 0.5)).all()
    assert np.isnan(resample.row_quantiles(np.full((1, 4), np.nan), 0.5)).all()


AXES = {"sparse": {"factor": "selector", "level": "budget", "factor2": "fill"}, "cues": {"factor": "cue"}}


def test_axis_names_translate_both_ways():
    assert stats.translate(["model", "selector", "budget", "fill"], AXES) == ["model", "factor", "level", "factor2"]
    assert stats.translate(["factor"], AXES) == ["factor"]
    assert stats.label("level", AXES) == "budget"
    assert stats.label("factor", AXES, "sparse") == "selector"
    assert stats.label("factor", AXES) == "factor"  # two probes disagree
    assert stats.label("metric", AXES) == "metric"
    with pytest.raises(ValueError, match="budget"):
        stats.translate(["buget"], AXES)
    with pytest.raises(ValueError, match="twice"):
        stats.translate(["factor", "selector"], AXES)
    with pytest.raises(ValueError, match="one column"):
        stats.translate(["s"], {"p": {"factor": "s"}, "q": {"level": "s"}})
