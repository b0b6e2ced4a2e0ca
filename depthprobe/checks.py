"""The checks at public doors, and the one error sentence: "Expected `x` to be ..., but got ..."."""

import types
from collections.abc import Collection
from typing import Any, Union, get_args, get_origin


def check_shapes(**named: tuple[Any, str]) -> dict[str, int]:
    """Check array shapes against named axes, e.g. `check_shapes(image=(image, "b 3 h w"), depth=(depth, "b 1 h w"))`.

    A letter (or word) is one size, equal across all arguments; a number is that size.

    Returns:
        The size of every named axis.

    Raises:
        ValueError: naming the argument, the expected shape and the shape it has.
    """
    sizes: dict[str, int] = {}
    for name, (array, spec) in named.items():
        shape, axes = tuple(array.shape), spec.split()
        if len(axes) != len(shape):
            raise ValueError(f"Expected `{name}` to have shape ({spec}), but got {shape}.")
        for axis, size in zip(axes, shape, strict=True):
            want = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
            if size != want:
                raise ValueError(f"Expected `{name}` to have shape ({spec}) with {axis}={want}, but got {shape}.")
    return sizes


def check_one_of(name: str, value: object, known: Collection[object]) -> None:
    """Raise ValueError unless `value` is in `known`, listing what is known."""
    if value not in known:
        raise ValueError(f"Expected `{name}` to be one of {sorted(map(str, known))}, but got {value!r}.")


def check_range(name: str, value: float, low: float, high: float, *, open_low: bool = False) -> None:
    """Raise ValueError unless low <= value <= high (low < value with `open_low`); NaN is refused."""
    ok = (low < value if open_low else low <= value) and value <= high
    if not ok:
        bracket = "(" if open_low else "["
        raise ValueError(f"Expected `{name}` to be in {bracket}{low:g}, {high:g}], but got {value!r}.")


def check_kind(name: str, value: object, kind: Any) -> None:
    """Raise ValueError unless `value` is of a kind as annotations say it, e.g. `int | None` or `tuple[int, int]`.

    Convention: a whole number is also a float, a truth value is no number; collections are not looked into.
    """
    if not _is_kind(value, kind):
        shown = kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
        raise ValueError(f"Expected {name} to be {shown}, but got {value!r}.")


def _is_kind(value: object, kind: Any) -> bool:
    if get_origin(kind) in (Union, types.UnionType):
        return any(_is_kind(value, one) for one in get_args(kind))
    if kind is Any:
        return True
    if kind in (int, float) and isinstance(value, bool):
        return False
    return isinstance(value, int | float if kind is float else get_origin(kind) or kind)


def check_gradient(output: Any) -> None:
    """Raise ValueError unless a network's output (a tensor) can be differentiated."""
    if not output.requires_grad:
        raise ValueError(
            "Expected a network that can be differentiated by its image, but got an output without a gradient; "
            "its forward must not detach or switch gradients off."
        )


def first_line(error: BaseException) -> str:
    """What an error says, as part of a sentence: its first line that is not blank, else its kind.

    Convention: sentences of this package, which begin with "Expected" and end with what to do, keep their end.
    """
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return shortened(said, 1000 if said.startswith("Expected ") else 300)


def shortened(text: str, most: int = 300) -> str:
    """Somebody else's text for a sentence: cut between words, and nothing in it that a terminal would act on."""
    seen = "".join(c if c.isprintable() else " " for c in text)
    return seen if len(seen) <= most else f"{seen[: most - 4].rpartition(' ')[0] or seen[: most - 4]} ..."
