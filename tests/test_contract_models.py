"""What every registered model keeps to (DESIGN, invariants 7 and 8)."""

import inspect

import pytest
import torch

from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.models import MODELS, DepthModel, load_model
from depthprobe.provenance import weights_digest

NAMES = [name for name in MODELS if MODELS.facts(name).get("needs") != "truth"]
TRUTH = {"depth", "valid", "truth", "target", "ground_truth", "gt", "disparity"}


@pytest.fixture(scope="module", params=NAMES)
def model(request):
    return load_model(request.param)


@pytest.fixture
def image():
    return torch.rand(2, 3, 72, 92, generator=torch.Generator().manual_seed(0))


def test_the_output_is_a_finite_map_of_the_size_of_the_input(model, image):
    with torch.no_grad():
        out = model(image)
    assert out.shape == (2, 1, 72, 92)
    assert out.dtype == torch.float32
    assert torch.isfinite(out).all()
    if model.card.output in ("metric_depth", "scale_depth"):
        assert (out > 0).all()


def test_one_image_at_a_time_gives_the_same(model, image):
    with torch.no_grad():
        assert torch.allclose(model(image), torch.cat([model(image[:1]), model(image[1:])]), rtol=1e-4, atol=1e-5)


def test_every_parameter_gets_a_gradient(model, image):
    parameters = dict(model.named_parameters())
    before = {k: p.requires_grad for k, p in parameters.items()}
    try:
        model.requires_grad_(True)
        target = model(image).square().mean()
        grads = torch.autograd.grad(target, list(parameters.values()), allow_unused=True) if parameters else ()
    finally:
        for name, parameter in parameters.items():
            parameter.requires_grad_(before[name])
    assert [name for name, grad in zip(parameters, grads, strict=True) if grad is None] == []
    assert all(torch.isfinite(grad).all() for grad in grads)


def test_layers_are_as_declared(model, image):
    names = model.layers()
    assert names
    assert len(set(names)) == len(names)
    known = {name for name, _ in model.net.named_modules()}
    assert set(names) <= known
    declared = list(model.card.layers)
    found = model.features(image, declared)
    assert list(found) == declared or set(found) == set(declared)
    for name, feature in found.items():
        assert feature.ndim == 4, name
        assert len(feature) == len(image)


def test_the_canvas_is_what_the_network_reads(model, image):
    canvas = model.canvas(image)
    assert torch.equal(model.canvas(canvas), canvas)
    assert canvas.shape[:2] == (2, 3)
    if model.card.size is not None:
        assert tuple(canvas.shape[-2:]) == model.card.size


def test_the_model_never_sees_the_truth(model):
    assert list(inspect.signature(type(model).forward).parameters) == ["self", "image"]
    assert not TRUTH & set(inspect.signature(type(model.net).forward).parameters)


def test_the_card_says_what_it_is(model, request):
    card = model.card
    assert card.output in OUTPUT_KINDS
    assert card.tag
    assert isinstance(model, DepthModel)
    assert not model.training
    assert card.name in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_opening_a_model_twice_gives_the_same_weights_and_draws_nothing(name):
    state = torch.get_rng_state()
    digests = {weights_digest(load_model(name)) for _ in range(2)}
    assert len(digests) == 1
    assert torch.equal(torch.get_rng_state(), state)
