"""Flags as the fields of a study."""

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depthprobe.functional.protocol import Protocol
from depthprobe.probes import PROBES
from depthprobe.study import check_keys, dataset_options


def dataset(
    base: Mapping[str, Any], name: str | None, flags: Mapping[str, Any], extra: Sequence[str]
) -> dict[str, Any]:
    """The data set's table: that of the file, unless another data set is named, with the flags over it.

    Raises:
        ValueError: if the data set has no such option.
    """
    table = dict(base) if name in (None, base.get("name")) else {"name": name}
    given = {k: str(v) if isinstance(v, Path) else v for k, v in flags.items() if v is not None}
    given |= dict(map(assignment, extra))
    if "size" in given:
        given["size"] = parse_size(str(given["size"]))
    check_keys(f"options of data set `{table['name']}`", given, dataset_options(str(table["name"])))
    return {**table, **given}


def parse_size(text: str) -> list[int]:
    """`96x128` -> [96, 128] (height, width).

    Raises:
        ValueError: if the text is something else.
    """
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) for p in parts):
        raise ValueError(f"Expected `--size` to be HEIGHTxWIDTH, e.g. 96x128, but got {text!r}.")
    return [int(p) for p in parts]


def assignment(text: str) -> tuple[str, Any]:
    """`name=value` with the value as TOML (bare words are text).

    Raises:
        ValueError: if there is no `=`.
    """
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise ValueError(f"Expected NAME=VALUE, but got {text!r}.")
    try:
        return name.strip(), tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        return name.strip(), value.strip()


def plan_fields(probe: str) -> list[str]:
    """The options of a probe's plan."""
    make = PROBES.facts(probe)["plan"]
    return [f.name for f in dataclasses.fields(make)]


def plans(
    base: Mapping[str, Any], probes: Sequence[str], shared: Mapping[str, Any], options: Sequence[str]
) -> dict[str, Any]:
    """The plans' tables with flags over them: `shared` ones go to every probe that has the field.

    Convention: None or an empty list is a flag that was not given; an empty tuple empties the field where there is one.

    Raises:
        ValueError: if no probe of the run has the field, or an option names no probe of the run.
    """
    changes: dict[str, dict[str, Any]] = {probe: {} for probe in probes}
    for field, value in ((k, v) for k, v in shared.items() if v or v == ()):
        takers = [probe for probe in probes if field in plan_fields(probe)]
        if value and not takers:
            raise ValueError(f"Expected a probe whose plan has `{field}`, but got {list(probes)}; add one by --probe.")
        for probe in takers:
            changes[probe][field] = list(value)
    for text in options:
        (path, value) = assignment(text)
        probe, _, field = path.partition(".")
        if probe not in changes or not field:
            raise ValueError(f"Expected --set PROBE.OPTION=VALUE with a probe of {list(probes)}, but got {text!r}.")
        changes[probe][field] = value
    tables = {probe: [dict(t) for t in as_tables(base.get(probe, {}))] for probe in probes}
    merged = {probe: [{**t, **changes[probe]} for t in many] for probe, many in tables.items()}
    return {probe: many for probe, many in merged.items() if many != [{}]}


def as_tables(value: Any) -> list[Mapping[str, Any]]:
    """One table or several, as a list."""
    return [value] if isinstance(value, Mapping) else list(value)


def reopened(tables: Mapping[str, Any], protocols: bool, seeds: bool) -> dict[str, Any]:
    """The tables without their own protocol or seed, so that those given by flags take their place."""
    out = {}
    for probe, many in tables.items():
        judged = PROBES.facts(probe)["plan"] is Protocol
        dropped = ({"name"} if judged else {"protocol"}) if protocols else set()
        dropped |= {"seed"} if seeds else set()
        kept = [{k: v for k, v in table.items() if k not in dropped} for table in as_tables(many)]
        out[probe] = [t for i, t in enumerate(kept) if t not in kept[:i]]
    return out
