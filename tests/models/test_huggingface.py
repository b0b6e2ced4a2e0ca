"""`hf:`: every depth type of transformers, built small, saved as users save it, and read back."""

import json
import math
import socket

import pytest
import torch

pytest.importorskip("transformers")

from hf_cases import CASES, save

from depthprobe.models import load_model
from depthprobe.models.huggingface_types import TYPES

KINDS = {
    "dpt": "affine_disparity",
    "dpt_hybrid": "affine_disparity",
    "dpt_metric": "metric_depth",
    "depth_anything": "affine_disparity",
    "depth_anything_metric": "metric_depth",
    "prompt_depth_anything": "affine_depth",
    "zoedepth": "metric_depth",
    "glpn": "metric_depth",
    "depth_pro": "metric_depth",
    "depth_pro_blind": "scale_depth",
    "tipsv2_dpt": "metric_depth",
    "chmv2": "scale_depth",
}
SAID = {"chmv2": "?output=scale_depth"}
FRAMED = ("dpt_metric", "chmv2")  # transformers leaves the frame in their maps, which shifts them: compared without one


class Lazy(dict):
    """What `make(case)` gives, made when it is first asked for."""

    def __init__(self, make):
        super().__init__()
        self.make = make

    def __missing__(self, case):
        return self.setdefault(case, self.make(case))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return Lazy(lambda case: save(case, tmp_path_factory.mktemp(case)))


@pytest.fixture(scope="module")
def models(folders):
    return Lazy(lambda case: load_model(f"hf:{folders[case]}{SAID.get(case, '')}"))


@pytest.fixture(scope="module")
def processors(folders):
    from transformers import AutoImageProcessor

    return Lazy(lambda case: AutoImageProcessor.from_pretrained(folders[case]))


@pytest.fixture(scope="module")
def natives(folders):
    from transformers import AutoModelForDepthEstimation

    return Lazy(lambda case: AutoModelForDepthEstimation.from_pretrained(folders[case]).eval())


def smooth(height, width, seed=0):
    """A picture without the jumps at which a bicubic filter leaves [0,1], where bytes are cut off and numbers not."""
    coarse = torch.rand(1, 3, 6, 7, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)


@pytest.fixture(params=CASES)
def case(request):
    return request.param


def processed(processor, image):
    """The processor's own pixels of a picture as numbers in [0,255], which it does not round."""
    scaled = [one * 255 for one in image]
    return processor(images=scaled, return_tensors="pt")["pixel_values"]


@pytest.mark.parametrize("size", [(70, 100), (120, 65), (64, 64), (97, 131)])
def test_pixels_are_those_of_the_image_processor(case, models, processors, size):
    image = smooth(*size)
    expected = processed(processors[case], image)
    got = models[case].prepare(image)
    assert got.shape == expected.shape
    assert torch.allclose(got, expected, atol=1e-4), (got - expected).abs().max()


def test_on_bytes_the_image_processor_differs_by_its_rounding_alone(case, models, processors):
    pixels = (torch.rand(3, 97, 131, generator=torch.Generator().manual_seed(1)) * 255).round().to(torch.uint8)
    expected = processors[case](images=[pixels], return_tensors="pt")["pixel_values"]
    got = models[case].prepare(pixels[None].float() / 255)
    levels = (got - expected).abs() * models[case].std * 255
    assert levels.mean() < 0.4, "in grey levels"
    assert (levels > 1.5).float().mean() < 2e-3, "bytes are rounded and cut off after rows, and again after columns"


def test_the_output_kind_is_the_right_one(case, models):
    assert models[case].card.output == KINDS[case]


def test_every_type_that_transformers_offers_is_known():
    from transformers.models.auto.modeling_auto import MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES

    assert set(TYPES) == set(MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)


@pytest.mark.parametrize("size", [(70, 98), (97, 131)])
def test_the_map_is_that_of_transformers_own_post_processing(case, models, natives, processors, size):
    image = smooth(112, 112) if case in FRAMED else smooth(*size)
    processor = processors[case]
    pixels = processed(processor, image)
    with torch.no_grad():
        found, got = natives[case](pixel_values=pixels), models[case](image)
    expected = processor.post_process_depth_estimation(found, [tuple(image.shape[-2:])])[0]["predicted_depth"]
    assert got.shape == (1, 1, *image.shape[-2:])
    assert got.std() > 1e-6 * got.mean().abs(), "a constant map would show nothing"
    assert torch.allclose(got[0, 0], expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_frame_is_cut_off(models):
    model = models["dpt_metric"]
    seen = {}
    handle = model.net.register_forward_hook(lambda m, i, o: seen.update(size=i[0].shape[-2:], map=o))
    image = smooth(50, 60)
    out = model(image)
    handle.remove()
    assert seen["size"] == (56, 70)
    whole = torch.nn.functional.interpolate(seen["map"][:, None], (56, 70), mode="bicubic", align_corners=False)
    assert torch.allclose(out, whole[..., 3:53, 5:65])


def test_the_contract_of_models(case, models):
    model, image = models[case], torch.cat([smooth(70, 98), smooth(70, 98, 1)])
    read = image.clone().requires_grad_()
    out = model(read)
    assert out.shape == (2, 1, 70, 98) and out.dtype == torch.float32 and out.isfinite().all()
    (gradient,) = torch.autograd.grad(out.square().sum(), read)
    assert gradient.isfinite().all() and (gradient != 0).any()
    with torch.no_grad():
        alone = torch.cat([model(image[:1]), model(image[1:])])
    assert torch.allclose(out, alone, rtol=1e-3, atol=1e-4 * out.abs().max().item())
    canvas = model.canvas(image)
    assert torch.equal(model.canvas(canvas), canvas)
    assert model.canvas_size(70, 98) == tuple(canvas.shape[-2:])
    assert not model.training and model.card.digest
    assert model.card.family == ("hybrid" if case == "dpt_hybrid" else "transformer")


def test_layers_give_maps(case, models):
    model, image = models[case], torch.cat([smooth(70, 98), smooth(70, 98, 1)])
    names = model.layers()
    assert len(names) >= 5, "four of the encoder, then the decoder's"
    with torch.no_grad():
        found = model.features(image, names)
    assert set(found) == set(names)
    height, width = model.prepare(image).shape[-2:]
    for name, feature in found.items():
        assert feature.ndim == 4 and len(feature) == 2, name
        assert abs(feature.shape[2] / height - feature.shape[3] / width) <= 1.5 / min(height, width) * 4, name


def test_opening_draws_nothing_and_gives_the_same(folders):
    state = torch.get_rng_state()
    first, second = (load_model(f"hf:{folders['dpt']}") for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first.card == second.card
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_folder_never_touches_the_network(folders, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert load_model(f"hf:{folders['depth_anything']}").card.name == f"hf:{folders['depth_anything'].name}"


def test_options_say_otherwise(folders):
    model = load_model(f"hf:{folders['depth_anything']}?size=28x42&mean=none&output=affine_depth&family=cnn&tag=v9")
    card = model.card
    assert (card.output, card.size, card.family, card.tag) == ("affine_depth", (28, 42), "cnn", "v9")
    assert tuple(model.prepare(smooth(70, 100)).shape) == (1, 3, 28, 42)
    assert card.mean == (0.0,) * 3
    framed = load_model(f"hf:{folders['zoedepth']}?size=64x64")
    assert tuple(framed.prepare(smooth(70, 100)).shape) == (1, 3, 64, 64)


def test_a_network_that_was_saved_in_half_is_read_in_full(folders, tmp_path):
    from transformers import AutoModelForDepthEstimation

    copied(folders["glpn"], tmp_path)
    AutoModelForDepthEstimation.from_pretrained(folders["glpn"], dtype=torch.float16).save_pretrained(tmp_path)
    assert {p.dtype for p in load_model(f"hf:{tmp_path}").parameters()} == {torch.float32}


def test_other_weights_have_another_digest(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    copied(folders["glpn"], tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    save_file({k: v + 1 for k, v in state.items()}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert load_model(f"hf:{tmp_path}").card.digest != load_model(f"hf:{folders['glpn']}").card.digest


def test_a_whole_processors_file_comes_first_as_in_transformers(folders, tmp_path):
    from transformers import AutoImageProcessor

    plain = load_model(f"hf:{copied(folders['depth_anything'], tmp_path)}")
    said = json.loads((tmp_path / "preprocessor_config.json").read_text())
    other = said | {"image_mean": [0.1, 0.2, 0.3], "size": {"height": 28, "width": 42}, "keep_aspect_ratio": False}
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": other}))
    model, image = load_model(f"hf:{tmp_path}"), smooth(97, 131)
    expected = processed(AutoImageProcessor.from_pretrained(tmp_path), image)
    assert torch.allclose(model.prepare(image), expected, atol=1e-4)
    assert model.card.digest != plain.card.digest
    (tmp_path / "processor_config.json").write_text(json.dumps({"processor_class": "x"}))
    assert load_model(f"hf:{tmp_path}").card == plain.card


def test_weights_under_another_name_are_those_that_the_digest_is_of(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    first = load_model(f"hf:{copied(folders['glpn'], tmp_path)}").card.digest
    state = {k: v + 1 for k, v in load_file(tmp_path / "model.safetensors").items()}
    save_file(state, tmp_path / "other.safetensors", metadata={"format": "pt"})
    edited(tmp_path / "config.json", transformers_weights="other.safetensors")
    model = load_model(f"hf:{tmp_path}")
    name = "model.decoder.stages.0.convolution.weight"
    assert torch.equal(model.net.state_dict()[name], state[name.removeprefix("model.")])
    second = model.card.digest
    save_file({k: v + 1 for k, v in state.items()}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    assert len({first, second, load_model(f"hf:{tmp_path}").card.digest}) == 3


@pytest.mark.parametrize("change", [{"do_rescale": None}, {"do_normalize": None}, {"do_resize": None}, {"size": 42}])
def test_what_a_file_leaves_open_is_as_in_transformers(change, folders, tmp_path):
    from transformers import AutoImageProcessor

    edited(copied(folders["depth_anything"], tmp_path) / "preprocessor_config.json", **change)
    image = smooth(56, 84)
    expected = processed(AutoImageProcessor.from_pretrained(tmp_path), image)
    got = load_model(f"hf:{tmp_path}").prepare(image)
    assert torch.allclose(got, expected, atol=1e-4 * expected.abs().max().item())


def test_whole_sides_may_be_written_as_any_number(folders, tmp_path):
    file = copied(folders["depth_anything"], tmp_path) / "preprocessor_config.json"
    edited(file, size={"height": 42, "width": 56})
    expected = load_model(f"hf:{tmp_path}").reading
    edited(file, size={"height": 42.0, "width": 56.0})
    assert load_model(f"hf:{tmp_path}").reading == expected
    for side in (42.5, 0.0, math.inf, math.nan, "42"):
        edited(file, size={"height": side, "width": 56.0})
        with pytest.raises(ValueError, match=r"to have whole sides in 1\.\.10000, but got|describe an image processor"):
            load_model(f"hf:{tmp_path}")


def copied(folder, to):
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def edited(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
