"""`onnx:`: small graphs with known answers; layouts, sizes, types; what is wrong is one sentence."""

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper

from depthprobe.functional.attribution import attribute
from depthprobe.functional.receptive import input_energy
from depthprobe.models import load_model
from depthprobe.probes.cost import outside_torch

FLOAT, HALF, DOUBLE, WHOLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.INT32


def write(path, *, shape=("b", 3, "h", "w"), kind=FLOAT, axis=1, nodes=(), outputs=("y",), inputs=(), weights=()):
    """A graph whose map is the mean of the channels, plus 1."""
    one = helper.make_tensor("one", kind, [1], [1 if kind == WHOLE else 1.0])
    mean = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[axis], keepdims=1),
        helper.make_node("Add", ["m", "one"], ["y"]),
    ]
    graph = helper.make_graph(
        [*mean, *nodes], "g",
        [helper.make_tensor_value_info("x", kind, shape),
         *(helper.make_tensor_value_info(name, FLOAT, [1]) for name in inputs)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [one, *weights],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def file(tmp_path):
    return tmp_path / "net.onnx"


@pytest.fixture
def image():
    return torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))


def expected(image):
    return image.mean(1, keepdim=True) + 1


@pytest.mark.parametrize(
    ("shape", "axis"),
    [(("b", 3, "h", "w"), 1), ((1, 3, "h", "w"), 1), ((1, 3, 6, 8), 1), ((2, 3, 6, 8), 1), ((3, 3, 6, 8), 1),
     ((None, None, "h", "w"), 1), (("b", 6, 8, 3), 3), ((1, "h", "w", 3), 3)],
)  # fmt: skip
def test_layouts_batches_and_sizes_are_read_from_the_file(file, image, shape, axis):
    model = load_model(f"onnx:{write(file, shape=shape, axis=axis)}?mean=none")
    assert torch.allclose(model(image), expected(image), atol=1e-6)
    assert model.card.size == ((6, 8) if 8 in shape else None)


@pytest.mark.parametrize(("kind", "error"), [(HALF, 2e-3), (DOUBLE, 1e-6)])
def test_other_floats_are_converted(file, image, kind, error):
    out = load_model(f"onnx:{write(file, kind=kind)}?mean=none")(image)
    assert out.dtype == torch.float32
    assert (out - expected(image)).abs().max() < error


def test_normalisation_and_the_fixed_size_are_the_adapters(file, image):
    model = load_model(f"onnx:{write(file, shape=(1, 3, 3, 4))}?output=affine_disparity&mean=half&tag=v1&family=hybrid")
    small = torch.nn.functional.interpolate(image, (3, 4), mode="bilinear", antialias=True)
    answer = (small / 0.5 - 1).mean(1, keepdim=True) + 1
    whole = torch.nn.functional.interpolate(answer, (6, 8), mode="bilinear")
    assert torch.allclose(model(image), whole, atol=1e-6)
    card = model.card
    assert (card.output, card.tag, card.family) == ("affine_disparity", "v1", "hybrid")


@pytest.mark.parametrize("axes", [[1], [0, 1]])
def test_maps_without_a_channel_are_read(file, image, axes):
    squeeze = helper.make_node("Squeeze", ["y", "axes"], ["z"])
    weights = [helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)]
    model = load_model(
        f"onnx:{write(file, shape=(1, 3, 'h', 'w'), nodes=[squeeze], outputs=['z'], weights=weights)}?mean=none"
    )
    assert torch.allclose(model(image), expected(image), atol=1e-6)


def test_one_of_several_outputs_is_chosen_by_name(file, image):
    write(file, nodes=[helper.make_node("Neg", ["y"], ["z"])], outputs=["y", "z"])
    with pytest.raises(ValueError, match=r"one map, but it has \['y', 'z'\]; add \?map=NAME"):
        load_model(f"onnx:{file}")
    assert torch.allclose(load_model(f"onnx:{file}?map=z&mean=none")(image), -expected(image), atol=1e-6)
    with pytest.raises(ValueError, match="one map named u"):
        load_model(f"onnx:{file}?map=u")


def test_a_transformer_is_told_by_its_softmax(file):
    assert load_model(f"onnx:{write(file)}").card.family == "cnn"
    soft = helper.make_node("Softmax", ["y"], ["z"])
    assert load_model(f"onnx:{write(file, nodes=[soft], outputs=['z'])}").card.family == "transformer"


def test_it_says_that_torch_does_not_see_it(file):
    """Without parameters it would be the cheapest network of all."""
    assert outside_torch(load_model(f"onnx:{write(file)}"))
    assert not outside_torch(load_model("oracle:row"))


def test_whoever_asks_for_gradients_gets_one_sentence(file, image):
    model = load_model(f"onnx:{write(file)}")
    with pytest.raises(ValueError, match=r"onnx:net.onnx runs in onnxruntime, which only looks forward; choose"):
        input_energy(model, image, torch.zeros(2, 1, dtype=torch.long))
    with pytest.raises(ValueError, match="only looks forward"):
        attribute("saliency", model, image, lambda pred: pred.mean((1, 2, 3)), seeds=[0, 1])
    with pytest.raises(ValueError, match="only looks forward"):
        model(image.requires_grad_()).sum().backward()


def external(file, location):
    weight = helper.make_tensor("w", FLOAT, [1], [0.0])
    weight.ClearField("float_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "4")):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value
    write(file, nodes=[helper.make_node("Mul", ["y", "w"], ["z"])], outputs=["z"], weights=[weight])
    return file


@pytest.mark.parametrize("name", ["w.bin", f"{'long' * 40}.bin"])
def test_weights_beside_the_file_are_read_and_count(file, image, name):
    np.array([2.0], "<f4").tofile(file.parent / name)
    first = load_model(f"onnx:{external(file, name)}?mean=none")
    assert torch.allclose(first(image), 2 * expected(image), atol=1e-6)
    np.array([3.0], "<f4").tofile(file.parent / name)
    assert load_model(f"onnx:{file}").card.digest != first.card.digest


@pytest.mark.parametrize("how", ["above", "absolute", "link"])
def test_weights_outside_the_folder_are_refused(file, how):
    folder = file.parent / "net"
    folder.mkdir()
    np.array([2.0], "<f4").tofile(file.parent / "w.bin")
    (folder / "link.bin").symlink_to("../w.bin")
    location = {"above": "../w.bin", "absolute": str(file.parent / "w.bin"), "link": "link.bin"}[how]
    with pytest.raises(ValueError, match=r"Expected .*a.onnx to be an ONNX network, but ") as caught:
        load_model(f"onnx:{external(folder / 'a.onnx', location)}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"no graph", "to be an ONNX network"), (b"", "to be an ONNX network"), (None, "there is no such file")],
)
def test_what_is_no_network_is_refused(file, content, sentence):
    if content is not None:
        file.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        load_model(f"onnx:{file}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("made", "sentence"),
    [({"shape": ("b", 4, "h", "w")}, r"take an image \(b 3 h w\)"), ({"kind": WHOLE}, r"of tensor\(int32\)"),
     ({"shape": ("b", 3, "h")}, "take an image"),
     ({"inputs": ["prompt"]}, r"take one image, but it has \['x', 'prompt'\]")],
)  # fmt: skip
def test_networks_of_something_else_are_refused(file, made, sentence):
    with pytest.raises(ValueError, match=sentence):
        load_model(f"onnx:{write(file, **made)}")


def test_options_that_do_not_fit_are_refused(file):
    write(file, shape=(1, 3, 6, 8))
    with pytest.raises(ValueError, match=r"Expected `size` to be \(6, 8\), which net.onnx fixes, but got '8x8'"):
        load_model(f"onnx:{file}?size=8x8")
    with pytest.raises(ValueError, match="Expected `output` to be one of"):
        load_model(f"onnx:{file}?output=depth")
    with pytest.raises(ValueError, match=r"Expected options of onnx:net.onnx to be among"):
        load_model(f"onnx:{file}?outputs=metric_depth")


def test_a_size_that_the_graph_cannot_take_is_one_sentence(file):
    bias = helper.make_tensor("bias", FLOAT, [1, 1, 6, 8], [0.0] * 48)
    write(file, nodes=[helper.make_node("Add", ["y", "bias"], ["z"])], outputs=["z"], weights=[bias])
    with pytest.raises(ValueError, match=r"to read images of \(7, 9\), but .*give its \?size=HxW") as caught:
        load_model(f"onnx:{file}")(torch.rand(1, 3, 7, 9))
    assert "\n" not in str(caught.value)


def test_a_map_of_another_shape_is_refused(file):
    flat = helper.make_node("GlobalAveragePool", ["y"], ["z"])
    reshape = helper.make_node("Flatten", ["z"], ["f"])
    model = load_model(f"onnx:{write(file, nodes=[flat, reshape], outputs=['f'])}")
    with pytest.raises(ValueError, match=r"Expected onnx:.* to return a map"):
        model(torch.rand(2, 3, 6, 8))
