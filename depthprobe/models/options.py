"""Reading the options that follow a model's name."""

import ast
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from depthprobe.registry import did_you_mean


def parse_size(text: str) -> tuple[int, int]:
    """`"96x128"` -> (96, 128), height before width.

    Raises:
        ValueError: if the text is not two positive whole numbers.
    """
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise ValueError(f"Expected `size` to be HEIGHTxWIDTH such as 96x128, but got {text!r}.")
    return (int(parts[0]), int(parts[1]))


def parse_value(text: str) -> Any:
    """A Python number, tuple, bool or None as it is written; anything else is the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def read_options(name: str, factory: Callable[..., Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """The options in a model's name as its factory takes them: numbers where the default is one, else the text.

    Raises:
        ValueError: naming an option that the factory does not have, one that is no number, or one without a value where
            the default is another.
    """
    parameters = inspect.signature(factory).parameters.values()
    known = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    unknown = [option for option in texts if option not in known]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters):
        own = f"options of {name} to be among {sorted(known)}" if known else f"{name} without options of its own"
        raise ValueError(f"Expected {own}, but got {unknown}.{did_you_mean(unknown[0], known)}")
    if empty := [option for option, text in texts.items() if not text and known.get(option) != ""]:
        raise ValueError(f"Expected options of {name} with a value, but got {empty} without; leave them out.")
    return {option: _read(name, option, text, known.get(option)) for option, text in texts.items()}


def _read(name: str, option: str, text: str, default: Any) -> Any:
    if type(default) not in (int, float):
        return text
    try:
        return type(default)(text)
    except ValueError:
        kind = "a whole number" if type(default) is int else "a number"
        raise ValueError(f"Expected option `{option}` of {name} to be {kind}, but got {text!r}.") from None
