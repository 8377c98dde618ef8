"""A run of rows, for estimators: arrays or data frames in and out, all state in named arrays and JSON.

Everything asked of it is computed in float64, and depends on each row alone: not on the rows beside it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.dataset import DataSet, Prepared, Split
from vaekit.data.tables.dataframes import is_missing, library_of
from vaekit.data.tables.modality import Tables
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import merge
from vaekit.runs.loading import restored
from vaekit.runs.run import Run
from vaekit.runs.train import given_settings, train
from vaekit.tasks.anomaly import CODED, Scorer
from vaekit.tasks.imputation import impute
from vaekit.training.checkpoint import model_tensors
from vaekit.training.data_source import DataSource
from vaekit.training.loop import fit
from vaekit.training.plan import Plan

Array = NDArray[np.float64]
RECORD = "record"
"""The name under which the state keeps what is no tensor, as JSON bytes."""
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
    """A run of rows, in double precision, and the scale that columns of numbers were brought to: (x − mean)/sd.

    Columns of a likelihood on [0, 1], and tables, keep theirs: mean 0, sd 1. Rows of a table are arrays (N, D), whose
    columns are called x0, x1, …, or data frames, as those it was trained on were.
    """

    run: Run
    mean: Array
    sd: Array

    def __post_init__(self) -> None:
        if self.run.device.type == "mps":  # which has no double precision
            self.run.to("cpu")
        self.run.model.double().eval()

    @staticmethod
    def train(x: Any, recipe: str, settings: Mapping[str, Any], seed: int) -> Fitted:
        """Train `recipe` on the rows of x (N, D), or of a frame where the recipe is of tables.

        No row is held out to test; to validate, where the recipe or the settings keep the best weights or stop early.

        Raises:
            UserError: a setting is wrong.
        """
        own: dict[str, Any] = {"data.test": 0, "train.seed": seed, **settings}
        if takes_tables(recipe):
            data, mean, sd = as_table(x), np.zeros(1), np.ones(1)
        else:
            mean, sd = moments(x)
            likelihood = own.get("model.likelihood", "auto")
            own["model.likelihood"] = likelihood = likelihood_for(x) if likelihood == "auto" else likelihood
            if likelihood in AS_THEY_ARE or own.get("data.standardise") in (False, "no"):
                mean, sd = np.zeros_like(mean), np.ones_like(sd)
            own["data.standardise"] = False  # they are already, in double precision
            data = ((x - mean) / sd).astype(np.float32)
        if "data.valid" not in own and not _validates(recipe, own):
            own["data.valid"] = 0
        return Fitted(train(recipe, data, set=own), mean, sd)

    def more(self, x: Any, *, steps: int | None = None) -> None:
        """Go on training with these rows for `steps`, or one pass, at the settings' learning rate."""
        own: dict[str, Any] = {"epochs": 1, "steps": steps, "warmup": 0, "decay": "none"}
        own |= {"keep": "last", "early_stop": None}  # none of these rows is held out
        record = self.run.record | {"settings": merge(self.run.record["settings"], {"train": own})}
        run = restored(record, model_tensors(self.run.model)).to(self.run.device)
        rows = self._prepared(x).to(torch.uint8 if run.info.kind == "binary" else torch.float32)
        none = Split(rows[:0])
        data = DataSet(run.info, Split(rows), none, none, run.prepare)
        fit(run.model, run.built.stages, DataSource(data), run.settings.train)
        run.model.double().eval()
        self.run = run

    # -- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays: the weights, and the record as JSON bytes."""
        arrays = {name: tensor.cpu().numpy().copy() for name, tensor in model_tensors(self.run.model).items()}
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
        told = self.run.record["settings"]["model"]["latent"]
        empty = torch.zeros(1, *self.run.info.shape, dtype=torch.float64)
        return self.run.encode(Prepared(empty)).shape[1] if told is None else int(told)

    def encode(self, x: Any) -> Array:
        """Return posterior means (N, F)."""
        return self.run.encode(Prepared(self._prepared(x))).numpy()

    def decode(self, z: Array) -> Any:
        """Return the mean of p(x|z) in the rows' own units (N, D)."""
        return self._own(self.run.decode(torch.tensor(z)))

    def log_prob(self, x: Any, k: int) -> Array:
        """Return the importance-weighted bound on log p(x) in the rows' own units, nats (N,)."""
        return -self.scores(x, "iw", k)

    def standards(self, x: Any, k: int, normal: Array) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation over training rows of the scores that "combined" is made of."""
        scorer = Scorer(self.run.model, k=k, seed=self.run.settings.train.seed, normal=torch.from_numpy(normal))
        return scorer.standardised_by(self._prepared(x))

    def scores(
        self,
        x: Any,
        name: str,
        k: int,
        normal: Array | None = None,
        standards: Mapping[str, tuple[float, float]] | None = None,
    ) -> Array:
        """Return an anomaly score (N,), the higher the stranger, in the rows' own units; see vaekit.tasks.anomaly."""
        codes, rows = None if normal is None else torch.from_numpy(normal), Prepared(self._prepared(x, "missing"))
        # A table's likelihood is in the columns' own units already; regret and distances have none.
        own = self.is_table or name in ("regret", *CODED)
        how: dict[str, Any] = {"k": k, "seed": self.run.settings.train.seed, "normal": codes, "standards": standards}
        found = self.run.anomaly_scores(rows, name, **how)
        return found if own else found + np.log(self.sd).sum()

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> Any:
        """Return n draws of x in the rows' own units (n, D)."""
        return self._own(self.run.drawn(n, temperature=temperature, draw=True, seed=seed))

    def impute(self, x: Any, *, draws: int = 1, k: int = 200, seed: int = 0) -> tuple[Any, Any]:
        """Return x with its gaps filled by conditional means (N, D), and `draws` multiple imputations (M, N, D).

        Those of a data frame are such frames, the imputations a list of them.
        """
        if self.is_table:
            return self._imputed_table(x, draws, k, seed)
        middle = torch.full(tuple(self.run.info.shape), 0.0 if self.run.info.kind == "real" else 0.5)
        imputed = impute(self.run.model, self._prepared(x), middle, draws=draws, k=k, seed=seed)
        missing = np.isnan(x)
        return np.where(missing, self._own(imputed.mean), x), np.where(missing, self._own(imputed.draws), x)

    # -- tables -------------------------------------------------------------------------------------------------------

    @property
    def is_table(self) -> bool:
        """Whether rows are a table's, columns of any kind."""
        return self.run.info.kind == "table"

    def _imputed_table(self, x: Any, draws: int, k: int, seed: int) -> tuple[Any, Any]:
        table = as_table(x)
        if not has_gaps(x):
            return (x, [x] * draws) if library_of(x) else (x, np.repeat(x[None], draws, 0))
        found = self.run.impute_table(table, draws=draws, k=k, seed=seed)
        every = [found.like(table, draw) for draw in (None, *range(draws))]
        if library_of(x):
            return every[0], every[1:]
        filled = np.array([np.array(list(one.values()), dtype=np.float64).T for one in every])
        filled = np.where(np.isnan(x), filled, x)
        return filled[0], filled[1:]

    def _prepared(self, x: Any, unknown: Literal["missing"] | None = None) -> Tensor:
        if self.is_table:
            return self.run.prepared(as_table(x), unknown=unknown).x.double()
        return torch.from_numpy((x.astype(np.float64) - self.mean) / self.sd)

    def _own(self, x: Tensor) -> Any:
        if not self.is_table:
            return x.double().numpy() * self.sd + self.mean
        if self.run.info.facts.get("frame"):
            return Tables().frame(x, self.run.info)
        columns = Tables().columns(x, self.run.info)
        return np.array([columns.get(name, [None] * len(x)) for name in self.run.info.facts["header"]], np.float64).T


def takes_tables(recipe: str) -> bool:
    """Whether a recipe is of tables."""
    return RECIPES[recipe].part.takes == "tables"


def as_table(x: Any) -> Any:
    """Return a data frame as it is, and the columns of an array (N, D) as x0, x1, …"""
    return x if library_of(x) else {f"x{j}": x[:, j] for j in range(x.shape[1])}


def has_gaps(x: Any) -> bool:
    """Whether a cell of an array or data frame is missing."""
    if library_of(x):
        return any(is_missing(value) for name in x.columns for value in x[name].to_list())
    return bool(np.isnan(x).any())


def _validates(recipe: str, settings: Mapping[str, Any]) -> bool:
    """Whether a training looks at held-out rows to keep weights or to stop."""
    train = dict(RECIPES[recipe].part.defaults.get("train", {})) | {
        name.removeprefix("train."): value for name, value in settings.items() if name.startswith("train.")
    }
    return train.get("keep") == "best" or train.get("early_stop") is not None


def train_with_gaps(x: Any, recipe: str, settings: Mapping[str, Any], seed: int, rounds: int, k: int) -> Fitted:
    """Train on rows with NaN: fill with column means, train, then draw the gaps from the model and go on, in turn.

    Monte-Carlo expectation maximisation (Wei & Tanner 1990), with the importance-resampled draws as expectation. Each
    round's training is an equal share of the steps; a column that is all NaN is filled with zeros. A recipe of tables
    needs none of that: its bound is of the observed cells.
    """
    if takes_tables(recipe):
        return Fitted.train(x, recipe, settings, seed)
    missing = np.isnan(x)
    mean = moments(x)[0]
    if likelihood_for(x[~missing]) == "bernoulli":
        mean = (mean > 0.5).astype(np.float64)
    filled = np.where(missing, mean, x)
    if not missing.any() or rounds < 2:
        return Fitted.train(filled, recipe, settings, seed)
    if _validates(recipe, settings):
        raise UserError(
            "the best weights are kept, or training stops early, by rows that are held out, which rounds of drawing "
            "gaps would fill again: give rounds=1, or leave train.keep and train.early_stop out"
        )
    wanted = RECIPES[recipe].part.settings(given_settings({"set": settings})).train
    each = max(1, Plan(wanted, (1.0,), max(1, len(x) // wanted.batch_size)).total // rounds)
    fitted = Fitted.train(filled, recipe, {**settings, "train.steps": each}, seed)
    for number in range(1, rounds):
        fitted.more(fitted.impute(x, k=k, seed=seed + number)[1][0], steps=each)
    return fitted
