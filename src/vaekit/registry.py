"""Registries of parts: a class registers itself with a decorator, and everything that lists parts reads from here."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from inspect import signature
from types import MappingProxyType
from typing import Any, Generic, TypeVar, get_type_hints

from vaekit.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Option:
    """A setting of one part: its type and default as the part's constructor has them, and what it means."""

    type: Any
    default: Any
    description: str = ""


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered part: its name, the part itself, a summary line, where it comes from, and further facts.

    The fact `options`, {name: what it means}, says which of the constructor's parameters are settings of the part.
    """

    name: str
    part: T
    summary: str = ""
    reference: str = ""
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @cached_property
    def options(self) -> Mapping[str, Option]:
        """The part's own settings by name, typed by its constructor."""
        described: Mapping[str, str] = self.facts.get("options", {})
        if not described:
            return {}
        part: Any = self.part
        types = get_type_hints(part.__init__, include_extras=True)
        parameters = signature(part).parameters
        return {name: Option(types[name], parameters[name].default, text) for name, text in described.items()}


class Registry(Generic[T]):
    """Named parts of one kind, in the order of their names.

    Parts are the modules of the folder `package`, so adding one touches one file. Looking one up by name imports the
    module whose source calls something with that name first; listing them, or asking for what is nowhere, imports all.
    With `module`, parts are the modules of that name in the folder's subfolders, so adding one adds one folder.

    >>> shapes: Registry[type] = Registry("shape")
    >>> @shapes.register("square", summary="four equal sides")
    ... class Square: ...
    >>> shapes["square"].part is Square
    True
    >>> shapes["sqare"]
    Traceback (most recent call last):
    vaekit.errors.UserError: there is no shape 'sqare'; did you mean 'square'? Known: square
    """

    def __init__(self, kind: str, package: str | None = None, module: str | None = None) -> None:
        self.kind = kind
        self._package = package
        self._module = module
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
            for module in self._modules():
                importlib.import_module(module)
        except BaseException:
            self._loaded = False
            raise

    def _modules(self) -> Iterator[str]:
        """Yield the modules that may register parts."""
        assert self._package is not None
        for _, name, is_folder in pkgutil.iter_modules(importlib.import_module(self._package).__path__):
            if self._module is None:
                yield f"{self._package}.{name}"
            elif is_folder and importlib.util.find_spec(f"{self._package}.{name}.{self._module}"):
                yield f"{self._package}.{name}.{self._module}"

    def _find(self, name: object) -> bool:
        """Return whether `name` is registered, importing no more than it takes."""
        if name not in self._entries and not self._loaded:
            for module in self._likely(name):
                importlib.import_module(module)
                if name in self._entries:
                    return True
            self._load()
        return name in self._entries

    def _likely(self, name: object) -> Iterator[str]:
        """Yield the modules in which a call begins with this name, as `register("name"` does."""
        call = re.compile(rf"\(\s*(['\"]){re.escape(str(name))}\1")
        for module in self._modules():
            spec: Any = importlib.util.find_spec(module)
            source = getattr(spec.loader, "get_source", lambda _: None)(module)  # none where only bytecode is kept
            if source and call.search(source):
                yield module

    def __getitem__(self, name: str) -> Entry[T]:
        if not self._find(name):
            near = difflib.get_close_matches(name, self._entries, n=1)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise UserError(f"there is no {self.kind} '{name}'; {hint}Known: {', '.join(sorted(self._entries))}")
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        return self._find(name)

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
