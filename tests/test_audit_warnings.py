"""Every warning of an audit, from the network to the words: planted faults raise theirs, honest networks none."""

import json

import pytest
import torch
from torch import nn

from depthprobe.audit import presets
from depthprobe.data.batch import Batch
from depthprobe.data.dataset import Dataset
from depthprobe.functional.conversion import OUTPUT_KINDS
from depthprobe.models import DepthModel, ModelCard
from depthprobe.probes.conduct import ConductPlan
from depthprobe.report import conduct
from depthprobe.report.estimates import Options
from depthprobe.report.source import read_source
from depthprobe.run import run

H, W, FAR = 24, 32, 20.0


def sample(i):
    """A floor, and a box before a wall: red is the depth, green and blue are noise that networks may err by."""
    g = torch.Generator().manual_seed(i)
    near, far, left = (float(torch.rand(1, generator=g)) for _ in range(3))
    depth = torch.linspace(9 + 5 * far, 2 + near, H).view(1, 1, H, 1).expand(1, 1, H, W).clone()
    side = int(4 + 14 * left)
    depth[..., 6:16, side : side + 8] = 2 + 2 * near
    image = torch.cat([depth / FAR, torch.rand(1, 2, H, W, generator=g)], 1)
    return Batch(image=image, depth=depth, valid=depth > 0, sample=(f"s-{i}",), group=(f"g-{i}",))


def dataset(n=8):
    names = [f"s-{i}" for i in range(n)]
    return Dataset(name="planted", samples=names, groups=[f"g-{i}" for i in range(n)], read=sample, batch_size=4,
                   facts={"n": n}, protocol="scenes")  # fmt: skip


class Planted(nn.Module):
    """A function of depth that errs by some 10 %, and of the image, after an optional layer."""

    def __init__(self, function, layer=None, error=0.4, channel=1):
        super().__init__()
        self.function, self.layer, self.error, self.channel = function, layer or nn.Identity(), error, channel

    def forward(self, x):
        noise = 1 + self.error * (x[:, self.channel : self.channel + 1] - 0.5)
        return self.function(self.layer(FAR * x[:, :1]) * noise, x)


def model(name, net, output="metric_depth"):
    card = ModelCard(name=name, tag="", family="cnn", output=output, mean=(0.0,) * 3, std=(1.0,) * 3)
    return DepthModel(net, card).eval()


def warned(out, function, output="metric_depth", layer=None, error=0.4):
    """What an audit of this network says first, beside two honest references."""
    subject = model("mine", Planted(function, layer, error), output)
    beside = [model(name, Planted(lambda d, x: d, None, 0.5, 2)) for name in ("one", "two")]
    protocol = presets.judging("scenes", output)
    plans = {"error": protocol, "conduct": ConductPlan(protocol=protocol)}
    run([subject, *beside], plans, dataset(), out=out, device="cpu", maps=0)
    (out / "audit.json").write_text(json.dumps({"subject": "mine", "references": ["one", "two"]}))
    return conduct.warnings(read_source(out), Options(n_boot=400))


def normalised(d):
    low, high = d.amin((2, 3), keepdim=True), d.amax((2, 3), keepdim=True)
    return (d - low) / (high - low)


TRUE = {
    "metric_depth": lambda d, x: d,
    "scale_depth": lambda d, x: d / d.mean((2, 3), keepdim=True),
    "affine_depth": lambda d, x: normalised(d) - 0.2,
    "affine_disparity": lambda d, x: normalised(1 / d) + 0.3,
}
HARMLESS = {  # declared as more open than it is: only what is left open is lost
    ("metric_depth", "scale_depth"), ("metric_depth", "affine_depth"), ("scale_depth", "affine_depth"),
}  # fmt: skip


@pytest.mark.parametrize("true", OUTPUT_KINDS)
@pytest.mark.parametrize("declared", OUTPUT_KINDS)
def test_a_kind_is_suspected_if_and_only_if_it_is_wrong(tmp_path, true, declared):
    said = warned(tmp_path, TRUE[true], declared)
    if true == declared:
        assert said == []
        return
    kinds = [w for w in said if w.startswith("Wrong output kind")]
    assert len(kinds) == ((true, declared) not in HARMLESS)
    assert all(f"output={true})" in w for w in kinds)


def spoilt(value):
    def function(d, x):
        out = d.clone()
        out[..., 3, 5] = value
        return out

    return function


def prior(d, x):
    return torch.linspace(12, 3, H).view(1, 1, H, 1).expand(len(x), 1, H, W)


FAULTS = {
    "a NaN pixel": (spoilt(torch.nan), None, "are no numbers"),
    "an infinite pixel": (spoilt(torch.inf), None, "are no numbers"),
    "a negative pixel": (spoilt(-1.0), None, "zero or negative"),
    "a zero pixel": (spoilt(0.0), None, "zero or negative"),
    "millimetres": (lambda d, x: 1000 * d, None, "Scale off"),
    "a third too far": (lambda d, x: 1.33 * d, None, "Scale off"),
    "out of range": (lambda d, x: torch.where(d > 10, 10 * d, d), None, "lie outside the protocol's"),
    "constant": (lambda d, x: torch.full_like(d, 6.0), None, "a constant output"),
    "a prior": (prior, None, "It hardly looks at the image"),
    "dropout left on": (lambda d, x: nn.functional.dropout(d, 0.1) + 1, None, "not deterministic"),
    "normalised by the batch": (lambda d, x: d * x[:, :1].mean() / x[:1, :1].mean(), None, "what else is in the batch"),
    "dropout in training": (lambda d, x: d + 0.01, nn.Dropout(0.1), "In train mode it answers differently"),
}  # fmt: skip


@pytest.mark.parametrize(("function", "layer", "sentence"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_said(tmp_path, function, layer, sentence):
    assert any(sentence in w for w in warned(tmp_path, function, layer=layer))


def test_far_better_than_every_reference_is_a_possibility_and_better_is_none(tmp_path):
    start = "Training on these images is a possibility"
    assert any(w.startswith(start) for w in warned(tmp_path / "known", TRUE["metric_depth"], error=0.05))
    assert not any(w.startswith(start) for w in warned(tmp_path / "better", TRUE["metric_depth"], error=0.3))
