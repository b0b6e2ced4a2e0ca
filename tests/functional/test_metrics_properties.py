"""What holds for every registered metric, whatever it is."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depthprobe.functional.metrics import INVARIANCES, METRICS, Terms, Truth, all_metrics, measure
from depthprobe.schema import BETTER

NAMES = [n for n in METRICS.names() if METRICS.facts(n).get("scope") == "pixel" and n != "failed"]
TRANSFORMS = {
    "scale": lambda z, g: (1.7 * z, g),
    "units": lambda z, g: (0.4 * z, 0.4 * g),
    "swap": lambda z, g: (g, z),
    "inverse": lambda z, g: (1 / z, 1 / g),
}


def example(batch=3, h=6, w=8, seed=1):
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, h, w, generator=rng, dtype=torch.float64) * 8 + 0.5
    pred = depth * torch.exp(0.15 + 0.5 * torch.randn(depth.shape, generator=rng, dtype=torch.float64))
    valid = torch.ones(depth.shape, dtype=torch.bool)
    valid[:, :, 2:4, 1:7] = False
    return pred, depth, valid


@pytest.mark.parametrize("name", METRICS.names())
def test_facts(name):
    facts = METRICS.facts(name)
    assert facts["better"] in BETTER
    assert facts["source"]
    assert facts["unit"]
    assert METRICS[name].__doc__
    assert set(facts.get("invariant", ())) <= set(INVARIANCES)


@pytest.mark.parametrize("name", NAMES)
def test_perfect_prediction_has_the_stated_best_value(name):
    pred, depth, valid = example()
    facts = METRICS.facts(name)
    best, got = METRICS[name](depth, depth, valid), METRICS[name](pred, depth, valid)
    assert best.tolist() == pytest.approx([facts["perfect"]] * 3, abs=1e-12)
    assert bool((got > best).all() if facts["better"] == "lower" else (got < best).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", [math.nan, math.inf, -1.0, 0.0])
def test_invalid_pixels_have_no_effect(name, junk):
    pred, depth, valid = example()
    want = METRICS[name](pred, depth, valid)
    assert torch.equal(METRICS[name](pred.where(valid, junk), depth.where(valid, junk), valid), want)


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS.facts(n)["differentiable"]])
def test_invalid_pixels_get_no_gradient_even_if_nan(name):
    pred, depth, valid = example()
    z = pred.where(valid, torch.nan).requires_grad_()
    METRICS[name](z, depth, valid).sum().backward()
    assert bool(z.grad.isfinite().all())
    assert not bool(z.grad[~valid].any())


@pytest.mark.parametrize("name", NAMES)
def test_empty_mask_gives_nan_and_leaves_the_other_samples_alone(name):
    pred, depth, valid = example()
    want = METRICS[name](pred, depth, valid)
    valid[1] = False
    got = METRICS[name](pred, depth, valid)
    assert bool(got[1].isnan())
    assert torch.equal(got[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("kind", sorted(INVARIANCES))
@pytest.mark.parametrize("name", NAMES)
def test_declared_invariances_hold_and_no_others(name, kind):
    pred, depth, valid = example()
    want = METRICS[name](pred, depth, valid)
    got = METRICS[name](*TRANSFORMS[kind](pred, depth), valid)
    same = torch.allclose(got, want, rtol=1e-10, atol=1e-10)
    assert same == (kind in METRICS.facts(name)["invariant"]), (got, want)


def test_sharing_and_batching_do_not_change_a_number():
    pred, depth, valid = (x.float() if x.dtype == torch.float64 else x for x in example(batch=4))
    together = all_metrics(pred, depth, valid, [*NAMES, "failed"])
    for name, value in together.items():
        alone = torch.cat([METRICS[name](pred[i : i + 1], depth[i : i + 1], valid[i : i + 1]) for i in range(4)])
        torch.testing.assert_close(value, alone, rtol=0, atol=0, msg=name)


@pytest.mark.parametrize("index", [[0, 0, 0], [2, 0, 2]])
def test_one_truth_for_many_predictions(index):
    pred, depth, valid = example()
    shared = measure(Terms(pred, Truth(depth, valid), index), NAMES)
    copied = all_metrics(pred, depth[index], valid[index], NAMES)
    assert all(torch.equal(shared[name], copied[name]) for name in NAMES)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.floats(0.01, 2.0))
def test_orderings_between_metrics(seed, spread):
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(1, 1, 4, 5, generator=rng, dtype=torch.float64) * 9 + 0.1
    pred = depth * torch.exp(spread * torch.randn(depth.shape, generator=rng, dtype=torch.float64))
    m = {k: float(v) for k, v in all_metrics(pred, depth, torch.ones_like(depth).bool(), NAMES).items()}
    assert m["tau"] <= m["delta1"] <= m["delta2"] <= m["delta3"] <= 1
    assert m["mae"] <= m["rmse"] * (1 + 1e-12)
    assert m["silog"] <= m["silog_unbiased"]
    assert m["silog"] <= m["log_rmse"] * (1 + 1e-12)
    assert m["d1_outlier"] == pytest.approx(100 * (1 - m["delta1"]))
    assert m["log_rmse"] == pytest.approx(100 * m["rmse_log"])


def test_refusals_name_the_argument_and_the_known_names():
    pred, depth, valid = example()
    with pytest.raises(ValueError, match=r"Expected `depth` to have shape \(b 1 h w\) with w=8"):
        METRICS["abs_rel"](pred, depth[..., :5], valid)
    with pytest.raises(ValueError, match="Did you mean `abs_rel`"):
        all_metrics(pred, depth, valid, ["absrel"])
    with pytest.raises(ValueError, match=r"Expected metrics of .* but got 'throughput'"):
        all_metrics(pred, depth, valid, ["throughput"])
