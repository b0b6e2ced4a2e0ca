"""The page and the JSON beside it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from depthprobe.report import accuracy, against, blocks, conduct, head, others, portrait, sparse, traits, verdict
from depthprobe.report.estimates import Options
from depthprobe.report.source import Source, read_source
from depthprobe.schema import write_atomic

MAX_BYTES = 10_000_000
FORMAT, FORMAT_VERSION = "depthprobe-report", 1


def write_report(out: str | Path, *, title: str | None = None, n_boot: int = 10_000, seed: int = 0) -> Path:
    """Write `out/report.html` (one self-contained page) and `out/report.json` from the run in the folder `out`.

    Convention: where an `audit.json` names a subject, the page is an audit of it, beside its references. It loads
    nothing, stays below 10 MB and is the same, byte for byte, for the same run; every number on it comes from the table
    through `stats`, with intervals from `n_boot` resamples of whole groups.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: if there is no table in `out`, with what to run.
        ValueError: if the table breaks the schema, or `audit.json` does not fit it.
    """
    out = Path(out)
    source, options = read_source(out), Options(n_boot=n_boot, seed=seed)
    plans, led = sparse.estimated(source, options), traits.every(source, options)
    made = [accuracy.section(source, led.get("error", []), options), sparse.section(source, plans),
            *others.sections(source, led, options)]  # fmt: skip
    first, last = [head.networks(source)], [head.provenance(source)]
    findings = [finding for _, found, _ in made for finding in found]
    warned = head.warnings(source)
    if source.audit:
        findings = verdict.lines(source, led, next(iter(plans.values()), None), options)
        warned = [*conduct.warnings(source, options), *warned]
        made.append(against.section(source, led, options))
        first.insert(0, portrait.section(source, next(iter(plans.values()), None)))
    context: dict[str, Any] = {
        "title": title or head.title(source), "head": head.summary(source), "facts": head.facts(source),
        "warnings": warned, "findings": findings, "sections": [*first, *(section for section, _, _ in made), *last],
    }  # fmt: skip
    page = render(context)
    if len(page.encode()) > MAX_BYTES:
        page = render({**context, "sections": [_without_slider(section) for section in context["sections"]]})
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
    """Whose audit it is, warnings, findings and every frame behind the page, for other programs; NaN as null.

    Convention: `version` is the package's, `format_version` that of this file's form.
    """
    stated: list[blocks.Finding] = context["findings"]
    body = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "audit": dataclasses.asdict(source.audit) if source.audit else None,
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
