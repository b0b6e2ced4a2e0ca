"""The history: rows of the measurement table that the statistics read, a CSV, TensorBoard."""

import csv
import importlib.util

import numpy as np
import pandas as pd
import pytest
import train_cases
from train_cases import recipe

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.schema import read_sidecar, read_table
from depthprobe.stats import summarise, translate
from depthprobe.train import fit
from depthprobe.train.validation import Validation, held_out, improves

WHOLE = {"learning_rate", "loss", "gradient_norm", "throughput", "data_wait", "peak_memory"}
JUDGED = {"abs_rel", "rmse", "delta1", "silog", "failed", "nonpositive"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    plan = recipe(steps=6, val_every=3, log_every=2)
    fit(plan, folder)
    return folder, plan


def test_it_is_a_measurement_table(trained):
    folder, plan = trained
    table = read_table(folder)
    assert set(table["probe"]) == {"train"}
    assert set(table["plan"]) == {plan.key}
    assert set(table["factor"]) == {"step"}
    assert set(table["metric"]) == WHOLE | JUDGED
    whole = table[table["metric"].isin(WHOLE)]
    assert set(whole["sample"]) == set(whole["group"]) == {"training"}
    assert sorted(whole["level"].unique()) == [2, 3, 4, 6]
    judged = table[table["metric"].isin(JUDGED)]
    assert sorted(judged["level"].unique()) == [3, 6]
    samples = load_dataset("ramps", **plan.val)
    pairs = set(zip(judged["sample"], judged["group"], strict=True))
    assert pairs == set(zip(samples.samples, samples.groups, strict=True))
    for name, rows in table.groupby("metric"):
        assert set(rows["unit"]) == {METRICS.facts(name)["unit"]}
        assert set(rows["better"]) == {METRICS.facts(name)["better"]}


def test_the_statistics_read_it_by_the_name_of_its_axis(trained):
    folder, _ = trained
    table, side = read_table(folder), read_sidecar(folder)
    curve = summarise(table, translate(["metric", "step"], side["axes"]))
    abs_rel = curve[curve["metric"] == "abs_rel"]
    assert list(abs_rel["level"]) == [3, 6]
    assert (abs_rel["groups"] == 2).all()
    assert (abs_rel["n"] == 4).all()
    assert np.isfinite(abs_rel["low"]).all()
    lines = {int(line["step"]): line for line in csv.DictReader((folder / "history.csv").open())}
    assert [float(lines[s]["abs_rel"]) for s in (3, 6)] == pytest.approx(list(abs_rel["estimate"]))
    assert lines[2]["abs_rel"] == ""


def test_seeds_of_one_recipe_are_seeds_in_the_table(trained, tmp_path):
    folder, _ = trained
    fit(recipe(steps=6, val_every=3, log_every=2, seed=1), tmp_path)
    both = pd.concat([read_table(folder), read_table(tmp_path)], ignore_index=True)
    found = summarise(both[both["metric"] == "rmse"], ["level"])
    assert (found["seeds"] == 2).all()


def test_the_description_says_how_it_was_trained(trained):
    folder, plan = trained
    side = read_sidecar(folder)
    assert side["status"] == "complete"
    assert side["plans"][plan.key]["lr"] == plan.lr
    assert side["dataset"]["name"] == "ramps"
    assert side["models"][0]["name"] == "py:train_cases:Net"
    assert side["versions"]["torch"]


def test_numbers_are_what_they_say(trained):
    folder, plan = trained
    lines = list(csv.DictReader((folder / "history.csv").open()))
    assert all(0 <= float(line["data_wait"]) <= 1 for line in lines)
    assert all(float(line["throughput"]) > 0 for line in lines)
    assert all(float(line["peak_memory"]) > 50 for line in lines), "megabytes of a process that loaded torch"
    assert float(lines[0]["learning_rate"]) == pytest.approx(plan.lr * 0.5 * (1 + np.cos(np.pi * 0.7 / 5.7)))


def test_the_loss_of_a_line_is_the_mean_since_the_line_before(tmp_path):
    seen = []
    fit(
        recipe(steps=4, log_every=2, val_every=4), tmp_path, progress=lambda s, n, numbers: seen.append(numbers["loss"])
    )
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [float(line["loss"]) for line in lines] == pytest.approx([np.mean(seen[:2]), np.mean(seen[2:])], rel=1e-6)


def test_tensorboard_gets_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(recipe(steps=4, val_every=2, tensorboard=True), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    lines = list(csv.DictReader((tmp_path / "history.csv").open()))
    for name in ("loss", "abs_rel"):
        assert [e.step for e in events.Scalars(name)] == [2, 4]
        assert [e.value for e in events.Scalars(name)] == pytest.approx([float(x[name]) for x in lines], rel=1e-6)


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "depthprobe\[tensorboard\]"'):
        fit(recipe(tensorboard=True), tmp_path)
    assert not list(tmp_path.iterdir()), "said before anything is started"


def test_whole_groups_are_held_out():
    dataset = train_cases.ramps(n=20)
    kept, out = held_out(dataset, 0.3)
    assert sorted(kept + out) == list(range(20))
    assert not {dataset.groups[i] for i in kept} & {dataset.groups[i] for i in out}
    assert len(out) == 6
    assert held_out(dataset, 0.001)[1], "one group at least"
    assert len(held_out(dataset, 0.9)[0]) == 2
    with pytest.raises(ValueError, match="at least 2 groups"):
        held_out(train_cases.ramps(n=2), 0.5)


def test_a_training_with_held_out_groups_judges_them_and_trains_on_the_others(tmp_path):
    plan = recipe(held_out=0.25, steps=3, val={"split": "nowhere"})
    fit(plan, tmp_path)
    table = read_table(tmp_path)
    judged = set(table[table["metric"] == "abs_rel"]["sample"])
    _, out = held_out(train_cases.ramps(), 0.25)
    assert judged == {train_cases.ramps().samples[i] for i in out}


def test_a_window_is_judged_at_the_centre():
    dataset = train_cases.ramps(n=2)
    (batch,) = Validation(dataset, [0, 1], crop=(16, 20)).batches()
    (whole,) = dataset.load([0, 1])
    assert batch.image.shape == (2, 3, 16, 20)
    assert (batch.depth == whole.depth[..., 8:24, 6:26]).all()


def test_batches_are_shared_and_kept():
    dataset = train_cases.ramps(n=8, batch_size=2)
    validation = Validation(dataset, range(1, 8))
    halves = [[s for b in validation.batches((k, 2)) for s in b.sample] for k in (0, 1)]
    assert sorted(halves[0] + halves[1]) == [f"ramp-train-{i}" for i in range(1, 8)]
    first, again = (next(iter(validation.batches())) for _ in range(2))
    assert first is again


def test_the_protocols_first_metric_decides():
    plan = recipe()
    assert improves({"abs_rel": 0.3}, plan, None) == (0.3, True)
    assert improves({"abs_rel": 0.3}, plan, 0.4) == (0.3, True)
    assert improves({"abs_rel": 0.3}, plan, 0.3) == (0.3, False)
    assert not improves({"abs_rel": float("nan")}, plan, None)[1]
