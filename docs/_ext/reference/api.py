"""The pages of the Python interface, which Sphinx's autodoc fills from the docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel

import vaekit
from reference.text import code, docstring, first, link, md, table, target
from vaekit.training.settings import TrainSettings

PAGES = {
    "functions": ("Functions and errors", "What is called by name: `vaekit.train`, `vaekit.load` and the others."),
    "run": ("Run", "A trained model and everything it is for."),
    "parts": ("Parts and models", "What a model of one's own is made of; see also [Own models](../../own-models.md)."),
    "objectives": ("Objectives and training", "What is minimised, and how."),
    "estimators": ("Estimators", "scikit-learn's interface."),
    "types": ("Types", "What the signatures of the other pages name beside the public names."),
}
FOLDERS = {"objectives": "objectives", "training": "objectives", "runs": "functions", "studies": "functions"}
FOLDERS |= {"published": "functions", "errors": "functions"}
"""The page of a public name, by the part of the package where it is defined; "parts" otherwise."""
ESTIMATORS = ("VAE", "AnomalyDetector", "Imputer", "Augmenter")
HAS = {
    "path": "its folder, or None for a run in memory",
    "record": "what `run.json` holds",
    "settings": "the settings by section: `run.settings.model.latent`",
    "model": "the trained model, a `vaekit.Model`",
    "info": "what is known of its data: name, shape, kind, sizes of the splits",
}
"""Attributes that a run is made with."""


def pages() -> dict[str, str]:
    """Return the pages."""
    made = {name: _names(each) for name, each in public().items()} | {
        "run": _run(),
        "estimators": _estimators(),
        "types": _types(),
    }
    out = {"api/index.md": _index()}
    for name, (title, said) in PAGES.items():
        lines = [*target("api", name), f"# {title}", "", said, "", *made[name]]
        out[f"api/{name}.md"] = "\n".join(lines)
    return out


@cache
def public() -> Mapping[str, list[str]]:
    """Return the public names by page; `Run` has its own."""
    out: dict[str, list[str]] = {name: [] for name in ("functions", "parts", "objectives")}
    for name, where in vaekit._WHERE.items():
        if name != "Run":
            out[FOLDERS.get(where.partition(".")[0], "parts")].append(name)
    return out


def _index() -> str:
    rows = [(name, getattr(vaekit, name), page) for page, names in public().items() for name in names]
    rows += [("Run", vaekit.Run, "run")]
    lines = [
        *target("api"),
        "# Python",
        "",
        "All names of `vaekit`; importing it loads neither numpy nor torch. `vaekit.__version__` is the version.",
        "",
        *table(
            ["name", "what it is"],
            (
                [f"[{code(f'vaekit.{name}')}]({page}.md)", md(first(value))]
                for name, value, page in sorted(rows, key=_by_name)
            ),
        ),
        "`vaekit.estimators` has " + ", ".join(f"[{code(name)}](estimators.md)" for name in ESTIMATORS) + ".",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *PAGES,
        "```",
        "",
    ]
    return "\n".join(lines)


def _by_name(row: tuple[str, Any, str]) -> str:
    return row[0].lower()


def rst(*lines: str) -> list[str]:
    """Return reStructuredText within Markdown."""
    return ["```{eval-rst}", *lines, "```", ""]


def _names(names: Iterable[str]) -> list[str]:
    out: list[str] = []
    for name in names:
        value = getattr(vaekit, name)
        if inspect.isclass(value):
            members = [] if issubclass(value, Exception) else ["   :members:"]
            out += [f"## {name}", "", *_class(f"vaekit.{name}", value, members)]
            if value is TrainSettings:
                each = ", ".join(link(one, "setting", f"train.{one}") for one in value.model_fields)
                out += [f"Its fields are settings of training: {each}.", ""]
        else:
            out += [f"## {name}", "", *rst(f".. autofunction:: vaekit.{name}")]
    return out


def _class(name: str, value: type[Any], members: Iterable[str] = ()) -> list[str]:
    """Return a class with its docstring and `members`; one of pydantic's, whose fields are settings, without."""
    if issubclass(value, BaseModel):
        return [*rst(f".. py:class:: {name}"), *docstring(value)]
    base = value.__mro__[1]
    bases = [] if base in (object, typing.Generic) or base.__name__.startswith("_") else ["   :show-inheritance:"]
    own = f"{value.__module__}.{value.__qualname__}"
    if name.rpartition(".")[2] != value.__name__:
        out = rst(f".. py:data:: {name}", "", f"   Another name of :py:class:`{own}`.")
        return out + rst(f".. autoclass:: {own}", *members, *bases)
    return rst(f".. autoclass:: {name}", *members, *bases)


# -- Run ---------------------------------------------------------------------------------------------------------------


def members() -> Iterator[tuple[type[Any], str, Any]]:
    """Yield every public method and property of a run with the class that defines it, the most general class last."""
    seen: set[str] = set()
    for owner in vaekit.Run.__mro__[:-1]:
        for name, value in vars(owner).items():
            if not name.startswith("_") and name not in seen and owner.__module__.startswith("vaekit"):
                seen.add(name)
                yield owner, name, value


def _run() -> list[str]:
    out = rst(".. autoclass:: vaekit.Run")
    out += table(["attribute", ""], ([code(name), md(said)] for name, said in HAS.items()))
    owners: dict[type[Any], list[tuple[str, Any]]] = {}
    for owner, name, value in members():
        owners.setdefault(owner, []).append((name, value))
    for owner, each in owners.items():
        title, said = SECTIONS[owner.__name__] if owner.__name__ in SECTIONS else (owner.__name__, first(owner))
        out += [f"## {title}", "", *([said, ""] if said else [])]
        for name, value in each:
            out += rst(f".. {_directive(value)}:: vaekit.Run.{name}")
    return out


SECTIONS = {
    "Run": ("Evaluating, using, keeping", ""),
    "CausalRun": ("Setting concepts and conditions", ""),
    "FewShotRun": ("Sets, and classes from a few examples", ""),
    "SeriesRun": ("Series", ""),
    "DetectingRun": ("Anomalies", ""),
    "LatentRun": ("Moving through the latents", ""),
    "SamplingRun": ("Sampling", ""),
    "RunBase": ("Data, codes and reconstructions", ""),
}
"""Titles for the classes that a run is built from."""


def _directive(value: Any) -> str:
    return (
        "automethod" if isinstance(value, classmethod | staticmethod) or inspect.isfunction(value) else "autoproperty"
    )


def _estimators() -> list[str]:
    out = rst(".. automodule:: vaekit.estimators", "   :no-members:")
    for name in ESTIMATORS:
        out += [f"## {name}", "", *rst(f".. autoclass:: vaekit.estimators.{name}", "   :members:")]
    return out


# -- types of signatures -----------------------------------------------------------------------------------------------


def _types() -> list[str]:
    out: list[str] = []
    for one in sorted(types(), key=lambda one: one.__qualname__.lower()):
        out += [f"## {one.__qualname__}", "", *_class(f"{one.__module__}.{one.__qualname__}", one)]
    out += ["## Aliases", ""]
    for name, said in ALIASES.items():
        out += rst(f".. py:type:: {name}", "", f"   {said}")
    return out


ALIASES = {
    "vaekit.nets.mlp.Shape": "A size, or a tuple of sizes.",
    "vaekit.likelihoods.scale.ScaleKind": "How a scale is learned: shared, channel, dimension or pixel.",
    "vaekit.objectives.importance.Gradient": "The estimator of a bound's gradient: plain, stl, dreg, gdreg or vimco.",
    "vaekit.recipes.settings.Settings": "All settings of a run, by section: model, objective, train, data.",
}
"""Names that stand for a choice of types."""


@cache
def types() -> frozenset[type[Any]]:
    """Return the classes of the package that public signatures name, and those that theirs do."""
    shown = {getattr(vaekit, name) for name in vaekit._WHERE} | {*vaekit.Run.__mro__} | {*_documented_estimators()}
    waiting: list[Any] = [value for _, _, value in members()]
    for value in [*shown, *_documented_estimators()]:
        waiting += [value, *(vars(value).values() if inspect.isclass(value) else ())]
        waiting += value.__mro__[1:2] if inspect.isclass(value) else ()
    out: set[type[Any]] = set()
    while waiting:
        for one in _classes(waiting.pop()):
            if one not in out and one not in shown and re.fullmatch(r"[A-Z]\w*", one.__name__):
                out.add(one)
                waiting += [one, *one.__mro__[1:2]] if not issubclass(one, BaseModel) else []
    return frozenset(out)


def _documented_estimators() -> list[Any]:
    module = importlib.import_module("vaekit.estimators")
    return [getattr(module, name) for name in ESTIMATORS]


def _classes(value: Any) -> Iterator[type[Any]]:
    """Yield the package's classes that a signature names, and the value itself where it is one."""
    value = getattr(value, "fget", None) or getattr(value, "func", None) or getattr(value, "__func__", value)
    if inspect.isclass(value) and value.__module__.startswith("vaekit."):
        yield value
    for source in (value, getattr(value, "__init__", None) if inspect.isclass(value) else None):
        if not callable(source):
            continue
        try:
            hints = typing.get_type_hints(source)
        except (NameError, TypeError):
            continue
        for hint in hints.values():
            yield from _in_hint(hint)


def _in_hint(hint: Any) -> Iterator[type[Any]]:
    if inspect.isclass(hint) and hint.__module__.startswith("vaekit."):
        yield hint
    for inner in hint if isinstance(hint, list) else get_args(hint):
        yield from _in_hint(inner)
