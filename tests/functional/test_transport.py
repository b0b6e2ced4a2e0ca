"""The Sinkhorn divergence against closed forms, POT, slow references and its own properties."""

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transport_cases import dense_divergence, dense_transport, distances, guess, kl, pair, room

from depthprobe.functional import transport
from depthprobe.functional.transport import sinkhorn_divergence, sinkhorn_potentials

CASES = [("random", 16, 16, 0.1), ("depth", 12, 18, 0.1), ("masked", 18, 12, 0.1), ("depth", 12, 12, 0.05)]
LARGE = [
    (kind, *size, blur)
    for kind in ("random", "depth", "masked")
    for size, blur in (((32, 32), 0.1), ((24, 32), 0.05), ((32, 16), 0.05))
]


@pytest.fixture
def ot():
    return pytest.importorskip("ot")


def translated(h, w, dy, dx):
    """A blob away from the borders, and itself moved."""
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    blob = torch.exp(-((y - 6) ** 2 + (x - 7) ** 2) / 8.0) * ((y - 6).abs() < 4) * ((x - 7).abs() < 4)
    return blob.double()[None], blob.roll((dy, dx), (0, 1)).double()[None]


# Known answers


@pytest.mark.parametrize("blur", [0.5, 0.1, 0.02, 0.005])
@pytest.mark.parametrize("reach", [None, 100.0])
def test_translated_mass_costs_half_the_squared_distance_at_any_blur(blur, reach):
    a, b = translated(24, 32, 9, -2)
    want = (9**2 + 2**2) / 32**2 / 2
    got = sinkhorn_divergence(a, b, blur=blur, reach=reach).item()
    assert got == pytest.approx(want, rel=1e-7 if reach is None else 1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_two_points_at_opposite_corners(dtype):
    a, b = torch.zeros(2, 1, 30, 40, dtype=dtype).unbind(0)
    a[0, 0, 0] = b[0, -1, -1] = 3
    want = (29**2 + 39**2) / 40**2 / 2
    for blur in (0.2, 0.01):
        assert sinkhorn_divergence(a, b, blur=blur).item() == pytest.approx(want, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["random", "depth", "masked", "sparse"])
def test_a_map_is_at_no_distance_from_itself(kind, dtype):
    a, _, valid = pair(kind, 24, 32)
    for blur in (0.2, 0.05):
        own = sinkhorn_divergence(a.to(dtype), a.to(dtype), valid=valid, blur=blur)
        assert abs(own.item()) < 1e-7


@pytest.mark.parametrize("size", [(1, 48), (48, 1)])
def test_one_dimensional_maps_tend_to_the_quantile_formula(size, ot):
    a, b, _ = pair("depth", *size)
    want = ot.emd2_1d(*[np.arange(48.0) / 48] * 2, *((x / x.sum()).flatten().numpy() for x in (a, b))) / 2
    assert sinkhorn_divergence(a, b, blur=0.4 / 48).item() == pytest.approx(want, rel=0.01)


# POT


def pot_cost(ot, p, q, cost, eps):
    """OT(p,q) with entropy relative to p ⊗ q, from POT's plan."""
    plan = ot.sinkhorn(p, q, cost, eps, method="sinkhorn_log", numItermax=20_000, stopThr=1e-7, warn=True)
    return (plan * cost).sum() + eps * kl(plan, np.outer(p, q))


def check_against_pot(ot, kind, h, w, blur):
    a, b, valid = pair(kind, h, w)
    inside = valid.flatten().numpy()
    p, q = (x.flatten().numpy()[inside] / x[valid].sum().item() for x in (a, b))
    cost = distances(h, w)[np.ix_(inside, inside)]
    cross, own_p, own_q = (pot_cost(ot, x, y, cost, blur**2) for x, y in ((p, q), (p, p), (q, q)))
    plain = sinkhorn_divergence(a, b, valid=valid, blur=blur, debias=False)
    assert plain.item() == pytest.approx(cross, rel=1e-4)
    for dtype in (torch.float64, torch.float32):
        got = sinkhorn_divergence(a.to(dtype), b.to(dtype), valid=valid, blur=blur)
        assert got.item() == pytest.approx(cross - own_p / 2 - own_q / 2, rel=1e-4)


@pytest.mark.parametrize(("kind", "h", "w", "blur"), CASES)
def test_equals_pot_at_the_same_eps(ot, kind, h, w, blur):
    check_against_pot(ot, kind, h, w, blur)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "h", "w", "blur"), LARGE)
def test_equals_pot_at_the_same_eps_on_larger_maps(ot, kind, h, w, blur):
    check_against_pot(ot, kind, h, w, blur)


@pytest.mark.parametrize(("kind", "last"), [("random", 0.85), ("depth", 0.94), ("masked", 0.94)])
def test_tends_to_the_exact_cost_as_the_blur_shrinks(ot, kind, last):
    """Mass moves by about a pixel here, and atoms pay for places between pixels, which a blur does not see."""
    a, b, valid = pair(kind, 12, 16)
    inside = valid.flatten().numpy()
    p, q = (x.flatten().numpy()[inside] / x[valid].sum().item() for x in (a, b))
    exact = ot.emd2(p, q, distances(12, 16)[np.ix_(inside, inside)])
    ratios = [
        sinkhorn_divergence(a, b, valid=valid, blur=pixels / 16, max_iterations=3000).item() / exact
        for pixels in (2, 1, 0.5, 0.25)
    ]
    assert ratios == sorted(ratios)
    assert last < ratios[-1] < 1


@pytest.mark.slow
def test_equals_the_exact_cost_where_mass_moves_by_several_pixels(ot):
    b = room(24, 32)
    a = guess(b, strength=1.0)
    exact = ot.emd2(*((x / x.sum()).flatten().numpy() for x in (a, b)), distances(24, 32))
    got = sinkhorn_divergence(a[None], b[None], blur=0.25 / 32, max_iterations=2000)
    assert got.item() == pytest.approx(exact, rel=0.01)


@pytest.mark.slow
def test_the_documented_table_is_what_the_benchmark_prints(ot, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    exactness = importlib.import_module("benchmarks.transport").exactness()
    lines = [line.strip("| ").split("|") for line in transport.__doc__.splitlines() if line.endswith("|")][2:]
    assert len(lines) == len(exactness)
    for (first, *said), (name, (moved, ratios)) in zip(lines, exactness.items(), strict=True):
        assert first.strip() == f"{name}, {moved:.1f} px"
        assert [float(x) for x in said] == pytest.approx(ratios, abs=6e-5)


# A slow reference


@pytest.mark.parametrize("reach", [None, 0.05, 0.3, 1.0])
@pytest.mark.parametrize(("kind", "h", "w"), [("random", 6, 8), ("sparse", 12, 10), ("depth", 1, 17), ("depth", 17, 1)])
def test_equals_plain_iterations_on_the_whole_cost_matrix(kind, h, w, reach):
    a, b, valid = pair(kind, h, w, seed=3)
    b[:, h // 2, w // 2] = 0
    p, q = a * valid, b * valid
    totals = (p.sum(), q.sum()) if reach is None else ((p.sum() + q.sum()) / 2,) * 2
    p, q = p / totals[0], q / totals[1]
    blur = 0.12
    got = sinkhorn_divergence(a, b, valid=valid, blur=blur, reach=reach, tolerance=1e-9)
    assert got.item() == pytest.approx(dense_divergence(p[0], q[0], blur, reach), rel=1e-5, abs=1e-9)
    got = sinkhorn_divergence(a, b, valid=valid, blur=blur, reach=reach, debias=False)
    assert got.item() == pytest.approx(dense_transport(p[0], q[0], blur, reach), rel=1e-5)


@pytest.mark.parametrize("reach", [None, 0.3])
@pytest.mark.parametrize(
    ("kind", "h", "w", "pixels"),
    [
        ("depth", 10, 14, 1.0),
        ("masked", 12, 20, 1.0),
        ("sparse", 10, 14, 2.0),
        ("depth", 20, 24, 0.4),
        ("random", 1, 4, 0.2),
        ("random", 3, 2, 0.15),
        ("random", 14, 14, 0.25),
        ("depth", 1, 48, 0.25),
        ("sparse", 12, 12, 0.3),
    ],
)
def test_potentials_give_a_plan_with_the_marginals(kind, h, w, pixels, reach):
    """A plan of this form with these marginals is the optimal one, whatever found it; also far below a pixel."""
    a, b, valid = pair(kind, h, w)
    blur = pixels / max(h, w)
    f, g, residual, _, converged = sinkhorn_potentials(a, b, valid=valid, blur=blur, reach=reach)
    p, q = ((x * valid).flatten() for x in (a, b))
    p, q = (x / (x.sum() if reach is None else (p.sum() + q.sum()) / 2) for x in (p, q))
    scaled = (f.flatten()[:, None] + g.flatten() - torch.from_numpy(distances(h, w))) / blur**2
    plan = p[:, None] * q * scaled.exp()
    grown = 1.0
    if reach is not None:
        kept = [torch.exp(-y.flatten() / reach**2) for y in (f, g)]  # how much of its mass a pixel sends
        p, q, grown = p * kept[0], q * kept[1], max(1.0, *(float(x.max()) for x in kept))
    assert converged
    errors = float((plan.sum(1) - p).abs().sum()), float((plan.sum(0) - q).abs().sum())
    rounding = 1e-15 / blur**2 + 1e-12  # of exponents as large as 1 / blur²
    assert min(errors) < rounding
    assert residual.item() <= 1e-5
    assert max(errors) <= 1.1 * grown * residual.item() + rounding


def test_symmetric_potentials_are_those_of_a_map_with_itself():
    a, _, _ = pair("depth", 9, 13)
    own, cross = (sinkhorn_potentials(a, b, blur=0.1, tolerance=1e-10) for b in (None, a))
    torch.testing.assert_close(own.f, own.g, rtol=0, atol=1e-10)
    both = cross.f + cross.g  # each is free up to a constant
    torch.testing.assert_close(own.f + own.g, both, rtol=0, atol=1e-9)


# The gradient


def settings_for_gradients():
    return [{}, {"reach": 0.4}, {"debias": False}, {"reach": 0.4, "debias": False}, {"blur": 0.1}]


@pytest.mark.parametrize("options", settings_for_gradients(), ids=str)
def test_gradient_equals_finite_differences(options):
    a, b, valid = pair("masked", 4, 5)
    options = {"blur": 0.2, **options, "valid": valid, "tolerance": 1e-11}
    a.requires_grad_()
    b.requires_grad_()
    torch.autograd.gradcheck(lambda x, y: sinkhorn_divergence(x, y, **options), (a, b), eps=1e-4, rtol=1e-4, atol=1e-7)


def test_gradient_at_pixels_without_mass_is_that_of_adding_some():
    a, b, _ = pair("depth", 8, 10)
    a[:, 2:5, 3:7] = 0
    a.requires_grad_()
    sinkhorn_divergence(a, b, tolerance=1e-11, blur=0.1).backward()
    base = sinkhorn_divergence(a.detach(), b, tolerance=1e-11, blur=0.1)
    for y, x in ((2, 3), (3, 5), (4, 6)):
        more = a.detach().clone()
        more[0, y, x] = 1e-4
        slope = (sinkhorn_divergence(more, b, tolerance=1e-11, blur=0.1) - base) / 1e-4
        assert a.grad[0, y, x].item() == pytest.approx(slope.item(), rel=1e-3)


def test_gradient_is_blind_to_scale_when_balanced():
    a, b, valid = pair("masked", 12, 10)
    a.requires_grad_()
    sinkhorn_divergence(a, b, valid=valid).backward()
    assert abs((a.grad * a.detach()).sum().item()) < 1e-12 * float(a.grad.norm() * a.detach().norm())
    assert not bool(a.grad[~valid].any())


def test_default_tolerance_gives_gradients_to_a_thousandth_also_in_float32():
    a, b, valid = pair("masked", 24, 32)
    for blur in (0.1, 0.05, 0.02):
        grads = []
        for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
            x = a.detach().clone().to(dtype).requires_grad_()
            sinkhorn_divergence(x, b.to(dtype), valid=valid, blur=blur, tolerance=tolerance).backward()
            grads.append(x.grad.double())
        assert float((grads[1] - grads[0]).norm() / grads[0].norm()) < 1e-3


def test_second_derivatives_are_refused():
    a, b, _ = pair("random", 5, 6)
    (grad,) = torch.autograd.grad(sinkhorn_divergence(a.requires_grad_(), b).sum(), a, create_graph=True)
    with pytest.raises(RuntimeError, match="Expected first derivatives"):
        grad.sum().backward()


# Properties


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    h=st.integers(1, 14),
    w=st.integers(1, 14),
    blur=st.sampled_from([0.5, 0.1, 0.05, 0.02]),
    reach=st.sampled_from([None, 0.3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_never_negative_and_symmetric(seed, h, w, blur, reach, dtype):
    rng = torch.Generator().manual_seed(seed)
    a, b = (torch.rand(1, h, w, generator=rng) * (torch.rand(1, h, w, generator=rng) < 0.7) for _ in range(2))
    a[0, 0, 0] = b[0, -1, -1] = 1
    a, b = a.to(dtype), b.to(dtype)
    there, back = (sinkhorn_divergence(*x, blur=blur, reach=reach).item() for x in ((a, b), (b, a)))
    assert there >= -1e-7
    assert there == pytest.approx(back, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("reach", [None, 0.3])
def test_turning_mirroring_and_the_unit_of_mass_change_nothing(reach):
    a, b, valid = pair("masked", 12, 18)
    want = sinkhorn_divergence(a, b, valid=valid, reach=reach)
    turns = [lambda x: x.flip(1), lambda x: x.flip(2), lambda x: x.transpose(1, 2)]
    for turn in turns:
        got = sinkhorn_divergence(turn(a), turn(b), valid=turn(valid), reach=reach)
        torch.testing.assert_close(got, want, rtol=1e-7, atol=0)
    got = sinkhorn_divergence(1000 * a, 1000 * b, valid=valid, reach=reach)
    torch.testing.assert_close(got, want, rtol=1e-7, atol=0)


def test_balanced_is_blind_to_either_scale_and_unbalanced_is_not():
    a, b, _ = pair("depth", 10, 12)
    torch.testing.assert_close(sinkhorn_divergence(5 * a, b), sinkhorn_divergence(a, b), rtol=1e-9, atol=0)
    same, more = (sinkhorn_divergence(s * b, b, reach=0.3).item() for s in (1, 1.2))
    assert abs(same) < 1e-9 < 1e-4 < more


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_unbalanced_with_equal_masses_and_a_long_reach_is_balanced(dtype):
    a, b, _ = (x.to(dtype) for x in pair("depth", 24, 32))
    b = b / b.sum() * a.sum()
    want = sinkhorn_divergence(a, b).item()
    assert sinkhorn_divergence(a, b, reach=300.0).item() == pytest.approx(want, rel=1e-4)


def test_samples_do_not_see_each_other():
    maps = [pair(kind, 24, 32, seed) for seed, kind in enumerate(["random", "depth", "masked", "sparse"])]
    a, b, valid = (torch.cat(x) for x in zip(*maps, strict=True))
    together = sinkhorn_divergence(a, b, valid=valid)
    alone = torch.cat([sinkhorn_divergence(*x[:2], valid=x[2]) for x in maps])
    torch.testing.assert_close(together, alone, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("junk", [float("nan"), float("inf"), -5.0, 1e30])
def test_invalid_pixels_have_no_influence_and_no_gradient(junk):
    a, b, valid = pair("masked", 12, 16)
    want = sinkhorn_divergence(a, b, valid=valid)
    x, y = (m.where(valid, torch.tensor(junk, dtype=m.dtype)).requires_grad_() for m in (a, b))
    got = sinkhorn_divergence(x, y, valid=valid)
    got.sum().backward()
    assert torch.equal(got.detach(), want)
    for z in (x, y):
        assert bool(z.grad.isfinite().all())
        assert not bool(z.grad[~valid].any())


def extremes(h=20, w=30):
    """Legal maps that break careless solvers."""
    corner, other, tiny = torch.zeros(h, w), torch.zeros(h, w), torch.full((h, w), 1e-38)
    corner[0, 0], other[-1, -1] = 1e-30, 1e30
    wide = 10 ** torch.linspace(-37, 37, h * w).view(h, w)
    checks = ((torch.arange(h)[:, None] + torch.arange(w)) % 2).float()
    return {"corner": corner, "other": other, "tiny": tiny, "wide": wide, "turned": wide.flip(0, 1), "checks": checks}


@pytest.mark.parametrize("reduced", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("blur", [1.0, 0.05, 0.01])
def test_legal_input_never_gives_nan(blur, reduced):
    maps = extremes()
    names = [(x, y) for x in maps for y in maps]
    a, b = (torch.stack([maps[n[i]] for n in names]).requires_grad_() for i in range(2))
    if reduced is torch.float16:
        a, b = (x.detach().clamp(max=6e4) + 0.01 * (x.detach() > 0) for x in (a, b))
        a, b = (x.half().requires_grad_() for x in (a, b))
    with warnings.catch_warnings(), torch.autocast("cpu", torch.bfloat16, enabled=reduced is torch.bfloat16):
        warnings.simplefilter("ignore", RuntimeWarning)
        value = sinkhorn_divergence(a, b, blur=blur, max_iterations=50)
        value.sum().backward()
    assert value.dtype == torch.float32
    assert bool(value.isfinite().all())
    assert not bool(a.grad.isnan().any() | b.grad.isnan().any())


def test_autocast_changes_nothing():
    a, b, valid = pair("masked", 24, 32)
    a, b = a.float(), b.float()
    want = sinkhorn_divergence(a, b, valid=valid)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(sinkhorn_divergence(a, b, valid=valid), want)


def product_format():
    """How products of float32 are computed now; an older torch says it by another name."""
    product = torch.backends.cuda.matmul
    if hasattr(product, "fp32_precision"):
        return product.fp32_precision
    return "tf32" if product.allow_tf32 else "ieee"


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_reduced_precision_of_matrix_products_is_off_inside_and_as_before_after(precision, monkeypatch):
    a, b, valid = pair("masked", 24, 32)
    a, b, allowed = a.float(), b.float(), []
    want, solve = sinkhorn_divergence(a, b, valid=valid), transport.potentials

    def watched(problem):
        allowed.append(product_format())
        if len(allowed) > 2:
            raise KeyError("half-way")
        return solve(problem)

    monkeypatch.setattr(transport, "potentials", watched)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        assert torch.equal(sinkhorn_divergence(a, b, valid=valid), want)
        with pytest.raises(KeyError):
            sinkhorn_divergence(a, b, valid=valid)
        assert torch.get_float32_matmul_precision() == precision
        assert (allowed, product_format()) == (["ieee"] * 3, "tf32")
    finally:
        torch.set_float32_matmul_precision(before)


# Effort


@pytest.mark.parametrize(("blur", "most"), [(0.1, 8), (0.05, 10), (0.02, 16)])
def test_few_iterations_suffice_on_depth(blur, most):
    """Plain Sinkhorn needs about 5 / blur² iterations for the same residual; with holes the waves are less even."""
    b = room(48, 64)
    found = sinkhorn_potentials(guess(b)[None], b[None], blur=blur)
    assert found.converged and found.iterations <= most
    a, b, valid = pair("masked", 48, 64)
    found = sinkhorn_potentials(a, b, valid=valid, blur=blur)
    assert found.converged and found.iterations <= 2 * most


def test_an_unmet_tolerance_is_said_and_the_value_is_still_close():
    a, b, _ = pair("depth", 24, 32)
    want = sinkhorn_divergence(a, b, blur=0.02).item()
    with pytest.warns(RuntimeWarning, match=r"to 1e-12, but after 2 iterations it misses"):
        got = sinkhorn_divergence(a, b, blur=0.02, tolerance=1e-12, max_iterations=2).item()
    assert got == pytest.approx(want, rel=0.01)
    found = sinkhorn_potentials(a, b, blur=0.02, tolerance=1e-12, max_iterations=2)
    assert not found.converged and found.residual.item() > 1e-12


def test_float32_does_not_chase_its_own_rounding():
    a, b, _ = (x.float() for x in pair("depth", 24, 32))
    found = sinkhorn_potentials(a, b, blur=0.05, tolerance=0)
    assert found.converged and found.iterations < 30


# Refusals


def test_refusals():
    a = torch.ones(2, 4, 5)
    with pytest.raises(ValueError, match=r"Expected `b` to have shape \(b h w\) with w=5, but got \(2, 4, 6\)"):
        sinkhorn_divergence(a, torch.ones(2, 4, 6))
    with pytest.raises(ValueError, match=r"Expected `a` to have shape \(b h w\)"):
        sinkhorn_divergence(a[:, None], a)
    with pytest.raises(ValueError, match="Expected `valid`"):
        sinkhorn_divergence(a, a, valid=torch.ones(2, 4, 4, dtype=torch.bool))
    for junk in (float("nan"), float("inf"), -1e-3):
        bad = a.clone()
        bad[1, 2, 3] = junk
        for x, y, name in ((bad, a, "a"), (a, bad, "b")):
            with pytest.raises(ValueError, match=f"Expected `{name}` to be finite and not negative where valid"):
                sinkhorn_divergence(x, y)
    empty = a.clone()
    empty[1] = 0
    with pytest.raises(ValueError, match=r"Expected `b` to have a positive total mass, but samples \[1\] have none"):
        sinkhorn_divergence(a, empty)
    with pytest.raises(ValueError, match=r"Expected `a` to have a sample and a pixel"):
        sinkhorn_divergence(a[:0], a[:0])
    for name in ("blur", "reach"):
        with pytest.raises(ValueError, match=f"Expected `{name}`"):
            sinkhorn_divergence(a, a, **{name: 0.0})
    with pytest.raises(ValueError, match="Expected `a` and `b` to weigh comparably"):
        sinkhorn_divergence(a, 1e-42 * a, reach=1.0)
