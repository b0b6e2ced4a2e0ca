"""What the registries hold, as tables; and other things that the code knows: plans, cards, tests, printed tables."""

import ast
import dataclasses
import functools
import importlib
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depthprobe.audit.presets import FULL, QUICK
from depthprobe.cli.listing import entries
from depthprobe.data import DATASETS
from depthprobe.functional.alignment import ALIGNMENTS
from depthprobe.functional.attribution import ATTRIBUTIONS
from depthprobe.functional.losses import LOSSES
from depthprobe.functional.metrics import METRICS
from depthprobe.functional.perturb import PERTURBATIONS
from depthprobe.functional.protocol import ASPECTS, PROTOCOLS, get_protocol
from depthprobe.functional.regions import REGIONS
from depthprobe.functional.targets import TARGETS
from depthprobe.models.dgr_blocks import BLOCKS, KERNELS
from depthprobe.probes import PROBES
from depthprobe.probes.cues_varied import CUES
from depthprobe.registry import Registry
from depthprobe.schema import plan_id

ROOT = Path(__file__).parents[2]
HERE = {
    "alignments": ALIGNMENTS, "attributions": ATTRIBUTIONS, "blocks": BLOCKS, "cues": CUES, "kernels": KERNELS,
    "losses": LOSSES, "perturbations": PERTURBATIONS, "regions": REGIONS, "targets": TARGETS,
}  # fmt: skip
COLUMNS = {
    "alignments": ("kinds", "auto", "space", "source"),
    "cues": ("levels", "reading"),
    "attributions": ("answers", "signed", "baseline", "random", "source"),
    "losses": ("inputs", "invariant", "source"),
    "perturbations": ("unit", "identity", "keeps", "source"),
    "targets": ("needs", "unit", "source"),
}


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown; a column that is empty everywhere is left out.

    Raises:
        ValueError: if there is no row.
    """
    if not rows:
        raise ValueError("nothing to list")
    used = [k for k in range(len(head)) if any(row[k] for row in rows)]
    lines = [[head[k] for k in used], ["---" for _ in used], *([row[k] for k in used] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(text: Any) -> str:
    """A value as one cell of a table."""
    if isinstance(text, list | tuple | set | frozenset):
        return ", ".join(map(cell, text))
    if isinstance(text, bool):
        return "yes" if text else "no"
    plain = "" if text is None else f"{text:g}" if isinstance(text, float) else str(text)
    return re.sub(r"\s+", " ", plain).replace("|", "\\|").replace("*", "\\*").replace("_", "\\_").replace("<", "&lt;")


def marked(text: str) -> str:
    """A sentence of a docstring as one cell: code stays code, the rest is no markup."""
    parts = re.split(r"(`[^`]*`)", re.sub(r"\s+", " ", text))
    return "".join(p.replace("|", "\\|") if p.startswith("`") else cell(p) for p in parts)


def what(entry: Any) -> str:
    """The first paragraph of a docstring, also behind partials."""
    while isinstance(entry, functools.partial):
        entry = entry.func
    return (inspect.getdoc(entry) or "").partition("\n\n")[0]


def listed(name: str, start: str = "") -> str:
    """A table of what is in one registry, of `depthprobe list` or of those that only the package knows."""
    if name in HERE:
        columns, registry = COLUMNS.get(name, ("source",)), HERE[name]
        facts = [registry.facts(one) for one in registry]
        rows = [
            [f"`{one}`", marked(what(registry[one])), *(cell(f.get(c)) for c in columns)]
            for one, f in zip(registry, facts, strict=True)
        ]
        return table(["name", "what", *columns], rows)
    found = [one for one in entries(name) if one["name"].startswith(start)]
    rows = [[f"`{one['name']}`", marked(one["what"]), *map(cell, list(one.values())[2:])] for one in found]
    return table(list(found[0]), rows)


def metrics(*modules: str) -> str:
    """The metrics that modules of `depthprobe.functional` register (without a name: all)."""
    rows = []
    for name in METRICS:
        facts, home = METRICS.facts(name), _home(METRICS, name)
        if not modules or home in modules:
            unit, better = cell(facts["unit"]), facts["better"].replace("none", "")
            rows.append([f"`{name}`", unit, better, marked(_whole(METRICS[name])), cell(facts["source"])])
    return table(["name", "unit", "better", "definition", "source"], rows)


def _home(registry: Registry, name: str) -> str:
    entry: Any = registry[name]
    while isinstance(entry, functools.partial):
        entry = entry.func
    return str(entry.__module__).rpartition(".")[2]


def _whole(entry: Any) -> str:
    """A docstring up to its conventions."""
    while isinstance(entry, functools.partial):
        entry = entry.func
    return re.split(r"\n\s*\n(?=\w+:)|\nConvention:", inspect.getdoc(entry) or "")[0]


def protocols() -> str:
    """All protocols: source, data, kinds that are judged."""
    rows = []
    for name in PROTOCOLS:
        facts, one = PROTOCOLS.facts(name), get_protocol(name)
        kinds = ", ".join(f"{kind}: {method}" for kind, method in one.alignment)
        told = [cell(text) for text in (facts["data"], kinds, facts["source"])]
        rows.append([f"[`{name}`](#{name})", f"`{plan_id(one)}`", *told])
    return table(["name", "hash", "ground truth", "output kinds and their alignment", "rules of"], rows)


def protocol_rules() -> str:
    """Every rule of every protocol."""
    return "\n\n".join(_rules(name) for name in PROTOCOLS)


def _rules(name: str) -> str:
    doc, one = inspect.getdoc(PROTOCOLS[name]) or "", get_protocol(name)
    words = one.words()
    rows = table(["aspect", "rule"], [[aspect, cell(words[aspect])] for aspect in ASPECTS])
    return f"### `{name}` {{ #{name} }}\n\n{doc}\n\n{rows}"


def plan(probe: str) -> str:
    """Every number that controls a probe, with its default."""
    kind = PROBES.facts(probe)["plan"]
    first: Callable[[], Any] = kind if probe != "error" else functools.partial(get_protocol, "scenes")
    made, rows = first(), []
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        shown = getattr(value, "name", value) if dataclasses.is_dataclass(value) else value
        rows.append([f"`{probe}.{field.name}`", f"`{shown!r}`".replace("|", "\\|")])
    passes = f" It costs {made.passes()} forward passes per image." if hasattr(made, "passes") else ""
    head = f'??? abstract "The plan of `{probe}`: every number, as `--set {probe}.NAME=VALUE` changes it"\n'
    where = f"    What each means is said at [{kind.__name__}][{kind.__module__}.{kind.__qualname__}].{passes}\n\n"
    return head + where + _indented(table(["option", "default"], rows))


def rows_of(probe: str) -> str:
    """What the rows of a probe say, from its docstring."""
    facts = PROBES.facts(probe)
    told = (f"{column} says {name.replace('_', ' ')}" for column, name in facts["axes"].items())
    axes = ", ".join(told) or "no factor varies"
    doc = re.split(r"\n\s*\nRaises:", inspect.getdoc(PROBES[probe]) or "")[0]
    return f'!!! info "The probe `{probe}`: {axes}"\n' + _indented(doc)


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line.strip() else "" for line in text.splitlines())


def datasets() -> str:
    """Every data set with its docstring: options, folder tree, what is checked."""
    return "\n\n".join(f"### `{name}` {{ #{name} }}\n\n{_described(DATASETS, name)}" for name in DATASETS)


def _described(registry: Registry, name: str) -> str:
    """A docstring up to its errors as Markdown: what stands below Convention or Args moves to the margin, as a list."""
    out, inside, item = list[str](), False, False
    for line in (inspect.getdoc(registry[name]) or "").partition("\n\nRaises:")[0].splitlines():
        head = re.match(r"(?:Convention|Args):\s*", line)
        inside = head is not None or (inside and (not line or line.startswith("    ")))
        line = line[head.end() :] if head else line.removeprefix("    ") if inside else line
        named = re.match(r"([a-z_]+(?:, [a-z_]+)*): ", line) if inside else None
        first = named is not None or line.startswith("  * ")
        if first != item and not (item and line.startswith("    ")):  # a list begins or ends
            out.append("")
        item = first or (item and line.startswith("    "))
        out.append(f"* `{named[1]}`: {line[named.end() :]}" if named else line.strip() if first else line)
    source = registry.facts(name).get("source", "")
    return "\n".join([*out, "", f"Source: {source}." if source else ""])


def test(where: str) -> str:
    """The source of a test, folded up: what proves that a method finds what is planted."""
    file, _, name = where.partition("::")
    source = (ROOT / file).read_text(encoding="utf-8")
    found = next((n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name), None)
    if found is None:
        raise ValueError(f"{file} has no test {name}")
    first = min([found.lineno, *(d.lineno for d in found.decorator_list)])
    code = "\n".join(source.splitlines()[first - 1 : found.end_lineno])
    title = name.removeprefix("test_").replace("_", " ")
    return f'??? success "Planted answer: {title}"\n    `{where}`\n\n    ```python\n{_indented(code)}\n    ```'


def transport_error() -> str:
    """The table in the docstring of the transport, which benchmarks/transport.py prints and a test checks."""
    doc = inspect.getdoc(importlib.import_module("depthprobe.functional.transport")) or ""
    return "\n".join(line for line in doc.splitlines() if line.startswith("|"))


def audited() -> str:
    """The probes of an audit, and on how many samples each is measured."""
    rows = [[f"`{probe}`", str(samples), str(QUICK[probe])] for probe, samples in FULL.items()]
    return table(["probe", "samples", "with `--quick`"], rows)


def zoo() -> str:
    """The networks that are included, by the card beside their weights."""
    cards = sorted((ROOT / "depthprobe" / "models" / "weights").glob("*.json"))
    return table(["name", "family", "parameters", "abs_rel of held-out images"], [_card(path) for path in cards])


def _card(path: Path) -> list[str]:
    card = json.loads(path.read_text(encoding="utf-8"))
    scores = (f"{kind} {test['scores']['abs_rel']:.3f}" for kind, test in card["tests"].items())
    count = card.get("parameters")
    return [f"`zoo:{path.stem}`", card["family"], f"{count:,}" if count else "", cell(", ".join(scores))]


def readme(heading: str) -> str:
    """The first table under a heading of the README."""
    _, found, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(f"## {heading.replace('-', ' ')}\n")
    rows = re.search(r"(?:^\|.*\n)+", rest.partition("\n## ")[0], re.MULTILINE)
    if not found or rows is None:
        raise ValueError(f"README.md has no table under `{heading}`")
    return rows[0]


MARKERS: dict[str, Callable[..., str]] = {
    "list": listed, "metrics": metrics, "protocols": protocols, "protocol_rules": protocol_rules, "plan": plan,
    "probe": rows_of, "datasets": datasets, "test": test, "transport_error": transport_error, "zoo": zoo,
    "readme": readme, "audit": audited,
}  # fmt: skip
