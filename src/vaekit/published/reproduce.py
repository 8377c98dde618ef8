"""`vaekit.reproduce`: published tables measured again, and kept."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vaekit.atomic import write_json
from vaekit.errors import TrainingFailed, UserError
from vaekit.published.base import BUDGETS, TABLES, Attempt, Table
from vaekit.published.results import Result, keep, kept, measured_by, still_holds
from vaekit.studies.trial import quiet

SPENT = "spent.json"
"""File of the seconds that a table has taken so far, beside its runs."""
Told = Callable[[str, Result | None], None]
"""told(name, None) when a table begins, told(name, result) when it has ended."""


def reproduce(
    names: str | Sequence[str] | None = None,
    *,
    budget: str = "smoke",
    data: str | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    jobs: int = 1,
    told: Told | None = None,
) -> dict[str, Result]:
    """Measure published tables again and return our figures by table.

    Args:
        names: tables by name (`vaekit reproduce --list`), None for all. Of several, one that cannot be measured here
            has a result that says why.
        budget: "smoke" (at most five CPU minutes a table), "hour", or "full", the published protocol.
        data: data in place of the table's own, for sets that vaekit does not know by name.
        out: a folder for NAME.json and, below NAME/, the runs, from which an interrupted table goes on. Results
            that are there already, by the same terms, are not measured again. None keeps nothing.
        device, jobs: as for `vaekit.study`.
        told: is told of each table that begins, and of its result.

    Raises:
        UserError: there is no such table or budget, or the only table asked for cannot be measured here.

    >>> result = reproduce("ppca", data="wine")["ppca"]
    >>> ours = result.rows["linear VAE, exact log p(x)"]
    >>> abs(ours.value - ours.theirs) < 0.25
    True
    """
    if budget not in BUDGETS:
        raise UserError(f"there is no budget '{budget}'; use {', '.join(BUDGETS)}")
    asked = [names] if isinstance(names, str) else list(names or [])
    tables = [TABLES[name].part for name in asked or TABLES.names]
    if data is not None and len(tables) > 1:
        raise UserError("--data is for one table; name it")
    say = told or (lambda name, result: None)
    found: dict[str, Result] = {}
    for table in tables:
        terms = table.budget(budget).terms if asked or budget in table.budgets else None
        if terms is None:
            continue
        before = kept(Path(out), table.name).get(budget) if out is not None else None
        if data is None and before is not None and still_holds(before, table, terms):
            found[table.name] = before
        else:
            say(table.name, None)
            source = _path(data) or table.data
            with _place(out, table.name, budget, terms, source) as folder:
                attempt = Attempt(terms, source, folder, device, jobs)
                found[table.name] = _result(table, budget, attempt, alone=len(tables) == 1)
            if out is not None:
                keep(Path(out), table.name, found[table.name])
        say(table.name, found[table.name])
    return found


def all_kept(out: str | Path) -> dict[str, dict[str, Result]]:
    """Return the results that a folder holds, by table and budget."""
    found = {entry.name: kept(Path(out), entry.name) for entry in TABLES}
    return {name: some for name, some in found.items() if some}


def _path(data: str | None) -> str | None:
    return str(Path(data).resolve()) if data is not None and Path(data).exists() else data


@contextmanager
def _place(out: str | Path | None, name: str, budget: str, terms: Mapping[str, Any], source: str) -> Iterator[Path]:
    """Yield the folder of a table's runs by these terms on this data: in `out` it stays."""
    if out is not None:
        digest = hashlib.sha256(json.dumps([dict(terms), source], sort_keys=True).encode()).hexdigest()[:8]
        folder = Path(out) / name / f"{budget}-{digest}"
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        yield Path(scratch)


def _result(table: Table, budget: str, attempt: Attempt, alone: bool) -> Result:
    """Return a table's result; data or packages that are missing are a refusal unless it is asked for alone."""
    by = measured_by(attempt.device)
    try:
        with quiet(), _timed(attempt.folder / SPENT) as spent:
            rows = dict(table.measure(attempt))
    except (UserError, TrainingFailed) as error:
        if alone:
            raise
        return Result(budget, attempt.terms, refused=" ".join(str(error).split()), by=by)
    if set(rows) != set(table.rows):
        raise RuntimeError(f"{table.name} measured {sorted(rows)}, and its rows are {sorted(table.rows)}")
    return Result(budget, attempt.terms, rows, by=by | {key: round(value, 1) for key, value in spent.items()})


@contextmanager
def _timed(file: Path) -> Iterator[dict[str, float]]:
    """Yield what holds at the end the seconds and CPU seconds of the block and of its earlier tries, by the file."""
    spent: dict[str, float] = {}
    before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    began, cpu = time.monotonic(), _cpu()
    try:
        yield spent
    finally:
        spent |= {"seconds": time.monotonic() - began, "cpu_seconds": _cpu() - cpu}
        for name, value in before.items():
            spent[name] += value
        write_json(file, spent)


def _cpu() -> float:
    """Return the CPU seconds of this process and of those that it has waited for."""
    own = os.times()
    return own.user + own.system + own.children_user + own.children_system
