"""The units of work of a run: one (model, probe, plan, seed, chunk of samples) each, with the part of its rows."""

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depthprobe.checks import check_one_of, check_range
from depthprobe.data import DATASETS, Dataset
from depthprobe.data.records import spread
from depthprobe.models import MODELS, DepthModel, load_model
from depthprobe.probes import PROBES
from depthprobe.provenance import data_identity, model_identity, part_name
from depthprobe.schema import read_note, write_atomic
from depthprobe.study import judged_by, probe_plans

AGAIN = "again"
"""In the note of a part without rows: that it should be tried again."""


@dataclasses.dataclass(frozen=True)
class Unit:
    """One part's worth of work."""

    chunk: int
    model: int
    probe: str
    plan: Any
    part: str


@dataclasses.dataclass(frozen=True)
class Work:
    """Everything that a run goes through: models (and the names they were opened by), plans by probe, data, units.

    `objects` are the names of what was passed as an object: their names alone may not open them again. `limits`: by
    probe on how many samples it is measured. `cache`: where parts of the package's own networks are kept for other
    runs (None: nowhere).
    """

    names: list[str]
    models: list[DepthModel]
    plans: dict[str, list[Any]]
    dataset: Dataset
    out: Path
    units: list[Unit]
    identity: dict[str, Any]
    objects: list[str]
    limits: dict[str, int] = dataclasses.field(default_factory=dict)
    cache: Path | None = None

    def path(self, unit: Unit) -> Path:
        """Where the unit's part lies."""
        return self.out / "parts" / f"{unit.part}.parquet"

    def kept(self, unit: Unit) -> Path | None:
        """Where the unit's part is kept for other runs; None for a user's network, and for rows read off a clock."""
        own = self.names[unit.model] not in MODELS or PROBES.facts(unit.probe).get("timing")
        return None if self.cache is None or own else self.cache / f"{unit.part}.parquet"

    def recall(self, unit: Unit) -> bool:
        """Whether the unit's part is there, if need be taken from where it was kept."""
        if (note := read_note(self.path(unit))) is not None and not note.get(AGAIN):
            return True
        kept = self.kept(unit)
        if kept is None or read_note(kept) is None:
            return False
        write_atomic(self.path(unit), kept.read_bytes())
        return True

    def keep(self, unit: Unit) -> None:
        """Keep a measured part for other runs, where that is possible: without it they only take longer."""
        if kept := self.kept(unit):
            with contextlib.suppress(OSError):
                write_atomic(kept, self.path(unit).read_bytes())


def plan_work(
    models: Sequence[str | DepthModel] | Mapping[str, DepthModel], plans: Any, data: Dataset, out: Path, *,
    limits: Mapping[str, int] | None = None, cache: Path | None = None,
) -> Work:  # fmt: skip
    """Open the models and list the units, chunk by chunk.

    Convention: a probe with a limit is measured on whole chunks, evenly spread, that hold at least so many samples.

    Raises:
        ValueError: if there is nothing to measure, a name is unknown, two models have the same name and tag, or a
            protocol refuses a model: before anything is written, so that a slip costs no table that lies in the folder.
    """
    if len(data) == 0 or not models or not plans:
        raise ValueError(
            f"Expected at least one model, probe and sample, but got {len(models)}, {len(plans)} and {len(data)}."
        )
    networks = list(models.values()) if isinstance(models, Mapping) else _opened(models)
    cards = [(m.card.name, m.card.tag) for m in networks]
    if twice := sorted({card for card in cards if cards.count(card) > 1}):
        raise ValueError(f"Expected every model once, but got {twice} repeatedly; give each card its own name or tag.")
    if not isinstance(plans, Mapping):
        plans = {probe: probe_plans(probe, {}, (data.protocol,)) for probe in plans}
    listed = {probe: list(p) if isinstance(p, list | tuple) else [p] for probe, p in plans.items()}
    for probe, limit in (limits or {}).items():
        check_one_of("a probe of limits", probe, listed)
        check_range(f"limits.{probe}", limit, 1, float("inf"))
    judges = [protocol for plan in itertools.chain(*listed.values()) if (protocol := judged_by(plan))]
    for protocol, network in itertools.product(judges, networks):
        protocol.check(network.card.output)
    whose, what = [model_identity(m) for m in networks], data_identity(data)
    jobs = [(probe, plan) for probe, many in listed.items() for plan in dict.fromkeys(many)]
    chosen = {probe: _chunks(data, (limits or {}).get(probe)) for probe in listed}
    units = [
        Unit(c, m, probe, plan, part_name(whose[m], what, probe, plan, [data.samples[i] for i in chunk]))
        for c, chunk in enumerate(data.chunks())
        for m in range(len(networks))
        for probe, plan in jobs
        if c in chosen[probe]
    ]
    opened = isinstance(models, Mapping)
    names = [m if isinstance(m, str) else m.card.name for m in models]
    objects = [] if opened else [name for name, m in zip(names, models, strict=True) if not isinstance(m, str)]
    objects += [] if data.name in DATASETS else [data.name]
    identity = {"dataset": what, "models": whose}
    return Work(names, networks, listed, data, out, units, identity, objects, dict(limits or {}), cache)


def _opened(models: Sequence[str | DepthModel]) -> list[DepthModel]:
    return [load_model(m) if isinstance(m, str) else m for m in models]


def _chunks(data: Dataset, limit: int | None) -> set[int]:
    """The chunks that a probe is measured on."""
    total = len(data.chunks())
    return set(spread(total, None if limit is None else min(total, math.ceil(limit / data.batch_size))))
