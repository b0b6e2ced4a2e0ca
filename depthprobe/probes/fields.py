"""What the fields of plans have in common: protocols by name, lists of different values, the pixels of lengths."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from depthprobe.checks import check_range
from depthprobe.functional.protocol import get_protocol


def read_protocol(plan: Any) -> None:
    """Put the protocol itself in the place of its name."""
    if isinstance(plan.protocol, str):
        object.__setattr__(plan, "protocol", get_protocol(plan.protocol))


def read_lists(plan: Any, needed: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Make lists tuples, which can be hashed.

    Raises:
        ValueError: if a value stands twice in a list, or one that is needed is empty.
    """
    for name in (*needed, *optional):
        values = tuple(getattr(plan, name))
        if len(set(values)) != len(values) or (name in needed and not values):
            least = ", at least one" if name in needed else ""
            raise ValueError(f"Expected `{name}` to list different values{least}, but got {values}.")
        object.__setattr__(plan, name, values)


def check_height(plan: Any) -> None:
    """Check the field `height`: None, or the rows of the image in whose pixels lengths are stated (`per_pixel`)."""
    if plan.height is not None:
        check_range("height", plan.height, 1, 1e6)


def sides(image: Tensor) -> tuple[int, int]:
    """Height and width of images (...,h,w)."""
    return int(image.shape[-2]), int(image.shape[-1])


def per_pixel(height: int | None, given: tuple[float, float], image: tuple[int, int]) -> tuple[float, float]:
    """How many pixels of what a network is given make one pixel of a plan: down, and across.

    Convention: `given`: in how many rows and columns the network is given an image of the size (H, W) `image`. `height`
    None: a plan's pixels are the network's own, (1, 1). A number: they are those of the image scaled to so many rows,
    so that networks which read it at other sizes, or stretched, are asked about the same part of it.
    """
    if height is None:
        return 1.0, 1.0
    return given[0] / height, given[1] * image[0] / (height * image[1])
