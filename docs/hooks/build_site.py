"""What mkdocs calls while it builds the site: pages that are made, markers that are filled in, formulas.

A line `{{ name argument ... }}` in a page stands for what a function in MARKERS makes of the arguments: a table out of
a registry, the source of a test. So nothing that the code knows is written down a second time.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from site_commands import command_page
from site_math import with_mathml
from site_registry import MARKERS
from site_studies import FIGURES, study_pages

ROOT = Path(__file__).parents[2]
MARKER = re.compile(r"^\{\{ (\w+)((?: [^\s}]+)*) \}\}$", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the studies, one page for each notebook, under their heading."""
    for entry in config.nav or []:
        if "Studies" in entry:
            entry["Studies"] = ["studies/index.md", *(page for page in study_pages(ROOT) if "index" not in page)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made from code and notebooks, and the figures that they show."""
    pages = {**study_pages(ROOT), "reference/cli.md": command_page()}
    for name, text in pages.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "figures").glob("*")):
        if path.suffix in FIGURES:
            files.append(File.generated(config, f"studies/figures/{path.name}", abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in the markers of a page."""
    return expand(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Turn the formulas of a page into MathML."""
    return with_mathml(html, page.file.src_uri)


def expand(markdown: str, name: str) -> str:
    """A page with its markers filled in.

    Raises:
        PluginError: if a marker is not known or does not fit.
    """

    def fill(found: re.Match[str]) -> str:
        marker, arguments = found[1], found[2].split()
        if marker not in MARKERS:
            raise PluginError(f"{name}: expected a marker to be one of {sorted(MARKERS)}, but got {found[0]!r}.")
        try:
            return MARKERS[marker](*arguments)
        except (LookupError, OSError, TypeError, ValueError) as error:
            raise PluginError(f"{name}: {found[0]} does not work: {error}") from error

    return MARKER.sub(fill, markdown)
