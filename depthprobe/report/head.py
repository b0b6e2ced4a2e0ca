"""The head of the page: what was measured, the warnings that come first, and where everything came from."""

import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

import depthprobe
from depthprobe.report import blocks, tables, text
from depthprobe.report.many import MOST
from depthprobe.report.source import NOT_RECORDED, Source, flat

RECIPE = ("dataset", "steps", "batch_size", "lr", "loss")  # the fields of a training that the head names
CARD_FACTS = ("output", "parameters")
SCORES = ("abs_rel", "rmse", "delta1")
FEW, DECIDING = 20, 6  # groups: few; so many that sign flips can reach p <= 0.05


def title(source: Source) -> str:
    """What the page is called."""
    data = text.listed(map(text.isolated, sorted(source.table["dataset"].unique())))
    if source.subject:
        return f"Audit of {text.isolated(source.subject)} on {data}"
    names = sorted(set(source.models["model"]))
    few = text.listed(map(text.isolated, names)) if len(names) <= MOST else f"{len(names)} networks"
    return f"{few} on {data}"


def facts(source: Source) -> list[tuple[str, str]]:
    """Who is audited, on what, under which protocol, by which versions; [] where the page is no audit."""
    if source.audit is None:
        return []
    subject, card = source.audit.subject, cards(source)[source.audit.subject]
    rows = source.table[source.table["model"] == subject]
    count = [text.counted(rows[c].nunique(), c) for c in ("sample", "group")]
    digest = (source.side.get("dataset") or {}).get("facts", {}).get("digest")
    data = f"{text.listed(sorted(rows['dataset'].unique()))}: {' in '.join(count)}"
    parameters = card.get("parameters")
    versions = source.side.get("versions") or {}
    known = [("depthprobe", source.side.get("version")), *((n, versions.get(n)) for n in ("torch", "timm"))]
    said = [
        ("Network", f"{text.isolated(subject)} (weights {text.listed(sorted(rows['tag'].unique()))})"),
        ("Family", text.listed(sorted(rows["family"].unique()))),
        ("Parameters", f"{parameters:,}" if isinstance(parameters, int) else NOT_RECORDED),
        ("Declared output", str(_fact(card.get("output"))).replace("_", " ")),
        ("Reads images of", reads(card)),
        ("Data", f"{data}{f', digest {digest}' if digest else ''}"),
        ("Protocol", protocol_name(source)),
        ("References", _references(source.references)),
        ("Versions", text.listed(f"{n} {v}" for n, v in known if v) if any(v for _, v in known) else NOT_RECORDED),
        ("Measured", "quick: few samples and settings" if source.audit.quick else "in full"),
    ]
    return [*said, *_training(source.audit.training)]


def _references(names: list[str]) -> str:
    return text.listed(map(text.isolated, names)) if len(names) <= 2 * MOST else f"{len(names)}, named under Networks"


def _training(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """By what recipe the audited network was trained here, where it was."""
    if not training:
        return []
    recipe, scores, seconds = training.get("recipe") or {}, training.get("scores") or {}, training.get("seconds")
    said = [f"in {text.number(float(seconds))} s"] if isinstance(seconds, int | float) else []
    said += [f"{field.replace('_', ' ')} {recipe[field]}" for field in RECIPE if field in recipe]
    judged = [f"{name} {text.number(float(value))}" for name, value in told(scores).items()]
    said += [f"then {text.listed(judged)} in validation"] if judged else []
    return [("Trained here", f"{', '.join(said)}; the whole recipe is under Provenance")]


def told(scores: Mapping[str, Any]) -> dict[str, Any]:
    """Of a training's scores the few that are told; all where it has others."""
    few = {name: scores[name] for name in SCORES if name in scores}
    return few or dict(scores)


def summary(source: Source) -> dict[str, str]:
    """One line that says what the page is about."""
    table, models = source.table, source.models
    data = text.listed(sorted(table["dataset"].unique()))
    counts = [("network", models["model"]), ("sample", table["sample"]), ("group", table["group"])]
    networks, samples, groups = (text.counted(column.nunique(), noun) for noun, column in counts)
    tool = f"depthprobe {source.side.get('version', NOT_RECORDED)}, commit {source.side.get('commit') or NOT_RECORDED}"
    line = f"{networks} on {samples} in {groups} of {data}; protocol {protocol_name(source)}; measured with {tool}."
    return {"summary": line, "version": depthprobe.__version__}


def protocol_name(source: Source) -> str:
    """Names and hashes of the evaluation protocols, as far as the sidecar says them."""
    stored = [p for p in source.side.get("protocols") or [] if isinstance(p, Mapping)]
    return text.listed(f"{p.get('name')} ({p.get('hash', NOT_RECORDED)})" for p in stored) if stored else NOT_RECORDED


def cards(source: Source) -> dict[str, Mapping[str, Any]]:
    """Model -> its card in the sidecar ({} where none is recorded)."""
    stored = [card for card in source.side.get("models") or [] if isinstance(card, Mapping)]
    named = {str(card.get("name")): card for card in stored}
    named |= {f"{card.get('name')}.{card.get('tag')}": card for card in stored}
    return {m: named.get(m, {}) for m in source.models["model"]}


def alignments(source: Source) -> dict[str, str]:
    """Model -> the alignment that its kind has under the protocol; without those of which it is not known."""
    found: dict[str, set[str]] = {}
    for protocol in source.side.get("protocols") or []:
        for kind, method in (protocol.get("alignment") or []) if isinstance(protocol, Mapping) else []:
            found.setdefault(str(kind), set()).add(str(method))
    kinds = {model: str(card.get("output")) for model, card in cards(source).items()}
    return {model: next(iter(found[kind])) for model, kind in kinds.items() if len(found.get(kind, ())) == 1}


def networks(source: Source) -> blocks.Section:
    """Who was measured: model, weights, family and what its card declares."""
    frame, card = source.led(source.models), cards(source)
    for fact in CARD_FACTS:
        frame[fact] = [_fact(card[m].get(fact)) for m in frame["model"]]
    frame["size"] = [reads(card[m]) for m in frame["model"]]
    labels = {"model": "model", "tag": "weights", "family": "family", "output": "declared output",
              "parameters": "parameters", "size": "input size", "samples": "samples"}  # fmt: skip
    cells = {label: tables.plain(frame[c].tolist()) for c, label in labels.items()}
    table = tables.html_table(frame, cells, caption="The networks measured.", filename="networks.csv")
    return blocks.Section(id="networks", title="Networks", blocks=[blocks.Table(table=table)])


def _fact(value: Any) -> Any:
    return NOT_RECORDED if value is None else value


def reads(card: Mapping[str, Any]) -> str:
    """At what size a network reads an image, height first."""
    reading = card.get("reading") or {}
    size, multiple = card.get("size") or reading.get("size"), reading.get("multiple", card.get("multiple"))
    if size:
        about = "" if reading.get("aspect", "stretch") == "stretch" else "about "
        return f"{about}{size[0]} × {size[1]} px{', keeping the aspect' if about else ''}"
    if multiple is None:
        return NOT_RECORDED
    return "any size" if multiple == 1 else f"any size, to a multiple of {multiple:g}"


def warnings(source: Source) -> list[str]:
    """What a reader has to know before any number, in words."""
    return [w for w in (*_data_warnings(source), *_claim_warnings(source)) if w]


def _data_warnings(source: Source) -> list[str]:
    table, out = source.table, []
    undefined = table[table["value"].isna()]
    if len(undefined):
        per = undefined.groupby(["probe", "metric"]).size().sort_values(ascending=False, kind="stable")
        shown = text.listed(f"{n:,} of {probe} {metric}" for (probe, metric), n in per.head(6).items())
        out.append(
            f"{len(undefined):,} of {text.counted(len(table), 'measurement')} "
            f"({text.percent(len(undefined) / len(table))}) {'is' if len(undefined) == 1 else 'are'} undefined (NaN) "
            f"and left out of the means: {shown}{' and others' if len(per) > 6 else ''}."
        )
    out += _failures(table)
    skipped = source.side.get("skipped") or {}
    if skipped:
        first = next(iter(skipped.items())) if isinstance(skipped, Mapping) else ("", str(skipped[0]))
        out.append(f"{text.counted(len(skipped), 'sample')} could not be read and {_were(len(skipped))} left out, "
                   f"e.g. {first[0]}: {first[1]}")  # fmt: skip
    if source.broken:
        out.append(
            f"{text.counted(len(source.broken), 'stored map')} could not be read: {text.listed(source.broken[:3])}."
        )
    if (groups := table["group"].nunique()) == 1:
        out.append("Only 1 independent group: nothing has an interval, and no difference can be called one.")
    elif groups < FEW:
        none = " No difference can be called one with fewer than 6." if groups < DECIDING else ""
        out.append(f"Only {groups} independent groups: intervals are wide, and cover as they say where the means of "
                   f"groups are about normal.{none}")  # fmt: skip
    if (states := len(set(source.side.get("code") or []) - {""})) > 1:
        out.append(
            f"The code that measures changed between parts of this table ({states} states of it), so that numbers may "
            "not be comparable; measure anew with --no-resume."
        )
    if unknown := source.side.get("code_not_recorded"):
        out.append(
            f"By what state of the code {text.counted(unknown, 'part')} of this table {_were(unknown)} measured is not "
            "recorded, so that numbers may not be comparable; measure anew with --no-resume."
        )
    if source.side.get("status", "complete") != "complete":
        out.append("The run is not complete: start it again to measure the rest, then write this page anew.")
    if not source.side:
        out.append("The run's table.json is missing: plan, protocol, versions and commit are not known here.")
    return out


def _failures(table: pd.DataFrame) -> list[str]:
    """Networks that put out NaN, or depth of 0 or less: their errors rest on a stand-in."""
    return [
        f"{model} gives {what} for {text.percent(value)} of the judged pixels; they are judged as the nearest depth of "
        "the protocol."
        for metric, what in (("failed", "no number (NaN)"), ("nonpositive", "zero or negative depth"))
        for model, value in table[table["metric"] == metric].groupby("model")["value"].mean().items()
        if value > 0
    ]


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _claim_warnings(source: Source) -> list[str]:
    models, out = source.models, []
    if raw := models[models["tag"] == "random"]["model"].tolist():
        out.append(f"{text.listed(raw)}: random weights, never trained; the numbers say nothing about a trained one.")
    families = models[models["family"] != "oracle"].groupby("family")["model"].nunique()
    if source.audit is None and len(families) > 1 and families.min() < 3:
        counts = text.listed(f"{n} {family}" for family, n in families.items())
        out.append(
            f"This run compares single networks ({counts}). A difference between them proves nothing about their "
            "families: that needs several architectures and training seeds of each."
        )
    if len(source.probe("sparse")):
        fills = [f for f in source.probe("sparse")["factor2"].unique() if f]
        one = f"Only one fill ({fills[0]}) was measured, so no conclusion below is safe." if len(fills) == 1 else (
            "Trust only what holds under every fill.")  # fmt: skip
        out.append(f"An image with removed pixels is unlike anything the networks were trained on. {one}")
    if source.table["dataset"].str.contains("scenes").any():
        out.append("The scenes are synthetic; what holds there need not hold on photographs.")
    return out


def _command(command: Any) -> str:
    return shlex.join(map(str, command)) if isinstance(command, list | tuple) else str(command)


def provenance(source: Source) -> blocks.Section:
    """How to repeat the run, and every version that it came from."""
    side = source.side
    content: list[Any] = []
    if (command := side.get("command")) and source.audit:
        content.append(blocks.Code(title="Repeat this audit", text=_command(command)))
    if source.study:
        content.append(blocks.Code(title="Repeat this run", text="depthprobe run study.toml"))
        study = blocks.Code(title="study.toml", text=source.study.rstrip())
        content.append(blocks.More(summary="The study file", blocks=[study]))
    else:
        content.append(
            blocks.Note(text="There is no study.toml beside the table, so the command to repeat it is unknown.")
        )
    table = source.table
    facts = [("rows", f"{len(table):,}"), ("samples", f"{table['sample'].nunique():,}"),
             ("groups", f"{table['group'].nunique():,}"),
             ("seeds", ", ".join(map(str, sorted(table["seed"].unique()))))]  # fmt: skip
    known = ("version", "schema_version", "command", "commit", "device", "python", "platform", "versions", "dataset")
    facts += flat({k: side[k] for k in known if k in side})
    facts += flat({"training": source.audit.training}) if source.audit and source.audit.training else []
    facts += [(name, NOT_RECORDED) for name in ("commit", "versions") if not side.get(name)]
    facts += [(f"seconds, {s['probe']}, {s['model']}", str(s["seconds"])) for s in side.get("seconds") or []]
    frame = pd.DataFrame(facts, columns=["fact", "value"])
    cells = {"fact": tables.plain(frame["fact"].tolist()), "value": tables.plain(frame["value"].tolist())}
    stated = tables.html_table(frame, cells, caption="What the numbers came from.", filename="provenance.csv")
    content.append(blocks.Table(table=stated))
    return blocks.Section(id="provenance", title="Provenance", blocks=content)
