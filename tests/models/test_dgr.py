"""Depth Gradient Refinement as a block: its kernels, its formulas, its controls."""

import copy
import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from depthprobe.functional.derivatives import PADDINGS, derivative_kernels, extend
from depthprobe.models.dgr_blocks import (
    KERNELS,
    PRESETS,
    DepthGradientRefinement,
    DepthRefinement,
    OneMap,
    PlainRefinement,
)

ORDERS = [(1,), (2,), (3,), (2, 3), (1, 2, 3)]


def woken(block, seed=0):
    """The block with random weights everywhere, also where it starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return block


# Kernels


@pytest.mark.parametrize(
    ("field", "order", "truth"),
    [
        (lambda x, y: 2 * x + 5 * y, 1, (lambda x, y: 2 + 0 * x, lambda x, y: 5 + 0 * x)),
        (lambda x, y: x**2 + 3 * x * y, 1, (lambda x, y: 2 * x + 3 * y, lambda x, y: 3 * x)),
        (lambda x, y: x**2, 2, (lambda x, y: -6 + 0 * x,)),
        (lambda x, y: y**2 + x * y, 2, (lambda x, y: -6 + 0 * x,)),
        (lambda x, y: x**3 + 2 * x * y**2, 2, (lambda x, y: -3 * (6 * x + 4 * x),)),
        (lambda x, y: x**3, 3, (lambda x, y: -18 + 0 * x, lambda x, y: 0 * x)),
        (lambda x, y: y**3, 3, (lambda x, y: 0 * x, lambda x, y: -18 + 0 * x)),
        (lambda x, y: x**2 * y, 3, (lambda x, y: 0 * x, lambda x, y: -6 + 0 * x)),
        (lambda x, y: x * y**2 + x**3, 3, (lambda x, y: -6 - 18 + 0 * x, lambda x, y: 0 * x)),
    ],
)
def test_kernels_have_order_sign_and_scale_of_their_derivatives(field, order, truth):
    y, x = torch.meshgrid(torch.arange(-4.0, 5).double(), torch.arange(-5.0, 6).double(), indexing="ij")
    kernels = derivative_kernels((order,))
    assert len(kernels) == len(truth)
    for kernel, exact in zip(kernels, truth, strict=True):
        reach = len(kernel) // 2
        found = F.conv2d(field(x, y)[None, None], kernel.double()[None, None])[0, 0]
        assert torch.allclose(found, exact(x, y)[reach:-reach, reach:-reach], atol=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_kernels_are_blind_to_lower_degrees_and_see_their_own(order):
    y, x = torch.meshgrid(torch.arange(9.0).double(), torch.arange(9.0).double(), indexing="ij")
    for kernel in derivative_kernels((order,)):
        for i, j in itertools.product(range(4), repeat=2):
            if i + j < order:
                assert F.conv2d((x**i * y**j)[None, None], kernel.double()[None, None]).abs().max() < 1e-9
        fields = [x**i * y ** (order - i) for i in range(order + 1)]
        assert max(F.conv2d(f[None, None], kernel.double()[None, None]).abs().max() for f in fields) > 0.5


def test_a_map_that_continues_has_no_edge_at_its_border_and_zeros_draw_one():
    flat = torch.full((1, 1, 6, 7), 0.3)
    for kernel in derivative_kernels((1, 2, 3)):
        worst = {p: F.conv2d(extend(flat, len(kernel) // 2, p), kernel[None, None]).abs().max() for p in PADDINGS}
        assert worst["replicate"] < 1e-6 and worst["reflect"] < 1e-6 and worst["zeros"] > 0.1


def test_the_mean_of_the_laplacian_of_any_map_is_zero_hence_the_pool_of_magnitudes():
    x, kernel = torch.randn(1, 1, 9, 7, dtype=torch.float64), derivative_kernels((2,))[0].double()
    assert F.conv2d(extend(x, 1, "replicate"), kernel[None, None]).mean().abs() < 1e-12


@pytest.mark.parametrize("orders", [(), (0,), (4,), (2, 2)])
def test_other_orders_are_refused(orders):
    with pytest.raises(ValueError, match="Expected `orders`"):
        DepthGradientRefinement(4, orders=orders)


# The block


def at(plane, i, j, padding):
    h, w = len(plane), len(plane[0])
    if padding == "replicate":
        return plane[min(max(i, 0), h - 1)][min(max(j, 0), w - 1)]
    return plane[i][j] if 0 <= i < h and 0 <= j < w else 0.0


def correlate(plane, kernel, padding):
    reach = len(kernel) // 2
    return [
        [sum(kernel[a][b] * at(plane, i + a - reach, j + b - reach, padding)
             for a in range(len(kernel)) for b in range(len(kernel))) for j in range(len(plane[0]))]
        for i in range(len(plane))
    ]  # fmt: skip


def mix(planes, weight, bias):
    """1x1 convolution."""
    h, w = len(planes[0]), len(planes[0][0])
    return [
        [[sum(c * p[i][j] for c, p in zip(row, planes, strict=True)) + b for j in range(w)] for i in range(h)]
        for row, b in zip(weight, bias, strict=True)
    ]


def gradient_of_laplacian(plane, padding, dx, dy):
    """From the definition: the Laplacian one step further minus one step back, the map extended once."""

    def laplacian(i, j):
        around = [at(plane, i + a, j + b, padding) for a in (-1, 0, 1) for b in (-1, 0, 1)]
        return 9 * around[4] - sum(around)

    return [[(laplacian(i + dy, j + dx) - laplacian(i - dy, j - dx)) / 2 for j in range(len(plane[0]))]
            for i in range(len(plane))]  # fmt: skip


def reference(block, x, preset):
    """The module's formulas, in loops over Python numbers."""
    padding, out = {"stable": "replicate", "paper": "zeros"}[preset], []
    state = {k: v.tolist() for k, v in block.state_dict().items()}
    for sample in x.tolist():
        planes = sample
        if preset == "stable":
            weight = [[c[0][0] for c in row] for row in state["reduce.weight"]]
            planes = mix(sample, weight, state["reduce.bias"])
        merged = []
        for c, plane in enumerate(planes):
            if preset == "stable":
                second = [[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]]
                more = [correlate(plane, second, padding), gradient_of_laplacian(plane, padding, 1, 0),
                        gradient_of_laplacian(plane, padding, 0, 1)]  # fmt: skip
            else:
                more = [correlate(plane, state[f"kernels.{k}"][c][0], padding) for k in range(3)]
            merged += [plane, *more]
        h, w = len(planes[0]), len(planes[0][0])
        size = abs if preset == "stable" else float
        pooled = [sum(size(v) for row in plane for v in row) / (h * w) for plane in merged]
        for name, act in (
            ("squeeze", lambda v: max(v, 0.0)),
            ("excite", lambda v: 1 / (1 + math.exp(-v))),
        ):
            rows, bias = state[f"{name}.weight"], state[f"{name}.bias"]
            pooled = [
                act(sum(c[0][0] * p for c, p in zip(row, pooled, strict=True)) + b)
                for row, b in zip(rows, bias, strict=True)
            ]
        scaled = [[[k * v for v in row] for row in plane] for k, plane in zip(pooled, merged, strict=True)]
        positive = [[[max(v, 0.0) for v in row] for row in plane] for plane in scaled]
        gates, kernels = [], state.get("gate.weight")
        if preset == "stable":  # row by row, one weight for each of the nine places
            nine = state["gate.nine.weight"]
            kernels = [[[[nine[3 * a + b][c][0][0] for b in range(3)] for a in range(3)] for c in range(len(merged))]]
        for row, bias in zip(kernels, state["gate.bias"], strict=True):
            parts = [correlate(plane, kernel, padding) for plane, kernel in zip(positive, row, strict=True)]
            gates.append([[sum(p[i][j] for p in parts) + bias for j in range(w)] for i in range(h)])
        gates = gates * len(scaled) if len(gates) == 1 else gates
        gated = [[[g[i][j] * s[i][j] for j in range(w)] for i in range(h)] for g, s in zip(gates, scaled, strict=True)]
        weight = [[c[0][0] for c in row] for row in state["project.weight"]]
        made = torch.tensor(mix(gated, weight, state["project.bias"]), dtype=torch.float64)
        out.append(torch.tensor(sample, dtype=torch.float64) + made if preset == "stable" else made)
    return torch.stack(out)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_block_equals_its_formulas(preset):
    channels = {"stable": 32, "paper": 2}[preset]
    block = woken(DepthGradientRefinement(channels, preset=preset)).double()
    x = torch.randn(2, channels, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(block(x), reference(block, x, preset), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_gradients(preset, orders):
    block = woken(DepthGradientRefinement(3, preset=preset, orders=orders, reduction=2)).double()
    x = torch.randn(1, 3, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2)).requires_grad_()
    inputs = [x, *block.parameters()]

    def call(x, *weights):
        names = [name for name, _ in block.named_parameters()]
        return torch.func.functional_call(block, dict(zip(names, weights, strict=True)), (x,))

    assert torch.autograd.gradcheck(call, inputs)


BUILD = {
    "plain": lambda: PlainRefinement(3, reduction=1),
    "depth": lambda: DepthRefinement(DepthGradientRefinement(1), log=True),
    "disparity": lambda: DepthRefinement(PlainRefinement(1, preset="paper"), log=False),
}


@pytest.mark.parametrize("name", sorted(BUILD))
def test_gradients_of_the_control_and_of_depth(name):
    x = 1 + torch.rand(1, 3 if name == "plain" else 1, 3, 4, dtype=torch.float64)
    assert torch.autograd.gradcheck(woken(BUILD[name]()).double(), x.requires_grad_())


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize("kernels", sorted(KERNELS))
def test_fixed_and_learned_kernels_start_as_the_same_block(kernels, orders):
    blocks = []
    for learnable in (False, True):
        torch.manual_seed(0)
        blocks.append(DepthGradientRefinement(16, orders=orders, kernels=kernels, learnable=learnable))
    assert [len(b.kernels) for b in blocks] == [0, len(derivative_kernels(orders))]
    weights = {k: v for k, v in blocks[0].state_dict().items() if k != "fixed"}
    blocks[1].load_state_dict(weights, strict=False)
    woken(blocks[0].project), woken(blocks[1].project)
    x = torch.randn(2, 16, 6, 7)
    assert torch.allclose(blocks[0](x), blocks[1](x), atol=1e-6)


def test_controls_have_equal_norms_or_change_nothing():
    torch.manual_seed(0)
    for kernel in derivative_kernels((1, 2, 3)):
        drawn = KERNELS["random"](kernel, 5)
        assert torch.allclose(drawn.flatten(1).norm(dim=1), kernel.norm().expand(5))
        assert not torch.allclose(drawn[0], drawn[1])
        x = torch.randn(1, 2, 5, 5)
        same = F.conv2d(x, KERNELS["identity"](kernel, 2), padding=len(kernel) // 2, groups=2)
        assert torch.equal(same, x)


@pytest.mark.parametrize("orders", ORDERS)
@pytest.mark.parametrize(("channels", "options"), [(1, {}), (16, {"reduction": 4}), (32, {"reduction": 4}), (64, {}),
                         (96, {}), (256, {}), (16, {"preset": "paper"}), (64, {"preset": "paper"})])  # fmt: skip
def test_controls_have_as_many_parameters_within_a_hundredth(channels, options, orders):
    def count(module):
        return sum(p.numel() for p in module.parameters())

    block = DepthGradientRefinement(channels, orders=orders, **options)
    plain = PlainRefinement(channels, orders=orders, **options)
    assert abs(count(plain) - count(block)) <= 0.01 * count(block)
    for kernels in KERNELS:
        assert count(DepthGradientRefinement(channels, orders=orders, kernels=kernels, **options)) == count(block)
    x = torch.randn(1, channels, 4, 5)
    assert plain(x).shape == x.shape and torch.equal(plain(x), x) == ("preset" not in options)


def test_a_block_too_small_to_match_says_so():
    with pytest.raises(ValueError, match="smaller `reduction`"):
        PlainRefinement(2, orders=(1,))


@pytest.mark.parametrize("options", [{"preset": "best"}, {"kernels": "sobel"}, {"padding": "wrap"}, {"reduction": 0}])
def test_other_options_are_refused(options):
    with pytest.raises(ValueError, match=f"Expected .*{next(iter(options)).rstrip('s')}"):
        DepthGradientRefinement(4, **options)


@pytest.mark.parametrize("padding", sorted(PADDINGS))
def test_nine_shifted_maps_are_a_convolution(padding):
    layer, x = OneMap(5, padding), torch.randn(2, 5, 4, 6)
    kernel = layer.nine.weight.view(3, 3, 1, 5).permute(2, 3, 0, 1)
    plain = F.conv2d(extend(x, 1, padding), kernel, layer.bias)
    assert torch.allclose(layer(x), plain, atol=1e-5)


def test_depth_stays_positive_and_its_unit_does_not_matter_to_the_derivatives():
    made = woken(DepthRefinement(DepthGradientRefinement(1, preset="paper"), log=True))
    z = torch.rand(1, 1, 6, 7) * 50
    assert (made(z) > 0).all() and torch.isfinite(made(torch.zeros(1, 1, 3, 3))).all()
    fixed = DepthGradientRefinement(1)
    metres, kilometres = (
        F.conv2d(extend(d.log(), 2, "replicate"), fixed.fixed)[:, 1:] for d in (z, z / 1000)
    )  # fmt: skip
    assert torch.allclose(metres, kilometres, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 16, 1, 1), (2, 16, 1, 9), (1, 16, 3, 2)])
def test_maps_of_any_size_go_through(shape):
    for block in (woken(DepthGradientRefinement(16)), woken(DepthGradientRefinement(16, preset="paper"))):
        assert block(torch.randn(shape)).shape == shape


def test_half_precision_and_channels_last_give_the_same_up_to_rounding():
    block, x = woken(DepthGradientRefinement(16)), torch.randn(2, 16, 8, 9)
    full = block(x)
    last = copy.deepcopy(block).to(memory_format=torch.channels_last)
    assert torch.allclose(last(x.contiguous(memory_format=torch.channels_last)), full, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (block(x) - full).norm() / (full - x).norm() < 0.05
    low = copy.deepcopy(block).bfloat16()(x.bfloat16())
    assert low.dtype == torch.bfloat16 and (low.float() - full).norm() / (full - x).norm() < 0.05
