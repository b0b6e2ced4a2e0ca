"""Probes: (model, batch, plan) -> rows. Importing this package registers them."""

from depthprobe.probes import error, sparse
from depthprobe.probes.registry import PROBES

__all__ = ["PROBES", "error", "sparse"]
