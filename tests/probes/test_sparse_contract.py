"""The sparse probe: what must not matter, what is refused, and what galleries show."""

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from sparse_cases import SMALL, H, Net, W, batch, network, value
from torch import nn

from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.probes import PROBES, sparse_jobs
from depthprobe.probes.sparse import SparsePlan, sparse
from depthprobe.schema import MEASURED


def same(a, b, tolerance=1e-5):
    order = MEASURED[:-1]
    a, b = (t.sort_values(order).reset_index(drop=True) for t in (a, b))
    pd.testing.assert_frame_equal(a, b, rtol=tolerance, atol=tolerance)


def test_batching_does_not_matter():
    data, model = batch(), network()
    whole = sparse(model, data, SMALL)
    same(whole, pd.concat([sparse(model, data.take([i]), SMALL) for i in range(4)]))
    same(whole, sparse(model, data.take([2, 0, 3, 1]), SMALL))
    same(whole, sparse(model, data, dataclasses.replace(SMALL, batch=1)))
    same(whole, sparse(model, data, dataclasses.replace(SMALL, batch=1000)))


@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_changed(training):
    model, data = network().train(training), batch(2)
    model.net.norm.eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    rng, image = torch.get_rng_state(), data.image.clone()
    first = sparse(model, data, SMALL)
    same(first, sparse(model, data, SMALL), 0)
    assert model.training is training
    assert not model.net.norm.training
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in state.items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(data.image, image)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())
    model.net.last.weight = nn.Parameter(model.net.last.weight[:, :4])
    model.train(training)
    with pytest.raises(RuntimeError):
        sparse(model, data, SMALL)
    assert model.training is training


def test_the_whole_image_is_seen_once_and_batches_are_full():
    model, data = network(), batch(3)
    sparse(model, data, dataclasses.replace(SMALL, fills=("mean", "black"), batch=8))
    jobs = 3 * 3 * 2 * 2
    assert model.net.sizes[0] == 3
    assert sum(model.net.sizes[1:]) == jobs
    assert model.net.sizes[1:] == [8] * (jobs // 8) + [jobs % 8] * (jobs % 8 > 0)


class Small(Net):
    """Has no memory for more than `limit` images."""

    def __init__(self, limit, error):
        super().__init__()
        self.limit, self.error = limit, error

    def forward(self, x):
        if len(x) > self.limit:
            raise self.error
        return super().forward(x)


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_out_of_memory_halves_the_batch_and_says_so_once(error):
    plain = sparse(network(), batch(), dataclasses.replace(SMALL, batch=16))
    model = network(net=Small(3, error))
    with pytest.warns(RuntimeWarning, match="going on with 2") as said:
        table = sparse(model, batch(), dataclasses.replace(SMALL, batch=16))
    assert len(said) == 1
    assert max(model.net.sizes) <= 3
    same(table, plain)


def test_a_cpu_works_on_few_large_images_at_once(monkeypatch):
    plain = sparse(network(), batch(), SMALL)
    for pixels, most in ((3 * H * W + 1, 3), (1, 1)):
        monkeypatch.setattr(sparse_jobs, "CPU_PIXELS", pixels)
        model = network()
        table = sparse(model, batch(), SMALL)
        assert max(model.net.sizes) == most
        same(table, plain)
    assert sparse_jobs.Packer(32, torch.empty(1, 3, 4096, 4096, device="meta")).size == 32, "other devices say so"


def test_out_of_memory_with_one_image_and_other_errors_are_raised():
    with pytest.warns(RuntimeWarning), pytest.raises(torch.OutOfMemoryError):
        sparse(network(net=Small(0, torch.OutOfMemoryError("CUDA out of memory."))), batch(2), SMALL)
    with pytest.raises(RuntimeError, match="another trouble"):
        sparse(network(net=Small(3, RuntimeError("another trouble"))), batch(), SMALL)


def test_pixels_are_removed_on_the_networks_own_canvas():
    class Watch(Net):
        def forward(self, x):
            self.seen = x
            return super().forward(x)

    model = network(size=(12, 16), net=Watch())
    plan = dataclasses.replace(SMALL, selectors=("random",), reverse=(), budgets=(0.25,), fills=("mean",))
    table = sparse(model, batch(2), plan)
    assert model.net.seen.shape[-2:] == (12, 16)
    removed = (model.net.seen.abs() < 1e-5).all(1)  # the mean colour is 0 for the network
    assert removed.flatten(1).sum(1).tolist() == [144, 144]
    assert set(table["sample"]) == {"s0", "s1"}


def test_the_seed_changes_random_masks_only():
    data, plans = batch(2), [dataclasses.replace(SMALL, seed=s) for s in (0, 1)]
    a, b = (sparse(network(), data, plan) for plan in plans)
    assert not np.array_equal(value(a, factor="random", level=0.05), value(b, factor="random", level=0.05))
    # the picture has no ties among its strongest edges
    assert np.array_equal(*(value(t, factor="image_edges", level=0.05, metric="abs_rel") for t in (a, b)))


# --- plan, facts, galleries ------------------------------------------------------------------------------------------


def test_rows_have_the_schema_and_unit_of_registered_metrics():
    table = sparse(network(), batch(2), SMALL)
    assert list(table.columns) == MEASURED
    assert not table.duplicated(MEASURED[:-1]).any()
    assert {m.partition("@")[0] for m in table.metric} <= set(METRICS.names())
    assert set(table.level) == set(SMALL.budgets)
    assert PROBES.facts("sparse")["axes"] == {"factor": "selector", "level": "budget", "factor2": "fill"}
    assert PROBES.facts("sparse")["plan"] is SparsePlan
    assert sparse(network(), batch(2), dataclasses.replace(SMALL, where=False)).factor2.eq("mean").all()
    quick = dataclasses.replace(SparsePlan(), **PROBES.facts("sparse")["quick"])
    assert len(sparse(network(), batch(2), quick)) > 0


def test_only_the_whole_image_is_a_plan_too():
    model = network()
    table = sparse(model, batch(2), dataclasses.replace(SMALL, budgets=(1.0,)))
    assert model.net.sizes == [2]
    assert set(table.level) == {1.0}
    assert np.abs(value(table, metric="rmse@self")).max() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"selectors": ("randon",)}, "`selector` to be one of"),
        ({"reverse": ("nothing",)}, "`selector` to be one of"),
        ({"fills": ("means",)}, "`fill` to be one of"),
        ({"budgets": (0.0, 1.0)}, "`budget` to be in"),
        ({"budgets": (0.5, 0.5)}, "`budgets` to list different"),
        ({"selectors": ()}, "`selectors` to list"),
        ({"batch": 0}, "`batch` to be in"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        SparsePlan(**options)


def test_a_protocol_goes_by_name_and_refuses_what_it_cannot_judge():
    assert SparsePlan(protocol="bts_nyu").protocol == get_protocol("bts_nyu")
    with pytest.raises(ValueError, match="affine_disparity"):
        sparse(network("affine_disparity"), batch(2), SparsePlan(protocol=Protocol(name="mae", metrics=("mae",))))
    with pytest.raises(ValueError, match="selector `horizon` to get"):
        sparse(network(), batch(2).replace(intrinsics=None), SparsePlan(selectors=("horizon",)))


def test_galleries_show_what_was_measured():
    plan = dataclasses.replace(SMALL, budgets=(0.02, 0.1, 0.25, 1.0))
    model, data = network(size=(12, 16)), batch(2)
    table, maps = sparse(model, data, plan), PROBES.facts("sparse")["maps"](model, data, plan)
    assert len(maps) == 2 * 3 * 3
    assert {json.loads(entry["meta"])["level"] for entry in maps} == {0.02, 0.1, 0.25}
    assert PROBES.facts("sparse")["maps"](model, data, dataclasses.replace(SMALL, budgets=(1.0,))) == []
    for entry in maps:
        meta = json.loads(entry["meta"])
        assert entry["image"].shape == (H, W, 3)
        assert entry["depth"].shape == entry["pred"].shape == (H, W)
        assert entry["keep"].sum() == math.ceil(round(meta["level"] * 12 * 16, 6))
        assert entry["masked"].shape == (12, 16, 3)
        row = table[
            (table["sample"] == meta["sample"]) & (table.factor == meta["factor"]) & (table.level == meta["level"])
        ]
        for name, number in meta["metrics"].items():
            assert number == pytest.approx(value(row, metric=name)[0], rel=1e-4, abs=1e-6)
        i = data.sample.index(meta["sample"])
        error = np.abs(entry["pred"] - entry["depth"]) / entry["depth"]
        assert np.isnan(entry["depth"]).sum() == (~data.valid[i]).sum()
        assert np.nanmean(error) == pytest.approx(meta["metrics"]["abs_rel"], rel=1e-4)


def test_galleries_of_large_images_are_thinned_out(monkeypatch):
    monkeypatch.setattr("depthprobe.probes.sparse_maps.LONGEST", 20)
    model, data = network(size=(12, 16)), batch(1)
    for entry in PROBES.facts("sparse")["maps"](model, data, SMALL):
        assert entry["image"].shape == (H // 2, W // 2, 3)
        assert entry["keep"].shape == (12, 16)
        judged = data.valid[0, 0, ::2, ::2].numpy()
        assert np.array_equal(entry["depth"][judged], data.depth[0, 0, ::2, ::2].numpy()[judged])
        assert entry["pred"].shape == (H // 2, W // 2)
