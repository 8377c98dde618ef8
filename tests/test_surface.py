"""What a user can type and read is what the list in surface.json says, or more: see surface.py."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import surface

LISTED = surface.read()


def none(lost: Iterable[str]) -> None:
    assert not (sentences := [*lost]), "\n".join(sentences)


def complete(section: str, now: Any) -> None:
    none(surface.missing(LISTED[section], now, section))


def test_commands() -> None:
    complete("commands", surface.commands())


def test_python() -> None:
    complete("python", surface.python())


def test_parts() -> None:
    complete("parts", surface.parts())


def test_metrics() -> None:
    complete("metrics", surface.metrics())


@pytest.mark.parametrize("recipe", [name for name in LISTED["settings"] if name != "*"])
def test_settings(recipe: str) -> None:
    listed = LISTED["settings"]["*"] | LISTED["settings"][recipe]
    none(surface.settings_lost(recipe, listed))


@pytest.mark.parametrize(
    "name", [*surface.USES, *(pytest.param(name, marks=pytest.mark.slow) for name in surface.SLOW)]
)
def test_uses(name: str, tmp_path: Path) -> None:
    for package in surface.PACKAGES.get(name, []):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}")
    found = surface.use({**surface.USES, **surface.SLOW}[name], tmp_path)
    none(surface.missing(LISTED["uses"][name], found, name))


def test_every_listed_use_is_tried() -> None:
    tried = {name: set(lines) for name, lines in {**surface.USES, **surface.SLOW}.items()}
    assert tried == {name: set(lines) for name, lines in LISTED["uses"].items()}
