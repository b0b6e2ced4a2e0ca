"""The registry of image-space edits, what several of them share, and the error of an edit that is not possible."""

from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.registry import Registry

PERTURBATIONS = Registry("perturbation")


class EditError(ValueError):
    """An edit that a sample does not allow."""


def blend(image: Tensor, other: Tensor, level: float) -> Tensor:
    """The image at level 0, `other` at level 1."""
    check_range("level", level, 0, 1)
    return image if level == 0 else (image + level * (other - image)).clamp(0, 1)


def channel_mean(image: Tensor) -> Tensor:
    """Each channel's mean (B,C,1,1)."""
    return image.mean(dim=(-2, -1), keepdim=True)
