"""Series with their gaps filled, and with steps after their end: both are cells that are not observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.data.series.collection import Collection, Values, rows
from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.tasks.imputation import impute


@dataclass(frozen=True)
class SeriesImputation:
    """Series (C, T) with every gap filled: by the mean, and by each of M draws; `gaps` says what was missing.

    `names` are those that the source has for the series, else ().
    """

    single: list[Values]
    draws: list[list[Values]]
    gaps: list[np.ndarray]
    names: Sequence[str] = ()

    @property
    def count(self) -> int:
        """How many cells were filled."""
        return sum(int(gap.sum()) for gap in self.gaps)


def impute_series(
    model: Model, info: DataInfo, prepare: Prepare, found: Collection, horizon: int = 0, **how: Any
) -> SeriesImputation:
    """Fill the gaps of series, and `horizon` steps after the end of each, by p(x_missing | x_observed).

    `how`: `method`, `draws`, `k` and `seed` of `vaekit.tasks.imputation.impute`.

    Raises:
        UserError: nothing is missing, or a series with its horizon is longer than the model takes.
    """
    if horizon < 0:
        raise UserError(f"the horizon must be at least 1, not {horizon}")
    channels, steps = info.shape
    longest = int(np.argmax(found.lengths))
    if found.lengths[longest] + horizon > steps:
        raise UserError(
            f"{found.place(longest)} has {found.lengths[longest]} steps, and with {horizon} more it is longer than the "
            f"{steps} that this run's model takes; give its last {max(steps - horizon, 0)}, or train with longer series"
        )
    later = np.full((channels, horizon), np.nan)
    series = [np.concatenate([one, later], 1) for one in found.series]
    gaps = [np.isnan(one) for one in series]
    if not any(gap.any() for gap in gaps):
        raise UserError(f"{found.source} has no missing value (NaN or an empty cell); there is nothing to impute")
    filled = impute(model, prepare(rows(series, steps)), None, **how)
    single, *draws = (_kept(series, prepare.invert(x)) for x in (filled.mean, *filled.draws))
    return SeriesImputation(single, draws, gaps, found.names)


def _kept(series: list[Values], x: Tensor) -> list[Values]:
    """Return series with what they lack from rows (N, C, T)."""
    made = x.double().numpy()
    return [np.where(np.isnan(one), row[:, : one.shape[1]], one) for one, row in zip(series, made)]


def tail(series: list[Values], horizon: int) -> np.ndarray:
    """Return the last steps of series, (N, C, horizon)."""
    return np.stack([one[:, -horizon:] for one in series])
