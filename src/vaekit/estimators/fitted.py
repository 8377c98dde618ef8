"""A model of a plain table of numbers, for estimators: arrays in, arrays out, all state in named arrays and JSON.

Everything asked of it is computed in float64, and depends on each row alone: not on the rows beside it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.dataset import DataSet, Split
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.models.base import Model
from vaekit.recipes.base import RECIPES
from vaekit.recipes.settings import merge
from vaekit.runs.base import build
from vaekit.runs.train import train
from vaekit.tasks.anomaly import Scorer
from vaekit.tasks.imputation import impute
from vaekit.training import checkpoint
from vaekit.training.data_source import DataSource
from vaekit.training.loop import fit

Array = NDArray[np.float64]
RECORD = "record"
"""The name under which the state keeps what is no tensor, as JSON bytes."""


def likelihood_for(x: Array) -> str:
    """Return the likelihood that "auto" stands for: Bernoulli for zeros and ones, else Gaussian.

    >>> likelihood_for(np.array([[0.0, 1.0], [0.5, 1.0]]))
    'gaussian'
    """
    return "bernoulli" if bool(np.isin(x, (0.0, 1.0)).all()) and len(np.unique(x)) == 2 else "gaussian"


@dataclass
class Fitted:
    """A trained model of rows of D numbers, with its standardisation and settings."""

    record: dict[str, Any]
    model: Model

    @staticmethod
    def train(x: Array, recipe: str, settings: Mapping[str, Mapping[str, Any]], seed: int, y: Any = None) -> Fitted:
        """Train `recipe` on all rows of x (N, D): none is held out, for that is the caller's business.

        A recipe of tables takes every column as numeric, and NaN in x as missing.
        """
        if RECIPES[recipe].part.takes == "tables":
            return _table(x, recipe, settings, seed)
        likelihood = settings.get("model", {}).get("likelihood", "auto")
        likelihood = likelihood_for(x) if likelihood == "auto" else likelihood
        real = likelihood not in ("bernoulli", "continuous-bernoulli", "bernoulli-soft")
        own = {
            "model": {"likelihood": likelihood} | ({"scale": "shared"} if likelihood == "gaussian" else {}),
            "data": {"valid": 0, "test": 0},  # standardised here, in float64
            "train": {"seed": seed, "device": "cpu"},
        }
        mean, sd = x.mean(0), x.std(0)
        sd = np.where(sd > 1e-9 * (1 + np.abs(mean)), sd, 1.0)
        plain = (x - mean) / sd if real else x
        given = merge(settings, own)
        flat = {f"{section}.{name}": value for section, values in given.items() for name, value in values.items()}
        rows = plain.astype(np.float32)
        run = train(recipe, rows if y is None else (rows, y), set=flat)
        record = {
            "recipe": recipe,
            "settings": run.settings.model_dump(mode="json"),
            "info": run.info.to_dict(),
            "prepare": run.record["data"]["prepare"],
            "mean": mean.tolist() if real else None,
            "sd": sd.tolist() if real else None,
            "seed": seed,
        }
        return Fitted(record, run.model.double().eval())

    def more(self, x: Array, passes: int = 1, y: Any = None) -> None:
        """Go on training with these rows, `passes` times over, at the settings' learning rate."""
        recipe = RECIPES[self.record["recipe"]].part
        own = {"epochs": passes, "steps": None, "warmup": 0, "decay": "none", "device": "cpu"}
        settings = recipe.settings({"train": own}, self.record["settings"])
        info = DataInfo.from_dict(self.record["info"])
        built = build(recipe, settings, info)
        built.model.load_state_dict(self.model.float().state_dict())
        rows = self._prepared(x).float()
        if info.kind == "binary":
            rows = rows.to(torch.uint8)
        split = Split(rows, None if y is None else torch.as_tensor(y))
        empty = split.first(0)
        data = DataSet(info, split, empty, empty, Prepare.from_dict(self.record["prepare"]))
        fit(built.model, built.stages, DataSource(data), settings.train)
        self.model = built.model.double().eval()

    # -- state --------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, NDArray[Any]]:
        """Return everything as named arrays: the weights, and the record as JSON bytes."""
        arrays = {name: tensor.numpy().copy() for name, tensor in checkpoint.model_tensors(self.model).items()}
        return arrays | {RECORD: np.frombuffer(json.dumps(self.record).encode(), np.uint8).copy()}

    @staticmethod
    def from_state(state: Mapping[str, NDArray[Any]]) -> Fitted:
        """Rebuild from `state`."""
        record = json.loads(state[RECORD].tobytes())
        recipe = RECIPES[record["recipe"]].part
        settings = recipe.settings(under=record["settings"])
        model = build(recipe, settings, DataInfo.from_dict(record["info"])).model.double()
        tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items() if name != RECORD}
        model.load_state_dict(tensors)
        return Fitted(record, model.eval())

    # -- use ----------------------------------------------------------------------------------------------------------

    @property
    def latent_size(self) -> int:
        """How many latent dimensions there are."""
        return int(self.record["settings"]["model"]["latent"])

    @property
    def width(self) -> int:
        """How many numbers a row has."""
        return int(np.prod(self.record["info"]["shape"]))

    def encode(self, x: Array) -> Array:
        """Return posterior means (N, F)."""
        return self._rows(lambda rows: self.model.features(rows), self._prepared(x), self.latent_size)

    def decode(self, z: Array) -> Array:
        """Return the mean of p(x|z) in the rows' own units (N, D)."""
        codes = torch.from_numpy(np.asarray(z, dtype=np.float64))
        return self._own(self._rows(lambda rows: self.model.decode(rows).mean, codes, self.width))

    def log_prob(self, x: Array, k: int) -> Array:
        """Return the importance-weighted bound on log p(x) in the rows' own units, nats (N,)."""
        return -self.scores(x, "iw", k=k) - self._log_unit()

    def scores(self, x: Array, name: str, k: int = 64, steps: int = 100, normal: Array | None = None) -> Array:
        """Return an anomaly score (N,), the higher the stranger; see vaekit.tasks.anomaly."""
        codes = None if normal is None else torch.from_numpy(normal)
        scorer = Scorer(self.model, k=k, steps=steps, seed=self.record["seed"], normal=codes)
        return scorer.score(name, self._prepared(x)).numpy()

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> Array:
        """Return n draws of x in the rows' own units (n, D)."""
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self._own(self.model.sample(n, temperature=temperature, draw=True).double().flatten(1).numpy())

    def impute(self, x: Array, *, draws: int = 1, k: int = 200, seed: int = 0) -> tuple[Array, Array]:
        """Return x with its NaN filled by conditional means (N, D), and `draws` multiple imputations (M, N, D)."""
        rows = self._prepared(x)
        start = torch.zeros(self.width, dtype=rows.dtype) if self.record["mean"] else torch.full((self.width,), 0.5)
        start = None if self._is_table else start
        imputed = impute(self.model, rows, start, draws=draws, k=k, seed=seed)
        filled = np.where(np.isnan(x), self._own(imputed.mean.double().numpy()), x)
        return filled, np.where(np.isnan(x), self._own(imputed.draws.double().numpy()), x)

    def _rows(self, call: Callable[[Tensor], Tensor], x: Tensor, width: int, size: int = 512) -> Array:
        with torch.no_grad():
            parts = [call(part).double().flatten(1).numpy() for part in x.split(size)]
        return np.concatenate(parts) if parts else np.empty((0, width))

    def _prepared(self, x: Array) -> Tensor:
        if self.record["mean"] is not None:
            x = (x - np.array(self.record["mean"])) / np.array(self.record["sd"])
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float64))

    def _own(self, x: Array) -> Array:
        return x if self.record["mean"] is None else x * np.array(self.record["sd"]) + np.array(self.record["mean"])

    @property
    def _is_table(self) -> bool:
        return self.record["info"]["kind"] == "table"

    def _log_unit(self) -> float:
        # A table's likelihood is in the columns' own units already.
        return 0.0 if self.record["sd"] is None or self._is_table else float(np.log(self.record["sd"]).sum())

    def __deepcopy__(self, memo: dict[int, Any]) -> Fitted:
        return Fitted(copy.deepcopy(self.record, memo), copy.deepcopy(self.model, memo))


def _table(x: Array, recipe: str, settings: Mapping[str, Mapping[str, Any]], seed: int) -> Fitted:
    """Train a recipe of tables on numeric columns, standardised by their observed cells; a constant one has sd 1."""
    seen = ~np.isnan(x)
    count = np.maximum(seen.sum(0), 1)
    mean = np.where(seen, x, 0.0).sum(0) / count
    sd = np.sqrt(np.where(seen, (x - mean) ** 2, 0.0).sum(0) / count)
    sd = np.where(sd > 1e-9 * (1 + np.abs(mean)), sd, 1.0)
    facts = [
        {"name": f"x{j}", "type": "numeric", "mean": float(m), "sd": float(s)} for j, (m, s) in enumerate(zip(mean, sd))
    ]
    info = DataInfo("rows", (x.shape[1],), "table", None, len(x), 0, 0, modality="tables", facts={"columns": facts})
    own = {"data": {"valid": 0, "test": 0}, "train": {"seed": seed, "device": "cpu"}, "model": {"likelihood": "mixed"}}
    part = RECIPES[recipe].part
    chosen = part.settings(merge(settings, own))
    built = build(part, chosen, info)
    split = Split(torch.from_numpy((x - mean) / sd).float())
    prepare = Prepare("table")
    fit(
        built.model,
        built.stages,
        DataSource(DataSet(info, split, split.first(0), split.first(0), prepare)),
        chosen.train,
    )
    record = {
        "recipe": recipe,
        "settings": chosen.model_dump(mode="json"),
        "info": info.to_dict(),
        "prepare": prepare.to_dict(),
        "mean": mean.tolist(),
        "sd": sd.tolist(),
        "seed": seed,
    }
    return Fitted(record, built.model.double().eval())


def train_with_gaps(
    x: Array, recipe: str, settings: Mapping[str, Mapping[str, Any]], seed: int, rounds: int, k: int
) -> Fitted:
    """Train on rows with NaN: fill with column means, train, then draw the gaps from the model and go on, in turn.

    Monte-Carlo expectation maximisation (Wei & Tanner 1990), with the importance-resampled draws as expectation. Each
    round's training is an equal share of the epochs; a column that is all NaN is filled with zeros. A recipe of tables
    needs none of that: its bound is of the observed cells.
    """
    if RECIPES[recipe].part.takes == "tables":
        return Fitted.train(x, recipe, settings, seed)
    missing = np.isnan(x)
    seen = np.where(missing, 0.0, x)
    mean = seen.sum(0) / np.maximum((~missing).sum(0), 1)
    if likelihood_for(x[~missing]) == "bernoulli":
        mean = (mean > 0.5).astype(np.float64)
    filled = np.where(missing, mean, x)
    own = settings.get("train", {})
    if not missing.any() or rounds < 2 or own.get("steps"):
        return Fitted.train(filled, recipe, settings, seed)
    epochs = max(1, int(own.get("epochs") or 50) // rounds)
    fitted = Fitted.train(filled, recipe, merge(settings, {"train": {"epochs": epochs}}), seed)
    for round_ in range(1, rounds):
        _, draws = fitted.impute(x, draws=1, k=k, seed=seed + round_)
        fitted.more(draws[0], epochs)
    return fitted
