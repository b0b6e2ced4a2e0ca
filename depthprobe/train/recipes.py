"""RECIPES: the recipes shipped with the package, by name; each a TOML file whose first line says what it is."""

import json
import tomllib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from depthprobe.models.zoo import read_card
from depthprobe.registry import Registry

RECIPES = Registry("recipe")  # () -> the fields that the file gives
ZOO = "zoo:"
FOLDER = Path(str(resources.files("depthprobe"))) / "recipes"


def read_fields(path: Path) -> dict[str, Any]:
    """The fields of a recipe file: TOML, or the `recipe.json` of a training.

    Raises:
        ValueError: if it is neither.
    """
    form, parse = ("JSON", json.loads) if path.suffix == ".json" else ("TOML", tomllib.loads)
    try:
        return dict(parse(path.read_text()))
    except (ValueError, RecursionError) as error:  # of either parser, or text that is no UTF-8
        raise ValueError(f"Expected {path} to be {form}, but {error}.") from error


def find_fields(name: str) -> dict[str, Any]:
    """The fields of a recipe by the path of its file, the name of a shipped one, or a network of the zoo.

    Raises:
        FileNotFoundError: if it is none of these; lists the shipped ones.
    """
    if name.startswith(ZOO):
        return dict(read_card(name.removeprefix(ZOO))["recipe"])
    if Path(name).is_file():
        return read_fields(Path(name))
    if name in RECIPES:
        return dict(RECIPES[name]())
    raise FileNotFoundError(
        f"Expected a recipe (TOML) at {name}, or one of {RECIPES.names()}, but found none; "
        "give the fields by flags instead."
    )


def _reader(path: Path) -> Callable[[], dict[str, Any]]:
    return lambda: read_fields(path)


for _path in sorted(FOLDER.glob("*.toml")):
    _fields = read_fields(_path)
    _facts = {"summary": _path.read_text().partition("\n")[0].lstrip("# ")}
    _facts |= {field: _fields.get(field, "") for field in ("model", "dataset")}
    RECIPES.register(_path.stem, **_facts)(_reader(_path))
