"""What a measurement came from: identities that name its part, and the facts that go beside the table."""

import dataclasses
import functools
import hashlib
import importlib.metadata
import inspect
import json
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import depthprobe
from depthprobe.data import Dataset
from depthprobe.models import DepthModel
from depthprobe.schema import SCHEMA_VERSION

NOT_CONTENT = ("n", "seeds", "batch_size", "on_error")
LIBRARIES = ("torch", "torchvision", "timm", "captum", "lightning", "numpy", "scipy", "numba", "pandas", "pyarrow",
             "transformers", "onnxruntime")  # fmt: skip


def digest(value: Any, length: int = 16) -> str:
    """A stable hash of anything that JSON can say (dataclasses and paths included)."""
    text = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def plain(value: Any) -> Any:
    """What JSON cannot say, in terms it can: a dataclass as its fields, anything else as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    return str(value)


def weights_digest(model: nn.Module) -> str:
    """A hash of every weight and buffer: the same architecture with other weights is another model."""
    found = hashlib.sha256()
    for name, tensor in sorted({**dict(model.named_parameters()), **dict(model.named_buffers())}.items()):
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        found.update(flat.view(torch.uint8).numpy().tobytes())
    return found.hexdigest()[:16]


def data_identity(dataset: Dataset) -> dict[str, Any]:
    """What decides a sample's content: the data set's facts, without those that only say how many or how read.

    Which samples they are is part of a part's name anyway. Where the facts have a `digest` of the files, the place
    where they lie is left out too: a moved folder is the same data.
    """
    left_out = (*NOT_CONTENT, "root") if "digest" in dataset.facts else NOT_CONTENT
    facts = {k: v for k, v in dataset.facts.items() if k not in left_out}
    return {"name": dataset.name, "facts": facts}


def model_identity(model: DepthModel) -> dict[str, Any]:
    """What decides a model's answers: its card (without notes on its origin), its weights, and the user's own code."""
    card = {f.name: getattr(model.card, f.name) for f in dataclasses.fields(model.card) if f.name != "facts"}
    if card["reading"] is None:  # said by `size` and `multiple` alone, as before cards could say more
        del card["reading"]
    if not card["map"]:
        del card["map"]
    code = code_digest(model)
    return {"card": card, "weights": weights_digest(model), **({"code": code} if code else {})}


def code_digest(model: nn.Module) -> str:
    """A hash of the user's own source behind a network's layers and of how it prints itself; "" without such source.

    Convention: the source is the files that define the layers' classes, of a script or notebook the classes alone; code
    that they only call into is not seen. Installed packages count by their version, not here.
    """
    classes = {base for module in model.modules() for base in type(module).__mro__}
    sources = {text for one in classes if (text := _own_source(one))}
    return digest([sorted(sources), repr(model)], 12) if sources else ""


def _own_source(one: type) -> str:
    name, file = one.__module__, getattr(sys.modules.get(one.__module__), "__file__", None)
    if name.partition(".")[0] in ("torch", "depthprobe", *sys.stdlib_module_names):
        return ""
    if file and name != "__main__":
        installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
        return "" if installed else Path(file).read_text(encoding="utf-8", errors="replace")
    try:
        return inspect.getsource(one)
    except (OSError, TypeError):
        return ""


def part_name(model: Mapping[str, Any], data: Mapping[str, Any], probe: str, plan: Any, samples: Sequence[str]) -> str:
    """The name of the part that holds these measurements and no others.

    It changes with the data, the weights, the user's code, the plan with its seed, the samples, and the versions of
    the package and of the schema.
    """
    job = {"probe": probe, "type": type(plan).__name__, "plan": dataclasses.asdict(plan)}
    version = [depthprobe.__version__, SCHEMA_VERSION]
    return digest([model, data, job, list(samples), version], 24)


@functools.cache
def package_code() -> str:
    """A hash of the package's code that makes rows, and of torch's version."""
    root, found = Path(depthprobe.__file__).parent, hashlib.sha256(torch.__version__.encode())
    for stage in ("functional", "data", "models", "probes"):
        for file in sorted((root / stage).rglob("*.py")):
            found.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return found.hexdigest()[:16]


def circumstances(device: Sequence[str]) -> dict[str, Any]:
    """Versions, commit and machine at the time of the run."""
    versions = {name: _version(name) for name in LIBRARIES}
    return {
        "version": depthprobe.__version__,
        "schema_version": SCHEMA_VERSION,
        "commit": git_commit(),
        "device": list(device),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version for name, version in versions.items() if version},
    }


@functools.cache
def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def git_commit() -> str:
    """The commit of the source tree this package runs from ("+" when files differ from it); "" outside one."""
    root = Path(depthprobe.__file__).parents[1]

    def git(*args: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *args], capture_output=True, text=True, check=False, timeout=10)
        return done.stdout.strip() if done.returncode == 0 else ""

    if not (root / ".git").exists():
        return ""
    try:
        commit = git("rev-parse", "--short=12", "HEAD")
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "depthprobe")
    except (OSError, subprocess.SubprocessError):
        return ""
    return commit + ("+" if commit and changed else "")
