"""The description of a run: models, probes with their plans, data; read from and written to TOML."""

import dataclasses
import inspect
import itertools
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from depthprobe.checks import check_kind, check_range
from depthprobe.data import DATASETS, Dataset, load_dataset
from depthprobe.functional.protocol import PROTOCOLS, Protocol, get_protocol
from depthprobe.probes import PROBES

Plans = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """What to run. `protocols` empty: the data set's own; `plan`: options by probe, one table or several.

    `limits`: by probe on how many samples it is measured, evenly spread; the others on all.

    A plan's table that names its own `seed` or `protocol` keeps it; otherwise every plan is run with every one of
    `seeds` and `protocols`.
    """

    models: tuple[str, ...]
    probes: tuple[str, ...] = ("error",)
    dataset: Mapping[str, Any] = dataclasses.field(default_factory=lambda: {"name": "scenes"})
    protocols: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    plan: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    limits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    out: str = "out/run"
    device: str = "auto"
    maps: int = 3

    def __post_init__(self) -> None:
        _check_fields({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        for name in ("models", "probes", "seeds"):
            if not getattr(self, name):
                raise ValueError(f"Expected `{name}` to name at least one, but got none.")
        for probe in (*self.probes, *self.plan):
            PROBES.facts(probe)
        if unused := sorted(set(self.plan) - set(self.probes)):
            raise ValueError(f"Expected `plan` to set options of the probes {list(self.probes)}, but got {unused}.")
        if unused := sorted(set(self.limits) - set(self.probes)):
            raise ValueError(f"Expected `limits` to name some of the probes {list(self.probes)}, but got {unused}.")
        for probe, limit in self.limits.items():
            check_range(f"limits.{probe}", limit, 1, float("inf"))


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Raise ValueError, naming the field, unless each is of its kind: `models = "a"` is TOML as well as a list is."""
    listed = {"models": (str, "text such as ['zoo:pvt']"), "probes": (str, "text such as ['error']"),
              "protocols": (str, "text such as ['scenes']"), "seeds": (int, "whole numbers such as [0]")}  # fmt: skip
    for name, (kind, what) in listed.items():
        value = fields[name]
        if not isinstance(value, tuple | list) or not all(type(one) is kind for one in value):
            raise ValueError(f"Expected `{name}` to be a list of {what}, but got {_shown(value)}.")
    single = {"dataset": (Mapping, "a table"), "plan": (Mapping, "a table"),
              "limits": (Mapping, "a table"), "out": (str, "text"),
              "device": (str, "text"), "maps": (int, "a whole number")}  # fmt: skip
    for name, (kind, what) in single.items():
        if not isinstance(fields[name], kind):
            raise ValueError(f"Expected `{name}` to be {what}, but got {_shown(fields[name])}.")
    for probe, tables in fields["plan"].items():
        many = [tables] if isinstance(tables, Mapping) else tables
        if not isinstance(many, tuple | list) or not all(isinstance(one, Mapping) for one in many):
            raise ValueError(f"Expected `plan.{probe}` to be a table or several, but got {_shown(tables)}.")


def _shown(value: Any) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)


def read_study(path: str | Path, **changes: Any) -> Study:
    """The study that a TOML file describes, with some fields replaced.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no TOML, or has a key that is not known (lists the known).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected a study (TOML) at {path}, but found none; describe the run by flags instead."
        )
    try:
        found = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"Expected {path} to be TOML, but {error}.") from error
    known = [f.name for f in dataclasses.fields(Study)]
    check_keys(f"keys of {path.name}", found, known)
    if isinstance(found.get("dataset"), str):
        found["dataset"] = {"name": found["dataset"]}
    merged = {**found, **changes}
    if "models" not in merged:
        raise ValueError(f'Expected {path.name} to name its models, e.g. models = ["zoo:convnext"], but it names none.')
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in merged.items()}
    return Study(**fields)


def check_keys(what: str, found: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raise ValueError unless every key is known, naming those that are."""
    if unknown := [key for key in found if key not in known]:
        raise ValueError(f"Expected {what} to be among {sorted(known)}, but got {unknown}.")


def open_dataset(study: Study) -> Dataset:
    """The study's data set.

    Raises:
        ValueError: if the data set is unknown, has no such option (lists those it has), or it is of the wrong kind.
    """
    options = dict(study.dataset)
    name = str(options.pop("name", "scenes"))
    check_keys(f"options of data set `{name}`", options, dataset_options(name))
    given, kinds = {key: _tuples(value) for key, value in options.items()}, get_type_hints(DATASETS[name])
    for key, value in given.items():
        check_kind(f"`{key}` of data set `{name}`", value, kinds[key])
    return load_dataset(name, **given)


def dataset_options(name: str) -> list[str]:
    """The keywords that a registered data set takes."""
    return list(inspect.signature(DATASETS[name]).parameters)


def make_plans(study: Study, protocol: str) -> dict[str, list[Any]]:
    """Every plan of the study by probe: each table of options with each protocol and seed that it leaves open.

    Raises:
        ValueError: if an option is unknown to the probe's plan or of the wrong kind.
    """
    plans: dict[str, list[Any]] = {}
    for probe in study.probes:
        tables = study.plan.get(probe, {})
        tables = [tables] if isinstance(tables, Mapping) else list(tables)
        protocols = study.protocols or (protocol,)
        made = [plan for table in tables for plan in probe_plans(probe, table, protocols, study.seeds)]
        plans[probe] = list(dict.fromkeys(made))
    return plans


def probe_plans(
    probe: str, table: Mapping[str, Any], protocols: Sequence[str], seeds: Sequence[int] = (0,)
) -> list[Any]:
    """The plans of one probe: its defaults with the options of `table`, for every protocol and seed left open there."""
    make = PROBES.facts(probe)["plan"]
    default = None if make is Protocol else make()
    if default is None:
        bases = [_preset(name, table) for name in ([table["name"]] if "name" in table else protocols)]
    elif hasattr(default, "protocol") and "protocol" not in table:
        bases = [dataclasses.replace(default, protocol=get_protocol(name)) for name in protocols]
    else:
        bases = [default]
    plans = [set_options(base, table, f"plan.{probe}") for base in bases]
    if "seed" in table:
        return plans
    return [dataclasses.replace(p, seed=seed) for p, seed in itertools.product(plans, seeds)]


def _preset(name: str, table: Mapping[str, Any]) -> Protocol:
    """The protocol that a table changes: the one of its name; where the table has all fields, none has to be known."""
    whole = set(_names(Protocol)) - {"seed"} <= set(table)
    return Protocol(name=name) if whole and name not in PROTOCOLS else get_protocol(name)


def judged_by(plan: Any) -> Protocol | None:
    """The protocol that a plan is, holds or names; None where it judges nothing."""
    named = plan if isinstance(plan, Protocol) else getattr(plan, "protocol", None)
    return get_protocol(named) if isinstance(named, str) else named if isinstance(named, Protocol) else None


def quick_plan(probe: str, protocol: str = "scenes") -> Any:
    """A cheap plan of a probe, for demos and tests: its defaults with the `quick` options of its registration."""
    return probe_plans(probe, PROBES.facts(probe).get("quick", {}), (protocol,))[0]


def set_options(plan: Any, options: Mapping[str, Any], where: str) -> Any:
    """A plan with some fields replaced by values as TOML gives them (lists for tuples, "none" for None).

    Raises:
        ValueError: naming the unknown field and the known, or the field whose kind is wrong.
    """
    fields = {f.name: f for f in dataclasses.fields(plan)}
    check_keys(f"options of [{where}]", options, list(fields))
    values = {k: _as_field(v, getattr(plan, k), str(fields[k].type), f"{where}.{k}") for k, v in options.items()}
    return dataclasses.replace(plan, **values)


def _as_field(value: Any, default: Any, kind: str, where: str) -> Any:
    if isinstance(default, Protocol):
        name = value if isinstance(value, str) else value.get("name", default.name)
        table = {} if isinstance(value, str) else value
        return set_options(_preset(name, table), table, where)
    if value == "none" and "None" in kind:
        return None
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(default, Mapping) and isinstance(value, Mapping):
        return {**default, **value}
    value = _tuples(value)
    if default is not None and value is not None and "None" not in kind:
        want = type(default)
        if not isinstance(value, want) or (want is int and isinstance(value, bool)):
            name = "list" if want is tuple else want.__name__
            raise ValueError(f"Expected `{where}` to be a {name} such as {default!r}, but got {value!r}.")
    return value


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def describe(
    models: Sequence[str], plans: Mapping[str, Sequence[Any]], dataset: Dataset, *, out: str, maps: int,
    limits: Mapping[str, int] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The resolved description of a run: every plan and the data set with all that was left to defaults.

    So later defaults cannot change it; an option that is None (such as `n` of all samples) is left out, as TOML must.
    """
    defaults = inspect.signature(DATASETS[dataset.name]).parameters if dataset.name in DATASETS else {}
    resolved = {k: p.default for k, p in defaults.items()} | dict(dataset.options)
    options = {k: v for k, v in resolved.items() if v is not None}
    tables = {probe: [_fields(plan) for plan in many] for probe, many in plans.items()}
    head = {"models": list(models), "probes": list(plans), "out": out, "maps": maps}
    head |= {"limits": dict(limits)} if limits else {}
    return {**head, "dataset": {"name": dataset.name, **options}, "plan": tables}


def _fields(plan: Any) -> dict[str, Any]:
    if isinstance(plan, Protocol) and plan.name in PROTOCOLS:
        preset = get_protocol(plan.name)
        differ = {k: getattr(plan, k) for k in _names(plan) if getattr(plan, k) != getattr(preset, k)}
        values = {"name": plan.name, **differ, "seed": plan.seed}
    else:
        values = {k: getattr(plan, k) for k in _names(plan)}
    return {k: _value(v) for k, v in values.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Protocol):
        fields = {k: v for k, v in _fields(value).items() if k != "seed"}
        return value.name if list(fields) == ["name"] else fields
    return "none" if value is None else value


def _names(plan: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(plan)]


def to_toml(table: Mapping[str, Any], prefix: str = "") -> str:
    """A mapping of strings, numbers, lists and mappings (lists of mappings too) as TOML."""
    plain = {k: v for k, v in table.items() if not isinstance(v, Mapping) and not _is_tables(v)}
    text = "".join(f"{_key(key)} = {_toml(value)}\n" for key, value in plain.items())
    for key, value in table.items():
        name = f"{prefix}{_key(key)}"
        for one in [] if key in plain else value if _is_tables(value) else [value]:
            head = f"\n[[{name}]]\n" if _is_tables(value) else f"\n[{name}]\n"
            nested = (
                not _is_tables(value) and all(isinstance(v, Mapping) or _is_tables(v) for v in one.values()) and one
            )
            text += ("" if nested else head) + to_toml(one, f"{name}.")
    return text


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(v, Mapping) for v in value)


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(str(value), ensure_ascii=False)
