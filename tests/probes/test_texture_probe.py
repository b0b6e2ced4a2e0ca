"""The texture probe: planted answers, equal changes, exact edits where there are some, bands, plans."""

import dataclasses

import numpy as np
import pytest
import tiny
import torch

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import get_protocol
from depthprobe.functional.texture import texture_decades
from depthprobe.models import load_model
from depthprobe.probes.texture import FILTERED, RENDERED, TexturePlan, texture

EDITS = [name for name, _ in (*RENDERED, *FILTERED)]
ONE_LEVEL = TexturePlan(
    rendered=tuple((name, levels[:1]) for name, levels in RENDERED),
    filtered=tuple((name, levels[-1:]) for name, levels in FILTERED),
)
BARE = TexturePlan(rendered=(), filtered=(("low_pass", (2,)),), controls=())


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=3, size=(48, 64), batch_size=3).load(range(3))[0]


def given(depth):
    model = load_model("oracle:grid?period=8&amplitude=0")
    model.net.given(depth)
    return model


def value(table, metric, **where):
    for column, wanted in {"metric": metric, "factor2": "", **where}.items():
        table = table[table[column] == wanted]
    assert len(table)
    return table["value"].to_numpy()


def test_a_model_of_rows_has_no_reliance_on_texture_at_all(rooms):
    table = texture(load_model("oracle:row"), rooms, ONE_LEVEL)
    for edit in EDITS:
        for control in ("", *ONE_LEVEL.controls):
            assert (value(table, "abs_rel@self", factor=edit, factor2=control) == 0).all(), (edit, control)
            assert (value(table, "delta1@self", factor=edit, factor2=control) == 1).all()
            assert (value(table, "pixel_change", factor=edit, factor2=control) > 1e-3).all()


def test_a_model_of_brightness_reacts_by_what_it_sees(rooms):
    plan = dataclasses.replace(ONE_LEVEL, protocol=dataclasses.replace(get_protocol("scenes"), metrics=("mae",)))
    table = texture(load_model("oracle:brightness"), rooms, plan)
    for edit, level in (("texture_swap", 1.0), ("texture_off", 1.0), ("patch_shuffle", 8.0)):
        image = (
            rooms.edited(edit, level).image if edit.startswith("texture") else PERTURBATIONS[edit](rooms.image, level)
        )
        off = 9 * (image - rooms.image).mean(1).abs()
        want = [float(off[i][rooms.valid[i, 0]].mean()) for i in range(3)]
        assert np.allclose(value(table, "mae@self", factor=edit), want, rtol=1e-4)
        assert min(want) > 1e-3


def test_controls_change_the_pixels_as_much_as_the_edit(rooms):
    table = texture(load_model("oracle:row"), rooms, ONE_LEVEL)
    for edit in EDITS:
        for control in ONE_LEVEL.controls:
            change = [value(table, "pixel_change", factor=edit, factor2=name) for name in ("", control)]
            np.testing.assert_allclose(change[1], change[0], rtol=1e-4, err_msg=f"{edit} {control}")


def test_an_error_that_grows_with_texture_is_found(rooms):
    decades = texture_decades(rooms.image)
    above = decades - decades.min()
    signs = torch.ones(48, 64).cumsum(0).add(torch.arange(64)).remainder(2) * 2 - 1
    table = texture(given(rooms.depth * 1.5 * torch.exp(0.05 * above * signs)), rooms, BARE)
    for at in ("", "@place_held"):
        np.testing.assert_allclose(value(table, f"texture_slope{at}", factor=""), 0.05, rtol=0.05)
        growth, slope = (value(table, f"texture_{name}{at}", factor="") for name in ("growth", "slope"))
        assert (np.sign(growth) == np.sign(slope)).all() and (growth > slope).all()
    fine = texture(given(rooms.depth), rooms, BARE)
    assert np.abs(value(fine, "texture_slope", factor="")).max() < 1e-5


def test_texture_taken_for_distance_is_found(rooms):
    decades = texture_decades(rooms.image)
    table = texture(given(rooms.depth * torch.exp(0.05 * (decades - decades.min()))), rooms, BARE)
    for at in ("", "@place_held"):
        np.testing.assert_allclose(value(table, f"texture_bias{at}", factor=""), 0.05, rtol=1e-3)
    bands = [value(table, "abs_rel", factor="energy", level=start) for start in BARE.bands]
    assert (np.diff(bands, axis=0) > 0).all()


def test_an_error_that_grows_with_distance_is_not_taken_for_texture(rooms):
    table = texture(given(rooms.depth**1.3), rooms, BARE)
    for metric in ("texture_slope", "texture_bias"):
        plain, held = (np.abs(value(table, f"{metric}{at}", factor="")) for at in ("", "@place_held"))
        assert (plain > 1e-4).all() and (held < 1e-6).all(), (plain, held)


def test_bands_hold_the_smooth_pixels_once(rooms):
    """Shares: with as many pixels in every band, the mean of the bands is that of the whole smooth zone."""
    model = given(rooms.depth * 1.2)
    table = texture(model, rooms, BARE)
    for start in BARE.bands:
        np.testing.assert_allclose(value(table, "abs_rel", factor="energy", level=start), 0.2, rtol=1e-4)
    assert np.isfinite(value(table, "silog", factor="energy")).all()


def test_other_data_sets_get_filters_alone():
    table = texture(tiny.model(), tiny.sample(1, (24, 32)), ONE_LEVEL)
    assert set(table["factor"]) == {"", "energy", *(name for name, _ in FILTERED)}


def test_levels_and_seeds(rooms):
    plan = dataclasses.replace(BARE, filtered=(("patch_shuffle", (2, 4)),), controls=("white_noise",))
    first, second = (texture(tiny.model(), rooms, dataclasses.replace(plan, seed=s)) for s in (0, 1))
    for control in ("", "white_noise"):
        a, b = (value(t, "abs_rel@self", factor="patch_shuffle", level=4.0, factor2=control) for t in (first, second))
        assert (a != b).all()
    assert (value(first, "texture_slope", factor="") == value(second, "texture_slope", factor="")).all()


def test_a_window_is_read_alone(rooms):
    protocol = dataclasses.replace(get_protocol("scenes"), window=(32, 48))
    table = texture(load_model("oracle:row"), rooms, dataclasses.replace(ONE_LEVEL, protocol=protocol))
    assert set(table["factor"]) == {"", "energy", *EDITS}
    assert (value(table, "abs_rel@self", factor="texture_off") == 0).all()
    cut = rooms.edited("texture_off", 1.0).image[..., 16:, 8:56] - rooms.image[..., 16:, 8:56]
    want = cut.flatten(1).square().mean(1).sqrt()
    np.testing.assert_allclose(value(table, "pixel_change", factor="texture_off"), want, rtol=1e-4)


def test_metrics_are_registered_and_plans_are_checked():
    assert METRICS.facts("texture_slope")["unit"] == "ln/decade"
    assert TexturePlan(protocol="bts_nyu").protocol.name == "bts_nyu"
    with pytest.raises(ValueError, match="`edit` to be one of"):
        TexturePlan(filtered=(("texture_off", (1,)),))
    with pytest.raises(ValueError, match="every edit once"):
        TexturePlan(filtered=(("low_pass", (1,)), ("low_pass", (2,))))
    with pytest.raises(ValueError, match="different levels, at least one"):
        TexturePlan(rendered=(("texture_off", ()),))
    with pytest.raises(ValueError, match="`bands` to rise"):
        TexturePlan(bands=(0.5, 0.0))
    with pytest.raises(ValueError, match="`control` to be one of"):
        TexturePlan(controls=("none",))
