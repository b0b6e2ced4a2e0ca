"""Nearer to which family: closed forms, a slow reference, and how often it speaks where nothing is to be said."""

import numpy as np
import pandas as pd
import pytest
from stats_tables import make_table

from depthprobe.stats import leaning
from depthprobe.stats.resample import expanded_tails, group_weights

FAMILY = {"c1": "cnn", "c2": "cnn", "t1": "transformer", "t2": "transformer", "me": "hybrid"}


def table(shift, n=24, noise=0.02, rng=0, **facts):
    """Networks whose means differ by `shift` {model: number}; scenes are hard or easy for all alike."""
    draw = np.random.default_rng(rng)
    scene = draw.normal(1, 0.3, n)
    rows = [
        {"model": m, "family": FAMILY[m], "value": scene + by + draw.normal(0, noise, n), **facts}
        for m, by in shift.items()
    ]
    return make_table(rows)


AT = {"c1": 0.0, "c2": 0.0, "t1": 1.0, "t2": 1.0}


@pytest.mark.parametrize(
    ("me", "gap", "verdict"),
    [(-3, -1, "cnn"), (0.2, -0.6, "cnn"), (0.9, 0.8, "transformer"), (1, 1, "transformer"), (4, 1, "transformer")],
)
def test_a_planted_distance_is_found(me, gap, verdict):
    (found,) = leaning(table({**AT, "me": me}), "me", n_boot=400).to_dict("records")
    assert found["estimate"] == pytest.approx(gap, abs=0.03)
    assert found["low"] < found["estimate"] < found["high"]
    assert found["verdict"] == verdict


def test_half_way_and_equal_families_are_undecided():
    assert leaning(table({**AT, "me": 0.5}, noise=0.3), "me", n_boot=400)["verdict"].item() == "undecided"
    same = leaning(table({**dict.fromkeys(AT, 0.0), "me": 5.0}, noise=0.3), "me", n_boot=400)
    assert same["verdict"].item() == "undecided"


@pytest.mark.parametrize(
    "at",
    [
        {"c1": 0.0, "c2": 0.5, "t1": 0.3, "t2": 0.32, "me": 0.0},  # as one CNN, and far from the other
        {"c1": 0.1, "c2": 0.5, "t1": 0.35, "t2": 0.36, "me": 0.5},  # as one CNN, yet nearer to the Transformers
        {"c1": 0.0, "c2": 1.0, "t1": 0.1, "t2": 1.1, "me": 2.0},  # one network of each pair alike
    ],
)
def test_families_that_one_network_decides_are_undecided(at):
    """However many images: the number of networks is what it is."""
    (found,) = leaning(table(at, n=200, noise=0.01), "me", n_boot=400).to_dict("records")
    assert found["p_holm"] < 0.05
    assert found["low"] > 0 or found["high"] < 0
    assert found["without_low"] < 0 < found["without_high"]
    assert found["verdict"] == "undecided"


def test_leaving_out_one_network_is_the_plain_formula():
    at = {"c1": 0.0, "c2": 0.2, "t1": 1.0, "t2": 0.7, "me": 0.9}
    rows = table(at, n=40, noise=0.1)
    m = rows.groupby("model")["value"].mean()
    gaps = []
    for gone in ("c1", "c2", "t1", "t2"):
        a, b = ([m[k] for k in pair if k != gone] for pair in (("c1", "c2"), ("t1", "t2")))
        gaps.append(abs(m["me"] - np.mean(a)) - abs(m["me"] - np.mean(b)))
    (found,) = leaning(rows, "me", n_boot=100).to_dict("records")
    assert [found["without_low"], found["without_high"]] == pytest.approx([min(gaps), max(gaps)], rel=1e-12)
    assert found["verdict"] == "transformer"


@pytest.mark.parametrize(
    "at",
    [{"c1": 0.0, "t1": 1.0}, {"c1": 0.0, "t1": 1.0, "t2": 1.0}, {"c1": 0.0, "c2": 0.0, "t1": 1.0}],
    ids=["both", "cnn", "transformer"],
)
@pytest.mark.parametrize("me", [0.1, 0.9])
def test_a_family_of_one_network_decides_nothing(at, me):
    """That single network alone would."""
    (found,) = leaning(table({**at, "me": me}), "me", n_boot=400).to_dict("records")
    assert found["p_holm"] < 0.05
    assert found["low"] > 0 or found["high"] < 0
    assert np.isnan([found["without_low"], found["without_high"]]).all()
    assert found["verdict"] == "undecided"


def test_it_is_the_plain_formula():
    rows = table({**AT, "me": 0.3}, n=9, noise=0.2)
    rows.loc[(rows["model"] == "t1") & (rows["sample"] == "s00004"), "value"] = (
        np.nan
    )  # missing for one: left out for all
    (found,) = leaning(rows, "me", n_boot=300, seed=5).to_dict("records")
    wide = rows.pivot(index="sample", columns="model", values="value").dropna()
    assert (found["n"], found["undefined"]) == (8, 1)

    def gap(frame):
        s, a, b = frame["me"].mean(), frame[["c1", "c2"]].mean().mean(), frame[["t1", "t2"]].mean().mean()
        return abs(s - a) - abs(s - b)

    assert found["estimate"] == pytest.approx(gap(wide), rel=1e-12)
    drawn = []
    for _, weight in group_weights(9, 300, 5):
        for times in weight.astype(int):
            drawn.append(gap(wide.reindex([f"s{i:05d}" for i in np.repeat(np.arange(9), times)])))
    tails = expanded_tails(8, 0.95)
    assert [found["low"], found["high"]] == pytest.approx(np.quantile(drawn, tails), rel=1e-9)
    gaps = wide[["t1", "t2"]].mean(axis=1) - wide[["c1", "c2"]].mean(axis=1)
    assert found["mean_b"] - found["mean_a"] == pytest.approx(gaps.mean(), rel=1e-12)


def test_the_subject_is_no_reference():
    rows = table({**AT, "me": 0.1}).replace({"family": {"hybrid": "cnn"}})
    (found,) = leaning(rows, "me", n_boot=200).to_dict("records")
    assert (found["models_a"], found["models_b"]) == (2, 2)
    assert found["mean_a"] == pytest.approx(rows[rows["model"].isin(["c1", "c2"])]["value"].mean())


def test_one_family_alone_decides_nothing():
    rows = table({"c1": 0.0, "c2": 0.0, "me": 0.1})
    (found,) = leaning(rows, "me", n_boot=200).to_dict("records")
    assert np.isnan(found["estimate"])
    assert found["verdict"] == "undecided"


def test_doors():
    rows = table({**AT, "me": 0.1})
    with pytest.raises(ValueError, match="`subject` to be one of"):
        leaning(rows, "you")
    other = pd.concat([rows, rows.assign(metric="rmse")])
    with pytest.raises(ValueError, match="`metric`"):
        leaning(other, "me")
    assert len(leaning(other, "me", ["metric"], n_boot=50)) == 2


NULLS = {
    "half way": {**AT, "me": 0.5},
    "families alike, subject far": {**dict.fromkeys(AT, 0.0), "me": 3.0},
    "all alike": dict.fromkeys(FAMILY, 0.0),
}


@pytest.mark.parametrize("shift", NULLS.values(), ids=NULLS)
@pytest.mark.parametrize("n", [8, 24])
def test_it_is_silent_where_there_is_nothing(shift, n):
    """In at most 5 % of worlds without an answer is one given (three standard errors of 400 worlds allowed)."""
    draw, runs = np.random.default_rng(n), 400
    rows = [
        {"model": m, "family": FAMILY[m], "layer": f"{i}", "value": by + draw.normal(0, 0.4, n)}
        for m, by in shift.items()
        for i in range(runs)
    ]
    found = leaning(make_table(rows), "me", ["layer"], family=["layer"], n_boot=400)
    wrong = (found["verdict"] != "undecided").mean()
    assert wrong <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)
    covered = ((found["low"] <= 0) & (found["high"] >= 0)).mean()
    assert covered >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / runs)
