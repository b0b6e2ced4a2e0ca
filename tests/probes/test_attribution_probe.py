"""The attribution probe: true attributions make the best curves, shuffled weights are seen, all of it is undone."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
import tiny
import torch
from sparse_cases import H, W, batch, network, value
from torch import nn

from depthprobe.functional.attribution import ATTRIBUTIONS
from depthprobe.functional.protocol import get_protocol
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.probes.attribution import AttributionPlan, attribution, attribution_maps
from depthprobe.probes.attribution_plan import make_target, parse_target
from depthprobe.probes.attribution_sanity import layers_with_weights, randomised
from depthprobe.probes.sparse_jobs import Canvas

SHARES = (0.05, 0.2, 0.5, 0.9)
PLAN = AttributionPlan(
    methods=("integrated_gradients", "saliency", "occlusion"), targets=("mean",), metrics=("mae",), shares=SHARES,
    checks=(), randomise=(), window=4, stride=2,
)  # fmt: skip


@pytest.mark.parametrize(("name", "fill"), [("oracle:linear", "mean"), ("oracle:support?share=0.1&seed=2", "black")])
def test_the_deletion_curve_of_the_true_attribution_is_the_best_of_all_orders(name, fill):
    table = attribution(load_model(name), batch(2), dataclasses.replace(PLAN, fill=fill, curves=("deletion",)))
    orders = set(table["factor"])
    assert orders == {*PLAN.methods, "random", "centre"}
    for share in SHARES:
        found = {o: value(table, factor=o, level=share, metric="mae@deletion.self") for o in orders}
        best = found.pop("integrated_gradients")
        for other in found.values():
            assert (best >= other * (1 - 1e-6) - 1e-7).all()
        assert (best > 2 * found["random"]).all() if share == 0.05 else True


def test_insertion_of_the_planted_pixels_brings_the_whole_answer_back():
    plan = dataclasses.replace(PLAN, shares=(0.1, 0.5), curves=("insertion",))
    model = load_model("oracle:support?share=0.1&seed=2")
    table = attribution(model, batch(2), plan)
    count = int(model.net.support(H, W).sum())
    assert count == int(np.ceil(0.1 * H * W))
    for share in (0.1, 0.5):
        assert (value(table, factor="integrated_gradients", level=share, metric="mae@insertion.self") < 1e-5).all()
    assert (value(table, factor="random", level=0.1, metric="mae@insertion.self") > 1e-3).all()


def test_curves_are_those_of_the_sparse_probe():
    """Deletion keeps the reversed order's top, insertion the order's; ROAD fills in from the others."""
    from depthprobe.probes.sparse import SparsePlan, sparse

    model, data = network(), batch(2)
    table = attribution(
        model, data, dataclasses.replace(PLAN, methods=("saliency",), shares=(0.25,), metrics=("abs_rel",))
    )
    plan = SparsePlan(
        selectors=("centre",), reverse=("centre",), budgets=(0.25, 0.75), fills=("mean", "road"), where=False
    )
    known = sparse(model, data, plan)
    pairs = {"deletion": ("centre.reversed", 0.75, "mean"), "insertion": ("centre", 0.25, "mean"),
             "road": ("centre.reversed", 0.75, "road")}  # fmt: skip
    for curve, (factor, level, fill) in pairs.items():
        for ours, theirs in ((f"abs_rel@{curve}", "abs_rel"), (f"abs_rel@{curve}.self", "abs_rel@self")):
            got = value(table, factor="centre", metric=ours)
            want = value(known, factor=factor, level=level, factor2=fill, metric=theirs)
            np.testing.assert_allclose(got, want, rtol=1e-5)


def test_checks_are_made_where_they_mean_something():
    plan = dataclasses.replace(
        PLAN, methods=("gradient", "integrated_gradients"), curves=(), randomise=(1.0,), perturbations=4,
        checks=("completeness_gap", "infidelity", "sensitivity_max"),
    )  # fmt: skip
    table = attribution(load_model("oracle:linear"), batch(2), plan)
    assert (value(table, metric="completeness_gap", factor="integrated_gradients") < 1e-4).all()
    assert len(value(table, metric="completeness_gap", factor="gradient")) == 0
    assert (value(table, metric="infidelity") < 1e-4).all()
    assert (value(table, metric="sensitivity_max", factor="gradient") < 1e-5).all()
    assert np.isnan(value(table, metric="rank_correlation@random_weights")).all(), "an oracle has no weights"


def test_every_contribution_is_held_against_its_own_baseline():
    """Gradient times intensity says what black would change; against grey the true answer would seem incomplete."""
    plan = dataclasses.replace(
        PLAN, methods=("input_x_gradient", "integrated_gradients"), curves=(), perturbations=2,
        checks=("completeness_gap", "infidelity"),
    )  # fmt: skip
    table = attribution(load_model("oracle:linear"), batch(2), plan)
    for method in plan.methods:
        assert (value(table, metric="completeness_gap", factor=method) < 1e-4).all()
        assert (value(table, metric="infidelity", factor=method) < 1e-4).all()


def test_targets_count_where_the_protocol_judges():
    model, data = network(), batch(3)
    near = dataclasses.replace(get_protocol("scenes"), max_depth=2.4)
    plan = dataclasses.replace(
        PLAN, methods=("gradient",), targets=("region:far",), curves=(), checks=("sensitivity_max",), perturbations=2
    )
    assert (data.valid & (data.depth > 2.4)).any()
    capped = attribution(model, data, dataclasses.replace(plan, protocol=near))
    invalid = attribution(model, data.replace(valid=data.valid & (data.depth < 2.4)), plan)
    np.testing.assert_array_equal(value(capped, metric="sensitivity_max"), value(invalid, metric="sensitivity_max"))


class Deaf(nn.Module):
    """Weights that decide nothing: its attribution is that of pixels' brightness, whatever the weights."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return 3 + x.square().mean(1, keepdim=True) + 0 * self.idle(x).sum(1, keepdim=True)


def test_a_map_that_does_not_depend_on_the_weights_is_seen():
    plan = dataclasses.replace(PLAN, methods=("saliency",), curves=(), randomise=(1.0,))
    card = ModelCard(name="deaf", tag="x", family="cnn", output="metric_depth")
    deaf = value(attribution(DepthModel(Deaf(), card), batch(3), plan), metric="rank_correlation@random_weights")
    learned = value(attribution(network(), batch(3), plan), metric="rank_correlation@random_weights")
    assert (deaf > 0.999).all()
    assert (np.abs(learned) < 0.9).all()


def test_weights_are_shuffled_from_the_output_backwards_and_come_back():
    model = tiny.model()
    before = {name: p.clone() for name, p in model.named_parameters()}
    assert [type(m).__name__ for m in layers_with_weights(model)] == ["Conv2d", "BatchNorm2d", "Conv2d"]
    for share, changed in (
        (0.3, {"net.last.weight"}),
        (1.0, {"net.first.weight", "net.first.bias", "net.last.weight"}),
    ):
        with contextlib.suppress(ArithmeticError), randomised(model, share, 0):
            now = dict(model.named_parameters())
            assert {name for name in now if not torch.equal(now[name], before[name])} == changed
            assert all(torch.equal(now[n].flatten().sort().values, before[n].flatten().sort().values) for n in now)
            raise ArithmeticError
        assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_a_larger_share_shuffles_the_layers_of_a_smaller_one_alike():
    model = tiny.model()
    found = []
    for share in (0.3, 1.0):
        with randomised(model, share, 0):
            found.append(model.net.last.weight.clone())
    assert torch.equal(*found) and not torch.equal(found[0], model.net.last.weight)


def test_a_target_that_an_image_lacks_is_undefined_there_alone():
    data = batch(3)
    data = data.replace(valid=data.valid & torch.tensor([True, False, True]).view(3, 1, 1, 1))
    plan = dataclasses.replace(PLAN, methods=("saliency",), targets=("edge_gradient",), randomise=(1.0,), shares=(0.2,))
    table = attribution(network(), data, plan)
    rows = table[table["factor"] == "saliency"]
    missing = rows[rows["sample"] == data.sample[1]]["value"]
    assert len(missing) and missing.isna().all()
    assert rows[rows["sample"] != data.sample[1]]["value"].notna().all()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("mean", "mean"), ("pixel:0.5:1", "pixel"), ("region:far", "region"), ("contrast:far:near", "contrast"),
     ("band:2:2.5", "band"), ("edge_gradient", "edge_gradient"), ("error", "error")],
)  # fmt: skip
def test_targets_are_read_and_made(text, kind):
    data, model = batch(2), network()
    canvas = Canvas.of(model, data, 0)
    target = make_target(text, model, canvas, canvas.valid)
    assert target.name == kind
    pred = data.depth
    got = target(pred)
    valid = data.valid
    cuts = [torch.quantile(data.depth[i][valid[i]], torch.tensor([1 / 3, 2 / 3])) for i in range(2)]
    for i in range(2):
        z, ok = data.depth[i], valid[i]
        far, near = z[ok & (z > cuts[i][1])].mean(), z[ok & (z <= cuts[i][0])].mean()
        want = {
            "mean": z.mean(), "pixel": z[0, H // 2, W - 1], "region": far, "contrast": far - near,
            "band": z[ok & (z >= 2) & (z < 2.5)].mean(), "error": torch.tensor(0.0),
        }  # fmt: skip
        if kind in want:
            torch.testing.assert_close(got[i], want[kind], rtol=1e-4, atol=1e-6)
    assert got.isfinite().all()


@pytest.mark.parametrize(
    ("text", "said"),
    [("region", "to have 1 arguments"), ("mean:far", "to have 0 arguments"), ("region:sky", "Expected `region` to be"),
     ("pixel:a:0", "Expected numbers"), ("band:1:-2", "Expected numbers"), ("regions:far", "Did you mean `region`")],
)  # fmt: skip
def test_a_target_that_cannot_be_read_is_explained(text, said):
    with pytest.raises(ValueError, match=said):
        parse_target(text)


def test_an_error_in_metres_needs_a_network_in_metres():
    plan = dataclasses.replace(PLAN, targets=("error",), methods=("saliency",), curves=(), where=False)
    with pytest.raises(ValueError, match="Expected a network of metric_depth for target `error`"):
        attribution(network("affine_disparity"), batch(1), plan)
    assert len(attribution(network(), batch(1), dataclasses.replace(plan, randomise=(1.0,)))) == 1


@pytest.mark.parametrize("method", ATTRIBUTIONS.names())
def test_every_method_runs_in_the_probe(method):
    plan = dataclasses.replace(
        PLAN, methods=(method,), shares=(0.2,), curves=("deletion",), randomise=(1.0,), steps=3, samples=2, window=8,
        stride=8, size=8, perturbations=2, checks=("infidelity", "sensitivity_max"),
    )  # fmt: skip
    table = attribution(tiny.attending(), batch(1), plan)
    rows = table[table["factor"] == method]
    assert rows[rows["metric"] != "infidelity"]["value"].notna().all()
    assert rows[rows["metric"] == "infidelity"]["value"].notna().all() == ATTRIBUTIONS.facts(method)["signed"]


def test_galleries_show_where_the_score_lies():
    model, data = load_model("oracle:support?share=0.1&seed=2"), batch(2)
    entries = attribution_maps(model, data, dataclasses.replace(PLAN, methods=("integrated_gradients",)))
    planted = model.net.support(H, W).numpy()
    assert [json.loads(e["meta"])["sample"] for e in entries] == list(data.sample)
    for entry in entries:
        assert (entry["score"][planted] > 0).all() and (entry["score"][~planted] < 1e-6 * entry["score"].max()).all()


def test_plan_is_checked():
    assert AttributionPlan(methods=["saliency"]).methods == ("saliency",)
    assert AttributionPlan(steps=8).options("integrated_gradients") == {"steps": 8}
    assert AttributionPlan().options("smoothgrad") == {"samples": 16, "deviation": 0.1}
    for wrong, said in (
        ({"methods": ()}, "Expected `methods` to list different"),
        ({"methods": ("lime",)}, "Expected `method` to be one of"),
        ({"curves": ("delete",)}, "Expected `curves` to be one of"),
        ({"shares": (0.0,)}, "Expected `share` to be in"),
        ({"steps": 0}, "Expected `steps` to be in"),
        ({"metrics": ("abs_rell",)}, "Did you mean `abs_rel`"),
    ):
        with pytest.raises(ValueError, match=said):
            AttributionPlan(**wrong)
