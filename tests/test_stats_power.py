"""What a comparison can find: against simulation, SciPy's noncentral t and its own definition."""

import numpy as np
import pytest
from scipy import stats as scipy_stats
from stats_tables import make_table

from depthprobe import stats
from depthprobe.stats.detection import chance, noncentrality


def pilot(groups, *, per_group=2, rng=0, spread=0.3, **facts):
    draw = np.random.default_rng(rng)
    base = draw.normal(1, 0.5, groups * per_group)
    scene = np.repeat(draw.normal(0, spread, groups), per_group)
    rows = [{"model": "a", "value": base, **facts}, {"model": "b", "value": base + scene, **facts}]
    return make_table(rows, per_group=per_group)


def slow_chance(error, groups, effect, alpha):
    edge = scipy_stats.t.ppf(1 - alpha / 2, groups - 1)
    return scipy_stats.nct.sf(edge, groups - 1, effect / error)


@pytest.mark.parametrize(("groups", "power"), [(6, 0.8), (20, 0.5), (20, 0.95), (200, 0.8)])
def test_the_detectable_difference_is_found_with_the_power_stated(groups, power):
    one = stats.power(pilot(groups), power=power).iloc[0]
    table = pilot(groups)
    means = table.groupby(["group", "model"])["value"].mean().unstack()
    error = (means["b"] - means["a"]).std() / np.sqrt(groups)
    assert slow_chance(error, groups, one["estimate"], 0.05) == pytest.approx(power, abs=1e-6)
    assert one["estimate"] == stats.compare(table, n_boot=50, power=power).iloc[0]["detectable"]
    assert (one["n"], one["groups"], one["planned"]) == (2 * groups, groups, groups)


def test_the_noncentrality_is_confirmed_by_simulated_t_tests():
    draw = np.random.default_rng(0)
    for groups in (6, 25):
        shift = noncentrality(np.array([groups - 1]), 0.95, 0.8)[0]
        values = draw.normal(shift / np.sqrt(groups), 1, (20_000, groups))
        t = values.mean(1) / values.std(1, ddof=1) * np.sqrt(groups)
        found = (t > scipy_stats.t.ppf(0.975, groups - 1)).mean()
        assert found == pytest.approx(0.8, abs=4 * np.sqrt(0.16 / 20_000))
    assert noncentrality(np.array([1e7]), 0.95, 0.8)[0] == pytest.approx(1.959964 + 0.841621, abs=1e-4)


def test_the_interval_covers_the_detectable_difference_of_the_true_scatter():
    draw = np.random.default_rng(1)
    runs, groups = 1000, 10
    rows = [{"model": "a", "layer": f"{i:04d}", "value": np.zeros(groups)} for i in range(runs)]
    rows += [{"model": "b", "layer": f"{i:04d}", "value": draw.normal(0, 0.3, groups)} for i in range(runs)]
    out = stats.power(make_table(rows), ["layer"])
    true = 0.3 / np.sqrt(groups) * noncentrality(np.array([groups - 1]), 0.95, 0.8)[0]
    covered = ((out["low"] <= true) & (true <= out["high"])).mean()
    assert covered == pytest.approx(0.95, abs=3 * np.sqrt(0.0475 / runs))


def test_plans_effects_and_comparisons():
    table = pilot(30)
    out = stats.power(table, effect=0.1, plan=[5, 10, 30, 120]).set_index("planned")
    assert out.loc[5, "estimate"] == np.inf  # 2 of 2^5 sign patterns are more than 5 %
    assert out.loc[5, "chance"] == 0.0
    assert out["estimate"].is_monotonic_decreasing
    assert out["chance"].is_monotonic_increasing
    needed = out["needed"].unique()
    assert len(needed) == 1
    around = stats.power(table, effect=0.1, plan=[int(needed[0]) - 1, int(needed[0])])["chance"]
    assert around[0] < 0.8 <= around[1]
    many = stats.power(table, effect=0.1, comparisons=10).iloc[0]
    assert many["needed"] > needed[0]
    assert many["estimate"] > out.loc[30, "estimate"]
    error = table.groupby(["group", "model"])["value"].mean().unstack().diff(axis=1)["b"].std() / np.sqrt(120)
    assert out.loc[120, "chance"] == pytest.approx(slow_chance(error, 120, 0.1, 0.05), abs=1e-9)


def test_larger_effects_than_noise_and_none_at_all():
    table = pilot(10, spread=1e-3)
    one = stats.power(table, effect={"abs_rel": 100.0}).iloc[0]
    assert (one["chance"], one["needed"]) == (1.0, 6)  # fewer cannot reach 5 % by sign flips
    plain = stats.power(table).iloc[0]
    assert np.isnan([plain["effect"], plain["chance"], plain["needed"]]).all()
    hopeless = stats.power(table, effect=1e-9).iloc[0]
    assert hopeless["needed"] == np.inf
    assert chance(np.array([np.nan]), np.array([5]), np.array([1.0]), 0.05).tolist() == pytest.approx(
        [np.nan], nan_ok=True
    )


def test_bad_arguments_are_explained():
    for word, given in {"effect": -1.0, "plan": [1], "comparisons": 0, "power": 1.0, "level": 95}.items():
        with pytest.raises(ValueError, match=f"`{word}`"):
            stats.power(pilot(8), **{word: given})
    assert np.isnan(stats.power(pilot(1)).iloc[0]["estimate"])
