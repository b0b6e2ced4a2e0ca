"""The nested bootstrap: groups are drawn, then samples inside them."""

import numpy as np
import pandas as pd
import pytest
from stats_tables import make_table

from depthprobe import stats
from depthprobe.stats import resample


def slow_nested(groups, n_boot, draw):
    """Draw groups with replacement, then as many samples in each as it has, by plain loops."""
    out = []
    for _ in range(n_boot):
        drawn = []
        for _ in range(len(groups)):
            chosen = groups[draw.integers(len(groups))]
            drawn += [chosen[draw.integers(len(chosen))] for _ in range(len(chosen))]
        out.append(sum(drawn) / len(drawn))
    return np.array(out)


def test_nested_resamples_scatter_as_the_plain_loops_do():
    draw = np.random.default_rng(0)
    groups = [draw.normal(m, 1, n) for m, n in ((0, 3), (1, 5), (3, 1), (1, 4), (2, 7))]
    inside = np.repeat(np.arange(5), [len(g) for g in groups])
    values = np.concatenate(groups)[:, None]
    got = resample.resample_means(values, np.ones_like(values), inside, n_boot=20_000, seed=1)[0]
    want = slow_nested([list(g) for g in groups], 20_000, draw)
    assert got.mean() == pytest.approx(want.mean(), abs=4 * want.std() * np.sqrt(2 / 20_000))
    assert got.std() == pytest.approx(want.std(), rel=4 / np.sqrt(20_000))
    for q in (0.05, 0.5, 0.95):
        assert (got <= np.quantile(want, q)).mean() == pytest.approx(q, abs=0.02)


def test_its_variance_is_the_closed_form_and_that_of_whole_groups_lacks_one_part():
    draw = np.random.default_rng(1)
    values = draw.normal(size=(12, 1)) + draw.normal(size=(12, 4))
    within = values.var(axis=1).mean() / 4 / 12
    between = values.mean(1).var() / 12
    columns = values.reshape(-1, 1)
    sample = resample.resample_means(columns, np.ones_like(columns), np.repeat(np.arange(12), 4), n_boot=40_000, seed=0)
    whole = resample.resample_means(values.sum(1, keepdims=True), np.full((12, 1), 4.0), n_boot=40_000, seed=0)
    assert sample.var() == pytest.approx(between + within, rel=0.04)
    assert whole.var() == pytest.approx(between, rel=0.04)


def test_weights_keep_the_size_of_every_group_drawn(monkeypatch):
    inside = np.array([0, 0, 0, 1, 2, 2])
    parts = list(resample.nested_weights(inside, 500, seed=3))
    weight = np.concatenate([w for _, w in parts])
    of_group = np.stack([weight[:, inside == g].sum(1) for g in range(3)], axis=1)
    assert (of_group % [3, 1, 2] == 0).all()
    assert (of_group / [3, 1, 2]).sum(1).tolist() == [3.0] * 500
    monkeypatch.setattr(resample, "_CHUNK", 60)
    again = np.concatenate([w for _, w in resample.nested_weights(inside, 500, seed=3)])
    assert (again == weight).all()


def test_one_sample_per_group_is_the_same_as_whole_groups():
    table = make_table([{"value": np.random.default_rng(2).normal(size=15)}])
    plain, nested = (stats.summarise(table, ["model"], n_boot=300, nested=n) for n in (False, True))
    pd.testing.assert_frame_equal(plain, nested)


def test_a_cell_does_not_depend_on_what_else_is_in_the_table():
    draw = np.random.default_rng(4)
    table = make_table([{"model": m, "value": draw.normal(size=24)} for m in ("a", "b")], per_group=4)
    table = table[~((table["model"] == "b") & (table["sample"] == "s00002"))]
    whole = stats.summarise(table, ["model"], n_boot=200, nested=True)
    alone = [stats.summarise(table[table["model"] == m], ["model"], n_boot=200, nested=True) for m in ("a", "b")]
    pd.testing.assert_frame_equal(whole, pd.concat(alone, ignore_index=True), rtol=1e-12)


def test_compare_takes_it_and_is_wider():
    draw = np.random.default_rng(5)
    rows = [{"model": m, "value": draw.normal(size=120)} for m in ("a", "b")]
    table = make_table(rows, per_group=4)
    plain, nested = (stats.compare(table, n_boot=4000, nested=n).iloc[0] for n in (False, True))
    assert plain["estimate"] == nested["estimate"]
    assert plain["p"] == nested["p"]
    ratio = (nested["high"] - nested["low"]) / (plain["high"] - plain["low"])
    assert 1.2 < ratio < 1.45  # independent samples: almost the factor sqrt(1 + 3 / 4)
