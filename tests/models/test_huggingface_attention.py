"""The attention of transformers' networks: the maps that they give themselves, and where the tokens stand."""

import pytest
import torch

pytest.importorskip("transformers")

from hf_cases import CASES, save

from depthprobe.models import load_model
from depthprobe.models.attention import capture_attention
from depthprobe.models.attention_taps import attention_modules, unfused
from depthprobe.models.rollout import attention_rollout

SAID = {"chmv2": "?output=scale_depth"}
PATCHWISE = [
    case for case in CASES if case.startswith("depth_pro")
]  # patches of several scales: their layout is not known
KNOWN = [case for case in CASES if case not in PATCHWISE]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {case: save(case, tmp_path_factory.mktemp(case)) for case in CASES}


@pytest.fixture(params=KNOWN)
def model(request, folders):
    return load_model(f"hf:{folders[request.param]}{SAID.get(request.param, '')}").eval()


def picture(height=60, width=90):
    return torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def given(model, image):
    return model.reading.input_size(*model.canvas_size(*image.shape[-2:]))


def captured(model, image):
    with torch.no_grad(), capture_attention(model.net, lambda seen: seen, size=given(model, image)) as found:
        model(image)
    return found


def test_maps_are_those_that_transformers_gives_itself(model):
    image = picture()
    found = captured(model, image)
    with torch.no_grad(), unfused(model.net):
        own = model.net.model(pixel_values=model.prepare(image), output_attentions=True).attentions
    assert len(found) == len(attention_modules(model.net)) == len(own)
    for seen, weights in zip(found.values(), own, strict=True):
        torch.testing.assert_close(seen.weights[:, 0], weights)


def test_the_tokens_of_every_layer_cover_what_the_network_reads(model):
    image = picture()
    size = torch.tensor(given(model, image)).double()
    for name, seen in captured(model, image).items():
        for places in (seen.queries[0], seen.keys[0]):
            placed = places[places.isfinite().all(-1)]
            assert len(placed.unique(dim=0)) == len(placed), name
            torch.testing.assert_close(placed.mean(0), size / 2 - 0.5)


def kernels(model):
    return [getattr(getattr(m, "config", None), "_attn_implementation", None) for m in model.net.modules()]


def interfaced(model):
    return [m for m in model.net.modules() if hasattr(m, "scaling")]


def test_reading_changes_no_answer_and_restores_the_kernels(model):
    image, before = picture(), kernels(model)
    with torch.no_grad():
        clean = model(image)
        with capture_attention(model.net, lambda seen: None, size=given(model, image)):
            torch.testing.assert_close(model(image), clean, rtol=1e-3, atol=1e-4)
    assert kernels(model) == before

    def fail():
        with unfused(model.net):
            assert all(layer.config._attn_implementation == "eager" for layer in interfaced(model))
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert kernels(model) == before


def test_rollout_is_a_distribution_over_the_canvas(model):
    image = picture()
    size = model.canvas_size(60, 90)
    for at in (None, (size[0] - 1, 0)):
        found = attention_rollout(model, image, at)
        assert found.shape == (2, 1, *size) and (found >= 0).all()
        torch.testing.assert_close(found.sum((1, 2, 3)), torch.ones(2))


def test_a_pixel_of_the_canvas_is_found_in_its_frame(folders):
    """A network that reads a frame: the last token asked about is the one that covers the pixel, framed."""
    reading = load_model(f"hf:{folders['dpt_metric']}").reading
    assert reading.input_size(60, 90) == (70, 98)
    assert reading.entered((0, 0), (60, 90)) == (5, 4)
    assert reading.entered((59, 89), (60, 90)) == (64, 93)
    plain = load_model(f"hf:{folders['depth_anything']}").reading
    assert plain.entered((3, 7), (56, 84)) == (3, 7)


@pytest.mark.parametrize("case", PATCHWISE)
def test_a_layout_that_is_not_known_is_refused(case, folders):
    model = load_model(f"hf:{folders[case]}")
    with pytest.raises(ValueError, match="its layout is not known"):
        attention_rollout(model, picture(64, 64))
