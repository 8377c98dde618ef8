"""A run of plain rows of numbers, for estimators: arrays in, arrays out, all state in named arrays and JSON.

Everything asked of it is computed in float64, and depends on each row alone: not on the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.dataset import DataSet, Prepared, Split
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import merge
from vaekit.runs.loading import restored
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.tasks.imputation import impute
from vaekit.training.checkpoint import model_tensors
from vaekit.training.data_source import DataSource
from vaekit.training.loop import fit

Array = NDArray[np.float64]
RECORD = "record"
"""The name under which the state keeps what is no tensor, as JSON bytes."""
FEW_CODES: dict[str, Any] = {
    "model.prior": "standard-normal",
    "model.straight": False,
    "model.hide": 0.0,
    "objective.k": 20,
}
"""Of tables: a code of few numbers, which fills gaps better after short training than a place for each column does."""
AS_THEY_ARE = ("bernoulli", "continuous-bernoulli", "bernoulli-soft")
"""Likelihoods of values in [0, 1], which are not standardised."""


def likelihood_for(x: Array) -> str:
    """Return the likelihood that "auto" stands for: Bernoulli for zeros and ones, else Gaussian.

    >>> likelihood_for(np.array([[0.0, 1.0], [0.5, 1.0]]))
    'gaussian'
    """
    return "bernoulli" if bool(np.isin(x, (0.0, 1.0)).all()) and len(np.unique(x)) == 2 else "gaussian"


def moments(x: Array) -> tuple[Array, Array]:
    """Return each column's mean and standard deviation over its observed cells; 0 and 1 where there are none.

    >>> moments(np.array([[1.0, np.nan], [3.0, np.nan]]))
    (array([2., 0.]), array([1., 1.]))
    """
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, x, 0.0).sum(0) / count
    sd = np.sqrt(np.where(seen, (x - mean) ** 2, 0.0).sum(0) / count)
    return mean, np.where(sd > 1e-9 * np.abs(mean), sd, 1.0)


@dataclass
class Fitted:
    """A run of rows of D numbers, in double precision, and the scale that its columns were brought to: (x − mean)/sd.

    Columns of a likelihood on [0, 1] keep theirs: mean 0, sd 1.
    """

    run: Run
    mean: Array
    sd: Array

    def __post_init__(self) -> None:
        self.run.model.double().eval()

    @staticmethod
    def train(x: Array, recipe: str, settings: Mapping[str, Any], seed: int) -> Fitted:
        """Train `recipe` on all rows of x (N, D): none is held out, for that is the caller's business.

        A recipe of tables takes every column as numeric, and NaN in x as missing.
        """
        own: dict[str, Any] = {"data.valid": 0, "data.test": 0, "train.seed": seed, "train.device": "cpu"}
        mean, sd = moments(x)
        data: Any
        if RECIPES[recipe].part.takes == "tables":
            own["model.likelihood"] = "mixed"
            settings = FEW_CODES | dict(settings)
            data = _table(((x - mean) / sd).astype(np.float32), mean, sd)
        else:
            likelihood = settings.get("model.likelihood", "auto")
            own["model.likelihood"] = likelihood = likelihood_for(x) if likelihood == "auto" else likelihood
            if likelihood == "gaussian":
                own["model.scale"] = "shared"
            if likelihood in AS_THEY_ARE:
                mean, sd = np.zeros_like(mean), np.ones_like(sd)
            own["data.standardise"] = False  # they are already, in double precision
            data = ((x - mean) / sd).astype(np.float32)
        return Fitted(train(recipe, data, set={**settings, **own}), mean, sd)

    def more(self, x: Array, passes: int = 1) -> None:
        """Go on training with these rows, `passes` times over, at the settings' learning rate."""
        own = {"epochs": passes, "steps": None, "warmup": 0, "decay": "none"}
        record = self.run.record | {"settings": merge(self.run.record["settings"], {"train": own})}
        run = restored(record, model_tensors(self.run.model))
        rows = self._prepared(x).to(torch.uint8 if run.info.kind == "binary" else torch.float32)
        none = Split(rows[:0])
        data = DataSet(run.info, Split(rows), none, none, run.prepare)
        fit(run.model, run.built.stages, DataSource(data), run.settings.train)
        run.model.double().eval()
        self.run = run

    # -- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays: the weights, and the record as JSON bytes."""
        arrays = {name: tensor.numpy().copy() for name, tensor in model_tensors(self.run.model).items()}
        record = {name: self.run.record[name] for name in ("recipe", "settings")}
        record |= {name: self.run.record["data"][name] for name in ("info", "prepare")}
        record |= {"mean": self.mean.tolist(), "sd": self.sd.tolist()}
        return arrays | {RECORD: np.frombuffer(json.dumps(record).encode(), np.uint8).copy()}

    @staticmethod
    def from_state(state: Mapping[str, NDArray[Any]]) -> Fitted:
        """Rebuild from `state`."""
        record = json.loads(state[RECORD].tobytes())
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items() if name != RECORD}
        data = {"source": "memory", "info": record["info"], "prepare": record["prepare"]}
        scale = np.array(record["mean"] or 0.0), np.array(record["sd"] or 1.0)  # none in older pickles of [0, 1] data
        return Fitted(restored({**record, "data": data}, tensors), *scale)

    # -- use ----------------------------------------------------------------------------------------------------------

    @property
    def latent_size(self) -> int:
        """How many latent dimensions there are."""
        return int(self.run.record["settings"]["model"]["latent"])

    def encode(self, x: Array) -> Array:
        """Return posterior means (N, F)."""
        return self.run.encode(Prepared(self._prepared(x))).numpy()

    def decode(self, z: Array) -> Array:
        """Return the mean of p(x|z) in the rows' own units (N, D)."""
        return self._own(self.run.decode(torch.from_numpy(z)))

    def log_prob(self, x: Array, k: int) -> Array:
        """Return the importance-weighted bound on log p(x) in the rows' own units, nats (N,)."""
        return -self.scores(x, "iw", k)

    def scores(self, x: Array, name: str, k: int, normal: Array | None = None) -> Array:
        """Return an anomaly score (N,), the higher the stranger, in the rows' own units; see vaekit.tasks.anomaly."""
        codes, rows = None if normal is None else torch.from_numpy(normal), Prepared(self._prepared(x))
        # A table's likelihood is in the columns' own units already; regret and distance have none.
        own = self.run.info.kind == "table" or name in ("regret", "distance")
        found = self.run.anomaly_scores(rows, name, k=k, seed=self.run.settings.train.seed, normal=codes)
        return found if own else found + np.log(self.sd).sum()

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> Array:
        """Return n draws of x in the rows' own units (n, D)."""
        return self._own(self.run.drawn(n, temperature=temperature, draw=True, seed=seed))

    def impute(self, x: Array, *, draws: int = 1, k: int = 200, seed: int = 0) -> tuple[Array, Array]:
        """Return x with its NaN filled by conditional means (N, D), and `draws` multiple imputations (M, N, D)."""
        middle = torch.full(tuple(self.run.info.shape), 0.0 if self.run.info.kind == "real" else 0.5)
        start = None if self.run.info.kind == "table" else middle
        imputed = impute(self.run.model, self._prepared(x), start, draws=draws, k=k, seed=seed)
        missing = np.isnan(x)
        return np.where(missing, self._own(imputed.mean), x), np.where(missing, self._own(imputed.draws), x)

    def _prepared(self, x: Array) -> Tensor:
        return torch.from_numpy((x.astype(np.float64) - self.mean) / self.sd)

    def _own(self, x: Tensor) -> Array:
        return x.double().numpy() * self.sd + self.mean


def _table(rows: NDArray[np.float32], mean: Array, sd: Array) -> DataSet:
    """Return standardised rows as a table of numeric columns, constant ones among them."""
    columns = [
        {"name": f"x{j}", "type": "numeric", "mean": float(m), "sd": float(s)} for j, (m, s) in enumerate(zip(mean, sd))
    ]
    info = DataInfo("rows", mean.shape, "table", None, len(rows), 0, 0, modality="tables", facts={"columns": columns})
    split = Split(torch.from_numpy(rows))
    return DataSet(info, split, split.first(0), split.first(0), Prepare("table"))


def train_with_gaps(x: Array, recipe: str, settings: Mapping[str, Any], seed: int, rounds: int, k: int) -> Fitted:
    """Train on rows with NaN: fill with column means, train, then draw the gaps from the model and go on, in turn.

    Monte-Carlo expectation maximisation (Wei & Tanner 1990), with the importance-resampled draws as expectation. Each
    round's training is an equal share of the epochs; a column that is all NaN is filled with zeros. A recipe of tables
    needs none of that: its bound is of the observed cells.
    """
    if RECIPES[recipe].part.takes == "tables":
        return Fitted.train(x, recipe, settings, seed)
    missing = np.isnan(x)
    mean = moments(x)[0]
    if likelihood_for(x[~missing]) == "bernoulli":
        mean = (mean > 0.5).astype(np.float64)
    filled = np.where(missing, mean, x)
    if not missing.any() or rounds < 2 or settings.get("train.steps"):
        return Fitted.train(filled, recipe, settings, seed)
    epochs = max(1, settings["train.epochs"] // rounds)
    fitted = Fitted.train(filled, recipe, {**settings, "train.epochs": epochs}, seed)
    for number in range(1, rounds):
        fitted.more(fitted.impute(x, k=k, seed=seed + number)[1][0], epochs)
    return fitted
