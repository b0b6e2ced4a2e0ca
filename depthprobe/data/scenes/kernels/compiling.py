"""How the kernels are compiled: strict floating point, an own disk cache, and an announcement when it is cold."""

import hashlib
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit
from numba.core import event
from numba.core.cpu import CPUTargetOptions

# No reassociation and no contraction: the bytes do not depend on how kernels are split, inlined or vectorised.
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"nnan", "nsz"}}
# Helpers only borrow arrays: without reference counts they run twice as fast.
_BORROWED: dict[str, Any] = {"_nrt": False} if hasattr(CPUTargetOptions, "_nrt") else {}
_PACKAGE = __name__.rpartition(".")[0]
F = TypeVar("F", bound=Callable[..., Any])
_lock = threading.RLock()
_state = {"warm": False}


def inlined(function: F) -> F:
    """Compile a helper that LLVM always inlines into the kernels that call it."""
    return cast(F, njit(forceinline=True, **_OPTIONS, **_BORROWED)(function))


def helper(function: F) -> F:
    """Compile a helper that stays a call; it is cached as a part of the kernels that call it."""
    return cast(F, njit(**_OPTIONS, **_BORROWED)(function))


def allocating(function: F) -> F:
    """Compile a helper that creates arrays."""
    return cast(F, njit(**_OPTIONS)(function))


def kernel(function: F) -> F:
    """Compile an entry point, cached on disk in `cache_folder()`, so that a read-only installation works too."""
    config: Any = numba.config
    previous, config.CACHE_DIR = config.CACHE_DIR, str(_CACHE)
    try:
        return cast(F, njit(cache=True, **_OPTIONS)(function))
    finally:
        config.CACHE_DIR = previous


def cache_folder() -> Path:
    """Where compiled kernels are kept: one folder for each state of the kernels' sources.

    numba alone looks at the file of the entry point only and would miss a change in a helper. `NUMBA_CACHE_DIR` and
    `XDG_CACHE_HOME` are obeyed; without a writable home it is a folder in the system's temporary directory.
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    own = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    user = os.getuid() if hasattr(os, "getuid") else 0
    for base in (Path(own) / "depthprobe", Path(tempfile.gettempdir()) / f"depthprobe-{user}"):
        folder = base / f"kernels-{digest.hexdigest()[:12]}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return Path(tempfile.mkdtemp(prefix="depthprobe-kernels-"))


_CACHE = cache_folder()


def announce_compile(message: str) -> None:
    """The default announcement: one line on stderr."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


class _Announcer(event.Listener):
    """Says once, before the first kernel is compiled, that this takes a while."""

    def __init__(self, announce: Callable[[str], object]) -> None:
        self.announce = announce
        self.said = False

    def on_start(self, event: Any) -> None:
        """A compile begins (a load from the cache is no compile)."""
        if not self.said and event.data["dispatcher"].py_func.__module__.startswith(_PACKAGE):
            self.said = True
            self.announce("depthprobe: compiling the scene renderer (about 40 s, once per machine) ...")

    def on_end(self, event: Any) -> None:
        """A compile is over."""


def warm_once(exercise: Callable[[], object], announce: Callable[[str], object] | None = None) -> bool:
    """Run `exercise`, which calls every kernel, once per process; announce it if something has to be compiled.

    Returns:
        Whether this call compiled anything.
    """
    if _state["warm"]:
        return False
    with _lock:
        if _state["warm"]:
            return False
        listener = _Announcer(announce or announce_compile)
        with event.install_listener("numba:compile", listener):
            exercise()
        _state["warm"] = True
        return listener.said
