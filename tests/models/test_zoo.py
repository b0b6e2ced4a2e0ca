"""The zoo: what is shipped is small, says how it came about, and scores what its card says."""

import json

import pytest
import torch

from depthprobe.data import load_dataset
from depthprobe.functional.protocol import evaluate, get_protocol
from depthprobe.models import MODELS, load_model
from depthprobe.models.zoo import DEFAULT, WEIGHTS, entry, read_card
from depthprobe.provenance import weights_digest
from depthprobe.publish import TEST_SAMPLES
from depthprobe.train.recipes import find_fields

STEMS = sorted(path.stem for path in WEIGHTS.glob("*.json"))
ARMS = ("base", "dgr", "ot", "dgr-ot")


def test_every_file_is_small_and_all_together_are():
    sizes = {path.name: path.stat().st_size for path in WEIGHTS.glob("*.safetensors")}
    assert {name.removesuffix(".safetensors") for name in sizes} == set(STEMS)
    assert max(sizes.values()) <= 8_000_000
    assert sum(sizes.values()) <= 64_000_000


def test_a_plain_name_stands_for_the_mixed_training():
    networks = {stem.partition(".")[0] for stem in STEMS}
    for name in networks:
        assert entry(name) == f"{name}.{DEFAULT}"
        plain, tagged = load_model(f"zoo:{name}"), load_model(f"zoo:{name}.{DEFAULT}")
        assert (plain.card.name, plain.card.digest) == (f"zoo:{name}", tagged.card.digest)
        assert weights_digest(plain) == weights_digest(tagged)
    families = [MODELS.facts(f"zoo:{name}")["family"] for name in networks]
    assert min(families.count("cnn"), families.count("transformer")) >= 2


@pytest.mark.parametrize("stem", STEMS)
def test_a_card_holds_the_recipe_that_made_it(stem):
    card = read_card(stem)
    assert card == json.loads((WEIGHTS / f"{stem}.json").read_text())
    recipe = find_fields(f"zoo:{stem}")
    assert recipe == card["recipe"]
    assert not recipe["init"] or entry(recipe["init"].removeprefix("zoo:")) in STEMS
    seen = recipe["train"].get("kind", recipe["dataset"])
    for name, test in card["tests"].items():
        if seen in ("mixed", name):  # what it was trained on
            assert 0 < test["scores"]["abs_rel"] < test["prior"]["abs_rel"]


@pytest.mark.parametrize("name", sorted({s.partition(".")[0] for s in STEMS if s.endswith(".base")}))
def test_arms_differ_in_what_is_added_alone(name):
    recipes = {arm: read_card(f"{name}.{arm}")["recipe"] for arm in ARMS}
    for arm, recipe in recipes.items():
        added = {"model", "init_new", "loss", "loss_options"}
        assert {k: v for k, v in recipe.items() if k not in added} == {
            k: v for k, v in recipes["base"].items() if k not in added
        }
        assert ("dgr=" in recipe["model"]) == ("dgr" in arm)
        assert (recipe["loss"] == "optimal_transport") == ("ot" in arm)


@pytest.mark.slow
@pytest.mark.parametrize("stem", [s for s in STEMS if not s.endswith(".nyu")])
def test_shipped_weights_score_what_the_card_says(stem):
    said = read_card(stem)["tests"]["rooms"]
    model, protocol = load_model(f"zoo:{stem}"), get_protocol(said["protocol"])
    with torch.no_grad():
        found = [
            evaluate(model(b.image), b.depth, b.valid, kind=model.card.output, protocol=protocol)["abs_rel"]
            for b in load_dataset("scenes", split="test", kind="rooms", n=TEST_SAMPLES)
        ]
    assert said["n"] == TEST_SAMPLES
    assert float(torch.cat(found).mean()) == pytest.approx(said["scores"]["abs_rel"], abs=2e-4)
