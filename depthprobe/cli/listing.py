"""What the registries hold, as rows of text."""

import functools
import inspect
from typing import Any

from depthprobe.registry import Registry

HIDDEN = ("plan", "axes", "maps", "quick", "whole", "perfect", "inputs", "form", "audit", "references", "untrained")


def entries(what: str) -> list[dict[str, str]]:
    """One row per entry: name, what it is (first line of its docstring), then its facts."""
    rows = [row for registry in registries(what) for row in _rows(registry)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{c: row.get(c, "") for c in columns} for row in rows]


def registries(what: str) -> list[Registry]:
    """The registries behind a word of `depthprobe list`."""
    from depthprobe.data import DATASETS
    from depthprobe.functional.filling import FILLS
    from depthprobe.functional.metrics import METRICS
    from depthprobe.functional.protocol import PROTOCOLS
    from depthprobe.functional.selection import SELECTORS
    from depthprobe.models import MODELS, SCHEMES
    from depthprobe.probes import PROBES
    from depthprobe.train import RECIPES

    known = {"models": [MODELS, SCHEMES], "datasets": [DATASETS], "probes": [PROBES], "metrics": [METRICS],
             "protocols": [PROTOCOLS], "selectors": [SELECTORS], "fills": [FILLS],
             "recipes": [RECIPES]}  # fmt: skip
    return known[what]


def _rows(registry: Registry) -> list[dict[str, str]]:
    rows = []
    for name in registry:
        facts = registry.facts(name)
        line = facts.pop("summary", "") or _first_line(registry[name])
        shown = {k: _text(v) for k, v in facts.items() if k not in HIDDEN and not callable(v)}
        full = f"{name}:{facts['form']}" if "form" in facts else name
        rows.append({"name": full, "what": line, **shown})
    return rows


def _first_line(entry: Any) -> str:
    entry = entry.func if isinstance(entry, functools.partial) else entry
    return (inspect.getdoc(entry) or "").partition("\n")[0]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)
