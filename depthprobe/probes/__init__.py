"""Probes: (model, batch, plan) -> rows. Importing this package registers them."""

from depthprobe.probes import (
    attention,
    attribution,
    context,
    continuity,
    error,
    receptive_field,
    representation,
    sparse,
    spectrum,
)
from depthprobe.probes.registry import PROBES

__all__ = [
    "PROBES",
    "attention",
    "attribution",
    "context",
    "continuity",
    "error",
    "receptive_field",
    "representation",
    "sparse",
    "spectrum",
]
