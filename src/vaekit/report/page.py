"""The pieces of a page: escaped text in, safe HTML out. One inline style sheet, no script, nothing fetched."""

from __future__ import annotations

import base64
import html
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vaekit.errors import UserError
from vaekit.report.content import Figure, Lines, Number, Warning_
from vaekit.report.numbers import format_number

CSS = """
:root{color-scheme:light dark;--bg:#fff;--card:#f6f8fa;--ink:#1f2328;--soft:#57606a;--line:#d8dee4;--link:#0759b8;
--warn:#fff6dc;--warnline:#c98a00;--good:#dff3e4;--goodink:#0b5a26}
@media (prefers-color-scheme:dark){:root{--bg:#12161c;--card:#1b212a;--ink:#e6e9ee;--soft:#a3acb8;--line:#323b47;
--link:#7ab7ff;--warn:#2e2610;--warnline:#d9a127;--good:#173823;--goodink:#a4e6b8}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 20px 64px}
main.wide{max-width:1500px}
h1{font-size:1.75rem;line-height:1.2;margin:.2em 0 .3em;overflow-wrap:anywhere}
h2{font-size:1.3rem;margin:2.2em 0 .6em;padding-bottom:.25em;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6em 0 .5em;overflow-wrap:anywhere}
p{margin:.5em 0}
a{color:var(--link)}
.soft,.note{color:var(--soft)}
.note{font-size:.9em}
nav ul{list-style:none;padding:0;margin:1em 0;display:flex;flex-wrap:wrap;gap:.3em 1.2em;font-size:.95em}
dl.facts{display:grid;grid-template-columns:repeat(auto-fill,minmax(190px,1fr));gap:.7em 1.4em;margin:1.2em 0}
dl.facts div{min-width:0}
dl.facts dt{font-size:.82em;color:var(--soft)}
dl.facts dd{margin:0;overflow-wrap:anywhere}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(265px,1fr));gap:14px;padding:0;margin:0;list-style:none}
.cards li{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;min-width:0}
.cards .name{font-weight:600;overflow-wrap:anywhere}
.cards .value{font-size:1.5rem;font-variant-numeric:tabular-nums;line-height:1.35}
.cards .range{font-size:.95rem;white-space:nowrap;color:var(--soft)}
.cards .value.none{font-size:1.15rem;color:var(--soft)}
.cards .unit{color:var(--soft);font-size:.9em}
.scroll{overflow-x:auto;margin:.6em 0}
table{border-collapse:collapse;width:100%;font-size:.94em}
th,td{text-align:left;vertical-align:top;padding:.42em .9em .42em 0;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;font-size:.9em}
tbody th{font-weight:600}
td.num{white-space:nowrap;font-variant-numeric:tabular-nums}
td.meaning{min-width:15em;color:var(--soft)}
table.pairs th{width:34%;font-weight:500;color:var(--soft);overflow-wrap:anywhere}
table.pairs td{overflow-wrap:anywhere}
table.runs td,table.runs thead th{min-width:9em}
table.runs tbody th{min-width:9em}
.best{background:var(--good);color:var(--goodink);font-weight:600;
border-radius:4px;padding:.1em .4em;white-space:nowrap}
.warning{background:var(--warn);border-left:4px solid var(--warnline);border-radius:6px;padding:.7em 1em;margin:.8em 0}
.warning h3{margin:0 0 .2em}
.warning ul{margin:.3em 0 .2em;padding-left:1.3em}
figure{margin:1.2em 0 2em}
figure img{display:block;max-width:100%;height:auto;background:#fff;border:1px solid var(--line);border-radius:6px}
figcaption{color:var(--soft);font-size:.93em;margin-top:.5em;max-width:46em}
.side{display:grid;gap:14px;grid-template-columns:repeat(auto-fit,minmax(min(100%,340px),1fr));align-items:start}
.side figure{margin:.2em 0}
pre{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:.8em 1em;overflow-x:auto;
font-size:.9em;white-space:pre-wrap;overflow-wrap:anywhere}
code{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
:focus-visible{outline:2px solid var(--link);outline-offset:2px}
footer{margin-top:3em;color:var(--soft);font-size:.88em}
@media (max-width:600px){dl.facts{grid-template-columns:1fr 1fr}table.pairs th{width:46%}
main{padding:16px 14px 48px}h1{font-size:1.45rem}table{font-size:.9em}
figure.wide{overflow-x:auto}figure.wide img{max-width:none;width:640px}}
@media print{:root{color-scheme:light;--bg:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--link:#000;--warn:#fff;
--warnline:#888;--good:#fff;--goodink:#000}body{font-size:10.5pt}main,main.wide{max-width:none;padding:0}
nav{display:none}h2,h3{break-after:avoid}figure,.warning,.cards li,tr{break-inside:avoid}
.scroll{overflow:visible}.best{outline:1px solid #000}}
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def text(value: object) -> str:
    """`value` escaped for element content and quoted attributes.

    >>> text('<b title="x">')
    '&lt;b title=&quot;x&quot;&gt;'
    """
    return html.escape(str(value), quote=True)


def page(title: str, body: Iterable[str], wide: bool = False) -> str:
    """A whole document around `body`."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{text(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        f"<main{' class=' + chr(34) + 'wide' + chr(34) if wide else ''}>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def anchor(title: str) -> str:
    """A title as an id.

    >>> anchor("Numbers & errors")
    'numbers-errors'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "section"


def section(title: str, *parts: str) -> str:
    """A section under an h2, reached by its anchor."""
    name = anchor(title)
    return (
        f'<section id="{name}" aria-labelledby="{name}-h">\n<h2 id="{name}-h">{text(title)}</h2>\n'
        + "\n".join(parts)
        + "\n</section>"
    )


def contents(titles: Sequence[str]) -> str:
    """The table of contents: a link a section."""
    links = "".join(f'<li><a href="#{anchor(t)}">{text(t)}</a></li>' for t in titles)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'


def facts(pairs: Mapping[str, object]) -> str:
    """Short facts in columns."""
    rows = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in pairs.items())
    return f'<dl class="facts">{rows}</dl>' if rows else ""


def lines(examples: Lines) -> str:
    """Examples as text under a heading, one a line."""
    caption = f'<p class="note">{text(examples.caption)}</p>' if examples.caption else ""
    shown = text("\n".join(examples.lines))
    return f"<h3>{text(examples.title)}</h3>{caption}<pre>{shown}</pre>"


def pairs(values: Mapping[str, object], caption: str) -> str:
    """A two-column table."""
    rows = "".join(f'<tr><th scope="row">{text(k)}</th><td>{text(v)}</td></tr>' for k, v in values.items())
    return scroll(f'<table class="pairs"><tbody>{rows}</tbody></table>', caption)


def scroll(table: str, label: str) -> str:
    """A region that scrolls sideways by itself, by keyboard too, so that the page need not."""
    return f'<div class="scroll" role="region" tabindex="0" aria-label="{text(label)}">{table}</div>'


def count(number: Number) -> str:
    """Unit and sample size in words."""
    parts = [number.unit] if number.unit else []
    if number.n is not None:
        parts.append(f"n = {number.n:,}")
    return ", ".join(parts)


def shown(number: Number) -> str:
    """The number with its error, or that it is not reported."""
    return text("not reported" if number.value is None else format_number(number.value, number.stderr, number.interval))


def cards(numbers: Sequence[Number]) -> str:
    """Headline numbers, each with what it means."""
    items = []
    for n in numbers:
        kind = "value none" if n.value is None else "value"
        # An interval goes on a line of its own, unbroken.
        value, bracket, ends = shown(n).partition(" [")
        value += f'<div class="range">[{ends}</div>' if bracket else ""
        rest = "".join(f'<p class="note">{text(t)}</p>' for t in (n.meaning, n.note) if t)
        items.append(
            f'<li><div class="name">{text(n.name)}</div><div class="{kind}">{value}</div>'
            f'<div class="unit">{text(count(n))}</div>{rest}</li>'
        )
    return f'<ul class="cards">{"".join(items)}</ul>'


def number_table(numbers: Sequence[Number], caption: str) -> str:
    """A table of numbers: name, value and error, unit, n, meaning."""
    rows = "".join(
        f'<tr><th scope="row">{text(n.name)}</th><td class="num">{shown(n)}</td><td>{text(n.unit)}</td>'
        f'<td class="num">{"" if n.n is None else f"{n.n:,}"}</td>'
        f'<td class="meaning">{text(" ".join(t for t in (n.meaning, n.note) if t))}</td></tr>'
        for n in numbers
    )
    head = "".join(f'<th scope="col">{h}</th>' for h in ("Number", "Value", "Unit", "n", "What it means"))
    return scroll(f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>", caption)


def warning(w: Warning_) -> str:
    """A warning with what to try."""
    tips = "".join(f"<li>{text(r)}</li>" for r in w.remedies)
    tips = f"<p>What to try:</p><ul>{tips}</ul>" if tips else ""
    return f'<div class="warning"><h3>{text(w.title)}</h3><p>{text(w.detail)}</p>{tips}</div>'


def picture(figure: Figure, heading: str | None = None) -> str:
    """A figure with its picture inside the page, at two thirds of its pixels so that it is sharp on dense screens.

    Raises:
        UserError: when the file is missing or is not a PNG.
    """
    data, (width, height) = _png(figure)
    shown_width, shown_height = round(width / 1.5), round(height / 1.5)
    head = f"<h3>{text(heading)}</h3>" if heading else ""
    caption = f"<figcaption>{text(figure.caption)}</figcaption>" if figure.caption else ""
    kind = ' class="wide" tabindex="0"' if shown_width > 640 else ""
    return (
        f'{head}<figure{kind}><img alt="{text(figure.title)}" width="{shown_width}" height="{shown_height}" '
        f'src="data:image/png;base64,{base64.b64encode(data).decode()}">{caption}</figure>'
    )


def _png(figure: Figure) -> tuple[bytes, tuple[int, int]]:
    if isinstance(figure.file, bytes):
        data, name = figure.file, figure.title
    else:
        name = str(figure.file)
        try:
            data = Path(figure.file).read_bytes()
        except OSError as error:
            raise UserError(
                f"the figure {name} cannot be read ({error.strerror}); make the run's figures again"
            ) from None
    if data[:8] != b"\x89PNG\r\n\x1a\n" or data[12:16] != b"IHDR":
        raise UserError(f"the figure {name} is not a PNG; make the run's figures again")
    width, height = struct.unpack(">II", data[16:24])
    return data, (width, height)


def flatten(settings: Mapping[str, object], prefix: str = "") -> dict[str, str]:
    """Nested settings as dotted names.

    >>> flatten({"objective": {"beta": 4.0}, "seed": 0, "layers": [2, 3]})
    {'objective.beta': '4.0', 'seed': '0', 'layers': '[2, 3]'}
    """
    flat: dict[str, str] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = "–" if value is None else str(value)
    return flat
