"""The context probe: the planted window first, then a loop that does one masked image at a time."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from sparse_cases import H, W, batch, network, value

from depthprobe.functional.alignment import align
from depthprobe.functional.filling import FILLS, fill_pixels
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.protocol import get_protocol
from depthprobe.functional.queries import query_pixels
from depthprobe.functional.selection import sample_seeds
from depthprobe.models import load_model
from depthprobe.probes.context import ContextPlan, context, windows

SMALL = ContextPlan(queries=3, radii=(1, 5), batch=5)


@pytest.mark.parametrize("planted", [0, 3, 7])
@pytest.mark.parametrize("fill", ["mean", "noise"])
def test_the_curve_of_a_window_is_exactly_flat_beyond_it(planted, fill):
    radii = (0, 2, 3, 4, 7, 8, 40)
    plan = ContextPlan(queries=6, radii=radii, fills=(fill,))
    table = context(load_model(f"oracle:window?r={planted}"), batch(), plan)
    for radius in radii:
        change = value(table, factor="visible", level=radius, metric="rmse_log@self")
        assert (change == 0).all() if radius >= planted else (change > 1e-4).all(), radius
    for metric in ("abs_rel", "abs_rel@near", "rmse_log@far"):
        whole = value(table, factor="whole", metric=metric)
        assert np.array_equal(value(table, factor="visible", level=8, metric=metric), whole)
    hidden = [value(table, factor="hidden", level=r, metric="abs_rel@self") for r in radii if r >= planted]
    assert all(np.array_equal(hidden[0], other) for other in hidden) or fill == "noise"
    assert (hidden[0] > 1e-3).all()


def test_lengths_in_pixels_of_one_height_compare_networks_that_read_other_sizes():
    """The same share of the image is seen by one that reads twice as many rows through a window twice as large."""
    plan = ContextPlan(queries=6, radii=(1, 2, 3, 4), height=H)
    for times, planted in ((1, 3), (2, 6), (3, 9)):
        model = load_model(f"oracle:window?r={planted}")
        model.card = dataclasses.replace(model.card, size=(times * H, times * W))
        table = context(model, batch(), plan)
        for radius in plan.radii:
            change = value(table, factor="visible", level=radius, metric="rmse_log@self")
            assert (change == 0).all() if radius >= 3 else (change > 1e-4).all(), (times, radius)


def test_a_stretched_network_is_asked_about_the_same_part_of_the_image():
    """Twice the columns: a window of the image that is square reaches twice as many of them across."""
    plan, model = ContextPlan(queries=3, radii=(1, 3), views=("visible",), height=H), network(size=(H, 2 * W))
    seen = []
    model.net.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    context(model, batch(1), plan)
    fill = (torch.tensor(model.card.fill).view(1, 3, 1, 1) - model.mean) / model.std
    shown = ((torch.cat(seen[1:]) - fill).abs() > 1e-5).any(1)
    assert int(shown.any(2).sum(1).max()) == 2 * 3 + 1, "rows of a window that no border cuts"
    assert int(shown.any(1).sum(1).max()) == 2 * 6 + 1, "columns"


def test_a_hidden_window_gives_the_depth_of_the_fill():
    model, data = load_model("oracle:window?r=3"), batch()
    table = context(model, data, ContextPlan(queries=3, radii=(3,), metrics=("mae",)))
    index, _ = query_pixels(data.depth, data.valid, 3, sample_seeds(data.sample, 0))
    want = (1 + 9 * sum(model.card.fill) / 3 - data.depth.flatten(1).gather(1, index)).abs().mean(1)
    assert np.allclose(value(table, factor="hidden", metric="mae"), want, rtol=1e-5)


def test_windows_are_square_and_cut_at_the_border():
    found = windows((5, 7), torch.tensor([0, 2 * 7 + 3]), torch.tensor([[1.0, 1.0], [1.5, 2.0]]))
    for j, (cy, cx, down, across) in enumerate([(0, 0, 1, 1), (2, 3, 1.5, 2)]):
        for y in range(5):
            for x in range(7):
                assert bool(found[j, 0, y, x]) == (abs(y - cy) <= down and abs(x - cx) <= across)


# --- a plain reference: one masked image at a time -------------------------------------------------------------------


def rule(name, pairs):
    if name == "abs_rel":
        return math.fsum(abs(z - g) / g for z, g in pairs) / len(pairs)
    return math.sqrt(math.fsum(math.log(z / g) ** 2 for z, g in pairs) / len(pairs))


def slow(model, data, plan):
    found = {}
    for i, sample in enumerate(data.sample):
        part = data.take([i])
        seeds, depth = sample_seeds(part.sample, plan.seed), part.depth[0, 0]
        index, _ = query_pixels(part.depth, part.valid, plan.queries, seeds)
        places = [divmod(int(q), W) for q in index[0]]
        with torch.no_grad():
            full = model(part.image)[0, 0]
        own = [float(full[p]) for p in places]
        truth = [float(depth[p]) for p in places]
        for view in plan.views:
            for radius in plan.radii:
                for fill in plan.fills:
                    seen = []
                    for y, x in places:
                        keep = torch.zeros(1, 1, H, W, dtype=torch.bool)
                        keep[:, :, max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1] = True
                        keep = keep if view == "visible" else ~keep
                        image = fill_pixels(fill, part.image, keep, seeds=seeds, mean=model.card.fill)
                        with torch.no_grad():
                            seen.append(float(model(image)[0, 0, y, x]))
                    n = plan.queries // 3
                    sets = {"": (seen, truth), "@self": (seen, own), "@near": (seen[:n], truth[:n])}
                    sets["@far"] = (seen[-n:], truth[-n:])
                    for suffix, (a, b) in sets.items():
                        for name in plan.metrics:
                            key = (sample, view, radius, fill, name + suffix)
                            found[key] = rule(name, list(zip(a, b, strict=True)))
    return found


def test_rows_equal_a_loop_over_single_windows():
    plan = ContextPlan(queries=6, radii=(0, 4), fills=("mean", "blur"), batch=7)
    model, data = network(), batch(2)
    table = context(model, data, plan)
    want = slow(model, data, plan)
    table = table[table.factor.isin(plan.views)]
    keys = zip(*(table[c] for c in ("sample", "factor", "level", "factor2", "metric")), strict=True)
    found = dict(zip(keys, table["value"], strict=True))
    assert set(found) == set(want) and len(found) == len(table)
    for key, number in want.items():
        assert found[key] == pytest.approx(number, rel=1e-4, abs=1e-6), key


def test_near_mid_and_far_are_thirds_of_the_whole_image():
    model, data = network(), batch(2)
    table = context(model, data, SMALL)
    with torch.no_grad():
        pred = model(data.image)
    total = 0
    for k, band in enumerate(("near", "mid", "far")):
        for i in range(2):
            judged = data.depth[i][data.valid[i]]
            low, high = judged.quantile(k / 3), judged.quantile((k + 1) / 3)
            mask = data.valid[i] & (data.depth[i] <= high) & ((data.depth[i] > low) | (k == 0))
            want = METRICS["abs_rel"](pred[i : i + 1], data.depth[i : i + 1], mask[None])
            found = value(table, factor="", metric=f"abs_rel@{band}", sample=data.sample[i])
            assert found == pytest.approx(float(want), rel=1e-4)
            total += int(mask.sum())
    assert total == int(data.valid.sum())


def test_the_fit_is_the_whole_images():
    """An affine disparity is judged in the metres in which its whole answer fits, also where it sees one window."""
    model, data = network("affine_disparity"), batch(1)
    model.net.last.weight.data *= 4
    plan = dataclasses.replace(SMALL, metrics=("abs_rel",))
    table = context(model, data, plan)
    index, _ = query_pixels(data.depth, data.valid, 3, sample_seeds(data.sample, 0))
    with torch.no_grad():
        full = model(data.image)
    aligned = align(full, data.depth, data.valid, kind="affine_disparity").flatten()[index[0]]
    depth = data.depth.flatten()[index[0]]
    whole = value(table, factor="whole", metric="abs_rel")
    assert whole == pytest.approx(float(((aligned - depth).abs() / depth).mean()), rel=1e-4)
    assert (value(table, factor="visible", level=1, metric="abs_rel@self") > 0).all()
    oracle = load_model("oracle:affine")
    oracle.net.given(data.depth)
    wide = dataclasses.replace(plan, radii=(40,), batch=1)
    assert np.allclose(value(context(oracle, data, wide), factor="visible", metric="abs_rel"), 0, atol=1e-5)


def test_the_number_of_forward_passes_is_what_the_plan_says():
    for plan in (SMALL, ContextPlan(queries=3, radii=(2,), fills=("mean", "black"), views=("hidden",))):
        model = network()
        context(model, batch(2), plan)
        assert sum(model.net.sizes) == 2 * plan.passes()
        assert max(model.net.sizes) <= plan.batch
    assert ContextPlan().passes() == 73


@pytest.mark.parametrize("fill", FILLS.names())
def test_every_fill_runs_even_if_nothing_is_kept(fill):
    table = context(network(), batch(1), dataclasses.replace(SMALL, radii=(0, 40), fills=(fill,)))
    assert np.isfinite(table["value"]).all()


def test_pixels_are_hidden_on_the_networks_own_canvas():
    model = network(size=(12, 16))
    table = context(model, batch(1), dataclasses.replace(SMALL, radii=(16,)))
    assert (value(table, factor="visible", metric="abs_rel@self") < 1e-6).all()


def test_only_judged_pixels_are_queries():
    data = batch(2)
    protocol = dataclasses.replace(get_protocol("scenes"), crop=(0, 8, 0, W), frame=(H, W))
    below = data.depth.clone()
    below[..., 8:, :] = 7.0
    tables = [
        context(network(), d, dataclasses.replace(SMALL, protocol=protocol)) for d in (data, data.replace(depth=below))
    ]
    assert np.array_equal(*(t["value"] for t in tables))
    valid = data.valid.clone()
    valid[1] = False
    table = context(network(), data.replace(valid=valid), SMALL)
    assert table[table["sample"] == data.sample[1]]["value"].isna().all()
    assert table[table["sample"] == data.sample[0]]["value"].notna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 4}, "multiple of 3"),
        ({"radii": ()}, "Expected `radii`"),
        ({"radii": (2, 2)}, "Expected `radii`"),
        ({"height": 0}, "Expected `height`"),
        ({"views": ("sideways",)}, "Expected `views`"),
        ({"fills": ("grey",)}, "Expected `fills`"),
        ({"metrics": ("grad_mae",)}, "Expected `metrics`"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(options, message):
    with pytest.raises(ValueError, match=message):
        ContextPlan(**options)
