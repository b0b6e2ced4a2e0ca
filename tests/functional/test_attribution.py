"""Attribution methods: planted weights come back exactly, costs are as stated, nothing is left behind."""

import itertools

import numpy as np
import pytest
import tiny
import torch
from torch import nn

from depthprobe.functional.attribution import ATTRIBUTIONS, attribute, pixel_score
from depthprobe.functional.selection import rank_pixels
from depthprobe.functional.targets import Target
from depthprobe.models import load_model

H, W = 8, 12
SEEDS = (3, 11)
MEAN = Target("mean")
QUICK = {
    "integrated_gradients": {"steps": 4}, "gradient_shap": {"samples": 3}, "occlusion": {"window": 4, "stride": 2},
    "feature_ablation": {"size": 4}, "smoothgrad": {"samples": 3}, "smoothgrad_sq": {"samples": 3},
    "vargrad": {"samples": 3},
}  # fmt: skip


def images(n=2, seed=0, dtype=torch.float64):
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def weights():
    return load_model("oracle:linear").net.weights(H, W).double() / (H * W)


def slow_occlusion(contribution, window, stride):
    """Of every pixel the mean, over the windows that cover it, of the summed contributions in the window."""
    total, count = torch.zeros(H, W, dtype=torch.float64), torch.zeros(H, W)
    for y in range(0, H - window + 1, stride):
        for x in range(0, W - window + 1, stride):
            effect = contribution[:, y : y + window, x : x + window].sum()
            total[y : y + window, x : x + window] += effect
            count[y : y + window, x : x + window] += 1
    return (total / count / (3 * window * window)).expand(3, H, W)


def slow_ablation(contribution, size):
    """Of every pixel the mean contribution in its block, over pixels and channels."""
    out = torch.zeros(3, H, W, dtype=torch.float64)
    for y in range(0, H, size):
        for x in range(0, W, size):
            block = contribution[:, y : y + size, x : x + size]
            out[:, y : y + size, x : x + size] = block.sum() / block.numel()
    return out


EXACT = {
    "gradient": ({}, lambda w, x, b: w),
    "saliency": ({}, lambda w, x, b: w),
    "smoothgrad": ({}, lambda w, x, b: w),
    "smoothgrad_sq": ({}, lambda w, x, b: w**2),
    "vargrad": ({}, lambda w, x, b: 0 * w),
    "input_x_gradient": ({}, lambda w, x, b: w * x),
    "integrated_gradients": ({}, lambda w, x, b: w * (x - b)),
    "gradient_shap": ({"deviation": 0.0}, lambda w, x, b: w * (x - b)),
    "deep_lift": ({}, lambda w, x, b: w * (x - b)),
    "feature_ablation": ({"size": 1, "channels": True}, lambda w, x, b: w * (x - b)),
    "occlusion": ({"window": 4, "stride": 2}, lambda w, x, b: slow_occlusion(w * (x - b), 4, 2)),
}


ASKING = [name for name in ATTRIBUTIONS if ATTRIBUTIONS.facts(name)["answers"] != "attention"]
"""The methods that ask any network about a target."""


@pytest.fixture(params=ASKING)
def name(request):
    return request.param


def test_every_method_has_a_planted_answer(name):
    assert name in EXACT


def test_a_linear_network_is_attributed_its_weights(name):
    options, want = EXACT[name]
    image, baseline = images(), images(seed=1)
    found = attribute(name, load_model("oracle:linear"), image, MEAN, seeds=SEEDS, baseline=baseline, **options)
    for i in range(2):
        torch.testing.assert_close(found[i], want(weights(), image[i], baseline[i]), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("size", [3, 5])
def test_ablation_of_blocks_is_the_mean_contribution_in_them(size):
    image, baseline = images(1), images(1, seed=1)
    found = attribute(
        "feature_ablation", load_model("oracle:linear"), image, MEAN, seeds=(0,), baseline=baseline, size=size
    )
    want = slow_ablation(weights() * (image[0] - baseline[0]), size)
    torch.testing.assert_close(found[0], want, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("method", ["gradient", "integrated_gradients", "deep_lift"])
def test_a_pixel_is_attributed_to_itself_alone(method):
    image, baseline = images(), torch.zeros(2, 3, H, W, dtype=torch.float64)
    target = Target("pixel", {"place": torch.tensor([[2, 3], [7, 0]])})
    found = attribute(method, load_model("oracle:linear"), image, target, seeds=SEEDS, baseline=baseline)
    for i, (y, x) in enumerate([(2, 3), (7, 0)]):
        factor = image[i, :, y, x] if ATTRIBUTIONS.facts(method)["answers"] == "contribution" else 1.0
        torch.testing.assert_close(found[i, :, y, x], weights()[:, y, x] * H * W * factor, rtol=1e-6, atol=0)
        found[i, :, y, x] = 0
    assert (found == 0).all()


def test_only_planted_pixels_matter(name):
    if name in ("occlusion", "feature_ablation"):
        options = {"occlusion": {"window": 1, "stride": 1}, "feature_ablation": {"size": 1}}[name]
    else:
        options = QUICK.get(name, {})
    model = load_model("oracle:support?share=0.1&seed=4")
    planted = model.net.support(H, W)
    found = attribute(name, model, images(), MEAN, seeds=SEEDS, **options)
    score = pixel_score(name, found)[:, 0]
    assert (score[:, ~planted] <= 1e-9 * score.amax()).all()
    if name != "vargrad":
        assert (score[:, planted] > 0).all()


class Counting(nn.Module):
    """Counts the images that it reads."""

    def __init__(self):
        super().__init__()
        self.net, self.seen = tiny.model().net.double(), 0

    def forward(self, x):
        self.seen += len(x)
        return self.net(x)


@pytest.mark.parametrize("defaults", [True, False])
def test_the_stated_cost_is_what_a_method_reads(name, defaults):
    options, model = {} if defaults else QUICK.get(name, {}), Counting().eval()
    image = images(1)
    attribute(name, model, image, MEAN, seeds=(0,), **options)
    assert model.seen == ATTRIBUTIONS.facts(name)["passes"](H, W, **options)


def test_an_image_does_not_depend_on_its_batch_nor_on_its_place(name):
    model, image, options = tiny.model().double(), images(), QUICK.get(name, {})
    both = attribute(name, model, image, MEAN, seeds=SEEDS, **options)
    for i in range(2):
        alone = attribute(name, model, image[i : i + 1], MEAN, seeds=SEEDS[i : i + 1], **options)
        assert torch.equal(alone, both[i : i + 1])


def test_only_random_methods_depend_on_the_seed(name):
    model, image, options = tiny.model().double(), images(1), QUICK.get(name, {})
    first, again, other = (attribute(name, model, image, MEAN, seeds=(s,), **options) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert torch.equal(first, other) != ATTRIBUTIONS.facts(name)["random"]


def test_how_many_are_read_at_once_does_not_matter(name):
    model, image = tiny.model().double(), images(1)
    few, many = (attribute(name, model, image, MEAN, seeds=(1,), batch=b, **QUICK.get(name, {})) for b in (3, 64))
    torch.testing.assert_close(few, many, rtol=1e-9, atol=1e-14)


def test_signed_methods_alone_say_which_way(name):
    net = load_model("oracle:linear").net
    negative = lambda x: -net(x)  # noqa: E731
    options = EXACT[name][0]
    up, down = (attribute(name, f, images(1), MEAN, seeds=(0,), **options) for f in (net, negative))
    sign = -1 if ATTRIBUTIONS.facts(name)["signed"] else 1
    torch.testing.assert_close(down, sign * up, rtol=1e-9, atol=1e-15)


class Failing(nn.Module):
    """Modules that DeepLift hooks; fails in the k-th forward pass, in the middle or at the end."""

    def __init__(self, k=-1, late=False, inplace=False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.last = nn.Conv2d(3, 4, 3, padding=1).double(), nn.Conv2d(4, 1, 1).double()
        self.act, self.soft, self.k, self.late = nn.ReLU(inplace=inplace), nn.Softplus(), k, late

    def forward(self, x):
        self.k -= 1
        h = self.act(self.first(x))
        if self.k == -1 and not self.late:
            raise ArithmeticError("planted")
        out = self.soft(self.last(h))
        if self.k == -1:
            raise ArithmeticError("planted")
        return out


def left_behind(model):
    """Whatever a method might leave on a network or in a global state."""
    modules = list(model.modules())
    hooks = [len(h) for m in modules for h in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)]
    attributes = [sorted(m.__dict__) for m in modules]
    gradients = [p.grad is None for p in model.parameters()]
    state = [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()]  # noqa: NPY002
    values = [p.detach().flatten().tolist() for p in model.parameters()]
    return hooks, attributes, gradients, state, values, torch.is_grad_enabled()


@pytest.mark.parametrize(("k", "late"), [(-1, False), (0, False), (0, True), (1, True)])
@pytest.mark.parametrize("enabled", [True, False])
def test_nothing_is_left_behind_also_after_a_planted_failure(name, k, late, enabled):
    model, image = Failing(k, late), images(1)
    copy = image.clone()
    with torch.set_grad_enabled(enabled):
        before = left_behind(model)
        try:
            attribute(name, model, image, MEAN, seeds=(0,), **QUICK.get(name, {}))
        except ArithmeticError:
            assert k >= 0
        assert left_behind(model) == before
    assert torch.equal(image, copy)
    assert not image.requires_grad


def test_deep_lift_is_complete_where_it_knows_all_modules():
    for inplace in (False, True):
        model, image, baseline = Failing(inplace=inplace), images(), images(seed=1)
        found = attribute("deep_lift", model, image, MEAN, seeds=SEEDS, baseline=baseline)
        with torch.no_grad():
            change = MEAN(model(image)) - MEAN(model(baseline))
        torch.testing.assert_close(found.sum((1, 2, 3)), change, rtol=1e-6, atol=1e-9)


def test_integrated_gradients_are_complete_on_a_smooth_network():
    model, image, baseline = Failing(), images(), images(seed=1)
    model.act = nn.Tanh()
    found = attribute("integrated_gradients", model, image, MEAN, seeds=SEEDS, baseline=baseline)
    with torch.no_grad():
        change = MEAN(model(image)) - MEAN(model(baseline))
    torch.testing.assert_close(found.sum((1, 2, 3)), change, rtol=1e-5, atol=0)


def test_deep_lift_refuses_a_module_that_runs_twice():
    class Twice(Failing):
        def forward(self, x):
            return self.last(self.act(self.act(self.first(x)) - 0.1))

    with pytest.raises(ValueError, match="uses each of its modules once"):
        attribute("deep_lift", Twice(), images(1), MEAN, seeds=(0,))


def test_pixels_are_scored_as_they_are_removed():
    attribution = torch.tensor([1.0, -2.0, 0.5]).view(1, 3, 1, 1)
    assert pixel_score("integrated_gradients", attribution).item() == 0.5
    assert pixel_score("gradient", attribution).item() == 3.5


def test_attributions_are_selectors():
    image, model = images(dtype=torch.float32), load_model("oracle:support?share=0.1&seed=4")
    planted = model.net.support(H, W)
    for name, reverse in itertools.product(("saliency", "integrated_gradients"), ("", ".reversed")):
        rank = rank_pixels(name + reverse, image, seeds=SEEDS, model=model)
        first = rank[:, 0] >= H * W - int(planted.sum())
        if reverse:
            assert not (first & planted).any()
        else:
            assert (first == planted).all()


def test_wrong_arguments_say_what_was_expected():
    model, image = load_model("oracle:linear"), images()
    with pytest.raises(ValueError, match="Did you mean `saliency`"):
        attribute("salience", model, image, MEAN, seeds=SEEDS)
    with pytest.raises(ValueError, match=r"one seed per image \(2\)"):
        attribute("saliency", model, image, MEAN, seeds=(1,))
    with pytest.raises(ValueError, match="Expected `baseline` to have shape"):
        attribute("saliency", model, image, MEAN, seeds=SEEDS, baseline=image[..., 1:])
    with pytest.raises(ValueError, match="`target` to give one number per image"):
        attribute("saliency", model, image, lambda pred: pred.mean(), seeds=SEEDS)


def test_the_facts_of_a_method(name):
    facts = ATTRIBUTIONS.facts(name)
    assert set(facts) == {"answers", "signed", "baseline", "passes", "random", "source"}
    assert facts["answers"] in ("sensitivity", "contribution")
    assert (facts["baseline"] == "none") == (facts["answers"] == "sensitivity")
    uses = [attribute(name, load_model("oracle:linear"), images(1), MEAN, seeds=(0,), baseline=b, **QUICK.get(name, {}))
            for b in (images(1, seed=1), images(1, seed=2))]  # fmt: skip
    assert torch.equal(*uses) == (facts["baseline"] != "given")


@pytest.mark.parametrize("name", sorted(set(ATTRIBUTIONS) - {"attention_rollout"}))
def test_a_network_without_gradients_is_refused_where_they_are_needed(name):
    model = torch.no_grad()(tiny.model().double())
    if name in ("occlusion", "feature_ablation"):
        assert attribute(name, model, images(), MEAN, seeds=SEEDS).abs().sum() > 0
    else:
        with pytest.raises(ValueError, match="can be differentiated by its image, but got an output without"):
            attribute(name, model, images(), MEAN, seeds=SEEDS)
