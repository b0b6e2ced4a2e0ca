"""The sparse probe: planted answers first, then a loop that does one mask at a time."""

import dataclasses

import numpy as np
import pytest
import tiny
import torch
from sparse_cases import SMALL, H, W, batch, network, one, value

from depthprobe.data import stack
from depthprobe.functional.filling import FILLS, fill_pixels
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import Protocol, evaluate
from depthprobe.functional.quantities import enrichment, share
from depthprobe.functional.regions import regions
from depthprobe.functional.selection import SELECTORS, keep_top, rank_pixels, sample_seeds
from depthprobe.models import load_model
from depthprobe.probes.sparse import SparsePlan, sparse

# --- planted answers -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["mean", "black"])
def test_the_planted_support_is_recovered(fill):
    """Keeping exactly the planted pixels changes nothing; removing exactly them changes as much as removing all."""
    model = load_model("oracle:support?share=0.05&seed=3")
    planted = model.net.support(H, W)
    data = batch()
    data = data.replace(image=0.5 + data.image / 2, maps={"rank": planted.float().expand(4, 1, -1, -1)})
    exact = float(planted.float().mean())
    plan = SparsePlan(selectors=("rank_map",), reverse=("rank_map",), budgets=(exact, 1 - exact, 1.0), fills=(fill,))
    table = sparse(model, data, plan)
    assert np.abs(value(table, factor="rank_map", level=exact, metric="abs_rel@self")).max() == 0
    assert np.abs(value(table, factor="rank_map", level=1.0, metric="abs_rel@self")).max() == 0
    assert value(table, factor="rank_map", level=exact, metric="delta1@self").min() == 1
    seen = data.image[:, :, planted].mean((1, 2))
    hidden = {"mean": sum(model.card.fill) / 3, "black": 0}[fill]
    full_change = (torch.exp(seen - hidden) - 1).numpy()  # the oracle is a ramp times exp(1 - brightness)
    found = value(table, factor="rank_map.reversed", level=1 - exact, metric="abs_rel@self")
    assert np.allclose(found, full_change, rtol=1e-4)
    half = dataclasses.replace(plan, selectors=("random",), reverse=(), budgets=(0.01, 0.5))
    some = sparse(model, data, half)
    assert (value(some, level=0.01, metric="abs_rel@self") > 0.8 * full_change).all()
    assert (value(some, level=0.5, metric="abs_rel@self") < 0.8 * full_change).all()


def test_a_model_of_rows_needs_no_pixel_at_all():
    table = sparse(load_model("oracle:row"), batch(), dataclasses.replace(SMALL, fills=("mean", "noise", "nearest")))
    assert np.abs(value(table, metric="abs_rel@self")).max() == 0
    errors = table[table.metric == "abs_rel"].groupby("sample")["value"]
    assert errors.nunique().eq(1).all()


def test_removing_a_pixel_from_a_linear_model_costs_its_weight():
    model, data = load_model("oracle:linear"), batch()
    data = data.replace(maps={"rank": torch.rand(4, 1, H, W, generator=torch.Generator().manual_seed(1))})
    plan = SparsePlan(selectors=("rank_map",), reverse=(), budgets=(0.4, 1.0), protocol=mae_protocol(), where=False)
    table = sparse(model, data, plan)
    keep = keep_top(rank_pixels("rank_map", data.image, seeds=sample_seeds(data.sample, 0), maps=data.maps), 0.4)
    colour = torch.tensor(model.card.fill).view(3, 1, 1)
    lost = (model.net.weights(H, W) * (data.image - colour)).sum(1, keepdim=True).abs() * ~keep
    judged = data.valid & (data.depth < 80)
    want = (lost * judged).sum((1, 2, 3)) / judged.sum((1, 2, 3))
    assert np.allclose(value(table, level=0.4, metric="mae@self"), want, rtol=1e-5)


def mae_protocol():
    return Protocol(name="mae", metrics=("mae", "abs_rel"))


# --- a plain reference: one mask at a time ---------------------------------------------------------------------------


def slow(model, data, plan):
    """Every row by its own forward pass, through the public functions alone."""
    found, kind = {}, model.card.output
    for i, sample in enumerate(data.sample):
        part = data.take([i])
        full = model(part.image).detach()
        seeds = sample_seeds(part.sample, plan.seed)
        for order in plan.orders():
            rank = rank_pixels(
                order, part.image, seeds=seeds, depth=part.depth, valid=part.valid,
                intrinsics=part.intrinsics, maps=part.maps,
            )  # fmt: skip
            for budget in plan.budgets:
                keep = keep_top(rank, budget)
                for fill in plan.fills:
                    masked = fill_pixels(fill, part.image, keep, seeds=seeds, mean=model.card.fill)
                    with torch.no_grad():
                        pred = model(masked)
                    for name, v in evaluate(pred, part.depth, part.valid, kind=kind, protocol=plan.protocol).items():
                        found[sample, order, budget, fill, name] = float(v)
                    if kind == "metric_depth":
                        own = full.clamp(plan.protocol.min_depth, plan.protocol.max_depth)
                        judged = part.valid & (part.depth < plan.protocol.max_depth)
                        for name in plan.protocol.metrics:
                            found[sample, order, budget, fill, f"{name}@self"] = float(METRICS[name](pred, own, judged))
                for region, mask in regions(part.image, part.depth, part.valid).items():
                    kept = keep & part.valid
                    found[sample, order, budget, "", f"share@{region}"] = float(share(kept, mask))
                    found[sample, order, budget, "", f"enrichment@{region}"] = float(enrichment(kept, mask, part.valid))
    return found


@pytest.mark.parametrize("output", ["metric_depth", "affine_disparity"])
def test_rows_equal_a_loop_over_single_masks(output):
    plan = SparsePlan(
        selectors=("random", "depth_edges", "superpixel"), reverse=("depth_edges",), budgets=(0.05, 0.3, 1.0),
        fills=("mean", "noise", "nearest"), batch=7,
    )  # fmt: skip
    model, data = network(output), batch(2)
    table = sparse(model, data, plan)
    columns = [table[c] for c in ("sample", "factor", "level", "factor2", "metric")]
    found = dict(zip(zip(*columns, strict=True), table["value"], strict=True))
    want = slow(model, data, plan)
    if output == "metric_depth":
        assert set(found) == set(want)
    assert len(found) == len(table)
    for key, number in want.items():
        assert found[key] == pytest.approx(number, rel=1e-4, abs=1e-5, nan_ok=True), key


@pytest.mark.parametrize("name", SELECTORS.names())
def test_every_selector_runs_forwards_and_backwards(name):
    plan = SparsePlan(selectors=(name,), reverse=(name,), budgets=(0.2, 1.0))
    table = sparse(tiny.attending(), batch(2), plan)
    assert set(table.factor) == {name, f"{name}.reversed"}
    assert table[table.level == 1].value.notna().all()
    assert table[~table.metric.str.startswith("enrichment")].value.notna().all()


@pytest.mark.parametrize("name", FILLS.names())
def test_every_fill_runs_and_the_whole_image_does_not_depend_on_it(name):
    table = sparse(network(), batch(2), dataclasses.replace(SMALL, fills=(name,)))
    plain = sparse(network(), batch(2), SMALL)
    whole = [value(t, level=1.0, metric="abs_rel", factor="random") for t in (table, plain)]
    assert np.array_equal(*whole)


def test_random_pixels_lie_everywhere_and_edges_on_edges():
    table = sparse(
        network(), stack([one(i, (48, 64)) for i in range(6)]), SparsePlan(selectors=("random", "depth_edges"))
    )
    mean = table[table.metric == "enrichment@depth_edge"].groupby(["factor", "level"]).value.mean()
    assert mean["random", 0.5] == pytest.approx(1, abs=0.1)
    assert mean["depth_edges", 0.02] > 5
    assert np.allclose(value(table, level=1.0, metric="enrichment@flat", factor="random"), 1)
    bands = table[table.metric.isin(["share@near", "share@mid", "share@far"])]
    total = bands.groupby(["sample", "factor", "level"]).value.sum()
    assert np.allclose(total, 1)
