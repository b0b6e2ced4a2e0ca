"""Whether code that comes with a network may run: only if the user says so, and after a sentence that says what would.

One decision for every scheme: the option `?trust=1` in a model's name, or DEPTHPROBE_TRUST=1 for a whole command.
"""

import contextlib
import contextvars
import os
from collections.abc import Iterator

from depthprobe.leave import says_yes

VARIABLE = "DEPTHPROBE_TRUST"
_FILE: contextvars.ContextVar[str] = contextvars.ContextVar("_FILE", default="")  # names networks now, not the user


def trusted(option: str = "") -> bool:
    """Whether the user trusts a network's files: by the option in its name, else by the environment.

    Convention: within `named_by`, the option is not the user's and does not count.

    Raises:
        ValueError: if the option or the variable is neither yes nor no.
    """
    return says_yes("trust", ("" if _FILE.get() else option) or os.environ.get(VARIABLE, ""))


def require_trust(name: str, runs: str, option: str = "") -> None:
    """Refuse to go on unless the user trusts the network `name`; `runs` says what would run or be read.

    Raises:
        ValueError: without leave, saying what would run and how to give it.
    """
    if not trusted(option):
        raise ValueError(
            f"Expected leave before {runs}, but {name} was opened without; read it, and if you trust it add ?trust=1 "
            f"to its name (or set {VARIABLE}=1)."
        )


@contextlib.contextmanager
def named_by(file: str) -> Iterator[None]:
    """Networks opened in this block are named by a file and not by the user: none of them may bring code."""
    token = _FILE.set(file)
    try:
        yield
    finally:
        _FILE.reset(token)


def check_named_by_user(name: str) -> None:
    """Refuse a network that brings code if a file names it.

    Raises:
        ValueError: within `named_by`, saying what would run and how to give leave.
    """
    if (file := _FILE.get()) and not trusted():
        raise ValueError(
            f"Expected leave before running the code that {file} names, {name}, but got none; read it, and if you "
            f"trust it add ?trust=1 to the name of the weights (or set {VARIABLE}=1)."
        )
