"""A finished training as an entry of the zoo: float16 weights, and a card that states how they came about.

python -m depthprobe.publish out/convnext convnext
"""

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from depthprobe.data import Dataset, load_dataset
from depthprobe.functional.protocol import evaluate, get_protocol
from depthprobe.models import DepthModel, load_model
from depthprobe.models.zoo import WEIGHTS
from depthprobe.train import Recipe, read_recipe, save_weights

TEST = {"split": "test", "n": 500}
PRIOR_SAMPLES = 1000


def publish(folder: str | Path, name: str, *, weights: Path = WEIGHTS) -> dict[str, Any]:
    """Write `<name>.safetensors` (float16) and `<name>.json` into `weights`; returns the card.

    The scores are those of the float16 weights on the data set's test split, beside the image-independent prior:
    each pixel's median depth over training samples.

    Raises:
        FileNotFoundError: if the training in `folder` has not finished.
    """
    folder = Path(folder)
    if not (folder / "final.safetensors").is_file():
        raise FileNotFoundError(
            f"Expected {folder}/final.safetensors of a finished training, but found none; resume it."
        )
    recipe = read_recipe(folder)
    model = load_model(recipe.model)
    model.net.load_state_dict(load_file(folder / "final.safetensors"))
    weights.mkdir(parents=True, exist_ok=True)
    path = weights / f"{name}.safetensors"
    save_weights(model, path, dtype=torch.float16)
    model.net.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()})
    test = load_dataset(recipe.dataset, **TEST)
    card = {
        "tag": f"{recipe.dataset}-v{test.facts.get('version', 1)}",
        "command": f"depthprobe train --model {recipe.model} --out out/{name} && "
        f"python -m depthprobe.publish out/{name} {name}",
        "recipe": dataclasses.asdict(recipe),
        "data": {k: v for k, v in test.facts.items() if k not in ("seeds", "split")},
        "parameters": sum(p.numel() for p in model.net.parameters()),
        "test": {**TEST, "protocol": recipe.protocol, "scores": _scores(model, test, recipe)},
        "prior": {"scores": _prior_scores(recipe, test), "from": PRIOR_SAMPLES},
        "licence": "Apache-2.0; trained from random initialisation on procedural scenes only",
    }
    (weights / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


@torch.no_grad()
def _scores(model: DepthModel, test: Dataset, recipe: Recipe) -> dict[str, float]:
    parts = [(model(batch.image), batch) for batch in test]
    return _mean_scores([(pred, b.depth, b.valid) for pred, b in parts], model.card.output, recipe)


def _prior_scores(recipe: Recipe, test: Dataset) -> dict[str, float]:
    """Scores of predicting, for every image, each pixel's median depth over training samples."""
    train = load_dataset(recipe.dataset, **{**recipe.train, "n": PRIOR_SAMPLES})
    stacked = torch.cat([torch.where(b.valid, b.depth, torch.nan) for b in train])
    prior = stacked.nanmedian(0, keepdim=True).values
    triples = [(prior.expand_as(b.depth), b.depth, b.valid) for b in test]
    return _mean_scores(triples, "metric_depth", recipe)


def _mean_scores(triples: list[tuple[Tensor, Tensor, Tensor]], kind: str, recipe: Recipe) -> dict[str, float]:
    protocol = get_protocol(recipe.protocol)
    found: dict[str, list[Tensor]] = {}
    for pred, depth, valid in triples:
        for metric, value in evaluate(pred, depth, valid, kind=kind, protocol=protocol).items():
            found.setdefault(metric, []).append(value)
    return {metric: round(float(torch.cat(parts).nanmean()), 4) for metric, parts in found.items()}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(publish(*sys.argv[1:3]), indent=1) + "\n")
