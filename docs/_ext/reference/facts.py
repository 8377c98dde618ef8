"""What recipes are made of: their settings with types and bounds, and the terms and models that their builders name."""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import ModuleType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from vaekit.models.base import Model
from vaekit.nets.base import ACTIVATIONS, Activation
from vaekit.objectives.base import Term
from vaekit.recipes.base import RECIPES, Recipe
from vaekit.recipes.settings import Choice
from vaekit.schedules import schedule_field

ACTIVATION: Any = get_args(Activation)[1]
"""What marks a setting as the name of an activation."""


@dataclass(frozen=True)
class Setting:
    """A setting as one recipe has it."""

    section: str
    name: str
    kind: str
    default: Any
    description: str

    @property
    def path(self) -> str:
        """Its name as `--set` takes it."""
        return f"{self.section}.{self.name}"

    @property
    def shown(self) -> str:
        """Its default as it is written."""
        return written(self.default)


def written(value: Any) -> str:
    """Return a default as one would write it after `--set NAME=`.

    >>> written(None), written(True), written([0.9, 0.999]), written("10%"), written(())
    ('null', 'true', '0.9,0.999', '10%', '')
    """
    if isinstance(value, list | tuple):
        return ",".join(map(written, value))
    return value if isinstance(value, str) else json.dumps(value)


@cache
def settings(recipe: str) -> tuple[Setting, ...]:
    """Return a recipe's settings, those of its default parts among them."""
    return tuple(_settings(checked(recipe)))


@cache
def checked(recipe: str) -> Any:
    """Return a recipe's settings at their defaults."""
    return RECIPES[recipe].part.settings({})


@cache
def settings_of_parts() -> dict[str, list[tuple[Setting, str, str]]]:
    """Return the options of every part that a setting of any recipe names: {path: [(setting, kind, part)]}."""
    from vaekit.recipes.settings import PARTS

    out: dict[str, list[tuple[Setting, str, str]]] = {}
    for registry in PARTS:
        for entry in registry:
            for name, option in entry.options.items():
                kind = type_words(option.type, bounds=_bounds_in(option.type))
                one = Setting("model", name, kind, option.default, option.description)
                out.setdefault(one.path, []).append((one, registry.kind, entry.name))
    return out


def _settings(values: Any) -> Iterator[Setting]:
    plain = values.model_dump(mode="json")
    for section in type(values).model_fields:
        for name, field in type(getattr(values, section)).model_fields.items():
            kind = type_words(field.annotation, field.metadata)
            yield Setting(section, name, kind, plain[section][name], field.description or "")


def type_words(kind: Any, metadata: Any = (), bounds: str | None = None) -> str:
    """Return a setting's type with what bounds it, in words.

    >>> from pydantic import Field
    >>> type_words(Annotated[int, Field(gt=0)] | None), type_words(Literal["a", "b"]), type_words(tuple[int, ...])
    ('int > 0, or null', 'one of a, b', 'list of int')
    """
    marks = [*metadata]
    choice = next((mark for mark in marks if isinstance(mark, Choice)), None)
    if choice is not None:
        names = [*choice.names]
        return f"one of {', '.join(['auto', *names] if choice.auto and 'auto' not in names else names)}"
    if any(getattr(mark, "func", None) is schedule_field for mark in marks):
        return "number or schedule"
    allowed = next((found for mark in marks if (found := _allowed(mark))), None)
    if allowed:
        return f"one of {', '.join(allowed)}" if len(allowed) > 1 else f"{allowed[0]} only"
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_words(inner[0], [*inner[1:], *marks])
    limits = " and ".join(_limits(marks)) if bounds is None else bounds
    if origin is Literal:
        return f"one of {', '.join(map(written, inner))}"
    if origin in (Union, UnionType):
        each = [type_words(one).replace("one of auto", "auto") for one in inner if one is not type(None)]
        words = " or ".join(dict.fromkeys(each)) + (f" {limits}" if limits else "")
        return words + (", or null" if type(None) in inner else "")
    if origin in (tuple, list):
        rest = [one for one in inner if one is not Ellipsis]
        many = "list of" if len(rest) < 2 or Ellipsis in inner else f"{len(rest)} values,"
        return f"{many} {type_words(rest[0])}"
    name = {"str": "text", "bool": "true or false", "Any": "any"}.get(getattr(kind, "__name__", ""), "")
    name = name or getattr(kind, "__name__", str(kind))
    return f"{name} {limits}" if limits else name


def _bounds_in(kind: Any) -> str | None:
    return None if get_origin(kind) is not Annotated else " and ".join(_limits(get_args(kind)[1:]))


def _limits(marks: Any) -> list[str]:
    """Return the bounds among a field's marks."""
    out: list[str] = []
    for mark in marks:
        for inner in (mark, *getattr(mark, "metadata", ())):
            for sign, attribute in ((">", "gt"), ("≥", "ge"), ("<", "lt"), ("≤", "le")):
                value = getattr(inner, attribute, None)
                if value is not None:
                    out.append(f"{sign} {'2⁶³' if value == 2**63 else value}")
    return list(dict.fromkeys(out))


def _allowed(mark: Any) -> list[str]:
    """Return the values that `one_of` of the recipes' settings lets through, or an activation's; [] for other marks."""
    function = getattr(mark, "func", None)
    if function is None:
        return []
    if function is ACTIVATION.func:
        return [*ACTIVATIONS]
    if getattr(function, "__qualname__", "").startswith("one_of."):
        return [written(value) for value in inspect.getclosurevars(function).nonlocals["values"]]
    return []


# -- what a builder names ----------------------------------------------------------------------------------------------


@cache
def terms(recipe: str) -> list[type[Term]]:
    """Return the terms that a recipe's builder names, in its order; which of them a run has, its settings say.

    >>> [term.__name__ for term in terms("vae")]
    ['Reconstruction', 'Rate']
    """
    return _kinds(RECIPES[recipe].part, Term)


@cache
def models(recipe: str) -> list[type[Model]]:
    """Return the models that a recipe's builder names, the outermost last."""
    return _kinds(RECIPES[recipe].part, Model)


def _kinds(recipe: Recipe[Any, Any], base: type) -> list[Any]:
    found = named(recipe.build)
    return [one for one in found if isinstance(one, type) and issubclass(one, base) and one is not base]


def named(function: Callable[..., Any]) -> list[Any]:
    """Return what a function's body names, and what the functions of recipes and objectives that it calls name."""
    out: dict[int, Any] = {}
    _named(function, out, set())
    return [*out.values()]


def _named(function: Callable[..., Any], out: dict[int, Any], seen: set[Any]) -> None:
    if function in seen:
        return
    seen.add(function)
    scope = vars(sys.modules[function.__module__])
    for node in _names_in(function):
        found = _resolved(node, scope)
        if inspect.isfunction(found):
            if found.__module__.startswith(("vaekit.recipes.", "vaekit.objectives.")):
                _named(found, out, seen)
        elif found is not None:
            out.setdefault(id(found), found)


@cache
def _names_in(function: Callable[..., Any]) -> list[ast.Name | ast.Attribute]:
    """Return the names in a function's body, in their order."""
    tree: Any = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    names = [node for part in tree.body for node in ast.walk(part) if isinstance(node, ast.Name | ast.Attribute)]
    return sorted(names, key=lambda node: (node.lineno, node.col_offset))


def _resolved(node: ast.expr, scope: Mapping[str, Any]) -> Any:
    """Return what a name, or a name of a module's, stands for; None for anything else."""
    if isinstance(node, ast.Name):
        return scope.get(node.id)
    assert isinstance(node, ast.Attribute)
    owner = scope.get(node.value.id) if isinstance(node.value, ast.Name) else None
    return getattr(owner, node.attr, None) if isinstance(owner, ModuleType) else None
