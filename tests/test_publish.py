"""A finished training becomes an entry of the zoo: 8-bit weights, and a card with the numbers of those weights."""

import dataclasses
import json

import pytest
import torch
from safetensors.torch import load_file

from depthprobe.data import load_dataset
from depthprobe.functional.metrics import abs_rel
from depthprobe.models import load_model
from depthprobe.models.compact import expand
from depthprobe.publish import publish
from depthprobe.train import Recipe, save_weights

SIZE = [32, 32]


@pytest.fixture
def finished(tmp_path):
    recipe = Recipe(
        model="timm:test_convnext?size=32x32", train={"split": "train", "n": 4, "size": SIZE, "kind": "mixed"}
    )
    folder = tmp_path / "training"
    folder.mkdir()
    (folder / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    model = load_model(recipe.model)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    save_weights(model, folder / "final.safetensors")
    return folder, model


def test_card_and_weights_belong_together(finished, tmp_path):
    folder, model = finished
    card = publish(folder, "mine", weights=tmp_path / "zoo", n=3, prior_n=4)
    assert json.loads((tmp_path / "zoo" / "mine.json").read_text()) == json.loads(json.dumps(card))
    stored = load_file(tmp_path / "zoo" / "mine.safetensors")
    assert {x.dtype for name, x in stored.items() if name + ".step" in stored} == {torch.int8}
    model.net.load_state_dict(expand(stored))
    assert set(card["tests"]) == {"rooms", "streets", "shapes"}
    assert card["parameters"] == sum(p.numel() for p in model.net.parameters())
    for kind, said in card["tests"].items():
        batch = next(iter(load_dataset("scenes", split="test", kind=kind, n=3, size=SIZE, batch_size=3)))
        with torch.no_grad():
            expected = abs_rel(model(batch.image).clamp(1e-3, 80), batch.depth, batch.valid & (batch.depth < 80))
        assert said["n"] == 3
        assert said["scores"]["abs_rel"] == pytest.approx(float(expected.mean()), abs=1e-4)


def test_undefined_values_are_counted(finished, tmp_path, monkeypatch):
    values = iter([[0.1, float("nan")], [0.3, 0.4]] * 9)
    monkeypatch.setattr("depthprobe.publish.evaluate", lambda *_, **__: {"abs_rel": torch.tensor(next(values))})
    scenes = load_dataset("scenes", n=2, size=SIZE, batch_size=1)
    monkeypatch.setattr("depthprobe.publish.load_dataset", lambda name, **options: scenes)
    scores = publish(finished[0], "mine", weights=tmp_path)["tests"]["rooms"]["scores"]
    assert scores == {"abs_rel": pytest.approx(0.2667, abs=1e-4), "undefined": {"abs_rel": 1}}


def test_the_prior_is_the_median_of_training_depth_pixel_by_pixel(finished, tmp_path):
    card = publish(finished[0], "mine", weights=tmp_path, n=2, prior_n=5)
    train = next(iter(load_dataset("scenes", split="train", n=5, size=SIZE, batch_size=5)))
    prior = train.depth.sort(0).values[2:3]
    test = next(iter(load_dataset("scenes", split="test", n=2, size=SIZE, batch_size=2)))
    expected = abs_rel(prior.expand_as(test.depth), test.depth, test.valid).mean()
    assert card["tests"]["rooms"]["prior"]["abs_rel"] == pytest.approx(float(expected), abs=1e-4)


def test_no_folder_of_this_machine_gets_into_a_card(finished, tmp_path, monkeypatch):
    folder, _ = finished
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe |= {"dataset": "folder", "train": {"root": str(tmp_path)}, "val": {"root": str(tmp_path)}}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    scenes = load_dataset("scenes", n=2, size=SIZE)
    monkeypatch.setattr("depthprobe.publish.load_dataset", lambda name, **options: scenes)
    card = publish(folder, "mine", weights=tmp_path)
    assert str(tmp_path) not in json.dumps(card)
    assert card["recipe"]["train"]["root"] == "DIR"
    assert "owners' terms" in card["licence"]


def test_an_unfinished_training_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"final\.safetensors of a finished training"):
        publish(tmp_path, "mine", weights=tmp_path)
