"""The zoo: small networks shipped with the package, each with a card that says how it came about and how good it is.

They differ in the encoder alone: same decoder, data, steps and schedule. What is in the folder of weights is in the
zoo: `zoo:pvt` is pvt.json and pvt.safetensors there, `zoo:pvt.nyu` the same network fine-tuned on another data set.
"""

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from depthprobe.models.adapter import DepthModel
from depthprobe.models.compact import read_weights
from depthprobe.models.registry import MODELS, load_model

WEIGHTS = Path(__file__).parent / "weights"


def read_card(name: str) -> dict[str, Any]:
    """The JSON card shipped beside a zoo network's weights.

    Raises:
        FileNotFoundError: if this installation has no such weights, with the command that makes them.
    """
    path = WEIGHTS / f"{name}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected zoo weights at {path}, but found none; make them with depthprobe train and depthprobe.publish"
        )
    return dict(json.loads(path.read_text()))


def load(name: str) -> DepthModel:
    """The network that the card's recipe names, refinements included, with the shipped weights."""
    facts, path = read_card(name), WEIGHTS / f"{name}.safetensors"
    model = load_model(str(facts["recipe"]["model"]))
    model.net.load_state_dict(read_weights(path))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    model.card = dataclasses.replace(
        model.card, name=f"zoo:{name}", tag=str(facts["tag"]), digest=digest, facts=model.card.facts | facts
    )
    return model


def _register(name: str) -> None:
    card = read_card(name)
    backbone = str(card["recipe"]["model"]).partition("?")[0].removeprefix("timm:")
    scores = ", ".join(f"{kind} {test['scores']['abs_rel']:.3f}" for kind, test in card["tests"].items())
    MODELS.register(
        f"zoo:{name}",
        summary=f"{card['summary']}; abs_rel of {scores}",
        family=card["family"],
        backbone=backbone,
    )(functools.partial(load, name))


for _card in sorted(WEIGHTS.glob("*.json")):
    _register(_card.stem)
