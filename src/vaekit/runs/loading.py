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
from vaekit.runs import folder as files
from vaekit.runs.base import build
from vaekit.runs.run import Run
from vaekit.training import checkpoint


def load(path: str | Path, device: str | torch.device = "auto") -> Run:
    """Load a run from its folder onto a device: record, model and weights; its data are read only when asked for.

    "auto" takes CUDA, then MPS, then the CPU, wherever the run was trained. Raises UserError if the folder is not a
    run, or its training has not finished.
    """
    folder = Path(path)
    record = files.read_record(folder)
    if not (folder / files.WEIGHTS).is_file():
        raise UserError(
            f"the run {folder} has not finished training; go on with 'vaekit train --resume --out {folder}'"
        )
    tensors, _ = checkpoint.load(folder / files.WEIGHTS)
    return restored(record, tensors, folder).to(device)


def restored(record: dict[str, Any], tensors: Mapping[str, Tensor], path: Path | None = None) -> Run:
    """Return the run of a record with these weights, in eval mode; `path` is its folder, None for a run in memory."""
    recipe = RECIPES[record["recipe"]].part
    settings = recipe.settings(under=record["settings"])
    built = build(recipe, settings, DataInfo.from_dict(record["data"]["info"]))
    checkpoint.load_model(built.model, tensors, "the model" if path is None else path / files.WEIGHTS)
    built.model.eval()
    return Run(path, record, built, settings)
