"""Capturing attention: every layout of timm's, settings and hooks restored after a failure, nothing empty."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from depthprobe.functional.attention import attention_distance
from depthprobe.models import load_model
from depthprobe.models.adapter import NetworkError
from depthprobe.models.attention import capture_attention
from depthprobe.models.attention_taps import attention_modules, unfused

NETWORKS = {
    "vit": "timm:test_vit?size=64x80",
    "pvt": "timm:pvt_v2_b0?size=64x96",
    "swin": "timm:swin_tiny_patch4_window7_224?size=64x96&embed_dim=12&depths=(2,2,2,2)&num_heads=(1,2,2,2)"
    "&window_size=(4,6)",
    "padded": "timm:swin_tiny_patch4_window7_224?size=64x96&embed_dim=12&depths=(2,2,2,2)&num_heads=(1,2,2,2)"
    "&window_size=(3,5)",
}


@pytest.fixture(scope="module", params=NETWORKS)
def model(request):
    return load_model(NETWORKS[request.param])


def image(model, batch=2):
    return torch.rand(batch, 3, *model.card.size, generator=torch.Generator().manual_seed(0))


def captured(model, read=lambda seen: seen, batch=2):
    with torch.no_grad(), capture_attention(model.net, read, size=model.card.size) as found:
        model(image(model, batch))
    return found


def test_every_map_sums_to_one_and_fits_its_places(model):
    maps = captured(model)
    assert maps
    for seen in maps.values():
        batch, groups, _, queries, keys = seen.weights.shape
        assert batch == 2
        assert seen.queries.shape == (groups, queries, 2) and seen.keys.shape == (groups, keys, 2)
        assert torch.allclose(seen.weights.sum(-1), torch.ones(()), atol=1e-5)
        places = torch.cat([seen.queries.reshape(-1, 2), seen.keys.reshape(-1, 2)])
        placed = places[places.isfinite().all(1)]
        assert (placed >= 0).all() and (placed < torch.tensor(model.card.size)).all()
        if not (groups > 1 and seen.queries.isnan().any()):  # timm masks a padded map as if it were not padded
            forbidden = ~seen.allowed[None, :, None]
            assert float((seen.weights * forbidden).max()) < 1e-6, "what the mask forbids gets no attention"


def test_the_tokens_of_a_layer_cover_the_image(model):
    for name, seen in captured(model).items():
        placed = seen.queries.reshape(-1, 2)
        placed = placed[placed.isfinite().all(1)]
        assert len(placed.unique(dim=0)) == len(placed), name
        assert torch.allclose(placed.mean(0), torch.tensor(model.card.size).double() / 2 - 0.5), name


def test_capturing_changes_no_answer(model):
    with torch.no_grad():
        before = model(image(model))
        with capture_attention(model.net, lambda seen: seen.weights, size=model.card.size):
            during = model(image(model))
    assert torch.allclose(before, during, rtol=1e-4, atol=1e-5)


def fused(net):
    return [m.fused_attn for m in net.modules() if hasattr(m, "fused_attn")]


def hooks(net):
    return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in net.modules()]


def test_settings_and_hooks_are_restored_after_a_failure(model):
    settings, before = fused(model.net), hooks(model.net)

    def planted(seen):
        assert not any(fused(model.net))
        raise ArithmeticError("planted")

    with pytest.raises(NetworkError, match="ArithmeticError: planted"):
        captured(model, planted)
    assert fused(model.net) == settings and hooks(model.net) == before
    captured(model)
    assert fused(model.net) == settings and hooks(model.net) == before


def test_each_layer_gets_its_own_setting_back():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1))
    net[0].fused_attn, net[1].fused_attn = True, False

    def fail():
        with unfused(net):
            assert fused(net) == [False, False]
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert fused(net) == [True, False]


class Attend(nn.Module):
    """One head over the pixels of the image, with a planted map."""

    def __init__(self, weights=None):
        super().__init__()
        self.attn_drop, self.weights, self.fused_attn = nn.Dropout(0.1), weights, True

    def forward(self, x):
        if self.fused_attn:
            tokens = x.flatten(2).mT
            return F.scaled_dot_product_attention(tokens, tokens, tokens)
        return self.attn_drop(self.weights.expand(len(x), 1, -1, -1))


def test_a_planted_map_is_read_with_its_closed_form():
    """A 4x6 image: every pixel attends half to itself and half to its right neighbour (the last to its left)."""
    weights = 0.5 * torch.eye(24)
    for p in range(24):
        weights[p, p + 1 if p % 6 < 5 else p - 1] += 0.5
    net = nn.Sequential(Attend(weights)).eval()

    def read(seen):
        return attention_distance(seen.weights, seen.queries, seen.keys)

    with capture_attention(net, read, size=(4, 6)) as found:
        net(torch.rand(3, 3, 4, 6))
    assert torch.allclose(found["0"], torch.full((3, 1), 0.5, dtype=torch.float64))


def test_nothing_captured_is_an_error():
    class Stubborn(Attend):
        def forward(self, x):
            return F.scaled_dot_product_attention(x, x, x)

    net = nn.Sequential(Stubborn())
    with pytest.raises(ValueError, match="none was captured"), capture_attention(net, id, size=(4, 6)):
        net(torch.rand(1, 3, 4, 6))
    with pytest.raises(ValueError, match="none was captured"), capture_attention(net, id, size=(4, 6)):
        pass
    with pytest.raises(ValueError, match="the network has none"), capture_attention(nn.ReLU(), id, size=(4, 6)):
        pass


@pytest.mark.parametrize("shape", [(1, 1, 23, 23), (1, 1, 24, 7), (6, 1, 4, 4)])
def test_an_unknown_layout_is_an_error(shape):
    """Tokens that fit no grid, keys that are not the queries, windows of which nothing is known."""
    net = nn.Sequential(Attend())
    net[0].forward = lambda x: net[0].attn_drop(torch.zeros(shape).softmax(-1))
    with pytest.raises(ValueError, match="layout is not known"), capture_attention(net, id, size=(4, 6)):
        net(torch.rand(1, 3, 4, 6))


def test_networks_without_attention_have_none():
    assert attention_modules(load_model("timm:test_convnext?size=32x32").net) == {}
