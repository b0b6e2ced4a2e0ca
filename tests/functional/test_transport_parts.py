"""What the Sinkhorn solver is made of, and the transports in closed form."""

import itertools
import math
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from transport_cases import holes, pair

from depthprobe.functional import transport_grid, transport_solver
from depthprobe.functional.transport import histogram_wasserstein, row_wasserstein, sinkhorn_divergence
from depthprobe.functional.transport_fixed_point import Update, fixed_point
from depthprobe.functional.transport_grid import GridKernel
from depthprobe.functional.transport_solver import Problem, pool, stages

CPU = torch.device("cpu")
RTOL = {torch.float32: 2e-6, torch.float64: 1e-13}


def direct(x, sigma):
    """ln Σ exp(x(y) - |y - z|² / 2σ²) over all pairs of pixels."""
    h, w = x.shape[-2:]
    y, z = (torch.arange(n, dtype=torch.float64) for n in (h, w))
    cost = ((y[:, None, None, None] - y[:, None]) ** 2 + (z[:, None, None] - z) ** 2) / (2 * sigma**2)
    return torch.logsumexp((x.double()[:, :, :, None, None] - cost).flatten(1, 2), 1)


def field(h, w, spread, dtype, seed=0):
    """Fields of a large range with pixels without mass, and one with a single pixel."""
    x = spread * torch.randn(3, h, w, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x[0, holes(h, w)] = -math.inf
    x[1] = -math.inf
    x[1, 0, -1] = 5
    return x.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5, 40.0])
@pytest.mark.parametrize("size", [(1, 23), (23, 1), (12, 19)])
def test_exact_kernel_is_right_whatever_the_range(size, sigma, dtype):
    kernel = GridKernel(size, sigma, dtype, CPU)
    for spread in (1, 300):
        x = field(*size, spread, dtype)
        want = direct(x, sigma).transpose(1, 2)
        got, smallest = kernel.exact(x)
        assert smallest is None
        scale = want.abs().amax() + max(size) ** 2 / sigma**2  # terms of this size are added and cancel
        assert float((got - want).abs().max()) < RTOL[dtype] * float(scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [0.5, 1.5, 6.0])
def test_fast_kernel_is_right_where_it_vouches_for_itself(sigma, dtype):
    kernel, vouched = GridKernel((12, 19), sigma, dtype, CPU), 0
    for spread, seed in itertools.product((1, 5, 20, 100, 400), range(3)):
        x = field(12, 19, spread, dtype, seed)[2:]
        got, smallest = kernel.fast(x)
        if float(smallest) >= kernel.least:
            vouched += 1
            torch.testing.assert_close(got.double(), direct(x, sigma).transpose(1, 2), rtol=3e-6, atol=3e-6)
    assert vouched >= 3
    lost = field(12, 19, 1, dtype)[1:2]  # one pixel, nothing in reach
    if sigma == 0.5:
        assert not float(kernel.fast(lost)[1]) >= kernel.least


def test_kernel_of_a_turned_field():
    kernel, x = GridKernel((7, 11), 2.0, torch.float64, CPU), field(7, 11, 3, torch.float64)
    torch.testing.assert_close(kernel.turned.exact(x.transpose(1, 2))[0], kernel.exact(x)[0].transpose(1, 2))


@pytest.mark.parametrize("sigma", [0.4, 2.0, 9.0])
def test_cosines_are_orthonormal_and_the_symbol_is_the_kernels(sigma):
    cosines, symbol = transport_grid.line(40, sigma, torch.float64, CPU).modes
    torch.testing.assert_close(cosines @ cosines.T, torch.eye(len(cosines), dtype=torch.float64))
    far = np.arange(-400, 401)
    taps = np.exp(-0.5 * far**2 / (sigma**2 + 0.1))
    for k in range(len(symbol)):
        want = (taps * np.cos(math.pi * k / 40 * far)).sum() / taps.sum()
        assert symbol[k].item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("beyond", [5.0, math.nan])
def test_a_step_that_overshoots_is_taken_back(beyond):
    """A hundred times too long where trusted; beyond 1 the map only leads further away, or overflows."""
    seen = []

    def step(f):
        seen.append(float(f.abs().max()))
        return Update(torch.where(f.abs() > 1, f + beyond, 0.9 * torch.sin(f)), f, None)

    def direction(d, strength):
        return (1 + 100 * (1 if strength is None else strength)) * d

    start = torch.tensor([[[0.15, -0.1, 0.05]], [[-0.1, 0.03, 0.15]]], dtype=torch.float64)
    weight = torch.full_like(start, 1 / 3)
    found = fixed_point(step, start, weight, direction, least=0.0, tolerance=1e-9, limit=60)
    assert max(seen) > 1
    assert all(found.converged)
    assert float(found.f.abs().max()) < 1e-7


def test_numbers_that_cannot_be_trusted_end_the_iteration():
    def step(f):
        return Update(0.5 * f, f, torch.tensor(1e-31))

    f = torch.ones(1, 1, 2)
    options = {"tolerance": 1e-3, "limit": 9}
    assert fixed_point(step, f, f / 2, lambda d, strength: d, least=1e-30, **options) is None
    assert fixed_point(step, f, f / 2, lambda d, strength: d, least=1e-32, **options) is not None
    with pytest.raises(ValueError, match="Expected `limit` to be at least 1"):
        fixed_point(step, f, f / 2, lambda d, strength: d, least=0.0, tolerance=0.0, limit=0)


@pytest.mark.parametrize("blur", [0.1, 0.03])
def test_float32_without_a_wider_format_gives_the_same(blur, monkeypatch):
    """The way of devices without fast float64: kernels that cannot underflow, in float32."""
    a, b, valid = pair("masked", 20, 28)
    want = sinkhorn_divergence(a, b, valid=valid, blur=blur).item()
    monkeypatch.setitem(transport_grid.LEAST, torch.float32, math.inf)
    monkeypatch.setitem(transport_grid.LEAST, torch.float64, math.inf)
    assert sinkhorn_divergence(a, b, valid=valid, blur=blur).item() == pytest.approx(want, rel=1e-7)
    init = transport_solver._Grid.__init__
    monkeypatch.setattr(
        transport_solver._Grid, "__init__", lambda self, p, s, dtype, exact: init(self, p, s, torch.float32, True)
    )
    got = sinkhorn_divergence(a.float(), b.float(), valid=valid, blur=blur)
    assert got.item() == pytest.approx(want, rel=2e-5)


def test_pooling_keeps_the_mass_and_the_way_ends_on_all_pixels():
    a, b, _ = pair("random", 13, 22)
    for level in range(4):
        assert pool(a, level).sum().item() == pytest.approx(a.sum().item(), rel=1e-12)
    problem = Problem(a, b, 0.02, None, 1e-5, 7)
    way = stages(problem)
    assert [s.level for s in way[-2:]] == [0, 0] and (way[-1].blur, way[-1].limit) == (0.02, 7)
    assert all(second.level <= first.level and second.blur <= first.blur for first, second in itertools.pairwise(way))
    assert all(s.blur * 22 >= 2**s.level for s in way if s.level)  # a grid never coarser than the blur


# Closed forms


def test_histogram_wasserstein_is_the_best_matching_of_values():
    rng = torch.Generator().manual_seed(0)
    z, g = (torch.rand(4, 2, 3, generator=rng, dtype=torch.float64) * 5 for _ in range(2))
    valid = torch.ones(4, 2, 3, dtype=torch.bool)
    valid[1, 0, 1], valid[2, 1] = False, False
    got = histogram_wasserstein(z, g, valid=valid)
    for i in range(4):
        x, y = z[i][valid[i]].tolist(), g[i][valid[i]].tolist()
        matchings = (sum((p - q) ** 2 for p, q in zip(x, o, strict=True)) for o in itertools.permutations(y))
        assert got[i].item() == pytest.approx(min(matchings) / len(x), rel=1e-12)


def test_histogram_wasserstein_sees_values_only():
    rng = torch.Generator().manual_seed(1)
    z = torch.rand(2, 5, 6, generator=rng, dtype=torch.float64)
    shuffled = z.flatten(1)[:, torch.randperm(30, generator=rng)].view_as(z)
    assert histogram_wasserstein(shuffled, z).tolist() == [0, 0]
    torch.testing.assert_close(histogram_wasserstein(z + 3, z), torch.full((2,), 9.0, dtype=torch.float64))


def test_histogram_wasserstein_gradient_and_mask():
    rng = torch.Generator().manual_seed(2)
    z, g = (torch.rand(2, 3, 4, generator=rng, dtype=torch.float64) for _ in range(2))
    valid = torch.rand(2, 3, 4, generator=rng) < 0.7
    torch.autograd.gradcheck(lambda x: histogram_wasserstein(x, g, valid=valid), z.clone().requires_grad_())
    spoiled = z.where(valid, torch.nan).requires_grad_()
    got = histogram_wasserstein(spoiled, g.where(valid, -torch.inf), valid=valid)
    got.sum().backward()
    assert torch.equal(got.detach(), histogram_wasserstein(z, g, valid=valid))
    assert bool(spoiled.grad.isfinite().all()) and not bool(spoiled.grad[~valid].any())
    valid[1] = False
    assert histogram_wasserstein(z, g, valid=valid).isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    ("kind", "h", "w"), [("random", 9, 6), ("depth", 14, 5), ("masked", 12, 16), ("sparse", 15, 8)]
)
def test_row_wasserstein_equals_the_linear_programme(kind, h, w):
    ot = pytest.importorskip("ot")
    a, b, valid = pair(kind, h, w)
    p, q = ((x * valid)[0].sum(1).numpy() for x in (a, b))
    rows = np.arange(h) / max(h, w)
    want = ot.emd2(p / p.sum(), q / q.sum(), (rows[:, None] - rows) ** 2 / 2)
    assert row_wasserstein(a, b, valid=valid).item() == pytest.approx(want, rel=1e-9)
    assert row_wasserstein(a.float(), b.float(), valid=valid).item() == pytest.approx(want, rel=1e-4)


def test_row_wasserstein_ignores_where_in_a_row_mass_stands():
    a, b, _ = pair("depth", 10, 12)
    assert row_wasserstein(a.flip(2), a).item() == pytest.approx(0, abs=1e-15)
    assert row_wasserstein(a, b).item() > 0
    a.requires_grad_()
    row_wasserstein(a, a.detach()).backward()
    assert float(a.grad.abs().max()) < 1e-12


def test_row_wasserstein_gradient():
    a, b, valid = pair("masked", 6, 7)
    torch.autograd.gradcheck(lambda x, y: row_wasserstein(x, y, valid=valid), (a.requires_grad_(), b.requires_grad_()))


def test_row_wasserstein_of_a_column_is_the_limit_of_the_divergence():
    a, b, _ = pair("depth", 48, 1)
    assert sinkhorn_divergence(a, b, blur=0.5 / 48).item() == pytest.approx(row_wasserstein(a, b).item(), rel=0.02)


# Memory

PEAK = """
    import resource, torch
    from depthprobe.functional.transport import sinkhorn_divergence
    torch.set_num_threads(1)
    rng = torch.Generator().manual_seed(0)
    b = 1 + torch.rand(2, 480, 640, generator=rng)
    a = (b * torch.linspace(0.5, 2, 640)).requires_grad_()
    before = int(next(x for x in open("/proc/self/status") if x.startswith("VmRSS")).split()[1])
    sinkhorn_divergence(a, b, blur={blur}).sum().backward()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the memory in use from /proc")
@pytest.mark.parametrize("blur", [0.05, 0.01])
def test_memory_at_full_size_stays_below_a_gigabyte(blur):
    code = textwrap.dedent(PEAK).format(blur=blur)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert 20 < float(out) < 1000
