"""Runs loaded from their folders."""

from __future__ import annotations

from pathlib import Path

import torch

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
    recipe = RECIPES[record["recipe"]].part
    settings = recipe.settings(under=record["settings"])
    built = build(recipe, settings, DataInfo.from_dict(record["data"]["info"]))
    tensors, _ = checkpoint.load(folder / files.WEIGHTS)
    checkpoint.load_model(built.model, tensors, folder / files.WEIGHTS)
    built.model.eval()
    return Run(folder, record, built, settings).to(device)
