"""`hf:<id or folder>`: the depth networks of Hugging Face transformers, read as their image processor reads.

Nothing in a folder is executed: weights are safetensors, and code that comes with a network is refused without leave.
"""

import contextlib
import dataclasses
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from depthprobe.checks import first_line
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.declared import declared_card
from depthprobe.models.huggingface_files import CONFIG, config_of, digest_of, folder_of, processor_of, weights_of
from depthprobe.models.huggingface_types import IDLE, TYPES, predicted_depth, reading_layers, reading_of
from depthprobe.models.options import parse_size
from depthprobe.models.reading import Reading
from depthprobe.models.registry import SCHEMES
from depthprobe.models.timm_depth import family_of
from depthprobe.models.trust import trusted


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
    folder = folder_of(name, revision, trusted(trust))
    local = Path(name).expanduser().is_dir()
    title = f"hf:{folder.resolve().name if local else name}"
    config = config_of(folder, title, trust, local)
    weights, described = weights_of(folder, config, title, trust), processor_of(folder)[0]
    with _quietly():
        model = _opened(folder, ".safetensors" in weights[0].suffixes, trusted(trust))
        processor = _processor(folder, trusted(trust))
    facts = _facts(str(config["model_type"]))
    net = HuggingFaceNet(model, facts.get("answer", predicted_depth))
    digest = digest_of([folder / CONFIG, described, *weights])
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


def _facts(kind: str) -> dict[str, Any]:
    """What is known of a type; of one that came later, that it gives a map."""
    if kind not in TYPES:
        return {"kind": lambda config: "", "back": "bicubic", "layers": (), "type": kind}
    return {"kind": TYPES[kind], "type": kind, **TYPES.facts(kind)}


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
            f"Expected {folder} to hold a whole depth network, but {type(error).__name__}: {first_line(error)}"
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
            f"Expected {processor_of(folder)[0]} to describe an image processor, but {first_line(error)}"
        ) from error


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
    if (near := fixed.canvas_size(*size)) != size:
        raise ValueError(
            f"Expected `size` to be a multiple of {fixed.multiple}, as its image processor says, but got {size}; say "
            f"size={near[0]}x{near[1]}."
        )
    return fixed
