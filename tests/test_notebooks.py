"""Notebooks are committed without outputs and run from a clean kernel in quick form."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
TINY = "timm:test_convnext?size=96x128,timm:test_vit?size=96x128"


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_no_outputs_and_no_logic(path):
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert all(c["outputs"] == [] and c["execution_count"] is None for c in cells)
    source = "\n".join("".join(c["source"]) for c in cells)
    assert not [word for word in ("def ", "class ", "lambda ", "while ") if word in source]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_in_quick_form(path):
    pytest.importorskip("nbmake", reason="nbmake runs the notebooks; pip install 'depthprobe[dev]'")
    quick = {**os.environ, "DEPTHPROBE_QUICK": "1", "DEPTHPROBE_MODELS": TINY}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbmake", "--nbmake-timeout=600", path]
    done = subprocess.run(command, cwd=ROOT, env=quick, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
