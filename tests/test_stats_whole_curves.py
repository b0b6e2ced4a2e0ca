"""Curves with undefined values, few groups or resamples without a ratio: what must not look like a result."""

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import t as student
from stats_tables import make_table, sparse_table

from depthprobe import stats
from depthprobe.stats.curves import _budget_interval
from depthprobe.stats.resample import joint_quantile

LEVELS, FALL = (0.01, 0.1, 1.0), (1.0, 0.5, 0.2)


def falling(offset, **facts):
    return [{"level": x, "value": v + np.asarray(offset, float), **facts} for x, v in zip(LEVELS, FALL, strict=True)]


@pytest.mark.parametrize("missing", [False, True])
def test_every_level_of_a_curve_averages_the_same_samples(missing):
    table = make_table(falling([0.0, 0.1, 0.2, 0.3, 0.4, 5.0]))
    hole = (table["sample"] == "s00005") & (table["level"] == 0.01)
    table = table[~hole] if missing else table.assign(value=table["value"].mask(hole))
    plain = table.groupby("level")["value"].mean()
    assert plain[0.01] == pytest.approx(plain[1.0])  # of different samples: a curve that seems to gain nothing
    out = stats.curve(table, ["model"], n_boot=200)
    assert out.points["estimate"].to_numpy() == pytest.approx(np.array(FALL) + 0.2)
    assert out.points["n"].tolist() == [5, 5, 5]
    assert out.points["undefined"].tolist() == [int(not missing), 0, 0]
    auc = out.summary.set_index("quantity").loc["auc"]
    area = stats.summarise(stats.area(table), ["model"], n_boot=200).iloc[0]
    for column in ("estimate", "low", "high", "n", "groups"):
        assert auc[column] == pytest.approx(area[column])


def test_a_difference_of_curves_drops_a_sample_at_every_level_too():
    offset = np.array([0.0, 0.1, 0.2, 0.3, 0.4, 5.0])
    table = make_table(falling(offset, model="convnext") + falling(1.1 * offset, model="pvt"))
    hole = (table["sample"] == "s00005") & (table["level"] == 0.01) & (table["model"] == "pvt")
    table.loc[hole, "value"] = np.nan
    out = stats.curve_difference(table, n_boot=200)
    assert out.points["estimate"].to_numpy() == pytest.approx([0.02] * 3)
    assert out.points["n"].tolist() == [5] * 3
    want = stats.compare(stats.area(table), n_boot=200).iloc[0]
    auc = out.summary.set_index("quantity").loc["auc"]
    for column in ("estimate", "low", "high", "n"):
        assert auc[column] == pytest.approx(want[column])


def test_a_level_that_nobody_has_leaves_the_other_points():
    table = make_table(falling([0.0, 0.1, 0.2]))
    table.loc[table["level"] == 0.01, "value"] = np.nan
    out = stats.curve(table, ["model"], n_boot=50)
    assert out.points["n"].tolist() == [0, 3, 3]
    assert out.points["estimate"].to_numpy()[1:] == pytest.approx([0.6, 0.3])
    assert out.summary["estimate"].isna().all()


@pytest.mark.parametrize("scenes", [2, 5, 6])
def test_few_groups_give_an_area_its_t_interval_and_budgets_none(scenes):
    table = sparse_table(models=("convnext", "pvt"), selectors=("random",), scenes=scenes)
    one, two = stats.curve(table, ["model"], n_boot=300), stats.curve_difference(table, n_boot=300)
    for out in (one, two):
        auc = out.summary["quantity"] == "auc"
        assert np.isfinite(out.summary.loc[auc, ["low", "high"]].to_numpy()).all()
        assert (out.summary.loc[~auc, "low"].isna() == (scenes < 6)).all()
        assert (out.points["band_high"] > out.points["high"]).all()
    want = stats.compare(stats.area(table), n_boot=300).iloc[0]
    assert two.summary.loc[0, ["low", "high"]].tolist() == pytest.approx([want["low"], want["high"]])


def test_the_band_covers_jointly_with_few_groups():
    draw = np.random.default_rng(0)
    rows = [row for run in range(800) for row in falling(0, layer=f"{run:04d}")]
    for row in rows:
        row["value"] = row["value"] + draw.normal(0, 0.3, 4)
    points = stats.curve(make_table(rows), ["layer"], n_boot=400).points
    want = points["level"].map(dict(zip(LEVELS, FALL, strict=True)))
    inside = ((points["band_low"] <= want) & (points["band_high"] >= want)).groupby(points["layer"]).all().mean()
    assert 0.935 <= inside <= 0.98


def test_a_ratio_that_too_many_resamples_lack_has_no_interval():
    values = np.r_[2.0, np.linspace(1, 3, 1000)]
    assert _budget_interval(values, 20, 0.95) == pytest.approx((1.05, 2.95), abs=0.03)
    values[1:26] = np.nan
    assert np.isfinite(_budget_interval(values, 20, 0.95)).all()
    values[1:40] = np.nan
    assert np.isnan(_budget_interval(values, 20, 0.95)).all()


def test_curves_that_share_an_error_only_by_chance_report_it():
    draw = np.random.default_rng(3)
    rows = falling(draw.normal(0, 0.5, 20), model="convnext") + falling(0.7 + draw.normal(0, 0.5, 20), model="pvt")
    ratio = stats.curve_difference(make_table(rows), n_boot=1000).summary.set_index("quantity").loc["ratio50"]
    assert 0.025 < ratio["not_reached"] < 0.5
    assert np.isfinite(ratio["estimate"])
    assert np.isnan([ratio["low"], ratio["high"]]).all()


def test_the_joint_quantile_is_students_from_8_groups_and_bonferronis_below():
    z = np.abs(np.random.default_rng(0).normal(size=(3, 400_000)))
    one = joint_quantile(z[0], 10, 0.95, 1)
    assert one == pytest.approx(student.ppf(0.975, 9), rel=0.01)
    assert joint_quantile(z.max(0), 10**6, 0.95, 3) == pytest.approx(ndtri((1 + 0.95 ** (1 / 3)) / 2), rel=0.01)
    assert joint_quantile(z.max(0), 7, 0.95, 3) == pytest.approx(student.ppf(1 - 0.025 / 3, 6))
