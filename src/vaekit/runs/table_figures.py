"""The figures of a run on a table: samples beside the data, column by column and in pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from vaekit.data.tables.columns import CHOICE, restore
from vaekit.figures import tables as drawn
from vaekit.runs.latent import LatentRun

ROWS = 5000


def columns(run: LatentRun) -> list[drawn.Column]:
    """Return the columns with their values in up to 5,000 held-out rows, and in as many samples."""
    real = run.shown.first(ROWS).inputs
    made = run.sample(len(real), seed=0, form="array")
    out = []
    for at, facts in enumerate(run.info.facts["columns"]):
        if facts.get("gap_of"):
            continue
        levels = [str(level) for level in facts["levels"]] if facts["type"] in CHOICE else []
        values = [_units(part[:, at], facts) for part in (real, made)]
        out.append(drawn.Column(facts["name"], facts["type"], values[0], values[1], levels))
    return out


def _units(stored: Tensor, facts: dict[str, Any]) -> np.ndarray:
    values = stored.double().numpy()
    known = np.isfinite(values)
    return np.where(known, restore(np.where(known, values, 0.0), facts), np.nan)


def marginals(run: LatentRun) -> Any:
    """Each column's values in the data and in samples."""
    return drawn.marginals(columns(run))


def correlations(run: LatentRun) -> Any:
    """Rank correlations between columns in the data and in samples."""
    return drawn.correlations(columns(run))


MAKERS = {"marginals": marginals, "correlations": correlations}
