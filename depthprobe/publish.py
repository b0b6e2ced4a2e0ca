"""A finished training as an entry of the zoo: 8-bit weights (`models.compact`), and a card that says how they arose.

python -m depthprobe.publish out/convnext convnext
"""

import dataclasses
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from depthprobe.data import Batch, Dataset, load_dataset
from depthprobe.data.scenes.generate import GENERATORS
from depthprobe.functional.protocol import Protocol, evaluate, get_protocol
from depthprobe.models import DepthModel, load_model
from depthprobe.models.compact import compact, read_weights
from depthprobe.models.zoo import WEIGHTS
from depthprobe.train import Recipe, read_recipe
from depthprobe.train.checkpoint import write_weights

TEST_SAMPLES, PRIOR_SAMPLES = 300, 600
KINDS = {"mixed": "rooms, streets and shapes"}
FOLDER = "DIR"  # stands for the folder of a data set in a card

Scores = dict[str, Any]


def publish(
    folder: str | Path, name: str, *, weights: Path = WEIGHTS, n: int | None = None, prior_n: int = PRIOR_SAMPLES
) -> dict[str, Any]:
    """Write `<name>.safetensors` (8 bits) and `<name>.json` into `weights`; returns the card.

    The scores are those of the 8-bit weights on held-out samples, by kind of scene where the data set is `scenes`,
    beside the image-independent prior: each pixel's median depth over training samples of that kind.

    Args:
        folder: of a finished training.
        name: of the entry, `zoo:<name>`.
        weights: where the zoo is kept.
        n: test samples (default 300 of each kind of scene; all of another data set).
        prior_n: training samples of the prior.

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
    model.net.load_state_dict(read_weights(folder / "final.safetensors"))
    weights.mkdir(parents=True, exist_ok=True)
    path = weights / f"{name}.safetensors"
    write_weights(compact(model.net.state_dict()), path)
    model.net.load_state_dict(read_weights(path))
    tests = {kind: load_dataset(recipe.dataset, **options) for kind, options in _tests(recipe, n).items()}
    version = next(iter(tests.values())).facts.get("version", 1)
    place = f" --root {FOLDER}" if "root" in recipe.train else ""
    train = f"depthprobe train zoo:{name}{place} --out out/{name}"
    card = {
        "tag": f"{recipe.dataset}-v{version}",
        "family": model.card.family,
        "summary": _summary(recipe),
        "command": f"{train} && python -m depthprobe.publish out/{name} {name}",
        "recipe": _without_folders(recipe),
        "parameters": sum(p.numel() for p in model.net.parameters()),
        "tests": {kind: _tested(model, kind, test, recipe, prior_n) for kind, test in tests.items()},
        "licence": _licence(recipe),
    }
    (weights / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    return card


def _tests(recipe: Recipe, n: int | None) -> dict[str, dict[str, Any]]:
    """The options of the test sets by name: of scenes each kind, of another data set its test split."""
    if recipe.dataset != "scenes":
        kept = {k: v for k, v in recipe.train.items() if k not in ("split", "n", "start")}
        return {recipe.dataset: {**kept, "split": "test", **({} if n is None else {"n": n})}}
    size = {"size": recipe.train["size"]} if "size" in recipe.train else {}
    return {kind: {"split": "test", "n": TEST_SAMPLES if n is None else n, "kind": kind, **size} for kind in GENERATORS}


def _tested(model: DepthModel, kind: str, test: Dataset, recipe: Recipe, prior_n: int) -> dict[str, Any]:
    """What the card says about one test set."""
    protocol = get_protocol(recipe.protocol)
    own = {"kind": kind} if recipe.dataset == "scenes" else {}
    train = load_dataset(recipe.dataset, **{**recipe.train, "n": prior_n, **own})
    return {
        "n": len(test),
        "protocol": protocol.name,
        "scores": _scores(((_predicted(model, batch), batch) for batch in test), model.card.output, protocol),
        "prior": _prior_scores(train, test, protocol),
    }


@torch.no_grad()
def _predicted(model: DepthModel, batch: Batch) -> Tensor:
    pred: Tensor = model(batch.image)
    return pred


def _prior_scores(train: Dataset, test: Dataset, protocol: Protocol) -> Scores | None:
    """Scores of predicting, for every image, each pixel's median depth over training samples; None if sizes differ."""
    seen = [torch.where(b.valid, b.depth, torch.nan) for b in train]
    if len({x.shape[1:] for x in seen}) != 1:
        return None
    prior = torch.cat(seen).nanmedian(0, keepdim=True).values
    prior = prior.nan_to_num(float(prior.nanmedian()))  # nowhere valid, such as the sky
    return _scores(((prior.expand_as(b.depth), b) for b in test), "metric_depth", protocol)


def _scores(judged: Iterable[tuple[Tensor, Batch]], kind: str, protocol: Protocol) -> Scores:
    """Mean metrics of predictions over a test set; `undefined`: NaN values left out, by metric, where there are any."""
    found: dict[str, list[Tensor]] = {}
    for pred, batch in judged:
        for metric, value in evaluate(pred, batch.depth, batch.valid, kind=kind, protocol=protocol).items():
            found.setdefault(metric, []).append(value)
    values = {metric: torch.cat(parts) for metric, parts in found.items()}
    undefined = {metric: int(x.isnan().sum()) for metric, x in values.items() if x.isnan().any()}
    means = {metric: round(float(x.nanmean()), 4) for metric, x in values.items()}
    return means | ({"undefined": undefined} if undefined else {})


def _without_folders(recipe: Recipe) -> dict[str, Any]:
    fields = dataclasses.asdict(recipe)
    for options in (fields["train"], fields["val"]):
        if "root" in options:
            options["root"] = FOLDER
    return fields


def _summary(recipe: Recipe) -> str:
    """What was done, in a few words."""
    added = [
        *(["Depth Gradient Refinement"] if "dgr=" in recipe.model else []),
        *([f"the loss {recipe.loss}"] if recipe.loss != Recipe().loss else []),
    ]
    began = f"fine-tuned from {recipe.init} on" if recipe.init.startswith("zoo:") else "trained on"
    on = recipe.train.get("kind", "rooms") if recipe.dataset == "scenes" else recipe.dataset
    dropped = ", single cues dropped" if recipe.train.get("cue_dropout") else ""
    return f"{began} {KINDS.get(on, on)}{dropped}{' with ' if added else ''}{' and '.join(added)}"


def _licence(recipe: Recipe) -> str:
    if recipe.dataset == "scenes":
        return "Apache-2.0; trained from random initialisation on procedural scenes only"
    return f"Apache-2.0 for the code; trained on `{recipe.dataset}`, whose owners' terms apply to uses of the weights"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(publish(*sys.argv[1:3]), indent=1) + "\n")
