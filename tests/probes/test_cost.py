"""The cost probe: networks whose parameters, operations, memory and time are known."""

import time

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from depthprobe.data.batch import stack
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.probes.cost import CostPlan, cost, counted, threads

H, W = 24, 32
ONCE = CostPlan(repeats=1, warmup=0)


def batch(n=2):
    return stack([tiny.sample(i, (H, W)) for i in range(n)])


def model(net, **card):
    made = ModelCard(name="planted", tag="", family="cnn", output="metric_depth", **card)
    return DepthModel(net, made).eval()


def value(table, metric):
    return table.loc[table["metric"] == metric, "value"].tolist()


def test_a_convolution_costs_what_its_closed_form_says():
    net = nn.Conv2d(3, 1, 5, padding=2)
    table = cost(model(net), batch(), ONCE)
    assert value(table, "parameters") == [3 * 25 + 1] * 2
    assert value(table, "flops") == [2 * 3 * 25 * H * W] * 2


def test_attention_counts_alike_fused_and_spelt_out():
    class Attending(nn.Module):
        def __init__(self, fused):
            super().__init__()
            self.fused, self.qkv, self.out = fused, nn.Linear(3, 24), nn.Linear(8, 1)

        def forward(self, x):
            q, k, v = self.qkv(x.flatten(2).mT).view(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
            if self.fused:
                mixed = nn.functional.scaled_dot_product_attention(q, k, v)
            else:
                mixed = (q @ k.mT / 2).softmax(-1) @ v
            return self.out(mixed.transpose(1, 2).flatten(2)).mT.unflatten(2, x.shape[-2:])

    n = H * W
    want = 2 * n * 3 * 24 + 2 * 2 * (2 * n * n * 4) + 2 * n * 8
    for fused in (True, False):
        assert value(cost(model(Attending(fused)), batch(1), ONCE), "flops") == [want]


@pytest.mark.parametrize("layer", [nn.MultiheadAttention, nn.TransformerEncoderLayer])
def test_attention_of_torch_itself_is_counted(layer):
    """In eval mode it is one fused operation, for which torch has no formula: it would cost nothing."""
    channels, hidden, tokens = 8, 16, H * W

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            more = {"dim_feedforward": hidden} if layer is nn.TransformerEncoderLayer else {}
            self.rise = nn.Conv2d(3, channels, 1)
            self.attend = layer(channels, 2, batch_first=True, **more)

        def forward(self, x):
            y = self.rise(x).flatten(2).transpose(1, 2)
            y = self.attend(y) if layer is nn.TransformerEncoderLayer else self.attend(y, y, y, need_weights=False)[0]
            return y.transpose(1, 2)[:, :1].reshape(-1, 1, H, W)

    before = torch.backends.mha.get_fastpath_enabled()
    counts = value(cost(model(Attending()), batch(1), ONCE), "flops")[0]
    linear = 2 * tokens * channels * (3 + 4 * channels)  # the convolution, query, key, value and output
    linear += 2 * tokens * channels * 2 * hidden if layer is nn.TransformerEncoderLayer else 0
    assert counts == linear + 2 * 2 * tokens**2 * channels
    assert torch.backends.mha.get_fastpath_enabled() == before


def test_the_size_of_the_plan_or_of_the_network_is_what_is_paid_for():
    net = nn.Conv2d(3, 1, 1)
    larger = cost(model(net), batch(), CostPlan(size=(2 * H, 2 * W), repeats=1, warmup=0))
    assert value(larger, "flops") == [2 * 3 * 4 * H * W] * 2
    fixed = cost(model(net, size=(8, 8)), batch(), ONCE)
    assert value(fixed, "flops") == [2 * 3 * 64] * 2


class Buffers(nn.Module):
    """Holds `many` buffers of `size` floats, at the same time or one after the other; views of its weight are free."""

    def __init__(self, size, many, together):
        super().__init__()
        self.size, self.many, self.together = size, many, together
        self.weight = nn.Parameter(torch.ones(1000))

    def forward(self, x):
        held, total = [], 0.0
        for _ in range(self.many):
            one = self.weight[:1].view(1, 1).expand(1, 1).new_ones(self.size)
            total = total + float(one[0])
            held = [*held, one] if self.together else []
            del one
        return x[:, :1] * 0 + total


@pytest.mark.parametrize("together", [True, False])
def test_the_peak_is_that_of_buffers_that_live_at_the_same_time(together):
    size, many = 1_000_000, 3
    most = value(cost(model(Buffers(size, many, together)), batch(1), ONCE), "peak_memory")[0]
    buffers = 4 * size * (many if together else 1) / 1e6
    few_maps = 6 * 4 * 3 * H * W / 1e6
    assert buffers <= most <= buffers + few_maps


def test_weights_image_and_views_are_no_memory_of_a_pass():
    class View(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = nn.Parameter(torch.ones(1, 1, H, W))

        def forward(self, x):
            return self.map.view(1, 1, H, W)

    one = batch(1).image
    _, most = counted(model(View()), one)
    assert most <= 2 * 4 * 3 * H * W, "the normalised image (two steps), and nothing else"


def test_a_network_that_sleeps_takes_that_long():
    class Sleeping(nn.Module):
        def forward(self, x):
            time.sleep(0.02)
            return x[:, :1]

    slow = value(cost(model(Sleeping()), batch(1), ONCE), "latency")[0]
    quick = value(cost(model(nn.Conv2d(3, 1, 1)), batch(1), CostPlan(repeats=5)), "latency")[0]
    assert slow >= 20
    assert quick < slow


def test_what_a_network_does_outside_of_torch_is_not_counted_as_nothing():
    """An ONNX file has parameters and operations, of which torch sees none: 0 would be the best network of all."""

    class Outside(nn.Module):
        outside_torch = True

        def forward(self, x):
            return torch.from_numpy(x.numpy().mean(1, keepdims=True))

    for net in (Outside(), nn.Sequential(nn.Conv2d(3, 3, 1), Outside())):  # of a part, the sum would be of the rest
        found = cost(model(net), batch(2), ONCE)
        for name in ("parameters", "flops", "peak_memory"):
            assert np.isnan(value(found, name)).all(), name
        assert min(value(found, "latency")) > 0


class Prior(nn.Module):
    """The farther, the higher in the image."""

    def forward(self, x):
        return (10 - torch.linspace(0, 9, x.shape[-2]).view(1, 1, -1, 1)).expand(len(x), 1, *x.shape[-2:])


@pytest.mark.parametrize("named", [model(Prior()), "oracle:row"], ids=["of a user", "oracle"])
def test_a_network_without_parameters_and_products_is_known_to_have_none(named):
    found = cost(load_model(named) if isinstance(named, str) else named, batch(1), ONCE)
    assert value(found, "parameters") == value(found, "flops") == [0]
    assert np.isfinite(value(found, "peak_memory")).all()


def test_it_has_as_many_passes_as_it_says_and_leaves_the_threads():
    calls = []

    class Noting(nn.Module):
        def forward(self, x):
            calls.append((x.shape[0], torch.get_num_threads()))
            return x[:, :1]

    plan, before = CostPlan(repeats=3, warmup=2, threads=2), torch.get_num_threads()
    cost(model(Noting()), batch(2), plan)
    assert calls == [(1, 2)] * (2 * plan.passes())
    assert torch.get_num_threads() == before
    with pytest.raises(ArithmeticError), threads(3):
        raise ArithmeticError
    assert torch.get_num_threads() == before


def test_plans_are_checked():
    for field, wrong in (("repeats", 0), ("warmup", -1), ("threads", 0), ("size", (0, 4))):
        with pytest.raises(ValueError, match=f"`{field}`"):
            CostPlan(**{field: wrong})
    with pytest.raises(ValueError, match="height, width"):
        CostPlan(size=(3,))
