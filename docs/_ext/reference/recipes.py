"""The pages of the recipes: one each, and their list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from reference import facts, measured
from reference.graphs import graph, svg
from reference.text import cited, code, folded, link, md, paragraphs, table, target
from reference.uses import USES
from vaekit.data.modality import MODALITIES
from vaekit.errors import UserError
from vaekit.objectives.base import OBJECTIVES
from vaekit.recipes import catalogue
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import PARTS
from vaekit.runs.data import default_source

ARRAYS = "arrays: vectors, images, volumes, sound"
BASE = "vae"
"""The recipe that the others are compared with."""
SECTIONS = {"model": "The model", "objective": "The objective", "train": "Training", "data": "Data"}


def pages() -> dict[str, str]:
    """Return the list of recipes and a page for each."""
    return {"recipes/index.md": index()} | {f"recipes/{name}.md": page(name) for name in RECIPES.names}


def takes(recipe: str) -> str:
    """Return the data that a recipe is for, in words."""
    part = RECIPES[recipe].part
    words = ARRAYS if part.takes == "array" else MODALITIES[part.takes].part.noun
    return words + (", with labels" if part.needs_labels else "")


def index() -> str:
    """Return the list of recipes by family."""
    lines = [
        *target("recipes"),
        "# Recipes",
        "",
        f"A recipe is a variant: a model and an objective put together from [parts](../parts/index.md). There are "
        f"{len(RECIPES.names)}. `vaekit recipes` prints this list, `vaekit show NAME` one recipe's settings. The "
        f"headline number is the one that the recipe's report shows first. The value beside it is of the number by "
        f"which the recipe is compared with what it claims to improve on: test examples of small runs. Each recipe's "
        f"page has the comparison, [What the numbers are worth](../../trust.md) all of them.",
        "",
    ]
    for family, names in catalogue.families().items():
        lines += [f"## {family}", ""]
        lines += table(["recipe", "what it is", "data", "headline number"], (_row(name) for name in names))
    lines += ["```{toctree}", ":hidden:", "", *RECIPES.names, "```", ""]
    return "\n".join(lines)


def _row(name: str) -> list[str]:
    entry = RECIPES[name]
    number = entry.part.headline[0]
    data = ("arrays" if entry.part.takes == "array" else entry.part.takes) + (
        ", labels" if entry.part.needs_labels else ""
    )
    told, found = measured.value(name)
    value = link(number, "number", number)
    value += "" if not told else f" {found}" if told == number else f"; {link(told, 'number', told)} {found}"
    return [f"[{code(name)}]({name}.md)", md(entry.summary), md(data), value]


def page(name: str) -> str:
    """Return the page of one recipe."""
    entry = RECIPES[name]
    lines = [
        *target("recipe", name),
        f"# {name}",
        "",
        md(entry.summary),
        "",
        *table(["", ""], _facts(name)),
        "## When to use it",
        "",
        *([md(USES[name]), ""] if name in USES else []),
        *_built_for(name),
        *([] if name == BASE else _differences(name)),
        *_graph(name),
        *_objective(name),
        *_command(name),
        *_settings(name),
        *_measured(name),
    ]
    return "\n".join(lines)


def _facts(name: str) -> Iterable[Sequence[str]]:
    entry = RECIPES[name]
    family = next(title for title, names in catalogue.families().items() if name in names)
    yield "family", md(family)
    yield "data", md(takes(name))
    yield "source", cited(entry.reference)
    yield "read first", ", ".join(link(number, "number", number) for number in entry.part.headline)
    if entry.part.on_tables:
        yield "on a table", f"{link(entry.part.on_tables, 'recipe', entry.part.on_tables)} is trained in its place"


def _built_for(name: str) -> list[str]:
    """Return what the recipe is claimed to improve on, as the comparisons have it."""
    out = []
    for claim in measured.claimed(name):
        against = link(claim.against, "recipe", claim.against) if claim.against in RECIPES.names else md(claim.against)
        number = link(claim.number, "number", claim.number)
        out += [f"It is compared with {against} by {number}: {md(claim.why)}. See [Measured](#measured-{name}).", ""]
    return out


def _differences(name: str) -> list[str]:
    """Return the defaults that are not those of the baseline, and the terms that one of both alone has."""
    base = {one.path: one for one in facts.settings(BASE)}
    rows = []
    for one in facts.settings(name):
        other = base.get(one.path)
        if other is not None and one.shown != other.shown:
            rows.append([link(one.path, "setting", one.path), code(other.shown), code(one.shown)])
    model = [facts.models(one)[-1].__name__ if facts.models(one) else "" for one in (BASE, name)]
    if model[0] != model[1]:
        rows.append(["model", *map(code, model)])
    terms = [facts.terms(one) for one in (BASE, name)]
    if terms[0] != terms[1]:
        rows.append(["terms", *(", ".join(map(_term, each)) for each in terms)])
    rows = rows or [["defaults, model and terms", "–", "the same"]]
    return [f"## Difference from `{BASE}`", "", *table(["", f"`{BASE}`", f"`{name}`"], rows)]


def _term(term: type[Any]) -> str:
    entry = next((entry for entry in OBJECTIVES if entry.part is term), None)
    return code(term.__name__) if entry is None else link(entry.name, "part", "objective", entry.name)


def _graph(name: str) -> list[str]:
    drawn = graph(name)
    return [
        "## Model",
        "",
        f'<figure class="graphical-model">{svg(drawn, f"Graphical model of {name}")}</figure>',
        "",
        f"Model: ${drawn.p}$",
        "",
        f"Posterior: ${drawn.q}$",
        "",
        "Shaded: observed (dashed rim: for some examples only). Square: discrete. Solid arrows: drawn given. Dashed "
        "arrows: inferred from.",
        "",
        *table(["part", "default", ""], _parts(name)),
    ]


def _parts(name: str) -> Iterable[Sequence[str]]:
    """Yield the parts that the defaults choose."""
    chosen = {one.name: one for one in facts.settings(name) if one.section == "model"}
    registries = {registry.kind: registry for registry in PARTS}
    for kind in ("posterior", "prior", "likelihood", "network"):
        one = chosen["net" if kind == "network" else kind]
        if one.description == "not used":
            continue
        if one.shown in registries[kind]:
            entry = registries[kind][one.shown]
            yield kind, link(entry.name, "part", kind, entry.name), md(entry.summary)
        else:
            yield kind, code(one.shown), md(one.description)


def _objective(name: str) -> list[str]:
    """Return the terms of what is minimised."""
    rows = []
    for term in facts.terms(name):
        blocks = paragraphs(term)
        said = " ".join(" ".join(blocks[0]).split()) if blocks else ""
        player = getattr(term, "player", "model")
        rows.append([_term(term), md(said), code(player)])
    return [
        "## Objective",
        "",
        "The loss is a sum of terms, in nats; a player minimises its own. Where a term is one of several that a "
        "setting chooses from, all are listed. Weights are among the settings of the objective below.",
        "",
        *table(["term", "what it is", "player"], rows),
    ]


def _command(name: str) -> list[str]:
    try:
        source = default_source(name)
    except UserError:
        source = "DATA"
    shown = repr(source).replace("'", '"') if source != "DATA" else "data"
    return [
        "## Command",
        "",
        "```sh",
        f"vaekit train {name} --data {source} --out runs/{name}",
        f"vaekit evaluate runs/{name}",
        "```",
        "",
        "```python",
        "import vaekit",
        "",
        f'run = vaekit.train("{name}", {shown})',
        "run.evaluate()",
        "```",
        "",
    ]


def _settings(name: str) -> list[str]:
    """Return the settings by section: those of model and objective open, those of training and data folded."""
    out = ["## Settings", "", f"`--set SECTION.NAME=VALUE` changes one; `vaekit show {name}` prints them.", ""]
    every = facts.settings(name)
    for section, title in SECTIONS.items():
        rows = [
            [link(one.path, "setting", one.path), code(one.shown), md(one.description)]
            for one in every
            if one.section == section and one.description != "not used"
        ]
        lines = table(["setting", "default", ""], rows)
        unused = [code(one.path) for one in every if one.section == section and one.description == "not used"]
        lines += [f"Not used by this recipe: {', '.join(unused)}.", ""] if unused else []
        out += folded(title, lines) if section in ("train", "data") else [f"### {title}", "", *lines]
    return out


def _measured(name: str) -> list[str]:
    """Return what was measured of a recipe and where more of it stands."""
    head, rows = measured.comparisons()
    out: list[str] = []
    if name in rows:
        out += [
            "Each row is this recipe less what it is compared with, on the same test examples; ± is the paired "
            "standard error over them, and beside it the spread over training seeds. How these are measured, and all "
            "others: [What the numbers are worth](../../trust.md).",
            "",
            *head,
            *rows[name],
            "",
        ]
    pictures = [picture for page in measured.galleries() for picture in page.pictures.get(name, ())]
    own = f"images/recipes/{name}.png"
    if (measured.DOCS / own).is_file():
        pictures.append((f"Samples of {name}, trained on the bundled digits with its defaults", own))
    elif name in measured.drawn_together():
        pictures.append((f"Samples of ten recipes trained on the digits, {name} among them", "images/recipes.png"))
    for said, path in pictures:
        out += [f"![{said}](../../{path})", "", f"*{md(said[:1].upper() + said[1:])}.*", ""]
    out += [f"- {line}" for line in _more(name)]
    out = out or ["Nothing is kept of this recipe.", ""]
    return [f"(measured-{name})=", "", "## Measured", "", *out, ""]


def _more(name: str) -> Iterable[str]:
    """Yield the pages with more of what was measured."""
    pages = sorted(measured.galleries(), key=lambda page: -page.mentions[name])
    for page in [page for page in pages if page.mentions[name] > 1][:4]:
        yield f"[{page.title}](../../{page.file})"
    for one in measured.published(name):
        slug = measured.headings("published.md").get(one)
        yield f"Published figures: [{one}](../../published.md{f'#{slug}' if slug else ''})"
    for study, recipes in measured.studies().items():
        if name in recipes:
            yield f"Study: [{study}](../../studies.md), `vaekit study {study}`"
