"""Study 04 in quick form; its rows, words and pictures show what is planted in a table or an image."""

import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a04_texture as a04
from analyses import texture_figures, texture_pictures, texture_rows
from analyses.common import claimed, judged
from analyses.structure import protocol_of
from analyses.texture_rows import CONTROL, EDIT, GROWTH, PLAIN, TEXTURED, arms, planted_quality, planted_reliance
from depthprobe import stats
from depthprobe.data import load_dataset
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.models import load_model

TINY = ("timm:test_convnext?size=96x128", "timm:test_vit?size=96x128")
FACTS = {"dataset": "planted", "tag": "", "probe": "texture", "plan": "p", "seed": 0, "layer": "", "level2": np.nan,
         "unit": "1", "better": "lower"}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a04.main(quick=True, models=TINY, out=tmp_path_factory.mktemp("a04"))


def test_the_verdict_tells_quality_from_reliance_and_is_cautious(study):
    said = "\n".join(study["verdict"])
    assert "C2, scenes | undecided: of the Transformers, abs_rel@textured undecided" in said
    assert "less reliance, scenes | undecided: of the Transformers, change@texture_swap undecided" in said
    assert "a family of one network decides nothing" in said
    assert "scenes, control | depth moves under texture_swap against as large a change of pixels" in said
    assert "scenes, harm | under texture_swap the error against the truth rises by" in said
    assert "scenes, accuracy | abs_rel" in said
    assert all(caution in said for caution in a04.CAUTIONS)
    assert "nan" not in said


def test_figures_come_as_vector_picture_and_data(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    names = ("compare", "quality", "reliance", "gallery_median", "gallery_disagreement")
    assert {s.name for s in stems} == {f"a04_{name}_scenes" for name in names}
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
    drawn = pd.read_csv(next(s for s in stems if s.name == "a04_reliance_scenes").with_suffix(".csv"))
    edits = {name for kind in a04.EDITS["scenes"].values() for name, _ in kind}
    assert set(drawn["factor"]) == edits
    assert set(drawn["factor2"]) == {EDIT, CONTROL}


def test_the_means_drawn_are_those_of_the_rows(study):
    rows = study["sources"]["scenes"].probe("texture")
    swap = rows[(rows["metric"] == "abs_rel@self") & (rows["factor"] == "texture_swap")]
    assert swap["level"].nunique() == 2
    want = 100 * swap.groupby(["model", "factor2"])["value"].mean()
    means = study["found"]["scenes"].means.set_index(["metric", "model"])["estimate"]
    for name, control in (("change", ""), ("control", CONTROL)):
        for model in swap["model"].unique():
            assert means[f"{name}@texture_swap", model] == pytest.approx(want[model, control])
    top = rows[(rows["factor"] == "energy") & (rows["level"] == 0.75) & (rows["metric"] == "abs_rel")]
    for model, values in top.groupby("model")["value"]:
        assert means[TEXTURED, model] == pytest.approx(100 * values.mean())


def test_planted_reactions_are_none_or_large():
    found = planted_reliance(edits=("texture_swap",), n=2)
    assert (found.loc["depth from row"] == 0).all()
    assert (found.loc[["depth from brightness", "depth from texture"]] > 10).all(axis=None)


def test_planted_errors_are_found():
    found = planted_quality(slope=0.04, n=2)
    slope, bias = (found[f"texture_{name}@place_held"] for name in ("slope", "bias"))
    for planted in ("growing with texture", "the same, all twice as far"):
        assert slope[planted] == pytest.approx(4, rel=0.02)
        assert bias[planted] == pytest.approx(0, abs=0.1)
    assert bias["texture taken for distance"] == pytest.approx(4, rel=1e-3)
    assert np.allclose(found.loc[["none", "growing with distance"]], 0, atol=1e-3)


def measured(*, cnn, transformer, per_family=4, scenes=40):
    """Rows of the probes: every network of a family has the mean values given, and an error of 0.25 without edit."""
    rng, rows = np.random.default_rng(0), []
    for family, values in (("cnn", cnn), ("transformer", transformer)):
        for k in range(per_family):
            places = [
                ("abs_rel", "energy", 0.0, "", 0.1), ("abs_rel", "energy", 0.75, "", values["textured"]),
                (GROWTH, "", np.nan, "", values["growth"]),
                *(("abs_rel@self", "texture_swap", level, "", values["swap"] + shift)
                  for level, shift in ((1.0, 0.01), (2.0, -0.01))),
                *(("abs_rel@self", "texture_swap", level, CONTROL, values["control"]) for level in (1.0, 2.0)),
                *(("abs_rel", "texture_swap", level, "", values["under"]) for level in (1.0, 2.0)),
                ("abs_rel", "texture_swap", 1.0, CONTROL, 0.9), ("abs_rel", "", np.nan, "", 0.25),
            ]  # fmt: skip
            for metric, factor, level, control, mean in places:
                scale = 0.02 * abs(mean) + 1e-3
                spread = scale * (0.3 * rng.standard_normal() + rng.standard_normal(scenes))
                cell = {"model": f"{family}{k}", "family": family, "metric": metric, "factor": factor, "level": level,
                        "factor2": control}  # fmt: skip
                rows += [{**cell, "sample": f"s{i}", "group": f"g{i}", "value": mean + x} for i, x in enumerate(spread)]
    return pd.DataFrame(rows).assign(**FACTS)


SAME = {"textured": 0.2, "growth": 0.1, "swap": 0.3, "control": 0.4, "under": 0.32}


def quantities(rows):
    plain = (rows["metric"] == "abs_rel") & (rows["factor"] == "")
    return texture_rows.quantities(rows[~plain], rows[plain].iloc[::-1])


def contrast(own):
    rope = a04._margins(own, "change@texture_swap")
    ends = (*a04.QUALITY, "change@texture_swap")
    found = stats.family_contrast(own, ["metric"], a="cnn", b="transformer", rope=rope)
    return judged(found, ends).set_index("metric", drop=False)


def test_quantities_are_per_image_in_per_cent():
    rows = measured(cnn=SAME, transformer=SAME, scenes=5)
    own = quantities(rows)
    assert not own.duplicated(["model", "sample", "metric"]).any()
    mean = own.groupby("metric")["value"].mean()
    want = {TEXTURED: 20, PLAIN: 10, GROWTH: 10, "change@texture_swap": 30, "control@texture_swap": 40,
            "rise@texture_swap": 7}  # fmt: skip
    assert set(mean.index) == set(want)
    for metric, value in want.items():
        assert mean[metric] == pytest.approx(value, rel=0.05)
    key = ["model", "sample"]
    under = rows[(rows["metric"] == "abs_rel") & (rows["factor"] == "texture_swap") & (rows["factor2"] == "")]
    without = rows[(rows["metric"] == "abs_rel") & (rows["factor"] == "")].set_index(key)["value"]
    rise = own[own["metric"] == "rise@texture_swap"].set_index(key)["value"]
    assert np.allclose(rise, 100 * (under.groupby(key)["value"].mean() - without)[rise.index])
    moved = arms(rows)
    assert len(moved) == 8 * 5 * 2
    assert own.set_index("metric").loc[GROWTH, "unit"].iloc[0] == "% per decade"


@pytest.mark.parametrize(
    ("transformer", "word", "reliance"),
    [
        ({**SAME, "textured": 0.1, "growth": -0.1}, "supported", "equivalent"),
        ({**SAME, "textured": 0.1}, "supported by 1 of 2 endpoints only", "equivalent"),
        ({**SAME, "textured": 0.3, "growth": 0.3, "swap": 0.1}, "refuted", "better"),
        ({**SAME, "textured": 0.1, "growth": 0.3, "swap": 0.5}, "contradictory", "worse"),
    ],
)
def test_planted_differences_are_told_apart(transformer, word, reliance):
    ends = contrast(quantities(measured(cnn=SAME, transformer=transformer)))
    assert a04._claim("C2", ends.loc[list(a04.QUALITY)]).startswith(f"C2 | {word}:")
    row = ends.loc["change@texture_swap"]
    assert row["verdict"] == reliance
    sentence = a04._endpoint("less reliance", row, "reliance")
    want = {"better": "the Transformers move less", "worse": "the Transformers move more"}
    assert want.get(reliance, "no noticeable difference") in sentence
    assert "from 4 CNNs (30." in sentence or "from 4 CNNs (29." in sentence


def test_a_claim_is_as_sure_as_its_verdicts():
    assert claimed(["better", "better"], sure="better") == "supported"
    assert claimed(["better", "better"], sure="worse") == "refuted"
    assert claimed(["equivalent", "undecided"], sure="better") == "undecided"


def test_pictures_hold_the_edited_images_and_what_changes():
    batch = load_dataset("scenes", kind="shapes", n=1, batch_size=1).load([0])[0]
    models = [load_model("oracle:row"), load_model("oracle:brightness")]
    levels = {"texture_off": 1.0, "low_pass": 2.0}
    images, entries = texture_pictures.look(batch, models, protocol_of("scenes"), levels)
    assert torch.equal(images["texture_off"], batch.edited("texture_off", 1.0).image)
    assert torch.equal(images["low_pass"], PERTURBATIONS["low_pass"](batch.image, 2.0))
    row, brightness = entries
    assert all(change == 0 for change in row["change"].values())
    assert brightness["change"][""] == 0
    assert min(brightness["change"]["texture_off"], brightness["change"]["low_pass"]) > 1e-3
    before, after = (1 + 9 * images[edit].mean(1)[0].numpy() for edit in ("", "low_pass"))
    known = batch.valid[0, 0].numpy() & (batch.depth[0, 0].numpy() < 80)
    assert brightness["change"]["low_pass"] == pytest.approx(np.abs(after / before - 1)[known].mean(), rel=1e-4)
    assert np.array_equal(np.isfinite(brightness["error"]), known)


def test_names_tell_the_level_of_filters():
    names = texture_figures.named({"low_pass": 2.0, "palette_swap": 1.0, "texture_swap": 1.0})
    assert names["low_pass"] == "low-pass (2 px)"
    assert names["palette_swap"] == "swapped colours"
    assert names["texture_swap"] == "other materials"


def test_titles_count_what_is_decided():
    ends = pd.DataFrame({"metric": [TEXTURED] * 3 + [GROWTH] * 3,
                         "verdict": ["better", "better", "worse", "undecided", "equivalent", "worse"]})  # fmt: skip
    said = texture_figures._counted(ends, [TEXTURED, GROWTH])
    assert (
        "of 3 pairs: error in texture smaller in 2, larger in 1; growth of the error with texture smaller in 0, "
        in said
    )
    assert "larger in 1 (others: undecided or alike)" in said
    own = pd.DataFrame({"factor": "texture_swap", "model": ["zoo:a", "zoo:b", "zoo:c"], "mean_a": [30.0, 20.0, 10.0],
                        "mean_b": [12.0, 25.0, 11.0], "verdict": ["better", "worse", "undecided"]})  # fmt: skip
    said = texture_figures._moved(own, "texture_swap")
    assert said.startswith("Under other materials depth moves by 11.0 % (c) to 25.0 % (b)")
    assert said.endswith("in 1 of 3 networks and more in 1 (1 undecided)")
    assert "a 12.0 % against 30.0 % (less); b 25.0 % against 20.0 % (more)" in a04.controlled(own, "texture_swap")
    grown = pd.DataFrame(
        {"model": ["zoo:a", "zoo:b"], "estimate": [10.0, -3.0], "low": [5.0, -9.0], "high": [15.0, 3.0]}
    )
    assert texture_figures._grown(grown).startswith("Error grows with texture in 1 of 2 networks and falls in 0;")
