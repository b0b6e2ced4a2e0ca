"""The network that a recipe starts from, and its optimiser."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models import MODELS, SCHEMES, DepthModel, load_model
from depthprobe.models.compact import read_weights
from depthprobe.train.recipe import Recipe

ENCODERS = ("encoder.", "backbone.", "pretrained.")
SEEDED = ("timm:", "mask:")  # schemes that draw the weights of a network from an option `seed`


def initial(recipe: Recipe) -> str:
    """The model's name with the recipe's seed, so that trainings of different seeds start from different weights."""
    if recipe.seed == 0 or not recipe.model.startswith(SEEDED):
        return recipe.model
    return f"{recipe.model}{'&' if '?' in recipe.model else '?'}seed={recipe.seed}"


def build(recipe: Recipe) -> DepthModel:
    """The network with the weights that it starts from, in eval mode on the CPU.

    Raises:
        ValueError: if the weights of `init` do not fit it.
    """
    model = load_model(initial(recipe))
    if recipe.crop and model.card.size not in (None, recipe.crop):
        raise ValueError(
            f"Expected `crop` to be the size {model.card.size} at which {model.card.name} reads images, but got "
            f"{recipe.crop}: the window would be resized, which changes the camera; give the network ?size=HxW."
        )
    if recipe.init:
        start_from(model, starting_weights(recipe.init), recipe.init, recipe.init_new)
    return model


def starting_weights(init: str) -> dict[str, Tensor]:
    """The weights in a file, in the folder of a finished training, or of a network by name (`zoo:convnext`).

    Raises:
        FileNotFoundError: if `init` looks like a path and there is nothing.
        ValueError: if the file is not whole.
    """
    path = Path(init) / "final.safetensors" if Path(init).is_dir() else Path(init)
    if path.is_file():
        return read_weights(path)
    if init.partition(":")[0] in {name.partition(":")[0] for name in (*MODELS, *SCHEMES)}:
        return dict(load_model(init).net.state_dict())
    raise FileNotFoundError(
        f"Expected `init` to be weights (.safetensors), the folder of a finished training or a network such as "
        f"zoo:convnext, but there is nothing at {path}; correct the path."
    )


def start_from(model: DepthModel, state: dict[str, Tensor], source: str, new: tuple[str, ...] = ()) -> None:
    """Load weights of the same architecture; parts named in `new` may be missing and keep the values they have.

    Convention: a part is any component of a weight's dotted name: `new=("dgr",)` allows `decoder.refine.0.dgr.*`.

    Raises:
        ValueError: naming the weights that are missing, left over or of another shape.
    """
    mine = model.net.state_dict()
    missing = [k for k in mine if k not in state and not set(k.split(".")) & set(new)]
    unknown = [k for k in state if k not in mine]
    reshaped = [k for k in state if k in mine and state[k].shape != mine[k].shape]
    for what, names in (("has no", missing), ("has also", unknown), ("has another shape of", reshaped)):
        if names:
            hint = '; name newly attached parts in `init_new`, e.g. ["dgr"]' if names is missing else ""
            raise ValueError(
                f"Expected the weights of {source} to fit {model.card.name}, but it {what} {names[:4]}"
                f"{' and more' if len(names) > 4 else ''}{hint}."
            )
    model.net.load_state_dict(state, strict=False)


def parameter_groups(model: nn.Module, weight_decay: float, encoder_lr: float = 1.0) -> list[dict[str, Any]]:
    """AdamW groups: weight decay for matrices and kernels only, none for norms and biases; `ratio` of the rate.

    Raises:
        ValueError: if `encoder_lr` is not 1 and the network has no part with an encoder's name.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    found = False
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        encoder = name.removeprefix("net.").startswith(ENCODERS)
        found = found or encoder
        place = (weight_decay if parameter.ndim > 1 else 0.0, encoder_lr if encoder else 1.0)
        groups.setdefault(place, []).append(parameter)
    if encoder_lr != 1.0 and not found:
        raise ValueError(
            f"Expected a network with a part named {', '.join(e[:-1] for e in ENCODERS)} for "
            f"encoder_lr={encoder_lr:g}, but got none; leave it at 1."
        )
    return [
        {"params": parameters, "weight_decay": decay, "ratio": ratio} for (decay, ratio), parameters in groups.items()
    ]


def optimiser(model: nn.Module, recipe: Recipe, *, fused: bool) -> torch.optim.AdamW:
    """AdamW over the parameter groups; `fused` is one kernel per step (three times as fast on a CPU)."""
    groups = parameter_groups(model, recipe.weight_decay, recipe.encoder_lr)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=fused or None)
