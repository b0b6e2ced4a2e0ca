"""Every registered metric against a slow reference, pixel by pixel, written from its formula."""

import itertools
import math
import statistics

import pytest
import torch

from depthprobe.functional import metrics
from depthprobe.functional.metrics import METRICS, all_metrics

NAMES = [n for n in METRICS.names() if METRICS.facts(n).get("scope") == "pixel" and n != "failed"]


def mean(values):
    return math.fsum(values) / len(values)


def ratio(z, g):
    return max(z / g, g / z)


def logs(pairs):
    return [math.log(z) - math.log(g) for z, g in pairs]


def share_below(pairs, limit):
    return mean([float(ratio(z, g) < limit) for z, g in pairs])


def silog(pairs, weight=1.0):
    d = logs(pairs)
    return mean([x * x for x in d]) - weight * mean(d) ** 2


def area(pairs):
    x = [0.01 + k * 4.99 / 99 for k in range(100)]
    y = [share_below(pairs, 1.25**e) for e in x]
    return sum((x[k + 1] - x[k]) * (y[k] + y[k + 1]) / 2 for k in range(99)) / 5


REFERENCE = {
    "abs_rel": lambda p: mean([abs(z - g) / g for z, g in p]),
    "sq_rel": lambda p: mean([(z - g) ** 2 / g for z, g in p]),
    "sq_rel_kitti": lambda p: 100 * mean([(z - g) ** 2 / g**2 for z, g in p]),
    "rmse": lambda p: math.sqrt(mean([(z - g) ** 2 for z, g in p])),
    "mae": lambda p: mean([abs(z - g) for z, g in p]),
    "rmse_log": lambda p: math.sqrt(mean([d * d for d in logs(p)])),
    "log10": lambda p: mean([abs(math.log10(z) - math.log10(g)) for z, g in p]),
    "delta1": lambda p: share_below(p, 1.25),
    "delta2": lambda p: share_below(p, 1.25**2),
    "delta3": lambda p: share_below(p, 1.25**3),
    "tau": lambda p: share_below(p, 1.03),
    "d_auc": area,
    "d1_outlier": lambda p: 100 * mean([float(ratio(z, g) > 1.25) for z, g in p]),
    "irmse": lambda p: math.sqrt(mean([(1 / z - 1 / g) ** 2 for z, g in p])),
    "inv_rmse_km": lambda p: math.sqrt(mean([(1000 / z - 1000 / g) ** 2 for z, g in p])),
    "inv_mae_km": lambda p: mean([abs(1000 / z - 1000 / g) for z, g in p]),
    "log_mae": lambda p: 100 * mean([abs(d) for d in logs(p)]),
    "log_rmse": lambda p: math.sqrt(mean([(100 * d) ** 2 for d in logs(p)])),
    "median_log": lambda p: 100 * abs(statistics.median_low(logs(p))),
    "silog": lambda p: 100 * math.sqrt(silog(p)),
    "silog_unbiased": lambda p: 100 * statistics.stdev(logs(p)),
    "silog_half": lambda p: math.sqrt(silog(p, 0.5)),
    "silog_bts_loss": lambda p: 10 * math.sqrt(silog(p, 0.85)),
    "silog_log10": lambda p: statistics.pstdev([math.log10(z) - math.log10(g) for z, g in p]),
    "silog_var": silog,
    "silog_var_half": lambda p: silog(p, 0.5),
}


def example(batch=3, h=7, w=9, seed=0, dtype=torch.float64):
    """Depth, a prediction off by about 30 % with a bias, and a mask that leaves an even number of pixels."""
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, h, w, generator=rng, dtype=torch.float64) * 8 + 0.5
    pred = depth * torch.exp(0.1 + 0.3 * torch.randn(depth.shape, generator=rng, dtype=torch.float64))
    valid = torch.rand(depth.shape, generator=rng) < 0.7
    valid[:, :, 0, 0] ^= valid.sum((1, 2, 3))[:, None] % 2 == 1
    return pred.to(dtype), depth.to(dtype), valid


def test_every_metric_has_a_reference():
    assert sorted(REFERENCE) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_metric_equals_its_slow_reference(name):
    pred, depth, valid = example()
    got = METRICS[name](pred, depth, valid)
    for i in range(len(pred)):
        pairs = list(zip(pred[i][valid[i]].tolist(), depth[i][valid[i]].tolist(), strict=True))
        assert float(got[i]) == pytest.approx(REFERENCE[name](pairs), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_close_to_float64(name):
    pred, depth, valid = example(h=96, w=128, dtype=torch.float32)
    exact = METRICS[name](pred.double(), depth.double(), valid)
    got = METRICS[name](pred, depth, valid)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), exact, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS.facts(n)["differentiable"]])
def test_gradient(name):
    pred, depth, valid = example(batch=2, h=3, w=4)
    torch.autograd.gradcheck(lambda z: METRICS[name](z, depth, valid), pred.requires_grad_())


def test_silog_has_different_values_under_its_names():
    """The point of the separate names: one data set, no two of the five public SILogs agree."""
    pred, depth, valid = example(batch=1)
    names = ["silog", "silog_unbiased", "silog_half", "silog_log10", "silog_var"]
    values = sorted(float(v) for v in all_metrics(pred, depth, valid, names).values())
    assert all(b > a * 1.005 for a, b in itertools.pairwise(values)), values


def test_silog_of_a_scaled_prediction_is_zero_in_float32():
    _, depth, valid = example(h=96, w=128, dtype=torch.float32)
    assert float(metrics.silog.silog(3.7 * depth, depth, valid).max()) < 2e-4


def test_thresholds_are_strict():
    depth, valid = torch.full((1, 1, 2, 2), 2.0), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    at = all_metrics(1.25 * depth, depth, valid, ["delta1", "d1_outlier"])
    assert (float(at["delta1"]), float(at["d1_outlier"])) == (0.0, 0.0)


@pytest.mark.parametrize("bad", [float("nan"), -3.0, 0.0])
def test_a_prediction_that_is_no_depth_fails_every_threshold(bad):
    depth, valid = torch.full((1, 1, 2, 2), 2.0), torch.ones(1, 1, 2, 2, dtype=torch.bool)
    pred = depth.clone()
    pred[..., 0, 0] = bad
    got = all_metrics(pred, depth, valid, ["delta1", "delta3", "tau", "d1_outlier"])
    assert [float(v) for v in got.values()] == [0.75, 0.75, 0.75, 25.0]


def test_failed_counts_valid_nan_only():
    depth, valid = torch.ones(2, 1, 2, 2), torch.ones(2, 1, 2, 2, dtype=torch.bool)
    pred = depth.clone()
    pred[0, 0, 0, :] = torch.nan
    valid[0, 0, 0, 1] = False
    assert METRICS["failed"](pred, depth, valid).tolist() == pytest.approx([1 / 3, 0.0])
