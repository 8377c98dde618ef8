"""Runs loaded from their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES, Built
from vaekit.recipes.own import CUSTOM, own_recipe
from vaekit.recipes.settings import Settings
from vaekit.runs import folder as files
from vaekit.runs import weights
from vaekit.runs.base import build
from vaekit.runs.own import made_again
from vaekit.runs.run import Run
from vaekit.training import checkpoint

LEAST_SIZE = 10_000
"""No setting of a model is larger than this and than the number of its weights."""


def load(
    path: str | Path,
    device: str | torch.device = "auto",
    *,
    module: Any = None,
    data: Any = None,
    changed_data: bool = False,
) -> Run:
    """Load a run from its folder onto a device: record, model and weights; its data are read only when asked for.

    Args:
        path: the folder.
        device: "auto" takes CUDA, then MPS, then the CPU, wherever the run was trained.
        module: for a run of a hand-made model, that model, what makes it (called with the arguments that the run
            recorded), or "FILE.py:NAME" of either. A run never makes Python import anything that is not named here.
        data: the data again, for a run that was trained on arrays in memory or whose data have moved.
        changed_data: take the run's data though they hold anything else than when it was trained. Examples that are
            as they were keep their split, so the test split has no example that was trained on; numbers say that the
            data have changed.

    Raises:
        UserError: the folder is not a run, its training has not finished, or module or data do not fit it.
    """
    folder = Path(path)
    record = files.read_record(folder)
    while True:
        if not (folder / files.WEIGHTS).is_file():
            raise UserError(_unfinished(folder, record))
        problem, tensors = None, {}
        try:
            tensors = weights.read(folder, record)
        except UserError as error:
            problem = error
        before, record = record, files.read_record(folder)
        if record == before:  # no other run has taken its place between record and weights
            break
    if problem is not None:
        raise problem
    run = restored(record, tensors, folder, module).to(device)
    run.changed_data = changed_data
    if data is not None:
        run.give_data(data)
    return run


def _unfinished(folder: Path, record: dict[str, Any]) -> str:
    failed = f": it failed ({record['failed']})" if record.get("failed") else ""
    return f"the run {folder} has not finished training{failed}; go on with 'vaekit train --resume --out {folder}'"


def restored(
    record: dict[str, Any], tensors: Mapping[str, Tensor], path: Path | None = None, module: Any = None
) -> Run:
    """Return the run of a record with these weights, in eval mode; `path` is its folder, None for a run in memory."""
    own = record["recipe"] == CUSTOM
    if module is not None and not own:
        raise UserError(f"{path} is a run of the recipe '{record['recipe']}', which vaekit makes; leave the module out")
    where = "the record" if path is None else path / files.RECORD
    if own:
        recipe = own_recipe(made_again(record, module, path))
        settings = recipe.settings(under=record["settings"])
        built = build(recipe, settings, DataInfo.from_dict(record["data"]["info"]))
    else:
        settings, built = _of_record(record, tensors, where)
    checkpoint.load_model(built.model, tensors, "the model" if path is None else path / files.WEIGHTS)
    built.model.eval()
    return Run(path, record, built, settings)


MAKES_NONE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(MemoryError, RuntimeError, TypeError, ValueError),
)
"""What parts raise that are made of settings or data that no run was recorded with."""


def _of_record(record: dict[str, Any], tensors: Mapping[str, Tensor], where: str | Path) -> tuple[Settings, Built]:
    """Return the settings and parts of a record, whose sizes are compared with the weights before they take memory."""
    most = max(sum(value.numel() for value in tensors.values()), LEAST_SIZE)
    if _largest(record["settings"].get("model")) > most:
        raise UserError(f"{where}: settings.model has a size that no model of these weights has; restore a copy of it")
    info = DataInfo.from_dict(record["data"]["info"])
    try:
        recipe = RECIPES[record["recipe"]].part
        settings = recipe.settings(under=record["settings"])
        try:
            with torch.device("meta"):
                shapes = checkpoint.model_tensors(build(recipe, settings, info).model)
        except (NotImplementedError, RuntimeError):  # a part that looks at its own values when it is made
            shapes = {}
        if shapes:
            checkpoint.check_fit(shapes, tensors, "the model of its settings", "the weights in its folder")
        return settings, build(recipe, settings, info)
    except UserError as error:
        raise UserError(f"{where}: {_first(error)}") from None
    except MAKES_NONE as error:
        reason = f"{type(error).__name__}: {_first(error)}"
        raise UserError(f"{where} makes no model ({reason}); restore a copy of it") from error


def _first(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:200]} … {text[-97:]}"


def _largest(value: Any) -> int:
    """Return the largest whole number in a JSON value, 0 without one."""
    if isinstance(value, Mapping | list):
        return max((_largest(part) for part in (value.values() if isinstance(value, Mapping) else value)), default=0)
    return value if isinstance(value, int) else 0
