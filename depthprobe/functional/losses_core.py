"""The registry of training losses, and what losses share: cleaned input, means per image."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from depthprobe.checks import check_one_of, check_shapes
from depthprobe.registry import Registry

F = TypeVar("F", bound=Callable[..., Tensor])

LOSSES = Registry("loss")

DOMAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "depth": lambda x: x,
    "log": torch.log,
    "disparity": torch.reciprocal,
}


def loss(
    name: str, *, source: str, perfect: float | None = 0.0, invariant: Sequence[str] = (), inputs: str = ""
) -> Callable[[F], F]:
    """Register a function (pred, depth, valid, *, options) -> scalar.

    Facts: source; inputs = "pred depth valid" and what else it takes as a keyword, e.g. "image"; perfect = its value
    where pred = depth (None: depends on the image); invariant = names in `terms.INVARIANCES`.
    """
    facts: dict[str, Any] = {"source": source, "perfect": perfect, "invariant": tuple(invariant)}
    return LOSSES.register(name, inputs=f"pred depth valid {inputs}".strip(), **facts)


def clean(pred: Tensor, depth: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Prediction and truth, 1 m where invalid, so that nothing there can reach a loss or its gradient.

    Raises:
        ValueError: if the shapes differ or no image has a valid pixel.
    """
    check_shapes(pred=(pred, "b 1 h w"), depth=(depth, "b 1 h w"), valid=(valid, "b 1 h w"))
    if not bool(valid.any()):
        raise ValueError("Expected at least one valid pixel in the batch, but got none; check the data set's mask.")
    one = torch.ones((), dtype=pred.dtype, device=pred.device)
    return torch.where(valid, pred, one), torch.where(valid, depth, one.to(depth.dtype))


def into(domain: str, *maps: Tensor) -> list[Tensor]:
    """Depth maps turned into depth, ln depth or disparity."""
    check_one_of("domain", domain, DOMAINS)
    return [DOMAINS[domain](x) for x in maps]


def batch_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over images of the mean of x over their pixels in the mask; images without one have no part, 0 if all."""
    count = mask.flatten(1).sum(1)
    return over_images(torch.where(mask, x, 0).flatten(1).sum(1) / count.clamp(min=1), count)


def over_images(per_image: Tensor, count: Tensor) -> Tensor:
    """Mean of values (B,) over the images whose count is not 0; 0 if there is none."""
    has = count > 0
    return torch.where(has, per_image, 0).sum() / has.sum().clamp(min=1)
