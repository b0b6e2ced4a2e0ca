"""Probes: (model, batch, plan) -> rows. Importing this package registers them."""

from depthprobe.probes import (
    attention,
    attribution,
    conduct,
    context,
    continuity,
    corruption,
    cost,
    cues,
    error,
    learned_mask,
    receptive_field,
    representation,
    sanity,
    sparse,
    spectrum,
    texture,
)
from depthprobe.probes.registry import PROBES

__all__ = [
    "PROBES",
    "attention",
    "attribution",
    "conduct",
    "context",
    "continuity",
    "corruption",
    "cost",
    "cues",
    "error",
    "learned_mask",
    "receptive_field",
    "representation",
    "sanity",
    "sparse",
    "spectrum",
    "texture",
]
