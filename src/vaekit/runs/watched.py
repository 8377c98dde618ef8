"""A run whose training goes on in another process, seen through its folder: record, log and checkpoints."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from vaekit import collapse
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.explorer.server import PORT, serve
from vaekit.objectives.elbo import Rate
from vaekit.recipes.base import RECIPES
from vaekit.recipes.own import CUSTOM
from vaekit.runs import folder as files
from vaekit.runs.base import RunBase, build
from vaekit.runs.loading import load, restored
from vaekit.runs.locks import in_use
from vaekit.runs.run import Run
from vaekit.training import checkpoint
from vaekit.training.control import What, ask
from vaekit.training.saved import CHECKPOINTS, LAST

SHOWN = ("step", "epoch", "stage", "loss", "elbo", "lr", "valid.loss", "valid.elbo", "control", "failed")
"""What the page is told of a line of the log."""
HEARTBEAT = 30.0
"""Seconds between two messages that somebody watches."""


def in_training(folder: Path) -> Path | None:
    """Return where a training writes that has not ended: the folder, or the one inside that is to replace it."""
    for place in (folder / files.NEW, folder):
        if (place / files.RECORD).is_file():
            record = files.read_record(place)
            return place if record["status"] == "running" and record["recipe"] != CUSTOM else None
    return None


def watch(folder: Path, port: int = PORT, *, browser: bool = True, announce: Any = print) -> None:
    """Serve the explorer's page of a run in training, on the processor, until it is interrupted."""
    with suppress(AttributeError, OSError):
        os.nice(10)  # training goes first
    live = Watched(folder)
    serve(live.first, port, browser, announce, live=live)


class Watched:
    """The run in `folder`. `first` has the weights of its last checkpoint, or, before there is any, initial ones.

    Raises:
        UserError: the folder holds no run that is in training.
    """

    def __init__(self, folder: Path) -> None:
        place = in_training(folder)
        if place is None:
            raise UserError(f"no training goes on in {folder}")
        self.folder, self._begun = folder, place
        self.record = files.read_record(place)
        recipe = RECIPES[self.record["recipe"]].part
        settings = recipe.settings(under=self.record["settings"])
        self._seen: Any = None
        self._lines: list[dict[str, Any]] = []
        self._read = 0
        self._told = -HEARTBEAT
        self._over = False
        self._latents: list[collapse.Usage] = []
        found = self._checkpoint()
        if found is None:
            info = DataInfo.from_dict(self.record["data"]["info"])
            found = checkpoint.model_tensors(build(recipe, settings, info).model)
        self.first = restored(self.record, found, place)
        self._run: Run = self.first
        self.beta = any(isinstance(t, Rate) for stage in self.first.built.stages for t in stage.objective.each())

    # -- new weights ---------------------------------------------------------------------------------------------------

    def _place(self) -> Path:
        """Return where the training writes; what is to replace a run is put in its place at the end."""
        return self._begun if (self._begun / files.RECORD).is_file() else self.folder

    def _checkpoint(self) -> dict[str, Any] | None:
        """Return the weights of the last checkpoint, None where there is none or it has been seen."""
        path = self._place() / CHECKPOINTS / LAST
        try:
            stat = path.stat()
            if (stat.st_ino, stat.st_mtime_ns) == self._seen:
                return None
            tensors, _ = checkpoint.load(path)
        except (UserError, OSError):
            return None  # it is being replaced
        self._seen = (stat.st_ino, stat.st_mtime_ns)
        return checkpoint.group(tensors, "model")

    def news(self) -> RunBase | None:
        """Return the run with the weights of a new checkpoint, or, once it has ended, with those it keeps."""
        if self._over:
            return None
        if self._status() == "done":
            self._over = True
            run = load(self.folder, "cpu")
        else:
            tensors = self._checkpoint()
            if tensors is None:
                return None
            run = restored(self.record, tensors, self._place())
        run._data = self._run._data  # read once
        self._run = run
        return run

    # -- what is said of it --------------------------------------------------------------------------------------------

    def _status(self) -> str:
        """Return "running", "paused", "done", "failed", or "ended" for one that no process writes any more."""
        with suppress(UserError, OSError):
            status = files.read_record(self._place())["status"]
            if status != "running":
                return status
        if not in_use(self.folder):
            return "ended"
        said = [line["control"] for line in self._lines if line.get("control") in ("pause", "go on")]
        return "paused" if said[-1:] == ["pause"] else "running"

    def state(self, since: int) -> dict[str, Any]:
        """Return what the page shows; somebody looks at it, which the training is told now and then."""
        self._read_on()
        status = self._status()
        if status == "running" and time.monotonic() - self._told > HEARTBEAT:
            self._told = time.monotonic()
            ask(self._place(), "watch")
        warning = collapse.warning(self._latents)
        last = self._lines[-1] if self._lines else {"step": 0, "epoch": 0.0}
        return {
            "status": status,
            "step": last["step"],
            "epoch": last["epoch"],
            "warnings": [warning] if warning and last["epoch"] > 1 else [],
            "active": [sum(one.active for one in self._latents), sum(one.units for one in self._latents)],
            "beta": self.beta,
            "lines": self._lines[since:],
            "count": len(self._lines),
        }

    def _read_on(self) -> None:
        """Read what the log has more; a resumed run's may have become shorter."""
        path = self._place() / files.LOG
        try:
            with path.open("rb") as file:
                if file.seek(0, os.SEEK_END) < self._read:
                    self._read, self._lines = 0, []
                file.seek(self._read)
                data = file.read()
        except OSError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            with suppress(ValueError):
                record = cast("dict[str, Any]", json.loads(line))
                self._lines.append({name: record[name] for name in SHOWN if record.get(name) is not None})
                names = [name.removeprefix("kl_elements.") for name in record if name.startswith("kl_elements.")]
                if names:
                    self._latents = [
                        collapse.Usage(
                            n,
                            sum(kl or 0.0 for kl in record[f"kl_elements.{n}"]),
                            record[f"active.{n}"],
                            record[f"units.{n}"],
                        )
                        for n in names
                    ]

    def ask(self, what: str, factor: float) -> None:
        """Ask something of the training."""
        if self._status() not in ("running", "paused"):
            raise UserError("the training has ended, so nothing can be asked of it")
        ask(self._place(), cast("What", what), factor)
