"""How studies are started: where they write, and which options reach them."""

import ast
import inspect
import sys
from importlib import import_module
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # studies are not part of the installed package

from analyses.command import comparison, conclude, folders

ROOT = Path(__file__).parents[1]
STUDIES = sorted(p.stem for p in (ROOT / "analyses").glob("a[0-9]*.py"))


def test_quick_runs_stay_out_of_the_repository_unless_told_where(tmp_path):
    out, figures = folders("a09/part", None, None, quick=True)
    assert out.is_dir() and ROOT not in out.parents and figures == out / "figures"
    assert folders("a09/part", None, None, quick=False) == (Path("out/a09/part"), Path("figures"))
    assert folders("a09", tmp_path, None, quick=True) == (tmp_path, tmp_path / "figures")
    assert folders("a09", str(tmp_path), "here", quick=True) == (tmp_path, Path("here"))


def test_what_is_left_out_has_the_study_s_default():
    given = comparison("doc", "a09", n=7, n_nyu=None).parse_args(["--model", "a", "--model", "b"])
    assert (given.n, given.n_nyu, given.models, given.out, given.quick) == (7, None, ["a", "b"], None, False)


@pytest.mark.parametrize("study", STUDIES)
def test_every_option_of_a_command_line_is_one_of_main(study, monkeypatch):
    """The block under `__main__`, run with a `main` that only looks at what it is given."""
    module, seen = import_module(f"analyses.{study}"), {}
    known = set(inspect.signature(module.main).parameters)
    block = ast.parse(Path(module.__file__).read_text()).body[-1]
    monkeypatch.setattr(sys, "argv", [study, "--quick"])
    code = compile(ast.Module(block.body, []), study, "exec")
    exec(code, {**vars(module), "main": lambda **options: seen.update(options)})
    assert seen["quick"] is True and set(seen) <= known


def test_the_last_words_name_every_figure_once(capsys, tmp_path):
    conclude(["one", "two"], [tmp_path / "a.pdf", tmp_path / "a.png", tmp_path / "b.csv"])
    assert capsys.readouterr().out.splitlines() == ["one", "two", "Figures:", f"  {tmp_path}/a", f"  {tmp_path}/b"]
