"""How --help looks: names in a column, their meaning beside them, within the width; bold where the terminal is."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from cyclopts.help import PlainFormatter

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

COLUMN = 22
"""Letters of the column of names; longer ones have a line of their own."""
MOST = 110
"""Letters of a line, however wide the terminal."""


class Formatter(PlainFormatter):
    """Plain text in two columns."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Write a panel: its title, and a name with its meaning for each entry."""
        if not panel.entries:
            return
        console.print(str(panel.title), style="bold", highlight=False, markup=False)
        width = min(console.width, MOST)
        column = min(COLUMN, max(len(_names(entry)) for entry in panel.entries)) + 4
        for entry in panel.entries:
            name = "  " + _names(entry)
            lines = textwrap.wrap(_meaning(entry, console), max(20, width - column)) or [""]
            if len(name) > column - 2:
                console.print(name, style="bold", highlight=False, markup=False, soft_wrap=True)
            else:
                console.print(name.ljust(column), style="bold", end="", highlight=False, markup=False, soft_wrap=True)
                console.print(lines.pop(0), highlight=False, markup=False, soft_wrap=True)
            for line in lines:
                console.print(" " * column + line, highlight=False, markup=False, soft_wrap=True)
        console.print()

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Write text: paragraphs wrapped, lines that begin with a space as they are."""
        for part in _text(description, console).rstrip().split("\n\n"):
            if part.startswith(EXAMPLES):
                title, *lines = part.split("\n")
                console.print(title, style="bold", highlight=False, markup=False)
                for line in lines:
                    console.print(line, highlight=False, markup=False, soft_wrap=True)
            else:
                said = textwrap.fill(" ".join(part.split()), min(console.width, MOST))
                console.print(said, highlight=False, markup=False, soft_wrap=True)
            console.print()


EXAMPLES = "Examples"


def examples(*lines: str) -> str:
    """Return the text below a command's options: how it is called.

    >>> examples("train vae", "train vae --out a")
    'Examples\\n  vaekit train vae\\n  vaekit train vae --out a'
    """
    return "\n".join([EXAMPLES, *(f"  vaekit {line}" for line in lines)])


def _names(entry: HelpEntry) -> str:
    labels = entry.display_labels_with_metavar or entry.display_labels
    return ", ".join(labels or (*entry.positive_names, *entry.positive_shorts))


def _text(described: Any, console: Console) -> str:
    """Return a description as plain text, unwrapped."""
    if described is None or isinstance(described, str):
        return described or ""
    return "".join(part.text for part in console.render(described, console.options.update(width=10_000)))


def _meaning(entry: HelpEntry, console: Console) -> str:
    """Return an entry's meaning with its choices and default; that a flag is off needs no word."""
    said = " ".join(_text(entry.description, console).split())
    choices = f"One of {', '.join(entry.choices)}." if entry.choices else ""
    default = "" if entry.default in (None, "False") else f"[default: {entry.default}]"
    needed = "[required]" if entry.required else ""
    return " ".join(part for part in (said, choices, default, needed) if part)
