"""The progress line: bar, count and time stay whole in every terminal, and numbers have lines of their own."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from vaekit.training.progress import Bar, Lines, Safe, fitted, for_terminal

RECORD: dict[str, Any] = {
    "loss": 104.2, "elbo": -104.2, "kl": 20.1, "valid.elbo": -99.1, "valid.loss": 99.1, "lr": 0.001,
    "examples_per_second": 12345.0, "skipped": 3.0,
}  # fmt: skip


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_bar_count_and_time_stay_whole(width: int) -> None:
    out = io.StringIO()
    bar = Bar(Console(file=out, width=width, force_terminal=True, color_system=None))
    bar.begin("train", 0, 18000)
    bar.update(17760, RECORD)
    bar._bar.refresh()
    last = re.split(r"\x1b\[2K", out.getvalue())[-1]
    bar.end()
    first, numbers, held_out = [re.sub(r"\x1b\[\??\d*[A-Za-z]|\r", "", line) for line in last.split("\n")[:3]]
    assert "17760/18000" in first and re.search(r"[━╸]{6}", first) and re.search(r"-:--:--|\d:\d\d:\d\d", first)
    assert "…" not in first and len(first) <= width
    assert numbers.strip().startswith("elbo -104.2") and "held-out" not in numbers
    assert held_out.strip() == "held-out elbo -99.1"


def test_a_loss_that_is_minus_the_elbo_is_said_once() -> None:
    assert "loss" not in fitted(RECORD, 200)[0]
    assert fitted(RECORD | {"loss": 110.0}, 200)[0].startswith("loss 110.0 · elbo -104.2")
    assert all(len(line) <= 30 for line in fitted(RECORD, 30))


def shown(monkeypatch: pytest.MonkeyPatch, term: str) -> object:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    safe = for_terminal()
    assert isinstance(safe, Safe)
    return type(safe.inner)


def test_a_terminal_that_does_not_move_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, "xterm-256color") is Bar
    assert shown(monkeypatch, "dumb") is Lines


def test_the_last_line_of_a_stage_is_said_once_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(every=0.0)
    for stage in ("codes", "prior"):
        lines.begin(stage, 0, 2000)
        lines.update(1000, {"loss": 9.0})
        lines.update(2000, {"loss": 8.0})
        lines.update(2000, {"valid.loss": 7.5})  # the held-out check of the last step comes after its record
    lines.note("warning: a remark")
    lines.end()
    said = capsys.readouterr().err.splitlines()
    assert [line.split(" · ")[0] for line in said] == [
        "codes 1,000/2,000", "codes 2,000/2,000", "prior 1,000/2,000", "prior 2,000/2,000", "warning: a remark",
    ]  # fmt: skip
    assert said[1].startswith("codes 2,000/2,000 · loss 8.0 · held-out loss 7.5 · ") and said[1].endswith("s in all")
    assert said[0].endswith("s left") and "\x1b" not in "".join(said)
