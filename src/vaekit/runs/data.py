"""From a recipe and a source to a data set: arrays as the likelihood wants them, other data by their modality."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.audio.modality import Audio
from vaekit.data.contents import Contents
from vaekit.data.dataset import DataSet
from vaekit.data.datasets import DATASETS, modality_name
from vaekit.data.info import DataInfo
from vaekit.data.loading import prepare, read
from vaekit.data.modality import MODALITIES, Modality, modality_of, reading
from vaekit.data.prepare import Prepare
from vaekit.data.preprocessing import describe
from vaekit.data.settings import DataSettings
from vaekit.data.shares import Shares
from vaekit.data.splits import deal
from vaekit.data.tables.modality import TableSettings, is_table, labels_as_needed
from vaekit.errors import ChangedData, UserError, memory_for
from vaekit.likelihoods.base import LIKELIHOODS
from vaekit.recipes.base import RECIPES, Recipe
from vaekit.recipes.own import CUSTOM, entry_of
from vaekit.recipes.parts import likelihood_name
from vaekit.recipes.settings import Settings

LESS = "take fewer with data.limit=N, smaller pictures with data.size=N, or leave them on disk with data.stream=yes"


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


def load_for(
    recipe: Recipe, settings: Settings, source: Any, held_out: Mapping[str, Any] | None = None
) -> tuple[DataSet, str]:
    """Return the data set for a recipe's settings, and the likelihood's name with "auto" settled by the data.

    `held_out` are further sources that are the splits "valid" and "test". A `DataSet` is taken as it is.
    """
    with memory_for(f"the data {source if isinstance(source, str | Path) else ''}".rstrip(), LESS):
        dataset, likelihood = _load_for(recipe, settings, source, held_out)
    for name in held_out or {}:
        _warn_of_seen(dataset, name)
    return dataset, likelihood


def _warn_of_seen(dataset: DataSet, name: str) -> None:
    """Say where examples that were given as a held-out split are among those trained on."""
    trained, held = dataset.train.keys, getattr(dataset, name).keys
    if trained is None or held is None or not (seen := int(np.isin(held, trained).sum())):
        return
    warnings.warn(
        f"{seen:,} of the {len(held):,} {name} examples are training examples too: numbers on them are not of unseen "
        "data",
        stacklevel=3,
    )


def _load_for(
    recipe: Recipe, settings: Settings, source: Any, held_out: Mapping[str, Any] | None
) -> tuple[DataSet, str]:
    if isinstance(source, DataSet):
        if held_out:
            raise UserError("a DataSet has its splits already; leave valid and test out")
        return source, likelihood_name(settings.model, source.info)
    _check_modality(recipe, source)
    if recipe.takes != "array":
        data: Any = settings.data
        if data.seed is None:  # the split's seed is then the run's
            data = data.model_copy(update={"seed": settings.train.seed})
        modality = MODALITIES[recipe.takes].part
        if isinstance(data, TableSettings):
            data = labels_as_needed(data, source, recipe.needs_labels)
        dataset = _of_modality(modality, source, data, held_out or {})
        name = likelihood_name(settings.model, dataset.info)
        return modality.fitted(dataset, LIKELIHOODS[name].part.wants), name
    raw = read(source, settings.data, held_out)
    if raw.taken:
        warnings.warn(f"{raw.source}: {raw.taken}", stacklevel=2)
    name = likelihood_name(settings.model, describe(raw, settings.data))
    if recipe.name == CUSTOM:
        dataset = prepare(raw, for_own(settings.data), recipe.wants or LIKELIHOODS[name].part.wants)
        _warn_of_unit(dataset.info, "give data.standardise=true, or scale them yourself")
        return as_seen(dataset), name
    dataset = prepare(raw, settings.data, LIKELIHOODS[name].part.wants)
    _warn_of_unit(dataset.info, "leave data.standardise=false out (numbers are in the data's own units either way)")
    return dataset, name


def _of_modality(modality: Modality, source: Any, settings: DataSettings, held_out: Mapping[str, Any]) -> DataSet:
    """Load three splits; those the user gives are read as other data of a trained model are."""
    if settings.unseen:
        raise UserError(f"data.unseen is for arrays and pictures with classes, not for {modality.noun}; leave it out")
    dataset = modality.load(source, settings.model_copy(update=dict.fromkeys(held_out, 0)))
    if held_out and dataset.info.facts.get("links"):
        raise UserError(f"{dataset.info.source} is one graph, whose own edges are held out; leave valid and test out")
    if held_out and dataset.train.y is not None and dataset.train.y.is_floating_point():
        raise UserError("data.property needs the splits of one file; leave valid and test out")
    splits: dict[str, Any] = {name: modality.encode(other, dataset.info, settings) for name, other in held_out.items()}
    sizes = {f"n_{name}": len(split) for name, split in splits.items()}
    contents = dataset.contents and dataset.contents.with_own({name: split.keys for name, split in splits.items()})
    return replace(dataset, info=replace(dataset.info, **sizes), contents=contents, **splits)


def for_own(settings: DataSettings) -> DataSettings:
    """Return the settings for a hand-made model, which sees real data as they are unless they say otherwise."""
    return settings.model_copy(update={"standardise": settings.standardise is True})


def as_seen(data: DataSet) -> DataSet:
    """Return data for a model that knows of no unit: its densities are of the values it sees."""
    return replace(data, info=replace(data.info, mean=(), deviation=(), standardised=False))


def _warn_of_unit(info: DataInfo, cure: str) -> None:
    """Say of real data that are not standardised where their deviation is far from 1."""
    if info.deviation and not info.standardised and not all(0.1 <= sd <= 10 for sd in info.deviation):
        least, most = min(info.deviation), max(info.deviation)
        warnings.warn(
            f"the data's standard deviations go from {least:.3g} to {most:.3g} and they are not standardised: training "
            f"may be slow; {cure}",
            stacklevel=4,
        )


def load_like(
    recipe: Recipe,
    settings: Settings,
    source: Any,
    record: Mapping[str, Any],
    changed: bool = False,
    held_out: Mapping[str, Any] | None = None,
) -> tuple[DataSet, str | None]:
    """Load a run's data again, as its record says; what training said of them is not said again.

    `held_out` are the splits with sources of their own, where they are others than the record has.

    Returns:
        The data, and None, or where they may have `changed` and have, in words how.

    Raises:
        UserError: they are not what the run was trained on.
    """
    if held_out is None:
        held_out = {split: path for split, path in record.get("held_out", {}).items() if path != "memory"}
    settings = dealt_as_recorded(settings, record)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = as_recorded(load_for(recipe, settings, source, held_out)[0], record)
        name = source if isinstance(source, str | Path) else "the source"
        difference = known_again(data.contents, record, name, changed)
        known = data.contents is not None and "contents" in record
        if difference is not None or (known and differing(record["info"], data.info)):
            data = _changed(data, settings.data, source, held_out, record)
    return data, difference


def resumed_data(
    recipe: Recipe,
    settings: Settings,
    source: tuple[Any, Mapping[str, Any]],
    target: Path,
    record: Mapping[str, Any],
    changed: bool,
) -> tuple[DataSet, dict[str, Any]]:
    """Return the data of a run that goes on (its source, and those of splits of their own), and the record of them.

    Raises:
        UserError: they are not what it was trained on, and may not have `changed` or cannot.
    """
    data, difference = load_like(recipe, settings, source[0], record, changed, source[1])
    if difference is None:
        if differing(record["info"], data.info):
            raise UserError(f"the data are not what {target} was trained on; give the same data")
        return data, dict(record)
    if not data.info.is_array:
        raise UserError(
            f"{difference}, and what the model has of them (a vocabulary, scales, sizes) was fitted to the examples as "
            f"they were; start another run from its weights (--init {target})"
        )
    warnings.warn(f"{difference}; training goes on with the data as they are now", stacklevel=4)
    return data, dict(record) | {"info": data.info.to_dict()} | contents_record(data)


def contents_record(data: DataSet) -> dict[str, Any]:
    """Return what a run's record says of what its data hold, beside the rest."""
    return {} if data.contents is None else {"contents": data.contents.to_dict()}


def dealt_as_recorded(settings: Settings, record: Mapping[str, Any]) -> Settings:
    """Return a run's settings, by which its examples are dealt out as they were: by position in earlier versions."""
    told = record.get("contents")
    shares = Shares("positions") if told is None else Contents.from_dict(told).shares
    return settings.model_copy(update={"data": settings.data.dealt_as(shares)})


def known_again(now: Contents | None, record: Mapping[str, Any], name: Any, changed: bool) -> str | None:
    """Say in words how a run's data differ from what it was trained on, None if they do not or it is not known.

    Raises:
        UserError: they differ, and may not have `changed`.
    """
    if now is None or record.get("contents") is None:
        return None
    difference = Contents.from_dict(record["contents"]).difference(now)
    if difference is None:
        return None
    if not changed:
        raise ChangedData(
            f"{name} {difference}: give the data as they were, or go on with --changed-data (changed_data=True in "
            "Python), which keeps every example that was trained on out of the other splits"
        )
    return f"{name} {difference}"


def differing(before: Mapping[str, Any], now: DataInfo) -> str | None:
    """Return the first aspect in which data are not those of a record, wherever they lie, or None."""
    told = now.to_dict()
    return next((name for name in before if name not in ("name", "source") and told[name] != before[name]), None)


def _changed(
    data: DataSet, settings: DataSettings, source: Any, held_out: Mapping[str, Any], record: Mapping[str, Any]
) -> DataSet:
    """Return data that have changed, or another order, as the model of a run sees data: nothing is fitted anew.

    Raises:
        UserError: they are of another shape or kind.
    """
    mine = DataInfo.from_dict(record["info"])
    modality = modality_of(mine)
    if modality is not None and not mine.is_array and not mine.facts.get("links"):
        split = modality.encode(source, mine, settings)
        assert split.keys is not None
        parts = deal(split.keys, mine.source, settings, own_valid="valid" in held_out, own_test="test" in held_out)
        train, valid, test = (split.take(torch.from_numpy(parts[i])) for i in range(3))
        others = {name: modality.encode(other, mine, settings) for name, other in held_out.items()}
        data = replace(data, train=train, valid=others.get("valid", valid), test=others.get("test", test))
    else:
        for name in ("shape", "kind", "levels", "classes", "condition"):
            before, now = getattr(mine, name), getattr(data.info, name)
            if before != now:
                raise UserError(
                    f"{source} has changed, and its {name} is now {now}, where this run's model takes {before}; "
                    "give it as other data (--data)"
                )
    sizes = {f"n_{name}": len(getattr(data, name)) for name in ("train", "valid", "test")}
    return replace(data, info=replace(mine, **sizes), prepare=Prepare.from_dict(record["prepare"]))


def as_recorded(data: DataSet, record: Mapping[str, Any]) -> DataSet:
    """Return data read again, prepared and scored as the run's record says: earlier versions did so otherwise."""
    info = DataInfo.from_dict(record["info"])
    if "deviation" not in record["info"]:
        if isinstance(modality_of(info), Audio):
            data = Audio().restated(data, info)
        data = as_seen(data)
        data = replace(data, info=replace(data.info, bits_offset=info.bits_offset))
    mine = Prepare.from_dict(record["prepare"])
    return replace(data, prepare=replace(data.prepare, mean=mine.mean, sd=mine.sd, axes=mine.axes))


def _check_modality(recipe: Recipe, source: Any) -> None:
    """Refuse a known set or a file of another modality than the recipe takes, naming recipes that take it."""
    if isinstance(source, str) and source in DATASETS:
        holds = modality_name(source)
    elif isinstance(source, str | Path) and recipe.takes == "array":
        holds = reading([suffix.lower() for suffix in Path(source).suffixes]) or "array"
    else:
        return  # the modality's own reader says what it cannot read
    if recipe.takes != "array" and holds in MODALITIES[recipe.takes].part.also_reads:
        return
    if holds != "array" and MODALITIES[holds].part.as_arrays:
        holds = "array"
    if holds != recipe.takes:
        able = [entry.name for entry in RECIPES if entry.part.takes == holds]
        named = "vae" if holds == "array" else " or ".join(part for part in (", ".join(able[:-1]), able[-1]) if part)
        raise UserError(
            f"'{recipe.name}' takes {_plural(recipe.takes)}, and {source} holds {_plural(holds)}; train {named} on it"
        )


def _plural(modality: str) -> str:
    return "arrays of numbers" if modality == "array" else MODALITIES[modality].part.noun
