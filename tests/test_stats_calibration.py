"""Are the statistics calibrated? Coverage, false alarms and power in simulated clustered data, with their figures.

Every test runs twice: with few simulations by default, and with many under `-m slow` (about 5 minutes), which is what
a figure is quoted from: `pytest tests/test_stats_calibration.py -m slow`. Bounds are those of the claim, widened by
three standard errors of the number of simulations where that is small.
"""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from stats_tables import make_table

from depthprobe import stats
from depthprobe.stats.families import contrast
from depthprobe.stats.ranking import _fields, _units


def runs(few, many):
    return pytest.mark.parametrize(
        "runs", [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.slow)]
    )


@pytest.fixture
def tell(capsys):
    """Print figures whatever pytest captures."""

    def say(text):
        with capsys.disabled():
            print(f"\n    {text}", end="")  # noqa: T201

    return say


def three_errors(share, runs):
    return 3 * np.sqrt(share * (1 - share) / runs)


def layered(values, sizes, **facts):
    """A table with one layer per simulation, from `values` {model: (runs, seeds, N)} in groups of `sizes`."""
    rows = [
        {"model": model, "layer": f"{i:05d}", "seed": s, "value": v, **facts}
        for model, simulated in values.items()
        for i, of_run in enumerate(simulated)
        for s, v in enumerate(of_run)
    ]
    table = make_table(rows)
    number = table["sample"].str[1:].astype(int)
    group = np.repeat(np.arange(len(sizes)), sizes)
    return table.assign(group=np.char.mod("g%05d", group[number]))


def covered(out, true):
    return float(((out["low"] <= true) & (true <= out["high"])).mean())


DESIGNS = {
    "8 groups of 10, scene variance 30 %": ([10] * 8, 0.3),
    "40 groups of 5, scene variance 50 %": ([5] * 40, 0.5),
    "40 groups of 1 to 9, scene variance 50 %": ([1, 3, 5, 7, 9] * 8, 0.5),
    "139 groups of 5, scene variance 90 %": ([5] * 139, 0.9),
}


@pytest.mark.parametrize("design", DESIGNS)
@runs(few=400, many=4000)
def test_the_interval_covers_where_one_of_images_does_not(design, runs, tell):
    sizes, share = DESIGNS[design]
    draw, of = np.random.default_rng(11), np.repeat(np.arange(len(sizes)), sizes)
    scene = draw.normal(0, share**0.5, (runs, len(sizes)))[:, of]
    table = layered({"a": (1 + scene + draw.normal(0, (1 - share) ** 0.5, scene.shape))[:, None]}, sizes)
    options = {"whole groups": {}, "bca": {"method": "bca"}, "nested": {"nested": True}}
    found = {n: covered(stats.summarise(table, ["layer"], n_boot=1000, **o), 1.0) for n, o in options.items()}
    images = stats.summarise(table.assign(group=table["sample"]), ["layer"], n_boot=1000)
    found["images"] = covered(images, 1.0)
    tell(f"coverage, {design}, {runs} simulations: " + ", ".join(f"{n} {v:.1%}" for n, v in found.items()))
    slack = three_errors(0.95, runs) if runs < 1000 else 0.0
    assert 0.93 - slack <= found["whole groups"] <= 0.97 + slack
    assert found["images"] < 0.85
    assert found["nested"] >= found["whole groups"] - 0.01


def networks(draw, runs, groups, *, seeds, per, training=0.0, gap=0.0):
    """Two networks of equal skill but for `gap`: errors exchangeable, clustered by scene, trainings nested in each."""
    scene = draw.normal(1, 0.5, (runs, 1, groups, 1))
    values = {}
    for i, model in enumerate("ab"):
        own = draw.normal(0, 0.2, (runs, 1, groups, 1))
        trained = draw.normal(0, training, (runs, seeds, 1, 1)) + draw.normal(0, 0.2, (runs, seeds, groups, 1))
        noise = draw.normal(0, 0.2, (runs, seeds, groups, per))
        values[model] = (scene + own + trained + noise + i * gap).reshape(runs, seeds, groups * per)
    return layered(values, [per] * groups)


def alarms(out):
    return float((out["verdict"] != "undecided").mean())


@runs(few=200, many=10_000)
def test_two_networks_of_equal_skill_are_rarely_called_different(runs, tell):
    draw, each, found = np.random.default_rng(12), min(runs, 1000), []
    for seed in range(runs // each):  # every thousand with its own resamples and flips
        table = networks(draw, each, 30, seeds=3, per=2)
        grouped = stats.compare(table, ["layer"], family=["layer"], n_boot=4000, seed=seed)
        images = stats.compare(table.assign(group=table["sample"]), ["layer"], family=["layer"], n_boot=500, seed=seed)
        found.append((alarms(grouped), float((grouped["p"] <= 0.05).mean()), alarms(images)))
    verdicts, p, of_images = np.mean(found, axis=0)
    tell(
        f"false alarms, equal networks, 3 seeds each, 30 scenes, {runs} simulations: {verdicts:.1%} "
        f"(p <= 0.05: {p:.1%}), images as groups {of_images:.1%}; "
        f"by the thousand: {', '.join(f'{v:.1%}' for v, _, _ in found)}"
    )
    assert verdicts <= 0.05 + (three_errors(0.05, runs) if runs < 1000 else 0.0)
    assert of_images > 0.08


@runs(few=200, many=1000)
def test_trainings_that_differ_by_luck_are_no_difference_of_architectures(runs, tell):
    table = networks(np.random.default_rng(13), runs, 30, seeds=4, per=2, training=0.3)
    fixed = stats.compare(table, ["layer"], family=["layer"], n_boot=500)
    units = stats.family_contrast(table, ["layer"], between="model", unit="seed", family=["layer"])
    tell(
        f"false alarms, equal architectures whose 4 trainings differ, {runs} simulations: over trainings "
        f"{alarms(units):.1%}, trainings taken as they are {alarms(fixed):.1%}"
    )
    slack = three_errors(0.05, runs) if runs < 1000 else 0.0
    assert alarms(units) <= 0.05 + slack
    assert alarms(fixed) > 0.3


@runs(few=300, many=2000)
def test_the_detectable_difference_of_a_pilot_is_found_in_about_80_percent(runs, tell):
    draw = np.random.default_rng(14)
    pilot = networks(draw, runs, 40, seeds=2, per=2)
    stated = stats.power(pilot, ["layer"])["estimate"].to_numpy()
    study = networks(draw, runs, 40, seeds=2, per=2)
    number = study["layer"].astype(int)
    planted = study.assign(value=study["value"] + np.where(study["model"] == "b", stated[number], 0.0))
    out = stats.compare(planted, ["layer"], family=["layer"], n_boot=2000)
    found = float((out["verdict"] == "worse").mean())
    tell(f"power, the difference that a pilot of 40 scenes states, {runs} simulations: found in {found:.1%}")
    assert 0.8 - 0.03 - three_errors(0.8, runs) <= found <= 0.8 + 0.03 + three_errors(0.8, runs)


@runs(few=300, many=2000)
def test_the_groups_said_to_be_needed_find_the_effect_in_about_80_percent(runs, tell):
    draw = np.random.default_rng(15)
    pilot = networks(draw, 1, 2000, seeds=2, per=2)
    needed = int(stats.power(pilot, effect=0.15)["needed"].iloc[0])
    study = networks(draw, runs, needed, seeds=2, per=2, gap=0.15)
    out = stats.compare(study, ["layer"], family=["layer"], n_boot=2000)
    found = float((out["verdict"] == "worse").mean())
    tell(f"power, the {needed} scenes said to be needed, {runs} simulations: found in {found:.1%}")
    assert 0.8 - 0.03 - three_errors(0.8, runs) <= found <= 0.8 + 0.03 + three_errors(0.8, runs)


def architectures(draw, k, groups, *, unit, side, crossed, gap=0.0):
    """Group means (G, K) of one simulation, and which of the K architectures are of the second family."""
    of_b = np.arange(sum(k)) >= k[0]
    spread = np.where(of_b, unit[1], unit[0])
    shared = draw.normal(0, side, (groups, 2))[:, of_b.astype(int)]
    own = spread * draw.normal(size=sum(k)) + draw.normal(0, crossed, (groups, sum(k)))
    return draw.normal(1, 1, (groups, 1)) + shared + own + gap * of_b, of_b


def bootstrap_of_architectures(draw, values, of_b, n_boot=400):
    """The plain nested bootstrap: architectures inside each family and scenes, percentiles."""
    groups = len(values)
    at = draw.integers(0, groups, (n_boot, groups))
    rows = values.T[:, at].mean(2)  # (K, n_boot): every architecture on the scenes drawn
    side = [np.flatnonzero(~of_b), np.flatnonzero(of_b)]
    column = np.arange(n_boot)[:, None]
    a, b = (rows[s[draw.integers(0, len(s), (n_boot, len(s)))], column].mean(1) for s in side)
    return np.quantile(b - a, [0.025, 0.975])


FAMILIES = {
    "3 and 3, architectures scatter": ((3, 3), {"unit": (1, 1), "side": 0.0, "crossed": 0.5}, (0.94, 0.985)),
    "2 and 2, architectures scatter": ((2, 2), {"unit": (1, 1), "side": 0.3, "crossed": 0.5}, (0.94, 0.99)),
    "3 and 5, both": ((3, 5), {"unit": (0.2, 0.2), "side": 0.5, "crossed": 1.0}, (0.93, 0.98)),
    "10 and 10, both": ((10, 10), {"unit": (0.2, 0.2), "side": 0.5, "crossed": 1.0}, (0.93, 0.97)),
    "4 and 4, scenes only": ((4, 4), {"unit": (0, 0), "side": 1.0, "crossed": 0.2}, (0.93, 0.97)),
    "4 and 4, nothing but noise": ((4, 4), {"unit": (0, 0), "side": 0.0, "crossed": 1.0}, (0.95, 1.0)),
    "2 and 2, spreads 15 to 1": ((2, 2), {"unit": (0.3, 0.02), "side": 0.1, "crossed": 0.3}, (0.90, 0.95)),
    "2 and 6, spreads 5 to 1": ((2, 6), {"unit": (1, 0.2), "side": 0.1, "crossed": 0.3}, (0.87, 0.94)),
}


@pytest.mark.parametrize("design", FAMILIES)
@runs(few=400, many=4000)
def test_the_interval_of_two_families_covers(design, runs, tell):
    k, effects, (least, most) = FAMILIES[design]
    draw, plain, rows = np.random.default_rng(16), 0, []
    for _ in range(runs):
        values, of_b = architectures(draw, k, 40, **effects)
        rows.append(contrast(values, np.ones(40), of_b))
        low, high = bootstrap_of_architectures(draw, values, of_b)
        plain += low <= 0 <= high
    error, df = (np.array([row[c] for row in rows]) for c in ("error", "df"))
    gap = np.array([row["estimate"] for row in rows])
    inside = float((np.abs(gap) <= student.ppf(0.975, df) * error).mean())
    tell(f"coverage, families of {design}, {runs} simulations: {inside:.1%}, bootstrap {plain / runs:.1%}")
    slack = three_errors(0.95, runs)
    assert least - slack <= inside <= min(1.0, most + slack)
    if k == (3, 3):
        assert 0.7 < plain / runs < 0.88


@runs(few=200, many=1000)
def test_equal_families_are_rarely_called_different_and_one_pair_often_is(runs, tell):
    draw = np.random.default_rng(17)
    simulated = [architectures(draw, (3, 3), 30, unit=(0.3, 0.3), side=0.2, crossed=0.3)[0] for _ in range(runs)]
    names = [f"{family}{i}" for family in ("cnn", "transformer") for i in range(3)]
    table = layered({m: np.array([v[:, i] for v in simulated])[:, None] for i, m in enumerate(names)}, [1] * 30)
    table = table.assign(family=table["model"].str[:-1])
    families = stats.family_contrast(table, ["layer"], family=["layer"])
    pair = stats.compare(table, ["layer"], a="cnn0", b="transformer0", family=["layer"], n_boot=500)
    tell(
        f"false alarms, equal families of 3 and 3, {runs} simulations: families {alarms(families):.1%}, "
        f"one pair of networks {alarms(pair):.1%}"
    )
    slack = three_errors(0.05, runs) if runs < 1000 else 0.0
    assert alarms(families) <= 0.05 + slack
    assert alarms(pair) > 0.4


def tau(a, b):
    """Kendall's tau of the columns of (K, B) and (K, B)."""
    i, j = np.triu_indices(len(a), 1)
    return (np.sign(a[i] - a[j]) * np.sign(b[i] - b[j])).mean(0)


@runs(few=40, many=400)
def test_ranks_and_their_agreement_cover_among_close_models(runs, tell):
    draw, size, groups = np.random.default_rng(18), 20, 30
    models = [f"m{i:02d}" for i in range(size)]
    means = draw.normal(0, 0.05, (runs, size))
    alike = 0.98 * means + np.sqrt(1 - 0.98**2) * draw.normal(0, 0.05, (runs, size))
    true = np.array([tau(x[:, None], y[:, None])[0] for x, y in zip(means, alike, strict=True)])
    noise = draw.normal(0, 1, (2, size, runs, 1, groups))
    noise[1] = 0.5 * noise[0] + 0.75**0.5 * noise[1]
    parts = [
        layered({m: of[:, i, None, None] + e[i] for i, m in enumerate(models)}, [1] * groups, metric=metric)
        for metric, of, e in zip(("abs_rel", "rmse"), (means, alike), noise, strict=True)
    ]
    table = pd.concat(parts, ignore_index=True)
    out = stats.rank_agreement(table, ["layer"], n_boot=300)
    inside = covered(out, true)
    ranked = stats.ranks(parts[0], ["layer"], n_boot=300).summary.sort_values(["layer", "model"])
    rank = (np.argsort(np.argsort(means, axis=1), axis=1) + 1).ravel()
    held = ((ranked["low"] <= rank) & (rank <= ranked["high"])).to_numpy().reshape(runs, size).all(1).mean()
    units, by = _units(table, ["layer", "metric"], "model")
    boot = [field.boot for field in _fields(units, by, n_boot=300, seed=0)]
    ends = [np.quantile(tau(a, b), [0.025, 0.975]) for a, b in zip(boot[::2], boot[1::2], strict=True)]
    naive = np.mean([low <= t <= high for (low, high), t in zip(ends, true, strict=True)])
    tell(
        f"coverage, 20 close models, {runs} simulations: tau {inside:.1%} (percentiles of resampled taus {naive:.1%}), "
        f"all 20 ranks at once {held:.1%}"
    )
    slack = three_errors(0.95, runs)
    assert inside >= 0.95 - slack
    assert held >= 0.95 - slack
    assert naive < 0.1
