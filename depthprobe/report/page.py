"""The page and the JSON beside it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from depthprobe.report import accuracy, blocks, head, others, sparse
from depthprobe.report.estimates import Options
from depthprobe.report.source import Source, read_source
from depthprobe.schema import write_atomic

MAX_BYTES = 10_000_000


def write_report(out: str | Path, *, title: str | None = None, n_boot: int = 10_000, seed: int = 0) -> Path:
    """Write `out/report.html` (one self-contained page) and `out/report.json` from the run in the folder `out`.

    Convention: the page loads nothing, stays below 10 MB and is the same, byte for byte, for the same run; every number
    on it comes from the table through `stats`, with intervals from `n_boot` resamples of whole groups.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: if there is no table in `out`, with what to run.
        ValueError: if the table breaks the schema.
    """
    out = Path(out)
    source, options = read_source(out), Options(n_boot=n_boot, seed=seed)
    made = [accuracy.section(source, options), sparse.section(source, options), *others.sections(source, options)]
    sections = [head.networks(source), *(section for section, _, _ in made), head.provenance(source)]
    findings = [finding for _, found, _ in made for finding in found]
    context = {
        "title": title or f"{' and '.join(sorted(set(source.models['model'])))} on {source.table['dataset'].iloc[0]}",
        "head": head.summary(source), "warnings": head.warnings(source), "findings": findings, "sections": sections,
    }  # fmt: skip
    page = render(context)
    if len(page.encode()) > MAX_BYTES:
        page = render({**context, "sections": [_without_slider(section) for section in sections]})
    frames = {name: frame for _, _, found in made for name, frame in found.items()}
    write_atomic(out / "report.json", _json(context, frames, source, options).encode())
    write_atomic(out / "report.html", page.encode())
    return out / "report.html"


def _without_slider(section: blocks.Section) -> blocks.Section:
    note = blocks.Note(text="The budget slider is left out: with it the page would be larger than 10 MB.")
    return dataclasses.replace(section, blocks=[note if b.kind == "slider" else b for b in section.blocks])


def render(context: dict[str, Any]) -> str:
    """The page's HTML; every value is escaped unless it is Markup made here."""
    loader = PackageLoader("depthprobe.report", "templates")
    env = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    parts = {
        name: Markup(loader.get_source(env, file)[0])
        for name, file in (("style", "style.css"), ("script", "script.js"))
    }
    return env.get_template("report.html").render(**context, **parts)


def _json(context: dict[str, Any], frames: dict[str, pd.DataFrame], source: Source, options: Options) -> str:
    """Findings and every frame behind the page, for other programs; NaN and infinity as null."""
    stated: list[blocks.Finding] = context["findings"]
    body = {
        "title": context["title"],
        "summary": context["head"]["summary"],
        "version": context["head"]["version"],
        "warnings": context["warnings"],
        "findings": [{"lead": f.lead, "text": f.text, "undecided": f.undecided, "section": f.section} for f in stated],
        "resamples": options.n_boot,
        "seed": options.seed,
        "sidecar": source.side,
        "frames": {
            name: json.loads(frame.to_json(orient="records", double_precision=12)) for name, frame in frames.items()
        },
    }
    return json.dumps(body, indent=1, sort_keys=True)
