"""Study 03 in quick form; its verdicts find what is planted in a table, its pictures show what is planted in a map."""

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a03_continuity as a03
from analyses import continuity_figures, continuity_grids
from analyses.common import judged, matched, planted_grid
from analyses.structure import MATCHED, ZOOM, look, matched_to, protocol_of
from depthprobe import stats
from depthprobe.data import load_dataset
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import load_model

TINY = ("timm:test_convnext?size=96x128", "timm:test_vit?size=96x128")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a03.main(quick=True, models=TINY, out=tmp_path_factory.mktemp("a03"))


def test_the_verdict_names_every_endpoint_and_is_cautious(study):
    said = "\n".join(study["verdict"])
    assert "C3, scenes | undecided" in said
    assert "a family of one network decides nothing" in said
    for metric in a03.ENDPOINTS["scenes"]:
        assert f"C3, scenes, {metric} | undecided" in said
    assert "scenes, accuracy | abs_rel" in said
    assert "scenes, grids | share of images" in said
    assert all(caution in said for caution in a03.CAUTIONS)


def test_figures_come_as_vector_picture_and_data(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    assert {s.name for s in stems} == {
        f"a03_{name}_scenes"
        for name in ("compare", "spectrum", "grids", "where_edge_distance", "where_depth", "gallery_median",
                     "gallery_disagreement")
    }  # fmt: skip
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
    drawn = pd.read_csv(next(s for s in stems if s.name == "a03_compare_scenes").with_suffix(".csv"))
    pairs = study["found"]["scenes"].pairs.set_index("metric")
    some = drawn.set_index("metric")["estimate"]
    assert np.allclose(some, 100 * (pairs["mean_b"] - pairs["mean_a"])[some.index] / pairs["mean_a"][some.index])


def test_planted_grids_are_named_and_none_is_found_where_none_is():
    found = planted_grid([(4, 0.02), (8, 0.005), (16, 0.02), (8, 0.0)], n=2)
    assert found.iloc[:, :3].eq([4, 8, 16]).all(axis=None)
    assert found.iloc[:, 3].isna().all()


def test_families_and_sizes_are_checked():
    with pytest.raises(ValueError, match="no transformer"):
        matched([TINY[0], "oracle:row"])
    with pytest.raises(ValueError, match="read one size"):
        matched([TINY[0], "timm:test_vit?size=64x96"])


def planted(shift, *, per_family=4, scenes=60):
    """A table in which every Transformer's value is that of a CNN plus `shift`."""
    rng, rows = np.random.default_rng(0), []
    level = 0.1 + 0.01 * rng.standard_normal(scenes)
    for family, add in (("cnn", 0.0), ("transformer", shift)):
        for k in range(per_family):
            own = 0.002 * rng.standard_normal()
            for scene, value in enumerate(level + add + own + 0.003 * rng.standard_normal(scenes)):
                rows.append({"model": f"{family}{k}", "family": family, "sample": f"s{scene}", "group": f"g{scene}",
                             "metric": "grad_mae_smooth", "value": value})  # fmt: skip
    frame = pd.DataFrame(rows)
    facts = {"dataset": "planted", "tag": "", "probe": "continuity", "plan": "p", "seed": 0, "layer": "", "factor": "",
             "level": np.nan, "factor2": "", "level2": np.nan, "unit": "ln/px", "better": "lower"}  # fmt: skip
    return frame.assign(**facts)


@pytest.mark.parametrize(("shift", "word"), [(0.03, "worse"), (-0.03, "better")])
def test_a_planted_difference_of_families_is_told_by_its_direction(shift, word):
    found = stats.family_contrast(planted(shift), ["metric"], a="cnn", b="transformer", rope={"grad_mae_smooth": 0.005})
    row = judged(found, ["grad_mae_smooth"]).iloc[0]
    sentence = a03._endpoint("planted", row)
    assert f"| the Transformers are {word}: {'+' if shift > 0 else '−'}" in sentence
    assert row["relative_low"] < 100 * shift / 0.1 < row["relative_high"]
    assert "from 4 CNNs to 4 Transformers" in sentence


def test_no_planted_difference_supports_nothing():
    found = stats.family_contrast(planted(0.0), ["metric"], a="cnn", b="transformer", rope={"grad_mae_smooth": 0.005})
    assert judged(found, ["grad_mae_smooth"])["verdict"].iloc[0] in ("undecided", "equivalent")


def test_a_tear_that_no_cnn_shows_is_told_in_its_unit():
    table = planted(0.03)
    table["value"] = table["value"].where(table["family"] == "transformer", 0.0)
    found = stats.family_contrast(table, ["metric"], a="cnn", b="transformer")
    sentence = a03._endpoint("planted", judged(found, ["grad_mae_smooth"]).iloc[0])
    assert "the Transformers are worse: +0.1" in sentence
    assert "ln/px (from 0)" in sentence
    assert "inf" not in sentence
    assert "nan" not in sentence


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        (("worse", "worse", "worse"), "supported:"),
        (("worse", "undecided", "equivalent"), "supported by 1 of 3 endpoints only:"),
        (("worse", "better", "worse"), "contradictory:"),
        (("better", "equivalent", "equivalent"), "refuted:"),
        (("better", "undecided", "equivalent"), "undecided:"),
    ],
)
def test_the_claim_needs_every_endpoint(verdicts, word):
    ends = pd.DataFrame({"verdict": verdicts, "units_a": 2, "units_b": 3}, index=["x", "y", "z"])
    assert a03._claim("planted", ends).startswith(f"C3, planted | {word}")


def spectrum(found, periods=(4, 8), images=100):
    """Rows of the spectrum probe: `found` {(model, period): images with a grid}; b is tested for one period alone."""
    rows = []
    for model in ("a", "b"):
        for i in range(images):
            cell = {"model": model, "family": "cnn", "sample": f"s{i}", "group": f"g{i}", "factor": "both"}
            for period in periods:
                tested = model == "a" or period == periods[0]
                hit = float(i < found.get((model, period), 0)) if tested else np.nan
                rows.append({**cell, "level": period, "metric": "grid_p", "value": 0.5 if tested else np.nan})
                rows.append({**cell, "level": period, "metric": "grid_found", "value": hit})
            rows.append({**cell, "factor": "", "level": np.nan, "metric": "grid_found",
                         "value": float(any(i < found.get((model, p), 0) for p in periods))})  # fmt: skip
    facts = {"dataset": "d", "tag": "", "probe": "spectrum", "plan": "p", "seed": 0, "layer": "", "factor2": "",
             "level2": np.nan, "unit": "1", "better": "lower"}  # fmt: skip
    return pd.DataFrame(rows).assign(**facts)


def test_chance_is_that_of_the_periods_that_could_be_tested():
    grids = continuity_grids.estimate(spectrum({("a", 4): 30}), n_boot=300)
    chance = grids[grids["factor"] == "both"].set_index(["model", "level"])["chance"]
    assert chance["a", 4] == pytest.approx(continuity_grids.ALPHA / 2)
    assert chance["b", 4] == pytest.approx(continuity_grids.ALPHA)
    assert (grids[grids["factor"] == ""]["chance"] == continuity_grids.ALPHA).all()


def test_a_grid_never_found_is_not_certain_to_be_absent():
    grids = continuity_grids.estimate(spectrum({("a", 4): 30}), n_boot=300)
    cells = grids.set_index(["model", "factor", "level"])
    never = cells.loc[("a", "both", 8.0)]
    rows = 5  # networks x periods tested, and any grid of each
    assert never["estimate"] == 0
    assert never["high"] == pytest.approx(1 - (0.05 / rows / 2) ** (1 / 100))
    sometimes = cells.loc[("a", "both", 4.0)]
    assert sometimes["low"] < 0.3 < sometimes["high"]


def test_rounding_is_given_in_shares_of_what_a_network_gets():
    floor = pd.DataFrame(
        {"metric": ["grad_mae@dither", "depthpro_f1@dither"], "estimate": [0.2, 0.9], "low": [0.1, 0.8],
         "high": [0.3, 1.0], "unit": "1", "better": ["lower", "higher"], "n": 5, "groups": 5}
    )  # fmt: skip
    pairs = pd.DataFrame({"metric": ["grad_mae", "depthpro_f1"], "a": "c", "b": "t", "mean_a": [0.4, 0.5],
                          "mean_b": [0.8, 0.75]})  # fmt: skip
    none = pd.DataFrame()
    found = a03.Found(family=none, pairs=pairs, bands=none, accuracy=none, spectra=none, grids=none, floor=floor)
    shares = continuity_figures.floor_frame(found).set_index(["metric", "model"])[["low", "estimate", "high"]]
    assert np.allclose(shares.loc[("grad_mae", "c")], [25, 50, 75])
    assert np.allclose(shares.loc[("grad_mae", "t")], [12.5, 25, 37.5])
    assert np.allclose(shares.loc[("depthpro_f1", "c")], [0, 20, 40])
    assert np.allclose(shares.loc[("depthpro_f1", "t")], [0, 40, 80])


def test_a_planted_dent_is_where_the_picture_zooms():
    batch = next(iter(load_dataset("scenes", kind="shapes", n=1, batch_size=1)))
    row = torch.linspace(4.0, 2.0, batch.depth.shape[2])[:, None]
    batch = batch.replace(depth=row.expand_as(batch.depth).clone(), valid=torch.ones_like(batch.valid))
    dented = batch.depth.clone()
    dented[..., 60:64, 100:104] *= 1.05
    model = load_model("oracle:constant")
    model.net.rule = lambda image: dented
    entries, (top, left, high, wide) = look(batch, [model], get_protocol("scenes"))
    truth, seen = entries
    assert (high, wide) == tuple(n // ZOOM for n in batch.depth.shape[-2:])
    assert top <= 59 and top + high >= 64 and left <= 99 and left + wide >= 104
    error = np.log(1.05)
    assert np.nanmax(np.abs(seen["error"])) == pytest.approx(error, rel=1e-4)
    assert (np.abs(seen["error"]) > 1e-5).sum() == 16
    assert np.isnan(truth["error"]).all()
    assert np.allclose(np.diff(np.log(row[:, 0].numpy()))[0], -truth["gradient"][0, 0], rtol=1e-3)
    corner = np.hypot(error + truth["gradient"][63, 103], error)
    assert seen["gradient"][63, 103] == pytest.approx(corner, rel=0.05)


def test_nyu_is_judged_where_the_networks_see_it():
    protocol = protocol_of("nyu")
    assert protocol.frame == MATCHED
    assert protocol.crop == (9, 94, 8, 120)  # Eigen's 45:471, 41:601 of 480x640
    scenes = load_dataset("scenes", n=1, size=(480, 640))
    small = matched_to(scenes, MATCHED).read(0)
    whole = scenes.read(0)
    assert tuple(small.image.shape) == (1, 3, 96, 128)
    assert small.intrinsics is None
    assert torch.equal(small.depth, whole.depth[..., 2::5, 2::5])  # 5 to 1: the pixel in the middle
    assert torch.equal(small.valid, whole.valid[..., 2::5, 2::5])
