"""What has been measured of recipes: comparisons kept by the benchmarks, published tables, galleries, pictures."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from reference.text import ROOT
from vaekit.published.base import TABLES
from vaekit.recipes.base import RECIPES
from vaekit.studies.definition import definition
from vaekit.studies.definition import names as studies_known

DOCS = ROOT / "docs"


def by_path(name: str) -> Any:
    """Return a module of the folder `bench`, which is no package."""
    key = f"bench_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, ROOT / "bench" / f"{name}.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[key] = module  # a dataclass looks its module up
        spec.loader.exec_module(module)
    return sys.modules[key]


@cache
def kept() -> Mapping[str, Any]:
    """Return the runs that `bench/claims.py` keeps."""
    return by_path("claims").kept()


@cache
def comparisons() -> tuple[list[str], dict[str, list[str]]]:
    """Return the head of the table of claims, and its rows by recipe, as `docs/trust.md` has them."""
    lines = [line for line in by_path("claims").table(kept()) if line.startswith("|")]
    rows: dict[str, list[str]] = {}
    for line in lines[2:]:
        found = re.match(r"\| `([\w-]+)`", line)
        rows.setdefault(found[1] if found else "", []).append(line)
    return lines[:2], rows


def claimed(recipe: str) -> list[Any]:
    """Return the claims that are made for a recipe."""
    return [claim for claim in by_path("claims").CLAIMS if claim.recipe == recipe]


def value(recipe: str) -> tuple[str, str]:
    """Return the first number that the comparisons have of a recipe: its name, and its value with the data."""
    claims = by_path("claims")
    for claim in claimed(recipe):
        for data in claim.data:
            row = claims.row(claim, data, claims.STEPS[data], kept())
            if isinstance(row, claims.Row):
                return claim.number, f"{row.value:.4g} on {data}"
    return "", ""


def published(recipe: str) -> list[str]:
    """Return the names of the published tables that train a recipe."""
    return [entry.name for entry in TABLES if recipe in _recipes_of(entry.name)]


@cache
def _recipes_of(table: str) -> frozenset[str]:
    measure: Any = TABLES[table].part.measure
    keys = getattr(measure, "keys", None)
    text = json.dumps(keys) if isinstance(keys, Mapping) else inspect.getsource(measure)
    named = r'"recipe": "([\w-]+)"' if isinstance(keys, Mapping) else r'\btrain\(\s*"([\w-]+)"'
    return frozenset(re.findall(named, text)) & frozenset(RECIPES.names)


@cache
def studies() -> dict[str, frozenset[str]]:
    """Return the recipes of each built-in study, "vae" where its definition names none."""
    out: dict[str, frozenset[str]] = {}
    for name in studies_known():
        text = definition(name).model_dump_json()
        out[name] = frozenset(re.findall(r'"recipe":"([\w-]+)"', text)) & frozenset(RECIPES.names)
    return out


@cache
def headings(page: str) -> dict[str, str]:
    """Return the anchors of a page's headings by their first word, as MyST makes them."""
    out: dict[str, str] = {}
    for title in re.findall(r"^##+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.M):
        out[title.split()[0].strip(":`")] = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return out


@dataclass(frozen=True)
class Gallery:
    """A page of measurements: its file, title, how often it names a recipe, and its pictures of one."""

    file: str
    title: str
    mentions: Mapping[str, int]
    pictures: Mapping[str, list[tuple[str, str]]]


@cache
def galleries() -> list[Gallery]:
    """Return the measured galleries. A picture is of the recipe whose training was last told before it."""
    out: list[Gallery] = []
    for path in sorted(DOCS.glob("gallery-*.md")):
        text = path.read_text(encoding="utf-8")
        pictures: dict[str, list[tuple[str, str]]] = {}
        recipe = ""
        for found in re.finditer(r"\btrain ([a-z][a-z0-9-]+)|!\[([^\]]*)\]\(([^)]+)\)", text):
            recipe = found[1] if found[1] in RECIPES.names else recipe
            if found[3] and recipe:
                pictures.setdefault(recipe, []).append((found[2], found[3]))
        mentions = {name: len(re.findall(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)) for name in RECIPES.names}
        title = text.splitlines()[0].removeprefix("# ")
        out.append(Gallery(path.name, title, mentions, pictures))
    return out


@cache
def drawn_together() -> tuple[str, ...]:
    """Return the recipes that docs/images/recipes.png has a row of samples of; none where it is not there."""
    if not (DOCS / "images" / "recipes.png").is_file():
        return ()
    source = (ROOT / "bench" / "screenshots.py").read_text(encoding="utf-8")
    found = re.search(r"^RECIPES = \((.*?)^\)", source, re.M | re.S)
    return tuple(re.findall(r'"([\w-]+)"', found[1])) if found else ()
