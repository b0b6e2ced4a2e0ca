"""What a network's measurements are filed under: the code that a user wrote counts as much as the weights."""

import importlib
import sys

import pytest

from depthprobe.data import load_dataset
from depthprobe.models import load_model
from depthprobe.provenance import model_identity
from depthprobe.run import run

NETWORK = """
from torch import nn

class Plus(nn.Module):
    def __init__(self, add):
        super().__init__()
        self.add = add
    def extra_repr(self):
        return f"add={self.add}"
    def forward(self, image):
        return image.mean(1, keepdim=True).abs() + FLOOR + self.add

def build():
    return Plus(0.0)

def higher():
    return Plus(1.0)
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the user's module with another constant, as an editor between two runs."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def written(floor):
        (tmp_path / "my_network.py").write_text(f"FLOOR = {floor}\n{NETWORK}")
        importlib.invalidate_caches()
        sys.modules.pop("my_network", None)

    yield written
    sys.modules.pop("my_network", None)


def test_edited_code_of_a_network_without_weights_is_measured_anew(write, tmp_path):
    data, errors = load_dataset("scenes", n=2, size=(24, 32)), []
    for floor in (1.0, 3.0, 1.0):
        write(floor)
        table = run(["py:my_network:build"], ["error"], data, out=tmp_path / "out", device="cpu", maps=0)
        errors.append(table.loc[table["metric"] == "abs_rel", "value"].tolist())
    assert errors[0] != errors[1]
    assert errors[0] == errors[2], "the first parts are still there"


def test_what_a_network_says_about_itself_counts(write):
    write(1.0)
    one, other = (model_identity(load_model(f"py:my_network:{name}?tag=a")) for name in ("build", "higher"))
    assert one["code"] != other["code"]


def test_networks_from_installed_packages_have_no_code_of_their_own():
    for name in ("oracle:row", "timm:test_convnext?size=96x128"):
        assert "code" not in model_identity(load_model(name))
