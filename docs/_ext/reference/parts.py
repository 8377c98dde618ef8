"""The pages of the parts: one a kind."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reference import facts
from reference.text import cited, code, docstring, link, md, table, target
from vaekit.data.datasets import DATASETS
from vaekit.data.modality import MODALITIES
from vaekit.data.sources import read_path
from vaekit.objectives.base import OBJECTIVES
from vaekit.recipes import catalogue
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import PARTS, choices
from vaekit.registry import Entry, Registry
from vaekit.schedules import Schedule
from vaekit.training.log import LOGGERS

KINDS = {
    "prior": ("priors", "Priors", "p(z), chosen by `model.prior`."),
    "posterior": ("posteriors", "Posteriors", "q(z|x), chosen by `model.posterior`."),
    "likelihood": ("likelihoods", "Likelihoods", "p(x|z), chosen by `model.likelihood`."),
    "network": ("networks", "Networks", "An encoder and the decoder that mirrors it, chosen by `model.net`."),
    "objective": (
        "objectives",
        "Objectives",
        "Terms: a loss is a sum of them. A recipe chooses its terms; in Python any of them go together.",
    ),
}
REGISTRIES: dict[str, Registry[Any]] = {registry.kind: registry for registry in (*PARTS, OBJECTIVES)}


def pages() -> dict[str, str]:
    """Return the list of parts, and a page for each kind."""
    return {
        "parts/index.md": index(),
        **{f"parts/{file}.md": kind_page(kind) for kind, (file, _, _) in KINDS.items()},
        "parts/schedules.md": schedules(),
        "parts/datasets.md": datasets(),
        "parts/readers.md": readers(),
    }


def index() -> str:
    """Return the list of all parts."""
    lines = [
        *target("parts"),
        "# Parts",
        "",
        "Recipes are put together from these. A part's options become settings of the model where the part is chosen: "
        "`--set model.prior=vamp --set model.components=50`. `vaekit parts` prints them.",
        "",
    ]
    for kind, (file, title, said) in KINDS.items():
        rows = [[link(entry.name, "part", kind, entry.name), md(entry.summary)] for entry in REGISTRIES[kind]]
        lines += [f"## [{title}]({file}.md)", "", md(said), "", *table([kind, ""], rows)]
    lines += ["## [Data sets](datasets.md)", "", *table(["data set", ""], _named("data-set", DATASETS))]
    lines += ["## [Readers](readers.md)", "", *table(["kind of data", ""], _named("reader", MODALITIES))]
    lines += ["## [Schedules](schedules.md)", "", "Values that change over a run.", ""]
    lines += ["## Loggers", "", *table(["logger", ""], ([code(e.name), md(e.summary)] for e in LOGGERS))]
    files = [*(file for file, _, _ in KINDS.values()), "schedules", "datasets", "readers"]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *files, "```", ""])


def _named(kind: str, registry: Registry[Any]) -> Iterable[list[str]]:
    return ([link(entry.name, "part", kind, entry.name), md(entry.summary)] for entry in registry)


def kind_page(kind: str) -> str:
    """Return the page of a kind of part."""
    _, title, said = KINDS[kind]
    listed = catalogue.parts(kind)[kind]
    lines = [f"# {title}", "", md(said), ""]
    for entry in REGISTRIES[kind]:
        lines += _part(kind, entry, listed[entry.name])
    return "\n".join(lines)


def _part(kind: str, entry: Entry[Any], listed: dict[str, Any]) -> list[str]:
    lines = [*target("part", kind, entry.name), f"## `{entry.name}`", "", *docstring(entry.part)]
    lines += [f"Source: {cited(entry.reference)}", ""] if entry.reference else []
    lines += [f"In Python: `{entry.part.__module__}.{entry.part.__qualname__}`", ""]
    if listed["options"] and kind == "objective":
        rows = [[code(one["name"]), code(one["type"]), code(_default(one["default"]))] for one in listed["options"]]
        lines += table(["parameter", "type", "default"], rows)
    elif listed["options"]:
        every = [of for each in facts.settings_of_parts().values() for of in each]
        types = {one.name: one.kind for one, *of in every if of == [kind, entry.name]}
        rows = [
            [
                link(f"model.{one['name']}", "setting", f"model.{one['name']}"),
                md(types[one["name"]]),
                code(facts.written(one["default"])),
                md(one["description"]),
            ]
            for one in listed["options"]
        ]
        lines += table(["option", "type", "default", ""], rows)
    users = _default_in(kind, entry.name)
    lines += [f"Used by: {', '.join(link(name, 'recipe', name) for name in users)}", ""] if users else []
    return lines


def _default(value: Any) -> str:
    known = value is None or isinstance(value, str | int | float | list | tuple)
    return facts.written(value if known else str(value))


def _default_in(kind: str, name: str) -> list[str]:
    """Return the recipes that have a part by default: that choose it, or whose objective has the term."""
    if kind == "objective":
        part = OBJECTIVES[name].part
        return [recipe for recipe in RECIPES.names if part in facts.terms(recipe)]
    out = []
    for recipe in RECIPES.names:
        model = facts.checked(recipe).model
        marks = choices(type(model)).items()
        out += (
            [recipe] if any(mark.registry.kind == kind and getattr(model, one) == name for one, mark in marks) else []
        )
    return out if len(out) < len(RECIPES.names) // 2 else []


def schedules() -> str:
    """Return the page of schedules."""
    lines = ["# Schedules", "", *target("part", "schedule"), *docstring(Schedule)]
    lines += ["Settings that take one say so by their type, number or schedule: [Settings](../settings.md).", ""]
    return "\n".join([lines[2], "", lines[0], "", *lines[4:]])


def datasets() -> str:
    """Return the page of known data sets."""
    lines = [
        "# Data sets",
        "",
        "Known by name: `vaekit train vae --data mnist`. Some come with vaekit or with a package that it needs, some "
        "are made by a program, others are downloaded when first used, or are put into a folder of `VAEKIT_DATA`. "
        "`vaekit datasets` says which were found.",
        "",
    ]
    for name, entry in catalogue.datasets().items():
        own = DATASETS[name].facts
        where = (
            f"with the package {code(entry['package'])}"
            if entry["package"]
            else "downloaded when first used"
            if entry["fetched"]
            else "made or read by vaekit, or put into `VAEKIT_DATA`"
        )
        rows = [
            ["kind", md("arrays" if entry["modality"] == "array" else entry["modality"])],
            ["where it comes from", where],
            *([[fact, md(str(own[fact]))] for fact in ("size", "licence") if own.get(fact)]),
            *([["source", cited(entry["reference"])]] if entry["reference"] else []),
        ]
        lines += [*target("part", "data-set", name), f"## `{name}`", "", md(entry["summary"]), ""]
        lines += table(["", ""], rows)
    return "\n".join(lines)


def readers() -> str:
    """Return the page of the kinds of data and how they are read."""
    lines = [
        "# Readers",
        "",
        "What `--data` names is read by its kind. A recipe says which kind it takes; plain arrays are for all recipes "
        "that take no other.",
        "",
        *target("part", "reader", "array"),
        "## arrays",
        "",
        *docstring(read_path)[:2],
        "IDX, NPY, NPZ (`x[, y]`, or `x_train`, `x_valid`, `x_test` and their `y_…`), CSV, a picture or a folder of "
        "them; in Python also arrays, tensors, data frames, sparse matrices and data sets of PyTorch.",
        "",
    ]
    for entry in MODALITIES:
        part = entry.part
        lines += [
            *target("part", "reader", entry.name),
            f"## {entry.name}",
            "",
            md(entry.summary),
            "",
            *docstring(type(part)),
        ]
        recipes = [name for name in RECIPES.names if RECIPES[name].part.takes == entry.name]
        own = [name for name in part.settings.model_fields if name not in _common()]
        rows = [
            ["files that only it reads", ", ".join(map(code, part.reads)) or "–"],
            ["files it writes, the default first", ", ".join(map(code, part.formats)) or "–"],
            ["data without a name", link(part.default, "part", "data-set", part.default) if part.default else "–"],
            ["lines as typed", "taken" if part.reads_lines else "–"],
            ["recipes", ", ".join(link(name, "recipe", name) for name in recipes) or "those for arrays"],
            ["settings of its own", ", ".join(link(f"data.{name}", "setting", f"data.{name}") for name in own) or "–"],
        ]
        lines += table(["", ""], rows)
    return "\n".join(lines)


def _common() -> set[str]:
    from vaekit.data.settings import DataSettings

    return {*DataSettings.model_fields}
