"""The units of work of a run: one (model, probe, plan, seed, chunk of samples) each, with the part of its rows."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from depthprobe.data import DATASETS, Dataset
from depthprobe.models import DepthModel, load_model
from depthprobe.provenance import data_identity, model_identity, part_name
from depthprobe.study import judged_by, probe_plans


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

    `objects` are the names of what was passed as an object: their names alone may not open them again.
    """

    names: list[str]
    models: list[DepthModel]
    plans: dict[str, list[Any]]
    dataset: Dataset
    out: Path
    units: list[Unit]
    identity: dict[str, Any]
    objects: list[str]

    def path(self, unit: Unit) -> Path:
        """Where the unit's part lies."""
        return self.out / "parts" / f"{unit.part}.parquet"


def plan_work(models: Sequence[str | DepthModel], plans: Any, data: Dataset, out: Path) -> Work:
    """Open the models and list the units, chunk by chunk.

    Raises:
        ValueError: if there is nothing to measure, a name is unknown, two models have the same name and tag, or a
            protocol refuses a model: before anything is written, so that a slip costs no table that lies in the folder.
    """
    if len(data) == 0 or not models or not plans:
        raise ValueError(
            f"Expected at least one model, probe and sample, but got {len(models)}, {len(plans)} and {len(data)}."
        )
    networks = [load_model(m) if isinstance(m, str) else m for m in models]
    cards = [(m.card.name, m.card.tag) for m in networks]
    if twice := sorted({card for card in cards if cards.count(card) > 1}):
        raise ValueError(f"Expected every model once, but got {twice} repeatedly; give each card its own name or tag.")
    if not isinstance(plans, Mapping):
        plans = {probe: probe_plans(probe, {}, (data.protocol,)) for probe in plans}
    listed = {probe: list(p) if isinstance(p, list | tuple) else [p] for probe, p in plans.items()}
    judges = [protocol for plan in itertools.chain(*listed.values()) if (protocol := judged_by(plan))]
    for protocol, network in itertools.product(judges, networks):
        protocol.check(network.card.output)
    whose, what = [model_identity(m) for m in networks], data_identity(data)
    jobs = [(probe, plan) for probe, many in listed.items() for plan in dict.fromkeys(many)]
    units = [
        Unit(c, m, probe, plan, part_name(whose[m], what, probe, plan, [data.samples[i] for i in chunk]))
        for c, chunk in enumerate(data.chunks())
        for m in range(len(networks))
        for probe, plan in jobs
    ]
    names = [m if isinstance(m, str) else m.card.name for m in models]
    objects = [name for name, m in zip(names, models, strict=True) if not isinstance(m, str)]
    objects += [] if data.name in DATASETS else [data.name]
    return Work(names, networks, listed, data, out, units, {"dataset": what, "models": whose}, objects)
