"""What is asked of a training while it runs, by a file in its folder: pause, stop, a lower β or learning rate.

Whoever asks appends a line of JSON to `control.jsonl`; training looks for the file after every step, takes it away and
does what it says. Each change is a line of the log and is in the checkpoint written at once, so that a run taken up
again goes on as changed.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from vaekit.errors import UserError
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate
from vaekit.schedules import Annealed
from vaekit.schemas import Place, Record, checked, parsed

CONTROL = "control.jsonl"
TAKEN = ".run.control"
WATCHED = 90.0
"""Seconds for which a run that is watched, as was asked, makes checkpoints soon."""
WATCHED_EVERY = 2.0
"""Seconds between two of them, at least."""
POLL = 0.05
What = Literal["pause", "go on", "stop", "learning rate", "beta", "watch"]


class Asked(Record):
    """One thing asked: "learning rate" and "beta" are multiplied by the `factor`; "watch" asks for checkpoints soon.

    >>> Asked(what="beta", factor=0.5).said
    'beta × 0.5'
    """

    what: What
    factor: Annotated[float, Field(gt=0, le=100)] = 1.0

    @property
    def said(self) -> str:
        """How the log has it."""
        return f"{self.what} × {self.factor:g}" if self.what in ("learning rate", "beta") else self.what


def ask(folder: Path, what: What, factor: float = 1.0) -> None:
    """Ask something of the training that writes into `folder`."""
    line = json.dumps(Asked(what=what, factor=factor).model_dump()) + "\n"
    with (folder / CONTROL).open("a", encoding="utf-8") as file:
        file.write(line)


def asked_of(folder: Path) -> Sequence[Asked]:
    """Return what has been asked since the last time, () as a rule; a line that asks nothing known is left out."""
    path, taken = folder / CONTROL, folder / TAKEN
    try:
        path.replace(taken)
        lines = [] if taken.is_symlink() else taken.read_bytes().splitlines()
        taken.unlink()
    except OSError:
        return ()
    found: list[Asked] = []
    for line in lines:
        try:
            value = parsed(line, place := Place(path, "ask again"))
            checked(Asked, value, place)
            found.append(Asked(**value))
        except UserError:
            continue
    return found


class Control:
    """What is asked of the run in `folder`; without one nothing ever is. `saving` is the seconds of a checkpoint.

    What was asked of an earlier process, and not done, is forgotten.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.saving = 0.0
        self._until = -1.0
        self._path = None if folder is None else str(folder / CONTROL)
        if folder is not None:
            for one in asked_of(folder):
                self._watch(one)

    @property
    def watched(self) -> bool:
        """Whether somebody looks at the run just now."""
        return time.monotonic() < self._until

    def seconds(self, usual: float) -> float:
        """Return the seconds between checkpoints: fewer while the run is watched, at one percent of its time."""
        return min(usual, max(WATCHED_EVERY, 100 * self.saving)) if self.watched else usual

    def asked(self, leave: Callable[[], None]) -> Iterator[Asked]:
        """Yield what has been asked, and after "pause" wait for more; meanwhile `leave` may end the run."""
        if self.folder is None or self._path is None:
            return
        paused = False
        while paused or os.path.lexists(self._path):  # after every step: a few microseconds
            for one in asked_of(self.folder):
                if self._watch(one):
                    continue
                paused = one.what == "pause" or (paused and one.what not in ("go on", "stop"))
                yield one
            if paused:
                leave()
                time.sleep(POLL)

    def _watch(self, one: Asked) -> bool:
        """Whether somebody says that the run is watched."""
        if one.what == "watch":
            self._until = time.monotonic() + WATCHED
        return one.what == "watch"


def scale_rates(objective: Objective, factor: float) -> None:
    """Multiply β, the weight of every rate in the loss, by what has been asked so far."""
    for term in objective.each():
        if isinstance(term, Rate) and type(term.weight) is Annealed:
            term.weight.scale(factor)
