"""`hf:` and what is wrong with a folder or an id: one sentence each, and nothing foreign runs."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

pytest.importorskip("transformers")

from hf_cases import save

from depthprobe.models import load_model
from depthprobe.models.trust import VARIABLE


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save("glpn", tmp_path_factory.mktemp("glpn"))


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    made = tmp_path / "net"
    made.mkdir()
    for file in whole.iterdir():
        (made / file.name).write_bytes(file.read_bytes())
    return made


def edit(file, **changes):
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch exploded",))


def truncated(folder):
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])


def reshaped(folder):
    state = load_file(folder / "model.safetensors")
    state["head.head.0.weight"] = torch.zeros(3, 3)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def lacking(folder):
    state = load_file(folder / "model.safetensors")
    del state["head.head.0.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def bombed(folder):
    torch.save({"x": Bomb()}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def escaping(folder):
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    index = {"metadata": {}, "weight_map": {"head.head.0.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def incomplete(folder):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"head.head.0.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def indexed(weight_map):
    """Weights by an index that is none."""

    def write(folder):
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return write


def coded(folder):
    edit(folder / "config.json", auto_map={"AutoModelForDepthEstimation": "modeling_evil.Evil"}, model_type="evil")
    (folder / "modeling_evil.py").write_text("open('exploded', 'w')\n")


def copied_processor(folder, **changes):
    """The image processor as a whole processor's file holds it, which transformers prefers."""
    said = json.loads((folder / "preprocessor_config.json").read_text()) | changes
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": said}))


def kernel(where):
    """Attention by a kernel that transformers would fetch from the hub and run."""
    return lambda f: edit(f / "config.json", **{where: "kernels-community/evil"})


def backbone(name):
    return lambda f: edit(f / "config.json", backbone_config={"model_type": "timm_backbone", "backbone": name})


def numbers(**changes):
    return lambda f: edit(f / "preprocessor_config.json", **changes)


def remote(folder):
    edit(folder / "preprocessor_config.json", auto_map={"AutoImageProcessor": "someone/else--processing.Evil"})


BROKEN = {
    "no config": (lambda f: (f / "config.json").unlink(), "config.json.*no such file.*save_pretrained"),
    "no processor": (lambda f: (f / "preprocessor_config.json").unlink(), "preprocessor_config.json.*no such file"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "Expected weights at"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "config.json to be a JSON object"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "JSON object, but it is a list"),
    "a text network": (lambda f: edit(f / "config.json", model_type="bert"), "of a depth network .*glpn.*'bert'"),
    "a type without a name": (lambda f: edit(f / "config.json", model_type=None), "model_type is None"),
    "truncated weights": (truncated, "whole depth network, but Safetensor"),
    "weights of another shape": (reshaped, "whole depth network, but"),
    "a weight is lacking": (lacking, "they lack .*head.head.0.weight"),
    "a pickle": (pickled, "Expected leave before reading a pickle .*trust=1"),
    "a pickle with code": (bombed, "Expected leave before reading a pickle"),
    "an index that points outside": (escaping, r"name files beside it, but got '\.\./model.safetensors'"),
    "an index of a missing file": (incomplete, "model-00001-of-00002.safetensors, but there is no such file"),
    "an index of a list": (indexed(["a"]), r"name files beside it, but got \['a'\]"),
    "an index of nothing": (indexed({}), r"name files beside it, but got \{\}"),
    "an index of numbers": (indexed({"a": 3}), "name files beside it, but got 3"),
    "an index of lists": (indexed({"a": ["b"]}), r"name files beside it, but got \['b'\]"),
    "a type of a list": (lambda f: edit(f / "config.json", model_type=["glpn"]), r"its model_type is \['glpn'\]"),
    "an unknown image processor": (numbers(image_processor_type="x"), "describe an image processor, but .*\\.\\.\\.$"),
    "code": (coded, "leave before running the code that comes with it .*modeling_evil.Evil.*trust=1"),
    "code of somebody else": (remote, "running the code.*someone/else--processing.Evil"),
    "code of a whole processor": (
        lambda f: copied_processor(f, auto_map={"AutoImageProcessor": "evil.Evil"}), "running the code.*evil.Evil",
    ),
    "code of a backbone": (
        lambda f: edit(f / "config.json", backbone_config={"auto_map": {"AutoConfig": "a.Evil"}}), r"code .*\(a.Evil\)",
    ),
    "code whose name a terminal acts on": (
        lambda f: edit(f / "config.json", auto_map={"AutoConfig": "a\x1b[2J\n.Evil"}), r"it \(a \[2J \.Evil\)",
    ),
    "a kernel of the hub": (kernel("attn_implementation"), "leave before running .*the kernel kernels-community/evil"),
    "a kernel by its inner name": (kernel("_attn_implementation"), "leave before running .*the kernel"),
    "a kernel that stands in": (
        lambda f: edit(f / "config.json", attn_implementation="flash_attention_2"),
        "attn_implementation is 'flash_attention_2'; set it to sdpa there",
    ),
    "attention by a bare name": (
        lambda f: edit(f / "config.json", backbone_config={"_attn_implementation": {"": "flex_attention"}}),
        "no more than torch, but _attn_implementation is 'flex_attention'; set it to sdpa there",
    ),
    "experts by a bare name": (
        lambda f: edit(f / "config.json", experts_implementation="grouped_mm"), "is 'grouped_mm'; set it to eager",
    ),
    "kernels by part": (
        lambda f: edit(f / "config.json", attn_implementation={"": "sdpa", "backbone": "a/b"}), "the kernel a/b",
    ),
    "weights elsewhere": (lambda f: edit(f / "config.json", transformers_weights="../w.safetensors"), "beside it, but"),
    "weights by a number": (lambda f: edit(f / "config.json", transformers_weights=7), "files beside it, but got 7"),
    "an adapter": (
        lambda f: (f / "adapter_config.json").write_text("{}"),
        r"a whole network, but it is an adapter; merge .* \(or remove adapter_config\.json, if the weights are merged",
    ),
    "quantized weights": (
        lambda f: edit(f / "config.json", quantization_config={"quant_method": "fp8"}), "but they are quantized",
    ),
    "a backbone of timm on the hub": (backbone("hf-hub:a/b"), "names 'hf-hub:a/b' on the hub or in another folder"),
    "a backbone of timm in a folder": (backbone("local-dir:/etc"), "names 'local-dir:/etc' on the hub or in another"),
    "a backbone on the hub": (
        lambda f: edit(f / "config.json", backbone="microsoft/resnet-50"), "names 'microsoft/resnet-50' on the hub",
    ),
    "an unknown filter": (lambda f: edit(f / "preprocessor_config.json", resample=1), "Expected `resample`"),
    "no filter": (numbers(resample=None), "`resample` to be a number, but got None"),
    "a filter's name": (numbers(resample="bicubic"), "`resample` to be a number, but got 'bicubic'"),
    "no factor": (numbers(rescale_factor=None), "`rescale_factor` to be a number, but got None"),
    "a factor of zero": (numbers(rescale_factor=0), "`rescale_factor` to be positive"),
    "a mean of one number": (numbers(do_normalize=True, image_mean=[0.5], image_std=[1] * 3), "`image_mean` to be 3"),
    "no mean": (numbers(do_normalize=True, image_mean=None, image_std=[1] * 3), "`image_mean` to be 3 numbers"),
    "a deviation of zero": (numbers(do_normalize=True, image_mean=[0] * 3, image_std=[0] * 3), "`image_std` to be pos"),
    "a multiple that is none": (numbers(size_divisor=-32), "`size_divisor` to be positive, but got"),
    "a multiple of a text": (numbers(size_divisor="a"), "`size_divisor` to be a number, but got 'a'"),
    "the image processor of another type": (
        numbers(image_processor_type="DPTImageProcessor"), "processor of a glpn network, GLPNImage.*but got DPTImage",
    ),
    "a crop": (lambda f: edit(f / "preprocessor_config.json", do_center_crop=True), "crops its centre"),
    "another image processor": (
        lambda f: edit(f / "preprocessor_config.json", image_processor_type="ViTImageProcessor"), "ViTImageProcessor",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_folder_ends_in_one_sentence(what, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    break_it, sentence = BROKEN[what]
    break_it(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        load_model(f"hf:{folder}")
    text = str(caught.value)
    assert text.startswith("Expected ") and "\n" not in text and len(text) < 600
    assert not (folder.parent / "exploded").exists()


def test_a_pickle_of_tensors_is_read_with_leave(folder, whole, monkeypatch):
    pickled(folder)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    expected = load_model(f"hf:{whole}")(image)
    assert torch.equal(load_model(f"hf:{folder}?trust=1")(image), expected)
    monkeypatch.setenv(VARIABLE, "1")
    assert torch.equal(load_model(f"hf:{folder}")(image), expected)
    with pytest.raises(ValueError, match="Expected leave"):
        load_model(f"hf:{folder}?trust=0")


def test_a_pickle_with_code_does_not_run_even_with_leave(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    bombed(folder)
    with pytest.raises(ValueError, match="whole depth network"):
        load_model(f"hf:{folder}?trust=1")
    assert not (folder.parent / "exploded").exists()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("hf:./nowhere", "Expected a folder at nowhere or an id"), ("hf:nowhere", "there is neither"),
     ("hf:/no/such/folder", "there is neither"), ("hf:", "there is neither"), ("hf:a/../b", "there is neither"),
     ("hf:{}?revision=main", "no `revision` for a folder"), ("hf:{}?output=dept", "Expected `output` to be one of"),
     ("hf:{}?size=big", "HEIGHTxWIDTH"), ("hf:{}?size=50x50", r"multiple of 32, .*; say size=32x32\.$"),
     ("hf:{}?mean=coco", "Expected `mean`"),
     ("hf:{}?family=rnn", "Expected `family`"), ("hf:{}?sise=64x64", "Did you mean `size`"),
     ("hf:{}?trust=perhaps", "Expected `trust`")],
)  # fmt: skip
def test_mistakes_in_a_name_are_explained(name, sentence, folder):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        load_model(name.format(folder))


OWN = """
import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import DepthEstimatorOutput
open("ran", "w")
class OwnConfig(PreTrainedConfig):
    model_type = "own_depth"
class Own(PreTrainedModel):
    config_class = OwnConfig
    def __init__(self, config):
        super().__init__(config)
        self.gain = torch.nn.Parameter(torch.ones(1))
        self.post_init()
    def forward(self, pixel_values):
        return DepthEstimatorOutput(predicted_depth=2 + self.gain * pixel_values.mean(1))
"""


def test_code_that_comes_with_a_network_runs_with_leave(folder, tmp_path, monkeypatch):
    from transformers import dynamic_module_utils

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    classes = {"AutoConfig": "own_depth.OwnConfig", "AutoModelForDepthEstimation": "own_depth.Own"}
    (folder / "config.json").write_text(json.dumps({"model_type": "own_depth", "auto_map": classes}))
    (folder / "own_depth.py").write_text(OWN)
    save_file({"gain": torch.full((1,), 3.0)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match="Expected leave before running"):
        load_model(f"hf:{folder}?output=scale_depth")
    assert not (tmp_path / "ran").exists()
    model = load_model(f"hf:{folder}?trust=1&output=scale_depth")
    assert (tmp_path / "ran").exists()
    image = torch.rand(1, 3, 64, 64)
    assert torch.allclose(model(image), 2 + 3 * image.mean(1, keepdim=True), atol=1e-5)
    with pytest.raises(ValueError, match=r"Expected \?output=.*type own_depth"):
        load_model(f"hf:{folder}?trust=1")


def test_what_a_network_of_heights_is_taken_for_must_be_said(tmp_path):
    with pytest.raises(ValueError, match=r"Expected \?output=.*type chmv2"):
        load_model(f"hf:{save('chmv2', tmp_path)}")
