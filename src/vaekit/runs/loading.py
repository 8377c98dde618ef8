"""Runs loaded from their folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.recipes.own import CUSTOM, own_recipe
from vaekit.runs import folder as files
from vaekit.runs.base import build
from vaekit.runs.own import made_again
from vaekit.runs.run import Run
from vaekit.training import checkpoint


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
    if not (folder / files.WEIGHTS).is_file():
        raise UserError(
            f"the run {folder} has not finished training; go on with 'vaekit train --resume --out {folder}'"
        )
    tensors, _ = checkpoint.load(folder / files.WEIGHTS)
    run = restored(record, tensors, folder, module).to(device)
    run.changed_data = changed_data
    if data is not None:
        run.give_data(data)
    return run


def restored(
    record: dict[str, Any], tensors: Mapping[str, Tensor], path: Path | None = None, module: Any = None
) -> Run:
    """Return the run of a record with these weights, in eval mode; `path` is its folder, None for a run in memory."""
    own = record["recipe"] == CUSTOM
    if module is not None and not own:
        raise UserError(f"{path} is a run of the recipe '{record['recipe']}', which vaekit makes; leave the module out")
    recipe = own_recipe(made_again(record, module, path)) if own else RECIPES[record["recipe"]].part
    settings = recipe.settings(under=record["settings"])
    built = build(recipe, settings, DataInfo.from_dict(record["data"]["info"]))
    checkpoint.load_model(built.model, tensors, "the model" if path is None else path / files.WEIGHTS)
    built.model.eval()
    return Run(path, record, built, settings)
