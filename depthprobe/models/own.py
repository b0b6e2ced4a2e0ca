"""A user's own network: `ckpt:FILE` (weights for a known architecture) and `py:package.module:factory` (their code)."""

import dataclasses
import hashlib
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models.adapter import IMAGENET_MEAN, IMAGENET_STD, DepthModel, ModelCard
from depthprobe.models.compact import read_weights
from depthprobe.models.options import parse_size
from depthprobe.models.registry import SCHEMES, load_model
from depthprobe.models.timm_depth import family_of

NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "none": ((0.0,) * 3, (1.0,) * 3),
    "half": ((0.5,) * 3,) * 2,
}


@SCHEMES.register("ckpt", form="FILE?model=timm:<backbone>", example="ckpt:runs/mine/best.safetensors")
def checkpoint(path: str, *, model: str = "") -> DepthModel:
    """Weights from a file, for an architecture named by `model=` or by the `recipe.json` of the training beside it.

    Reads safetensors, or a torch state dict with `weights_only=True`: nothing in the file is executed.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the architecture is unknown or the weights do not fit it.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Expected weights at {file}, but there is no such file.")
    base = load_model(model or _architecture(file))
    state = _weights(file)
    try:
        base.net.load_state_dict(state)
    except RuntimeError as error:
        text = str(error).splitlines()
        raise ValueError(
            f"Expected the weights in {file} to fit {base.card.name}, but: {' '.join(text[:3])}"
        ) from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    card = dataclasses.replace(base.card, name=f"ckpt:{file.parent.name}/{file.stem}", tag=digest[:8], digest=digest)
    return DepthModel(base.net, card)


def _architecture(file: Path) -> str:
    recipe = file.parent / "recipe.json"
    if not recipe.is_file():
        raise ValueError(f"Expected {recipe} to name the architecture, but there is none; add ?model=timm:<backbone>.")
    return str(json.loads(recipe.read_text())["model"])


def _weights(file: Path) -> dict[str, Tensor]:
    state: Any
    if file.suffix == ".safetensors":
        return read_weights(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"Expected {file} to hold tensors only, but: {error}. Save it as safetensors.") from error
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    state = {k.removeprefix("module.").removeprefix("net."): v for k, v in state.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


@SCHEMES.register("py", form="package.module:factory?output=...&size=HxW&mean=imagenet", example="py:mynet:build")
def from_python(path: str, *, multiple: int = 1, **options: Any) -> DepthModel:
    """A network made by your own function `factory()`; importing its module runs your code.

    Options: `output` (one of OUTPUT_KINDS, default metric_depth), `size` HxW (default: any), `multiple` (input sizes
    are rounded to it), `mean` (imagenet, none, half), `family`, `tag`. A factory may also return a DepthModel.

    Raises:
        ValueError: if the module or factory cannot be found, or it returns something else.
    """
    module_name, _, factory_name = path.partition(":")
    if not factory_name:
        raise ValueError(f"Expected py:package.module:factory, but got py:{path}.")
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"Expected `{path}` to be an importable module:factory, but: {error}.") from error
    net = factory()
    if isinstance(net, DepthModel):
        return net
    if not isinstance(net, nn.Module):
        raise ValueError(f"Expected {path}() to return a torch.nn.Module, but got {type(net).__name__}.")
    return DepthModel(net, _card(path, net, {**options, "multiple": multiple}))


def _card(path: str, net: nn.Module, options: dict[str, Any]) -> ModelCard:
    known = {"output", "size", "multiple", "mean", "family", "tag"}
    if unknown := sorted(set(options) - known):
        raise ValueError(f"Expected options of py: to be among {sorted(known)}, but got {unknown}.")
    name = options.get("mean", "imagenet")
    if name not in NORMALISATIONS:
        raise ValueError(f"Expected `mean` to be one of {sorted(NORMALISATIONS)}, but got {name!r}.")
    mean, std = NORMALISATIONS[name]
    return ModelCard(
        name=f"py:{path}",
        tag=options.get("tag", "user"),
        family=options.get("family", family_of(net)),
        output=options.get("output", "metric_depth"),
        size=parse_size(options["size"]) if options.get("size") else None,
        multiple=options["multiple"],
        mean=mean,
        std=std,
    )
