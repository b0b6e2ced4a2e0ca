"""Training augmentation that keeps depth true: mirror images, colours and sensor noise; never scale or crop."""

import torch
from torch import Tensor


def augment(
    image: Tensor, depth: Tensor, valid: Tensor, *, generator: torch.Generator, colour: float = 1.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Randomly mirrored and recoloured copies of a batch.

    Convention: image (B,3,H,W) in [0,1]; depth, valid (B,1,H,W); one draw per sample from `generator` (on the CPU).
    `colour` scales the strength of gain, contrast, saturation, white balance and noise (0: mirror only).
    """
    size, device = image.shape[0], image.device

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        u = torch.rand(size, channels, 1, 1, generator=generator)
        return (low + (high - low) * u).to(device)

    mirror = draw(0, 1) < 0.5
    image, depth, valid = (torch.where(mirror, x.flip(-1), x) for x in (image, depth, valid))
    grey = image.mean(1, keepdim=True)
    image = grey + (image - grey) * (1 + colour * draw(-0.5, 0.4))
    level = image.mean((1, 2, 3), keepdim=True)
    image = level + (image - level) * (1 + colour * draw(-0.3, 0.3))
    image = image * (1 + colour * draw(-0.3, 0.3)) * (1 + colour * draw(-0.1, 0.1, 3))
    noise = torch.randn(image.shape, generator=generator).to(device)
    return (image + colour * draw(0, 0.02) * noise).clamp(0, 1), depth, valid
