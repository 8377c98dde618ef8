"""`vaekit.study`: a study worked through in this process or in several, and what it found."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypedDict, Unpack

from vaekit.atomic import write_json
from vaekit.errors import UserError, optional
from vaekit.studies.budget import seconds
from vaekit.studies.definition import Definition, by_tpe, definition, differing
from vaekit.studies.output import REPORT, Written, write_results
from vaekit.studies.places import open_storage
from vaekit.studies.points import check_settings, fixed_points, trials_of
from vaekit.studies.results import Results
from vaekit.studies.search import NEEDS_OPTUNA, points_of
from vaekit.studies.storage import Outcome, Storage
from vaekit.studies.trial import Bench, check_metrics
from vaekit.studies.worker import PAUSE, RECORD, STORAGE, TRIALS, work

MOST_DEATHS = 2
"""Times that a trial may end its process before it is recorded as failed."""


class Terms(TypedDict, total=False):
    """How a study is worked through, beside what it is."""

    jobs: int
    seeds: int | Sequence[int] | None
    budget: str | None
    resume: bool
    storage: str | None
    device: str
    metrics: Sequence[str | Callable[..., Any]]
    progress: Progress | None


@dataclass(frozen=True)
class Study:
    """A study that has ended: its folder, definition, the table's rows, findings, and every trial's outcome."""

    path: Path
    definition: Definition
    rows: list[dict[str, Any]] = field(repr=False)
    findings: list[str] = field(repr=False)
    outcomes: Mapping[str, Outcome] = field(repr=False)

    @property
    def failed(self) -> dict[str, str]:
        """Reasons of the trials that failed, by trial."""
        return {name: one.reason for name, one in self.outcomes.items() if one.status == "failed"}

    @property
    def report(self) -> Path:
        """The page with figures, table and findings."""
        return self.path / REPORT


class Progress:
    """Told how a study goes; this one says nothing."""

    def note(self, text: str) -> None:
        """Say a sentence."""

    def begins(self, trials: int, done: int) -> None:
        """Know how many trials there are, and how many are done already."""

    def running(self, trial: str) -> None:
        """Know that a trial has begun."""

    def ended(self, outcome: Outcome) -> None:
        """Know what came of a trial."""

    def close(self) -> None:
        """Know that there is no more."""


def study(
    what: str | Path | Mapping[str, Any] | Definition, data: Any = None, *, out: str | Path, **terms: Unpack[Terms]
) -> Study:
    """Run a study: every point with every seed, each a run in `out`/trials, then the table, figures and the report.

    Args:
        what: the name of a built-in study (`vaekit study --list`), a YAML file, or its keys and values; see
            docs/studies.md.
        data: the data of points that name none: a known set, a path, or anything that `vaekit.train` takes.
        out: the study's folder.
        terms: `jobs` processes at once (1: this one). `seeds`: how many, or which, in place of the study's own.
            `budget`: time for the whole study, "5m", divided over the trials into steps. `resume`: go on with the
            study in `out`, or help another process with it; finished trials are not repeated. `storage`: a PostgreSQL
            URL by which several machines share the trials. `device` as for `vaekit.train`. `metrics`: more metrics,
            by name or, with one job, functions. `progress`: what is told how it goes.

    Raises:
        UserError: the definition, data or settings are wrong; nothing is written then.

    >>> import tempfile
    >>> grid = {"name": "beta", "grid": {"objective.beta": [1, 4]}, "metrics": ["elbo"], "numbers": ["kl"]}
    >>> done = study(grid | {"settings": {"train.steps": 20}, "seeds": 2}, "digits", out=tempfile.mkdtemp())
    >>> [row["point"] for row in done.rows], len(done.outcomes)
    (['beta=1', 'beta=4'], 4)
    """
    jobs, budget = terms.get("jobs", 1), terms.get("budget")
    if jobs < 1:
        raise UserError(f"jobs must be at least 1, not {jobs}")
    made, functions = _definition(what, data, terms)
    if jobs > 1 and (functions or (data is not None and not isinstance(data, str | Path))):
        what_ = "metrics that are functions" if functions else "data in memory"
        raise UserError(f"{what_} stay in this process: use jobs=1, or name a file (FILE.py:FUNCTION, a path)")
    if by_tpe(made):
        optional("optuna", NEEDS_OPTUNA)
    check_metrics(made.metrics)
    check_settings(made, fixed_points(made))
    url, folder = terms.get("storage"), Path(out)
    agreed: dict[str, Any] = {"budget": None if budget is None else seconds(budget), "jobs": jobs}
    agreed["device"] = terms.get("device") or "auto"
    record = _begin(folder, made, agreed, terms.get("resume", False))
    storage, shown = open_storage(folder, url, made.key), terms.get("progress") or Progress()
    bench = Bench(made, folder / TRIALS, agreed["device"], None if isinstance(data, str | Path) else data, functions)
    bench.folder.mkdir(exist_ok=True)
    began = time.monotonic()
    try:
        watch = _Watch(storage, shown, _count(made))
        if (
            not by_tpe(made)
            and {one.name for one in trials_of(fixed_points(made), made.seeds)} <= watch.outcomes.keys()
        ):
            pass  # all is done
        elif jobs == 1:
            work(bench, storage, record["terms"], watch.told)
        else:
            _Crew(folder, url, jobs, storage, watch, made).work()
        watch.look()
        shown.close()
        record["seconds"] = round(record.get("seconds", 0) + time.monotonic() - began, 1)
        record["length"] = (storage.recall("plan") or {}).get("said", "")
        written = collect(folder, made, storage, record)
    finally:
        shown.close()
        storage.close()
    outcomes = storage.outcomes() if url is None else watch.outcomes
    return Study(folder, made, written.rows, [one.text for one in written.findings], outcomes)


def _definition(what: Any, data: Any, terms: Terms) -> tuple[Definition, dict[str, Callable[..., Any]]]:
    """Return the study with what the caller changes of it, and the metrics that are functions."""
    made = definition(what)
    more = terms.get("metrics", ())
    changes: dict[str, Any] = {"metrics": [*made.metrics, *(one for one in more if isinstance(one, str))]}
    functions = {getattr(one, "__name__", "metric"): one for one in more if callable(one)}
    if isinstance(data, str | Path):
        changes["data"] = str(Path(data).resolve()) if Path(data).exists() else str(data)
    seeds = terms.get("seeds")
    if seeds is not None:
        changes["seeds"] = seeds
    return Definition.model_validate(made.model_dump() | changes), functions


def _count(made: Definition) -> int:
    points = len(fixed_points(made)) if made.search is None else made.search.trials
    return points * len(made.seeds)


def _begin(folder: Path, made: Definition, terms: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Return the study's record: a new one, written, or that of the study in the folder, which must be the same."""
    path = folder / RECORD
    if path.is_file():
        if not resume:
            raise UserError(f"{folder} holds a study already; add resume to go on with it, or name another folder")
        record = json.loads(path.read_text(encoding="utf-8"))
        others = differing(Definition.model_validate(record["study"]), made)
        if others:
            raise UserError(
                f"{folder} holds a study with another '{others[0]}'; go on with it as it was, or name another folder"
            )
        return record | {"study": made.model_dump(mode="json")}
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} is not empty and holds no study; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    record = {"study": made.model_dump(mode="json"), "terms": terms, "command": _command()}
    write_json(path, record)
    return record


def _command() -> str:
    if sys.argv and Path(sys.argv[0]).name in ("vaekit", "__main__.py"):
        return "vaekit " + shlex.join(sys.argv[1:])
    return ""


def collect(folder: Path, made: Definition, storage: Storage, record: dict[str, Any]) -> Written:
    """Write what the outcomes so far say."""
    outcomes = storage.outcomes()
    points = fixed_points(made)
    if by_tpe(made):
        points = points_of(made, outcomes)
    return write_results(folder, Results(made, points, outcomes, storage.values), record)


class _Watch:
    """Tells a progress what workers, here and elsewhere, have begun and ended."""

    def __init__(self, storage: Storage, shown: Progress, trials: int) -> None:
        self._storage, self._shown = storage, shown
        self.outcomes: dict[str, Outcome] = dict(storage.outcomes())
        shown.begins(trials, len(self.outcomes))

    def told(self, what: str, trial: str) -> None:
        """Take word from a worker."""
        if what == "begins":
            self._shown.running(trial)
        elif what == "note":
            self._shown.note(trial)
        else:
            self.look()

    def look(self) -> None:
        """Tell of the outcomes that are new."""
        now = self._storage.outcomes()
        for name in now.keys() - self.outcomes.keys():
            self._shown.ended(now[name])
        self.outcomes = now


class _Crew:
    """Worker processes, each replaced when it dies, until one of them finds nothing left to do."""

    def __init__(
        self, folder: Path, url: str | None, jobs: int, storage: Storage, watch: _Watch, made: Definition
    ) -> None:
        self._folder, self._url, self._jobs = folder, url, jobs
        self._storage, self._watch, self._study = storage, watch, made
        self._deaths: dict[str, int] = {}

    def work(self) -> None:
        """Work until all is done."""
        hands = [_Hand(self._start()) for _ in range(self._jobs)]
        try:
            while hands:
                time.sleep(PAUSE)
                for hand in list(hands):
                    for what, trial in hand.news():
                        self._watch.told(what, trial)
                    code = hand.process.poll()
                    if code is None:
                        continue
                    hands.remove(hand)
                    said = hand.end()
                    if code != 0:
                        self._died(hand.trial or "", code, said)
                        hands.append(_Hand(self._start()))
                self._watch.look()
        finally:
            for hand in hands:
                hand.end()

    def _start(self) -> subprocess.Popen[bytes]:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        environment = {"OMP_NUM_THREADS": str(max(1, cores // self._jobs)), **os.environ, "PYTHONSAFEPATH": "1"}
        if self._url is not None:
            environment[STORAGE] = self._url
        command = [sys.executable, "-m", "vaekit.studies.worker", str(self._folder.resolve())]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen[bytes](command, env=environment, **pipes)

    def _died(self, trial: str, code: int, said: str) -> None:
        """Count a worker's death against its trial; one that kills its process again and again has failed."""
        why = f"its process ended with signal {-code}" if code < 0 else f"its process ended with {code}: {said}"
        self._deaths[trial] = self._deaths.get(trial, 0) + 1
        if self._deaths[trial] < MOST_DEATHS:
            return
        if not trial:
            raise RuntimeError(f"the study's workers end before they begin a trial: {why}")
        with self._storage.claim(trial) as mine:
            if mine and trial not in self._storage.outcomes():
                point, _, seed = trial.rpartition("-")
                at = next((dict(p.at) for p in fixed_points(self._study) if p.name == point), {})
                more = ", perhaps for want of memory" if code == -9 else ""
                reason = f"{why} {self._deaths[trial]} times{more}"
                self._storage.record(Outcome(trial, point, int(seed), "failed", at, reason), None)


class _Hand:
    """One worker process: what it says, and which trial it is at."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.trial: str | None = None
        self._heard: list[tuple[str, str]] = []
        self._words: list[str] = []
        pipes = ((process.stdout, self._hear), (process.stderr, self._keep))
        self._readers = [threading.Thread(target=_read, args=pair, daemon=True) for pair in pipes]
        for reader in self._readers:
            reader.start()

    def _hear(self, line: str) -> None:
        what, trial = json.loads(line)
        self.trial = trial if what == "begins" else None if what == "ends" else self.trial
        self._heard.append((what, trial))

    def _keep(self, line: str) -> None:
        self._words = [*self._words[-20:], line.strip()]

    def news(self) -> list[tuple[str, str]]:
        """Return what was said since the last call."""
        heard, self._heard = self._heard, []
        return heard

    def end(self) -> str:
        """End the process, if it has not, and return the last line that it wrote as an error."""
        self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return next((line for line in reversed(self._words) if line), "")


def _read(pipe: IO[bytes], take: Callable[[str], None]) -> None:
    with pipe:
        for line in pipe:
            take(line.decode("utf-8", "replace"))
