"""Ranks and the agreement of rankings, against plain loops over pairs and resamples."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from stats_tables import make_table

from depthprobe import stats
from depthprobe.stats.ranking import _fields, _units
from depthprobe.stats.resample import group_weights, joint_quantile

NAMES = ("a", "b", "c", "d")


def ranking(means, *, groups=20, per_group=2, noise=0.3, rng=0, metrics=("abs_rel",), better="lower", **facts):
    """Models with the `means` under every metric, scenes shared, own noise."""
    draw = np.random.default_rng(rng)
    scene = np.repeat(draw.normal(0, 1, groups), per_group)
    rows = [
        {"model": m, "metric": k, "value": scene + mean + draw.normal(0, noise, len(scene)), **facts}
        for k in metrics
        for m, mean in zip(NAMES, means, strict=False)
    ]
    return make_table(rows, per_group=per_group, better=better)


def slow_ranks(table, n_boot, level, *, sign=1):
    """(rank, low, high, mean rank) per model by loops, from group means of a balanced table."""
    cell = table.groupby(["model", "group"])["value"].mean().unstack() * sign
    models, size = list(cell.index), cell.shape[1]
    mean = {m: cell.loc[m].mean() for m in models}
    weight = np.concatenate([w for _, w in group_weights(size, n_boot, 0)])
    drawn = [{m: np.dot(w, cell.loc[m]) / size for m in models} for w in weight]
    error, worst = {}, np.zeros(n_boot)
    for i, j in combinations(models, 2):
        error[i, j] = error[j, i] = (cell.loc[i] - cell.loc[j]).std(ddof=1) / np.sqrt(size)
        for r, one in enumerate(drawn):
            t = abs(one[i] - one[j] - mean[i] + mean[j]) / error[i, j] * np.sqrt(size / (size - 1))
            worst[r] = max(worst[r], t)
    edge = joint_quantile(worst, size, level, len(error) // 2)
    out = {}
    for m in models:
        others = [o for o in models if o != m]
        low = 1 + sum(mean[o] < mean[m] - edge * error[m, o] for o in others)
        high = len(models) - sum(mean[o] > mean[m] + edge * error[m, o] for o in others)
        ranks = [1 + sum(one[o] < one[m] for o in others) for one in drawn]
        out[m] = (1 + sum(mean[o] < mean[m] for o in others), low, high, np.mean(ranks), np.mean(np.equal(ranks, 1)))
    return out


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_ranks_equal_the_plain_loops(better):
    table = ranking((0.0, 0.1, 0.12, 0.6), better=better)
    got = stats.ranks(table, n_boot=150).summary.set_index("model")
    want = slow_ranks(table, 150, 0.95, sign=1 if better == "lower" else -1)
    for m, (rank, low, high, mean_rank, first) in want.items():
        shown = got.loc[m, ["estimate", "low", "high", "mean_rank", "first"]].astype(float)
        assert shown.tolist() == pytest.approx([rank, low, high, mean_rank, first])
        assert got.loc[m, "mean"] == pytest.approx(table[table["model"] == m]["value"].mean())
    assert (got["high"] - got["low"]).max() > 0  # something is open ...
    assert (got["high"] - got["low"]).min() < 3  # ... and something is not
    assert got["estimate"].tolist() == [1.0, 2.0, 3.0, 4.0]  # best first


def test_shares_are_a_distribution_over_ranks():
    out = stats.ranks(ranking((0.0, 0.1, 0.12), metrics=("abs_rel", "rmse")), ["metric"], n_boot=200)
    assert len(out.shares) == 2 * 3 * 3
    by_model = out.shares.groupby(["metric", "model"])
    assert by_model["share"].sum().tolist() == pytest.approx([1.0] * 6)
    mean = by_model[["rank", "share"]].apply(lambda f: (f["rank"] * f["share"]).sum()).rename("mean")
    both = out.summary.set_index(["metric", "model"]).join(mean.rename("of_shares"))
    assert both["mean_rank"].tolist() == pytest.approx(both["of_shares"].tolist())
    first = out.shares[out.shares["rank"] == 1].set_index(["metric", "model"])["share"]
    assert both["first"].to_dict() == pytest.approx(first.to_dict())


def test_equal_models_share_the_better_rank_and_leave_it_open():
    table = ranking((0.0, 0.5, 0.9))
    twin = table[table["model"] == "b"].assign(model="twin")
    out = stats.ranks(pd.concat([table, twin], ignore_index=True), n_boot=200).summary.set_index("model")
    assert out["estimate"].to_dict() == {"a": 1, "b": 2, "twin": 2, "c": 4}
    assert (out.loc["b", ["low", "high"]] == out.loc["twin", ["low", "high"]]).all()
    assert out.loc["b", "high"] >= 3


def test_a_constant_shift_is_surely_worse_and_hides_nothing_else():
    table = ranking((0.0, 0.5, 0.9))
    shifted = table[table["model"] == "b"].assign(model="shifted", value=lambda t: t["value"] + 0.1)
    want = stats.ranks(table, n_boot=200).summary.set_index("model")
    got = stats.ranks(pd.concat([table, shifted], ignore_index=True), n_boot=200).summary.set_index("model")
    assert (want["low"] == want["high"]).all()
    assert got["low"].to_dict() == got["high"].to_dict() == {"a": 1, "b": 2, "shifted": 3, "c": 4}


def test_models_are_ranked_on_the_samples_that_all_have():
    table = ranking((0.0, 0.1, 0.2))
    hard = table["value"] > table["value"].quantile(0.6)
    table.loc[hard & (table["model"] == "c"), "value"] = np.nan  # c would come first on what it has left
    assert table.groupby("model")["value"].mean().idxmin() == "c"
    out = stats.ranks(table, n_boot=200).summary.set_index("model")
    left = table.pivot(index="sample", columns="model", values="value").dropna()
    assert (out["n"] == len(left)).all()
    assert out["mean"].to_dict() == pytest.approx(left.mean().to_dict())
    assert out.loc["c", "undefined"] == (hard & (table["model"] == "c")).sum()


def test_a_model_without_any_value_has_no_rank_and_changes_nothing():
    table = ranking((0.0, 0.1, 0.5))
    want = stats.ranks(table, n_boot=100).summary
    empty = table[table["model"] == "a"].assign(model="z", value=np.nan)
    got = stats.ranks(pd.concat([table, empty], ignore_index=True), n_boot=100).summary
    pd.testing.assert_frame_equal(got.iloc[:3], want)
    assert np.isnan(got.loc[3, ["estimate", "low", "high"]].astype(float)).all()


def test_few_groups_and_one_group():
    few = stats.ranks(ranking((0.0, 5.0), groups=4, noise=0.1), n_boot=100).summary
    assert few[["low", "high"]].to_numpy().tolist() == [[1, 1], [2, 2]]
    one = stats.ranks(ranking((0.0, 5.0), groups=1), n_boot=100).summary
    assert one["estimate"].tolist() == [1, 2]
    assert one[["low", "high"]].isna().all(axis=None)
    alone = stats.ranks(ranking((0.0,)), n_boot=100).summary.iloc[0]
    assert (alone["estimate"], alone["low"], alone["high"], alone["first"]) == (1, 1, 1, 1.0)


def test_tau_equals_scipy_and_its_bounds_the_loop_over_pairs():
    draw = np.random.default_rng(3)
    rows = []
    for k, spread in (("abs_rel", 0.5), ("delta1", 0.5)):
        for m, mean in zip(NAMES, draw.normal(0, spread, 4), strict=True):
            rows.append({"model": m, "metric": k, "value": mean + draw.normal(0, 0.4, 30)})
            rows[-1]["better"] = "lower" if k == "abs_rel" else "higher"
    table = make_table(rows)
    one = stats.rank_agreement(table, n_boot=300).iloc[0]
    mean = table.groupby(["metric", "model"])["value"].mean().unstack()
    assert one["estimate"] == pytest.approx(scipy_stats.kendalltau(mean.loc["abs_rel"], -mean.loc["delta1"]).statistic)
    units, by = _units(table, ["metric"], "model")
    fields = list(_fields(units, by, n_boot=300, seed=0))
    edge = joint_quantile(np.maximum(fields[0].worst, fields[1].worst), 30, 0.95, 12)
    low = high = decided = 0
    for i, j in combinations(range(4), 2):
        signs = []
        for field in fields:
            gap, error = field.mean[i] - field.mean[j], field.error[i, j]
            signs.append(np.sign(gap) if abs(gap) > edge * error else 0)
        known = signs[0] * signs[1]
        decided += known != 0
        low, high = low + (known or -1), high + (known or 1)
    assert (one["low"], one["high"], one["decided"]) == pytest.approx((low / 6, high / 6, decided / 6))
    assert 0 < one["decided"] < 1
    assert (one["n"], one["groups"], one["ranked"]) == (30, 30, 4)


def test_both_rankings_are_judged_at_once(monkeypatch):
    table = ranking((0.0, 0.1, 0.2), metrics=("abs_rel", "rmse"))
    units, by = _units(table, ["metric"], "model")
    worst = [field.worst for field in _fields(units, by, n_boot=100, seed=0)]
    seen = []
    monkeypatch.setattr("depthprobe.stats.ranking.joint_quantile", lambda *given: seen.append(given) or 2.0)
    stats.rank_agreement(table, n_boot=100, level=0.9)
    assert seen[0][0] == pytest.approx(np.max(worst, axis=0))
    assert seen[0][1:] == (20, 0.9, 6)


def test_rankings_that_agree_disagree_and_tie():
    draw = np.random.default_rng(0)
    means = {"abs_rel": (0, 1, 2, 3), "rmse": (0, 1, 2, 3), "edge": (3, 2, 1, 0)}
    table = make_table([
        {"model": m, "metric": k, "value": mean + draw.normal(0, 0.1, 30)}
        for k, line in means.items() for m, mean in zip(NAMES, line, strict=True)
    ])  # fmt: skip
    out = stats.rank_agreement(table, n_boot=200).set_index(["a", "b"])
    assert out.loc[("abs_rel", "rmse"), ["estimate", "low", "high", "decided"]].tolist() == [1, 1, 1, 1]
    assert out.loc[("abs_rel", "edge"), ["estimate", "low", "high"]].tolist() == [-1, -1, -1]
    table.loc[table["model"].eq("b"), "value"] = table.loc[table["model"].eq("a"), "value"].to_numpy()
    tied = stats.rank_agreement(table, n_boot=200).set_index(["a", "b"]).loc[("abs_rel", "rmse")]
    assert tied["estimate"] == 1.0  # tau-b: the tie is in both
    assert (tied["low"], tied["high"]) == pytest.approx((4 / 6, 1.0))


def test_a_model_missing_under_one_metric_is_left_out_of_that_comparison():
    table = ranking((0.0, 1.0, 2.0, 3.0), metrics=("abs_rel", "rmse", "silog"))
    table = table[~((table["metric"] == "rmse") & (table["model"] == "b"))]
    out = stats.rank_agreement(table, n_boot=100).set_index(["a", "b"])["ranked"]
    assert out.to_dict() == {("abs_rel", "rmse"): 3, ("abs_rel", "silog"): 4, ("rmse", "silog"): 3}


def test_what_cannot_be_ranked_is_refused():
    table = ranking((0.0, 1.0), metrics=("abs_rel", "rmse"))
    with pytest.raises(ValueError, match="`metric`"):
        stats.ranks(table)
    with pytest.raises(ValueError, match="direction"):
        stats.ranks(table.assign(better="none"), ["metric"])
    with pytest.raises(ValueError, match="several values of `metric`"):
        stats.rank_agreement(table[table["metric"] == "rmse"])
    with pytest.raises(ValueError, match="`level`"):
        stats.ranks(table, ["metric"], level=95)


def test_intervals_of_ranks_cover_together_with_equal_models():
    draw = np.random.default_rng(0)
    runs, groups, true = 300, 25, np.array([0.0, 0.0, 0.02, 0.5])
    rows = []
    for run in range(runs):
        scene = draw.normal(0, 1, groups)
        rows += [
            {"layer": f"{run:04d}", "model": m, "value": scene + mean + draw.normal(0, 0.3, groups)}
            for m, mean in zip(NAMES, true, strict=True)
        ]
    table = make_table(rows)
    out = stats.ranks(table, ["layer"], n_boot=300).summary
    rank = out["model"].map(dict(zip(NAMES, (1, 1, 3, 4), strict=True)))
    inside = ((out["low"] <= rank) & (rank <= out["high"])).groupby(out["layer"]).all().mean()
    assert inside >= 0.95 - 3 * np.sqrt(0.0475 / runs)
    mean_low = out.groupby("model")["low"].mean()
    assert mean_low["d"] == pytest.approx(4, abs=0.2)  # what is far is told apart
