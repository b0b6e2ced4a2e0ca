"""Models: adapters around networks, and oracles. Importing this package registers them."""

from depthprobe.models import dgr, oracles, own, timm_depth, zoo  # noqa: F401  (importing registers)
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.registry import MODELS, SCHEMES, load_model

__all__ = ["MODELS", "SCHEMES", "DepthModel", "ModelCard", "load_model"]
