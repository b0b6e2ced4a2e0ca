"""What holds for every metric of neighbouring pixels, whatever it is; degradations that each of them must see."""

import math

import pytest
import torch
from structures import prediction, truth

from depthprobe.data import load_dataset
from depthprobe.functional.filters import gaussian_blur
from depthprobe.functional.metrics import INVARIANCES, METRICS, Terms, Truth, all_metrics, measure
from depthprobe.functional.terms import KNOWN

STRUCTURE = [n for n in METRICS.names() if METRICS.facts(n).get("scope") == "structure"]
NAMES = [n for n in STRUCTURE if "terms" in METRICS.facts(n)]
BOUNDARY = ("hu_", "depthpro_", "moge_", "dbe_", "syns_", "dde_")
TRANSFORMS = {
    "scale": lambda z, g: (1.7 * z, g),
    "units": lambda z, g: (0.4 * z, 0.4 * g),
    "swap": lambda z, g: (g, z),
    "inverse": lambda z, g: (7 / z, 7 / g),
}


def example(batch=3, far=2.6):
    """Depths from below 3 m to above 10 m, so that every metric has something to say."""
    depth, valid, known = truth(batch)
    return far * prediction(depth, noise=0.03), far * depth, valid, known


def call(name, pred, depth, valid, known):
    wanted = METRICS.facts(name)["inputs"].split()[3:]
    return METRICS[name](pred, depth, valid, **{k: known[k] for k in wanted})


@pytest.mark.parametrize("name", STRUCTURE)
def test_facts(name):
    facts = METRICS.facts(name)
    first = METRICS[name].__doc__.splitlines()[0]
    assert first.endswith(".") and len(first) < 120
    assert "terms" not in facts or set(facts["inputs"].split()) <= {"pred", "depth", "valid", *KNOWN}
    if "perfect" in facts and not math.isnan(facts["perfect"]):
        assert facts["range"][0] <= facts["perfect"] <= facts["range"][1]
    assert "perfect" in facts or facts["better"] == "none"


@pytest.mark.parametrize("name", NAMES)
def test_perfect_prediction_has_the_stated_best_value(name):
    pred, depth, valid, known = example()
    facts = METRICS.facts(name)
    best, got = call(name, depth, depth, valid, known), call(name, pred, depth, valid, known)
    assert best.tolist() == pytest.approx([facts["perfect"]] * 3, abs=1e-7)
    if facts["better"] != "none":
        assert bool(((got >= best) if facts["better"] == "lower" else (got <= best)).all())
    assert bool((got != best).any())
    assert bool(((got >= facts["range"][0] - 1e-12) & (got <= facts["range"][1] + 1e-12)).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("junk", [math.nan, math.inf, -1.0, 0.0])
def test_invalid_pixels_have_no_effect(name, junk):
    pred, depth, valid, known = example()
    want = call(name, pred, depth, valid, known)
    assert torch.equal(call(name, pred.where(valid, junk), depth.where(valid, junk), valid, known), want)


@pytest.mark.parametrize("name", NAMES)
def test_empty_mask_gives_nan_and_leaves_the_other_samples_alone(name):
    pred, depth, valid, known = example()
    want = call(name, pred, depth, valid, known)
    valid[1] = False
    got = call(name, pred, depth, valid, known)
    assert bool(got[1].isnan())
    assert torch.equal(got[[0, 2]], want[[0, 2]])


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 4)])
def test_images_too_small_to_have_structure(size):
    depth, valid = torch.full((2, 1, *size), 2.0), torch.ones(2, 1, *size, dtype=torch.bool)
    known = {"planes": torch.zeros(2, 1, *size), "intrinsics": torch.eye(3).expand(2, 3, 3)}
    for name in NAMES:
        value = call(name, 1.1 * depth, depth, valid, known)
        assert value.shape == (2,) and not bool(value.isinf().any()), name


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith(BOUNDARY)])
def test_a_pixel_without_a_prediction_makes_continuity_unknown(name):
    pred, depth, valid, known = example()
    pred[1, 0, 5, 16] = torch.nan
    assert bool(valid[1, 0, 5, 16]) and int(known["planes"][1, 0, 5, 16]) >= 0
    want, got = (call(name, z, depth, valid, known) for z in (pred[[0, 0, 2]], pred))
    assert bool(got[1].isnan()) and not bool(want.isnan().any())


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith(BOUNDARY)])
def test_a_pixel_without_a_prediction_is_on_no_boundary(name):
    pred, depth, valid, known = example()
    pred[1, 0, 8, 4] = torch.nan
    assert bool(call(name, pred, depth, valid, known).isfinite().all())


@pytest.mark.parametrize("kind", sorted(INVARIANCES))
@pytest.mark.parametrize("name", NAMES)
def test_declared_invariances_hold_and_no_others(name, kind):
    pred, depth, valid, known = example()
    want = call(name, pred, depth, valid, known)
    got = call(name, *TRANSFORMS[kind](pred, depth), valid, known)
    same = torch.allclose(got, want, rtol=1e-8, atol=1e-10, equal_nan=True)
    assert same == (kind in METRICS.facts(name)["invariant"]), (got, want)


def test_sharing_and_batching_do_not_change_a_number():
    pred, depth, valid, known = example(batch=4)
    together = all_metrics(pred, depth, valid, NAMES, **known)
    for name, value in together.items():
        ones = [{k: v[i : i + 1] for k, v in known.items()} for i in range(4)]
        alone = [call(name, pred[i : i + 1], depth[i : i + 1], valid[i : i + 1], ones[i]) for i in range(4)]
        torch.testing.assert_close(value, torch.cat(alone), rtol=1e-12, atol=1e-14, equal_nan=True, msg=name)


@pytest.mark.parametrize("index", [[0, 0, 0], [2, 0, 2]])
def test_one_truth_for_many_predictions(index):
    pred, depth, valid, known = example()
    shared = measure(Terms(pred, Truth(depth, valid, **known), index), NAMES)
    copied = all_metrics(pred, depth[index], valid[index], NAMES, **{k: v[index] for k, v in known.items()})
    for name in NAMES:
        torch.testing.assert_close(shared[name], copied[name], rtol=1e-12, atol=1e-14, equal_nan=True, msg=name)


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS.facts(n)["differentiable"]])
def test_gradient(name):
    pred, depth, valid, known = (x[:2] if isinstance(x, torch.Tensor) else x for x in example(batch=2))
    rows, columns = slice(0, 15), slice(0, 17)
    depth, valid, planes = depth[..., rows, columns], valid[..., rows, columns], known["planes"][..., rows, columns]
    z = pred[..., rows, columns].clone().requires_grad_()
    torch.autograd.gradcheck(lambda z: call(name, z, depth, valid, {**known, "planes": planes}), z, fast_mode=True)


@pytest.mark.parametrize("name", [n for n in NAMES if METRICS.facts(n)["differentiable"]])
def test_gradients_are_finite_everywhere_and_zero_where_invalid(name):
    pred, depth, valid, known = example()
    for start in (pred.where(valid, torch.nan), depth.clone()):
        z = start.requires_grad_()
        call(name, z, depth, valid, known).sum().backward()
        assert bool(z.grad.isfinite().all())
        assert not bool(z.grad[~valid].any())


# degradations of exact scenes


def blur(g, k):
    return gaussian_blur(g.log(), 0.7 * k).exp()


def noise(g, k):
    return g * torch.exp(0.01 * k * torch.randn(g.shape, generator=torch.Generator().manual_seed(0)))


def displace(g, k):
    return torch.cat([g[..., :1].expand(-1, -1, -1, 2 * k), g[..., : g.shape[-1] - 2 * k]], -1)


def nearer(g, k):
    return g * (1 - 0.08 * k)


def farther(g, k):
    return g * (1 + 0.08 * k)


DEGRADED = {
    blur: ("bridge_rate", "grad_mae", "grad_mae_edge", "grad_w1", "depthpro_f1", "depthpro_recall", "moge_f1_r1",
           "moge_f1_r2", "moge_f1_r3", "hu_f1_25cm", "hu_f1_50cm", "hu_f1_1m", "planarity", "plane_orientation"),
    noise: ("break_rate", "roughness", "curvature_mae", "third_mae", "grad_mae_smooth", "grad_cos", "grad_mae",
            "planarity", "plane_orientation", "depthpro_f1", "hu_precision_25cm", "hu_precision_50cm",
            "hu_precision_1m", "grad_w1"),
    displace: ("dbe_acc", "dbe_com", "syns_edge_acc", "hu_recall_25cm", "hu_recall_50cm", "hu_recall_1m", "moge_f1_r3",
               "syns_edge_com", "bridge_rate"),
    nearer: ("dde_3m", "dde_3m_near"),
    farther: ("dde_3m", "dde_3m_far"),
}  # fmt: skip


@pytest.fixture(scope="module")
def rooms():
    return load_dataset("scenes", n=4, size=(96, 128), batch_size=4).load(range(4))[0]


@pytest.mark.parametrize("change", DEGRADED, ids=lambda f: f.__name__)
def test_a_stronger_degradation_is_a_worse_value(rooms, change):
    """In the mean over four rooms, step by step from none."""
    known = {"planes": rooms.maps["plane"], "intrinsics": rooms.intrinsics}
    names = DEGRADED[change]
    found = [all_metrics(change(rooms.depth, k), rooms.depth, rooms.valid, names, **known) for k in range(4)]
    for name in names:
        sign = -1 if METRICS.facts(name)["better"] == "higher" else 1
        means = torch.stack([sign * f[name].nanmean() for f in found])
        assert bool((means.diff() > 0).all()), (name, means)


def test_every_metric_is_degraded_by_something():
    twin = {n: n.replace("syns_dde_10m", "dde_3m") for n in NAMES}  # the same formula at a plane no room reaches
    assert {twin[n] for n in NAMES} == {n for names in DEGRADED.values() for n in names}
