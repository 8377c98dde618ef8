"""What there is: recipes, data sets, and a recipe's settings, as plain values."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from vaekit.data.datasets import DATASETS, available
from vaekit.recipes.base import RECIPES


def recipes() -> dict[str, dict[str, str]]:
    """Return every recipe's summary and reference, by name."""
    return {entry.name: {"summary": entry.summary, "reference": entry.reference} for entry in RECIPES}


def datasets() -> dict[str, dict[str, Any]]:
    """Return every known data set by name: summary, reference, the package that bundles it, where it was found."""
    return {
        entry.name: {
            "summary": entry.summary,
            "reference": entry.reference,
            "modality": entry.facts.get("modality", "array"),
            "package": entry.facts.get("bundled"),
            "found": available(entry),
            "fetched": any(file.mirrors for file in entry.facts.get("files", ())),
        }
        for entry in DATASETS
    }


def show(name: str) -> dict[str, Any]:
    """Return a recipe's facts, and its settings by section with defaults and descriptions."""
    recipe = RECIPES[name].part
    settings = recipe.settings()
    sections: dict[str, list[dict[str, Any]]] = {}
    for section in type(settings).model_fields:
        values: BaseModel = getattr(settings, section)
        plain = values.model_dump(mode="json")
        sections[section] = [
            {"name": field, "default": plain[field], "description": facts.description or ""}
            for field, facts in type(values).model_fields.items()
        ]
    return {"name": recipe.name, "summary": recipe.summary, "reference": recipe.reference, "settings": sections}
