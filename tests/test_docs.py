"""The documentation says what is true: commands parse and run, links lead somewhere, every name is there."""

import contextlib
import importlib
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import docs_blocks as docs
import pytest
import yaml
from typer.testing import CliRunner

from depthprobe.cli import app, measure
from depthprobe.cli import listing as listed
from depthprobe.study import make_plans

pytest.importorskip("mkdocs", reason="the documentation is built by mkdocs; pip install 'depthprobe[docs]'")
IDS = [docs.name_of(path) for path in docs.PAGES]
RUNNABLE = [path for path in docs.PAGES if any(b.tag in ("run", "slow") for b in docs.blocks(path))]
LONG = [
    f"methods/{name}.md" for name in ("attribution", "conduct", "context", "continuity", "cues", "masks", "texture")
]
REGISTRIES = ("datasets", "fills", "metrics", "models", "probes", "protocols", "recipes", "selectors")
README = docs.ROOT / "README.md"


@pytest.fixture(scope="module")
def site():
    """The hooks that build the site."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(docs.DOCS / "hooks")
        yield importlib.import_module("build_site")


@pytest.fixture(scope="module")
def expanded(site):
    """Every page with its markers filled in, those that are made from code and notebooks among them."""
    pages = {docs.name_of(p): site.expand(p.read_text(encoding="utf-8"), p.name) for p in docs.PAGES}
    return {**pages, **site.study_pages(docs.ROOT), "reference/cli.md": site.command_page()}


@pytest.fixture
def registries_as_before():
    """What the examples register is taken out again."""
    every = [registry for word in REGISTRIES for registry in listed.registries(word)]
    before = [dict(registry._items) for registry in every]
    yield
    for registry, items in zip(every, before, strict=True):
        registry._items.clear()
        registry._items.update(items)


@pytest.mark.parametrize("path", docs.PAGES, ids=IDS)
def test_every_block_of_code_says_what_the_tests_do_with_it(path):
    for block in docs.blocks(path):
        assert block.title or block.language not in ("bash", "python") or block.tag in ("run", "slow", "parse"), block
        assert not block.tag or block.tag in docs.TAGS
        assert (block.tag == "prints") <= (block.language == "text")
        if block.language == "python":
            compile(block.text, docs.name_of(path), "exec")


def _described(monkeypatch, arguments):
    """The study that `depthprobe run` would execute."""
    seen = []
    monkeypatch.setattr(measure, "execute", lambda study, **how: seen.append(study))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output + result.stderr
    return seen[0]


def _check(line, page, monkeypatch):
    arguments = docs.of_command(line)
    if arguments is None:
        docs.check_other(line, page)
        return
    context = docs.parsed(arguments)
    if arguments[0] == "run" and context.params["study"] is None and "out/mask" not in line:
        own = {"bright", "kept_mean"} & set(shlex.split(line))  # of the page that shows how to add one
        if not own:
            study = _described(monkeypatch, arguments)
            make_plans(study, "scenes")
            known = [name for registry in listed.registries("models") for name in registry]
            assert all({m.partition("?")[0], m.partition(":")[0]} & set(known) for m in study.models)
    if arguments[0] == "audit":
        assert next(iter(context.params.values()))


@pytest.mark.parametrize("path", docs.PAGES, ids=IDS)
def test_every_command_line_is_one(path, monkeypatch):
    page = docs.blocks(path)
    for block in page:
        for line in block.commands if block.language == "bash" and not block.title else ():
            _check(line, page, monkeypatch)


def test_every_command_line_of_the_readme_is_one(monkeypatch):
    shell = [b for b in docs.blocks(README) if b.language == "" and re.match(r"(depthprobe|make|\.venv)", b.text)]
    lines = [line for block in shell for line in block.text.replace("\\\n", " ").splitlines()]
    own = [line for line in lines if line.startswith(("depthprobe", "make"))]
    assert len(own) > 10
    for line in own:
        _check(line, [], monkeypatch)


@pytest.mark.parametrize("command", ["run", "audit", "compare", "report", "scenes", "train"])
def test_examples_in_the_help_of_commands_parse(command, site):
    sections = site.command_page().split("\n## ")
    (section,) = [text for text in sections if text.startswith(f"{command}\n")]
    for line in re.findall(r"```bash\n(.*)\n```", section):
        docs.parsed(docs.of_command(line))


def test_a_command_that_is_none_is_seen(monkeypatch):
    for line in ("depthprobe run --modell zoo:pvt", "depthprobe measure", "make coffee", "python benchmarks/none.py"):
        with pytest.raises(Exception, match=r"modell|measure|coffee|none"):
            _check(line, [], monkeypatch)
    with pytest.raises((AssertionError, ValueError), match="Expected"):
        _check("depthprobe run --model zoo:pvt --probe sparse --selector none", [], monkeypatch)


def _execute(path, folder, monkeypatch, tags):
    """Run the blocks of a page in order, in one folder; every one has to end well and print what the page says."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    space, printed, ran = {"__name__": "page"}, "", 0
    for block in docs.blocks(path):
        if block.tag == "prints":
            assert printed == block.text
        elif block.title:
            (folder / block.title).write_text(block.text)
        elif block.tag in tags and block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(block.text, docs.name_of(path), "exec"), space)
            printed = out.getvalue()
        elif block.tag in tags:
            for number, line in enumerate(block.commands):
                words = [*docs.of_command(line), *(shlex.split(block.more) if number == 0 else ())]
                done = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
                assert done.exit_code == 0, f"{line}\n{done.output}{done.stderr}"
        ran += block.tag in tags
    assert ran
    for module in [m for m in sys.modules.values() if str(folder) in str(getattr(m, "__file__", ""))]:
        del sys.modules[module.__name__]


def _marked(path):
    name = docs.name_of(path)
    return pytest.param(path, id=name, marks=[pytest.mark.slow] if name in LONG else [])


@pytest.mark.parametrize("path", [_marked(path) for path in RUNNABLE])
@pytest.mark.usefixtures("registries_as_before")
def test_what_a_page_runs_ends_well_and_prints_what_it_says(path, tmp_path, monkeypatch):
    _execute(path, tmp_path, monkeypatch, ("run",))


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in RUNNABLE if any(b.tag == "slow" for b in docs.blocks(p))], ids=str)
@pytest.mark.usefixtures("registries_as_before")
def test_what_takes_long_ends_well_too(path, tmp_path, monkeypatch):
    _execute(path, tmp_path, monkeypatch, ("run", "slow"))


def test_files_for_clusters_are_what_they_claim():
    (slurm,) = [b for b in docs.blocks(docs.DOCS / "cluster.md") if b.title.endswith(".slurm")]
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n"], input=slurm.text, text=True, check=False).returncode == 0
    (line,) = re.findall(r"^srun (?:.*\\\n)*.*$", slurm.text, re.MULTILINE)
    docs.parsed(docs.of_command(re.sub(r"\$\w+", "x", line)))
    (job,) = [b for b in docs.blocks(docs.DOCS / "cluster.md") if b.title.endswith(".yaml")]
    service, made = yaml.safe_load_all(job.text)
    pod = made["spec"]["template"]["spec"]
    assert pod["subdomain"] == service["metadata"]["name"] and made["spec"]["completionMode"] == "Indexed"
    words = [str(word) for word in pod["containers"][0]["command"]]
    docs.parsed(docs.of_command(shlex.join(words)))
    assert int(words[1].partition("=")[2]) == made["spec"]["completions"] == made["spec"]["parallelism"]


@pytest.mark.parametrize("path", [*docs.PAGES, README], ids=[*IDS, "README"])
def test_links_lead_somewhere(path, expanded):
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        file = target.partition("#")[0]
        if file and "://" not in target:
            place = os.path.normpath(path.parent / file)
            made = os.path.relpath(place, docs.DOCS) in expanded
            assert os.path.exists(place) or made, target


@pytest.mark.parametrize("word", REGISTRIES)
def test_every_registered_name_is_in_the_documentation(word, expanded):
    text = "\n".join(page for name, page in expanded.items() if not name.startswith("studies"))
    names = [name for registry in listed.registries(word) for name in registry]
    assert [name for name in names if not re.search(rf"`{re.escape(name)}[`:?.]", text)] == []


def test_the_zoo_has_the_numbers_of_its_cards(expanded):
    for card in (docs.ROOT / "depthprobe" / "models" / "weights").glob("*.json"):
        facts = json.loads(card.read_text(encoding="utf-8"))
        (row,) = re.findall(rf"^\| `zoo:{re.escape(card.stem)}` \|.*$", expanded["start.md"], re.MULTILINE)
        assert f"| {facts['parameters']:,} |" in row
        errors = [float(number) for number in re.findall(r"\b\d\.\d{3}\b", row)]
        assert errors == [pytest.approx(t["scores"]["abs_rel"], abs=6e-4) for t in facts["tests"].values()]


def test_a_study_says_where_its_verdict_is(expanded):
    studies = {name: page for name, page in expanded.items() if re.match(r"studies/\d", name)}
    assert len(studies) == len(list((docs.ROOT / "notebooks").glob("*.ipynb")))
    for name, page in studies.items():
        assert page.count("The sentences are printed by `python -m analyses.a") == 1, name


def test_every_source_is_one_that_a_reader_can_find(expanded):
    assert [name for name, page in expanded.items() if re.search(r"\bMETHODS\b", page)] == []


@pytest.mark.parametrize("probe", listed.registries("probes")[0].names())
def test_every_probe_has_its_question_its_rows_and_its_plan(probe):
    pages = "\n".join(path.read_text(encoding="utf-8") for path in docs.PAGES)
    assert f"{{{{ probe {probe} }}}}" in pages
    assert f"{{{{ plan {probe} }}}}" in pages


@pytest.mark.parametrize("path", docs.PAGES, ids=IDS)
def test_no_number_stands_in_the_text_that_neither_the_code_nor_a_block_says(path):
    """Decimal fractions of the prose are constants of the code, or printed by a block of the same page."""
    text = path.read_text(encoding="utf-8")
    code = "".join(block.text for block in docs.blocks(path))
    code += "".join(p.read_text() for p in (docs.ROOT / "depthprobe").rglob("*.py"))
    code += "".join((docs.ROOT / name).read_text() for name in ("pyproject.toml", "CITATION.cff"))
    for pattern in (r"```.*?```", r"<!--.*?-->", r"\{\{.*?\}\}", r"\]\([^)]*\)", r"arXiv:\d+\.\d+"):
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    found = re.findall(r"(?<![\w.])\d+\.\d+(?![\w.]\d)", text)
    assert [number for number in found if number not in code] == []
