"""Study 07 in quick form; its estimates find what is planted in a table."""

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a07_learned_masks as a07
from analyses.common import planted_mask
from analyses.masks_estimates import ADDED, ENDPOINTS, HARD_LINE, SEARCHED, SOFT_LINE, estimate
from depthprobe.schema import COLUMNS, read_table

MODELS = {"zoo:convnext.nyu": "cnn", "zoo:pvt.nyu": "transformer"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a07.main(quick=True, out=tmp_path_factory.mktemp("a07"))


def rows(better=0.5):
    """A table in which a network's own mask changes its answer `better` times as much as everything else's."""
    made = []
    for model, family in MODELS.items():
        kinds = [f"{of}/conv/{kind}/seed{s}" for of in MODELS for kind in ("weight5", "budget0.1") for s in (0, 1)]
        masks = [*kinds, "random", "image_edges", "per image"]
        for i in range(12):
            base = 1 + 0.1 * np.sin(i)
            for mask in masks:
                own, hard = mask.startswith(model), "budget" in mask
                value = base * (better if own and not hard else 1) * (1.02 if mask.endswith("seed1") else 1)
                place = {"model": model, "family": family, "factor": mask, "sample": f"s{i}", "group": f"g{i}"}
                kind = "searched" if mask == "per image" else "hard"
                made.append({**place, "factor2": kind, "level": 0.1, "metric": "rmse@self", "value": value})
                if own and not hard:
                    for kind, times in {"soft": 1, "binarised": 3, "uniform": 2}.items():
                        made += [
                            {**place, "factor2": kind, "metric": metric, "value": times * value}
                            for metric in ("rmse@self", "rmse")
                        ]
                    for metric in ("open_share", "open_max", "enrichment@depth_edge"):
                        made.append({**place, "factor2": "soft", "metric": metric, "value": 0.2})
    frame = pd.DataFrame(made)
    same = {"dataset": "nyu", "tag": "t", "probe": "learned_mask", "plan": "p", "seed": 0, "layer": "", "unit": "m"}
    return frame.assign(**same, better="lower", level2=np.nan)[COLUMNS]


def test_a_mask_that_halves_the_change_is_found_better_by_half():
    pairs = estimate(rows(0.5), n_boot=500).pairs
    assert len(pairs) == 2 * len(ENDPOINTS + ADDED)
    ends = pairs[pairs["role"] == "endpoint"]
    assert set(ends["b"]) == {SOFT_LINE} and set(ends["verdict"]) == {"better"}
    random = ends[ends["a"] == "random"]
    np.testing.assert_allclose(random["relative_estimate"], 100 * (0.5 * 1.01 - 1), atol=1e-6)
    added = pairs[pairs["role"] == "added"].set_index(["b", "a"])
    assert set(added.loc[(HARD_LINE, SOFT_LINE), "verdict"]) == {"worse"}
    assert set(added.loc[(SEARCHED, "random"), "verdict"]) == {"equivalent"}


def test_a_mask_that_changes_nothing_is_not_found_better():
    pairs = estimate(rows(1.0), n_boot=500).pairs
    assert set(pairs["verdict"]) == {"equivalent"}


def test_the_spread_is_over_trainings_and_the_gap_over_kinds():
    masks = estimate(rows(0.5), n_boot=500).masks.set_index(["model", "factor2", "metric"])
    soft = masks.loc[("zoo:pvt.nyu", "soft", "rmse@self")]
    assert soft["trainings"] == 2
    np.testing.assert_allclose(soft["most"] / soft["least"], 1.02)
    np.testing.assert_allclose(masks.loc[("zoo:pvt.nyu", "binarised", "rmse@self"), "estimate"] / soft["estimate"], 3)
    said = "\n".join(a07.verdict(estimate(rows(0.5), n_boot=500)))
    assert "open 0.2 (0.2 to 0.2) of the image" in said and said.count("(2 trainings).") == 2
    assert all(caution in said for caution in a07.CAUTIONS)


def test_what_is_searched_for_has_no_training():
    table = rows(0.5)
    soft = table[table["factor"].str.contains("/weight5/seed0") & (table["factor2"] != "hard")]
    soft = soft[soft["factor"].str.startswith(tuple(MODELS))].assign(factor=SEARCHED)
    said = a07.verdict(estimate(pd.concat([table, soft]), n_boot=500))
    assert [line.rpartition(" (")[2] for line in said if ", per image | open" in line] == ["no training)."] * 2


def test_quick_form_trains_measures_and_draws(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    assert {s.name for s in stems} == {f"a07_{n}" for n in ("masks", "budgets", "pairs", "places", "gallery")}
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
        assert len(pd.read_csv(stem.with_suffix(".csv")))
    assert set(zip(study["found"].pairs["a"], study["found"].pairs["b"], strict=True)) == set(ENDPOINTS + ADDED)
    assert study["found"].masks["trainings"].max() == 2


def test_without_measurements_it_says_what_to_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="--train"):
        a07.main(results=tmp_path / "nothing.parquet", out=tmp_path)
    with pytest.raises(ValueError, match="NYU Depth v2"):
        a07.main(train=True, out=tmp_path)


@pytest.mark.skipif(not a07.RESULTS.is_file(), reason="the study has not been measured yet")
def test_shipped_measurements_are_whole():
    found = estimate(read_table(a07.RESULTS), n_boot=500)
    assert set(found.masks.loc[found.masks["trainings"] == 3, "model"]) == set(MODELS)


def test_a_planted_mask_is_found():
    found = planted_mask(n=2)
    assert (found["overlap"] >= 0.95).all()
    assert (found["open on the set"] > 2 * found["open off it"]).all()
