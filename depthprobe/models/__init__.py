"""Models: adapters around networks, and oracles. Importing this package registers them."""

from depthprobe.models import dgr, mask_generator, oracles, own, rollout, timm_depth, zoo  # noqa: F401  (registers)
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.registry import MODELS, SCHEMES, load_model

__all__ = ["MODELS", "SCHEMES", "DepthModel", "ModelCard", "load_model"]
