"""Whatever the registries, the commands and the package hold has its place in the pages made from them."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

import surface
import vaekit
from test_docs import known_settings
from test_layers import ROOT

EXTENSIONS = ROOT / "docs" / "_ext"
GENERATED = ROOT / "docs" / "_generated"
PARTS = {
    "prior": "priors",
    "posterior": "posteriors",
    "likelihood": "likelihoods",
    "network": "networks",
    "objective": "objectives",
}
"""The page of each kind of part."""
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.M)


def module(name: str) -> Any:
    """Return a module of the generator, which is no part of the package."""
    if str(EXTENSIONS) not in sys.path:
        sys.path.insert(0, str(EXTENSIONS))
    return importlib.import_module(f"reference.{name}")


@cache
def pages() -> Mapping[str, str]:
    """Return all generated pages."""
    return module("pages").pages()


def anchor(*names: str) -> str:
    return module("text").anchor(*names)


# -- what there has to be ----------------------------------------------------------------------------------------------


def expected() -> Iterator[tuple[str, str, str]]:
    """Yield what it is, the page where it has its place, and the text that stands there."""
    found = surface.registries()
    for name in found["recipe"].names:
        yield f"recipe {name}", f"recipes/{name}.md", f"(recipe-{name})="
        yield f"recipe {name} in the list", "recipes/index.md", f"({name}.md)"
        yield f"the graph of {name}", f"recipes/{name}.md", "<svg "
        yield f"the command of {name}", f"recipes/{name}.md", f"vaekit train {name} "
        for one in module("facts").settings(name):
            yield f"setting {one.path} of {name}", f"recipes/{name}.md", f"`{one.path}`"
        for term in module("facts").terms(name):
            entry = next(entry for entry in found["objective"] if entry.part is term)
            yield f"term {entry.name} of {name}", f"recipes/{name}.md", f"(#part-objective-{entry.name})"
    for kind, file in PARTS.items():
        for entry in found[kind]:
            yield f"{kind} {entry.name}", f"parts/{file}.md", f"({anchor('part', kind, entry.name)})="
            yield f"{kind} {entry.name} in the list", "parts/index.md", f"(#{anchor('part', kind, entry.name)})"
            for option in entry.options:
                yield f"option {option} of {kind} {entry.name}", f"parts/{file}.md", f"`model.{option}`"
    for kind, file in (("data set", "datasets"), ("modality", "readers")):
        for name in found[kind].names:
            label = anchor("part", {"modality": "reader"}.get(kind, "data-set"), name)
            yield f"{kind} {name}", f"parts/{file}.md", f"({label})="
    for name in found["logger"].names:
        yield f"logger {name}", "parts/index.md", f"`{name}`"
    for entry in found["metric"]:
        yield f"metric {entry.name}", "metrics.md", f"({anchor('metric', entry.name)})="
        for number in entry.facts["gives"]:
            yield f"number {number}", "metrics.md", f"({anchor('number', number)})="
    for name in known_settings():
        yield f"setting {name}", "settings.md", f"({anchor('setting', name)})="
    for name in surface.commands():
        yield f"command {name}", "commands.md", f"({anchor('command', name)})="
    for name in vaekit.__all__:
        at = "api/index.md" if name == "__version__" else None
        yield f"vaekit.{name}", at or api_page(name), f"vaekit.{name}\n" if at is None else "vaekit.__version__"
    for name, _ in inspect.getmembers(vaekit.Run):
        if not name.startswith("_"):
            yield f"Run.{name}", "api/run.md", f":: vaekit.Run.{name}\n"
    for name in vaekit.estimators.__dict__:  # pyright: ignore[reportAttributeAccessIssue]
        value = getattr(vaekit.estimators, name)  # pyright: ignore[reportAttributeAccessIssue]
        if inspect.isclass(value) and value.__module__ == "vaekit.estimators" and name[0] != "_":
            yield f"estimator {name}", "api/estimators.md", f":: vaekit.estimators.{name}\n"
    for name in importlib.import_module("vaekit.runs.folder").OWN:
        yield f"file {name}", "formats.md", f"`{name}`"


def api_page(name: str) -> str:
    page = next((page for page, names in module("api").public().items() if name in names), "run")
    return f"api/{page}.md"


def lacking(found: Mapping[str, str]) -> list[str]:
    """Return what has no place in these pages."""
    return [what for what, page, text in expected() if text not in found.get(page, "")]


def options_lacking(found: Mapping[str, str]) -> Iterator[str]:
    """Yield the arguments and options of commands that their part of the page does not have."""
    parts = dict(re.findall(r"^\(command-([\w-]+)\)=\n(.*?)(?=^\(command-|\Z)", found["commands.md"], re.M | re.S))
    for name, command in surface.commands().items():
        for key, one in command["arguments"].items():
            for option in one.get("names", ()):
                if not re.search(rf"`{re.escape(option)}[ `]", parts.get(name, "")):
                    yield f"{name} {option}"
            if "names" not in one and not re.search(r"^\| argument ", parts.get(name, ""), re.M):
                yield f"{name} argument {key}"


# -- tests ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def estimators() -> None:
    importlib.import_module("vaekit.estimators")


def test_every_kind_of_part_is_looked_for() -> None:
    others = {"recipe", "metric", "data set", "modality", "logger", "table"}  # tables: docs/published.md
    assert set(surface.registries()) == {*PARTS, *others}


def test_everything_has_its_place() -> None:
    assert not (found := lacking(pages())), "\n".join(found)
    assert not (options := [*options_lacking(pages())]), "\n".join(options)


@pytest.mark.parametrize(
    ("page", "text", "what"),
    [
        ("recipes/index.md", "(vq-vae.md)", "recipe vq-vae in the list"),
        ("parts/priors.md", "(part-prior-vamp)=", "prior vamp"),
        ("metrics.md", "(number-kl)=", "number kl"),
        ("settings.md", "(setting-objective-beta)=", "setting objective.beta"),
        ("commands.md", "(command-detect)=", "command detect"),
        ("api/functions.md", "vaekit.train\n", "vaekit.train"),
        ("api/run.md", ":: vaekit.Run.sample\n", "Run.sample"),
        ("formats.md", "`run.json`", "file run.json"),
    ],
)
def test_what_is_left_out_is_seen(page: str, text: str, what: str) -> None:
    assert text in pages()[page]
    assert what in lacking({**pages(), page: pages()[page].replace(text, "")})


def test_an_option_that_is_left_out_is_seen() -> None:
    less = {"commands.md": pages()["commands.md"].replace("`--horizon", "`--other")}
    assert [*options_lacking(less)] == ["impute --horizon"]


def test_a_page_that_is_left_out_is_seen() -> None:
    less = {name: text for name, text in pages().items() if name != "recipes/vae.md"}
    assert "recipe vae" in lacking(less)


def test_labels_are_one_each_and_links_lead_somewhere() -> None:
    labels = Counter(label for text in pages().values() for label in LABEL.findall(text))
    assert [label for label, count in labels.items() if count > 1] == []
    for name, text in pages().items():
        folder = (GENERATED / name).parent
        prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            path, _, label = target.partition("#")
            if not path:
                assert label in labels, (name, target)
            elif not path.startswith("https://"):
                to = (folder / path).resolve()
                made = to.is_relative_to(GENERATED) and to.relative_to(GENERATED).as_posix() in pages()
                assert made or (to.is_file() and not to.is_relative_to(GENERATED)), (name, target)


def test_every_number_has_one_unit_and_no_unit_is_of_none() -> None:
    numbers = {number for entry in surface.registries()["metric"] for number in entry.facts["gives"]}
    listed = Counter(name for names in module("units").UNITS.values() for name in names.split())
    assert set(listed) == numbers, set(listed) ^ numbers
    assert max(listed.values()) == 1


def test_what_is_said_of_recipes_is_of_recipes_that_there_are() -> None:
    recipes = surface.registries()["recipe"].names
    assert set(module("uses").USES) <= set(recipes)
    models = {one.__name__ for name in recipes for one in module("facts").models(name)}
    assert set(module("graphs").GRAPHS) <= models | set(recipes)


def test_claims_stand_as_they_were_measured() -> None:
    trust = (ROOT / "docs" / "trust.md").read_text(encoding="utf-8")
    head, rows = module("measured").comparisons()
    assert head[0] in trust, "docs/trust.md has other columns: make trust ARGS=--keep"
    for recipe, lines in rows.items():
        assert all(line in pages()[f"recipes/{recipe}.md"] for line in lines)


def test_pages_name_no_path_of_this_machine() -> None:
    for name, text in pages().items():
        assert str(ROOT) not in text, name
        assert not re.search(r"/(root|home)/", text), name
