"""What a section of the page is made of; the templates draw exactly these."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from depthprobe.report.tables import HtmlTable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence of the verdict; its numbers come from a frame. `section` is where the evidence stands."""

    lead: str
    text: str
    section: str
    undecided: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Note:
    """Says what is missing and how to get it."""

    text: str
    kind: str = "note"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heading:
    """A sub-section with its own sentence of finding."""

    text: str
    finding: str = ""
    kind: str = "heading"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiples:
    """Small multiples that share axes, legend, caption and CSV. `panels`: (title, svg); `legend`: (line, name)."""

    panels: Sequence[tuple[str, Markup]]
    legend: Sequence[tuple[Markup, str]]
    caption: str
    csv: str
    filename: str
    kind: str = "multiples"


@dataclasses.dataclass(frozen=True, kw_only=True)
class More:
    """Blocks behind a summary that opens."""

    summary: str
    blocks: Sequence[Any]
    kind: str = "more"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """A sortable table."""

    table: HtmlTable
    kind: str = "table"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gallery:
    """Rows of pictures and the rule that chose them."""

    rule: str
    rows: Sequence[dict[str, Any]]
    kind: str = "gallery"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slider:
    """The budget slider, on the screen alone; `json` is the payload that the script reads."""

    title: str
    rule: str
    caption: str
    json: Markup
    depth_bar: str
    error_bar: str
    kind: str = "slider"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Code:
    """A command or file, word for word."""

    title: str
    text: str
    kind: str = "code"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Points:
    """Several sentences of finding, one below the other."""

    findings: Sequence[Finding]
    kind: str = "points"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What a reader looks up: (name, value) pairs."""

    facts: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
    """A section: a question, a sentence of finding, what shows it, how to read it and how it was measured."""

    id: str
    title: str
    question: str = ""
    finding: str = ""
    blocks: Sequence[Any] = ()
    read: str = ""
    measured: Sequence[tuple[str, str]] = ()
