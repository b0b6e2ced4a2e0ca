"""The error probe: planted errors come back, flip averaging, purity, refusals, maps."""

import dataclasses
import json
import types

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.data.batch import Batch
from depthprobe.functional.protocol import Protocol, evaluate, get_protocol, prepare
from depthprobe.probes.error import error, error_maps, predict
from depthprobe.probes.registry import PROBES
from depthprobe.schema import MEASURED


class Planted(nn.Module):
    """Depth that is read off the image's red channel (which holds the truth / 10), by a planted formula.

    Stands in for a DepthModel: `card`, `canvas`, `forward`.
    """

    def __init__(self, formula, output="metric_depth", size=None):
        super().__init__()
        self.formula, self.size = formula, size
        self.card = types.SimpleNamespace(name="planted", output=output, size=size)
        self.norm, self.drop = nn.BatchNorm2d(1), nn.Dropout(0.5)
        self.seen = []

    def canvas(self, image):
        return image if self.size is None else F.interpolate(image, self.size, mode="bilinear")

    def forward(self, image):
        self.seen.append((tuple(image.shape), self.training, torch.is_grad_enabled()))
        return self.formula(self.drop(self.norm(image[:, :1])) * (1 + self.norm.eps) ** 0.5 * 10)


def batch(n=3, h=24, w=32, seed=0):
    rng = torch.Generator().manual_seed(seed)
    image = torch.rand(n, 3, h, w, generator=rng) * 0.9 + 0.05
    valid = torch.rand(n, 1, h, w, generator=rng) < 0.9
    sample = tuple(f"s{i}" for i in range(n))
    return Batch(image=image, depth=image[:, :1] * 10, valid=valid, sample=sample, group=sample)


def value(table, metric):
    return table.loc[table["metric"] == metric, "value"].to_numpy()


def test_registration():
    facts = PROBES.facts("error")
    assert facts["plan"] is Protocol
    assert PROBES["error"] is error


def test_planted_errors_come_back():
    table = error(Planted(lambda z: 1.2 * z), batch(), get_protocol("scenes"))
    assert list(table.columns) == MEASURED
    assert sorted(table["metric"].unique()) == sorted([*get_protocol("scenes").metrics, "failed", "nonpositive"])
    assert len(table) == 3 * 6
    np.testing.assert_allclose(value(table, "abs_rel"), 0.2, rtol=1e-5)
    np.testing.assert_allclose(value(table, "delta1"), 1.0)
    np.testing.assert_allclose(value(table, "silog"), 0.0, atol=1e-3)
    np.testing.assert_allclose(value(table, "failed"), 0.0)


def test_depths_that_are_none_are_counted_where_they_are_judged():
    some = batch()
    table = error(Planted(lambda z: torch.where(z > 5, z, -z)), some, get_protocol("scenes"))
    low = some.valid & (some.depth <= 5)
    want = low.sum((1, 2, 3)) / some.valid.sum((1, 2, 3))
    np.testing.assert_allclose(value(table, "nonpositive"), want, rtol=1e-6)
    none = error(Planted(lambda z: 0 * z), some.replace(valid=some.valid & False), get_protocol("scenes"))
    assert np.isnan(value(none, "nonpositive")).all()
    assert not len(value(error(Planted(lambda z: -z, "affine_depth"), some, get_protocol("scenes")), "nonpositive"))


@pytest.mark.parametrize("output", ["metric_depth", "scale_depth"])
@pytest.mark.parametrize("method", ["scale", "median", "scale_l1", "disparity", "scale_shift", "scale_shift_l1"])
def test_what_is_said_of_depths_that_are_none_is_how_they_are_judged(method, output):
    """As the nearest depth; a shift that is fitted moves them to where any other answer is judged."""
    protocol = dataclasses.replace(get_protocol("scenes"), alignment=((output, method),), floor=1 / 80)
    model, some = Planted(lambda z: torch.where(z > 1, z - 1, -0.1 * z), output), batch()
    share = value(error(model, some, protocol), "nonpositive")
    pred, _ = prepare(predict(model, some.image), some.depth, some.valid, kind=output, protocol=protocol)
    low = some.valid & (some.depth <= 1)
    nearest = (pred[low] == protocol.min_depth).all()
    assert bool(len(share)) == bool(nearest)
    assert len(share) == (0 if "shift" in method else len(some))


@pytest.mark.parametrize(
    ("output", "formula"),
    [
        ("scale_depth", lambda z: 0.3 * z),
        ("affine_depth", lambda z: 0.3 * z - 7),
        ("affine_disparity", lambda z: 0.3 / z + 7),
    ],
)
def test_the_declared_kind_is_aligned_away(output, formula):
    table = error(Planted(formula, output), batch(), get_protocol("scenes"))
    assert value(table, "abs_rel").max() < 1e-5


def test_a_protocol_refuses_before_the_network_runs():
    model = Planted(lambda z: 1 / z, "affine_disparity")
    with pytest.raises(ValueError, match=r"protocols that fit affine_disparity: .*marigold_nyu, .*midas_nyu, scenes"):
        error(model, batch(), get_protocol("bts_nyu"))
    assert model.seen == []


def test_missing_predictions_are_counted():
    table = error(Planted(lambda z: torch.where(z > 5, torch.nan, z)), batch(), get_protocol("scenes"))
    data = batch()
    share = [(float((d[v] > 5).float().mean())) for d, v in zip(data.depth, data.valid, strict=True)]
    np.testing.assert_allclose(value(table, "failed"), share, atol=1e-3)
    np.testing.assert_allclose(value(table, "delta1"), 1 - np.array(share), atol=1e-3)


def test_flip_averages_with_the_unflipped_prediction_of_the_mirrored_image():
    ramp = torch.linspace(1, 2, 32)
    plan = dataclasses.replace(get_protocol("scenes"), flip=True)
    data = batch()
    table = error(Planted(lambda z: z * ramp), data, plan)
    by_hand = data.depth * (ramp + ramp.flip(0)) / 2
    want = evaluate(by_hand, data.depth, data.valid, kind="metric_depth", protocol=plan)
    np.testing.assert_allclose(value(table, "abs_rel"), want["abs_rel"], rtol=1e-5)
    unflipped = error(Planted(lambda z: z * ramp), data, get_protocol("scenes"))
    assert abs(value(table, "rmse") - value(unflipped, "rmse")).min() > 0.01


def test_the_network_is_read_on_its_canvas_and_resized_once():
    model, data = Planted(lambda z: z, size=(12, 16)), batch()
    table = error(model, data, get_protocol("scenes"))
    assert model.seen == [((3, 3, 12, 16), False, False)]
    small = F.interpolate(data.depth, (12, 16), mode="bilinear")
    want = evaluate(small, data.depth, data.valid, kind="metric_depth", protocol=get_protocol("scenes"))
    np.testing.assert_allclose(value(table, "abs_rel"), want["abs_rel"], rtol=1e-4)


@pytest.mark.parametrize("fails", [False, True])
def test_pure_also_when_the_network_raises(fails):
    def formula(z):
        if fails:
            raise RuntimeError("half-way")
        return z

    model, data = Planted(formula), batch()
    model.train()
    model.drop.eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    image, random = data.image.clone(), torch.get_rng_state()
    if fails:
        with pytest.raises(RuntimeError, match="half-way"):
            error(model, data, get_protocol("scenes"))
    else:
        first, second = (error(model, data, get_protocol("scenes")) for _ in range(2))
        pd.testing.assert_frame_equal(first, second)
    assert (model.training, model.norm.training, model.drop.training) == (True, True, False)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert torch.equal(data.image, image)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.is_grad_enabled()
    assert all(p.grad is None for p in model.parameters())


def test_rows_do_not_depend_on_batching():
    model, data, plan = Planted(lambda z: z**1.1), batch(), get_protocol("scenes")
    whole = error(model, data, plan)
    ones = pd.concat([error(model, data.take([i]), plan) for i in range(3)])
    by = ["sample", "metric"]
    pd.testing.assert_frame_equal(
        whole.sort_values(by, ignore_index=True), ones.sort_values(by, ignore_index=True), check_exact=True
    )


def test_an_empty_mask_gives_nan_rows():
    data = batch()
    valid = data.valid.clone()
    valid[1] = False
    table = error(Planted(lambda z: z), data.replace(valid=valid), get_protocol("scenes"))
    assert table.loc[table["sample"] == "s1", "value"].isna().all()
    assert table.loc[table["sample"] != "s1", "value"].notna().all()


def test_maps_show_what_was_measured():
    model, data, plan = Planted(lambda z: 1.2 * z), batch(), get_protocol("scenes")
    maps, table = error_maps(model, data, plan), error(model, data, plan)
    assert len(maps) == 3
    for i, entry in enumerate(maps):
        assert entry["image"].shape == (24, 32, 3)
        assert entry["image"].dtype == np.uint8
        judged = data.valid[i, 0].numpy()
        assert np.array_equal(np.isnan(entry["depth"]), ~judged)
        relative = np.abs(entry["pred"] - entry["depth"])[judged] / entry["depth"][judged]
        meta = json.loads(entry["meta"])
        assert meta["sample"] == f"s{i}"
        assert meta["model"] == "planted"
        assert meta["metrics"]["abs_rel"] == pytest.approx(float(relative.mean()), rel=1e-5)
        assert meta["metrics"]["abs_rel"] == pytest.approx(value(table, "abs_rel")[i])


def test_predict_returns_the_canvas_size_without_a_graph():
    out = predict(Planted(lambda z: z, size=(12, 16)), batch().image)
    assert out.shape == (3, 1, 12, 16)
    assert not out.requires_grad
