"""vaekit reproduce."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vaekit.commands.common import Flag, Whole, at_least
from vaekit.commands.output import note, print_json, print_table
from vaekit.errors import Missed, UserError


def reproduce(
    *names: str,
    budget: str = "smoke",
    data: str | None = None,
    out: Path | None = None,
    page: Path | None = None,
    device: str | None = None,
    jobs: Whole = 1,
    show: Flag = False,
    list: Flag = False,
    json: Flag = False,
) -> None:
    """Measure published tables again, and print ours beside theirs.

    Exits with 1 where a figure that the budget can be held to is missed.

    Parameters
    ----------
    names
        Tables ('vaekit reproduce --list'), default all.
    budget
        smoke: at most five CPU minutes a table; hour; full: the published protocol.
    data
        Data in place of the table's own, for a set that vaekit does not know by name.
    out
        A folder for NAME.json and the runs; what is there already is not measured again.
    page
        A Markdown page of all results in --out.
    device
        auto, cpu, cuda, cuda:1, mps.
    jobs
        Trials at the same time, a process each, in tables that are studies.
    show
        Run nothing: show what --out holds.
    list
        List the tables.
    json
        Print one JSON object on the last line of standard output.
    """
    if list:
        _list(json)
        return
    at_least("--jobs", jobs)
    if out is None and (show or page is not None):
        raise UserError("name the folder of results with --out DIR")
    from vaekit.published.base import TABLES
    from vaekit.published.reproduce import all_kept
    from vaekit.published.reproduce import reproduce as run

    if show:
        assert out is not None
        found = {name: some[budget] for name, some in all_kept(out).items() if budget in some}
        found = {name: one for name, one in found.items() if not names or name in names}
        for name, one in found.items():
            _tell(name, one, json)
    else:
        found = run(
            [*names] or None,
            budget=budget,
            data=data,
            out=out,
            device=device or "auto",
            jobs=jobs,
            told=lambda name, result: _tell(name, result, json),
        )
    if page is not None:
        from vaekit.atomic import write_text
        from vaekit.published.page import page as text

        assert out is not None
        write_text(page, text({entry.name: entry.part for entry in TABLES}, all_kept(out)))
        note(f"wrote {page}")
    if json:
        print_json({name: one.as_json() for name, one in found.items()})
    missed = [
        f"{row} of {name}"
        for name, one in found.items()
        for row, ours in one.rows.items()
        if TABLES[name].part.verdict(row, ours, one.budget) == "missed"
    ]
    if missed:
        raise Missed(f"missed by more than the tolerance: {', '.join(missed)}")


def _list(json: bool) -> None:
    from vaekit.published.base import TABLES

    listed = {entry.name: entry.part for entry in TABLES}
    if json:
        keys = ("title", "source", "protocol", "data", "unit")
        print_json({n: {key: getattr(t, key) for key in keys} | {"budgets": [*t.budgets]} for n, t in listed.items()})
    else:
        rows = [[n, t.data, ", ".join(t.budgets), t.title] for n, t in listed.items()]
        print_table(["table", "data", "budgets", "what it is"], rows)


def _tell(name: str, result: Any, quiet: bool) -> None:
    """Say that a table begins, or print its lines."""
    from vaekit.published.base import TABLES
    from vaekit.published.page import HEADER, cost, rows

    table = TABLES[name].part
    if result is None:
        note(f"{name}: {table.title}")
    elif quiet:
        return
    elif result.refused:
        note(f"{name} was refused: {result.refused}")
    else:
        print(f"{name}, {result.budget}: {table.title} ({table.source}); {table.unit}")
        print_table(
            [HEADER[0] or name, *HEADER[1:]], [[*line[:-1], line[-1].strip("*")] for line in rows(table, result)]
        )
        differs = table.budgets[result.budget].differs
        note(f"{cost(result)}{f'; not as the protocol has it: {differs}' if differs else ''}")
