"""What the fields of plans have in common: protocols by name, lists of different values, the pixels of lengths."""

from collections.abc import Sequence
from typing import Any

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


def per_pixel(height: int | None, rows: float) -> float:
    """How many pixels of a network that reads so many `rows` make one pixel of a plan.

    Convention: `height` None: a plan's pixels are the network's own, 1. A number: they are those of an image of so many
    rows, so that networks that read an image at different sizes are asked about the same part of it.
    """
    return 1.0 if height is None else rows / height
