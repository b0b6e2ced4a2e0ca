"""The zoo: small networks shipped with the package, each with a card that says how it came about and how good it is.

They differ in the encoder alone: same decoder, data, steps and schedule. What is in the folder of weights is in the
zoo: `zoo:pvt.nyu` is pvt.nyu.json and pvt.nyu.safetensors there, and `zoo:pvt` stands for `zoo:pvt.mixed`, the weights
that all others of the network started from.
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
DEFAULT = "mixed"  # the training that a plain name stands for


def entry(name: str) -> str:
    """The files that a name stands for: `pvt` -> `pvt.mixed`, unless `pvt` has files of its own."""
    own = "." in name or (WEIGHTS / f"{name}.json").is_file()
    return name if own else f"{name}.{DEFAULT}"


def read_card(name: str) -> dict[str, Any]:
    """The JSON card shipped beside a zoo network's weights.

    Raises:
        FileNotFoundError: if this installation has no such weights, with the command that makes them.
    """
    path = WEIGHTS / f"{entry(name)}.json"
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected zoo weights at {path}, but found none; make them with depthprobe train and depthprobe.publish"
        )
    return dict(json.loads(path.read_text()))


def load(name: str) -> DepthModel:
    """The network that the card's recipe names, refinements included, with the shipped weights."""
    facts, path = read_card(name), WEIGHTS / f"{entry(name)}.safetensors"
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


_stems = {card.stem for card in WEIGHTS.glob("*.json")}
for _name in sorted(_stems | {stem.removesuffix(f".{DEFAULT}") for stem in _stems}):
    _register(_name)
