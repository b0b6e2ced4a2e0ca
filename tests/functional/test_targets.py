"""Every registered target against a slow reference, its gradient, and what holds for all of them."""

import math

import pytest
import torch

from depthprobe.functional.targets import KNOWN, TARGETS, Target

NAMES = TARGETS.names()
H, W = 6, 7


def example(batch=3, seed=0):
    """Predictions and everything that a target may need, float64."""
    g = torch.Generator().manual_seed(seed)
    depth = 1 + 8 * torch.rand(batch, 1, H, W, generator=g, dtype=torch.float64)
    known = {
        "depth": depth,
        "valid": torch.rand(batch, 1, H, W, generator=g) < 0.8,
        "region": torch.rand(batch, 1, H, W, generator=g) < 0.4,
        "other": torch.rand(batch, 1, H, W, generator=g) < 0.4,
        "place": torch.stack([torch.tensor([i % H, (2 * i + 1) % W]) for i in range(batch)]),
        "band": torch.tensor([[2.0, 6.0]], dtype=torch.float64).repeat(batch, 1),
    }
    return depth + torch.randn(depth.shape, generator=g, dtype=torch.float64), known


def pixels(mask):
    return [(y, x) for y in range(H) for x in range(W) if mask[y][x]]


def average(values):
    values = list(values)
    return math.fsum(values) / len(values)


def slow_edge_gradient(z, known):
    g, valid, steps = known["depth"], known["valid"], []
    for y in range(H):
        for x in range(W):
            for b, a in ((y + 1, x), (y, x + 1)):
                if b < H and a < W and valid[y][x] and valid[b][a]:
                    near, far = sorted([(g[y][x], z[y][x]), (g[b][a], z[b][a])])
                    if far[0] / near[0] > 1.1:
                        steps.append(far[1] - near[1])
    return average(steps)


def in_band(known):
    low, high = known["band"]
    return [(y, x) for y, x in pixels(known["valid"]) if low <= known["depth"][y][x] < high]


def over(z, places):
    return average(z[y][x] for y, x in places)


REFERENCE = {
    "mean": lambda z, k: average(v for row in z for v in row),
    "pixel": lambda z, k: z[k["place"][0]][k["place"][1]],
    "region": lambda z, k: over(z, pixels(k["region"])),
    "band": lambda z, k: over(z, in_band(k)),
    "contrast": lambda z, k: over(z, pixels(k["region"])) - over(z, pixels(k["other"])),
    "edge_gradient": slow_edge_gradient,
    "error": lambda z, k: average(abs(z[y][x] - k["depth"][y][x]) / k["depth"][y][x] for y, x in pixels(k["valid"])),
}


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def test_every_target_has_a_reference():
    assert sorted(REFERENCE) == NAMES


def test_a_target_equals_its_slow_reference(name):
    pred, known = example()
    got = Target(name, known)(pred)
    assert got.shape == (3,)
    for i in range(3):
        plain = {key: x[i].squeeze(0).tolist() if x.ndim == 4 else x[i].tolist() for key, x in known.items()}
        assert float(got[i]) == pytest.approx(REFERENCE[name](pred[i, 0].tolist(), plain), rel=1e-12)


def test_gradient(name):
    pred, known = example(batch=2)
    assert torch.autograd.gradcheck(Target(name, known), pred.requires_grad_())


def test_linear_is_said_of_linear_targets_alone(name):
    (a, known), (b, _) = example(), example(seed=1)
    target = Target(name, known)
    is_linear = torch.allclose(target(2 * a - 3 * b), 2 * target(a) - 3 * target(b), rtol=1e-9)
    assert is_linear == TARGETS.facts(name)["linear"]


def test_an_image_does_not_depend_on_its_batch_and_copies_share_what_is_known(name):
    pred, known = example()
    target = Target(name, known)
    for i in range(3):
        assert torch.equal(target.take(i)(pred[i : i + 1]), target(pred)[i : i + 1])
    copies = torch.cat([pred[1:2], 2 * pred[1:2]])
    assert torch.equal(target.take(1)(copies)[:1], target(pred)[1:2])


@pytest.mark.parametrize("marked", ["region", "band", "contrast", "edge_gradient", "error"])
def test_pixels_outside_have_no_effect_and_no_gradient(marked):
    pred, known = example()
    used = known["valid"] if "valid" in TARGETS.facts(marked)["needs"] else known["region"] | known["other"]
    if marked == "region":
        used = known["region"]
    target, other = Target(marked, known), torch.where(used, pred, torch.nan).requires_grad_()
    assert torch.equal(target(other), target(pred))
    (gradient,) = torch.autograd.grad(target(other).sum(), other)
    assert (gradient[~used] == 0).all()


def test_invalid_truth_has_no_effect():
    pred, known = example()
    spoiled = {**known, "depth": torch.where(known["valid"], known["depth"], -1.0)}
    for name in ("band", "edge_gradient", "error"):
        assert torch.equal(Target(name, spoiled)(pred), Target(name, known)(pred))


def test_an_empty_region_is_undefined():
    pred, known = example()
    nothing = {key: torch.zeros_like(x) if x.dtype == torch.bool else x for key, x in known.items()}
    for name in ("region", "band", "contrast", "edge_gradient", "error"):
        assert Target(name, nothing)(pred).isnan().all()


def test_a_step_the_right_way_is_positive_for_a_depth_and_negative_for_a_disparity():
    depth = torch.full((1, 1, H, W), 2.0)
    depth[..., 3:] = 5.0
    target = Target("edge_gradient", {"depth": depth, "valid": torch.ones_like(depth, dtype=torch.bool)})
    assert target(depth).item() == pytest.approx(3)
    assert target(1 / depth).item() == pytest.approx(-0.3)


def test_what_is_missing_or_misshapen_is_said():
    pred, known = example()
    with pytest.raises(ValueError, match=r"target `contrast` to get .*\['other'\] are missing"):
        Target("contrast", {"region": known["region"]})
    with pytest.raises(ValueError, match="Did you mean `region`"):
        Target("regions", known)
    with pytest.raises(ValueError, match="Expected `place` to have shape"):
        Target("pixel", {"place": torch.zeros(3)})
    with pytest.raises(ValueError, match="to have shape"):
        Target("region", known)(pred[..., 1:])


def test_the_facts_of_a_target(name):
    facts = TARGETS.facts(name)
    assert set(facts) == {"needs", "unit", "linear", "source"}
    assert set(facts["needs"]) <= set(KNOWN)
    assert facts["unit"] in ("pred", "1")


def test_a_single_row_serves_all_images():
    pred, known = example()
    single = Target("band", {**known, "band": known["band"][:1]})
    assert torch.equal(single(pred), Target("band", known)(pred))
    assert torch.equal(single.take(2)(pred[2:]), single(pred)[2:])
