"""Infidelity, sensitivity, completeness and rank correlation against slow references and planted answers."""

import captum.metrics
import numpy as np
import pytest
import scipy.stats
import tiny
import torch

from depthprobe.functional.attribution import Scalar, attribute
from depthprobe.functional.attribution_checks import (
    block_masks,
    completeness_gap,
    infidelity,
    rank_correlation,
    sensitivity_max,
)
from depthprobe.functional.selection_core import generator
from depthprobe.functional.targets import Target
from depthprobe.models import load_model

H, W = 8, 12
SEEDS = (3, 11)
MEAN = Target("mean")


def images(n=2, seed=0):
    return torch.rand(n, 3, H, W, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def explained(name, model, **options):
    image, baseline = images(), images(seed=1)
    found = attribute(name, model, image, MEAN, seeds=SEEDS, baseline=baseline, **options)
    return image, baseline, found


@pytest.mark.parametrize("name", ["gradient", "smoothgrad", "integrated_gradients", "deep_lift"])
def test_true_attributions_of_a_linear_network_are_faithful(name):
    model = load_model("oracle:linear")
    image, baseline, found = explained(name, model)
    for scale in (1.0, -3.0):
        missed = infidelity(name, model, image, MEAN, scale * found, baseline, seeds=SEEDS, block=2)
        assert (missed < 1e-9).all()


def test_an_attribution_that_says_nothing_misses_all():
    model = load_model("oracle:linear")
    image, baseline, found = explained("integrated_gradients", model)
    nothing = infidelity("integrated_gradients", model, image, MEAN, 0 * found, baseline, seeds=SEEDS, block=2)
    torch.testing.assert_close(nothing, torch.ones(2, dtype=torch.float64), rtol=1e-6, atol=0)
    noise = torch.randn(found.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    poor = infidelity("integrated_gradients", model, image, MEAN, noise, baseline, seeds=SEEDS, block=2)
    assert (poor > 0.3).all() and (poor <= 1 + 1e-9).all()


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients"])
def test_infidelity_equals_its_formula(name):
    model = tiny.model().double()
    image, baseline, found = explained(name, model)
    got = infidelity(
        name, model, image, MEAN, found, baseline, seeds=SEEDS, perturbations=7, block=3, share=0.4, batch=3
    )
    for i, seed in enumerate(SEEDS):
        said, done, masks = [], [], block_masks((H, W), seed, samples=7, block=3, share=0.4).double()
        for mask in masks:
            away = mask * (image[i] - baseline[i])
            weight = mask if name == "integrated_gradients" else away
            said.append(float((weight * found[i]).sum()))
            with torch.no_grad():
                done.append(float(MEAN(model(image[i : i + 1])) - MEAN(model((image[i] - away)[None]))))
        said, done = np.array(said), np.array(done)
        best = (said * done).mean() / (said**2).mean()
        want = ((best * said - done) ** 2).mean() / (done**2).mean()
        assert float(got[i]) == pytest.approx(want, rel=1e-6, abs=1e-12)
        assert float(got[i]) * (done**2).mean() == pytest.approx(captums(name, model, i, found, masks), rel=1e-6)


def captums(name, model, i, found, masks):
    """Captum's infidelity of one image: the same mean square, undivided."""
    image, baseline = images()[i : i + 1], images(seed=1)[i : i + 1]

    def perturb(x):
        away = masks * (image - baseline)
        return (masks if name == "integrated_gradients" else away).expand_as(x), x - away

    net = Scalar(model, MEAN)
    return float(captum.metrics.infidelity(net, perturb, image, found[i : i + 1], n_perturb_samples=7, normalize=True))


def test_infidelity_is_undefined_without_a_change_or_a_sign():
    image, baseline = images(), images(seed=1)
    constant = load_model("oracle:row")
    assert infidelity("gradient", constant, image, MEAN, 0 * image, baseline, seeds=SEEDS).isnan().all()
    unsigned = infidelity("saliency", tiny.model().double(), image, MEAN, image, baseline, seeds=SEEDS)
    assert unsigned.isnan().all()


def test_blocks_are_whole_and_as_many_as_said():
    masks = block_masks((40, 60), 1, samples=200, block=4, share=0.3)
    assert masks.mean().item() == pytest.approx(0.3, abs=0.01)
    assert torch.equal(masks, masks[:, :, ::4, ::4].repeat_interleave(4, 2).repeat_interleave(4, 3))
    assert block_masks((5, 7), 1, samples=2, block=4, share=0.3).shape == (2, 1, 5, 7)
    assert not torch.equal(masks, block_masks((40, 60), 2, samples=200, block=4, share=0.3))


def test_the_gradient_of_a_linear_network_is_not_sensitive():
    image, baseline, found = explained("gradient", load_model("oracle:linear"))
    assert (
        sensitivity_max("gradient", load_model("oracle:linear"), image, MEAN, found, baseline, seeds=SEEDS) < 1e-9
    ).all()


@pytest.mark.parametrize("name", ["input_x_gradient", "gradient_shap"])
def test_sensitivity_equals_its_formula(name):
    model, image, baseline, radius = tiny.model().double(), images(), images(seed=1), 0.05
    own = attribute(name, model, image, MEAN, seeds=SEEDS, baseline=baseline)
    got = sensitivity_max(name, model, image, MEAN, own, baseline, seeds=SEEDS, perturbations=4, radius=radius)
    for i, seed in enumerate(SEEDS):
        one = slice(i, i + 1)
        plain = attribute(name, model, image[one], MEAN, seeds=[seed], baseline=baseline[one])
        drawn, largest = generator(seed, "sensitivity"), 0.0
        for _ in range(4):
            moved = image[one] + radius * (2 * torch.rand(3, H, W, generator=drawn, dtype=torch.float32) - 1)
            other = attribute(name, model, moved, MEAN, seeds=[seed], baseline=baseline[one])
            largest = max(largest, float((other - plain).norm() / plain.norm()))
        assert float(got[i]) == pytest.approx(largest, rel=1e-6)


def test_sensitivity_is_relative_to_the_attribution_it_is_given():
    """Which is not made again; without any there is nothing to be relative to."""
    model, image = tiny.model().double(), images()
    own = attribute("gradient", model, image, MEAN, seeds=SEEDS)
    reads = []
    model.register_forward_hook(lambda module, inputs, output: reads.append(len(output)))
    own[1] = 0
    found = sensitivity_max("gradient", model, image, MEAN, own, 0 * image, seeds=SEEDS, perturbations=3)
    assert found[0] > 0 and found[1].isnan()
    assert sum(reads) == 3


def test_the_order_in_memory_does_not_matter():
    """A gradient of one pixel, or of a network of channels last, does not lie in order."""

    def turned(image):
        return model(image.transpose(2, 3).contiguous().transpose(2, 3))

    model, image = tiny.model().double(), images()
    own = attribute("gradient", model, image, MEAN, seeds=SEEDS)
    other = own.transpose(2, 3).contiguous().transpose(2, 3)
    assert not other.is_contiguous()
    settings = {"seeds": SEEDS, "perturbations": 3}
    expected = sensitivity_max("gradient", model, image, MEAN, own, 0 * image, **settings)
    found = sensitivity_max("gradient", turned, image, MEAN, other, 0 * image, **settings)
    assert torch.allclose(found, expected)


def test_completeness_gap():
    attribution = torch.ones(3, 3, 2, 2)
    gap = completeness_gap(attribution, torch.tensor([12.0, -24.0, 0.0]))
    assert gap[:2].tolist() == [0.0, 1.5]
    assert gap[2].isnan()


def test_rank_correlation_is_scipys():
    g = torch.Generator().manual_seed(0)
    a = torch.randint(0, 5, (4, 1, 6, 7), generator=g).double()
    b = a + 3 * torch.rand(a.shape, generator=g)
    got = rank_correlation(a, b.round())
    for i in range(4):
        want = scipy.stats.spearmanr(a[i].flatten(), b[i].round().flatten()).statistic
        assert float(got[i]) == pytest.approx(want, rel=1e-10)
    assert rank_correlation(a, a.exp()).tolist() == pytest.approx([1.0] * 4)
    assert rank_correlation(a, -a).tolist() == pytest.approx([-1.0] * 4)
    assert rank_correlation(a, torch.zeros_like(a)).isnan().all()


def test_wrong_arguments_say_what_was_expected():
    image = images()
    with pytest.raises(ValueError, match="Expected `share` to be in"):
        infidelity("gradient", tiny.model(), image, MEAN, image, image, seeds=SEEDS, share=0)
    with pytest.raises(ValueError, match="Expected `baseline` to have shape"):
        infidelity("gradient", tiny.model(), image, MEAN, image, image[..., 1:], seeds=SEEDS)
    with pytest.raises(ValueError, match="Expected `radius` to be in"):
        sensitivity_max("gradient", tiny.model(), image, MEAN, image, image, seeds=SEEDS, radius=0)
    with pytest.raises(ValueError, match="Expected `b` to have shape"):
        rank_correlation(image[:, :1], image)
