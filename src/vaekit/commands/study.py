"""vaekit study."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from vaekit.commands.common import Flag, Whole, Words, at_least
from vaekit.commands.output import moves, note, print_json, print_table
from vaekit.errors import UserError


def study(
    name: str | None = None,
    /,
    *,
    data: str | None = None,
    out: Path | None = None,
    jobs: Whole = 1,
    seeds: Whole | None = None,
    budget: str | None = None,
    metrics: Words = None,
    device: str | None = None,
    resume: Flag = False,
    storage: str | None = None,
    list: Flag = False,
    json: Flag = False,
) -> None:
    """Run a study: many runs that differ in a few settings, with several seeds each, and what they say together.

    Parameters
    ----------
    name
        A built-in study ('vaekit study --list') or a FILE.yaml of your own.
    data
        A known set or a path, for the points that name no data of their own.
    out
        The study's folder: runs below trials/, study.json, table.csv, table.json, figures/ and report.html.
    jobs
        Trials at the same time, a process each.
    seeds
        Seeds of each point, in place of the study's own: 3 are 0, 1 and 2.
    budget
        Time for the whole study, e.g. 90s, 5m or 2h: a step's time is measured, and the steps of a trial follow.
    metrics
        More metrics or groups, comma-separated, or FILE.py:FUNCTION.
    device
        auto, cpu, cuda, cuda:1, mps.
    resume
        Go on with the study in --out, or help another process with it; finished trials are not repeated.
    storage
        A PostgreSQL database by which several machines share the trials, postgresql://user@host/database.
    list
        List the built-in studies.
    json
        Print one JSON object on the last line of standard output.
    """
    if list:
        _list(json)
        return
    if name is None:
        raise UserError("name a study or a FILE.yaml; 'vaekit study --list' lists the built-in ones")
    if out is None:
        raise UserError("vaekit study needs --out DIR, the folder for its runs and its report")
    at_least("--jobs", jobs)
    at_least("--seeds", 1 if seeds is None else seeds)
    from vaekit.studies.study import study as run_study

    try:
        made = run_study(
            name,
            data,
            out=out,
            jobs=jobs,
            seeds=seeds,
            budget=budget,
            metrics=[one for text in metrics or [] for one in text.split(",") if one],
            device=device or "auto",
            resume=resume,
            storage=storage,
            progress=shown(),
        )
    except KeyboardInterrupt:
        note(f"the study goes on with --resume --out {out}")
        raise
    if json:
        counts = {
            kind: sum(one.status == kind for one in made.outcomes.values()) for kind in ("done", "failed", "pruned")
        }
        told: dict[str, Any] = {"study": made.definition.name, "out": str(out), "trials": counts}
        print_json(told | {"findings": made.findings, "points": made.rows, "failed": made.failed})
        return
    for sentence in made.findings:
        note(sentence)
    print(made.report)


def _list(json: bool) -> None:
    from vaekit.studies.definition import known

    if json:
        print_json(known())
    else:
        print_table(["study", "what it asks"], [[name, question] for name, question in known().items()])


def shown() -> Any:
    """Return what shows a study's progress: a bar on a terminal, elsewhere a line for each trial that has ended."""
    from vaekit.studies.study import Progress

    class Lines(Progress):
        """A line for each trial."""

        trials = done = 0

        def note(self, text: str) -> None:
            note(text)

        def begins(self, trials: int, done: int) -> None:
            self.trials, self.done = trials, done
            if done:
                note(f"{done} of {trials} trials are done already")

        def ended(self, outcome: Any) -> None:
            self.done += 1
            seconds = outcome.facts.get("wall_seconds")
            how = f"{seconds:.1f} s" if seconds is not None else f"{outcome.status}: {outcome.reason}"
            note(f"{self.done}/{self.trials} {outcome.trial}: {how}")

    class Bar(Lines):
        """A bar with the time left; what failed goes above it."""

        def __init__(self) -> None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
            from rich.progress import Progress as Rich

            columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
            self._bar = Rich(TextColumn("{task.description}"), *columns, console=Console(stderr=True))
            self._task: Any = None
            self._at: dict[str, float] = {}

        def note(self, text: str) -> None:
            self._bar.console.print(text, markup=False, highlight=False)

        def begins(self, trials: int, done: int) -> None:
            self._task = self._bar.add_task("trials", total=trials, completed=done)
            self._bar.start()

        def running(self, trial: str) -> None:
            self._at[trial] = time.monotonic()
            self._say()

        def ended(self, outcome: Any) -> None:
            self._at.pop(outcome.trial, None)
            self._bar.advance(self._task)
            if outcome.status != "done":
                self.note(f"{outcome.trial} {outcome.status}: {outcome.reason}")
            self._say()

        def _say(self) -> None:
            self._bar.update(self._task, description=", ".join(self._at) or "trials")

        def close(self) -> None:
            self._bar.stop()

    return Bar() if moves() else Lines()
