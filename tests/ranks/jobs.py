"""What the tests run on one process and on two: each returns plain numbers and arrays to compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import vaekit
from vaekit.training.log import read

ROWS = 78


def rows(n: int = ROWS, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return images of four kinds (n, 1, 8, 8) uint8 with labels: a bar at one of four places, and noise."""
    draw = np.random.default_rng(seed)
    y = np.arange(n) % 4
    x = draw.integers(0, 60, (n, 1, 8, 8))
    for i, label in enumerate(y):
        x[i, 0, 2 * label : 2 * label + 2] += 150
    return x.astype(np.uint8), y.astype(np.int64)


def train(recipe: str, settings: dict[str, Any], out: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """Train for some steps with every step logged, and return the curve, the weights and the result."""
    facts: dict[str, Any] = {
        "train.steps": 8,
        "train.batch_size": 11,
        "train.log_every": 1,
        "train.lr": 2e-3,
        "data.valid": 17,
        "data.test": 11,
    }
    run = vaekit.train(recipe, rows(), out=out, set=facts | settings, pictures=False, **kwargs)
    weights = {name: value.numpy() for name, value in run.model.state_dict().items()}
    log = read(Path(out) / "log.jsonl") if out is not None and run.path is not None else []
    return {"weights": weights, "result": run.record["result"], "log": log, "kept": run.path is not None}
