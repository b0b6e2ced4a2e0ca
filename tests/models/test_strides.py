"""Strides and windows of networks whose lattices are known."""

import pytest
import torch
from torch import nn

from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.models.strides import periods, strides, windows

IMAGE = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


class Tokens(nn.Module):
    """A patch embedding of stride 8 as a token sequence with a class token."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(3, 4, 8, 8)
        self.join = nn.Identity()

    def forward(self, x):
        grid = self.embed(x).flatten(2).transpose(1, 2)
        return self.join(torch.cat([grid[:, :1], grid], 1))


class Block(nn.Module):
    """A block with windows of 3x3 tokens, channels last."""

    window_size = (3, 3)

    def forward(self, x):
        return x.permute(0, 2, 3, 1)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.tokens, self.block = nn.Conv2d(3, 4, 4, 4), Tokens(), Block()
        self.pool, self.head = nn.AdaptiveAvgPool2d(1), nn.Linear(4, 1)

    def forward(self, x):
        features = self.block(self.stem(x)).permute(0, 3, 1, 2)
        scale = self.head(self.pool(features).flatten(1)) + self.tokens(x).mean()
        return nn.functional.interpolate(features[:, :1].abs() + scale.abs()[..., None, None], x.shape[-2:])


def model(**card):
    return DepthModel(Net(), ModelCard(name="lattices", tag="x", family="hybrid", output="metric_depth", **card)).eval()


def test_strides_of_maps_and_tokens():
    net = model()
    assert strides(net, IMAGE) == {"stem": 4, "tokens": 8, "tokens.join": 8, "tokens.embed": 8, "block": 4}
    assert strides(model(layers=("stem",)), IMAGE) == {"stem": 4}


def test_windows_are_in_pixels():
    assert windows(model(), IMAGE) == {"block": (12,)}
    assert windows(model(size=(12, 36)), IMAGE) == {}, "a window as large as the map has no side inside it"


def test_a_long_window_has_two_sides(monkeypatch):
    monkeypatch.setattr(Block, "window_size", (2, 3))
    assert windows(model(), IMAGE) == {"block": (8, 12)}
    assert list(periods(model(), IMAGE)) == [4, 8, 12]


def test_periods_collect_both():
    assert {p: set(names) for p, names in periods(model(), IMAGE).items()} == {
        4: {"stem", "block"}, 8: {"tokens", "tokens.join", "tokens.embed"}, 12: {"block"},
    }  # fmt: skip


@pytest.mark.parametrize("name", ["zoo:convnext", "zoo:pvt"])
def test_the_zoo(name):
    assert list(periods(load_model(name), IMAGE)) == [4, 8, 16, 32]


def test_swin_has_windows():
    found = periods(load_model("timm:swin_tiny_patch4_window7_224?size=224x224"), torch.rand(1, 3, 224, 224))
    assert list(found) == [4, 8, 16, 28, 32, 56, 112]


def test_nothing_is_left_on_the_network_also_when_it_raises():
    net = model().train()
    with pytest.raises(RuntimeError):
        strides(net, torch.rand(1, 3, 2, 2))
    assert net.training
    assert not any(m._forward_hooks for m in net.modules())
