"""What every registered probe keeps to (DESIGN, invariants 2 and 3), from the moment it is registered."""

import copy
import dataclasses
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny
import torch

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import METRICS
from depthprobe.models import DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.schema import MEASURED
from depthprobe.study import quick_plan

MODELS = {"tiny:net": tiny.model, "oracle:row": lambda: load_model("oracle:row")}
AXES = ("layer", "factor", "level", "factor2", "level2")
CASES = list(itertools.product(PROBES.names(), MODELS))


@pytest.fixture(scope="module")
def batch():
    return load_dataset("scenes", n=4, size=(40, 52), batch_size=4).load(range(4))[0]


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def case(request):
    probe, model = request.param
    return PROBES[probe], MODELS[model](), quick_plan(probe)


@pytest.fixture(params=PROBES.names())
def probe(request):
    return request.param


def by_key(frame):
    return frame.sort_values(MEASURED[:-1], na_position="first", ignore_index=True)


class Tripping(DepthModel):
    """A model that raises on its k-th forward pass."""

    def __init__(self, k):
        model = tiny.model()
        super().__init__(model.net, model.card)
        self.left = k

    def forward(self, image):
        if self.left == 0:
            raise ArithmeticError("tripped")
        self.left -= 1
        return super().forward(image)


def snapshot(model, batch):
    """Everything that a probe must leave alone."""
    hooks = [
        (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks), len(m._backward_pre_hooks))
        for m in model.modules()
    ]
    return {
        "state": {k: v.clone() for k, v in model.state_dict().items()},
        "grads": {k: None if p.grad is None else p.grad.clone() for k, p in model.named_parameters()},
        "requires": {k: p.requires_grad for k, p in model.named_parameters()},
        "modes": [m.training for m in model.modules()],
        "hooks": hooks,
        "forwards": [m.__dict__.get("forward") for m in model.modules()],
        "image": batch.image.clone(),
        "depth": batch.depth.clone(),
        "valid": batch.valid.clone(),
        "maps": {k: v.clone() for k, v in batch.maps.items()},
        "torch": torch.get_rng_state(),
        "numpy": copy.deepcopy(np.random.get_state(legacy=False)),  # noqa: NPY002  (it is the global state we watch)
        "python": random.getstate(),
        "grad mode": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "default": torch.get_default_dtype(),
    }


def off_the_clock(frame):
    """The rows with 1 in the place of what a clock said: only that it said something must be the same each time."""
    timed = frame["metric"].map(lambda name: bool(METRICS.facts(name.partition("@")[0]).get("timing"))).to_numpy(bool)
    assert (frame.loc[timed, "value"] > 0).all()
    return frame.assign(value=frame["value"].where(~timed, 1.0))


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return a == b


def changed(before, after):
    return [name for name in before if not equal(before[name], after[name])]


def test_same_arguments_same_rows(case, batch):
    function, model, plan = case
    first, second = (off_the_clock(function(model, batch, plan)) for _ in range(2))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


@pytest.mark.parametrize("name", PROBES.names())
def test_a_probe_that_reads_a_clock_says_so(name, batch):
    """Rows that differ each time must not be kept for another run, nor compared between two."""
    metrics = PROBES[name](tiny.model(), batch.take([0]), quick_plan(name))["metric"].unique()
    timed = any(METRICS.facts(metric.partition("@")[0]).get("timing") for metric in metrics)
    assert timed == bool(PROBES.facts(name).get("timing"))


def test_rows_have_the_measured_columns_and_known_metrics(case, batch):
    function, model, plan = case
    frame = function(model, batch, plan)
    assert list(frame.columns) == MEASURED
    assert set(frame["sample"]) == set(batch.sample)
    assert {m.partition("@")[0] for m in frame["metric"].unique()} <= set(METRICS)
    assert not frame.duplicated(MEASURED[:-1]).any()
    assert not np.isinf(frame["value"]).any()
    assert frame["value"].notna().any()


@pytest.mark.parametrize("training", [False, True])
def test_everything_is_left_as_it_was(probe, batch, training):
    model = tiny.model().train(training)
    model.net.norm.eval()
    for i, parameter in enumerate(model.parameters()):
        parameter.grad = None if i == 0 else torch.full_like(parameter, i)
    before = snapshot(model, batch)
    PROBES[probe](model, batch, quick_plan(probe))
    assert changed(before, snapshot(model, batch)) == []


@pytest.mark.parametrize("k", [0, 1, 3])
def test_everything_is_left_as_it_was_when_it_raises_half_way(probe, batch, k):
    model = Tripping(k).train()
    model.net.norm.eval()
    before = snapshot(model, batch)
    try:
        PROBES[probe](model, batch, quick_plan(probe))
    except ArithmeticError:
        assert changed(before, snapshot(model, batch)) == []
    else:
        assert model.left > 0 or k > 0, "the probe never asked the model"


def test_the_snapshot_sees_changes(batch):
    model = tiny.model()
    before = snapshot(model, batch)
    model.train()
    model.net.norm.running_mean += 1
    model.net.first.register_forward_hook(lambda *_: None)
    next(model.parameters()).grad = torch.ones(8, 3, 3, 3)
    state = torch.get_rng_state()
    torch.rand(1)
    found = changed(before, snapshot(model, batch))
    torch.set_rng_state(state)
    assert found == ["state", "grads", "modes", "hooks", "torch"]


def test_batching_does_not_matter(case, batch):
    function, model, plan = case
    whole = function(model, batch, plan)
    singles = pd.concat([function(model, batch.take([i]), plan) for i in (2, 0, 3, 1)])
    pd.testing.assert_frame_equal(by_key(off_the_clock(whole)), by_key(off_the_clock(singles)), rtol=1e-4, atol=1e-5)


def test_the_seed_changes_values_alone_never_what_is_measured(probe, batch):
    model, plan = tiny.model(), quick_plan(probe)
    first = PROBES[probe](model, batch.take([0]), plan)
    second = PROBES[probe](model, batch.take([0]), dataclasses.replace(plan, seed=plan.seed + 1))
    assert by_key(first)[MEASURED[:-1]].equals(by_key(second)[MEASURED[:-1]])


def test_the_facts_of_a_probe(probe, batch):
    facts, plan = PROBES.facts(probe), quick_plan(probe)
    assert dataclasses.is_dataclass(plan)
    assert type(plan).__dataclass_params__.frozen
    assert isinstance(plan.seed, int)
    hash(plan)
    axes = facts.get("axes", {})
    assert set(axes) <= set(AXES)
    assert len(set(axes.values())) == len(axes)
    frame = PROBES[probe](tiny.model(), batch, plan)
    assert {c for c in AXES if frame[c].nunique() > 1} <= set(axes), "an axis that varies has a reader's name"


def test_the_readme_says_what_every_probe_asks(probe):
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in readme.splitlines() if line.startswith("| `")]
    assert sum(f"`{probe}`" in row for row in rows) == 1


@pytest.mark.parametrize("name", [p for p in PROBES if "maps" in PROBES.facts(p)])
def test_maps_are_what_galleries_read(name, batch):
    model, one = tiny.model().train(), batch.take([1])
    before = snapshot(model, one)
    entries = PROBES.facts(name)["maps"](model, one, quick_plan(name))
    assert changed(before, snapshot(model, one)) == []
    assert entries
    for entry in entries:
        assert entry["image"].dtype == np.uint8
        height, width = entry["image"].shape[:2]
        assert entry["depth"].shape == (height, width)
        assert entry["pred"].dtype == np.float32
        meta = entry["meta"]
        meta = json.loads(meta) if isinstance(meta, str) else meta
        assert meta["sample"] == one.sample[0]
        assert {m.partition("@")[0] for m in meta.get("metrics", {})} <= set(METRICS)
