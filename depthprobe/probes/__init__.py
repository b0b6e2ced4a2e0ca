"""Probes: (model, batch, plan) -> rows. Importing this package registers them."""

from depthprobe.probes import continuity, error, sparse, spectrum
from depthprobe.probes.registry import PROBES

__all__ = ["PROBES", "continuity", "error", "sparse", "spectrum"]
