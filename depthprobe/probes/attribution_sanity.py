"""A network with shuffled weights, from the output backwards: maps that stay explain nothing (Adebayo et al. 2018)."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import nn

from depthprobe.functional.selection_core import generator


def layers_with_weights(model: nn.Module) -> list[nn.Module]:
    """The modules that hold parameters of their own, in the order in which they were defined (mostly input first)."""
    return [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]


@contextlib.contextmanager
def randomised(model: nn.Module, share: float, seed: int) -> Iterator[nn.Module]:
    """Shuffle the parameters of the last `share` of the layers while the block runs; afterwards they are as before.

    Convention: each parameter keeps its values in another order, so that the network keeps the scale of its activations
    (the paper draws new values). ceil(share * layers) layers, counted from the last defined; a larger share shuffles
    the layers of a smaller one as that did (the paper's cascade). Statistics of normalisation layers stay.
    """
    layers = layers_with_weights(model)
    last = layers[len(layers) - math.ceil(round(share * len(layers), 6)) :]
    chosen = {id(p) for layer in last for p in layer.parameters(recurse=False)}
    kept: list[tuple[nn.Parameter, torch.Tensor]] = []
    try:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if id(parameter) not in chosen:
                    continue
                kept.append((parameter, parameter.detach().clone()))
                drawn = generator(seed, f"random weights of {name}")
                order = torch.randperm(parameter.numel(), generator=drawn).to(parameter.device)
                parameter.copy_(parameter.flatten()[order].view_as(parameter))
        yield model
    finally:
        with torch.no_grad():
            for parameter, before in kept:
                parameter.copy_(before)
