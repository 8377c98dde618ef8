"""Tables of ours beside theirs, in Markdown: what the command prints, and the page made of all that is kept."""

from __future__ import annotations

from collections.abc import Mapping
from math import floor, log10

from vaekit.published.base import BUDGETS, TAGS, Measured, Table
from vaekit.published.results import Result

HEADER = ("", "theirs", "ours", "difference", "")
WORDS = {
    "ours alone": "",
    "unconfirmed": "their figure is unconfirmed",
    "not held to": "not the whole protocol",
    "reached": "**reached**",
    "missed": "**missed**",
}


def number(value: float, half: float | None = None) -> str:
    """Return a figure with its ±, to as many digits as that allows; without one to four digits.

    >>> number(86.4561, 0.217), number(0.28671), number(1.4)
    ('86.46 ± 0.22', '0.2867', '1.4')
    """
    if not half:
        return f"{value:.4g}"
    digits = max(0, 1 - floor(log10(half)))
    return f"{value:.{digits}f} ± {half:.{digits}f}"


def rows(table: Table, result: Result) -> list[list[str]]:
    """Return the lines of a table: row, theirs, ours, difference, and what it amounts to."""
    out = []
    for name, figure in table.rows.items():
        ours = result.rows[name]
        theirs = table.reference(name, ours)
        if theirs is None:
            out.append([name, "–", _ours(ours), "–", ""])
            continue
        verdict = WORDS[table.verdict(name, ours, result.budget)]
        known = f"{number(theirs, figure.spread)} ({figure.tag})"
        out.append([name, known, _ours(ours), f"{ours.value - theirs:+.3g}", verdict])
    return out


def _ours(ours: Measured) -> str:
    if ours.half is not None:
        return f"{number(ours.value, ours.half)} ({len(ours.each)} seeds)"
    if ours.stderr:
        return f"{number(ours.value, ours.stderr)} (test examples)"
    return number(ours.value)


def cost(result: Result) -> str:
    """Return what a result was measured by: seeds, commit, device and time."""
    by, seeds = result.by, result.terms.get("seeds", [0])
    time = f"{by['cpu_seconds']:,.0f} CPU seconds ({by['seconds']:,.0f} s)"
    of = f"commit {by['commit']}" if by.get("commit") else f"version {by['version']}"
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}; {time} on {by['device']}, {of}"


def section(table: Table, results: Mapping[str, Result]) -> str:
    """Return a table's part of the page."""
    head = [f"## {table.name}: {table.title}", "", f"{table.source[:1].upper()}{table.source[1:]}. {table.protocol}"]
    tolerance = f" A figure is reached within {table.tolerance:g} of theirs." if _held(table, results) else ""
    higher = "lower" if table.lower else "higher"
    head += ["", f"Data: {table.data}. In {table.unit}; {higher} is better.{tolerance}"]
    for budget in BUDGETS:
        if budget in results and not results[budget].refused:
            one = results[budget]
            differs = (
                f" Not as the protocol has it: {table.budgets[budget].differs}." if budget in table.budgets else ""
            )
            head += ["", f"**{budget}**, {cost(one)}.{differs}", "", *_markdown(rows(table, one))]
        elif budget in results:
            head += ["", f"**{budget}** was refused: {results[budget].refused}"]
    if not results:
        head += ["", f"Not run yet: `vaekit reproduce {table.name} --budget {next(iter(table.budgets))}`"]
    return "\n".join(head)


def _held(table: Table, results: Mapping[str, Result]) -> bool:
    return any(budget in table.budgets and table.budgets[budget].gates for budget in results)


def _markdown(lines: list[list[str]]) -> list[str]:
    table = [list(HEADER), ["---"] * len(HEADER), *lines]
    return [f"| {' | '.join(line)} |" for line in table]


def page(tables: Mapping[str, Table], results: Mapping[str, Mapping[str, Result]]) -> str:
    """Return the page: every table with the results that there are, and what reached what."""
    verdicts = [
        tables[name].verdict(row, ours, budget)
        for name, some in results.items()
        for budget, one in some.items()
        for row, ours in one.rows.items()
    ]
    reached, missed = verdicts.count("reached"), verdicts.count("missed")
    run = [name for name, some in results.items() if any(not one.refused for one in some.values())]
    paragraphs = [
        "# Published figures, and ours",
        "<!-- Made by 'vaekit reproduce --show' from docs/published, which is changed by running. -->",
        "Every table below is a definition that runs: `vaekit reproduce NAME --budget smoke`, at most five CPU "
        "minutes; `hour`; `full`, the published protocol. Every number of ours was measured by that command and lies "
        "in `docs/published`, a JSON file a table, with its terms, seeds, commit, device and time; a table that was "
        "not run says so. "
        f"Of {len(tables)} tables {len(run)} were run. Of the figures that can be held to at the budget that was run "
        f"{reached} are reached and {missed} missed; the others are distances on the way, with too little training for "
        "the protocol, or have no published figure.",
        f"Theirs come with how well they are known: {'; '.join(f'{tag}: {words}' for tag, words in TAGS.items())}. An "
        "unconfirmed figure is shown and never held to. ± of ours is half the 95% interval over seeds (splits, masks, "
        "digits), or with one seed the standard error over test examples, where the number is a mean over them.",
        *(section(table, results.get(name, {})) for name, table in tables.items()),
    ]
    return "\n\n".join(paragraphs) + "\n"
