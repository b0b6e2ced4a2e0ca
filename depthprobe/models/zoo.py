"""The zoo: small networks trained by one recipe on the built-in rooms, shipped with the package.

They differ in the encoder alone: same decoder, data, steps and schedule. The card beside each weights file states the
command, data version, steps, seed and test scores.
"""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from depthprobe.models.adapter import DepthModel
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


def _load(name: str) -> DepthModel:
    """The network that the card's recipe names, refinements included, with the shipped weights."""
    facts, path = read_card(name), WEIGHTS / f"{name}.safetensors"
    model = load_model(str(facts["recipe"]["model"]))
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(path).items()}
    model.net.load_state_dict(state)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    model.card = dataclasses.replace(
        model.card, name=f"zoo:{name}", tag=str(facts["tag"]), digest=digest, facts=model.card.facts | facts
    )
    return model


@MODELS.register("zoo:convnext", summary="ConvNeXt-atto encoder (CNN)", family="cnn", backbone="convnext_atto")
def convnext() -> DepthModel:
    """ConvNeXt-atto with the shared decoder, trained on rooms."""
    return _load("convnext")


@MODELS.register("zoo:pvt", summary="PVT-v2-b0 encoder (Transformer)", family="transformer", backbone="pvt_v2_b0")
def pvt() -> DepthModel:
    """PVT-v2-b0 with the shared decoder, trained on rooms."""
    return _load("pvt")
