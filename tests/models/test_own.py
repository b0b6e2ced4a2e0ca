"""A user's own networks: files of weights and Python factories."""

import json
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from depthprobe.models import DepthModel, load_model
from depthprobe.provenance import code_digest

SPEC = "timm:convnext_atto?size=32x32"


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "mynet_for_test.py").write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        self.fed = x\n"
        "        return 1 + x.mean(1, keepdim=True).abs()\n"
        "def build():\n    return Net()\n"
        "def wrong():\n    return 3\n"
        "def fails():\n    raise RuntimeError('no weights')\n"
        "def takes(size):\n    return Net()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "mynet_for_test"
    sys.modules.pop("mynet_for_test", None)


def trained():
    net = load_model(SPEC).net
    with torch.no_grad():
        net.decoder.head.bias.fill_(0.25)
    return net


@pytest.mark.parametrize("form", ["safetensors", "state_dict", "lightning"])
def test_weights_of_a_file_are_loaded(tmp_path, form):
    state = trained().state_dict()
    if form == "safetensors":
        path = tmp_path / "w.safetensors"
        save_file(state, path)
    else:
        path = tmp_path / "w.pt"
        torch.save(state if form == "state_dict" else {"state_dict": {f"net.{k}": v for k, v in state.items()}}, path)
    model = load_model(f"ckpt:{path}?model=timm:convnext_atto")
    assert model.net.decoder.head.bias.item() == 0.25 and model.card.digest


def test_the_recipe_beside_the_weights_names_the_architecture(tmp_path):
    save_file(trained().state_dict(), tmp_path / "best.safetensors")
    (tmp_path / "recipe.json").write_text('{"model": "timm:convnext_atto"}')
    assert load_model(f"ckpt:{tmp_path / 'best.safetensors'}").card.family == "cnn"


def test_without_a_recipe_the_message_says_what_to_add(tmp_path):
    save_file(trained().state_dict(), tmp_path / "best.safetensors")
    with pytest.raises(ValueError, match="model=timm"):
        load_model(f"ckpt:{tmp_path / 'best.safetensors'}")


def test_weights_that_do_not_fit_and_missing_files_say_so(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="to fit"):
        load_model(f"ckpt:{tmp_path / 'w.safetensors'}?model=timm:convnext_atto")
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_model("ckpt:nowhere.safetensors")


class Bomb:
    def __reduce__(self):
        return (print, ("this code must not run",))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, capsys):
    torch.save({"x": Bomb()}, tmp_path / "bomb.pt")
    with pytest.raises(ValueError, match="hold tensors only"):
        load_model(f"ckpt:{tmp_path / 'bomb.pt'}?model=timm:convnext_atto")
    assert "must not run" not in capsys.readouterr().out


def test_a_factory_is_called_and_its_options_reach_the_card(module):
    model = load_model(f"py:{module}:build?output=affine_disparity&size=8x10&mean=none&family=hybrid&tag=v1")
    assert isinstance(model, DepthModel)
    card = model.card
    assert (card.output, card.size, card.family, card.tag) == ("affine_disparity", (8, 10), "hybrid", "v1")
    image = torch.rand(1, 3, 8, 10)
    model(image)
    assert torch.equal(model.net.fed, image)


@pytest.mark.parametrize(("option", "gain"), [("map=-1", 3), ("map=0", 1), ("map=1&dgr=depth", 2)])
def test_of_several_maps_of_one_size_the_option_says_which(module, monkeypatch, option, gain):
    class Refining(nn.Module):
        def forward(self, x):
            return [k * (1 + x.mean(1, keepdim=True).abs()) for k in (1, 2, 3)]

    monkeypatch.setattr(sys.modules.get(module) or __import__(module), "build", Refining)
    image = torch.rand(2, 3, 8, 10)
    found = load_model(f"py:{module}:build?mean=none&{option}")(image)
    assert torch.allclose(found, gain * (1 + image.mean(1, keepdim=True)))
    with pytest.raises(ValueError, match=r"return one map, but got 3 .*\?map=-1"):
        load_model(f"py:{module}:build")(image)


def test_an_undeclared_kind_is_metric_depth(module):
    assert load_model(f"py:{module}:build").card.output == "metric_depth"


@pytest.mark.parametrize(
    ("name", "message"),
    [("py:{}", "module:factory"), ("py:{}:nothing", "importable"), ("py:no_such_module:f", "importable"),
     ("py:{}:wrong", "torch.nn.Module"), ("py:{}:build?outputs=x", "Expected options of py:"),
     ("py:{}:build?mean=coco", "Expected `mean`"), ("py:{}:build?multiple=0", "Expected `multiple`"),
     ("py:{}:build?output=dept", "Expected `output` to be one of"), ("py:{}:fails", "RuntimeError: no weights"),
     ("py:{}:takes", "TypeError: .*size")],
)  # fmt: skip
def test_mistakes_are_explained(module, name, message):
    with pytest.raises(ValueError, match=message):
        load_model(name.format(module))


def test_a_factory_may_return_a_ready_model(module, monkeypatch):
    ready = load_model("oracle:row")
    monkeypatch.setattr(sys.modules.get(module) or __import__(module), "build", lambda: ready)
    assert load_model(f"py:{module}:build") is ready
    assert isinstance(ready, nn.Module)
    for option in ("output=affine_disparity", "multiple=14", "tag=a"):
        with pytest.raises(ValueError, match=r"it returns a DepthModel, whose card says all; set .* its ModelCard"):
            load_model(f"py:{module}:build?{option}")


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A network in a file of its own that imports what lies beside it; nothing of it is on the path."""
    folder = tmp_path / "my work"
    folder.mkdir()
    (folder / "beside_for_test.py").write_text("BIAS = 2.0\n")
    (folder / "json.py").write_text(  # a name that the standard library has too
        "import torch, beside_for_test\n"
        "class Net(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return beside_for_test.BIAS + x.mean(1, keepdim=True)\n"
        "raised = None\n"
    )
    before = set(sys.modules), list(sys.path)
    yield folder / "json.py"
    for name in set(sys.modules) - before[0]:
        del sys.modules[name]
    sys.path[:] = before[1]


def test_a_network_in_a_file_outside_any_package_opens(script, monkeypatch):
    image = torch.rand(1, 3, 4, 5)
    model = load_model(f"py:{script}:Net?mean=none&output=scale_depth")
    assert torch.allclose(model(image), 2 + image.mean(1, keepdim=True))
    assert model.card.output == "scale_depth" and code_digest(model)
    assert json.dumps([1]) == "[1]" and "my work" not in str(json.__file__), "the library's own is untouched"
    monkeypatch.chdir(script.parent)
    assert type(load_model("py:json.py:Net").net) is type(model.net), "a file is read once"


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [(None, "json.py:Net", "no such file"), ("def f(:\n", "json.py:f", "SyntaxError"),
     ("import no_such_thing\n", "json.py:f", "ModuleNotFoundError: No module named 'no_such_thing'"),
     ("raise ValueError('mine')\n", "json.py:f", "ValueError: mine"), ("x = 1\n", "json.py:x", "no function x"),
     ("x = 1\n", "json.py:", "py:file.py:factory"), ("", "json.py", "py:file.py:factory")],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_sentence(script, text, name, message):
    if text is None:
        script.unlink()
    else:
        script.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as caught:
        load_model(f"py:{script.parent}/{name}")
    assert str(caught.value).startswith("Expected ")


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"a": 1}, {"model": {"a": "text"}}])
def test_a_file_without_weights_by_name_says_so(tmp_path, content):
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="weights by name"):
        load_model(f"ckpt:{tmp_path / 'w.pt'}?model=timm:convnext_atto")


def test_of_weights_that_do_not_fit_both_lists_are_told(tmp_path):
    save_file({f"a_foreign_layer.{i}": torch.zeros(1) for i in range(99)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"but: Missing key.* \.\.\. Unexpected key.*a_foreign_layer\.0.* \.\.\.$"):
        load_model(f"ckpt:{tmp_path / 'w.safetensors'}?model=timm:convnext_atto")


def test_an_error_of_one_line_is_told_too(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise RuntimeError("no room\n")

    save_file(trained().state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setattr(nn.Module, "load_state_dict", refuse)
    with pytest.raises(ValueError, match=r"but: no room$"):
        load_model(f"ckpt:{tmp_path / 'w.safetensors'}?model=timm:convnext_atto")


def test_truncated_weights_and_weights_of_another_shape_say_so(tmp_path):
    state = trained().state_dict()
    save_file(state, tmp_path / "w.safetensors")
    content = (tmp_path / "w.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="whole safetensors file"):
        load_model(f"ckpt:{tmp_path / 'half.safetensors'}?model=timm:convnext_atto")
    save_file(state | {"decoder.head.bias": torch.zeros(7)}, tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match=r"to fit .*size mismatch for decoder.head.bias"):
        load_model(f"ckpt:{tmp_path / 'w.safetensors'}?model=timm:convnext_atto")
