"""`torchhub:`: a repository's code runs with leave alone; what MiDaS's entries read is known."""

import pytest
import torch

from depthprobe.models import load_model
from depthprobe.models.torchhub import MIDAS
from depthprobe.models.trust import VARIABLE, require_trust, trusted

HUBCONF = """
from pathlib import Path
import torch
Path(__file__).with_name("ran").touch()
class Net(torch.nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(float(gain)))
    def forward(self, x):
        return 1 + self.gain * x.mean(1)
def DPT_Hybrid(pretrained=True, gain=1.0):
    return Net(gain)
def MiDaS_small():
    return Net(torch.rand(()))
def wrong():
    return 3
def broken():
    raise RuntimeError("no weights here\\nand more")
def ends():
    raise SystemExit(0)
def silent():
    raise KeyError
"""


@pytest.fixture
def repo(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    folder = tmp_path / "MiDaS"
    folder.mkdir()
    (folder / "hubconf.py").write_text(HUBCONF)
    return folder


def test_without_leave_nothing_runs_and_the_sentence_says_what_would(repo):
    with pytest.raises(ValueError, match=r"leave before running .*hubconf.py and all that it imports,.*\?trust=1"):
        load_model(f"torchhub:{repo}:DPT_Hybrid")
    assert not (repo / "ran").exists()
    with pytest.raises(ValueError, match=r"running hubconf.py of github.com/intel-isl/MiDaS \(downloaded now\)"):
        load_model("torchhub:intel-isl/MiDaS:DPT_Hybrid")


def test_with_leave_it_is_opened_and_what_midas_gives_is_known(repo, monkeypatch):
    model = load_model(f"torchhub:{repo}:DPT_Hybrid?trust=1&gain=2")
    assert (repo / "ran").exists()
    card = model.card
    assert (card.output, card.mean, card.std) == ("affine_disparity", (0.5,) * 3, (0.5,) * 3)
    assert model.canvas_size(480, 640) == (384, 512)
    image = torch.rand(1, 3, 384, 512)
    assert torch.allclose(model(image)[:, 0], 1 + 2 * (image / 0.5 - 1).mean(1), atol=1e-5)
    monkeypatch.setenv(VARIABLE, "1")
    assert load_model(f"torchhub:{repo}:DPT_Hybrid").card.digest != card.digest, "another gain"


def test_the_small_midas_reads_what_fits_into_its_square(repo):
    state = torch.get_rng_state()
    model = load_model(f"torchhub:{repo}:MiDaS_small?trust=1")
    assert torch.equal(torch.get_rng_state(), state)
    assert model.canvas_size(480, 640) == (192, 256)
    assert model.card.mean[0] == pytest.approx(0.485)


def test_of_other_repositories_nothing_is_assumed(repo):
    other = repo.rename(repo.with_name("other"))
    card = load_model(f"torchhub:{other}:DPT_Hybrid?trust=1&output=scale_depth&size=8x12&mean=none").card
    assert (card.output, card.size, card.mean, card.reading) == ("scale_depth", (8, 12), (0.0,) * 3, None)
    assert load_model(f"torchhub:{other}:DPT_Hybrid?trust=1").card.output == "metric_depth"


def test_of_several_maps_the_option_says_which_and_does_not_go_to_the_entry(repo):
    with (repo / "hubconf.py").open("a") as file:
        file.write("class Two(Net):\n    def forward(self, x):\n        return x.mean(1), 1 + x.mean(1)\n")
        file.write("def two():\n    return Two(1)\n")
    image = torch.rand(1, 3, 8, 12)
    model = load_model(f"torchhub:{repo}:two?trust=1&map=1&size=8x12&mean=none")
    assert torch.allclose(model(image)[:, 0], 1 + image.mean(1))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("torchhub:{}:nothing?trust=1", "to build `nothing`, but"), ("torchhub:MiDaS", "torchhub:OWNER/REPO:ENTRY"),
     ("torchhub:{}:wrong?trust=1", "torch.nn.Module, but got int"), ("torchhub:nowhere:x?trust=1", "there is nothing"),
     ("torchhub:{}:broken?trust=1", "RuntimeError: no weights here$"), ("torchhub:./nowhere:x?trust=1", "at nowhere"),
     ("torchhub:{}:ends?trust=1", "SystemExit: 0"), ("torchhub:{}:silent?trust=1", "but KeyError: KeyError$"),
     ("torchhub:{}:DPT_Hybrid?trust=1&output=depth", "Expected `output`"),
     ("torchhub:{}:DPT_Hybrid?trust=1&depth=3", "TypeError: .*depth"), ("torchhub:{}/..:x?trust=1", "hubconf.py")],
)  # fmt: skip
def test_mistakes_are_explained(repo, name, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        load_model(name.format(repo))


def test_the_table_of_midas_is_whole():
    assert len(MIDAS) == 13
    for entry, known in MIDAS.items():
        assert known["output"] == "affine_disparity", entry
        assert known["reading"].canvas_size(480, 640)[0] % 32 == 0


@pytest.mark.parametrize(
    ("option", "variable", "answer"),
    [("", "", False), ("1", "", True), ("yes", "", True), ("0", "1", False), ("", "1", True), ("", "0", False)],
)
def test_trust_is_said_by_the_option_or_else_by_the_environment(monkeypatch, option, variable, answer):
    monkeypatch.setenv(VARIABLE, variable)
    assert trusted(option) is answer


def test_trust_that_is_neither_yes_nor_no_is_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "maybe")
    with pytest.raises(ValueError, match="Expected `trust` to be one of"):
        require_trust("x", "running x")
