"""Which probes an audit consists of, on how many samples each, under which protocol."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from depthprobe.data import DATASETS, Dataset, load_dataset
from depthprobe.functional.alignment import method_for
from depthprobe.functional.protocol import Protocol, get_protocol
from depthprobe.probes import PROBES
from depthprobe.study import set_options

ALL = "error"
"""The probe that is measured on every sample."""

QUICK: dict[str, int] = {
    "error": 48, "continuity": 24, "spectrum": 24, "sparse": 16, "texture": 16, "context": 16, "receptive_field": 16,
    "attention": 8, "cues": 12, "corruption": 16, "sanity": 8, "conduct": 8, "cost": 4,
}  # fmt: skip
"""Samples by probe; plans with the `quick` options of their registration."""

FULL: dict[str, int] = {
    "error": 256, "continuity": 128, "spectrum": 128, "sparse": 48, "texture": 48, "context": 48, "receptive_field": 64,
    "attention": 32, "cues": 48, "corruption": 32, "sanity": 32, "conduct": 32, "cost": 8,
}  # fmt: skip
"""Samples by probe; plans with the `whole` options of their registration."""

HEIGHT = 96
"""Rows of the image in whose pixels an audit states lengths: networks read images at other sizes, and are compared."""

BATCH = 4
"""Samples per unit of work: what a killed audit loses, and in what numbers probes share samples."""


def open_data(name: str, options: Mapping[str, Any], *, quick: bool) -> Dataset:
    """The samples of an audit: as many as the preset asks for, evenly spread, or all if there are fewer.

    Convention: `options` are the data set's own; `n` there is the number of samples; what it does not say is what the
    data set's registration says of audits.

    Raises:
        ValueError: if the data set is unknown, or an option does not fit.
    """
    given = {"batch_size": BATCH, **DATASETS.facts(name).get("audit", {}), **options}
    data = load_dataset(name, **given)
    wanted = (QUICK if quick else FULL)[ALL]
    if "n" in options or len(data) <= wanted:
        return data
    return load_dataset(name, **{**given, "n": wanted})


def limits(count: int, *, quick: bool) -> dict[str, int]:
    """By probe the number of samples of an audit on `count` samples, in the proportions of the preset."""
    preset = QUICK if quick else FULL
    found = {probe: max(1, round(samples * count / preset[ALL])) for probe, samples in preset.items()}
    return {probe: samples for probe, samples in found.items() if samples < count}


def plans(protocol: Protocol, *, quick: bool) -> dict[str, Any]:
    """By probe its plan, all under one protocol and in pixels of one size."""
    found: dict[str, Any] = {}
    for probe in QUICK if quick else FULL:
        facts = PROBES.facts(probe)
        plan = protocol if facts["plan"] is Protocol else facts["plan"]()
        plan = set_options(plan, facts.get("quick" if quick else "whole", {}), f"plan.{probe}")
        common = {"protocol": protocol, "height": HEIGHT}
        found[probe] = dataclasses.replace(plan, **{k: v for k, v in common.items() if hasattr(plan, k)})
    return found


LESS_FREE: dict[str, tuple[str, ...]] = {
    "metric_depth": (), "scale_depth": ("metric_depth",), "affine_depth": ("metric_depth", "scale_depth"),
    "affine_disparity": ("metric_depth", "scale_depth"),
}  # fmt: skip
"""By output kind those that leave less to be fitted, and can be fitted as it is."""


def judging(name: str, kind: str, others: Iterable[str] = ()) -> Protocol:
    """The protocol of a data set, by which networks of an output kind and references of less freedom are judged alike.

    Convention: a kind that the protocol refuses, of the network or of a reference (`others`), gets the alignment made
    for it; an aligned disparity is then bounded at 1 / the protocol's largest depth, as MiDaS does, unless the protocol
    has a floor of its own. What is less free than the network's kind (metric depth beside affine depth) is aligned as
    freely: on NYU a fit of scale and shift takes away more than half of the error of an honest metric depth, and a
    network that is fitted would stand above all that are not. Such a protocol carries the kinds in its name, since its
    numbers are others.
    """
    protocol = get_protocol(name)
    given = dict(protocol.alignment)
    method = method_for(kind, given.get(kind, "auto"))
    alike = {**given, kind: method, **dict.fromkeys(LESS_FREE[kind], method)}
    changed = [kind] if alike != given else []
    changed += [other for other in dict.fromkeys(others) if other not in alike]
    if not changed:
        return protocol
    alike |= {other: method_for(other) for other in changed if other not in alike}
    new = set(alike) - set(given)
    floor = 1 / protocol.max_depth if protocol.floor is None and new else protocol.floor
    return dataclasses.replace(
        protocol, name="+".join([protocol.name, *changed]), alignment=tuple(alike.items()), floor=floor
    )
