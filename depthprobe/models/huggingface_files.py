"""The files of a transformers network: where they are, what opening them would run, and which numbers are in them."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depthprobe.checks import shortened
from depthprobe.models.huggingface_types import TYPES
from depthprobe.models.trust import require_trust, trusted
from depthprobe.schema import read_object

CONFIG, PROCESSOR, WHOLE_PROCESSOR, ADAPTER = (
    "config.json", "preprocessor_config.json", "processor_config.json", "adapter_config.json",
)  # fmt: skip
SAFE = ("model.safetensors", "model.safetensors.index.json")
PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
ID = re.compile(r"[\w.-]+/[\w.-]+")
IMPLEMENTATION = re.compile(r"_?(attn|experts)_implementation(_internal)?")
OWN = (None, "eager", "sdpa")
"""Implementations that need nothing more; OWNER/NAME is a kernel of the hub, others need packages or a stand-in."""


def folder_of(name: str, revision: str, pickles: bool) -> Path:
    """The folder with the network's files: the user's own, or the hub's in the cache.

    Raises:
        FileNotFoundError: if it is neither a folder nor an id.
        ValueError: if a revision is given for a folder, or the hub does not give the id.
    """
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        if revision:
            raise ValueError(f"Expected no `revision` for a folder, but got {revision!r}; it is of an id on the hub.")
        return folder
    if not ID.fullmatch(name) or name.startswith("."):
        raise FileNotFoundError(f"Expected a folder at {folder} or an id OWNER/NAME of the hub, but there is neither.")
    code = ("*.py", "pytorch_model*") if pickles else ()
    files = [CONFIG, PROCESSOR, WHOLE_PROCESSOR, ADAPTER, "model*.safetensors", SAFE[1], *code]
    return _downloaded(name, revision or None, files)


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
    return read_object(file, "write the folder with save_pretrained")


def processor_of(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file that describes the image processor, and what it says; as transformers, a whole processor's first.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read.
    """
    whole = folder / WHOLE_PROCESSOR
    if whole.is_file() and isinstance(said := _read(whole).get("image_processor"), dict):
        return whole, said
    return folder / PROCESSOR, _read(folder / PROCESSOR)


def config_of(folder: Path, title: str, trust: str, local: bool) -> dict[str, Any]:
    """The configuration, after a look at what opening the folder would run or fetch.

    Raises:
        FileNotFoundError: if it is missing, or that of the image processor.
        ValueError: without leave for what would run; if it is no depth network's, or its network is not all here.
    """
    file = folder / CONFIG
    config, processor = _read(file), processor_of(folder)[1]
    if (other := next(_stand_ins(config), None)) and not trusted(trust):
        raise ValueError(
            f"Expected {file} to name a way to compute that needs no more than torch, but {other[0]} is {other[1]!r}; "
            f"set it to {'sdpa' if 'attn' in other[0] else 'eager'} {'there' if local else 'in a copy of the folder'}."
        )
    if code := sorted({*_code(config), *_code(processor)}):
        require_trust(title, f"running the code that comes with it ({', '.join(code)})", trust)
    elif config.get("model_type") not in [*TYPES, *_known()]:
        raise ValueError(
            f"Expected {file} to be of a depth network ({', '.join(_known())}), but its model_type is "
            f"{config.get('model_type')!r}."
        )
    if (folder / ADAPTER).is_file():
        raise ValueError(
            f"Expected {folder} to hold a whole network, but it is an adapter; merge it and save that (or remove "
            f"{ADAPTER}, if the weights are merged)."
        )
    if config.get("quantization_config"):
        raise ValueError(f"Expected {file} to be of plain weights, but they are quantized; dequantize and save them.")
    for key, value in _entries(config):
        elsewhere = ":" in str(value) or (local and not config.get("backbone_config"))
        if key == "backbone" and isinstance(value, str) and elsewhere:
            raise ValueError(
                f"Expected {file} to describe its backbone (backbone_config), but it names {value!r} on the hub or in "
                "another folder, and neither is looked into; save it again."
            )
    return config


def _known() -> list[str]:
    from transformers.models.auto import modeling_auto

    return sorted(modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES)


def _entries(found: Any) -> Iterator[tuple[str, Any]]:
    """Every key with its value, of what is inside too."""
    for key, value in found.items() if isinstance(found, dict) else ():
        yield key, value
    for value in found.values() if isinstance(found, dict) else found if isinstance(found, list) else ():
        yield from _entries(value)


def _code(config: dict[str, Any]) -> Iterator[str]:
    """The code that a configuration names: classes beside it, and kernels of the hub."""
    for key, value in _entries(config):
        parts = list(value.values()) if isinstance(value, dict) else [value]
        if key == "auto_map":
            yield from (shortened(str(part[0] if isinstance(part, list) and part else part)) for part in parts)
        elif IMPLEMENTATION.fullmatch(key):
            yield from (f"the kernel {shortened(str(part))}" for part in parts if "/" in str(part))


def _stand_ins(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Implementations by a bare name, for which transformers may fetch a kernel of its choice; with their key."""
    for key, value in _entries(config):
        if IMPLEMENTATION.fullmatch(key):
            parts = list(value.values()) if isinstance(value, dict) else [value]
            yield from ((key, shortened(str(part))) for part in parts if part not in OWN and "/" not in str(part))


def weights_of(folder: Path, config: dict[str, Any], title: str, trust: str) -> list[Path]:
    """The files of weights, an index first; pickles only with leave.

    Raises:
        FileNotFoundError: if there are none, or an index names one that is missing.
        ValueError: without leave for pickles, or if what names the files points out of the folder.
    """
    names = [*SAFE, *PICKLED]
    if said := config.get("transformers_weights"):
        _check_beside(folder / CONFIG, said)
        names = [str(said)]
    found = next((folder / name for name in names if (folder / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(f"Expected weights at {folder / names[0]}, but there is no such file.")
    if ".safetensors" not in found.suffixes:
        require_trust(title, f"reading a pickle ({found.name}, as tensors alone)", trust)
    if found.suffix != ".json":
        return [found]
    named = _read(found).get("weight_map")
    values: list[Any] = list(named.values()) if isinstance(named, dict) and named else [named]
    for value in values:
        _check_beside(found, value)
    parts: list[str] = sorted(set(values))
    for part in parts:
        if not (folder / part).is_file():
            raise FileNotFoundError(f"Expected weights at {folder / part}, but there is no such file.")
    return [found, *(folder / part for part in parts)]


def _check_beside(file: Path, name: Any) -> None:
    if not isinstance(name, str) or Path(name).name != name or not name:
        raise ValueError(f"Expected {file} to name files beside it, but got {name!r}.")


def digest_of(files: list[Path]) -> str:
    """12-character hash of files."""
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as content:
            while block := content.read(1 << 22):
                found.update(block)
    return found.hexdigest()[:12]
