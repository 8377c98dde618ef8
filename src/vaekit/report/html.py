"""`render` one run or `compare` several, as one self-contained HTML file that opens offline and prints well."""

from __future__ import annotations

import math
from collections.abc import Sequence

from vaekit.errors import UserError
from vaekit.report import page
from vaekit.report.content import Figure, Lines, Number, RunReport, Warning_
from vaekit.report.page import text

__all__ = ["Figure", "Lines", "Number", "RunReport", "Warning_", "compare", "render"]

_ERRORS = "Numbers are means over examples; ± is one standard error, [low, high] a 95% interval."


def render(report: RunReport) -> str:
    """`report` as one HTML document: no script, pictures inside, light and dark, every text escaped.

    Raises:
        UserError: when a figure's file is missing or is not a PNG.

    >>> document = render(RunReport("vae on <digits>", headline=[Number("elbo", -98.1, 0.2, unit="nats an example")]))
    >>> "vae on &lt;digits&gt;" in document, "−98.10 ± 0.20" in document
    (True, True)
    """
    sections: list[tuple[str, list[str]]] = []
    if report.headline:
        sections.append(("Headline numbers", [page.cards(report.headline), f'<p class="note">{_ERRORS}</p>']))
    if report.warnings:
        sections.append(("Warnings", [page.warning(w) for w in report.warnings]))
    if report.figures:
        sections.append(("Figures", [page.picture(f, heading=f.title) for f in report.figures]))
    if report.lines:
        sections.append(("Examples", [page.lines(examples) for examples in report.lines]))
    if any(numbers for _, numbers in report.tables):
        parts = [f"<h3>{text(t)}</h3>{page.number_table(ns, t)}" for t, ns in report.tables if ns]
        sections.append(("All numbers", parts))
    repeat = [f"<h3>Command</h3><pre><code>{text(report.command)}</code></pre>"] if report.command else []
    if report.environment:
        repeat.append("<h3>Environment</h3>" + page.pairs(report.environment, "Environment"))
    if report.settings:
        repeat.append("<h3>Settings</h3>" + page.pairs(page.flatten(report.settings), "Settings"))
    if repeat:
        sections.append(("To repeat this run", repeat))
    made_by = " · ".join(text(part) for part in (report.recipe and f"Recipe {report.recipe}", report.reference) if part)
    head = [
        f"<header><h1>{text(report.title)}</h1>",
        f"<p>{text(report.summary)}</p>" if report.summary else "",
        f'<p class="soft">{made_by}</p>' if made_by else "",
        page.facts(report.facts),
        "</header>",
        page.contents([title for title, _ in sections]) if sections else "",
    ]
    return page.page(report.title, [*head, *(page.section(title, *parts) for title, parts in sections)])


def compare(reports: Sequence[RunReport]) -> str:
    """Several runs side by side: numbers, differing settings, figures of one title.

    A number is marked as the best when its direction is known and it is ahead of every other run's by more than two
    standard errors of the difference, √(s₁² + s₂²). (Runs scored on the same examples have errors that rise and fall
    together, so this rule is on the cautious side.) Nothing is marked where the runs' `data` differ, and nothing in
    nats or bits where their `measure` differs: such numbers are not comparable.

    Raises:
        UserError: with fewer than two reports, or a figure that cannot be read.

    >>> a = RunReport("a", headline=[Number("elbo", -98.0, 0.2, higher_is_better=True)])
    >>> b = RunReport("b", headline=[Number("elbo", -95.0, 0.2, higher_is_better=True)])
    >>> '<span class="best">−95.00 ± 0.20</span>' in compare([a, b])
    True
    """
    if len(reports) < 2:
        raise UserError(f"a comparison needs two runs or more, not {len(reports)}; name another run")
    names = _names(reports)
    sections: list[tuple[str, list[str]]] = [("Runs", [_runs(reports, names)])]
    if any(r.numbers() for r in reports):
        sections.append(("Numbers", [_numbers(reports, names)]))
    settings = _differing(reports)
    told = "Settings that differ; all others are the same." if settings else "All settings are the same."
    parts = [f"<p>{told}</p>"]
    if settings:
        parts.append(_grid("Setting", settings, names))
    sections.append(("Settings that differ", parts))
    if any(r.warnings for r in reports):
        warned = [(n, r) for n, r in zip(names, reports, strict=True) if r.warnings]
        sections.append(("Warnings", [_warned(n, r) for n, r in warned]))
    titles = list(dict.fromkeys(f.title for r in reports for f in r.figures))
    if titles:
        sections.append(("Figures", [_side_by_side(t, reports, names) for t in titles]))
    commands = [(n, r.command) for n, r in zip(names, reports, strict=True) if r.command]
    if commands:
        repeat = [f"<h3>{text(n)}</h3><pre><code>{text(c)}</code></pre>" for n, c in commands]
        sections.append(("To repeat these runs", repeat))
    title = f"{len(reports)} runs compared"
    listed = page.contents([t for t, _ in sections])
    head = f"<header><h1>{title}</h1><p>{text(' · '.join(names))}</p></header>"
    return page.page(title, [head, listed, *(page.section(t, *parts) for t, parts in sections)], wide=True)


def _names(reports: Sequence[RunReport]) -> list[str]:
    titles = [r.title for r in reports]
    return [f"{t} (run {i + 1})" if titles.count(t) > 1 else t for i, t in enumerate(titles)]


def _grid(corner: str, rows: dict[str, list[str]], names: Sequence[str]) -> str:
    """A table with a column a run; cells are HTML already."""
    head = "".join(f'<th scope="col">{text(n)}</th>' for n in [corner, *names])
    cells = {k: "".join(f"<td>{c}</td>" for c in row) for k, row in rows.items()}
    body = "".join(f'<tr><th scope="row">{text(k)}</th>{row}</tr>' for k, row in cells.items())
    return page.scroll(f'<table class="runs"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', corner)


def _runs(reports: Sequence[RunReport], names: Sequence[str]) -> str:
    rows = {"recipe": [text(r.recipe or "–") for r in reports]}
    if any(r.summary for r in reports):
        rows["summary"] = [text(r.summary or "–") for r in reports]
    for key in dict.fromkeys(k for r in reports for k in r.facts):
        rows[key] = [text(r.facts.get(key, "–")) for r in reports]
    return _grid("", rows, names)


def _numbers(reports: Sequence[RunReport], names: Sequence[str]) -> str:
    every = [r.numbers() for r in reports]
    one_data, one_measure = (len({r.facts.get(k) for r in reports}) == 1 for k in ("data", "measure"))
    rows: dict[str, list[str]] = {}
    notes = [_ERRORS]
    for key in dict.fromkeys(k for numbers in every for k in numbers):
        row = [numbers.get(key) for numbers in every]
        units = list(dict.fromkeys(n.unit for n in row if n is not None))
        nats = any(u.startswith(("nats", "bits")) for u in units)
        allowed = one_data and len(units) == 1 and (one_measure or not nats)
        top = best(row) if allowed else None
        name = f"{key} ({units[0]})" if len(units) == 1 and units[0] else key
        rows[name] = [_cell(n, i == top, with_unit=len(units) > 1) for i, n in enumerate(row)]
    if not one_data:
        notes.append("The runs have different data, so no number is marked as the best.")
    elif not one_measure:
        notes.append("The runs' likelihoods are of different kinds, so bounds in nats are not ranked.")
    else:
        notes.append(
            "A number is marked as best only where it is ahead of every other run by more than two standard errors "
            "of the difference, and its error is known."
        )
    return _grid("Number", rows, names) + f'<p class="note">{text(" ".join(notes))}</p>'


def _cell(number: Number | None, top: bool, with_unit: bool) -> str:
    if number is None:
        return "–"
    value = page.shown(number)
    value = f'<span class="best">{value}</span> <span class="note">best</span>' if top else value
    if with_unit and number.unit:
        value += f' <span class="note">{text(number.unit)}</span>'
    return value + (f'<div class="note">{text(number.note)}</div>' if number.note else "")


def best(row: Sequence[Number | None]) -> int | None:
    """The index of the number ahead of all others by more than two standard errors of the difference, if there is one.

    >>> best([Number("mse", 1.0, 0.1, higher_is_better=False), Number("mse", 1.2, 0.1, higher_is_better=False)]) is None
    True
    """
    present = [(i, n) for i, n in enumerate(row) if n is not None]
    known = [(i, n.value, n.error, n.higher_is_better) for i, n in present if n.value is not None]
    directions = {d for *_, d in known}
    if len(known) < 2 or len(directions) != 1 or None in directions or any(e is None for _, _, e, _ in known):
        return None
    sign = 1 if directions.pop() else -1
    scored = sorted(((sign * v, e or 0.0, i) for i, v, e, _ in known if math.isfinite(v)), reverse=True)
    if len(scored) < 2:
        return None
    value, error, top = scored[0]
    return top if all(value - v > 2 * math.hypot(error, e) for v, e, _ in scored[1:]) else None


def _differing(reports: Sequence[RunReport]) -> dict[str, list[str]]:
    every = [page.flatten(r.settings) for r in reports]
    rows = {k: [s.get(k, "–") for s in every] for k in dict.fromkeys(k for s in every for k in s)}
    return {k: [text(v) for v in row] for k, row in rows.items() if len(set(row)) > 1}


def _warned(name: str, report: RunReport) -> str:
    items = "".join(f"<li><strong>{text(w.title)}</strong> {text(w.detail)}</li>" for w in report.warnings)
    return f'<div class="warning"><h3>{text(name)}</h3><ul>{items}</ul></div>'


def _side_by_side(title: str, reports: Sequence[RunReport], names: Sequence[str]) -> str:
    figures = [(n, next((f for f in r.figures if f.title == title), None)) for n, r in zip(names, reports, strict=True)]
    drawn = "".join(
        f'<p class="note">{text(n)} has no such figure.</p>'
        if f is None
        else page.picture(Figure(f.file, f"{title}: {n}", f"{n}. {f.caption}" if f.caption else n))
        for n, f in figures
    )
    return f'<h3>{text(title)}</h3><div class="side">{drawn}</div>'
