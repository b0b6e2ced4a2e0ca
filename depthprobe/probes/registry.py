"""The registry of probes."""

from depthprobe.registry import Registry

PROBES = Registry("probe")
"""A probe is a pure function (model, batch, plan) -> rows (`schema.rows`), registered with the facts

plan: its frozen dataclass; axes: {generic column: what it holds here}, e.g. {"factor": "selector", "level": "budget"};
maps (optional): (model, batch, plan) -> list of dicts of arrays, one per sample, for galleries; quick (optional):
options of a plan small enough for a demonstration; whole (optional): options of a plan that an audit draws conclusions
from.
"""
