"""What the fields of plans have in common: protocols by name, lists of different values."""

from collections.abc import Sequence
from typing import Any

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
