"""Oracles answer exactly as planted."""

import pytest
import torch

from depthprobe.models import load_model


@pytest.fixture
def image():
    return torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def test_row_falls_from_ten_to_one_and_ignores_the_image(image):
    model = load_model("oracle:row")
    depth = model(image)
    assert torch.equal(depth, model(torch.zeros_like(image)))
    assert depth[0, 0, 0, 0] == 10 and depth[0, 0, -1, 0] == 1
    assert (depth.diff(dim=2) < 0).all() and (depth.diff(dim=3) == 0).all()


def test_brightness_is_the_pixel_alone(image):
    depth = load_model("oracle:brightness")(image)
    slow = torch.tensor([[[[1 + 9 * sum(image[b, c, y, x].item() for c in range(3)) / 3 for x in range(16)]
                           for y in range(12)]] for b in range(2)])  # fmt: skip
    assert torch.allclose(depth, slow, atol=1e-5)


def test_constant_takes_its_value(image):
    assert (load_model("oracle:constant?value=2.5")(image) == 2.5).all()


def test_gradient_of_linear_is_its_weights(image):
    model, image = load_model("oracle:linear"), image.requires_grad_()
    model(image).sum().backward()
    weights = model.net.weights(12, 16)
    assert torch.allclose(image.grad, weights.expand_as(image), atol=1e-6)
    assert weights.std() > 0.1 and (weights > 0).all()


def test_support_depends_on_its_pixels_and_on_no_other(image):
    model, image = load_model("oracle:support?share=0.1&seed=3"), image.requires_grad_()
    support = model.net.support(12, 16)
    assert int(support.sum()) == -(-12 * 16 // 10)
    model(image).sum().backward()
    touched = image.grad.abs().sum((0, 1)) > 0
    assert torch.equal(touched, support)


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_window_has_exactly_its_radius(image, radius):
    model, image = load_model(f"oracle:window?r={radius}"), image.requires_grad_()
    model(image)[0, 0, 5, 8].backward()
    touched = (image.grad[0].abs().sum(0) > 0).nonzero()
    assert touched.min(0).values.tolist() == [5 - radius, 8 - radius]
    assert touched.max(0).values.tolist() == [5 + radius, 8 + radius]
    assert len(touched) == (2 * radius + 1) ** 2


@pytest.mark.parametrize("period", [4, 8])
def test_grid_has_its_period_and_amplitude(period):
    image, truth = torch.zeros(1, 3, 32, 32), torch.full((1, 1, 32, 32), 3.0)
    model = load_model(f"oracle:grid?period={period}&amplitude=0.02")
    model.net.given(truth)
    ratio = model(image)[0, 0] / 3 - 1
    spectrum = torch.fft.rfft(ratio.mean(0)).abs()
    spectrum[0] = 0
    assert int(spectrum.argmax()) == 32 // period
    assert ratio.max().item() == pytest.approx(0.02, rel=1e-4)


def test_affine_needs_the_truth_and_then_is_affine_in_disparity(image):
    model = load_model("oracle:affine?scale=2&shift=0.5")
    with pytest.raises(ValueError, match="Expected the truth to be given"):
        model(image)
    truth = 1 + 9 * torch.rand(2, 1, 12, 16)
    model.net.given(truth)
    assert torch.allclose(model(image), 2 / truth + 0.5)
    assert model.card.output == "affine_disparity"


def test_unused_pixels_have_zero_gradient_not_none(image):
    image = image.requires_grad_()
    load_model("oracle:row")(image).sum().backward()
    assert image.grad is not None and (image.grad == 0).all()
