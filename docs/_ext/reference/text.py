"""Plain text, docstrings and tables as Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Note|Parameters):")
CODE = re.compile(r"`([^`]*)`")
WORDS = re.compile(r"'(vaekit [^'`]*)'|(?<![\w-])(--[a-z][\w-]*)")
"""Commands and options that are no code where they are told."""
SPECIAL = re.compile(r"([\\*_\[\]<>#$~{}|])")
CITED = re.compile(r"(arXiv|doi|openreview):([\w./-]*[\w/-])")
SITES = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/", "openreview": "https://openreview.net/forum?id="}


def md(text: str) -> str:
    """Return plain text as Markdown: code between backticks stays code, all else is what it says.

    >>> md("E_q of `a|b`"), md("the run in --out")
    ('E\\\\_q of `a\\\\|b`', 'the run in `--out`')
    """
    pieces = CODE.split(options_as_code(text))
    return "".join(code(one) if i % 2 else SPECIAL.sub(r"\\\1", one) for i, one in enumerate(pieces))


def options_as_code(text: str) -> str:
    """Return text with backticks around the options and commands that have none."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(
        one if i % 2 else WORDS.sub(lambda found: f"`{found[1] or found[2]}`", one) for i, one in enumerate(pieces)
    )


def code(value: Any) -> str:
    """Return a value as code that may stand in a cell of a table."""
    return f"`{str(value).replace('|', chr(92) + '|')}`" if str(value) else "–"


def cited(reference: str) -> str:
    """Return a reference with links where it names arXiv, a DOI or OpenReview.

    >>> cited("Kim 2018, arXiv:1802.05983")
    'Kim 2018, [arXiv:1802.05983](https://arxiv.org/abs/1802.05983)'
    """
    return CITED.sub(lambda found: f"[{found[0]}]({SITES[found[1]]}{found[2]})", reference.replace("*", r"\*"))


def anchor(*names: str) -> str:
    """Return the label of a piece of the reference, one in all pages.

    >>> anchor("part", "prior", "gaussian-mixture"), anchor("setting", "model.latent")
    ('part-prior-gaussian-mixture', 'setting-model-latent')
    """
    return "-".join(re.sub(r"[^a-z0-9]+", "-", name.lower().lstrip("-")).strip("-") for name in names)


def target(*names: str) -> list[str]:
    """Return the lines that put a label before what follows."""
    return [f"({anchor(*names)})=", ""]


def link(shown: str, *names: str) -> str:
    """Return a link, shown as code, to a labelled piece of the reference."""
    return f"[{code(shown)}](#{anchor(*names)})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table whose cells are Markdown already; no lines without rows."""
    lines = [f"| {' | '.join(' '.join(cell.split()) for cell in row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines, ""] if lines else []


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Return lines behind a title that opens them."""
    return [f"::::{{dropdown}} {title}", "", *lines, "::::", ""] if lines else []


def paragraphs(documented: Any) -> list[list[str]]:
    """Return a docstring's blocks, each a list of lines."""
    text = inspect.cleandoc(documented if isinstance(documented, str) else getattr(documented, "__doc__", None) or "")
    return [block.splitlines() for block in re.split(r"\n\s*\n", text) if block.strip()]


def first(documented: Any) -> str:
    """Return a docstring's first paragraph on one line."""
    return " ".join(" ".join(block) for block in paragraphs(documented)[:1])


def docstring(documented: Any, *, skip: int = 0) -> list[str]:
    """Return a docstring as Markdown: paragraphs, lists, its Args and the like as lists, its example as code."""
    out: list[str] = []
    for block in paragraphs(documented)[skip:]:
        if block[0].lstrip().startswith(">>>"):
            out += ["```python", *inspect.cleandoc("\n".join(block)).splitlines(), "```", ""]
        elif SECTION.fullmatch(block[0].strip()):
            out += [f"**{block[0].strip(': ')}**", "", *_entries(block[1:]), ""]
        elif any(line.startswith("- ") for line in block):
            out += [f"- {md(line[2:])}" if line.startswith("- ") else f"  {md(line.strip())}" for line in block] + [""]
        else:
            out += [md(" ".join(line.strip() for line in block)), ""]
    return out


def _entries(lines: Sequence[str]) -> list[str]:
    """Return the entries of a section of a docstring as a list, names as code."""
    body = inspect.cleandoc("\n".join(["", *lines])).splitlines()
    out: list[str] = []
    for line in body:
        name, colon, rest = line.partition(": ")
        if line.startswith(" ") and out:
            out[-1] += " " + md(line.strip())
        elif colon and re.fullmatch(r"[\w, ]+", name):
            out.append(f"- {', '.join(code(one.strip()) for one in name.split(','))}: {md(rest)}")
        else:
            out.append(f"- {md(line)}")
    return out
