"""Links in a data set: they may lead anywhere inside it, and out of it only with leave.

A data set that was unpacked from an archive may bring links to files of yours, which pages would then show. The root
itself may be a link, and the cache of the Hugging Face Hub, which is made of links to its own blobs, is known.
"""

import functools
import os
from collections.abc import Iterable
from pathlib import Path

from depthprobe.leave import says_yes

VARIABLE = "DEPTHPROBE_LINKS"


def check_links(paths: Iterable[Path], root: Path, name: str) -> None:
    """Refuse files below `root` that really lie elsewhere, unless DEPTHPROBE_LINKS=1 gives leave.

    Raises:
        ValueError: naming the file, where it leads and how to give leave; if the variable is neither yes nor no.
    """
    if says_yes(VARIABLE, os.environ.get(VARIABLE, "")):
        return
    homes = _homes(root)
    folder = functools.cache(os.path.realpath)
    for path in paths:
        real = Path(folder(path.parent), path.name)
        if real.is_symlink():
            real = Path(os.path.realpath(real))
        if not any(real.is_relative_to(home) for home in homes) and real.exists():
            raise ValueError(
                f"Expected the files of {name} to lie below {root}, but {path} leads to {real}; set "
                f"{VARIABLE}=1 if the links are yours, or copy it there."
            )


def _homes(root: Path) -> list[Path]:
    """Where the files below a root may lie: there; for the hub's cache (snapshots/REVISION/...), in its blobs too."""
    real = Path(os.path.realpath(root))
    snapshots = [folder for folder in real.parents if folder.name == "snapshots"]
    return [real, *(folder.parent / "blobs" for folder in snapshots)]
