"""What the commands on a run have in common: checking the file to write, choosing examples, writing tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.atomic import write_text
from vaekit.data.dataset import Split
from vaekit.data.save import write_npz
from vaekit.errors import UserError
from vaekit.experiment.run import Run
from vaekit.experiment.showing import suffix_of


def check_out(out: Path, suffixes: Sequence[str]) -> str:
    """Return the suffix of the file to write; a folder that is not there or another format is a UserError."""
    found = suffix_of(out, suffixes)
    if found is None:
        raise UserError(f"--out {out}: write a file ending in {' or '.join(suffixes)}")
    if not out.parent.is_dir():
        raise UserError(f"--out {out}: the folder {out.parent} does not exist; make it first")
    if out.is_dir():
        raise UserError(f"--out {out} is a folder; name a file")
    return found


def split_of(run: Run, data: str | None) -> Split:
    """Return the run's own test split, or other data prepared likewise."""
    split = run.test if data is None else run.prepared(data)
    if not len(split):
        raise UserError(f"{run.info.name} has no test examples; give --data")
    return split


def example_numbers(text: str, count: int, option: str = "--examples") -> list[int]:
    """Read numbers below `count`, with commas."""
    try:
        found = [int(word) for word in text.replace(",", " ").split()]
    except ValueError:
        found = []
    if not found:
        raise UserError(f"{option} {text}: write numbers with commas, e.g. 3,17,42")
    bad = next((i for i in found if not 0 <= i < count), None)
    if bad is not None:
        raise UserError(f"{option} {text}: there is no number {bad}; they go from 0 to {count - 1}")
    return found


def write_columns(out: Path, columns: Mapping[str, Any]) -> None:
    """Write named columns of one length as CSV or NPZ, by the file's suffix."""
    if out.suffix.lower() == ".npz":
        write_npz(out, **columns)
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in zip(*columns.values()):
        writer.writerow([repr(float(v)) if isinstance(v, float | np.floating) else v for v in row])
    write_text(out, text.getvalue())


def class_names(run: Run, y: Sequence[int]) -> list[str]:
    """Return the names of class numbers."""
    classes = run.info.classes
    return [classes[i] if 0 <= i < len(classes) else str(i) for i in y]
