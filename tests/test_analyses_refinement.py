"""Study 02 in quick form; its estimates find what is planted in a table."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a02_refinement, costs, factorial
from analyses.factorial import Cell


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("a02")


@pytest.fixture(scope="module")
def study(folder):
    return a02_refinement.main(quick=True, out=folder)


def test_a_detached_transport_term_trains_the_plain_network_bit_by_bit(study):
    assert set(study["checks"]["network"]) == {"pvt", "convnext"}
    assert (study["checks"]["largest"] == 0).all()
    assert sum("bit by bit" in sentence for sentence in study["verdict"]) == 2


def test_every_claim_gets_a_verdict_and_the_cautions_stand_beside_it(study):
    said = "\n".join(study["verdict"])
    for claim in (
        "C4, accuracy, pvt",
        "C4, continuity, convnext",
        "C5, accuracy, pvt",
        "C6, pvt dgr",
        "C6, convnext ot",
    ):
        assert claim in said
    assert "2 trainings per arm" in said
    assert all(caution in said for caution in a02_refinement.CAUTIONS)


def test_arms_differ_but_for_the_control(study, folder):
    table, notes = factorial.read(folder / "results")
    error = table[(table["metric"] == "abs_rel") & (table["factor"] == "") & (table["tag"] == "seed0")]
    means = error.groupby(["network", "arm"])["value"].mean().unstack()
    assert means.drop(columns="detached").nunique(axis=1).eq(5).all()
    assert len(notes) == 22
    base, dgr = (notes[Cell("pvt", arm, 0)] for arm in ("base", "dgr"))
    assert base["recipe"]["seed"] == dgr["recipe"]["seed"] == 0
    assert dgr["parameters"] - base["parameters"] > 0


def test_a_second_call_trains_nothing(study, folder, monkeypatch):
    monkeypatch.setattr(factorial, "fit", None)
    design = a02_refinement.make_design(quick=True)
    factorial.make(design, a02_refinement.cells_of(design, (0, 1)), folder / "results", folder)


def test_a_cell_that_another_process_has_in_hand_is_left_to_it(tmp_path, monkeypatch):
    design = a02_refinement.make_design(quick=True)
    cells, begun = [Cell("pvt", "base", 0), Cell("pvt", "dgr", 0)], []
    monkeypatch.setattr(factorial, "_train", lambda design, cell, results, work: begun.append(cell))
    with FileLock(tmp_path / f"{cells[0].stem}.lock"):
        factorial.make(design, cells, tmp_path / "results", tmp_path)
    assert begun == cells[1:]
    factorial.make(design, cells, tmp_path / "results", tmp_path)
    assert begun == [cells[1], *cells]


def test_figures_come_as_vector_picture_and_data(study):
    assert {p.name for p in study["figures"]} == {
        f"a02_{name}{suffix}" for name in ("effects", "costs") for suffix in (".pdf", ".png", ".csv")
    }
    drawn = pd.read_csv(next(p for p in study["figures"] if p.name == "a02_effects.csv"))
    some = drawn[(drawn["contrast"] == "base → dgr") & (drawn["metric"] == "abs_rel")].set_index("network")
    want = study["effects"].query("contrast == 'base → dgr' and metric == 'abs_rel'").set_index("network")
    assert np.allclose(
        some["estimate"], 100 * (want["mean_b"] - want["mean_a"])[some.index] / want["mean_a"][some.index]
    )


def planted(effect, noise, scenes=40, seeds=3):
    """A table in which `dgr` changes abs_rel by `effect` and trainings scatter by `noise`."""
    rng, rows = np.random.default_rng(3), []
    level = 0.3 + 0.05 * rng.standard_normal(scenes)
    for arm in ("base", "dgr"):
        for seed in range(seeds):
            value = (
                level + effect * (arm == "dgr") + noise * rng.standard_normal() + 0.002 * rng.standard_normal(scenes)
            )
            rows += [
                {
                    "sample": f"s{i}",
                    "group": f"s{i}",
                    "model": f"pvt {arm}",
                    "tag": f"seed{seed}",
                    "value": v,
                    "arm": arm,
                }
                for i, v in enumerate(value)
            ]
    fixed = {"network": "pvt", "family": "transformer", "dataset": "scenes", "probe": "error", "plan": "p", "seed": 0,
             "layer": "", "factor": "", "level": np.nan, "factor2": "", "level2": np.nan, "metric": "abs_rel",
             "unit": "1", "better": "lower"}  # fmt: skip
    return pd.DataFrame(rows).assign(**fixed)


@pytest.mark.parametrize(
    ("effect", "noise", "verdict"),
    [(-0.03, 0.001, "better"), (0.03, 0.001, "worse"), (0.0, 0.0003, "equivalent"), (-0.01, 0.02, "undecided")],
)
def test_a_planted_effect_is_found_and_noise_between_trainings_is_not_taken_for_one(effect, noise, verdict):
    found = a02_refinement.estimate(planted(effect, noise)).set_index("contrast").loc["base → dgr"]
    assert found["verdict"] == verdict
    assert found["relative_estimate"] == pytest.approx(100 * (found["mean_b"] / found["mean_a"] - 1))


def test_costs_are_ratios_to_the_plain_network_with_an_interval():
    ratio = pd.DataFrame({"network": "pvt", "arm": "dgr", "quantity": "latency", "round": range(9),
                          "ratio": [1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 9.0]})  # fmt: skip
    row = costs.summary(ratio).iloc[0]
    assert row["estimate"] == 1.4
    assert 1.0 <= row["low"] < 1.4 < row["high"] < 9.0
    assert row["n"] == 9
