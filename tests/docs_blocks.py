"""The blocks of the documentation, what is to be done with each, and how a command line of it is read.

A comment before a block of code says what the tests do with it (and is seen nowhere on the site):
  run     executed as printed, in one folder and one namespace for the page; what follows on the comment is appended to
          the block's first command, to make it small (`--n 2 --size 24x32`)
  slow    the same, with `-m slow`
  parse   read by the real parser only: it needs data, weights, several processes or long
  prints  no code, but what the block before it prints
A block with a title is a file of that name.
"""

import dataclasses
import re
import shlex
import tomllib
from pathlib import Path

import typer.main

from depthprobe.cli import app

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md"))
TAGS = ("run", "slow", "parse", "prints")
FENCE = re.compile(r"(?:^<!-- (\w+) ?([^\n]*?) ?-->\n)?^```(\w*)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """One block of code: its language, its title if it is a file, what is done with it, what is appended."""

    language: str
    title: str
    tag: str
    more: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines of a block of the shell."""
        return [line for line in self.text.splitlines() if line.strip() and not line.startswith("#")]


def name_of(path: Path) -> str:
    """A page by its place in the site."""
    return str(path.relative_to(DOCS))


def blocks(path: Path) -> list[Block]:
    """All blocks of a page, in order."""
    found = FENCE.findall(path.read_text(encoding="utf-8"))
    return [
        Block(language, "".join(re.findall(r'title="(.*?)"', head)), tag, more, text)
        for tag, more, language, head, text in found
    ]


def of_command(line: str) -> list[str] | None:
    """The arguments of depthprobe in a command line, also behind torchrun; None where it runs something else."""
    words = shlex.split(line.replace("\\\n", " "), comments=True)
    while words and "=" in words[0]:
        words = words[1:]
    if words[:1] == ["torchrun"] or words[:2] == ["srun", "torchrun"]:
        assert words[words.index("-m") + 1] == "depthprobe", line
        return words[words.index("-m") + 2 :]
    return words[1:] if words[:1] == ["depthprobe"] else None


def parsed(arguments: list[str]) -> typer.Context:
    """The context that the real parser makes of arguments; raises click's error for one that is unknown."""
    command, words = typer.main.get_command(app), list(arguments)
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"no command {words[:1]} among {sorted(command.commands)}"
        command, words = command.commands[words[0]], words[1:]
    return command.make_context(arguments[0], words)


def check_other(line: str, page: list[Block]) -> None:
    """Check a command line that is none of depthprobe: what it names has to be there."""
    words = shlex.split(line, comments=True)
    if words[0] == "make":
        makefile = (ROOT / "Makefile").read_text()
        assert not [t for t in words[1:] if not re.search(rf"^{t}:", makefile, re.MULTILINE)], line
    elif words[:4] == ["python", "-m", "pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(re.findall(r"\w+", words[-1])) <= set(extras), line
    elif words[:2] == ["python", "-m"]:
        assert (ROOT / f"{words[2].replace('.', '/')}.py").is_file(), line
    elif words[0] in ("python", ".venv/bin/python"):
        source = (ROOT / words[1]).read_text()
        assert [o for o in words[2:] if o.startswith("--") and f'"{o}"' not in source] == [], line
    else:
        assert words[0] in ("sbatch", "kubectl"), f"{line}: nothing here says what that is"
        assert words[-1] in {block.title for block in page}, line
