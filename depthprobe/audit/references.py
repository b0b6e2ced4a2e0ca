"""The networks that an audited one stands beside, and where their rows are kept for the next audit."""

import os
from collections.abc import Sequence
from pathlib import Path

from depthprobe.data import DATASETS, Dataset
from depthprobe.models import MODELS
from depthprobe.provenance import package_code

ZOO, NONE = "zoo", "none"
REAL = "nyu"
"""The zoo's networks that stand beside others on a data set whose registration names none: trained on real images."""


def references(against: str | Sequence[str], data: Dataset) -> list[str]:
    """Names of networks: those given; "zoo": those of the zoo that fit the data set; "none": none.

    Raises:
        ValueError: if a name is given together with "none".
    """
    names = [against] if isinstance(against, str) else list(against)
    if NONE in names and len(names) > 1:
        raise ValueError(f"Expected `against` to be {NONE!r} alone, or networks, but got {names}.")
    found = [one for name in names if name != NONE for one in (fitting(data) if name == ZOO else [name])]
    return list(dict.fromkeys(found))


def fitting(data: Dataset) -> list[str]:
    """The zoo's networks that fit a data set: trained in the way that its registration names (`references`)."""
    facts = DATASETS.facts(data.name) if data.name in DATASETS else {}
    ending = f".{facts.get('references', REAL)}"
    return [name for name in MODELS.names() if name.startswith(f"{ZOO}:") and name.endswith(ending)]


def cache_folder() -> Path:
    """Where parts of the package's networks are kept: below $DEPTHPROBE_CACHE, else the user's cache folder.

    Convention: a folder for every state of the code that measures, so that no row outlives the code that made it. It
    may be removed at any time.
    """
    own = os.environ.get("DEPTHPROBE_CACHE")
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(own) if own else Path(home) / "depthprobe") / "references" / package_code()
