"""Progress on standard error: a bar with the loss terms and the time left on a terminal, plain lines elsewhere."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any


class Progress:
    """Follows a run and shows nothing of it; what shows something derives from it."""

    def begin(self, name: str, done: int, total: int) -> None:
        """Start a stage of `total` steps, `done` of them already taken."""

    def update(self, done: int, record: Mapping[str, Any]) -> None:
        """Show the newest record."""

    def note(self, text: str) -> None:
        """Print one line of text."""

    def end(self) -> None:
        """Stop showing."""


def describe(record: Mapping[str, Any]) -> str:
    """Return the numbers a person follows while training, in nats.

    >>> describe({"loss": 101.23, "elbo": -101.23, "valid.elbo": -99.0, "lr": 0.001, "examples_per_second": 12345.6})
    'loss 101.2 · elbo -101.2 · held-out elbo -99.0 · lr 0.001 · 12,346/s'
    """
    parts = []
    names = {"loss": "loss", "elbo": "elbo", "kl": "kl", "valid.elbo": "held-out elbo", "valid.loss": "held-out loss"}
    for key, label in names.items():
        if isinstance(record.get(key), float) and (key != "valid.loss" or "valid.elbo" not in record):
            parts.append(f"{label} {record[key]:.1f}")
    if "lr" in record:
        parts.append(f"lr {record['lr']:.3g}")
    if record.get("skipped"):
        parts.append(f"{record['skipped']:.0f} steps skipped")
    if "examples_per_second" in record:
        parts.append(f"{record['examples_per_second']:,.0f}/s")
    return " · ".join(parts)


def fitted(record: Mapping[str, Any], width: int) -> list[str]:
    """Return what a person follows as lines of at most `width` letters: of training, and of held-out data.

    Numbers that do not fit are left out from the right. A loss that is minus the ELBO is not said twice.

    >>> fitted({"loss": 101.2, "elbo": -101.2, "valid.elbo": -99.0, "lr": 0.001, "examples_per_second": 1e4}, 24)
    ['elbo -101.2 · lr 0.001', 'held-out elbo -99.0']
    """
    record = dict(record)
    elbo, loss = record.get("elbo"), record.get("loss")
    if isinstance(elbo, float) and isinstance(loss, float) and abs(loss + elbo) < 0.05:
        del record["loss"]
    parts = describe(record).split(" · ")
    lines = []
    for chosen in ([p for p in parts if not p.startswith("held-out")], [p for p in parts if p.startswith("held-out")]):
        while len(" · ".join(chosen)) > width:
            chosen = chosen[:-1]
        lines += [" · ".join(chosen)] if any(chosen) else []
    return lines


class Bar(Progress):
    """A rich progress bar on standard error: bar, count and time on one line, the numbers on lines of their own."""

    def __init__(self, console: Any = None) -> None:
        from rich.console import Console, Group
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress
        from rich.text import Text

        seen: dict[str, Any] = {}
        shown = Console(stderr=True) if console is None else console

        class Numbered(RichProgress):
            def get_renderable(self) -> Any:
                lines = fitted(seen, shown.width - 2)
                return Group(*self.get_renderables(), *(Text(f"  {line}", style="dim") for line in lines))

        self._console = shown
        self._bar = Numbered(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12 if self._console.width < 80 else 24),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[left]}"),
            console=self._console,
        )
        self._task: Any = None
        self._seen = seen

    def begin(self, name: str, done: int, total: int) -> None:
        """Start a stage's bar."""
        self._bar.start()
        self._task = self._bar.add_task(name, total=total, completed=done, left="left")

    def update(self, done: int, record: Mapping[str, Any]) -> None:
        """Move the bar and show the newest numbers."""
        self._seen.update(record)
        if self._task is not None:
            left = "left" if done < (self._bar.tasks[-1].total or 0) else "in all"
            self._bar.update(self._task, completed=done, left=left)

    def note(self, text: str) -> None:
        """Print a line above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def end(self) -> None:
        """Stop the bar."""
        self._bar.stop()


class Lines(Progress):
    """A plain line on standard error every few seconds, and for every held-out evaluation."""

    def __init__(self, every: float = 5.0) -> None:
        self._every = every
        self._name, self._total, self._first = "", 0, 0
        self._start = self._last = time.monotonic()
        self._seen: dict[str, Any] = {}
        self._ended = ""

    def begin(self, name: str, done: int, total: int) -> None:
        """Remember the stage."""
        self.end()
        self._name, self._total, self._first = name, total, done
        self._start = self._last = time.monotonic()
        self._seen = {}

    def update(self, done: int, record: Mapping[str, Any]) -> None:
        """Print a line when it is time; the last one waits for what else is known at the last step."""
        self._seen.update(record)
        now = time.monotonic()
        if done >= self._total:
            took = f"{now - self._start:.0f} s in all"
            self._ended = f"{self._name} {done:,}/{self._total:,} · {describe(self._seen)} · {took}"
            return
        if now - self._last < self._every:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._start, 1e-9)
        left = f"{(self._total - done) / rate:.0f} s left" if rate > 0 else ""
        parts = (f"{self._name} {done:,}/{self._total:,}", describe(self._seen), left)
        self.note(" · ".join(part for part in parts if part))

    def note(self, text: str) -> None:
        """Print one line, after the last one of a stage that has ended."""
        self.end()
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        """Print the last line of a stage."""
        ended, self._ended = self._ended, ""
        if ended:
            print(ended, file=sys.stderr, flush=True)


class Safe(Progress):
    """Shows what `inner` shows; where that cannot be written, as on a terminal that has gone, training goes on."""

    def __init__(self, inner: Progress) -> None:
        self.inner = inner

    def begin(self, name: str, done: int, total: int) -> None:
        """Start a stage."""
        with suppress(OSError):
            self.inner.begin(name, done, total)

    def update(self, done: int, record: Mapping[str, Any]) -> None:
        """Show the newest record."""
        with suppress(OSError):
            self.inner.update(done, record)

    def note(self, text: str) -> None:
        """Print one line of text."""
        with suppress(OSError):
            self.inner.note(text)

    def end(self) -> None:
        """Stop showing."""
        with suppress(OSError):
            self.inner.end()


class Notebook(Progress):
    """A bar in the notebook's cell, drawn anew a few times a second; `draw` makes its HTML."""

    def __init__(self, draw: Callable[[str, int, int, str, Sequence[str]], str], every: float = 0.3) -> None:
        ipython: Any = importlib.import_module("IPython.display")
        self._draw, self._every, self._html = draw, every, ipython.HTML
        self._cell: Any = ipython.display(ipython.HTML(""), display_id=True)
        self._name, self._done, self._total, self._last = "", 0, 0, 0.0
        self._seen: dict[str, Any] = {}
        self._notes: list[str] = []

    def begin(self, name: str, done: int, total: int) -> None:
        """Start a stage's bar."""
        self._name, self._done, self._total, self._seen = name, done, total, {}
        self._show()

    def update(self, done: int, record: Mapping[str, Any]) -> None:
        """Move the bar when it is time."""
        self._done = done
        self._seen.update(record)
        if done >= self._total or time.monotonic() - self._last >= self._every:
            self._show()

    def note(self, text: str) -> None:
        """Show a line below the bar."""
        self._notes.append(text)
        self._show()

    def _show(self) -> None:
        self._last = time.monotonic()
        if self._cell is not None:
            shown = self._draw(self._name, self._done, self._total, describe(self._seen), self._notes)
            self._cell.update(self._html(shown))


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel, whose cells show HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


def for_terminal() -> Progress:
    """Return a bar when standard error is a terminal that moves (TERM is not "dumb"), else plain lines."""
    return Safe(Bar() if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else Lines())
