"""The continuity probe: rows equal the metrics, bands add up, planes and quantisation, planted answers."""

import dataclasses
import math

import numpy as np
import pytest
import tiny

from depthprobe.data import load_dataset
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.metrics import METRICS, all_metrics
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import load_model
from depthprobe.probes.continuity import STRUCTURE, ContinuityPlan, continuity

BANDED = [n for n in STRUCTURE if "by" in METRICS.facts(n)]


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=4, size=(96, 128), batch_size=4).load(range(4))[0]


def given(depth):
    """A network that answers with a given depth."""
    model = load_model("oracle:grid?period=8&amplitude=0")
    model.net.given(depth)
    return model


def value(table, metric, **where):
    for column, wanted in {"metric": metric, "factor": "", **where}.items():
        table = table[table[column] == wanted]
    return table["value"].to_numpy()


def soft(batch):
    return gaussian_blur(batch.depth.log(), 1.0).exp()


def test_rows_are_the_metrics(rooms):
    table = continuity(given(soft(rooms)), rooms, ContinuityPlan())
    known = {"planes": rooms.maps["plane"], "intrinsics": rooms.intrinsics}
    want = all_metrics(soft(rooms), rooms.depth, rooms.valid, STRUCTURE, **known)
    for name in STRUCTURE:
        np.testing.assert_allclose(value(table, name), want[name], rtol=1e-5, atol=1e-7, err_msg=name)
    assert set(table["metric"]) == {*STRUCTURE, "depth_step"}


def test_bands_add_up_to_the_whole(rooms):
    """Means weighted by the number of pixels: grad_mae by band of depth and of edge distance."""
    table = continuity(given(soft(rooms)), rooms, ContinuityPlan())
    for factor in ("depth", "edge_distance"):
        banded = table[(table["factor"] == factor) & (table["metric"] == "grad_mae")]
        low, high = banded.groupby("sample")["value"].min(), banded.groupby("sample")["value"].max()
        whole = value(table, "grad_mae")
        assert (low.to_numpy() <= whole).all() and (whole <= high.to_numpy()).all()
        assert set(table.loc[table["factor"] == factor, "metric"]) == set(BANDED)


def test_a_blurred_edge_is_wrong_near_edges_alone(rooms):
    table = continuity(given(soft(rooms)), rooms, ContinuityPlan(edge_bands=(0, 1, 2, 4, 8)))
    error = [np.nanmean(value(table, "grad_mae", factor="edge_distance", level=k)) for k in (0, 1, 2, 4, 8)]
    assert (np.diff(error) < 0).all() and error[0] > 20 * error[-1], error
    assert np.isnan(value(table, "curvature_mae", factor="edge_distance", level=0)).all(), "not in the smooth zone"


@pytest.mark.parametrize(
    ("kind", "change"), [("affine_disparity", lambda g: 0.7 / g + 0.2), ("scale_depth", lambda g: 3 * g)]
)
def test_the_declared_kind_is_aligned_away(rooms, kind, change):
    model = given(change(rooms.depth))
    model.card = dataclasses.replace(model.card, output=kind)
    table = continuity(model, rooms, ContinuityPlan())
    for name in BANDED:
        assert np.nanmax(np.abs(value(table, name))) < 1e-5, name
    assert np.nanmax(value(table, "planarity")) < 1e-4
    for name in ("depthpro_f1", "moge_f1_r3"):
        np.testing.assert_allclose(value(table, name), 1.0, atol=1e-3)


def test_planes_are_fitted_where_the_data_has_none(rooms):
    bare = rooms.replace(maps={})
    table = continuity(given(soft(rooms)), bare, ContinuityPlan(metrics=("planarity", "plane_orientation")))
    assert np.isfinite(value(table, "planarity")).all()
    blind = continuity(given(soft(rooms)), bare.replace(intrinsics=None), ContinuityPlan(metrics=("planarity",)))
    assert np.isnan(value(blind, "planarity")).all()


def test_dither_says_what_quantisation_contributes(rooms):
    coarse = rooms.replace(depth=(rooms.depth / 0.0392).round() * 0.0392)
    table = continuity(given(rooms.depth), coarse, ContinuityPlan(dither=True))
    np.testing.assert_allclose(value(table, "depth_step"), 0.0392, rtol=1e-3)
    floor, exact = (
        value(t, "curvature_mae@dither")
        for t in (table, continuity(given(rooms.depth), rooms, ContinuityPlan(dither=True)))
    )
    assert (floor > 1e-3).all() and (exact < 1e-5).all()
    assert (floor > value(table, "curvature_mae") / 3).all(), "the steps explain what is measured"


def test_the_seed_decides_the_dither_and_nothing_else(rooms):
    model, plan = given(soft(rooms)), ContinuityPlan(dither=True, metrics=("grad_mae", "third_mae"))
    first, second = (continuity(model, rooms, dataclasses.replace(plan, seed=s)) for s in (0, 1))
    changed = first["value"].ne(second["value"]) & first["value"].notna()
    assert changed.any() and set(first.loc[changed, "metric"]) == {"grad_mae@dither", "third_mae@dither"}


def test_a_crop_is_respected():
    batch = tiny.sample(3, (48, 64))
    plan = ContinuityPlan(protocol=dataclasses.replace(get_protocol("scenes"), crop=(0, 24, 0, 64), frame=(48, 64)))
    model = given(batch.depth * 1.1)
    below = batch.depth.clone()
    below[..., 30:, :] = 7.0
    for other in (batch.replace(depth=below), batch):
        table = continuity(model, other, plan)
        assert float(value(table, "grad_mae")[0]) == pytest.approx(
            float(value(continuity(model, batch, plan), "grad_mae")[0])
        )


def test_plan_is_checked():
    assert ContinuityPlan(protocol="bts_nyu").protocol.name == "bts_nyu"
    with pytest.raises(ValueError, match="Expected `metric` to be one of"):
        ContinuityPlan(metrics=("abs_rel",))
    with pytest.raises(ValueError, match="Expected `depth_bands` to rise"):
        ContinuityPlan(depth_bands=(1, 1))
    with pytest.raises(ValueError, match="at least one name in `metrics`"):
        ContinuityPlan(metrics=())


def test_an_empty_mask_gives_nan_rows(rooms):
    valid = rooms.valid.clone()
    valid[1] = False
    table = continuity(given(soft(rooms)), rooms.replace(valid=valid), ContinuityPlan(dither=True))
    one = table[table["sample"] == rooms.sample[1]]
    assert one["value"].isna().all()
    assert table.loc[(table["factor"] == "") & (table["sample"] != rooms.sample[1]), "value"].notna().all()


def test_without_bands(rooms):
    table = continuity(given(soft(rooms)), rooms, ContinuityPlan(depth_bands=(), edge_bands=()))
    assert set(table["factor"]) == {""} and all(math.isnan(x) for x in table["level"])
