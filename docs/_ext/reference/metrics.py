"""The page of the metrics and of every number that they give."""

from __future__ import annotations

from typing import Any

from reference.text import cited, code, docstring, link, md, table, target
from reference.units import unit
from vaekit.metrics.base import METRICS
from vaekit.recipes.base import RECIPES
from vaekit.registry import Entry

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
                [link(number, "number", number), md(said), md(unit(number)), BETTER[higher]]
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
    for number, (said, higher) in own["gives"].items():
        better = "" if higher is None else f" {'Higher' if higher else 'Lower'} is better."
        lines += [
            *target("number", number),
            f"`{number}`",
            f": {md(said[:1].upper() + said[1:])}. Unit: {md(unit(number))}.{better}",
            "",
        ]
    needs = [NEEDS.get(need) or f"data of the kind {code(need.removeprefix('modality:'))}" for need in own["needs"]]
    lines += [f"Needs {', '.join(needs)}.", ""] if needs else []
    lines += ["Computed only when it, a number of it or its group is named.", ""] if own["slow"] else []
    lines += [f"Source: {cited(entry.reference)}", ""] if entry.reference else []
    first = [name for name in RECIPES.names if RECIPES[name].part.headline[0] in own["gives"]]
    if 0 < len(first) < 20:
        lines += [f"The headline number of {', '.join(link(name, 'recipe', name) for name in first)}.", ""]
    return lines
