"""Registries of parts: a class registers itself with a decorator, and everything that lists parts reads from here."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from vaekit.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered part: its name, the part itself, a summary line, where it comes from, and further facts."""

    name: str
    part: T
    summary: str = ""
    reference: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class Registry(Generic[T]):
    """Named parts of one kind, in the order of their names.

    `package` is imported whole (every module in the folder) at the first look-up, so adding a part touches one file.

    >>> shapes: Registry[type] = Registry("shape")
    >>> @shapes.register("square", summary="four equal sides")
    ... class Square: ...
    >>> shapes["square"].part is Square
    True
    >>> shapes["sqare"]
    Traceback (most recent call last):
    vaekit.errors.UserError: there is no shape 'sqare'; did you mean 'square'? Known: square
    """

    def __init__(self, kind: str, package: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._entries: dict[str, Entry[T]] = {}
        self._loaded = package is None

    def register(self, name: str, *, summary: str = "", reference: str = "", **facts: Any) -> Callable[[Any], Any]:
        """Return a decorator that adds a part under `name`; a name can be taken once."""

        def add(part: Any) -> Any:
            if name in self._entries:
                raise ValueError(f"{self.kind} '{name}' is registered twice")
            doc = summary or (getattr(part, "__doc__", None) or "").strip().split("\n")[0]
            self._entries[name] = Entry(name, part, doc, reference, MappingProxyType(facts))
            return part

        return add

    def _load(self) -> None:
        if self._loaded or self._package is None:
            return
        self._loaded = True  # set first: the modules look parts up while they load
        try:
            package = importlib.import_module(self._package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self._package}.{module.name}")
        except BaseException:
            self._loaded = False
            raise

    def __getitem__(self, name: str) -> Entry[T]:
        self._load()
        if name not in self._entries:
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UserError(f"there is no {self.kind} '{name}'; {hint}Known: {', '.join(sorted(self._entries))}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[T]]:
        self._load()
        return iter([self._entries[name] for name in sorted(self._entries)])

    def __len__(self) -> int:
        self._load()
        return len(self._entries)

    @property
    def names(self) -> list[str]:
        """The registered names, sorted."""
        return [entry.name for entry in self]
