"""What a number is a number of: by these aspects, and these alone, numbers of several runs are compared or not."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from vaekit.data.disk_rows import DiskRows
from vaekit.data.prepare import Prepare
from vaekit.metrics.base import Result
from vaekit.metrics.calibration import SIMULATED

VALUES = {
    "stochastic": "binary, drawn from the greys",
    "fixed": "binary, drawn from the greys once",
    "threshold": "binary, greys above one half",
    "dequantise": "levels with uniform noise",
    "scale": "levels as greys on [0, 1]",
    "as-is": "as they are",
}
"""What the model's examples are, by the mode of their preparation."""


def digest(x: Any) -> str:
    """Return 64 bits of SHA-256 over examples, values and order, in hex; of data on disk, over where they lie.

    >>> digest(torch.zeros(2, 3)) == digest(torch.zeros(2, 3)), digest(torch.zeros(2, 3)) == digest(torch.zeros(3, 2))
    (True, False)
    """
    made = hashlib.sha256()
    _add(made, x)
    return made.hexdigest()[:16]


def _add(made: Any, x: Any) -> None:
    if isinstance(x, DiskRows):
        made.update(f"{x.source.place(0)} {len(x)}".encode(errors="backslashreplace"))
    elif isinstance(x, Tensor):
        made.update(f"{x.dtype} {tuple(x.shape)}".encode())
        made.update(x.detach().cpu().to_dense().contiguous().reshape(-1).view(torch.uint8).numpy())
    elif is_dataclass(x):
        for one in fields(x):
            _add(made, getattr(x, one.name))
    else:
        made.update(repr(x).encode())


def number_of(
    result: Result, examples: str, split: str, prepare: Prepare, given_label: bool, changed: str | None = None
) -> dict[str, str]:
    """Return the aspects of a number: its examples, what their values are, and of nats, of what probability.

    `examples` is the digest of the test examples as stored, before they are prepared; `changed` says how the run's data
    differ from what it was trained on.
    """
    values = VALUES.get(prepare.mode, prepare.mode)
    if prepare.sd is not None and not prepare.axes:
        values += ", standardised"  # by earlier versions, which scored them so
    simulated = result.facts.get("of") == SIMULATED
    of = {"examples": f"{result.n} {SIMULATED}" if simulated else f"{result.n} of {split}, {examples}"}
    of["values"] = values
    if changed is not None and not simulated:
        of["changed"] = changed
    if result.unit.startswith(("nats", "bits")):
        of["quantity"] = "log p(x|y), the label given" if given_label else "log p(x)"
        of["measure"] = str(result.facts.get("measure", "none"))
    for name in ("k", "features"):
        if name in result.facts:
            of[name] = str(result.facts[name])
    return of
