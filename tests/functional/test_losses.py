"""Losses: each against a slow reference from its paper, and what holds for every registered one."""

import itertools
import math
import statistics

import pytest
import torch

from depthprobe.functional.losses import (
    LOSSES,
    berhu_loss,
    gradient_matching_loss,
    optimal_transport_depth_loss,
    optimal_transport_terms,
    silog_loss,
    ssi_mse_loss,
    ssi_trimmed_loss,
)
from depthprobe.functional.metrics import INVARIANCES
from depthprobe.functional.transport import histogram_wasserstein, row_wasserstein, sinkhorn_divergence

NAMES = LOSSES.names()
H, W = 7, 9


def example(batch=3, seed=0, dtype=torch.float64, share=0.8):
    """Depth, a prediction off by about 30 %, a mask and an image."""
    rng = torch.Generator().manual_seed(seed)
    depth = torch.rand(batch, 1, H, W, generator=rng, dtype=torch.float64) * 8 + 0.5
    pred = depth * torch.exp(0.1 + 0.3 * torch.randn(depth.shape, generator=rng, dtype=torch.float64))
    valid = torch.rand(depth.shape, generator=rng) < share
    valid[:, :, 2:6, 2:7] = True  # some whole 3x3 neighbourhoods
    image = torch.rand(batch, 3, H, W, generator=rng, dtype=torch.float64)
    return pred.to(dtype), depth.to(dtype), valid, image.to(dtype)


def value(name, pred, depth, valid, image, **options):
    """A loss by name, with the image if its facts ask for it: as the training loop calls it."""
    extra = {"image": image} if "image" in LOSSES.facts(name)["inputs"].split() else {}
    return LOSSES[name](pred, depth, valid, **extra, **options)


# Slow references: one image, nested lists z, g, v (H,W) and image m (3,H,W)


def pixels(v):
    return [(y, x) for y in range(H) for x in range(W) if v[y][x]]


def neighbours(v, step=1):
    """Pairs of valid pixels `step` apart along x and along y, on the grid of every step-th pixel."""
    for y, x in itertools.product(range(0, H, step), range(0, W, step)):
        for b, a in ((y, x + step), (y + step, x)):
            if b < H and a < W and v[y][x] and v[b][a]:
                yield (y, x), (b, a)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def slow_silog(z, g, v, m):
    d = [math.log(z[y][x] / g[y][x]) for y, x in pixels(v)]
    return math.sqrt(mean(e * e for e in d) - 0.5 * mean(d) ** 2 + 1e-8)


def slow_mse(z, g, v, m):
    return mean((z[y][x] - g[y][x]) ** 2 for y, x in pixels(v))


def slow_berhu(z, g, v, m, c):
    errors = [abs(z[y][x] - g[y][x]) for y, x in pixels(v)]
    return mean(e if e <= c else (e * e + c * c) / (2 * c) for e in errors)


def matching(residual, v, scales=4):
    total = 0
    for k in range(scales):
        n = len([p for p in pixels(v) if p[0] % 2**k == 0 and p[1] % 2**k == 0])
        total += sum(abs(residual(p) - residual(q)) for p, q in neighbours(v, 2**k)) / n
    return total


def slow_gradient_matching(z, g, v, m):
    return matching(lambda p: math.log(z[p[0]][p[1]] / g[p[0]][p[1]]), v)


def least_squares(z, g, v):
    """Scale and shift of 1/z that fit 1/g best, by the normal equations."""
    pairs = [(1 / z[y][x], 1 / g[y][x]) for y, x in pixels(v)]
    a, b, n = sum(p * p for p, _ in pairs), sum(p for p, _ in pairs), len(pairs)
    c, d = sum(p * q for p, q in pairs), sum(q for _, q in pairs)
    return (n * c - b * d) / (n * a - b * b), (a * d - b * c) / (n * a - b * b)


def slow_ssi_mse(z, g, v, m):
    s, t = least_squares(z, g, v)
    return mean((s / z[y][x] + t - 1 / g[y][x]) ** 2 for y, x in pixels(v)) / 2


def robust(z, v):
    values = {p: 1 / z[p[0]][p[1]] for p in pixels(v)}
    median = statistics.median_low(values.values())
    spread = mean(abs(d - median) for d in values.values())
    return {p: (d - median) / spread for p, d in values.items()}


def slow_ssi_trimmed(z, g, v, m):
    a, b = robust(z, v), robust(g, v)
    errors = sorted(abs(a[p] - b[p]) for p in a)
    return sum(errors[: int(0.8 * len(errors))]) / (2 * len(errors))


def slow_edge_aware_smoothness(z, g, v, m):
    average = mean(1 / z[y][x] for y, x in pixels(v))
    sums = {0: [], 1: []}
    for (y, x), (b, a) in neighbours(v):
        colour = mean(abs(channel[y][x] - channel[b][a]) for channel in m)
        sums[b - y].append(abs(1 / z[y][x] - 1 / z[b][a]) / average * math.exp(-colour))
    return mean(sums[0]) + mean(sums[1])


def slow_depth_gradient_normal(z, g, v, m):
    def at(f, y, x):
        return f[min(max(y, 0), H - 1)][min(max(x, 0), W - 1)]

    def slope(f, y, x):
        dx = sum(k * (at(f, y + i, x + 1) - at(f, y + i, x - 1)) for i, k in ((-1, 1), (0, 2), (1, 1)))
        dy = sum(k * (at(f, y + 1, x + i) - at(f, y - 1, x + i)) for i, k in ((-1, 1), (0, 2), (1, 1)))
        return dx, dy

    around = list(itertools.product((-1, 0, 1), repeat=2))
    whole = [(y, x) for y in range(H) for x in range(W) if all(at(v, y + i, x + j) for i, j in around)]
    depth = mean(math.log(abs(z[y][x] - g[y][x]) + 0.5) for y, x in pixels(v))
    along, normals = [], []
    for y, x in whole:
        (a, b), (c, d) = slope(z, y, x), slope(g, y, x)
        along.append(math.log(abs(a - c) + 0.5) + math.log(abs(b - d) + 0.5))
        normals.append(1 - (a * c + b * d + 1) / math.sqrt((a * a + b * b + 1) * (c * c + d * d + 1)))
    return depth + mean(along) + mean(normals)


REFERENCE = {
    "silog": slow_silog,
    "mse": slow_mse,
    "gradient_matching": slow_gradient_matching,
    "ssi_mse": slow_ssi_mse,
    "ssi_trimmed": slow_ssi_trimmed,
    "edge_aware_smoothness": slow_edge_aware_smoothness,
    "depth_gradient_normal": slow_depth_gradient_normal,
}


def lists(i, pred, depth, valid, image):
    """Image i as nested lists; invalid pixels hold NaN, so that a reference that reads them shows."""
    z, g = (x[i, 0].where(valid[i, 0], torch.nan) for x in (pred, depth))
    return z.tolist(), g.tolist(), valid[i, 0].tolist(), image[i].tolist()


def test_every_loss_has_a_reference():
    assert sorted([*REFERENCE, "berhu", "optimal_transport"]) == NAMES  # these two have tests of their own below


@pytest.mark.parametrize("name", sorted(REFERENCE))
def test_loss_equals_its_slow_reference(name):
    given = example()
    want = mean(REFERENCE[name](*lists(i, *given)) for i in range(3))
    assert value(name, *given).item() == pytest.approx(want, rel=1e-10)


def test_berhu_equals_its_slow_reference():
    given = example()
    c = 0.2 * float((given[0] - given[1]).abs()[given[2]].max())
    for options, cut in (({}, c), ({"threshold": 0.7}, 0.7), ({"share": 0.5}, 2.5 * c)):
        want = mean(slow_berhu(*lists(i, *given), cut) for i in range(3))
        assert berhu_loss(*given[:3], **options).item() == pytest.approx(want, rel=1e-12)


# What holds for every registered loss


@pytest.mark.parametrize("name", NAMES)
def test_facts(name):
    facts = LOSSES.facts(name)
    assert facts["source"]
    assert LOSSES[name].__doc__
    assert facts["inputs"].startswith("pred depth valid")
    assert set(facts["invariant"]) <= set(INVARIANCES)


@pytest.mark.parametrize("name", NAMES)
def test_gradient(name):
    pred, depth, valid, image = example(batch=1 if name == "optimal_transport" else 2)
    options = {}
    if name == "berhu":
        options = {"threshold": 0.7}  # its own threshold is a constant in the gradient
    if name == "optimal_transport":
        options = {"weight": 30.0, "transport_options": {"tolerance": 1e-11}}  # a weight by ratio is, too
    torch.autograd.gradcheck(lambda z: value(name, z, depth, valid, image, **options), pred.requires_grad_(), atol=1e-6)


@pytest.mark.parametrize("name", [n for n in NAMES if LOSSES.facts(n)["perfect"] is not None])
def test_perfect_prediction_has_the_stated_value_and_it_is_the_least(name):
    pred, depth, valid, image = example()
    best = value(name, depth, depth, valid, image).item()
    assert best == pytest.approx(LOSSES.facts(name)["perfect"], abs=1e-9)
    assert value(name, pred, depth, valid, image).item() > best + 1e-3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", [math.nan, math.inf, -1.0, 0.0])
def test_invalid_pixels_have_no_influence_and_no_gradient(name, junk):
    pred, depth, valid, image = example()
    want = value(name, pred, depth, valid, image)
    spoiled = pred.where(valid, junk).requires_grad_()
    got = value(name, spoiled, depth.where(valid, junk), valid, image)
    got.backward()
    assert torch.equal(got.detach(), want)
    assert bool(spoiled.grad.isfinite().all())
    assert not bool(spoiled.grad[~valid].any())
    assert bool(spoiled.grad[valid].any())


@pytest.mark.parametrize("name", NAMES)
def test_an_image_without_valid_pixels_has_no_part(name):
    pred, depth, valid, image = example()
    valid[1] = False
    spoiled = pred.clone()
    spoiled[1] = torch.nan
    spoiled.requires_grad_()
    got = value(name, spoiled, depth, valid, image)
    got.backward()
    kept = [0, 2]
    want = value(name, pred[kept], depth[kept], valid[kept], image[kept])
    assert got.item() == pytest.approx(want.item(), rel=1e-9)
    assert not bool(spoiled.grad[1].any())


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_without_valid_pixels_is_refused(name):
    pred, depth, valid, image = example()
    with pytest.raises(ValueError, match="Expected at least one valid pixel in the batch"):
        value(name, pred, depth, valid & False, image)
    with pytest.raises(ValueError, match=r"Expected `depth` to have shape \(b 1 h w\) with w=9"):
        value(name, pred, depth[..., :5], valid, image)


@pytest.mark.parametrize("name", NAMES)
def test_a_single_valid_pixel_and_a_constant_prediction_give_finite_values(name):
    pred, depth, valid, image = example()
    for v, z in ((valid & False, pred), (valid, torch.full_like(pred, 2.0))):
        v = v.clone()
        v[:, :, 3, 4] = True
        z = z.clone().requires_grad_()
        got = value(name, z, depth, v, image)
        got.backward()
        assert bool(got.isfinite() & z.grad.isfinite().all())


TRANSFORMS = {
    "scale": lambda z, g: (1.7 * z, g),
    "units": lambda z, g: (0.4 * z, 0.4 * g),
    "swap": lambda z, g: (g, z),
    "inverse": lambda z, g: (1 / z, 1 / g),
}


@pytest.mark.parametrize("kind", sorted(TRANSFORMS))
@pytest.mark.parametrize("name", NAMES)
def test_declared_invariances_hold_and_no_others(name, kind):
    pred, depth, valid, image = example()
    want = value(name, pred, depth, valid, image)
    got = value(name, *TRANSFORMS[kind](pred, depth), valid, image)
    same = torch.allclose(got, want, rtol=1e-6)
    assert same == (kind in LOSSES.facts(name)["invariant"]), (got, want)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_close_to_float64(name):
    given = example()
    got = value(name, *(x.float() if x.is_floating_point() else x for x in given))
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(value(name, *given).item(), rel=1e-4)


# Scale and shift


@pytest.mark.parametrize("loss", [ssi_mse_loss, ssi_trimmed_loss])
@pytest.mark.parametrize("gradient", [0.0, 0.5])
def test_scale_and_shift_of_the_disparity_do_not_matter(loss, gradient):
    pred, depth, valid, _ = example()
    moved = 1 / (0.3 / pred + 0.2)
    want = loss(pred, depth, valid, gradient=gradient)
    torch.testing.assert_close(loss(moved, depth, valid, gradient=gradient), want)
    assert loss(1 / (2 / depth + 0.1), depth, valid, gradient=gradient).item() == pytest.approx(0, abs=1e-12)
    assert not torch.isclose(loss(pred + 1, depth, valid, gradient=gradient), want)  # in depth it does


def test_gradient_matching_of_aligned_maps_is_added():
    given = example()
    want = 0
    for i in range(3):
        z, g, v, _ = lists(i, *given)
        s, t = least_squares(z, g, v)
        want += matching(lambda p, z=z, g=g, s=s, t=t: s / z[p[0]][p[1]] + t - 1 / g[p[0]][p[1]], v, scales=2) / 3
    with_it, without = (ssi_mse_loss(*given[:3], gradient=x, scales=2).item() for x in (0.5, 0.0))
    assert with_it - without == pytest.approx(0.5 * want, rel=1e-9)


@pytest.mark.parametrize("loss", [gradient_matching_loss, ssi_mse_loss, ssi_trimmed_loss])
def test_unknown_domains_are_refused(loss):
    pred, depth, valid, _ = example()
    assert loss(pred, depth, valid, domain="depth") != loss(pred, depth, valid, domain="log")
    with pytest.raises(ValueError, match="Expected `domain` to be one of"):
        loss(pred, depth, valid, domain="inverse")


# Optimal transport

COSTS = {"position": sinkhorn_divergence, "rows": row_wasserstein, "values": histogram_wasserstein}


@pytest.mark.parametrize("space", sorted(COSTS))
@pytest.mark.parametrize("base", ["silog", "mse"])
def test_it_is_base_plus_weight_times_transport(space, base):
    pred, depth, valid, _ = example()
    cost = COSTS[space](pred[:, 0], depth[:, 0], valid=valid[:, 0]).mean()
    want = LOSSES[base](pred, depth, valid) + 3 * cost
    got = optimal_transport_depth_loss(pred, depth, valid, space=space, base=base, weight=3.0)
    assert got.item() == pytest.approx(want.item(), rel=1e-9)


@pytest.mark.parametrize("space", sorted(COSTS))
def test_weight_by_ratio_makes_the_gradients_lengths_that_ratio(space):
    pred, depth, valid, _ = example()
    pred.requires_grad_()
    terms = optimal_transport_terms(pred, depth, valid, space=space, ratio=0.25)
    base, cost = (torch.autograd.grad(t, pred, retain_graph=True)[0] for t in terms[:2])
    assert not terms.weight.requires_grad
    assert float(terms.weight * cost.norm() / base.norm()) == pytest.approx(0.25, rel=1e-9)
    whole = torch.autograd.grad(optimal_transport_depth_loss(pred, depth, valid, space=space, ratio=0.25), pred)[0]
    torch.testing.assert_close(whole, base + terms.weight * cost)


def test_weight_by_ratio_reaches_through_a_network_and_works_without_gradients():
    _, depth, valid, image = example()
    net = torch.nn.Conv2d(3, 1, 3, padding=1, dtype=torch.float64)
    pred = torch.nn.functional.softplus(net(image)) + 0.1
    live = optimal_transport_depth_loss(pred, depth, valid)
    live.backward()
    assert all(bool(p.grad.isfinite().all() & p.grad.any()) for p in net.parameters())
    with torch.no_grad():
        quiet = optimal_transport_depth_loss(pred, depth, valid)
    assert not quiet.requires_grad
    assert quiet.item() == pytest.approx(live.item(), rel=1e-12)
    assert optimal_transport_depth_loss(pred.detach(), depth, valid).item() == pytest.approx(live.item(), rel=1e-12)


@pytest.mark.parametrize("space", sorted(COSTS))
@pytest.mark.parametrize("options", [{}, {"weight": 100.0}, {"base": "mse"}], ids=str)
def test_detached_transport_trains_exactly_like_the_base(space, options):
    pred, depth, valid, _ = example()
    pred.requires_grad_()
    got = optimal_transport_depth_loss(pred, depth, valid, space=space, detach_transport=True, **options)
    base = LOSSES[options.get("base", "silog")](pred, depth, valid)
    (mine,), (theirs,) = (torch.autograd.grad(x, pred) for x in (got, base))
    assert torch.equal(mine, theirs)
    assert got.item() > base.item() * (1 + 1e-6)
    live = optimal_transport_depth_loss(pred, depth, valid, space=space, **options)
    assert not torch.allclose(torch.autograd.grad(live, pred)[0], theirs)


def test_transport_is_blind_to_scale_in_position_and_rows_only():
    pred, depth, valid, _ = example()
    for space, blind in (("position", True), ("rows", True), ("values", False)):
        one, two = (
            optimal_transport_terms(s * pred, depth, valid, space=space, weight=1.0).transport for s in (1, 1.5)
        )
        assert torch.isclose(one, two, rtol=1e-6).item() == blind
    one, two = (
        optimal_transport_terms(s * pred, depth, valid, weight=1.0, transport_options={"reach": 0.3}).transport
        for s in (1, 1.5)
    )
    assert not torch.isclose(one, two, rtol=1e-3)


def test_options_reach_base_and_transport():
    pred, depth, valid, _ = example()
    terms = optimal_transport_terms(
        pred, depth, valid, weight=1.0, base_options={"variance_focus": 0.85}, transport_options={"blur": 0.2}
    )
    assert terms.base.item() == silog_loss(pred, depth, valid, variance_focus=0.85).item()
    want = sinkhorn_divergence(pred[:, 0], depth[:, 0], valid=valid[:, 0], blur=0.2).mean()
    assert terms.transport.item() == want.item()


def test_gradient_steps_on_the_transport_bring_mass_to_its_place():
    _, depth, valid, _ = example(share=1.1)
    pred = depth.flip(3).clone().requires_grad_()
    optimizer = torch.optim.Adam([pred], lr=0.2)
    first = None
    for _ in range(40):
        optimizer.zero_grad()
        cost = optimal_transport_terms(pred, depth, valid, weight=1.0).transport
        first = cost.item() if first is None else first
        cost.backward()
        optimizer.step()
        with torch.no_grad():
            pred.clamp_(min=0.01)
    assert cost.item() < 0.1 * first


def test_refusals():
    pred, depth, valid, _ = example()
    with pytest.raises(ValueError, match=r"Expected `space` to be one of \['position', 'rows', 'values'\]"):
        optimal_transport_depth_loss(pred, depth, valid, space="columns")
    for base in ("optimal_transport", "edge_aware_smoothness", "nothing"):
        with pytest.raises(ValueError, match="Expected `base` to be one of"):
            optimal_transport_depth_loss(pred, depth, valid, base=base)
    for given in ({"base_options": {"blur": 0.1}}, {"transport_options": {"blurr": 0.1}}):
        with pytest.raises(ValueError, match=f"Expected `{next(iter(given))} key` to be one of"):
            optimal_transport_depth_loss(pred, depth, valid, **given)
    with pytest.raises(ValueError, match="Expected `ratio`"):
        optimal_transport_depth_loss(pred, depth, valid, ratio=-1.0)
    bad = pred.clone()
    bad[0, 0, 3, 4] = -1
    with pytest.raises(ValueError, match="Expected `a` to be finite and not negative where valid"):
        optimal_transport_depth_loss(bad, depth, valid)
