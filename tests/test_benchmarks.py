"""The benchmark of the probes: passes are counted right, those that plans state are made, whatever is registered."""

import importlib
from pathlib import Path

import pytest
import tiny
import torch

from depthprobe.data import load_dataset
from depthprobe.models import load_model
from depthprobe.probes import PROBES
from depthprobe.study import probe_plans, quick_plan

STATED = [p for p in PROBES if hasattr(quick_plan(p), "passes")]


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        yield importlib.import_module("benchmarks.probes")


@pytest.fixture(scope="module")
def batch():
    return load_dataset("scenes", n=2, size=(24, 32), batch_size=2).load(range(2))[0]


def counted(bench, model, batch, probe, plan):
    with bench.counting(model) as count:
        PROBES[probe](model, batch, plan)
    return count


def test_images_are_counted_there_and_back_and_again(bench):
    model = tiny.model()
    image = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with bench.counting(model) as count:
        model(image)
        model(torch.cat([image[:1], image[1:] * 0.5]))
        out = model(image.clone().requires_grad_()).flatten(1)
        for pixel in range(2):
            torch.autograd.grad(out[:, pixel].sum(), next(iter(model.parameters())), retain_graph=True)
        with torch.no_grad():
            next(model.parameters()).mul_(2)
        model(image)
    assert (count.forward, count.backward, count.again) == (12, 6, 4)
    assert not model._forward_hooks


@pytest.mark.parametrize("probe", STATED)
def test_a_probe_makes_the_passes_that_its_plan_states(bench, batch, probe):
    for plan in (quick_plan(probe), probe_plans(probe, {}, ("scenes",))[0]):
        assert counted(bench, tiny.model(), batch, probe, plan).forward == plan.passes() * len(batch)


def test_plans_state_their_passes():
    assert {"attention", "context", "corruption", "receptive_field", "sanity", "sparse"} <= set(STATED)


@pytest.mark.parametrize("probe", ["context", "continuity", "corruption", "error", "sanity", "sparse", "texture"])
def test_no_image_is_read_twice(bench, probe):
    one = load_dataset("scenes", n=1, size=(48, 64)).load([0])[0]
    assert counted(bench, tiny.model(), one, probe, quick_plan(probe)).again == 0


def test_a_receptive_field_costs_a_backward_pass_per_query(bench, batch):
    plan = quick_plan("receptive_field")
    assert counted(bench, tiny.model(), batch, "receptive_field", plan).backward == plan.queries * len(batch)


def test_every_registered_probe_has_a_line_or_a_reason(bench, batch, capsys):
    with tiny.register():
        bench.report(tiny.model(family="transformer"), batch, PROBES.names(), "scenes", quick=True)
    lines = {line.split()[0].strip(":"): line.split() for line in capsys.readouterr().out.splitlines() if line.strip()}
    assert set(PROBES) | {"tiny_gain"} <= set(lines)
    assert lines["tiny_gain"][1:5] == ["quick", "2.0", "0.0", "0.0"]
    assert " ".join(lines["attention"]).startswith("attention: does not run here. Expected attention layers")


def test_the_command(bench, capsys):
    bench.main(["--quick", "--models", "oracle:row", "--probes", "error", "context", "--images", "1"])
    found = capsys.readouterr().out
    assert "oracle:row, 1 images read at" in found and "default" not in found
    wanted = f"{quick_plan('context').passes()}.0"
    assert [line.split()[2] for line in found.splitlines()[3:]] == ["1.0", wanted]
    bench.report(load_model("oracle:row"), tiny.sample(0), ["cues"], "scenes", quick=True)
    assert "cues: does not run here. Expected a data set with edits" in capsys.readouterr().out
