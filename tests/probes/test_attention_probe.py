"""The attention probe: its rows from its parts, a planted map, and networks without attention."""

import dataclasses

import numpy as np
import pytest
import tiny
import torch
from sparse_cases import batch, value

from depthprobe.functional.attention import attention_distance
from depthprobe.models import DepthModel, ModelCard, load_model
from depthprobe.models.adapter import NetworkError
from depthprobe.models.attention import capture_attention
from depthprobe.models.reading import Reading
from depthprobe.probes.attention import AttentionPlan, attention

PVT = "timm:pvt_v2_b0?size=64x96"


class Planted(torch.nn.Module):
    """Depth 1 everywhere, from two heads over 4x6 patches of 4 pixels: one looks at itself, one `step` columns on."""

    def __init__(self, step):
        super().__init__()
        self.attn_drop, self.step = torch.nn.Dropout(0.1), step

    def forward(self, x):
        other = torch.zeros(24, 24)
        for p in range(24):
            other[p, p // 6 * 6 + (p % 6 + self.step) % 6] = 1
        self.attn_drop(torch.stack([torch.eye(24), other]).expand(len(x), -1, -1, -1))
        return 1 + 0 * x[:, :1]


def planted(step):
    card = ModelCard(name="planted", tag="v1", family="transformer", output="metric_depth", size=(16, 24))
    return DepthModel(torch.nn.Sequential(Planted(step)), card).eval()


def test_a_planted_map_has_its_closed_form():
    table = attention(planted(2), batch(3), AttentionPlan())
    far = 4 * (2 * 4 + 4 * 2) / 6  # two columns on, or four back from the last two
    assert np.allclose(value(table, factor="head", level=0), 0)
    assert np.allclose(value(table, factor="head", level=1), far)
    assert np.allclose(value(table, factor="", metric="attention_distance"), far / 2)
    y, x = torch.meshgrid(4 * torch.arange(4.0), 4 * torch.arange(6.0), indexing="ij")
    places = torch.stack([y, x], -1).reshape(-1, 2)
    uniform = torch.cdist(places, places).mean()
    assert np.allclose(value(table, metric="attention_distance@uniform"), float(uniform))
    assert (value(table, metric="attention_layers") == 1).all()


@pytest.mark.parametrize(("frame", "divisor"), [("", 1), ("zero", 10)])
def test_lengths_in_pixels_of_one_height_leave_a_frame_out(frame, divisor):
    """A canvas of 16 rows, also within a frame up to 20: a pixel of a height of 8 is two of them in both cases."""
    model = planted(2)
    model.card = dataclasses.replace(model.card, reading=Reading(size=(16, 24), frame=frame, divisor=divisor))
    if frame:
        model.net[0].forward = lambda x: (
            model.net[0].attn_drop(torch.eye(30).expand(len(x), 1, -1, -1))[:, :, :1, :1] + 1 + 0 * x[:, :1]
        )
    data = batch(2).cut((0, 16, 0, 24))
    whole, halved = (attention(model, data, AttentionPlan(height=height)) for height in (None, 8))
    both = [value(table, metric="attention_distance@uniform") for table in (whole, halved)]
    assert np.allclose(both[0], 2 * both[1])


def test_a_stretched_canvas_is_measured_on_the_image():
    """Images of 24x32 read at 16x24: in pixels of a height of 8, a patch of 4 is 2 down and 4 * (8 / 24 * 32) / 24."""
    table = attention(planted(2), batch(2), AttentionPlan(height=8))
    y, x = torch.meshgrid(2 * torch.arange(4.0), 16 / 9 * torch.arange(6.0), indexing="ij")
    places = torch.stack([y, x], -1).reshape(-1, 2)
    assert np.allclose(value(table, metric="attention_distance@uniform"), float(torch.cdist(places, places).mean()))
    assert np.allclose(value(table, factor="head", level=1), 16 / 9 * (2 * 4 + 4 * 2) / 6)


def test_rows_are_the_distances_of_the_captured_maps():
    model, data = load_model(PVT), batch(3)
    table = attention(model, data, AttentionPlan(batch=2))
    with torch.no_grad(), capture_attention(model.net, lambda seen: seen, size=(64, 96)) as maps:
        model(model.canvas(data.image))
    assert (value(table, metric="attention_layers") == len(maps)).all()
    for name, seen in maps.items():
        wanted = attention_distance(seen.weights, seen.queries, seen.keys)
        for head in range(wanted.shape[1]):
            found = value(table, layer=name, factor="head", level=head)
            assert np.allclose(found, wanted[:, head], rtol=1e-4), name
        found = value(table, layer=name, factor="", metric="attention_distance")
        assert np.allclose(found, wanted.mean(1), rtol=1e-4)
    bare = attention(model, data, AttentionPlan(heads=False))
    assert set(bare["factor"]) == {""}


def test_windows_bound_the_reach():
    options = "size=64x96&embed_dim=12&depths=(2,2,2,2)&num_heads=(1,2,2,2)&window_size=(4,6)"
    table = attention(load_model(f"timm:swin_tiny_patch4_window7_224?{options}"), batch(1), AttentionPlan())
    first = table[table["layer"].str.contains("layers_0") & (table["metric"] == "attention_distance")]
    assert len(first) and (first["value"] <= 4 * np.hypot(3, 5)).all() and (first["value"] > 0).all()


@pytest.mark.parametrize("name", ["oracle:row", "tiny"])
def test_a_network_without_attention_says_so(name):
    model = tiny.model() if name == "tiny" else load_model(name)
    table = attention(model, batch(2), AttentionPlan())
    assert set(table["metric"]) == {"attention_layers"} and (table["value"] == 0).all()


def test_a_transformer_that_cannot_be_read_is_refused():
    model = tiny.model(family="transformer")
    with pytest.raises(ValueError, match="leave out the probe `attention`"):
        attention(model, batch(1), AttentionPlan())


def test_everything_is_restored_when_the_network_fails():
    model = load_model(PVT)
    state = [(m.training, len(m._forward_pre_hooks), getattr(m, "fused_attn", None)) for m in model.modules()]
    broken = model.net.decoder.head.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(NetworkError, match="ZeroDivisionError"):
        attention(model, batch(1), AttentionPlan())
    broken.remove()
    assert state == [(m.training, len(m._forward_pre_hooks), getattr(m, "fused_attn", None)) for m in model.modules()]


def test_the_plan_is_checked():
    assert dataclasses.replace(AttentionPlan(), batch=3).batch == 3
    with pytest.raises(ValueError, match="Expected `batch`"):
        AttentionPlan(batch=0)
