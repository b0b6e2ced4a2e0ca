"""Families of architectures: against closed forms at both ends, plain loops, and the mixed model of statsmodels."""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats as scipy_stats
from stats_tables import make_table

from depthprobe import stats
from depthprobe.stats.families import MOST_LABELS, contrast, orders

SIDES = ("cnn", "transformer")


def networks(values, *, per_group=1, tags=1, seeds=1, **facts):
    """A table from `values` [family][architecture] (samples,) or (tags, seeds, samples)."""
    rows, family = [], {}
    for side, members in zip(SIDES, values, strict=True):
        for i, value in enumerate(members):
            family[f"{side}{i}"] = side
            for t, of_tag in enumerate(np.reshape(value, (tags, seeds, -1))):
                rows += [
                    {"model": f"{side}{i}", "tag": f"t{t}", "seed": s, "value": v, **facts}
                    for s, v in enumerate(of_tag)
                ]
    table = make_table(rows, per_group=per_group)
    return table.assign(family=table["model"].map(family))


def mixed(k=(3, 3), groups=12, *, unit=0.3, side=0.2, crossed=0.2, gap=0.0, rng=0):
    """Values [family][architecture] (groups,): scene, family x scene, architecture and architecture x scene effects."""
    draw = np.random.default_rng(rng)
    scene = draw.normal(1, 0.5, groups)
    return [
        [f * gap + scene + shared + draw.normal(0, unit) + draw.normal(0, crossed, groups) for _ in range(n)]
        for f, n in enumerate(k)
        for shared in [draw.normal(0, side, groups)]
    ]


def slow_contrast(values):
    """Estimate, error, degrees of freedom by loops over the mean squares of the model's analysis of variance."""
    groups = len(values[0][0])
    mean = [[np.mean(v) for v in side] for side in values]
    estimate = np.mean(mean[1]) - np.mean(mean[0])
    parts = []
    for side, own in zip(values, mean, strict=True):
        k = len(side)
        parts.append((sum((m - np.mean(own)) ** 2 for m in own) / (k - 1) / k, k - 1))
    gaps = [np.mean([v[g] for v in values[1]]) - np.mean([v[g] for v in values[0]]) for g in range(groups)]
    parts.append((sum((gap - np.mean(gaps)) ** 2 for gap in gaps) / (groups - 1) / groups, groups - 1))
    twice = []
    for side, own in zip(values, mean, strict=True):
        k, square = len(side), 0.0
        for v, m in zip(side, own, strict=True):
            for g in range(groups):
                square += (v[g] - m - np.mean([w[g] for w in side]) + np.mean(own)) ** 2
        twice.append((square / (k - 1) / (groups - 1) / k / groups, (k - 1) * (groups - 1)))
    arch, scenes, both = parts[0][0] + parts[1][0], parts[2][0], twice[0][0] + twice[1][0]
    variance = max(arch, scenes, arch + scenes - both)
    return estimate, variance**0.5, variance**2 / sum(v**2 / df for v, df in parts + twice)


@pytest.mark.parametrize("k", [(2, 2), (3, 5), (6, 4)])
def test_it_equals_the_plain_loops(k):
    values = mixed(k, gap=0.5, rng=sum(k))
    one = stats.family_contrast(networks(values)).iloc[0]
    estimate, error, df = slow_contrast(values)
    half = scipy_stats.t.ppf(0.975, df) * error
    assert (one["a"], one["b"], one["units_a"], one["units_b"]) == (*SIDES, *k)
    assert (one["estimate"], one["df"]) == pytest.approx((estimate, df))
    assert (one["low"], one["high"]) == pytest.approx((estimate - half, estimate + half))
    assert one["p"] == pytest.approx(2 * scipy_stats.t.sf(abs(estimate) / error, df))
    assert one["mean_b"] - one["mean_a"] == pytest.approx(estimate)


def test_without_scatter_over_scenes_it_is_welchs_t_test_of_architectures():
    values = mixed((4, 5), side=0.0, crossed=0.0, gap=0.3)
    one = stats.family_contrast(networks(values)).iloc[0]
    means = [[v.mean() for v in side] for side in values]
    want = scipy_stats.ttest_ind(means[1], means[0], equal_var=False)
    interval = want.confidence_interval(0.95)
    assert (one["p"], one["df"]) == pytest.approx((want.pvalue, want.df))
    assert (one["low"], one["high"]) == pytest.approx((interval.low, interval.high))
    within = sum(((np.array(m) - np.mean(m)) ** 2).sum() for m in means) / 7
    assert one["spread"] == pytest.approx(within**0.5)


def test_with_equal_architectures_it_is_the_paired_t_test_of_scenes():
    values = mixed((3, 3), unit=0.0, crossed=0.0, gap=0.1)
    one = stats.family_contrast(networks(values)).iloc[0]
    want = scipy_stats.ttest_rel(values[1][0], values[0][0])
    assert (one["p"], one["df"]) == pytest.approx((want.pvalue, 11))
    assert (one["low"], one["high"]) == pytest.approx(tuple(want.confidence_interval(0.95)))


def test_a_balanced_table_gives_what_restricted_likelihood_gives():
    smf = pytest.importorskip("statsmodels.formula.api")
    values = mixed((4, 4), side=0.6, crossed=0.4, gap=1.0, rng=3)
    rows = [
        {"y": y, "family": f, "model": f"{f}{m}", "scene": f"s{g}", "shared": f"{f}s{g}", "one": 1}
        for f, side in enumerate(values)
        for m, v in enumerate(side)
        for g, y in enumerate(v)
    ]
    crossed = {c: f"0+C({c})" for c in ("model", "scene", "shared")}
    fitted = smf.mixedlm("y ~ family", pd.DataFrame(rows), groups="one", vc_formula=crossed).fit()
    one = contrast(np.array([v for side in values for v in side]).T, np.ones(12), np.arange(8) >= 4)
    assert one["error"] == pytest.approx(fitted.bse_fe["family"], rel=1e-3)
    assert one["estimate"] == pytest.approx(fitted.fe_params["family"])


def test_groups_of_unequal_size_are_resampled_whole():
    draw = np.random.default_rng(0)
    size = draw.integers(1, 6, 40).astype(float)
    total = draw.normal(size=(40, 6)) * np.sqrt(size)[:, None] + size[:, None] * draw.normal(size=(40, 1))
    one = contrast(total, size, np.arange(6) >= 3)
    mean = total.sum(0) / size.sum()
    assert one["estimate"] == pytest.approx(mean[3:].mean() - mean[:3].mean())
    gap = total[:, 3:].mean(1) - total[:, :3].mean(1)
    boot = [gap[i].sum() / size[i].sum() for i in draw.integers(0, 40, (20_000, 40))]
    assert one["error_groups"] == pytest.approx(np.std(boot) * np.sqrt(40 / 39), rel=0.05)


def test_trainings_and_seeds_are_nested_in_their_architecture():
    draw = np.random.default_rng(1)
    values = [[draw.normal(size=(2, 3, 8)) for _ in range(3)] for _ in SIDES]
    table = networks(values, tags=2, seeds=3)
    one = stats.family_contrast(table).iloc[0]
    want = slow_contrast([[v.mean((0, 1)) for v in side] for side in values])
    assert (one["estimate"], one["df"], one["runs"]) == pytest.approx((want[0], want[2], 6))
    less = table[~((table["model"] == "cnn0") & (table["tag"] == "t1") & (table["seed"] > 0))]
    two = stats.family_contrast(less).iloc[0]
    first = (values[0][0][0].mean(0) + values[0][0][1, 0]) / 2  # a training counts once, whatever its seeds
    want = slow_contrast([[first, *(v.mean((0, 1)) for v in values[0][1:])], [v.mean((0, 1)) for v in values[1]]])
    assert (two["estimate"], two["df"], two["runs"]) == pytest.approx((want[0], want[2], 4))
    lone = table[~((table["model"] == "cnn0") & (table["tag"] == "t1"))]
    three = stats.family_contrast(lone).iloc[0]
    values[0][0] = values[0][0][:1]
    want = slow_contrast([[v.mean((0, 1)) for v in side] for side in values])
    assert (three["estimate"], three["df"], three["runs"]) == pytest.approx((want[0], want[2], 3))


def test_many_seeds_of_one_network_are_no_family():
    draw = np.random.default_rng(2)
    values = [[draw.normal(size=(2, 5, 30))], [draw.normal(5, 1, (2, 5, 30)), draw.normal(5, 1, (2, 5, 30))]]
    one = stats.family_contrast(networks(values, tags=2, seeds=5)).iloc[0]
    assert one["estimate"] == pytest.approx(5, abs=0.2)
    assert one[["low", "high", "p", "p_holm", "detectable"]].isna().all()
    assert one["verdict"] == "undecided"


def test_two_architectures_over_their_trainings():
    draw = np.random.default_rng(3)
    values = [[draw.normal(0, 0.1, (3, 1, 1)) + draw.normal(0, 0.1, (3, 1, 15))] for _ in SIDES]
    table = networks(values, tags=3)
    one = stats.family_contrast(table, between="model", unit="tag").iloc[0]
    want = slow_contrast([list(side[0][:, 0]) for side in values])
    assert (one["estimate"], one["df"]) == pytest.approx((want[0], want[2]))
    again = table.assign(seed=table["tag"].str[1:].astype(int), tag="v1")
    seeds = stats.family_contrast(again, between="model", unit="seed").iloc[0]
    assert (seeds["low"], seeds["high"]) == pytest.approx((one["low"], one["high"]))


def test_what_the_order_alone_says():
    mean = np.array([0.1, 0.2, 0.5, 0.3, 0.8, 0.9, 0.4])
    of_b = np.array([0, 0, 0, 1, 1, 1, 0], bool)
    gap = abs(mean[of_b].mean() - mean[~of_b].mean())
    hits = tried = 0
    for chosen in combinations(range(7), 3):
        rest = [i for i in range(7) if i not in chosen]
        hits += abs(mean[list(chosen)].mean() - mean[rest].mean()) >= gap - 1e-12
        tried += 1
    wins = [(y < x) + 0.5 * (y == x) for y in mean[of_b] for x in mean[~of_b]]
    got = orders(mean, of_b, "lower", 0)
    assert (got["p_labels"], got["superiority"]) == pytest.approx((hits / tried, np.mean(wins)))
    assert orders(mean, of_b, "higher", 0)["superiority"] == pytest.approx(1 - np.mean(wins))
    apart = np.array([0.0, 0.1, 0.2, 5.0, 5.1, 5.2])
    assert orders(apart, apart > 1, "lower", 0)["p_labels"] == pytest.approx(0.1)
    many = np.random.default_rng(0).normal(size=24)  # 2.7 million ways: some are drawn
    p = orders(many, np.arange(24) >= 12, "lower", 0)["p_labels"]
    t = scipy_stats.ttest_ind(many[12:], many[:12]).pvalue
    assert p == pytest.approx(t, abs=0.02)
    assert p * (MOST_LABELS + 1) == pytest.approx(round(p * (MOST_LABELS + 1)))


def test_only_samples_that_every_architecture_has_count():
    table = networks(mixed((2, 2), gap=0.5))
    hole = (table["model"] == "cnn1") & (table["sample"] == "s00003")
    want = stats.family_contrast(table[table["sample"] != "s00003"]).iloc[0]
    for broken in (table[~hole], table.assign(value=table["value"].mask(hole))):
        one = stats.family_contrast(broken).iloc[0]
        assert (one["n"], one["groups"]) == (11, 11)
        assert (one["estimate"], one["low"]) == pytest.approx((want["estimate"], want["low"]))
    assert one["undefined"] == 1


def test_cells_families_ropes_and_verdicts():
    parts = [networks(mixed((4, 4), gap=g, unit=0.05), metric=m) for m, g in (("abs_rel", 1.0), ("rmse", 0.0))]
    table = pd.concat(parts, ignore_index=True)
    out = stats.family_contrast(table, ["metric"], rope={"abs_rel": 0.2, "rmse": 0.5}).set_index("metric")
    assert out["verdict"].to_dict() == {"abs_rel": "worse", "rmse": "equivalent"}
    assert out["rope"].to_dict() == {"abs_rel": 0.2, "rmse": 0.5}
    assert np.allclose(out["p_holm"], stats.holm(out["p"].to_numpy()))
    row = out.loc["rmse"]
    error = (row["high"] - row["estimate"]) / scipy_stats.t.ppf(0.975, row["df"])
    each = [scipy_stats.t.sf((0.5 + s * row["estimate"]) / error, row["df"]) for s in (1, -1)]
    assert row["p_tost"] == pytest.approx(max(each))
    assert (out["detectable"] > 0).all()
    oracle = table[table["model"] == "cnn0"].assign(model="row", family="oracle")
    three = stats.family_contrast(pd.concat([table, oracle], ignore_index=True), ["metric"])
    assert len(three) == 2 * 3
    named = stats.family_contrast(table, ["metric"], a="transformer", b="cnn").set_index("metric")
    assert named.loc["abs_rel", "verdict"] == "better"


def test_what_hides_the_unit_of_the_claim_is_refused():
    table = networks(mixed())
    with pytest.raises(ValueError, match="compared"):
        stats.family_contrast(table, ["model"])
    with pytest.raises(ValueError, match="`model`"):
        stats.family_contrast(table, unit="tag")  # one tag stands for three models
    two = pd.concat([table, table.assign(metric="rmse")], ignore_index=True)
    with pytest.raises(ValueError, match="`metric`"):
        stats.family_contrast(two)
    strangers = table.assign(sample=table["model"] + table["sample"], group=table["model"] + table["group"])
    with pytest.raises(ValueError, match="shares"):
        stats.family_contrast(strangers)


def test_a_cell_without_any_value_stays_visible():
    table = networks(mixed())
    table = pd.concat([table, table.assign(metric="rmse", value=np.nan)], ignore_index=True)
    out = stats.family_contrast(table, ["metric"], rope=1.0).set_index("metric")
    assert (out.loc["rmse", "n"], out.loc["rmse", "undefined"], out.loc["rmse", "verdict"]) == (0, 72, "undecided")
    assert out.loc["rmse", ["estimate", "low", "p", "p_labels", "df", "superiority"]].isna().all()
    assert out.loc["abs_rel", "p_holm"] == out.loc["abs_rel", "p"]
