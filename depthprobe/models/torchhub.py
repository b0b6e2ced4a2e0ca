"""`torchhub:REPO:ENTRY`: a network that a repository's own hubconf.py builds; this runs that repository's code."""

import hashlib
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from depthprobe.checks import first_line
from depthprobe.models.adapter import DepthModel
from depthprobe.models.declared import DECLARED, declared_card
from depthprobe.models.options import parse_value
from depthprobe.models.reading import Reading
from depthprobe.models.registry import SCHEMES
from depthprobe.models.trust import require_trust


def _midas(side: int, aspect: str, mean: str) -> dict[str, Any]:
    """What MiDaS's hubconf.py says of an entry: side of its input, how that is met, normalisation."""
    reading = Reading(size=(side, side), multiple=32, aspect=aspect, filter="bicubic", antialias=False, back="bicubic")
    return {"output": "affine_disparity", "mean": mean, "reading": reading}


MIDAS = {
    "DPT_Large": _midas(384, "keep", "half"),
    "DPT_Hybrid": _midas(384, "keep", "half"),
    "DPT_BEiT_L_512": _midas(512, "keep", "half"),
    "DPT_BEiT_L_384": _midas(384, "keep", "half"),
    "DPT_BEiT_B_384": _midas(384, "keep", "half"),
    "DPT_SwinV2_L_384": _midas(384, "stretch", "half"),
    "DPT_SwinV2_B_384": _midas(384, "stretch", "half"),
    "DPT_SwinV2_T_256": _midas(256, "stretch", "half"),
    "DPT_Swin_L_384": _midas(384, "stretch", "half"),
    "DPT_Next_ViT_L_384": _midas(384, "keep", "half"),
    "DPT_LeViT_224": _midas(224, "stretch", "half"),
    "MiDaS": _midas(384, "within", "imagenet"),
    "MiDaS_small": _midas(256, "within", "imagenet"),
}
"""Entries of intel-isl/MiDaS and their transforms (its hubconf.py); others say it by options."""


@SCHEMES.register(
    "torchhub",
    form="OWNER/REPO[:TAG]:ENTRY?trust=1&output=...",
    example="torchhub:intel-isl/MiDaS:DPT_Hybrid",
    code=True,
)
def from_hub(path: str, *, trust: str = "", multiple: int = 1, **options: str) -> DepthModel:
    """A network from a repository with a hubconf.py, on GitHub or in a folder; its code runs, so say ?trust=1.

    Options: those of `py:`; any other goes to the entry as a Python value, e.g. `&pretrained=False`. What MiDaS's
    entries give and read is known. Pin a tag or commit as OWNER/REPO:TAG, or GitHub's default branch decides.

    Raises:
        FileNotFoundError: if a folder has no hubconf.py.
        ValueError: without leave to run the code, if there is no such entry, or it builds no network.
    """
    repo, _, entry = path.rpartition(":")
    if not repo or not entry:
        raise ValueError(f"Expected torchhub:OWNER/REPO:ENTRY or torchhub:FOLDER:ENTRY, but got torchhub:{path}.")
    folder = Path(repo).expanduser()
    local = folder.is_dir()
    if local and not (folder / "hubconf.py").is_file():
        raise FileNotFoundError(f"Expected {folder / 'hubconf.py'}, but there is no such file.")
    if not local and (repo.startswith((".", "/", "~")) or repo.partition(":")[0].count("/") != 1):
        raise FileNotFoundError(f"Expected a folder or OWNER/REPO on GitHub, but there is nothing at {folder}.")
    where = folder / "hubconf.py" if local else f"hubconf.py of github.com/{repo} (downloaded now)"
    require_trust(f"torchhub:{path}", f"running {where} and all that it imports", trust)
    said = {key: options.pop(key) for key in DECLARED if key in options}
    net = _built(str(folder) if local else repo, entry, {k: parse_value(v) for k, v in options.items()}, local)
    known = MIDAS.get(entry, {}) if "midas" in repo.lower() else {}
    digest = _digest(net)
    card = declared_card(f"torchhub:{path}", net, said, multiple=multiple, tag=digest[:8], digest=digest, **known)
    return DepthModel(net, card)


def _built(repo: str, entry: str, options: dict[str, Any], local: bool) -> nn.Module:
    try:
        with torch.random.fork_rng(devices=[]):
            net = torch.hub.load(repo, entry, source="local" if local else "github", trust_repo=True, **options)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"Expected torchhub:{repo} to build `{entry}`, but {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(net, nn.Module):
        raise ValueError(f"Expected `{entry}` of {repo} to build a torch.nn.Module, but got {type(net).__name__}.")
    return net


def _digest(net: nn.Module) -> str:
    """Of the weights and of the source of the network's class."""
    found = hashlib.sha256()
    for name, x in net.state_dict().items():
        found.update(f"{name} {tuple(x.shape)} {x.dtype}".encode())
        found.update(x.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    try:
        found.update(inspect.getsource(type(net)).encode())
    except (OSError, TypeError):
        found.update(type(net).__qualname__.encode())
    return found.hexdigest()[:12]
