"""One registry class for models, data sets, probes, metrics, selectors, fills and edits."""

import difflib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Registry:
    """A name -> (function, facts) table that refuses duplicates and explains unknown names.

    The facts of an entry stand where the entry is registered; nowhere else is a second table kept.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {}

    def register(self, name: str, **facts: Any) -> Callable[[F], F]:
        """Decorator that adds a function (or class) under `name` together with its facts.

        Raises:
            ValueError: if the name is taken.
        """

        def add(function: F) -> F:
            if name in self._items:
                owner = self._items[name][0].__module__
                raise ValueError(f"Expected a new {self.kind} name, but `{name}` is already registered by {owner}.")
            self._items[name] = (function, facts)
            return function

        return add

    def __getitem__(self, name: str) -> Callable[..., Any]:
        return self._lookup(name)[0]

    def facts(self, name: str) -> dict[str, Any]:
        """The facts given at registration (a copy)."""
        return dict(self._lookup(name)[1])

    def names(self) -> list[str]:
        """All registered names, sorted."""
        return sorted(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def _lookup(self, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        if name not in self._items:
            hint = did_you_mean(str(name), self._items)
            raise ValueError(f"Expected {self.kind} to be one of {self.names()}, but got {name!r}.{hint}")
        return self._items[name]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """What to add to the error about an unknown name: the known name that is most like it, or nothing."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""
