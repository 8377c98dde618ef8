"""What a run of time series can do beside what any run can: fill gaps, and go on after the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.dataset import Split
from vaekit.data.save import write_npz
from vaekit.data.series.collection import lengths_of, rows, stopped
from vaekit.data.series.modality import Series, as_arrays, write_long
from vaekit.data.series.settings import SeriesSettings
from vaekit.data.settings import settings_as
from vaekit.errors import UserError
from vaekit.figures.series import curves
from vaekit.figures.style import save
from vaekit.inference import batched
from vaekit.runs.detection import DetectingRun
from vaekit.runs.results import Forecast, Imputation
from vaekit.tasks.imputation import Method
from vaekit.tasks.series_imputation import SeriesImputation, impute_series

PICTURED = 24
"""Series in a picture of filled ones."""


class SeriesRun(DetectingRun):
    """A run whose data may be series: `forecast`, and the gaps that `Run.impute` fills."""

    def forecast(
        self, data: Any, horizon: int, *, method: Method = "resampling", draws: int = 100, k: int = 500, seed: int = 0
    ) -> Forecast:
        """Return the `horizon` steps after the end of each series, by p(x_later | x_so_far): imputation, no more.

        A series and its horizon are no longer than the longest that the run was trained on. `data` are as for `impute`,
        their gaps, if any, being summed over.

        >>> import numpy as np
        >>> import vaekit
        >>> waves = np.sin(np.arange(12) / 2 + np.arange(40)[:, None])
        >>> run = vaekit.train("series-vae", waves, steps=4)
        >>> run.forecast(waves[:3, :9], 3).x.shape
        (3, 3)
        """
        self._of_series("forecast")
        found = self.gaps_of(data).unpadded()
        if horizon < 1:
            raise UserError(f"the horizon must be at least 1, not {horizon}")
        how: dict[str, Any] = {"method": method, "draws": draws, "k": k, "seed": seed}
        made = impute_series(self.model, self.info, self.prepare, found, horizon, **how)
        last, *drawn = (
            as_arrays([one[:, -horizon:] for one in series], self.info)["values"]
            for series in (made.single, *made.draws)
        )
        return Forecast(last, np.stack(drawn))

    def gaps_of(self, data: Any) -> Any:
        """Return series as they were given, steps at their ends being gaps, for `impute`."""
        return Series().collected(data, self.info, settings_as(SeriesSettings, self.settings.data))

    def impute_series(self, data: Any, horizon: int = 0, **how: Any) -> SeriesImputation:
        """Fill series' gaps as `impute` does, and `horizon` steps after their ends; each keeps its own length."""
        self._of_series("a horizon")
        return impute_series(self.model, self.info, self.prepare, self.gaps_of(data), horizon, **how)

    def _imputed_series(self, data: Any, **how: Any) -> Imputation:
        """Return series with their gaps filled as arrays laid out as the source's, NaN beyond their ends."""
        made = self.impute_series(data, **how)
        single, *drawn = (as_arrays(series, self.info)["values"] for series in (made.single, *made.draws))
        missing = as_arrays([gap.astype(np.float64) for gap in made.gaps], self.info)["values"] == 1
        return Imputation(single, np.stack(drawn), missing)

    def write_imputed(self, made: SeriesImputation, path: Path) -> None:
        """Write filled series: NPZ with the draws, a long CSV, or a picture with dots for what was observed."""
        suffix = path.suffix.lower()
        if suffix == ".npz":
            arrays = as_arrays(made.single, self.info)
            drawn = np.stack([as_arrays(draw, self.info)["values"] for draw in made.draws])
            missing = as_arrays([gap.astype(np.float64) for gap in made.gaps], self.info)["values"] == 1
            write_npz(path, **arrays, draws=drawn, missing=missing)
            return
        whole = rows(made.single, self.info.shape[1])
        if suffix == ".png":
            sd = np.stack([rows(draw, self.info.shape[1]).numpy() for draw in made.draws])
            observed = [np.where(gap, np.nan, one) for gap, one in zip(made.gaps, made.single)]
            spread = np.where(np.isfinite(sd), sd, 0.0).std(0)
            seen = rows(observed, self.info.shape[1])
            some = slice(0, PICTURED)
            save(curves(whole[some], self.info.facts, sd=spread[some], observed=seen[some]), path)
        else:
            write_long(path, made.single, self.info, made.names)

    def band(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and standard deviation of p(x|z) of codes (N, D), in the source's units, (N, C, T) each."""

        def moments(code: torch.Tensor, label: Any) -> torch.Tensor:
            px = self.model.decode(code, label)
            return torch.stack([px.mean, px.variance.sqrt()], 1)

        mean, sd = batched(self.model, moments, z).unbind(1)
        units = self.info.facts["sd"]
        return self.prepare.invert(mean), sd if units is None else sd * torch.tensor(units).unsqueeze(-1)

    def draw_reconstructions(self, split: Split) -> Any:
        """Draw series as dots, the mean of p(x|z) at their posterior mean as a line, and two of its deviations."""
        mean, sd = self.band(batched(self.model, self.model.posterior_mean, split.x, split.y))
        names = self.class_names(split.y) if split.y is not None else []
        mean, seen = stopped(mean, lengths_of(split.x)), self.prepare.invert(split.x)
        return curves(mean, self.info.facts, sd=sd, observed=seen, titles=names)

    def _of_series(self, what: str) -> None:
        if self.info.kind != "series":
            raise UserError(f"{what} is for time series, and {self.info.name} holds {self.info.kind} data")
