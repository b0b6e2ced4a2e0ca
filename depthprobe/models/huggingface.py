"""`hf:<id or folder>`: the depth networks of Hugging Face transformers, read as their image processor reads.

Nothing in a folder is executed: weights are safetensors, and code that comes with a network is refused without leave.
"""

import contextlib
import dataclasses
import hashlib
import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.declared import declared_card
from depthprobe.models.huggingface_types import IDLE, TYPES, predicted_depth, reading_layers, reading_of
from depthprobe.models.options import parse_size
from depthprobe.models.reading import Reading
from depthprobe.models.registry import SCHEMES
from depthprobe.models.timm_depth import family_of
from depthprobe.models.trust import require_trust, trusted

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ID = re.compile(r"[\w.-]+/[\w.-]+")


@SCHEMES.register(
    "hf", form="<id or folder>?revision=...&size=HxW&output=...&trust=0",
    example="hf:depth-anything/Depth-Anything-V2-Small-hf",
)  # fmt: skip
def from_transformers(
    name: str,
    *,
    revision: str = "",
    output: str = "",
    size: str = "",
    mean: str = "",
    family: str = "",
    tag: str = "",
    trust: str = "",
) -> DepthModel:
    """A depth network of transformers, from the hub or a folder that `save_pretrained` wrote.

    Output kind, resizing and normalisation follow from its configuration and image processor; `output`, `size`, `mean`,
    `family` and `tag` say otherwise. `revision`: a branch, tag or commit of the hub. A folder never touches the
    network, and HF_HUB_OFFLINE=1 keeps an id to what is in the cache. `trust=1` reads weights that are a pickle (of
    tensors alone) and runs code that comes with the network; without, both are refused.

    Raises:
        FileNotFoundError: if there is no such folder, or a file is missing in it.
        ValueError: if transformers is not installed, the hub does not give it, it is no depth network, is damaged,
            needs trust, or an option does not fit.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ValueError("Expected transformers to be installed for hf:, but it is not; pip install 'depthprobe[hf]'.")
    folder = _folder(name, revision, trusted(trust))
    local = Path(name).expanduser().is_dir()
    title = f"hf:{folder.resolve().name if local else name}"
    config = _config(folder, title, trust, local)
    weights = _weights(folder, title, trust)
    with _quietly():
        model = _opened(folder, weights[0].name in SAFE, trusted(trust))
        processor = _processor(folder, trusted(trust))
    facts = _facts(str(config["model_type"]))
    net = HuggingFaceNet(model, facts.get("answer", predicted_depth))
    digest = _digest([folder / CONFIG, folder / PROCESSOR, *weights])
    mark = digest[:8] if local else folder.name[:8]
    said = {"output": output, "size": size, "mean": mean, "family": family, "tag": tag or mark}
    card = _card(title, net, processor, facts, {k: v for k, v in said.items() if v})
    return DepthModel(net, dataclasses.replace(card, digest=digest))


class HuggingFaceNet(nn.Module):
    """A network of transformers from what it reads (B,3,h,w) to its map (B,h',w')."""

    def __init__(self, model: nn.Module, answer: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model, self.answer = model, answer

    def forward(self, image: Tensor) -> Tensor:
        """The map of a normalised image."""
        return self.answer(self.model(pixel_values=image))


def _folder(name: str, revision: str, pickles: bool) -> Path:
    """The folder with the network's files: the user's own, or the hub's in the cache."""
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if revision:
            raise ValueError(f"Expected no `revision` for a folder, but got {revision!r}; it is of an id on the hub.")
        return folder
    if not ID.fullmatch(name) or name.startswith("."):
        raise FileNotFoundError(f"Expected a folder at {folder} or an id OWNER/NAME of the hub, but there is neither.")
    return _downloaded(name, revision or None, [CONFIG, PROCESSOR, "model*.safetensors", SAFE[1],
                                                *(("*.py", "pytorch_model*") if pickles else ())])  # fmt: skip


def _downloaded(name: str, revision: str | None, patterns: list[str]) -> Path:
    import huggingface_hub
    from huggingface_hub import errors

    where = f"{name} at revision {revision}" if revision else name
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision, allow_patterns=patterns))
    except errors.GatedRepoError as error:
        why: tuple[str, Exception] = "its owners give it on request; ask there, then run hf auth login", error
    except errors.RepositoryNotFoundError as error:
        why = "the hub has none that you may see; correct the name", error
    except errors.RevisionNotFoundError as error:
        why = "the hub has no such revision; name a branch, a tag or a whole commit", error
    except (OSError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled) as error:
        offline = huggingface_hub.constants.HF_HUB_OFFLINE
        what = "HF_HUB_OFFLINE is set and it is not in the cache" if offline else "the hub cannot be reached"
        why = f"{what}; give a folder, or run once: hf download {name}", error
    raise ValueError(f"Expected {where} from the hub, but {why[0]}.") from why[1]


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"Expected {file}, but there is no such file; write the folder with save_pretrained.")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"Expected {file} to be JSON, but {error}.") from error
    if not isinstance(content, dict):
        raise ValueError(f"Expected {file} to be a JSON object, but got {type(content).__name__}.")
    return content


def _config(folder: Path, title: str, trust: str, local: bool) -> dict[str, Any]:
    """The configuration, after a look at what opening the folder would run or fetch."""
    config, processor = _read(folder / CONFIG), _read(folder / PROCESSOR)
    mapped = {**(config.get("auto_map") or {}), **(processor.get("auto_map") or {})}
    if mapped:
        code = ", ".join(sorted({str(v[0] if isinstance(v, list) else v) for v in mapped.values()}))
        require_trust(title, f"running the code that comes with it ({code})", trust)
    elif config.get("model_type") not in TYPES and config.get("model_type") not in _known():
        raise ValueError(
            f"Expected {folder / CONFIG} to be of a depth network ({', '.join(_known())}), but its model_type is "
            f"{config.get('model_type')!r}."
        )
    if local and isinstance(config.get("backbone"), str) and not config.get("backbone_config"):
        raise ValueError(
            f"Expected {folder / CONFIG} to describe its backbone (backbone_config), but it names "
            f"{config['backbone']!r} on the hub, and a folder is opened without the network; save it again."
        )
    return config


def _known() -> list[str]:
    from transformers.models.auto import modeling_auto

    return sorted(modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)


def _facts(kind: str) -> dict[str, Any]:
    """What is known of a type; of one that came later, that it gives a map."""
    if kind not in TYPES:
        return {"kind": lambda config: "", "back": "bicubic", "layers": (), "type": kind}
    return {"kind": TYPES[kind], "type": kind, **TYPES.facts(kind)}


def _weights(folder: Path, title: str, trust: str) -> list[Path]:
    """The files of weights, an index first; pickles only with leave.

    Raises:
        FileNotFoundError: if there are none, or an index names one that is missing.
        ValueError: without leave for pickles, or if an index points out of the folder.
    """
    found = next((folder / name for name in (*SAFE, *PICKLED) if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"Expected weights at {folder / SAFE[0]}, but there is no such file.")
    if found.name in PICKLED:
        require_trust(title, f"reading a pickle ({found.name}, as tensors alone)", trust)
    if found.suffix != ".json":
        return [found]
    parts = sorted({str(part) for part in dict(_read(found).get("weight_map", {})).values()})
    for part in parts:
        if Path(part).name != part:
            raise ValueError(f"Expected {found} to name files beside it, but got {part!r}.")
        if not (folder / part).is_file():
            raise FileNotFoundError(f"Expected weights at {folder / part}, but there is no such file.")
    return [found, *(folder / part for part in parts)]


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without transformers' warnings and progress bars, and without a draw from the global generator."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    try:
        logging.set_verbosity(logging.CRITICAL)
        logging.disable_progress_bar()
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _opened(folder: Path, safe: bool, code: bool) -> nn.Module:
    from transformers import AutoModelForDepthEstimation

    try:
        model, info = AutoModelForDepthEstimation.from_pretrained(
            folder, dtype=torch.float32, local_files_only=True, use_safetensors=safe, weights_only=True,
            trust_remote_code=code, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:
        raise ValueError(
            f"Expected {folder} to hold a whole depth network, but {type(error).__name__}: {_first(error)}"
        ) from error
    if missing := sorted(name for name in info["missing_keys"] if not IDLE.search(name)):
        more = " and more" if len(missing) > 3 else ""
        raise ValueError(f"Expected the weights in {folder} to be whole, but they lack {missing[:3]}{more}.")
    opened: nn.Module = model
    return opened


def _processor(folder: Path, code: bool) -> Any:
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(
            folder, local_files_only=True, trust_remote_code=code, backend="torchvision"
        )
    except Exception as error:
        raise ValueError(
            f"Expected {folder / PROCESSOR} to describe an image processor, but {_first(error)}"
        ) from error


def _first(error: Exception) -> str:
    """The first sentence of an error."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _card(title: str, net: HuggingFaceNet, processor: Any, facts: dict[str, Any], said: dict[str, str]) -> ModelCard:
    config: Any = net.model.config
    kind = said.get("output") or facts["kind"](config)
    if not kind:
        raise ValueError(
            f"Expected ?output=... for {title}, since what a network of type {facts['type']} gives is no known kind of "
            "depth; say what to take it for, e.g. ?output=affine_depth."
        )
    reading, mean, std = reading_of(processor, facts)
    if "size" in said:
        reading = _of_size(reading, parse_size(said["size"]))
    family = "hybrid" if getattr(config, "is_hybrid", False) else family_of(net)
    card = declared_card(title, net, said, output=kind, family=family)
    fixed = reading.size if reading.aspect == "stretch" and not reading.frame else None
    return dataclasses.replace(
        card, reading=reading, size=fixed, layers=reading_layers(net, facts["layers"]) if facts["layers"] else (),
        mean=card.mean if "mean" in said else mean, std=card.std if "mean" in said else std,
        facts={"type": facts["type"]},
    )  # fmt: skip


def _of_size(reading: Reading, size: tuple[int, int]) -> Reading:
    """The same reading at one size, whatever the image's."""
    fixed = dataclasses.replace(reading, size=size, aspect="stretch", inner=None, frame="")
    if fixed.canvas_size(*size) != size:
        raise ValueError(
            f"Expected `size` to be a multiple of {fixed.multiple}, as its image processor says, but got {size}."
        )
    return fixed


def _digest(files: list[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(1 << 22):
                found.update(block)
    return found.hexdigest()[:12]
