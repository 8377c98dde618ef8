"""Where a study's workers meet: who has which trial, and what came of it.

A claim is a lock that ends with the process that holds it, so that the trial of a killed worker is free again at once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from safetensors.numpy import load_file

from vaekit.atomic import write_json
from vaekit.runs.folder import VALUES

STATE = "state"
"""Folder of locks, outcomes and the plan within the study's folder."""


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: its numbers as evaluation.json has them, or why there are none.

    `left_out` says why a metric was not computed; `facts` are those of training (steps, seconds, parameters).
    """

    trial: str
    point: str
    seed: int
    status: Literal["done", "failed", "pruned"]
    at: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    numbers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


class Storage(Protocol):
    """What a worker asks of the place where workers meet."""

    def claim(self, name: str) -> Any:
        """Return a context manager that yields whether `name` is this process's until the end of the block."""
        ...

    def outcomes(self) -> dict[str, Outcome]:
        """Return the outcomes so far, by trial."""
        ...

    def record(self, outcome: Outcome, values: Path | None) -> None:
        """Keep an outcome, and the file of its examples' values; the first of a trial stays."""
        ...

    def values(self, trial: str) -> Mapping[str, Any]:
        """Return the value of each test example, by number, of the numbers that are their means."""
        ...

    def recall(self, name: str) -> Any:
        """Return what was kept under `name`, None before that."""
        ...

    def keep(self, name: str, value: Any) -> None:
        """Keep a value under `name` for all workers."""
        ...

    def for_search(self, optuna: Any) -> Any:
        """Return optuna's storage in the same place."""
        ...

    def close(self) -> None:
        """Let go of what is open."""
        ...


@contextmanager
def turn(storage: Storage, name: str, pause: float = 0.2) -> Iterator[None]:
    """Wait until `name` is this process's, for the length of the block."""
    while True:
        with storage.claim(name) as mine:
            if mine:
                yield
                return
        time.sleep(pause)


class FolderStorage:
    """Workers that share a folder: a file of locks and a file of outcome for each trial.

    >>> import tempfile
    >>> here = FolderStorage(Path(tempfile.mkdtemp()))
    >>> with here.claim("a-0") as mine, here.claim("a-0") as again:
    ...     mine, again
    (True, False)
    >>> here.record(Outcome("a-0", "a", 0, "done"), None)
    >>> list(here.outcomes())
    ['a-0']
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / STATE
        self._known: dict[str, Outcome] = {}
        for name in ("locks", "outcomes"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Yield whether the trial is this process's for the length of the block."""
        with (self._folder / "locks" / name).open("ab") as file:
            mine = _lock(file)
            yield mine  # closing the file lets the lock go, as the end of the process does

    def outcomes(self) -> dict[str, Outcome]:
        """Return the outcomes so far, by trial."""
        for path in sorted((self._folder / "outcomes").glob("*.json")):
            name = path.name.removesuffix(".json")
            if name not in self._known and not name.startswith("."):
                self._known[name] = Outcome(**json.loads(path.read_text(encoding="utf-8")))
        return dict(self._known)

    def record(self, outcome: Outcome, values: Path | None) -> None:
        """Keep an outcome; the values stay in the run's folder."""
        path = self._folder / "outcomes" / f"{outcome.trial}.json"
        if not path.exists():
            write_json(path, asdict(outcome))

    def values(self, trial: str) -> Mapping[str, Any]:
        """Return the values of the trial's test examples, by number; none where the run's folder is gone."""
        path = self._folder.parent / "trials" / trial / VALUES
        return load_file(path) if path.is_file() else {}

    def recall(self, name: str) -> Any:
        """Return what was kept under `name`, None before that."""
        path = self._folder / f"{name}.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def keep(self, name: str, value: Any) -> None:
        """Keep a value under `name` for all workers."""
        write_json(self._folder / f"{name}.json", value)

    def for_search(self, optuna: Any) -> Any:
        """Return optuna's storage in the same place: a journal, whose lock ends with the process that holds it too."""
        journal = optuna.storages.journal
        path = self._folder / "search.journal"
        return journal.JournalStorage(journal.JournalFileBackend(str(path), lock_obj=_JournalLock(self)))

    def close(self) -> None:
        """Nothing is open."""


class _JournalLock:
    """The lock of optuna's journal: a turn under the name "journal"."""

    def __init__(self, storage: FolderStorage) -> None:
        self._storage, self._turn = storage, ExitStack()

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._turn.enter_context(turn(self._storage, "journal", 0.02))
        return True

    def release(self) -> None:
        """Let the lock go."""
        self._turn.close()


def _lock(file: IO[bytes]) -> bool:
    """Lock an open file for this process if no other has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except OSError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def hidden(url: str) -> str:
    """Return a URL without its password.

    >>> hidden("postgresql://me:secret@host/db")
    'postgresql://me:***@host/db'
    """
    start, at, rest = url.rpartition("@")
    scheme, slashes, user = start.partition("://")
    return f"{scheme}{slashes}{user.partition(':')[0]}:***{at}{rest}" if at and ":" in user else url
