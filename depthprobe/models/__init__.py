"""Models: adapters around networks, and oracles. Importing this package registers them."""

from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.registry import MODELS, SCHEMES, load_model  # isort: split
from depthprobe.models import timm_depth  # noqa: F401  (registers)

__all__ = ["MODELS", "SCHEMES", "DepthModel", "ModelCard", "load_model"]
