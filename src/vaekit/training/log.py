"""Loggers: one JSON record a line always; others by name."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Protocol

from pydantic import ConfigDict, Field, model_validator

from vaekit.atomic import finite
from vaekit.errors import UserError, optional
from vaekit.registry import Registry
from vaekit.schemas import Number, Place, Record, Text, Whole, checked, parsed


class Logger(Protocol):
    """Takes flat records of numbers."""

    def log(self, record: Mapping[str, Any]) -> None:
        """Take one record; "step" and "epoch" are among its keys."""
        ...

    def close(self) -> None:
        """Flush and end."""
        ...


LOGGERS: Registry[Any] = Registry("logger")
PROJECT = "vaekit"
"""The name under which trackers collect runs."""


@LOGGERS.register("jsonl", summary="one JSON object a line, in the run's folder")
class JsonLines:
    """Append records to a file, each flushed; what is not finite becomes null (`atomic.finite`).

    On resume, `position` (bytes, from the checkpoint) cuts off what was logged after the checkpoint.
    """

    def __init__(self, path: str | os.PathLike[str], position: int = 0) -> None:
        self.path = Path(path)
        position = min(position, self.path.stat().st_size) if self.path.exists() else 0
        self._file = self.path.open("r+b" if position else "wb")
        self._file.truncate(position)
        self._file.seek(position)

    def log(self, record: Mapping[str, Any]) -> None:
        """Write one line."""
        try:
            self._file.write((json.dumps(finite(record), allow_nan=False) + "\n").encode())
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    @property
    def position(self) -> int:
        """Bytes written."""
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of a line that could not be written, as was said then
            self._file.close()


class Kept:
    """Keep records in memory, for a run without a folder."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def log(self, record: Mapping[str, Any]) -> None:
        """Keep one record, as a line of the file would."""
        self.records.append(finite(dict(record)))

    def close(self) -> None:
        """Nothing."""


def _named(folder: str | os.PathLike[str]) -> str:
    """Return the name of the run in a folder; one that replaces another lies in a hidden folder inside that run's."""
    place = Path(folder).resolve()
    return place.parent.name if place.name.startswith(".") else place.name


def _package(module: str, extra: str) -> Any:
    return optional(module, f"the logger '{extra}' needs its package: pip install 'vaekit[{extra}]'")


def numbers(record: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a record that a tracker draws over the steps.

    >>> numbers({"step": 2, "epoch": 0.5, "stage": "train", "loss": 3.0, "kl_elements.z": [1.0, 2.0]})
    {'loss': 3.0}
    """
    plain = {name: value for name, value in record.items() if isinstance(value, int | float)}
    return {name: float(value) for name, value in plain.items() if name not in ("step", "epoch")}


@LOGGERS.register("tensorboard", summary="TensorBoard event files in the run's folder", package="tensorboard")
class TensorBoard:
    """Write scalars as TensorBoard events into `folder`/tensorboard; see them with `tensorboard --logdir folder`."""

    def __init__(self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        _package("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(Path(folder) / "tensorboard"))

    def log(self, record: Mapping[str, Any]) -> None:
        """Write every number of the record."""
        for name, value in numbers(record).items():
            self._writer.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Flush and close."""
        self._writer.close()


@LOGGERS.register(
    "mlflow", summary="an MLflow run, in the run's folder or where MLFLOW_TRACKING_URI says", package="mlflow"
)
class MLflow:
    """Log to the MLflow experiment "vaekit", with the settings as parameters.

    Without MLFLOW_TRACKING_URI it is the file `folder`/mlflow.db: `mlflow ui --backend-store-uri sqlite:///…/mlflow.db`.
    """

    def __init__(self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        mlflow = _package("mlflow", "mlflow")
        place = Path(folder).resolve()
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(place / 'mlflow.db').as_posix()}"
        self._entities, self._client = mlflow.entities, mlflow.MlflowClient(tracking_uri=uri)
        known = self._client.get_experiment_by_name(PROJECT)
        experiment = self._client.create_experiment(PROJECT) if known is None else known.experiment_id
        self._run = self._client.create_run(experiment, run_name=_named(place)).info.run_id
        params = [self._entities.Param(name, str(value)[:500]) for name, value in (config or {}).items()]
        self._client.log_batch(self._run, params=params)

    def log(self, record: Mapping[str, Any]) -> None:
        """Log every number of the record."""
        now, step = int(time.time() * 1000), int(record["step"])
        found = [self._entities.Metric(name, value, now, step) for name, value in numbers(record).items()]
        self._client.log_batch(self._run, metrics=found)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


@LOGGERS.register("wandb", summary="a Weights & Biases run, offline unless WANDB_MODE=online", package="wandb")
class WandB:
    """Log to the W&B project "vaekit", with the settings as its config.

    Nothing leaves the machine unless WANDB_MODE says so: `wandb sync folder/wandb/offline-run-…` sends it later.
    """

    def __init__(self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        wandb, place = _package("wandb", "wandb"), Path(folder).resolve()
        mode = os.environ.get("WANDB_MODE", "offline")
        self._run = wandb.init(
            project=PROJECT, name=_named(place), dir=str(place), mode=mode, config=dict(config or {})
        )

    def log(self, record: Mapping[str, Any]) -> None:
        """Log every number of the record."""
        self._run.log(numbers(record), step=int(record["step"]))

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


@LOGGERS.register("trackio", summary="a Trackio run on this machine; see it with `trackio show`", package="trackio")
class Trackio:
    """Log to the Trackio project "vaekit", with the settings as its config; it stays on this machine."""

    def __init__(self, folder: str | os.PathLike[str], config: Mapping[str, Any] | None = None) -> None:
        trackio = _package("trackio", "trackio")
        self._run = trackio.init(project=PROJECT, name=_named(folder), config=dict(config or {}))

    def log(self, record: Mapping[str, Any]) -> None:
        """Log every number of the record."""
        self._run.log(numbers(record), step=int(record["step"]))

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


Logged = Number | None | list[Number | None]


class LogLine(Record):
    """A line of log.jsonl: the step and epoch, and numbers by name, some of them one for each latent dimension."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)
    __pydantic_extra__: dict[str, Logged] = Field(init=False)  # pyright: ignore[reportIncompatibleVariableOverride]

    step: Whole
    epoch: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    stage: Text | None = None
    failed: Text | None = None
    graph: Text | None = None
    control: Text | None = None
    not_finite: dict[str, Text] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _of_latents(self) -> LogLine:
        more = self.__pydantic_extra__
        for name, value in more.items():
            latent = name.removeprefix("kl_elements.")
            if (latent != name) != isinstance(value, list):
                raise ValueError(f"{name}: a number is needed, and a list for kl_elements alone")
            counts = [more.get(f"{part}.{latent}") for part in ("active", "units")]
            if latent != name and not all(isinstance(count, int | float) and count >= 0 for count in counts):
                raise ValueError(f"{name}: active.{latent} and units.{latent} are needed with it")
        return self


def read(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Read a log back, [] if there is none; a last line cut short by a crash is left out.

    Another line that is not a record of the log is named in a warning, and the lines from it on are left out.
    """
    records: list[dict[str, Any]] = []
    if not Path(path).is_file():
        return records
    lines = Path(path).read_bytes().splitlines()
    for number, line in enumerate(lines, 1):
        place = Place(f"{path}, line {number},", "the log is read up to there")
        try:
            record = parsed(line, place)
            checked(LogLine, record, place)
        except UserError as error:
            if number < len(lines) or line.endswith(b"}"):
                warnings.warn(str(error), stacklevel=2)
            break
        records.append(record)
    return records
