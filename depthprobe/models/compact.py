"""Weights in 8 bits, for shipping: one step size per output channel, everything else as it is.

Convention: of a tensor w with two or more axes, `<name>` is int8 and `<name>.step` float32 (C,), so that
w[c] = step[c] * stored[c] with an error of at most step[c] / 2, where step[c] = max |w[c]| / 127. Vectors (biases,
norms, running statistics) and whole numbers are kept as they are.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from depthprobe.checks import first_line

_STEP = ".step"
_LARGEST = 127


def compact(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict with its matrices and kernels in 8 bits; doing it again to what `expand` gives loses nothing."""
    out: dict[str, Tensor] = {}
    for name, x in state.items():
        if not x.is_floating_point() or x.ndim < 2:
            out[name] = x
            continue
        step = x.float().flatten(1).abs().amax(1) / _LARGEST
        rounded = (x.float() / _wide(step.where(step > 0, 1.0), x)).round()
        out[name], out[name + _STEP] = rounded.clamp(-_LARGEST, _LARGEST).to(torch.int8), step
    return out


def expand(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 state dict of what `compact` made; weights stored as floating-point numbers of any width pass."""
    out: dict[str, Tensor] = {}
    for name, x in stored.items():
        if name.endswith(_STEP) and name.removesuffix(_STEP) in stored:
            continue
        step = stored.get(name + _STEP)
        if step is not None:
            out[name] = x.float() * _wide(step, x)
        else:
            out[name] = x.float() if x.is_floating_point() else x
    return out


def read_weights(path: Path) -> dict[str, Tensor]:
    """The float32 state dict of a safetensors file, compact or not.

    Raises:
        ValueError: if the file is not whole.
    """
    try:
        return expand(load_file(path))
    except (SafetensorError, RuntimeError) as error:  # the latter of steps that do not fit
        raise ValueError(
            f"Expected {path} to be a whole safetensors file, but: {first_line(error)}. Write or copy it again."
        ) from error


def _wide(step: Tensor, like: Tensor) -> Tensor:
    return step.view(-1, *[1] * (like.ndim - 1))
