"""A worker: takes trials that nobody has, trains and evaluates them, and records what came of them.

`python -m vaekit.studies.worker DIR` is one of the processes of a study with several jobs. It ends with the process
that started it, whose end closes its standard input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vaekit.studies.budget import Length, length_within, measure
from vaekit.studies.definition import Definition, by_tpe
from vaekit.studies.places import open_storage
from vaekit.studies.points import Trial, fixed_points, trials_of
from vaekit.studies.search import search
from vaekit.studies.storage import Outcome, Storage, turn
from vaekit.studies.trial import Bench, run_trial, values_of

STORAGE = "VAEKIT_STUDY_STORAGE"
"""Environment variable by which a worker learns the storage's URL, which may hold a password."""
TRIALS, RECORD = "trials", "study.json"
PAUSE = 0.3
"""Seconds between two looks at what other workers do."""

Told = Callable[[str, str], None]
"""told(what, trial): "begins" or "ends"; or "note" and a sentence."""


def work(bench: Bench, storage: Storage, terms: dict[str, Any], told: Told) -> None:
    """Work until every trial of the study has its outcome, this worker's or another's."""
    length = agreed_length(bench, storage, terms, told)
    if by_tpe(bench.study):
        search(bench, storage, lambda trial, callback: attempt(bench, storage, trial, length, told, callback), PAUSE)
        return
    trials = trials_of(fixed_points(bench.study), bench.study.seeds)
    while left := [trial for trial in trials if trial.name not in storage.outcomes()]:
        if not any(attempt(bench, storage, trial, length, told) for trial in left):
            time.sleep(PAUSE)  # others have them all


def attempt(
    bench: Bench, storage: Storage, trial: Trial, length: Length, told: Told, callback: Any = None
) -> Outcome | None:
    """Run a trial and record its outcome, if no other worker has it and none had it before."""
    with storage.claim(trial.name) as mine:
        if not mine or trial.name in storage.outcomes():
            return None
        told("begins", trial.name)
        outcome = run_trial(bench, trial, length.steps, callback)
        storage.record(outcome, values_of(bench, outcome))
        told("ends", trial.name)
        return outcome


def agreed_length(bench: Bench, storage: Storage, terms: dict[str, Any], told: Told) -> Length:
    """Return the length of the trials, which the first worker decides for all."""
    if terms.get("budget") is None:
        return Length(None, "")
    with turn(storage, "plan"):
        kept = storage.recall("plan")
        if kept is None:
            kept = vars(_planned(bench, terms))
            storage.keep("plan", kept)
            told("note", kept["said"])
    return Length(**kept)


def _planned(bench: Bench, terms: dict[str, Any]) -> Length:
    began, study = time.monotonic(), bench.study
    points = fixed_points(study)
    count = study.search.trials if study.search is not None else len(points)
    costs = measure(bench, points)
    spent = time.monotonic() - began + terms.get("started", 0.0)
    return length_within(terms["budget"], costs, count * len(study.seeds), terms["jobs"], spent)


def _end_with_parent() -> None:
    """End this process when its standard input is closed, as the end of the process that started it does."""
    while os.read(0, 1024):  # not sys.stdin, whose lock a daemon thread may not hold when Python ends
        pass
    os._exit(1)


def _lines() -> Iterator[Any]:
    """Yield a function that writes a line of JSON for the process that reads this one's output."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what trials print is not for it

    def tell(what: str, trial: str) -> None:
        print(json.dumps([what, trial]), file=out, flush=True)

    yield tell


def main(folder: Path) -> None:
    """Work for the study in a folder."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    study = Definition.model_validate(record["study"])
    storage = open_storage(folder, os.environ.get(STORAGE), study.key)
    bench = Bench(study, folder / TRIALS, record["terms"]["device"])
    tell = next(_lines())
    work(bench, storage, record["terms"], tell)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
