"""Study 06 in quick form; it finds what is planted in networks and tables, and portraits say what was not measured."""

import dataclasses
import sys
import zlib
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a06_attribution as a06
from analyses import attribution_estimates as estimates
from analyses import portrait
from analyses.attribution_planted import planted_deletion, planted_weights
from depthprobe.schema import COLUMNS

TINY = ("timm:test_convnext?size=96x128", "timm:test_vit?size=96x128")
NETWORKS = {"cnn0": "cnn", "cnn1": "cnn", "transformer0": "transformer", "transformer1": "transformer"}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a06.main(quick=True, models=TINY, out=tmp_path_factory.mktemp("a06"))


def test_the_verdict_judges_every_method_and_is_cautious(study):
    said = "\n".join(study["verdict"])
    for method in a06.QUICK["methods"]:
        assert f"believed, scenes, {method} | on 0 of 2 networks" in said, (
            "untrained, 4 scenes: nothing can be believed"
        )
    assert "look, scenes, all networks | undecided" in said
    assert "families, scenes | undecided: no method can be believed on a CNN and a Transformer alike." in said
    assert said.count("description, scenes | not believed, ") == len(a06.PLACES["scenes"])
    assert said.count("portrait | ") == 2
    assert all(caution in said for caution in a06.CAUTIONS)


def test_figures_come_as_vector_picture_and_data(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    scenes = {f"a06_{name}_scenes" for name in ("curves", "gains", "checks", "where", "families", "maps")}
    assert {s.name for s in stems} == scenes | {"a06_portrait_test_convnext", "a06_portrait_test_vit"}
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
        assert len(pd.read_csv(stem.with_suffix(".csv")))


def test_a_gain_is_the_mean_over_scenes_of_the_difference_of_two_areas(study):
    table = study["sources"]["scenes"].probe("attribution")
    rows = table[(table["metric"] == "abs_rel@insertion.self") & (table["model"] == "timm:test_vit")]
    by_level = rows.pivot_table(index=["sample", "level"], columns="factor", values="value")
    area = by_level.groupby("sample").mean().mean()  # two shares: the area over ln share is the mean of its ends
    want = 100 * (area["random"] - area["saliency"]) / area["random"]
    gains = study["found"]["scenes"].gains.set_index(["model", "metric", "factor", "against"])
    row = gains.loc["timm:test_vit", "insertion", "saliency", "random"]
    assert row["gain_estimate"] == pytest.approx(want)
    assert row["gain_low"] < want < row["gain_high"]


def test_planted_weights_are_found_by_every_method_that_has_an_answer():
    assert (planted_weights()["largest gap"] < 1e-5).all()


def test_no_order_deletes_more_than_the_true_attribution():
    curves = planted_deletion(shares=(0.02, 0.4))
    best = curves.pop("best_possible")
    assert np.allclose(curves.pop("integrated_gradients"), best, rtol=1e-4)
    assert curves.lt(best, axis=0).all(axis=None)


def rows(values, **facts):
    """Rows of one quantity: `values` {model: mean}, 40 scenes with a level of their own and a little noise."""
    rng, number = np.random.default_rng(zlib.crc32(repr(facts).encode())), range(40)
    scene = 0.02 * np.random.default_rng(0).standard_normal(40)
    parts = []
    for model, mean in values.items():
        value = mean * np.exp(scene + 0.02 * rng.standard_normal(40))
        names = {"sample": [f"s{i}" for i in number], "group": [f"g{i}" for i in number]}
        parts.append(pd.DataFrame({"model": model, "family": NETWORKS[model], **names, "value": value}))
    common = {"dataset": "planted", "tag": "", "probe": "attribution", "plan": "p", "seed": 0, "layer": "",
              "factor": "", "level": np.nan, "factor2": "mean", "level2": np.nan, "unit": "1",
              "better": "lower"}  # fmt: skip
    return pd.concat(parts, ignore_index=True).assign(**{**common, **facts})[COLUMNS]


def attributed():
    """`good` beats both controls everywhere, `fixed` too but not by what was learned, `vain` is as good as random.

    By all of them attribution is enriched 1.2 times on depth edges of CNNs and 1.6 times on those of Transformers, on
    texture edges 1.5 times and as if by chance.
    """
    found = []
    for curve, control, good in (("deletion", 0.1, 0.2), ("insertion", 0.2, 0.1), ("road", 0.1, 0.2)):
        orders = {"random": control, "centre": control, "good": good, "fixed": good, "vain": control}
        for order, value in orders.items():
            found += [rows(dict.fromkeys(NETWORKS, value), metric=f"abs_rel@{curve}.self", factor=order, level=level)
                      for level in (0.05, 0.4)]  # fmt: skip
    for method, likeness in (("good", 0.1), ("fixed", 0.9), ("vain", 0.1)):
        found.append(rows(dict.fromkeys(NETWORKS, likeness), metric=estimates.SANITY, factor=method, level=1.0))
        for place, cnn, transformer in (("depth_edge", 1.2, 1.6), ("texture_edge", 1.5, 1.0)):
            means = {m: cnn if family == "cnn" else transformer for m, family in NETWORKS.items()}
            found.append(rows(means, metric=f"enrichment@{place}", factor=method, better="none"))
    return pd.concat(found, ignore_index=True)


@pytest.fixture(scope="module")
def planted():
    return estimates.estimate(attributed(), ("depth_edge", "texture_edge"), n_boot=2000)


def test_only_what_beats_its_controls_and_was_learned_is_believed(planted):
    words = planted.trust.groupby("factor")["word"].agg(set).to_dict()
    assert words == {"good": {"supported"}, "fixed": {"refuted"}, "vain": {"refuted"}}
    good = a06._believed("planted", planted.trust[planted.trust["factor"] == "good"])
    assert "good | on 4 of 4 networks" in good
    assert "against random places alone it gains on all curves on 4" in good


def test_a_method_that_one_network_bears_out_is_believed_there_alone():
    table = attributed()
    spoilt = (table["model"] == "cnn0") & (table["factor"] == "good") & (table["metric"] == "abs_rel@road.self")
    table["value"] = table["value"].where(~spoilt, table["value"] / 2)
    found = estimates.estimate(table, ("depth_edge", "texture_edge"), n_boot=2000)
    word = found.trust.set_index(["model", "factor"])["word"]
    assert word["cnn0", "good"] == "refuted"
    assert (word[[(m, "good") for m in NETWORKS if m != "cnn0"]] == "supported").all()
    assert set(found.pairs["a"]) == {"cnn1"}
    assert found.family["low"].isna().all(), "one network of a family decides nothing"
    assert "| undecided" in a06._claim("planted", found, "depth_edge")


def test_where_families_look_is_told_by_believed_methods_alone(planted):
    assert set(planted.family["factor"]) == set(planted.pairs["factor"]) == {"good"}
    assert set(planted.described["factor"]) == {"good", "fixed", "vain"}
    assert "depth edges: of 4 pairs × methods the Transformer looks there more in 4" in a06._counted(
        planted.pairs, "depth_edge"
    )
    change = planted.family.set_index("metric")["estimate"]
    assert change["depth_edge"] == pytest.approx(0.4, abs=0.03)
    assert change["texture_edge"] == pytest.approx(-0.5, abs=0.03)
    assert (planted.pairs["verdict"].loc[planted.pairs["metric"] == "depth_edge"] == "higher").all()
    for place in a06.CLAIMS:
        assert "| supported: good" in a06._claim("planted", planted, place)
    assert "more often than chance on depth edges" in a06._everywhere("planted", planted)


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        (("higher", "higher"), "refuted: one more, two more"),
        (("higher", "equivalent"), "refuted: one more, two as much"),
        (("higher", "undecided"), "undecided: one more, two undecided"),
        (("lower", "undecided"), "supported by 1 of 2 methods only: one less, two undecided"),
        (("lower", "higher"), "contradictory: one less, two more"),
    ],
)
def test_the_claim_needs_every_believed_method(planted, verdicts, said):
    family = pd.DataFrame({"factor": ["one", "two"], "metric": "texture_edge", "verdict": verdicts})
    found = dataclasses.replace(planted, family=family)
    assert a06._claim("planted", found, "texture_edge").endswith(f"| {said}.")


def portrayed(means):
    """A table of three traits in which every network has the value of `means` times a scene's own."""
    traits = {t.label: t for t in portrait.TRAITS}
    wanted = {"error (abs_rel)": 1.0, "radius of 90 % of the gradient": 20.0, "change in fog": 0.1}
    found = []
    for label, level in wanted.items():
        t = traits[label]
        factor = means if label.startswith("radius") else dict.fromkeys(means, 1.0)
        found.append(rows({m: level * k for m, k in factor.items()}, probe=t.probe, metric=t.metric, factor=t.factor,
                          level=t.level, factor2=t.factor2))  # fmt: skip
    return pd.concat(found, ignore_index=True)


def test_a_portrait_says_by_how_much_a_network_differs_and_names_the_surest_difference():
    table = portrayed({"cnn0": 1.0, "cnn1": 1.0, "transformer0": 2.0, "transformer1": 1.0})
    found = portrait.profile(table, "transformer0", n_boot=2000)
    own = found[found["model"] == "transformer0"].set_index("metric")
    radius = own.loc["radius of 90 % of the gradient"]
    assert radius["low"] < 2 < radius["high"]
    assert radius["value"] == pytest.approx(40, rel=0.05)
    assert own.loc["change in fog", "verdict"] == "undecided"
    title = portrait.salient(found, "transformer0")
    assert title.startswith("transformer0: the radius of 90 % of the gradient is 2.0")
    assert title.endswith("that of the 3 others")
    others = found[(found["model"] != "transformer0") & (found["metric"] == "error (abs_rel)")]
    assert np.prod(others["estimate"]) == pytest.approx(1)


def test_a_scene_on_which_another_network_has_no_value_is_left_out_of_a_portrait_and_counted():
    table = portrayed(dict.fromkeys(NETWORKS, 1.0) | {"cnn1": 8.0})
    scene = table["sample"].iloc[0]
    table.loc[(table["model"] == "cnn1") & (table["sample"] == scene), "value"] = 0.0
    found = portrait.profile(table, "cnn0", n_boot=200)
    own = found[found["model"] == "cnn0"].set_index("metric").loc["radius of 90 % of the gradient"]
    assert (own["n"], own["undefined"]) == (table["sample"].nunique() - 1, 1)
    assert own["estimate"] == pytest.approx(1 / 2, rel=0.05)  # of the geometric mean of 8, 1 and 1


def test_a_portrait_says_what_was_not_measured():
    figure, frame, title = portrait.portrait(portrayed(dict.fromkeys(NETWORKS, 1.0)), "cnn0", n_boot=500)
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert texts.count("not measured") == 3
    assert texts.count("no picture kept") == 5
    assert "in none of 3 traits" in title
    assert set(frame["metric"]) == {"error (abs_rel)", "radius of 90 % of the gradient", "change in fog"}


def test_a_portrait_needs_others_beside_it():
    alone = portrayed({"cnn0": 1.0})
    with pytest.raises(ValueError, match="and another network"):
        portrait.profile(alone, "cnn0")
