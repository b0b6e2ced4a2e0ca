"""Imports run one way, nothing crosses the wall, and files and functions stay short (DESIGN, invariant 1)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

STAGES = [
    ["schema", "registry", "checks", "memory"],
    ["leave"],
    ["functional"],
    ["data"],
    ["models"],
    ["probes"],
    ["ranks", "provenance", "study"],  # what `run` is made of
    ["work", "gallery"],
    ["sidecar"],
    ["train"],
    ["run", "publish"],
    ["audit"],
    ["stats"],
    ["plots"],
    ["report"],
    ["cli"],
    ["__main__"],
]
RANK = {name: i for i, stage in enumerate(STAGES) for name in stage}
FREE = set(STAGES[0])
DRAWING = {"matplotlib", "seaborn", "jinja2", "plotly"}
TENSORS = {"torch", "torchvision", "timm", "captum", "lightning"}
MAX_FILE, MAX_FUNCTION = 300, 60
ROOT = Path(__file__).parents[1] / "depthprobe"
FILES = sorted(ROOT.rglob("*.py"))
IDS = [str(path.relative_to(ROOT)) for path in FILES]


def stage_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(source: str, package: list[str]) -> Iterator[list[str]]:
    """Every imported dotted name, relative ones resolved against `package`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = base + (node.module.split(".") if node.module else [])
            yield from ([*stem, alias.name] for alias in node.names)


def violations(me: str, source: str, package: list[str]) -> list[str]:
    """What a module at stage `me` imports and must not."""
    rank, wall = RANK[me], RANK["audit"]
    banned = DRAWING if rank <= wall else set() if rank >= RANK["cli"] else TENSORS
    bad = []
    for name in imported(source, package):
        if name[0] != "depthprobe":
            if name[0] in banned:
                bad.append(f"{me} must not import {name[0]}")
        elif len(name) > 1 and name[1] in RANK and name[1] != me:
            if RANK[name[1]] >= rank:
                bad.append(f"{me} must not import {name[1]}: it is not of an earlier stage")
            elif wall < rank < RANK["cli"] and RANK[name[1]] <= wall and name[1] not in FREE:
                bad.append(f"{me} is behind the table and must not import {name[1]}")
    return bad


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_imports_run_one_way(path):
    if path.parent == ROOT and path.name == "__init__.py":
        pytest.skip("the package's own front door; imports at first use")
    assert stage_of(path) in RANK, f"{path.name}: give `{stage_of(path)}` a place in STAGES"
    package = ["depthprobe", *path.relative_to(ROOT).parts[:-1]]
    assert violations(stage_of(path), path.read_text(), package) == []


@pytest.mark.parametrize(
    ("me", "source"),
    [
        ("run", "import matplotlib.pyplot as plt"),
        ("audit", "from depthprobe.report import write_report"),
        ("probes", "def f():\n    from depthprobe.stats import summarise"),
        ("stats", "import torch"),
        ("stats", "from depthprobe.data import Batch"),
        ("data", "from ..models import load_model"),
        ("train", "from depthprobe.run import run"),
        ("report", "from depthprobe import cli"),
    ],
)
def test_a_forbidden_import_is_found(me, source):
    assert violations(me, source, ["depthprobe", me])


@pytest.mark.parametrize(
    ("me", "source"),
    [("stats", "from depthprobe.schema import KEY"), ("run", "import torch"), ("cli", "import torch, matplotlib")],
)
def test_an_allowed_import_passes(me, source):
    assert violations(me, source, ["depthprobe", me]) == []


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_files_are_short(path):
    assert len(path.read_text().splitlines()) <= MAX_FILE


def code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    is_doc = (
        isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)
    )
    return total - ((first.end_lineno or first.lineno) - first.lineno + 1 if is_doc else 0)


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_functions_are_short_and_public_ones_documented(path):
    tree = ast.parse(path.read_text())
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    assert {f.name: code_lines(f) for f in functions if code_lines(f) > MAX_FUNCTION} == {}
    public = [n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")]
    assert [n.name for n in public if not ast.get_docstring(n)] == []
    assert ast.get_docstring(tree), "a module says what it is for"


RIGHT = [name for name in ("stats", "plots", "report") if (ROOT / f"{name}.py").exists() or (ROOT / name).is_dir()]


def loads(code: str, *packages: str) -> str:
    """Those of `packages` that a fresh interpreter holds after `code`."""
    tail = f"; import sys; print(*[m for m in {packages!r} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_the_table_side_runs_without_torch():
    assert loads("; ".join(f"import depthprobe.{name}" for name in RIGHT), "torch", "timm", "captum") == ""


def test_importing_the_package_loads_nothing_heavy():
    assert loads("import depthprobe", "torch", "pandas", "numpy", "matplotlib") == ""
    assert loads("import depthprobe.cli", "torch", "pandas", "matplotlib", "timm") == ""


@pytest.mark.parametrize("path", sorted((ROOT.parent / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_no_benchmark_hides_a_module_of_the_standard_library(path):
    """A script's folder comes first on the path, so a name taken there breaks every script beside it."""
    assert path.stem not in sys.stdlib_module_names


def test_names_of_test_files_are_unique():
    names = [path.name for path in (ROOT / "tests").rglob("*.py")]
    assert sorted(names) == sorted(set(names))
