"""From a recipe and a source to a data set: arrays as the likelihood wants them, other data by their modality."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from vaekit.data.dataset import DataSet
from vaekit.data.datasets import DATASETS, modality_name
from vaekit.data.loading import prepare, read
from vaekit.data.modality import MODALITIES, reading
from vaekit.data.preprocessing import describe
from vaekit.data.tables.modality import is_table
from vaekit.errors import UserError
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.recipes.base import RECIPES, Recipe
from vaekit.recipes.own import entry_of
from vaekit.recipes.parts import likelihood_name
from vaekit.recipes.settings import Settings


def default_source(name: str) -> str:
    """Return the data that a recipe trains on when none are named; a UserError where there are none.

    >>> default_source("vae")
    'digits'
    """
    recipe = entry_of(name).part
    source = "digits" if recipe.takes == "array" else MODALITIES[recipe.takes].part.default
    if source is None:
        raise UserError(f"the recipe '{recipe.name}' takes {recipe.takes} and has none of its own; give data")
    return source


def recipe_for(recipe: Recipe, source: Any) -> Recipe:
    """Return the recipe that is trained on a source: of one that has another for tables, that one on a table."""
    return RECIPES[recipe.on_tables].part if recipe.on_tables is not None and is_table(source) else recipe


def load_for(recipe: Recipe, settings: Settings, source: Any) -> tuple[DataSet, str]:
    """Return the data set for a recipe's settings, and the likelihood's name with "auto" settled by the data.

    A `DataSet` is taken as it is.
    """
    if isinstance(source, DataSet):
        return source, likelihood_name(settings.model, source.info)
    _check_modality(recipe, source)
    if recipe.takes != "array":
        data: Any = settings.data
        if data.seed is None:  # the split's seed is then the run's
            data = data.model_copy(update={"seed": settings.train.seed})
        dataset = MODALITIES[recipe.takes].part.load(source, data)
        return dataset, likelihood_name(settings.model, dataset.info)
    raw = read(source, settings.data)
    name = likelihood_name(settings.model, describe(raw, settings.data))
    return prepare(raw, settings.data, recipe.wants or LIKELIHOODS[name].part.wants), name


def load_like(recipe: Recipe, settings: Settings, source: Any) -> DataSet:
    """Load a run's data again, its likelihood being settled; what training said of them is not said again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return load_for(recipe, settings, source)[0]


def _check_modality(recipe: Recipe, source: Any) -> None:
    """Refuse a known set or a file of another modality than the recipe takes, naming recipes that take it."""
    if isinstance(source, str) and source in DATASETS:
        holds = modality_name(source)
    elif isinstance(source, str | Path) and recipe.takes == "array":
        holds = reading([suffix.lower() for suffix in Path(source).suffixes]) or "array"
    else:
        return  # the modality's own reader says what it cannot read
    if holds != "array" and MODALITIES[holds].part.as_arrays:
        holds = "array"
    if holds != recipe.takes:
        able = [entry.name for entry in RECIPES if entry.part.takes == holds]
        named = "vae" if holds == "array" else " or ".join(able)
        raise UserError(
            f"'{recipe.name}' takes {_plural(recipe.takes)}, and {source} holds {_plural(holds)}; train {named} on it"
        )


def _plural(modality: str) -> str:
    return "arrays of numbers" if modality == "array" else MODALITIES[modality].part.noun
