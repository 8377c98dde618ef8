"""Small pieces of HTML for notebooks: each stands alone, every text in it is escaped, nothing is fetched."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from vaekit.report.html import text
from vaekit.report.numbers import format_number

LEFT = 'style="text-align:left"'


def facts(title: str, values: Mapping[str, Any]) -> str:
    """Return a heading and a table of facts by name; those that are None are left out.

    >>> "&lt;b&gt;" in facts("run", {"data": "<b>", "folder": None})
    True
    """
    known = [(name, value) for name, value in values.items() if value is not None]
    return f"<p><b>{text(title)}</b></p>" + _table([], [(name, str(value)) for name, value in known])


def numbers(entries: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table of numbers as evaluation.json has them: value and error, or why there is none, unit, examples.

    >>> "−98.10 ± 0.20" in numbers({"elbo": {"value": -98.1, "stderr": 0.2, "unit": "nats", "n": 10}})
    True
    """
    rows: list[Sequence[str]] = []
    for name, entry in entries.items():
        interval = tuple(entry["interval"]) if entry.get("interval") else None
        value = format_number(entry.get("value"), entry.get("stderr"), interval)  # type: ignore[arg-type]
        refused = entry.get("refused")
        rows.append((name, str(refused) if refused else value, entry.get("unit", ""), f"{entry.get('n', 0):,}"))
    return _table(("metric", "value", "unit", "examples"), rows)


def picture(png: bytes) -> str:
    """Return a picture, inside the page.

    >>> picture(b"PNG")
    '<img style="max-width:100%" src="data:image/png;base64,UE5H">'
    """
    return f'<img style="max-width:100%" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def lines(rows: Sequence[str], most: int = 20) -> str:
    """Return the first `most` lines of text, and how many there are beside.

    >>> lines(["a < b", "c"], most=1)
    '<pre>a &lt; b\\n… and 1 more</pre>'
    """
    more = [f"… and {len(rows) - most:,} more"] if len(rows) > most else []
    return f"<pre>{text(chr(10).join([*rows[:most], *more]))}</pre>"


def bar(name: str, done: int, total: int, words: str, notes: Sequence[str] = ()) -> str:
    """Return a progress bar with what is said beside and below it.

    >>> bar("train", 3, 10, "loss 5.0")
    '<div>train <progress value="3" max="10"></progress> 3/10 · loss 5.0</div>'
    """
    shown = f'{text(name)} <progress value="{done}" max="{total}"></progress> {done:,}/{total:,}'
    return f"<div>{shown} · {text(words)}</div>" + "".join(f"<div>{text(note)}</div>" for note in notes)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "<tr>{}</tr>".format("".join(f"<th {LEFT}>{text(name)}</th>" for name in header)) if header else ""
    body = (
        f"<tr><th {LEFT}>{text(row[0])}</th>" + "".join(f"<td {LEFT}>{text(cell)}</td>" for cell in row[1:]) + "</tr>"
        for row in rows
    )
    return f"<table>{top}{''.join(body)}</table>"
