"""Models: adapters around networks, and oracles. Importing this package registers them."""

from depthprobe.models import (  # noqa: F401  (registers)
    dgr,
    huggingface,
    mask_generator,
    onnx,
    oracles,
    own,
    rollout,
    timm_depth,
    torchhub,
    zoo,
)
from depthprobe.models.adapter import DepthModel, ModelCard
from depthprobe.models.registry import MODELS, SCHEMES, load_model

__all__ = ["MODELS", "SCHEMES", "DepthModel", "ModelCard", "load_model"]
