"""Recipes: old cards open, wrong fields are named, shipped ones describe trainings that can be built."""

import dataclasses
import json

import pytest
import torch

from depthprobe.cli.trainer import make_recipe
from depthprobe.models.zoo import WEIGHTS
from depthprobe.train import RECIPES, Recipe, read_recipe
from depthprobe.train.recipe import recipe_of


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.json")), ids=lambda p: p.stem)
def test_the_recipes_on_the_cards_of_the_zoo_open(path):
    fields = json.loads(path.read_text())["recipe"]
    recipe = recipe_of(fields)
    assert {name: json.loads(json.dumps(getattr(recipe, name))) for name in fields} == fields


def test_unknown_and_missing_fields_of_other_versions_are_no_matter(tmp_path):
    assert recipe_of({"lr": 0.5, "gone": 1}) == Recipe(lr=0.5)
    (tmp_path / "recipe.json").write_text('{"seed": 3, "gone": 1}')
    assert read_recipe(tmp_path) == Recipe(seed=3)
    with pytest.raises(FileNotFoundError, match="Expected the recipe of a training"):
        read_recipe(tmp_path / "none")


def test_a_recipe_survives_json():
    recipe = Recipe(crop=[4, 5], init_new=["dgr"], loss_options={"variance_focus": 0.85})
    assert recipe_of(json.loads(json.dumps(dataclasses.asdict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schedule": "sawtooth"}, "Expected `schedule` to be one of"),
        ({"loss": "slog"}, "Expected `loss` to be one of"),
        ({"protocol": "kitti9"}, "Expected `protocol` to be one of"),
        ({"precision": "8-mixed"}, "Expected `precision` to be one of"),
        ({"device": "tpu"}, "Expected `device` to be one of"),
        ({"strategy": "deepspeed"}, "Expected `strategy` to be one of"),
        ({"batch_size": 0}, r"Expected `batch_size` to be in \[1, inf\]"),
        ({"ema": 1.5}, r"Expected `ema` to be in \[0, 1\]"),
        ({"held_out": 0.95}, "Expected `held_out`"),
        ({"crop": [96]}, r"Expected `crop` to be \[height, width\]"),
        ({"resize": [96, 0.5]}, r"Expected `resize` to be \[height, width\]"),
        ({"loss_options": {"variance": 1}}, "loss_options of `silog` to be among"),
    ],
    ids=str,
)
def test_wrong_fields_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        Recipe(**fields)


def test_the_key_knows_what_is_trained_and_not_how_or_by_which_seed():
    key = Recipe().key
    assert Recipe(seed=5, device="cpu", save_every=3, log_every=9, tensorboard=True).key == key
    assert Recipe(lr=0.5).key != key
    assert len(key) == 8


@pytest.mark.parametrize("name", RECIPES.names())
def test_shipped_recipes_are_valid_and_say_what_they_are(name):
    recipe = make_recipe(name, {}, [], root=None)
    assert RECIPES.facts(name)["summary"].endswith(".")
    assert recipe.train["split"] == "train"
    assert recipe.val.get("split") != "test", "no choice may rest on test samples"
    if name.endswith("-paper"):
        assert (recipe.batch_size, recipe.epochs, recipe.power) == (8, 20.0, 0.9)
        assert recipe.loss_options == {"variance_focus": 0.85}


@pytest.mark.parametrize("name", [n for n in RECIPES.names() if n.endswith("-paper")])
def test_the_networks_of_the_large_recipes_fit_their_images(name):
    """Shapes only: on the meta device nothing is computed or downloaded."""
    from depthprobe.models.options import parse_size
    from depthprobe.models.timm_depth import TimmDepth

    backbone, _, query = RECIPES[name]()["model"].removeprefix("timm:").partition("?")
    options = dict(part.split("=") for part in query.split("&"))
    size = parse_size(options["size"])
    with torch.device("meta"):
        net = TimmDepth(backbone, size, width=int(options["width"]))
        assert net(torch.empty(2, 3, *size)).shape == (2, 1, size[0] // 2, size[1] // 2)
    assert 190e6 < sum(p.numel() for p in net.parameters()) < 210e6


def test_flags_replace_what_the_file_says(tmp_path):
    (tmp_path / "r.toml").write_text("epochs = 3.0\nlr = 0.1\n[train]\nn = 4\n[loss_options]\nvariance_focus = 0.85\n")
    made = make_recipe(str(tmp_path / "r.toml"), {"steps": 5, "seed": None}, ["lr=0.2", "train.n=7", "ema=0"])
    assert (made.steps, made.epochs, made.lr, made.ema) == (5, 0.0, 0.2, 0.0)
    assert made.train == {"split": "train", "n": 7}
    assert made.loss_options == {"variance_focus": 0.85}
    changed = make_recipe(str(tmp_path / "r.toml"), {}, ["loss_options.variance_focus=1.0"])
    assert changed.epochs == 3.0
    assert changed.loss_options == {"variance_focus": 1.0}


def test_another_data_set_starts_from_bare_splits_and_takes_a_root(tmp_path):
    made = make_recipe(None, {"dataset": "nyu"}, [], root=tmp_path, data=["n=9"])
    assert made.train == {"split": "train", "root": str(tmp_path), "n": 9}
    assert made.val == {"split": "val", "root": str(tmp_path), "n": 9}


def test_a_recipe_json_repeats_a_training(tmp_path):
    recipe = Recipe(lr=0.3, crop=[4, 6], train={"split": "train", "n": 5})
    (tmp_path / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe)))
    assert make_recipe(str(tmp_path / "recipe.json"), {}, []) == recipe


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.json")), ids=lambda p: p.stem)
def test_a_network_of_the_zoo_is_trained_again_by_its_name(path):
    made = make_recipe(f"zoo:{path.stem}", {"seed": 7}, [])
    assert made == recipe_of(json.loads(path.read_text())["recipe"] | {"seed": 7})
    with pytest.raises(FileNotFoundError, match="Expected zoo weights"):
        make_recipe("zoo:unknown", {}, [])


def test_no_recipe_no_training(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Expected a recipe \(TOML\) at nowhere, or one of \['audit'"):
        make_recipe("nowhere", {}, [])
    (tmp_path / "bad.toml").write_text("lr = = 3")
    with pytest.raises(ValueError, match=r"bad.toml to be TOML, but"):
        make_recipe(str(tmp_path / "bad.toml"), {}, [])
