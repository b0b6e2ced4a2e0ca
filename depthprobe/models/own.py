"""A user's own network: `ckpt:FILE` (weights for a known architecture) and `py:...:factory` (their code)."""

import contextlib
import dataclasses
import hashlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.checks import first_line, shortened
from depthprobe.models.adapter import DepthModel
from depthprobe.models.compact import read_weights
from depthprobe.models.declared import declared_card
from depthprobe.models.registry import SCHEMES, load_model
from depthprobe.models.trust import named_by, trusted
from depthprobe.schema import read_object

RECIPE = "recipe.json"


@SCHEMES.register("ckpt", form="FILE?model=timm:<backbone>", example="ckpt:runs/mine/best.safetensors")
def checkpoint(path: str, *, model: str = "", trust: str = "") -> DepthModel:
    """Weights from a file, for an architecture named by `model=` or by the `recipe.json` of the training beside it.

    Reads safetensors, or a torch state dict with `weights_only=True`: nothing in the file is executed. A recipe.json
    that names code of its own (`py:`, `torchhub:`) is refused without `trust=1`; naming it by `model=` is leave.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if the architecture is unknown or the weights do not fit it.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(f"Expected weights at {file}, but there is no such file.")
    recipe = file.parent / RECIPE
    with contextlib.nullcontext() if model or trusted(trust) else named_by(str(recipe)):
        try:
            base = load_model(model or _architecture(file))
        except RecursionError as error:
            raise ValueError(f"Expected {recipe} to name an architecture, but it leads back to itself.") from error
    state = _weights(file)
    try:
        base.net.load_state_dict(state)
    except RuntimeError as error:
        lines = str(error).splitlines()
        said = " ".join(shortened(line.strip(), 150) for line in lines[1:3] or lines)
        raise ValueError(f"Expected the weights in {file} to fit {base.card.name}, but: {said}") from error
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    card = dataclasses.replace(base.card, name=f"ckpt:{file.parent.name}/{file.stem}", tag=digest[:8], digest=digest)
    return DepthModel(base.net, card)


def _architecture(file: Path) -> str:
    recipe = file.parent / RECIPE
    if not recipe.is_file():
        raise ValueError(f"Expected {recipe} to name the architecture, but there is none; add ?model=timm:<backbone>.")
    name = read_object(recipe, "add ?model=timm:<backbone>").get("model")
    if not isinstance(name, str):
        raise ValueError(f"Expected {recipe} to name the architecture as `model`, but got {name!r}; add ?model=...")
    return name


def _weights(file: Path) -> dict[str, Tensor]:
    state: Any
    if file.suffix == ".safetensors":
        return read_weights(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        why = first_line(error).partition(". ")[0]
        raise ValueError(f"Expected {file} to hold tensors only, but: {why}. Save it as safetensors.") from error
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    named = isinstance(state, dict) and all(isinstance(k, str) for k in state)
    if not named or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"Expected {file} to hold weights by name, but got something else; save net.state_dict().")
    state = {k.removeprefix("module.").removeprefix("net."): v for k, v in state.items()}
    return {k: v.float() if v.is_floating_point() else v for k, v in state.items()}


@SCHEMES.register(
    "py",
    form="package.module:factory?output=...&size=HxW&mean=imagenet",
    example="py:path/to/mynet.py:build",
    code=True,
)
def from_python(path: str, *, multiple: int = 1, **options: str) -> DepthModel:
    """A network made by your own function `factory()`, of a module or of a file: this runs your code.

    `package.module:factory` or `path/to/file.py:factory`; a class is a factory too. Options: `output` (one of
    OUTPUT_KINDS, default metric_depth), `size` HxW (default: any), `multiple` (input sizes are rounded to it), `mean`
    (imagenet, none, half), `family`, `tag`, `map` (which is the depth where it returns several: an index such as -1, or
    a key). A factory may also return a DepthModel.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the module or factory cannot be found, its code fails, or it returns something else.
    """
    source, _, factory = path.rpartition(":")
    if not source or not factory:
        raise ValueError(f"Expected py:package.module:factory or py:file.py:factory, but got py:{path}.")
    try:
        found = getattr(_import(source), factory, None)
    except FileNotFoundError:
        raise
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"Expected `{source}` to be an importable module or file, but {type(error).__name__}: {first_line(error)}"
        ) from error
    if not callable(found):
        raise ValueError(f"Expected `{path}` to be an importable module:factory, but there is no function {factory}.")
    try:
        net = found()
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"Expected {path}() to build a network without arguments, but {type(error).__name__}: {first_line(error)}"
        ) from error
    if isinstance(net, DepthModel):
        if options or multiple != 1:
            raise ValueError(
                f"Expected {path} without options, since it returns a DepthModel, whose card says all; set them in its "
                "ModelCard."
            )
        return net
    if not isinstance(net, nn.Module):
        raise ValueError(f"Expected {path}() to return a torch.nn.Module, but got {type(net).__name__}.")
    return DepthModel(net, declared_card(f"py:{path}", net, options, multiple=multiple))


def _import(source: str) -> ModuleType:
    """A module by its dotted name, or a file, which may import what lies beside it; a file is read once."""
    if not source.endswith(".py"):
        _reach(Path.cwd())
        return importlib.import_module(source)
    file = Path(source).expanduser().resolve()
    if not file.is_file():
        raise FileNotFoundError(f"Expected your network's code at {file}, but there is no such file.")
    name = f"{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    if name in sys.modules:
        return sys.modules[name]
    _reach(file.parent)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _reach(folder: Path) -> None:
    """Let modules in a folder be imported, as Python does for a script."""
    if str(folder) not in sys.path and not ("" in sys.path and folder == Path.cwd()):
        sys.path.insert(0, str(folder))
