"""Reading the options that follow a model's name."""

import ast
from typing import Any


def parse_size(text: str) -> tuple[int, int]:
    """`"96x128"` -> (96, 128), height before width.

    Raises:
        ValueError: if the text is not two positive whole numbers.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdigit() and int(p) > 0 for p in parts):
        raise ValueError(f"Expected `size` to be HEIGHTxWIDTH such as 96x128, but got {text!r}.")
    return (int(parts[0]), int(parts[1]))


def parse_value(text: str) -> Any:
    """A Python number, tuple, bool or None as it is written; anything else is the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
