"""The page of the metrics and of every number that they give."""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from reference.text import cited, code, docstring, link, md, table, target
from vaekit.metrics.base import METRICS
from vaekit.recipes.base import RECIPES
from vaekit.registry import Entry

GIVES_UNIT = {"Result": 1, "mean_of": 1, "refused": 1, "share": 1}
"""What a unit is the argument of, and which."""
NEEDS = {
    "labels": "labels that are classes",
    "images": "images",
    "factors": "data with known discrete factors",
    "sources": "data with known factors",
    "runs": "several runs named together",
    "features": "a network, `--features FILE`",
    "train": "the training data",
    "classifier": "a model that classifies",
    "codes": "quantised codes",
    "sets": "a context that a set's examples share",
    "scene": "rendered scenes",
    "array": "arrays of numbers",
    "tokens": "sequences of tokens",
    "table": "a table",
    "graph": "graphs",
    "series": "time series",
}
BETTER = {True: "higher", False: "lower", None: "–"}


def page() -> str:
    """Return the page: what numbers there are, then every metric."""
    groups: dict[str, list[Entry[Any]]] = {}
    for entry in METRICS:
        groups.setdefault(entry.facts["group"], []).append(entry)
    numbers = {number: entry for entry in METRICS for number in entry.facts["gives"]}
    lines = [
        *target("metrics"),
        "# Metrics",
        "",
        f"{len(METRICS)} metrics give {len(numbers)} numbers. `vaekit evaluate RUN --metrics NAME,…` takes metrics, "
        "numbers and groups; `all` is everything that the data and the model allow and that is not slow. Numbers come "
        "with a standard error or a 95% interval where there is one, and with what they are numbers of: "
        "[What the numbers are worth](../trust.md).",
        "",
        "## All numbers",
        "",
        *table(
            ["number", "what it is", "unit", "better"],
            (
                [link(number, "number", number), md(said), md(units(entry)[number]), BETTER[higher]]
                for number, entry in sorted(numbers.items())
                for said, higher in [entry.facts["gives"][number]]
            ),
        ),
    ]
    for group in sorted(groups):
        lines += [f"## {group}", ""]
        for entry in groups[group]:
            lines += _metric(entry)
    return "\n".join(lines)


def _metric(entry: Entry[Any]) -> list[str]:
    own = entry.facts
    lines = [*target("metric", entry.name), f"### `{entry.name}`", "", *docstring(entry.part)]
    found = units(entry)
    for number, (said, higher) in own["gives"].items():
        better = "" if higher is None else f" {'Higher' if higher else 'Lower'} is better."
        unit = f" Unit: {md(found[number])}." if found[number] != "–" else ""
        lines += [*target("number", number), f"`{number}`", f": {md(said[:1].upper() + said[1:])}.{unit}{better}", ""]
    needs = [NEEDS.get(need) or f"data of the kind {code(need.removeprefix('modality:'))}" for need in own["needs"]]
    lines += [f"Needs {', '.join(needs)}.", ""] if needs else []
    lines += ["Computed only when it, a number of it or its group is named.", ""] if own["slow"] else []
    lines += [f"Source: {cited(entry.reference)}", ""] if entry.reference else []
    first = [name for name in RECIPES.names if RECIPES[name].part.headline[0] in own["gives"]]
    lines += [f"The headline number of {', '.join(link(name, 'recipe', name) for name in first)}.", ""] if 0 < len(first) < 20 else []
    return lines


# -- units -------------------------------------------------------------------------------------------------------------


def units(entry: Entry[Any]) -> Mapping[str, str]:
    """Return the unit of each number of a metric, as its code gives it; "–" where that is known in a run alone.

    >>> units(METRICS["elbo"])["kl"], units(METRICS["mse"])["psnr"]
    ('nats/example', 'dB')
    """
    function = inspect.unwrap(entry.part)
    scope = vars(sys.modules[function.__module__])
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    by_name = {name: unit for name, unit in _named(tree, scope)}
    every = {unit for unit in _all(tree, scope)}
    out: dict[str, str] = {}
    for number in entry.facts["gives"]:
        near = [unit for name, unit in by_name.items() if number == name or number.startswith(name.partition("{")[0])]
        out[number] = by_name.get(number) or (near[0] if len({*near}) == 1 else "") or (next(iter(every)) if len(every) == 1 else "–")
    return out


def _named(tree: ast.AST, scope: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the numbers that a function gives by name, with their units."""
    for node in ast.walk(tree):
        pairs: list[tuple[ast.expr | None, ast.expr]] = []
        if isinstance(node, ast.Dict):
            pairs = [*zip(node.keys, node.values)]
        elif isinstance(node, ast.DictComp):
            pairs = [(node.key, node.value)]
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            pairs = [(node.targets[0].slice, node.value)]
        for key, value in pairs:
            name = _text(key, scope)
            unit = next(_all(value, scope), None)
            if name and unit:
                yield name, unit


def _all(tree: ast.AST, scope: Mapping[str, Any]) -> Iterator[str]:
    """Yield the units in a piece of code."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        place = GIVES_UNIT.get(name)
        given = [word.value for word in node.keywords if word.arg == "unit"]
        given += [node.args[place]] if place is not None and len(node.args) > place else []
        for one in given:
            if isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id == "nats":
                yield "nats/example"
            elif unit := _text(one, scope):
                yield unit


def _text(node: ast.expr | None, scope: Mapping[str, Any]) -> str:
    """Return a text that is written out, or what a name of the module stands for; places to fill in as {}."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name) and isinstance(scope.get(node.id), str):
        return scope[node.id]
    if isinstance(node, ast.JoinedStr):
        return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
    return ""
