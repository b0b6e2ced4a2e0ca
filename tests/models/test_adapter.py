"""The adapter: resizing, normalisation, reading outputs and layers."""

import collections
import types

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.models.adapter import IMAGENET_MEAN, IMAGENET_STD, DepthModel, ModelCard, as_prediction
from depthprobe.models.hooks import as_map, capture, evaluating, intervene


class Spy(nn.Module):
    """Returns the mean of what it is fed; remembers it."""

    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.unused = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        self.fed = x
        return self.body(x).mean(1, keepdim=True)


def model(**card):
    facts = {"name": "test:spy", "tag": "t", "family": "cnn", "output": "metric_depth", **card}
    torch.manual_seed(0)
    return DepthModel(Spy(), ModelCard(**facts)).eval()


def test_the_network_sees_the_normalised_image_at_its_size():
    image = torch.rand(2, 3, 20, 30)
    spy = model(size=(10, 15))
    out = spy(image)
    small = F.interpolate(image, (10, 15), mode="bilinear", antialias=True)
    want = (small - torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    assert torch.allclose(spy.net.fed, want, atol=1e-6)
    assert out.shape == (2, 1, 20, 30)
    assert torch.allclose(out, F.interpolate(spy.net(want), (20, 30), mode="bilinear"), atol=1e-6)


def test_canvas_is_the_image_itself_where_sizes_agree():
    image = torch.rand(1, 3, 10, 15)
    assert model(size=(10, 15)).canvas(image) is image
    assert model().canvas(image) is image


def test_canvas_rounds_to_the_multiple():
    assert model(multiple=8).canvas(torch.rand(1, 3, 21, 35)).shape[-2:] == (24, 32)


def test_the_mean_colour_is_zero_after_normalisation():
    spy = model()
    spy(torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1).expand(1, 3, 4, 4))
    assert spy.net.fed.abs().max() < 1e-6


def test_gradients_reach_the_image_through_the_resize():
    image = torch.rand(1, 3, 20, 30, requires_grad=True)
    model(size=(10, 15))(image).sum().backward()
    assert image.grad.abs().sum() > 0


@pytest.mark.parametrize(
    "output",
    [torch.ones(2, 1, 4, 5), torch.ones(2, 4, 5), [torch.zeros(1), torch.ones(2, 1, 4, 5)],
     (torch.zeros(2, 1, 2, 3), torch.zeros(2, 1, 3, 5), torch.ones(2, 1, 4, 5)), (None, torch.ones(2, 1, 4, 5)),
     {"predicted_depth": torch.ones(2, 4, 5)}, {"other": 0, "depth": torch.ones(2, 1, 4, 5)}],
)  # fmt: skip
def test_usual_outputs_are_understood(output):
    found = as_prediction(output)
    assert found.shape == (2, 1, 4, 5) and (found == 1).all()


@pytest.mark.parametrize("output", [torch.ones(2, 3, 4, 5), {"a": 1}, "text", []])
def test_other_outputs_are_refused_with_what_they_are(output):
    with pytest.raises(ValueError, match="Expected the network to return a map"):
        as_prediction(output)


@pytest.mark.parametrize("sizes", [[(4, 5), (4, 5)], [(4, 5), (2, 3)], [(2, 3), (4, 5), (4, 5)]])
def test_of_maps_of_one_size_none_is_taken_silently(sizes):
    with pytest.raises(ValueError, match=rf"Expected mine to return one map, but got {len(sizes)} .*with `depth`"):
        as_prediction(tuple(torch.ones(2, 1, *size) for size in sizes), "mine")


FIRST, LAST = torch.zeros(2, 1, 4, 5), torch.ones(2, 1, 4, 5)


@pytest.mark.parametrize(
    ("output", "map"),
    [([FIRST, FIRST, LAST], "-1"), ((LAST, FIRST), "0"), ({"depth": FIRST, "fine": LAST}, "fine"),
     ({"depth": [FIRST, LAST]}, "depth.-1"), ([FIRST, {"a": (LAST, FIRST)}], "-1.a.0"), (LAST, "-1"),
     (collections.namedtuple("Answer", "depth sigma")(LAST, FIRST), "depth"), ([{"depth": LAST}, FIRST], "0"),
     (types.SimpleNamespace(depth=LAST, sigma=FIRST), "depth")],
)  # fmt: skip
def test_a_card_may_say_which_map_is_the_depth(output, map):
    assert as_prediction(output, map=map) is LAST


@pytest.mark.parametrize(
    ("output", "map", "got"),
    [([FIRST, LAST], "2", "list of 2"), ([FIRST, LAST], "depth", "list of 2"), ({"a": LAST}, "b", r"dict with \['a'\]"),
     ({"a": [LAST]}, "a.b", "list of 1"), (None, "-1", "NoneType")],
)  # fmt: skip
def test_a_map_that_is_not_there_is_refused(output, map, got):
    with pytest.raises(ValueError, match=rf"Expected mine to return a map at `{map}`, but got {got}"):
        as_prediction(output, "mine", map)


def test_the_refusal_of_several_maps_names_the_way_on():
    for output in ([FIRST, LAST], {"depth": [FIRST, LAST]}):
        with pytest.raises(ValueError, match=r"\?map=-1 .*an index or a key, depth\.-1"):
            as_prediction(output)
    with pytest.raises(ValueError, match=r"got dict with \['z'\]; say which it is by \?map=KEY"):
        as_prediction({"z": LAST})


def test_an_unknown_output_kind_is_refused():
    with pytest.raises(ValueError, match="Expected `output` to be one of"):
        model(output="metres")


def test_features_equal_the_layers_output_and_leave_no_hook():
    spy, image = model(), torch.rand(1, 3, 8, 8)
    found = spy.features(image, ["body"])
    assert torch.equal(found["body"], spy.net.body(spy.net.fed))
    assert not spy.net.body._forward_hooks


def test_a_layer_that_does_not_run_raises():
    with pytest.raises(ValueError, match="were not called"):
        model().features(torch.rand(1, 3, 8, 8), ["unused"])


def test_an_unknown_layer_raises_and_leaves_no_hook():
    spy = model()
    with pytest.raises(ValueError, match="Expected layer names"):
        spy.features(torch.rand(1, 3, 8, 8), ["body", "boddy"])
    assert not spy.net.body._forward_hooks


def test_hooks_go_when_the_block_raises():
    spy = model()
    for manager in (capture(spy.net, ["body"], size=(8, 8)), intervene(spy.net, {"body": lambda x: x})):
        with pytest.raises(RuntimeError, match="planted"), manager:
            raise RuntimeError("planted")
        assert not spy.net.body._forward_hooks


def test_intervene_replaces_the_output():
    spy, image = model(), torch.rand(1, 3, 8, 8)
    with intervene(spy.net, {"body": torch.zeros_like}):
        assert (spy(image) == 0).all()
    assert (spy(image) != 0).any()


def test_evaluating_restores_every_modules_mode():
    spy = model()
    spy.train()
    spy.net.body.eval()
    with evaluating(spy):
        assert not spy.training
    assert spy.training and not spy.net.body.training
    with pytest.raises(RuntimeError, match="planted"), evaluating(spy):
        raise RuntimeError("planted")
    assert spy.training and not spy.net.body.training


def test_token_grids_and_channel_last_maps_become_maps():
    grid = torch.arange(2 * 6 * 5.0).view(2, 6, 5)
    tokens = torch.cat([torch.full((2, 1, 5), -1.0), grid], 1)
    for output in (grid, tokens, grid.view(2, 2, 3, 5)):
        found = as_map(output, (32, 48))
        assert found.shape == (2, 5, 2, 3)
        assert found[1, 4, 1, 2] == grid[1, 5, 4]
    with pytest.raises(ValueError, match="map or a token grid"):
        as_map(torch.zeros(1, 7, 5, 2, 2), (32, 48))


class Failing(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error


def failing(error):
    return DepthModel(Failing(error), ModelCard(name="mine", tag="x", family="cnn", output="metric_depth"))


@pytest.mark.parametrize("error", [RuntimeError("a\nb"), KeyError("a"), ValueError("Expected a."), AssertionError()])
def test_a_network_that_fails_in_its_own_code_is_named_with_what_it_read_and_why(error):
    why = rf"{type(error).__name__}: \S.*\(test_adapter\.py, line"
    sentence = rf"^Expected mine to answer to \(2, 3, 5, 7\), but it raised {why}"
    for kind in (ValueError, RuntimeError):
        with pytest.raises(kind, match=sentence) as caught:
            failing(error)(torch.zeros(2, 3, 5, 7))
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), MemoryError("x"), KeyboardInterrupt()])
def test_memory_that_runs_out_and_whoever_stops_it_are_not_the_networks_fault(error):
    with pytest.raises(type(error)) as caught:
        failing(error)(torch.zeros(2, 3, 5, 7))
    assert caught.value is error


def test_what_this_package_says_while_the_network_runs_is_passed_on():
    model = DepthModel(nn.Flatten(), ModelCard(name="mine", tag="x", family="cnn", output="metric_depth"))
    with pytest.raises(ValueError, match=r"^Expected layer `` to give a map or a token grid"):
        model.features(torch.zeros(1, 3, 5, 7), [""])
