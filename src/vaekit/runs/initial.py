"""Starting a run from another run's weights: which settings and weights it takes, and what starts anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.recipes.base import Recipe
from vaekit.recipes.own import CUSTOM
from vaekit.recipes.settings import PARTS, Nested
from vaekit.runs import folder as files
from vaekit.runs import weights
from vaekit.runs.run import Run
from vaekit.schedules import annealed_in
from vaekit.training import checkpoint
from vaekit.training.dtensor import whole
from vaekit.training.stages import frozen_names

NAMED = 4
"""Weights that a sentence names; it counts the others."""
MEANINGS = {"tokeniser": "the tokens", "vocabulary": "the tokens", "columns": "the columns"}
"""Facts of data that say what single weights belong to."""


@dataclass(frozen=True)
class Initial:
    """The run that another one starts from: its name (a folder, or "memory"), record and weights."""

    name: str
    record: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @staticmethod
    def of(run: Run | str | Path) -> Initial:
        """Read a run that has finished, or take one that is loaded."""
        if isinstance(run, Run):
            name = "memory" if run.path is None else str(run.path.resolve())
            tensors = {key: whole(value).cpu() for key, value in checkpoint.model_tensors(run.model).items()}
            return Initial(name, run.record, tensors)
        folder = Path(run)
        record = distributed.from_main(lambda: files.read_record(folder))
        if not distributed.from_main(lambda: (folder / files.WEIGHTS).is_file()):
            raise UserError(f"the run {folder} has not finished training, so it has no weights to start from")
        return Initial(str(folder.resolve()), record, weights.read_on_all(folder, record))

    @staticmethod
    def again(name: str) -> Initial:
        """Read the run that a run started from, which was cut short before its first checkpoint."""
        if name == "memory":
            raise UserError("this run started from weights in memory and has no checkpoint: train it anew")
        return Initial.of(name)

    @property
    def recipe(self) -> str:
        """The recipe of a run for which none is named: that run's."""
        if self.record["recipe"] == CUSTOM:
            raise UserError(f"the run in {self.name} is of a hand-made model: pass the model that takes its weights")
        return self.record["recipe"]

    @property
    def source(self) -> str:
        """The data that a run trains on when none are named: that run's."""
        source = self.record["data"]["source"]
        if source == "memory":
            raise UserError(f"the run in {self.name} was trained on arrays in memory: name the data to train on")
        return source

    def settings(self, recipe: Recipe) -> Nested:
        """Return the model's settings that a run by `recipe` takes over: all by the same recipe, else those given.

        The likelihood is chosen by the data anew, unless it was given.
        """
        given = {} if recipe.name == CUSTOM else self.record["given"].get("model", {})
        if recipe.name == self.record["recipe"] != CUSTOM:
            kept = {name: value for name, value in self.record["settings"]["model"].items() if name != "likelihood"}
            return {"model": kept | {name: given[name] for name in given if name == "likelihood"}}
        options = {name for registry in PARTS for entry in registry for name in entry.options}
        known = options | recipe.sections[0].model_fields.keys()
        return {"model": {name: value for name, value in given.items() if name in known}}

    def give(self, model: Model, freeze: tuple[str, ...] = ()) -> tuple[dict[str, Any], str]:
        """Copy the weights that have the same name and shape into `model`; return the facts, and a sentence.

        What follows a schedule (a temperature) is the new run's own. UserError where nothing fits, or where a frozen
        part would be left as it was drawn.
        """
        scheduled = {f"{name}.value" for name, _ in annealed_in(model)}
        own = {name: value for name, value in checkpoint.model_tensors(model).items() if name not in scheduled}
        fits = [name for name in own if name in self.tensors and own[name].shape == self.tensors[name].shape]
        anew = {name: self._why(name, own[name]) for name in own if name not in fits}
        if not fits:
            raise UserError(f"none of the weights in {self.name} fits this model: {_listed(anew)}")
        lost = {name: anew[name] for name in anew if name in frozen_names(model, freeze)}
        if lost:
            raise UserError(
                f"train.freeze={','.join(freeze)}: weights in it cannot be taken from {self.name}: {_listed(lost)}"
            )
        with torch.no_grad():
            for name in fits:
                own[name].copy_(self.tensors[name])
        facts = {"from": self.name, "recipe": self.record["recipe"], "taken": len(fits), "anew": sorted(anew)}
        sentence = f"{len(fits)} of {len(own)} tensors of weights start as they are in {self.name}"
        return facts, sentence + (f"; these start anew: {_listed(anew)}" if anew else "")

    def _why(self, name: str, own: Tensor) -> str:
        theirs = self.tensors.get(name)
        there = "not there" if theirs is None else f"there {_shape(theirs)}"
        return f"{name} ({_shape(own)}, {there})"

    def other_meanings(self, info: DataInfo) -> str | None:
        """Return a warning where the data's tokens or columns are others than the run's: weights go by position."""
        before = self.record["data"]["info"].get("facts", {})
        for fact, what in MEANINGS.items():
            if fact in before and fact in info.facts and _named(before[fact]) != _named(info.facts[fact]):
                return (
                    f"{what} of {info.name} are not those of the run in {self.name}, and weights are taken by "
                    "position: what a weight belonged to there may be another one here"
                )
        return None


def _named(fact: Any) -> Any:
    """Return what matters of a fact: of columns their names and types, not what was fitted to their values."""
    is_columns = isinstance(fact, list) and fact and isinstance(fact[0], Mapping)
    return [(column["name"], column["type"]) for column in fact] if is_columns else fact


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a number"


def _listed(names: Mapping[str, str]) -> str:
    some = list(names.values())[:NAMED]
    return ", ".join(some) + (f" and {len(names) - NAMED} more" if len(names) > NAMED else "")
