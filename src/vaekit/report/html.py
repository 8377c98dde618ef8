"""`render` one run or `compare` several, as one self-contained HTML file that opens offline and prints well.

Text goes in escaped, safe HTML comes out: one inline style sheet, nothing fetched, and no script but the decoder's, if
the page has a decoder: the policy allows that text alone.
"""

from __future__ import annotations

import base64
import html
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from vaekit.errors import UserError
from vaekit.report import page_decoder
from vaekit.report.content import (
    Figure,
    Lines,
    Number,
    Rows,
    RunReport,
    Sound,
    StudyReport,
    Warning_,
    difference,
    differing,
)
from vaekit.report.numbers import format_number
from vaekit.report.verdict import Verdict

SEEN, TRAINING, MOVE = "Samples and reconstructions", "Training", "Move through the latent space"
"""The sections of a report that figures name."""
_ERRORS = "Numbers are means over examples; ± is one standard error, [low, high] a 95% interval."
_MOVE = (
    "The decoder is inside this page and runs in it, offline. Move a latent, press Play to go from example to example, "
    "or drag over the map: each dot is an example, and what is decoded there is shown."
)
_POLICY = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)


def render(report: RunReport) -> str:
    """`report` as one HTML document: pictures inside, light and dark, every text escaped, and a decoder's script.

    Raises:
        UserError: when a figure's file is missing or is not a PNG.

    >>> document = render(RunReport("vae on <digits>", headline=[Number("elbo", -98.1, 0.2, unit="nats/example")]))
    >>> "vae on &lt;digits&gt;" in document, "−98.10 ± 0.20" in document
    (True, True)
    """
    by_section: dict[str, list[Figure]] = {}
    for one in report.figures:
        by_section.setdefault(one.section, []).append(one)
    drawn = {name: [_titled(one) for one in figures] for name, figures in by_section.items()}
    examples = [_examples(one) for one in report.lines] + [_player(one) for one in report.sounds]
    repeat = [_command("Command", report.command)] if report.command else []
    if report.environment:
        rows = [(name, f"<td>{text(value)}</td>") for name, value in report.environment.items()]
        repeat.append("<h3>Environment</h3>" + _table("Environment", rows, kind="pairs"))
    changed = _flat(report.settings) if report.changed is None else report.changed
    rows = [(name, f"<td>{text(value)}</td>") for name, value in changed.items()]
    settings = [_table("Settings", rows, kind="pairs")] if rows else []
    if report.changed is not None:
        defaults = "All other settings are the recipe's defaults" if rows else "All settings are the recipe's defaults"
        recipe = f": vaekit show {report.recipe}" if report.recipe else ""
        settings.append(f'<p class="note">{text(f"{defaults}{recipe}.")}</p>')
    sections = {
        SEEN: [*_drawn(drawn.pop(SEEN, [])), *examples],
        MOVE: [] if report.decoder is None else [f"<p>{_MOVE}</p>", page_decoder.section(report.decoder)],
        "Warnings": [_warning(one) for one in report.warnings],
        "Headline numbers": [_cards(report.headline), f'<p class="note">{_ERRORS}</p>'] if report.headline else [],
        TRAINING: _drawn(drawn.pop(TRAINING, [])),
        "All numbers": _number_tables(report.tables),
        **{name: _drawn(figures) for name, figures in drawn.items()},
        "Settings changed" if report.changed is not None else "Settings": settings,
        "To repeat this run": repeat,
    }
    made_by = " · ".join(text(part) for part in (report.recipe and f"Recipe {report.recipe}", report.reference) if part)
    facts = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in report.facts.items())
    head = [
        f"<header><h1>{text(report.title)}</h1>",
        f"<p>{text(report.summary)}</p>" if report.summary else "",
        f'<p class="soft">{made_by}</p>' if made_by else "",
        _verdict(report.verdict) if report.verdict is not None else "",
        f'<dl class="facts">{facts}</dl>' if facts else "",
        "</header>",
    ]
    return _document(report.title, head, sections, scripted=report.decoder is not None)


def compare(reports: Sequence[RunReport]) -> str:
    """Several runs side by side: numbers, differing settings, figures of one title.

    A number is marked as the best when its direction is known and it is ahead of every other run's by more than two
    standard errors of the difference, which is paired where both are means over the same examples. Numbers of different
    things (`Number.of`) are not compared, and the page says in what they differ.

    Raises:
        UserError: with fewer than two reports, or a figure that cannot be read.

    >>> a = RunReport("a", headline=[Number("elbo", -98.0, 0.2, higher_is_better=True)])
    >>> b = RunReport("b", headline=[Number("elbo", -95.0, 0.2, higher_is_better=True)])
    >>> '<span class="best">−95.00 ± 0.20</span>' in compare([a, b])
    True
    """
    if len(reports) < 2:
        raise UserError(f"a comparison needs two runs or more, not {len(reports)}; name another run")
    titles = [report.title for report in reports]
    names = [f"{t} (run {i})" if titles.count(t) > 1 else t for i, t in enumerate(titles, 1)]
    runs = list(zip(names, reports, strict=True))
    facts = {"recipe": [report.recipe or "–" for report in reports]}
    if any(report.summary for report in reports):
        facts["summary"] = [report.summary or "–" for report in reports]
    facts |= _by_name([report.facts for report in reports])
    settings = _by_name([_flat(report.settings) for report in reports])
    differing = {name: row for name, row in settings.items() if len(set(row)) > 1}
    said = "Settings that differ; all others are the same." if differing else "All settings are the same."
    figures = dict.fromkeys(figure.title for report in reports for figure in report.figures)
    sections = {
        "Runs": [_grid("", facts, names)],
        "Numbers": _numbers(reports, names) if any(report.numbers() for report in reports) else [],
        "Settings that differ": [f"<p>{said}</p>"] + ([_grid("Setting", differing, names)] if differing else []),
        "Warnings": [_warned(name, report.warnings) for name, report in runs if report.warnings],
        "Figures": [_side_by_side(title, runs) for title in figures],
        "To repeat these runs": [_command(name, report.command) for name, report in runs if report.command],
    }
    title = f"{len(reports)} runs compared"
    head = f"<header><h1>{title}</h1><p>{text(' · '.join(names))}</p></header>"
    return _document(title, [head], sections, ' class="wide"')


def study(page: StudyReport) -> str:
    """A study as one HTML document: its findings in words first, then figures, the table, and how to repeat it.

    Raises:
        UserError: when a figure cannot be read.

    >>> "<li>The rate falls.</li>" in study(StudyReport("beta on digits", findings=[("The rate falls.", True)]))
    True
    """
    supported = [one for one, yes in page.findings if yes]
    others = [one for one, yes in page.findings if not yes]
    said = [_list(supported) if supported else "<p>The data support no difference between the points.</p>"]
    said += ["<h3>Not supported by the data</h3>", _list(others)] if others else []
    said += [f'<p class="note">{text(page.caution)}</p>'] if page.caution else []
    rows = [(row[0], "".join(f'<td class="num">{text(cell)}</td>' for cell in row[1:])) for row in page.rows]
    meant = [(name, f'<td class="meaning">{text(meaning)}</td>') for name, meaning in page.meanings.items()]
    table = [_table("Every point", rows, page.head)] if rows else []
    table += [f'<p class="note">{text(_OVER_SEEDS)}</p>', _table("Numbers", meant, kind="pairs")] if meant else []
    repeat = [_command("Command", page.command)] if page.command else []
    repeat += [_command("The study", page.definition)] if page.definition else []
    versions = [(name, f"<td>{text(value)}</td>") for name, value in page.environment.items()]
    repeat += ["<h3>Environment</h3>", _table("Environment", versions, kind="pairs")] if versions else []
    sections = {
        "What was found": said,
        "Beside the numbers": [f"<p>{text(page.note)}</p>"] if page.note else [],
        "Figures": [f"<h3>{text(one.title)}</h3>" * bool(one.title) + _picture(one) for one in page.figures],
        "Every point": table,
        "Without numbers": [_list(page.problems)] if page.problems else [],
        "To repeat this study": repeat,
    }
    facts = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in page.facts.items())
    head = [
        f"<header><h1>{text(page.title)}</h1>",
        f"<p>{text(page.question)}</p>" if page.question else "",
        f'<dl class="facts">{facts}</dl>' if facts else "",
        "</header>",
    ]
    return _document(page.title, head, sections)


_OVER_SEEDS = "Means over seeds; ± is half the 95% t interval over seeds, for the same test examples."


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{text(one)}</li>" for one in sentences) + "</ul>"


def text(value: object) -> str:
    """`value` escaped for element content and quoted attributes.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(str(value))


def _document(
    title: str, head: Sequence[str], sections: Mapping[str, Sequence[str]], kind: str = "", scripted: bool = False
) -> str:
    """A whole document: its head, links to the sections that are not empty, and these; the script if `scripted`."""
    anchors = {name: re.sub(r"[^a-z0-9]+", "-", name.lower()) for name, parts in sections.items() if parts}
    links = "".join(f'<li><a href="#{anchor}">{text(name)}</a></li>' for name, anchor in anchors.items())
    body = [*head, f'<nav aria-label="Contents"><ul>{links}</ul></nav>' if links else ""]
    for name, anchor in anchors.items():
        start = f'<section id="{anchor}" aria-labelledby="{anchor}-h">\n<h2 id="{anchor}-h">{text(name)}</h2>'
        body.append("\n".join([start, *sections[name], "</section>"]))
    policy = f"{_POLICY}; {page_decoder.policy()}" if scripted else _POLICY
    script = f"<script>{page_decoder.script()}</script>\n" if scripted else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>\n{files('vaekit.report').joinpath('style.css').read_text('utf-8')}</style>"
        f"\n</head>\n<body>\n<main{kind}>\n" + "\n".join(body) + f"\n</main>\n{script}</body>\n</html>\n"
    )


def _table(label: str, rows: Iterable[tuple[str, str]], head: Sequence[str] = (), kind: str = "") -> str:
    """A table of (name, cells as HTML), in a region that scrolls sideways by itself, by keyboard too."""
    titles = "".join(f'<th scope="col">{text(title)}</th>' for title in head)
    body = "".join(f'<tr><th scope="row">{text(name)}</th>{cells}</tr>' for name, cells in rows)
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{text(label)}">'
        + (f'<table class="{kind}">' if kind else "<table>")
        + (f"<thead><tr>{titles}</tr></thead>" if titles else "")
        + f"<tbody>{body}</tbody></table></div>"
    )


def _grid(corner: str, rows: Mapping[str, Sequence[str]], names: Sequence[str], escaped: bool = False) -> str:
    """A table with a column a run."""
    cells = [(k, "".join(f"<td>{c if escaped else text(c)}</td>" for c in row)) for k, row in rows.items()]
    return _table(corner, cells, [corner, *names], "runs")


def _by_name(every: Sequence[Mapping[str, str]]) -> dict[str, list[str]]:
    """The values of each run by their name, a dash where a run has none."""
    return {name: [one.get(name, "–") for one in every] for name in dict.fromkeys(k for one in every for k in one)}


def _command(title: str, command: str) -> str:
    return f"<h3>{text(title)}</h3><pre><code>{text(command)}</code></pre>"


def _shown(number: Number) -> str:
    """The number with its error, or that it is not reported."""
    return text("not reported" if number.value is None else format_number(number.value, number.stderr, number.interval))


def _named(number: Number) -> str:
    """What a number is called, with its arrow, which stands on no line alone."""
    return f"{number.shown}\N{NO-BREAK SPACE}{number.arrow}" if number.arrow else number.shown


def _cards(numbers: Sequence[Number]) -> str:
    """Headline numbers, each with what it means."""
    items = []
    for n in numbers:
        kind = "value none" if n.value is None else "value"
        # An interval goes on a line of its own, unbroken.
        value, bracket, ends = _shown(n).partition(" [")
        value += f'<div class="range">[{ends}</div>' if bracket else ""
        unit = ", ".join(part for part in (n.unit, "" if n.n is None else f"n = {n.n:,}") if part)
        rest = "".join(f'<p class="note">{text(t)}</p>' for t in (n.meaning, n.note) if t)
        items.append(
            f'<li><div class="name">{text(_named(n))}</div><div class="{kind}">{value}</div>'
            f'<div class="unit">{text(unit)}</div>{rest}</li>'
        )
    return f'<ul class="cards">{"".join(items)}</ul>'


def _number_tables(tables: Sequence[tuple[str, Sequence[Number]]]) -> list[str]:
    """Numbers by group, and below them those that there are none of, by reason."""
    out: list[str] = []
    missing: dict[str, list[str]] = {}
    for title, numbers in tables:
        known = [n for n in numbers if n.value is not None]
        out += [f"<h3>{text(title)}</h3>{_number_table(title, known)}"] if known else []
        for n in numbers:
            if n.value is None:
                missing.setdefault(n.note or "no value", []).append(n.shown)
    if out:
        out.append('<p class="note">↑ higher is better, ↓ lower is better; n: examples.</p>')
    if missing:
        items = "".join(f"<li>{text(', '.join(names))}: {text(why)}</li>" for why, names in missing.items())
        out.append(f'<h3>Not reported</h3><ul class="note">{items}</ul>')
    return out


def _number_table(title: str, numbers: Sequence[Number]) -> str:
    rows = [
        (
            _named(n),
            f'<td class="num">{_shown(n)}</td><td>{text(n.unit)}</td>'
            f'<td class="num count">{"" if n.n is None else f"{n.n:,}"}</td>'
            f'<td class="meaning">{text("; ".join(t for t in (n.meaning, n.note) if t))}</td>',
        )
        for n in numbers
    ]
    return _table(title, rows, ("Number", "Value", "Unit", "n", "What it means"), "numbers")


def _titled(figure: Figure) -> str:
    heading = f"<h3>{text(figure.title)}</h3>" * (figure.title not in ("", figure.section))
    return f'<div class="drawn">{heading}{_picture(figure)}</div>'


def _drawn(figures: Sequence[str]) -> list[str]:
    """Figures one below the other, side by side on paper."""
    return [f'<div class="figures">{"".join(figures)}</div>'] if figures else []


def _examples(shown: Lines | Rows) -> str:
    """Lines as they are, or rows of a table."""
    start = f"<h3>{text(shown.title)}</h3>" + (f'<p class="note">{text(shown.caption)}</p>' if shown.caption else "")
    if isinstance(shown, Lines):
        return start + "<pre>{}</pre>".format(text("\n".join(shown.lines)))
    rows: list[tuple[str, str]] = []
    for i, row in enumerate(shown.rows):
        name = ("data", "model")[i % 2] if shown.paired else f"{i + 1}"
        before = shown.rows[i - 1] if shown.paired and i % 2 else row
        cells = [f"<td>{text(a)}</td>" if a == b else f'<td class="other">{text(a)}</td>' for a, b in zip(row, before)]
        rows.append((name, "".join(cells)))
    return start + _table(shown.title, rows, ["", *shown.head], "rows paired" if shown.paired else "rows")


def _verdict(verdict: Verdict) -> str:
    said = "".join(f"<p>{text(one)}</p>" for one in verdict.sentences)
    said += f'<p class="note">{text(verdict.note)}</p>' if verdict.note else ""
    return f'<div class="verdict {text(verdict.tone)}" role="note"><h2>{text(verdict.title)}</h2>{said}</div>'


def _warning(warning: Warning_) -> str:
    tips = "".join(f"<li>{text(remedy)}</li>" for remedy in warning.remedies)
    tips = f"<p>What to try:</p><ul>{tips}</ul>" if tips else ""
    return f'<div class="warning"><h3>{text(warning.title)}</h3><p>{text(warning.detail)}</p>{tips}</div>'


def _warned(name: str, warnings: Sequence[Warning_]) -> str:
    items = "".join(f"<li><strong>{text(w.title)}</strong> {text(w.detail)}</li>" for w in warnings)
    return f'<div class="warning"><h3>{text(name)}</h3><ul>{items}</ul></div>'


def _numbers(reports: Sequence[RunReport], names: Sequence[str]) -> list[str]:
    every = [report.numbers() for report in reports]
    rows: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for key in dict.fromkeys(k for numbers in every for k in numbers):
        row = [numbers.get(key) for numbers in every]
        units = list(dict.fromkeys(n.unit for n in row if n is not None))
        top = best(row)
        shown = next(n.shown for n in row if n is not None)
        name = f"{shown} ({units[0]})" if len(units) == 1 and units[0] else shown
        rows[name] = [
            _cell(n, i == top, with_unit=len(units) > 1, against=row[0] if i else None) for i, n in enumerate(row)
        ]
        why = _why_not(row, names)
        if why:
            reasons.setdefault(why, []).append(shown)
    note = (
        "A number is marked as best only where it is ahead of every other run's by more than two standard errors of "
        "the difference. Differences of means over the same test examples are paired, example by example."
    )
    out = [_grid("Number", rows, names, escaped=True) + f'<p class="note">{text(f"{_ERRORS} {note}")}</p>']
    if reasons:
        items = "".join(f"<li>{text(', '.join(keys))}: {text(why)}</li>" for why, keys in reasons.items())
        out.append(f"<h3>Not compared</h3><p>These are numbers of different things.</p><ul>{items}</ul>")
    return out


def _why_not(row: Sequence[Number | None], names: Sequence[str]) -> str:
    """In what the numbers of a row are of different things, empty where they are not."""
    present = {name: n for name, n in zip(names, row, strict=True) if n is not None and n.value is not None}
    said = []
    for aspect, values in differing([*present.values()]).items():
        runs = {
            value: [n for n, v in zip(present, values, strict=True) if v == value] for value in dict.fromkeys(values)
        }
        said.append(f"{aspect}: " + ", ".join(f"{value} ({', '.join(some)})" for value, some in runs.items()))
    return "; ".join(said)


def _cell(number: Number | None, top: bool, with_unit: bool, against: Number | None) -> str:
    if number is None:
        return "–"
    value = _shown(number)
    value = f'<span class="best">{value}</span> <span class="note">best</span>' if top else value
    if with_unit and number.unit:
        value += f' <span class="note">{text(number.unit)}</span>'
    apart = None if against is None else difference(number, against)
    if apart is not None:
        shown = format_number(apart.value, apart.stderr)
        sign = "+" if apart.value > 0 else ""
        paired = ", paired" if apart.paired else ""
        value += f'<div class="note">{text(f"{sign}{shown} against the first run{paired}")}</div>'
    return value + (f'<div class="note">{text(number.note)}</div>' if number.note else "")


def best(row: Sequence[Number | None]) -> int | None:
    """The index of the number ahead of all others by more than two standard errors of the difference, if there is one.

    None where they are numbers of different things, or one's error is not known.

    >>> best([Number("mse", 1.0, 0.1, higher_is_better=False), Number("mse", 1.2, 0.1, higher_is_better=False)]) is None
    True
    """
    known = {i: n for i, n in enumerate(row) if n is not None and n.value is not None}
    directions = {n.higher_is_better for n in known.values()}
    if len(directions) != 1 or None in directions or any(n.error is None for n in known.values()):
        return None
    sign = 1 if directions.pop() else -1
    known = {i: n for i, n in known.items() if math.isfinite(n.value or 0.0)}
    if len(known) < 2:
        return None
    top = max(known, key=lambda i: sign * (known[i].value or 0.0))
    others = [difference(known[top], n) for i, n in known.items() if i != top]
    ahead = all(d is not None and d.stderr is not None and sign * d.value > 2 * d.stderr for d in others)
    return top if ahead else None


def _side_by_side(title: str, runs: Sequence[tuple[str, RunReport]]) -> str:
    drawn = ""
    for name, report in runs:
        figure = next((figure for figure in report.figures if figure.title == title), None)
        if figure is None:
            drawn += f'<p class="note">{text(name)} has no such figure.</p>'
        else:
            caption = f"{name}. {figure.caption}" if figure.caption else name
            drawn += _picture(replace(figure, title=f"{title}: {name}", caption=caption))
    return f'<h3>{text(title)}</h3><div class="side">{drawn}</div>'


def _picture(figure: Figure) -> str:
    """A figure with its picture inside the page, at two thirds of its pixels so that it is sharp on dense screens.

    Raises:
        UserError: when the file is missing or is not a PNG.
    """
    data, name = figure.file, figure.title
    if isinstance(data, Path):
        name = str(data)
        try:
            data = data.read_bytes()
        except OSError as error:
            problem = f"the figure {name} cannot be read ({error.strerror}); make the run's figures again"
            raise UserError(problem) from None
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise UserError(f"the figure {name} is not a PNG; make the run's figures again")
    width, height = (round(side / 1.5) for side in struct.unpack(">II", data[16:24]))
    caption = f"<figcaption>{text(figure.caption)}</figcaption>" if figure.caption else ""
    chart = figure.chart and width > 640
    kind = ' class="chart wide" tabindex="0"' if chart else ' class="chart"' if figure.chart else ""
    return (
        f'<figure{kind}><img alt="{text(figure.title)}" width="{width}" height="{height}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">{caption}</figure>'
    )


def _player(sound: Sound) -> str:
    """A recording to play, its bytes inside the page.

    Raises:
        UserError: when the file is missing.
    """
    try:
        data = base64.b64encode(sound.file.read_bytes()).decode()
    except OSError as error:
        problem = f"the sound {sound.file} cannot be read ({error.strerror}); make the run's figures again"
        raise UserError(problem) from None
    return (
        f'<h3>{text(sound.title)}</h3><figure><audio controls preload="none" '
        f'aria-label="{text(sound.title)}" src="data:audio/wav;base64,{data}"></audio>'
        f"<figcaption>{text(sound.caption)}</figcaption></figure>"
    )


def _flat(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names.

    >>> _flat({"objective": {"beta": 4.0}, "seed": 0, "layers": [2, 3]})
    {'objective.beta': '4.0', 'seed': '0', 'layers': '[2, 3]'}
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = "–" if value is None else str(value)
    return flat
