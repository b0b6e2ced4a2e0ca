"""Study 05 in quick form; it finds what is planted in a window, in a table, and in two copies of one network."""

import math
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses import a05_context as a05
from analyses import context_fields, context_figures, context_inside, context_rows, context_verdict
from analyses.common import judged, planted_window
from depthprobe import stats
from depthprobe.data import load_dataset
from depthprobe.models import load_model
from depthprobe.report.source import Source

TINY = ("timm:test_convnext?size=96x128", "timm:test_vit?size=96x128")
ENDS = list(context_verdict.ENDPOINTS)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return a05.main(quick=True, models=TINY, out=tmp_path_factory.mktemp("a05"))


def test_the_verdict_names_every_endpoint_and_is_cautious(study):
    said = "\n".join(study["verdict"])
    assert "C1, scenes | undecided" in said
    assert "a family of one network decides nothing" in said
    for metric in ENDS:
        assert f"C1, scenes, {metric} | do they " in said
        assert f"scenes, {metric} | higher for the Transformer in 0 of 1 pairs" in said
    for part in ("windows", "near and far", "receptive field", "attention", "cues", "accuracy"):
        assert f"scenes, {part} | " in said
    assert all(caution in said for caution in context_verdict.CAUTIONS)
    assert "nan" not in said


def test_figures_come_as_vector_picture_and_data(study):
    stems = {p.with_suffix("") for p in study["figures"]}
    names = ("compare", "windows", "reach", "fields", "layers", "attention", "cues")
    assert {s.name for s in stems} == {f"a05_{name}_scenes" for name in names}
    for stem in stems:
        assert stem.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        assert matplotlib.image.imread(stem.with_suffix(".png")).std() > 0
    drawn = pd.read_csv(next(s for s in stems if s.name == "a05_compare_scenes").with_suffix(".csv"))
    means = context_rows.quantities(study["sources"]["scenes"]).groupby(["metric", "family"])["value"].mean().unstack()
    want = np.exp(means["transformer"] - means["cnn"])
    assert list(drawn["metric"]) == list(context_figures.DRAWN)
    assert np.allclose(drawn["estimate"], want[drawn["metric"]], rtol=1e-6)


def test_both_fills_and_the_same_pixels_stand_behind_a_gain(study):
    source = study["sources"]["scenes"]
    places = ["model", "sample", "factor", "level", "factor2", "metric"]
    rows = source.probe("context").set_index(places)["value"].sort_index()
    found = context_rows.quantities(source).set_index(["model", "sample", "metric"])["value"]
    for model, sample in found.index.droplevel("metric").unique():
        whole = [v for key, v in rows[model, sample, "whole"].items() if key[-1] == "abs_rel"]
        for fill in ("mean", "blur"):
            window = rows[model, sample, "visible", 16.0, fill, "abs_rel"]
            assert found[model, sample, f"gain_{fill}"] == pytest.approx(math.log(window / whole[0]))


@pytest.mark.parametrize("planted", [3, 8])
def test_planted_windows_are_found(planted):
    found = planted_window((planted,), (1, planted - 1, planted, 16), n=2).iloc[0]
    assert found["receptive radius"] == planted
    assert found["change at r = 1"] > 1e-3
    assert found[f"change at r = {planted - 1}"] > 1e-5
    assert found[f"change at r = {planted}"] == 0
    assert found["change at r = 16"] == 0


def source_of(cells):
    """A source of rows (probe, metric, factor, level, factor2, value) of one network and image."""
    facts = {"dataset": "d", "sample": "s", "group": "g", "model": "m", "tag": "", "family": "cnn", "plan": "p",
             "seed": 0, "layer": "", "level2": np.nan, "unit": "1", "better": "lower"}  # fmt: skip
    names = ("probe", "metric", "factor", "level", "factor2", "value")
    table = pd.DataFrame([{**facts, **dict(zip(names, cell, strict=True))} for cell in cells])
    return Source(out=Path("."), table=table, side={}, study="", maps=[], broken=[])


def cells(window_blur=0.8):
    for suffix, whole, visible in (("", 0.1, 0.4), ("@near", 0.05, 0.1), ("@far", 0.2, 1.0)):
        yield "context", f"abs_rel{suffix}", "whole", np.nan, "", whole
        for fill, seen in (("mean", visible), ("blur", window_blur)):
            for radius in (4.0, 16.0):
                yield "context", f"abs_rel{suffix}", "visible", radius, fill, seen * 16 / radius
                yield "context", f"abs_rel{suffix}", "hidden", radius, fill, 3 * whole
    yield "context", "abs_rel@near", "", np.nan, "", 0.07
    yield "context", "abs_rel@mid", "", np.nan, "", 0.1
    yield "context", "abs_rel@far", "", np.nan, "", 0.21
    yield "receptive_field", "erf_radius", "radius", 0.5, "", 6.0
    yield "receptive_field", "erf_radius", "radius", 0.9, "", 20.0
    yield "receptive_field", "erf_radius@far", "radius", 0.9, "", 30.0


def test_quantities_are_what_they_say():
    found = context_rows.quantities(source_of(cells())).set_index("metric")["value"]
    want = {"far_near": 3, "gain_mean": 4, "gain_blur": 8, "need_mean": 3, "need_blur": 3, "window_mean": 0.4,
            "window_blur": 0.8, "gain_near": 2, "gain_far": 5, "whole": 0.1, "reach": 20, "reach50": 6}  # fmt: skip
    assert len(found) == len(want)
    for metric, value in want.items():
        assert found[metric] == pytest.approx(math.log(value)), metric
    curve = context_rows.relative_errors(source_of(cells()).probe("context"))
    at = curve.set_index(["factor", "level", "factor2"])["value"]
    assert at["visible", 4.0, "mean"] == pytest.approx(math.log(16))
    assert len(at) == 8


def test_an_error_of_zero_has_no_ratio_and_is_counted():
    found = context_rows.quantities(source_of(cells(window_blur=0.0))).set_index("metric")["value"]
    assert np.isnan(found["gain_blur"])
    assert np.isfinite(found["gain_mean"])


def planted(shifts, *, per_family=4, scenes=60):
    """Rows in ln of networks that differ by family as `shifts` {metric: difference} say."""
    rng, rows = np.random.default_rng(0), []
    for metric, shift in shifts.items():
        level = 1 + 0.1 * rng.standard_normal(scenes)
        for family, add in (("cnn", 0.0), ("transformer", shift)):
            for k in range(per_family):
                own = 0.02 * rng.standard_normal()
                for scene, value in enumerate(level + add + own + 0.05 * rng.standard_normal(scenes)):
                    rows.append({"model": f"{family}{k}", "family": family, "sample": f"s{scene}",
                                 "group": f"g{scene}", "metric": metric, "value": value})  # fmt: skip
    facts = {"dataset": "planted", "tag": "", "probe": "context", "plan": "p", "seed": 0, "layer": "", "factor": "",
             "level": np.nan, "factor2": "", "level2": np.nan, "unit": "ln", "better": "none"}  # fmt: skip
    return pd.DataFrame(rows).assign(**facts)


def ends_of(shifts):
    found = stats.family_contrast(planted(shifts), ["metric"], a="cnn", b="transformer", rope=a05.ROPE)
    return judged(found, ENDS).set_index("metric", drop=False)


def test_planted_ratios_of_families_are_found_and_told_by_their_direction():
    shifts = {"reach": math.log(1.5), "gain_mean": -math.log(1.5), "gain_blur": 0.0, "far_near": -math.log(1.5)}
    ends = ends_of(shifts)
    said = {metric: context_verdict._endpoint("planted", ends.loc[metric]) for metric in ENDS}
    assert "context? yes: radius of 90 %" in said["reach"]
    assert "context? no, the opposite: " in said["gain_mean"]
    assert "what there is? yes: " in said["far_near"]
    assert "yes" not in said["gain_blur"] and "opposite" not in said["gain_blur"]
    for metric, shift in shifts.items():
        row = ends.loc[metric]
        assert row["low"] < shift < row["high"]
        assert f"{context_figures.times(row)} that of the CNNs (from " in said[metric]
        assert "of 4 CNNs to " in said[metric]
    assert context_verdict._claim("planted", ends).startswith("C1, planted | contradictory: ")


@pytest.mark.parametrize(
    ("verdicts", "word"),
    [
        (("higher", "higher", "higher", "lower"), "supported:"),
        (("higher", "undecided", "equivalent", "lower"), "supported by 2 of 4 endpoints only:"),
        (("higher", "higher", "higher", "higher"), "contradictory:"),
        (("lower", "equivalent", "lower", "higher"), "refuted:"),
        (("lower", "undecided", "lower", "higher"), "undecided:"),
    ],
)
def test_the_claim_needs_every_endpoint_in_its_own_direction(verdicts, word):
    ends = pd.DataFrame({"verdict": verdicts, "units_a": 2, "units_b": 3}, index=ENDS)
    assert context_verdict._claim("planted", ends).startswith(f"C1, planted | {word}")


def test_two_copies_of_a_network_are_alike_layer_by_layer(tmp_path):
    one, other = load_model(TINY[0]), load_model(TINY[0])
    both = context_rows.together([one, other])
    image = next(iter(load_dataset("scenes", n=1, batch_size=1))).image
    with torch.no_grad():
        assert torch.allclose(both.eval()(image), one.eval()(image), atol=1e-6)
    rows = context_rows.likeness([one, other], load_dataset("scenes", n=2, batch_size=2), tmp_path)
    names = one.layers()
    count = 2 * len(names)
    assert len(rows) == 2 * count * (count + 1) // 2
    assert set(rows["place"]) == set(range(len(names)))
    assert rows[rows["layer"] == names[0]]["place"].eq(len(names) - 1).all()
    same = rows[(rows["layer"] == rows["other_layer"])]
    assert len(same) == 2 * 3 * len(names)
    assert np.allclose(same["value"], 1, atol=1e-4)
    assert (rows[rows["layer"] != rows["other_layer"]]["value"] < 0.999).any()


def alike(inside, between, images=3):
    """Rows of `likeness` of four networks of two layers: CKA `inside` a family, `between` families, by image."""
    models, rows = {"a": "cnn", "b": "cnn", "c": "transformer", "d": "transformer"}, []
    for i in range(images):
        for m, family in models.items():
            for other, other_family in models.items():
                for place in (0, 1):
                    for other_place in (0, 1):
                        same = inside if family == other_family else between
                        value = same + 0.01 * i if place == other_place else 0.0
                        rows.append({"sample": f"s{i}", "group": f"g{i}", "model": m, "family": family, "place": place,
                                     "other_model": other, "other_family": other_family, "other_place": other_place,
                                     "value": 1.0 if (m, place) == (other, other_place) else value})  # fmt: skip
    facts = {"dataset": "d", "tag": "", "probe": "representation", "plan": "p", "seed": 0, "level": np.nan,
             "level2": np.nan, "unit": "1", "better": "none", "layer": "x", "other_layer": "x"}  # fmt: skip
    return pd.DataFrame(rows).assign(**facts)


@pytest.mark.parametrize(("inside", "between", "word"), [(0.8, 0.3, "more"), (0.3, 0.8, "less")])
def test_planted_likeness_of_families_is_told(inside, between, word):
    frame = context_rows.across_families(alike(inside, between))
    means = frame.groupby("metric")["value"].mean()
    assert means["within"] == pytest.approx(inside + 0.01)
    assert means["across"] == pytest.approx(between + 0.01)
    assert means["difference"] == pytest.approx(inside - between)
    found = stats.summarise(frame.assign(value=frame["value"] + 0.001 * (frame["sample"] == "s0")), ["metric"])
    one = a05.Found(**dict.fromkeys(a05.Found.__dataclass_fields__, pd.DataFrame()) | {"alike": found})
    assert f"at the same place are {word} alike within a family" in context_inside.alike_sentence(one)


def test_attention_nearer_than_uniform_is_counted_and_layers_keep_their_order():
    facts = {"dataset": "d", "tag": "", "probe": "attention", "plan": "p", "seed": 0, "factor": "", "level": np.nan,
             "factor2": "", "level2": np.nan, "unit": "px", "better": "none", "model": "t",
             "family": "transformer"}  # fmt: skip
    rows = []
    for layer, own in (("z.first", 10.0), ("a.second", 30.0), ("m.third", 20.0)):
        for i in range(8):
            cell = {"layer": layer, "sample": f"s{i}", "group": f"g{i}"}
            rows.append({**cell, "metric": "attention_distance", "value": own + 0.1 * i})
            rows.append({**cell, "metric": "attention_distance@uniform", "value": 20.35})
    found = a05._attention(pd.DataFrame(rows).assign(**facts), 300)
    assert found.drop_duplicates("layer").set_index("layer")["depth"].to_dict() == {
        "z.first": 1, "a.second": 2, "m.third": 3,
    }  # fmt: skip
    one = a05.Found(**dict.fromkeys(a05.Found.__dataclass_fields__, pd.DataFrame()) | {"attention": found})
    assert "in 1 of 3 layers of t, farther in 1 " in context_inside.attention_sentence(one)


def test_the_most_even_field_is_that_of_a_loop():
    high, wide = 5, 7
    share = context_fields.anywhere((high, wide))
    for radius in range(wide):
        for y in range(high):
            for x in range(wide):
                inside = [abs(y - i) <= radius and abs(x - j) <= radius for i in range(high) for j in range(wide)]
                assert share[radius, y, x] == pytest.approx(sum(inside) / len(inside))


def test_the_planted_window_is_the_picture_of_the_middle():
    model = load_model("oracle:window?r=7")
    frame = context_fields.fields([model], load_dataset("scenes", n=2, batch_size=2), n_boot=300)
    assert frame["estimate"].eq(6).all() or frame["estimate"].eq(7).all()  # 90 % of a flat window of 15 pixels
    high, wide = 96, 128
    seen = frame[frame["density"] > 0]
    assert set(seen["y"]) == set(range(high // 2 - 8, high // 2 + 8, 4))
    assert set(seen["x"]) == set(range(wide // 2 - 8, wide // 2 + 8, 4))
    assert frame["density"].mean() == pytest.approx(1)
    assert frame["density"].max() == pytest.approx(high * wide / 15**2, rel=1e-4)


def test_networks_lose_the_tag_that_all_of_them_have():
    assert context_fields.names_of(["zoo:pvt.mixed", "zoo:swin.mixed"]) == {
        "zoo:pvt.mixed": "pvt", "zoo:swin.mixed": "swin",
    }  # fmt: skip
    assert list(context_fields.names_of(["zoo:pvt.mixed", "zoo:pvt.nyu"]).values()) == ["pvt.mixed", "pvt.nyu"]
