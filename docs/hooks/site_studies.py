"""Notebooks as pages: their text and code, and the figures that a study has drawn in place of what a cell shows."""

import ast
import json
import re
from pathlib import Path

HEAD = """# Studies

Questions put to the [zoo](../start.md#the-zoo) with these probes. Each is one command that measures and draws, and one
notebook that reads like an article; the pages here are those notebooks, with the figures as the command has drawn them.
Under every figure is the frame that it draws. A negative or undecided answer is an answer.
"""
FIGURES = (".png", ".csv")
VERDICT = 'study["verdict"]'  # the cell that prints the answer in sentences
STEM = re.compile(r"[\"'](a\d\d_\w+)[\"']")
COMMAND = re.compile(r"^Command: (python -m analyses\.\w+(?: -\S+(?: [A-Z]\S*)?)*)", re.MULTILINE)


def study_pages(root: Path) -> dict[str, str]:
    """The pages of all notebooks by their place in the site, and a page that lists them."""
    pages = {f"{path.stem}.md": study_page(path, root) for path in sorted((root / "notebooks").glob("*.ipynb"))}
    titles = {name: text.partition("\n")[0].removeprefix("# ") for name, text in pages.items()}
    listed = "\n".join(f"{number}. [{titles[name]}]({name})" for number, name in enumerate(titles, 1))
    return {"studies/index.md": f"{HEAD}\n{listed}\n", **{f"studies/{name}": text for name, text in pages.items()}}


def study_page(path: Path, root: Path) -> str:
    """A notebook as Markdown, with the figures of its study."""
    script = next((root / "analyses").glob(f"a{path.stem[:2]}_*.py"))
    drawn = sorted(p.stem for p in (root / "figures").glob(f"{script.stem[:3]}_*.png"))
    parts, shown = [], set[str]()
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"]).strip()
        if cell["cell_type"] == "markdown":
            parts.append(text)
        elif text:
            mine = [stem for stem in drawn if stem not in shown and _shows(text, stem)]
            shown.update(mine)
            parts += [_folded(text), *map(figure, mine)]
            parts += [_printed(script)] if VERDICT in text else []
    title, *body = parts
    left = [figure(stem) for stem in drawn if stem not in shown]
    rest = ["## More figures", *left] if left else []
    none = [] if drawn else ["!!! note\n    No figure of this study is committed yet; its command draws them."]
    return "\n\n".join([title, _how(script), *none, *body, *rest]) + "\n"


def figure(stem: str) -> str:
    """A figure with a link to its data."""
    words = stem.partition("_")[2].replace("_", " ")
    return f"![{words}](figures/{stem}.png){{ loading=lazy }}\n\n[{stem}.csv](figures/{stem}.csv): the frame it draws."


def _folded(code: str) -> str:
    """A cell of code, shut: a study reads like an article."""
    lines = "\n".join(f"    {line}".rstrip() for line in f"```python\n{code}\n```".splitlines())
    return f'??? note "Code"\n{lines}'


def _printed(script: Path) -> str:
    """What stands for the sentences that a study prints: notebooks are committed without outputs."""
    return (
        f"The sentences are printed by `{_command(script)}`, or by this notebook; none is kept here, where it could "
        "grow older than the code. The headline of every figure above is computed from the frame below it."
    )


def _shows(code: str, stem: str) -> bool:
    """Whether a cell shows a figure: it names it, or the beginning of its name."""
    return "Image" in code and any(stem == found or stem.startswith(f"{found}_") for found in STEM.findall(code))


def _how(script: Path) -> str:
    """The question and the command, from the docstring of the study."""
    return f'!!! abstract "{_doc(script).partition(chr(10))[0]}"\n    Measured and drawn by `{_command(script)}`.'


def _command(script: Path) -> str:
    found = COMMAND.search(_doc(script))
    return found[1] if found else f"python -m analyses.{script.stem}"


def _doc(script: Path) -> str:
    return ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
