"""The progress line: bar, count and time stay whole in every terminal, and numbers have lines of their own."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from rich.console import Console

from vaekit.training.progress import Bar, fitted

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
