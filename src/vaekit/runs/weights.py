"""A run's weights beside its record, which names their SHA-256: damaged ones are refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from vaekit.runs.folder import CHECKPOINTS, WEIGHTS, write_record
from vaekit.training import checkpoint


def keep(folder: Path, tensors: Mapping[str, Tensor], record: Mapping[str, Any]) -> dict[str, Any]:
    """Write weights into a run's folder, then the record that they belong to; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = checkpoint.save(folder / WEIGHTS, tensors, {"recipe": record["recipe"]}, seal=False)
    record = {**record, "weights": {"sha256": sha256}}
    write_record(folder, record)
    return record


def read(folder: Path, record: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the weights that belong to a record, finite ones; a record of an earlier version takes any."""
    tensors, _ = checkpoint.load(folder / WEIGHTS, sha256_of(record), repair(folder))
    checkpoint.check_finite(tensors, folder / WEIGHTS)
    return tensors


def read_on_all(folder: Path, record: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the same on every process of a run; the first one reads."""
    tensors = checkpoint.load_on_all(folder / WEIGHTS, sha256_of(record), repair(folder))
    checkpoint.check_finite(tensors, folder / WEIGHTS)
    return tensors


def sha256_of(record: Mapping[str, Any]) -> str | None:
    """Return the SHA-256 of a record's weights; None where an earlier version kept none."""
    return (record.get("weights") or {}).get("sha256")


def repair(folder: Path) -> str:
    """Return how damaged weights of a run are had again: from its last checkpoint, if it has one."""
    if (folder / CHECKPOINTS / "last.safetensors").is_file():
        return f"'vaekit train --resume --out {folder}' writes them again from the last checkpoint"
    return "restore a copy of it, or train again"
