"""The receptive-field probe: planted windows, then its rows from its parts."""

import dataclasses

import numpy as np
import pytest
import torch
from sparse_cases import H, W, batch, network, value

from depthprobe.functional.queries import query_pixels
from depthprobe.functional.receptive import distance_profile, erf_beyond, erf_radius, input_energy
from depthprobe.functional.selection import sample_seeds
from depthprobe.models import load_model
from depthprobe.probes.receptive_field import ReceptiveFieldPlan, receptive_field

SMALL = ReceptiveFieldPlan(queries=3, radii=(0, 1, 3, 40), shares=(0.5, 0.9, 1.0))


@pytest.mark.parametrize("radius", [0, 1, 4, 9])
def test_the_planted_radius_is_recovered(radius):
    plan = dataclasses.replace(SMALL, queries=6, radii=(radius - 1, radius, radius + 1) if radius else (0, 1))
    table = receptive_field(load_model(f"oracle:window?r={radius}"), batch(), plan)
    for part in ("", "@near", "@far"):
        assert (value(table, metric=f"erf_radius{part}", level=1.0) == radius).all()
        assert (np.abs(value(table, metric=f"erf_radius{part}", level=0.9) - radius) <= 1).all()
        assert (value(table, metric=f"erf_beyond{part}", level=radius) == 0).all()
    if radius:
        assert (value(table, metric="erf_beyond", level=radius - 1) > 0.01).all()
    assert (value(table, metric="erf_undefined") == 0).all()


@pytest.mark.parametrize(("times", "planted"), [(1, 2), (2, 4), (3, 6)])
def test_lengths_in_pixels_of_one_height_compare_networks_that_read_other_sizes(times, planted):
    model = load_model(f"oracle:window?r={planted}")
    model.card = dataclasses.replace(model.card, size=(times * H, times * W))
    table = receptive_field(model, batch(), dataclasses.replace(SMALL, radii=(1, 2), height=H))
    assert (value(table, metric="erf_radius", level=1.0) == 2).all()
    assert (value(table, metric="erf_beyond", level=2) == 0).all()
    assert (value(table, metric="erf_beyond", level=1) > 0.01).all()
    assert (value(table, metric="canvas_side", factor="height") == times * H).all(), "in the network's own pixels"
    assert (value(table, metric="canvas_side", factor="width") == times * W).all()


def test_a_stretched_network_is_measured_on_the_image():
    """The same window of 4 pixels each way, of a canvas of twice as many columns: 4 of the image down, 2 across."""
    model = load_model("oracle:window?r=4")
    model.card = dataclasses.replace(model.card, size=(H, 2 * W))
    table = receptive_field(model, batch(), dataclasses.replace(SMALL, radii=(3, 4), height=H))
    assert (value(table, metric="erf_radius", level=1.0) == 4).all()
    assert (value(table, metric="canvas_side", factor="width") == 2 * W).all()
    model.card = dataclasses.replace(model.card, size=(2 * H, W))
    table = receptive_field(model, batch(), dataclasses.replace(SMALL, radii=(3, 4), height=H))
    assert (value(table, metric="erf_radius", level=1.0) == 4).all()


def test_the_share_of_an_uncut_window_is_its_area():
    """Half the energy of a flat window lies in the smallest square of at least half its area."""
    data, radius = batch(1), 4
    inside = torch.zeros_like(data.valid)
    inside[..., radius : H - radius, radius : W - radius] = True
    plan = dataclasses.replace(SMALL, shares=(0.5,), radii=(1, 2))
    table = receptive_field(load_model(f"oracle:window?r={radius}"), data.replace(valid=data.valid & inside), plan)
    assert value(table, metric="erf_radius") == pytest.approx(3)  # 5² < 81 / 2 <= 7²
    assert value(table, metric="erf_beyond", level=2) == pytest.approx(1 - 25 / 81)


def test_rows_are_the_means_of_the_parts():
    model, data = network(), batch(3)
    table = receptive_field(model, data, SMALL)
    for i, sample in enumerate(data.sample):
        part = data.take([i])
        index, _ = query_pixels(part.depth, part.valid, 3, sample_seeds(part.sample, 0))
        singles = [input_energy(model, part.image, index[:, k : k + 1]) for k in range(3)]
        profiles = [distance_profile(e, index[:, k : k + 1]) for k, e in enumerate(singles)]
        for share in SMALL.shares:
            radii = [float(erf_radius(p, share)) for p in profiles]
            assert value(table, sample=sample, metric="erf_radius", level=share) == pytest.approx(sum(radii) / 3)
            assert value(table, sample=sample, metric="erf_radius@far", level=share) == pytest.approx(radii[2])
        beyond = [float(erf_beyond(p, 3)) for p in profiles]
        found = value(table, sample=sample, metric="erf_beyond", level=3)
        assert found == pytest.approx(sum(beyond) / 3, rel=1e-5, abs=1e-9)
    assert (value(table, metric="erf_radius", level=1.0) == 3).all()  # 5x5, then 3x3


def test_the_canvas_is_stated_and_used():
    table = receptive_field(network(size=(12, 16)), batch(1), SMALL)
    assert value(table, metric="canvas_side", factor="height") == [12]
    assert value(table, metric="canvas_side", factor="width") == [16]
    assert value(table, metric="erf_radius", level=1.0) == [3]


def test_a_model_that_reads_no_pixel_has_no_field():
    table = receptive_field(load_model("oracle:row"), batch(2), SMALL)
    assert (value(table, metric="erf_undefined") == 1).all()
    assert np.isnan(value(table, metric="erf_radius")).all()


def test_images_without_a_judged_pixel_have_no_query():
    data = batch(2)
    valid = data.valid.clone()
    valid[0] = False
    table = receptive_field(network(), data.replace(valid=valid), SMALL)
    first = table[(table["sample"] == data.sample[0]) & (table["metric"] != "canvas_side")]
    assert first["value"].isna().all()


def test_one_forward_pass_per_image_in_batches_of_the_plan():
    model = network()
    receptive_field(model, batch(4), dataclasses.replace(SMALL, batch=3))
    assert model.net.sizes == [3, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 4}, "multiple of 3"),
        ({"shares": (0.0,)}, "Expected `share`"),
        ({"radii": (-1,)}, "Expected `radius`"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        ReceptiveFieldPlan(**options)
