"""Numbers that the map's points are coloured by, beside their labels: a score, or a column of the data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaekit.data.prepare import as_input
from vaekit.data.tables.columns import as_text
from vaekit.data.tables.modality import cells_of
from vaekit.errors import UserError
from vaekit.explorer.session import Session
from vaekit.inference import batches

SCORE = "anomaly score"
SCORED = 5000
"""Examples that are scored; a map may have more."""
MOST_COLUMNS = 64
"""Columns of a plain array that its map may be coloured by."""


def names(session: Session) -> list[str]:
    """Return what the map can be coloured by."""
    info = session.info
    if not session.splits:
        return []
    columns = [column["name"] for column in info.facts["columns"]] if session.as_table else []
    if info.is_array and not info.has_picture and info.dimensions <= MOST_COLUMNS:
        columns = [f"value {i + 1}" for i in range(info.dimensions)]
    return [*([SCORE] if session.scored else []), *(session.colour_names or columns)]


def colour(session: Session, name: str) -> tuple[np.ndarray, str, str]:
    """Return a number for each point of the map (N,), NaN where it is missing, and its ends as text."""
    known = names(session)
    if name not in known:
        raise UserError(f"the map is not coloured by '{name}'; known are {', '.join(known)}")
    if name == SCORE:
        values = _scores(session)
    else:
        own = name in session.colour_names
        values = session.coloured(name) if own else _column(session, known.index(name) - 1)
    if np.isnan(values).all():
        return values, "", ""
    ends = int(np.nanargmin(values)), int(np.nanargmax(values))
    if name != SCORE and session.as_table:
        rows = [session.example(i)[0] for i in ends]
        low, high = (cells_of(row, session.info.facts["columns"], as_text)[0][known.index(name) - 1] for row in rows)
    else:
        low, high = (f"{values[i]:.4g}".replace("-", "−") for i in ends)
    return values, low, high


@torch.no_grad()
def _scores(session: Session) -> np.ndarray:
    total, left, found = len(session.latent_map().points), SCORED, list[Tensor]()
    for split in session.splits:
        some = split.first(max(left, 0))
        left -= len(some)
        for x, y in batches(session.model, some.x, some.y):
            session.check_stop()
            with session.drawn():
                found.append(session.scorer.of(x, y).cpu())
    values = torch.cat(found).double().numpy()
    return np.concatenate([values, np.full(total - len(values), np.nan)])


def _column(session: Session, at: int) -> np.ndarray:
    session.latent_map()  # by which it is settled which examples are shown
    parts = [as_input(split.x).flatten(1) for split in session.splits]
    parts = parts if session.as_table else [session.run.prepare.invert(part) for part in parts]
    return torch.cat([part[:, at] for part in parts]).double().numpy()
