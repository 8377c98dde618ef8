"""Figures by another process: the same pictures, and drawn all the same when it fails, dies or cannot be had."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from vaekit.figures.drawing import Drawer, Drawing, drawer, receive, send

from vaekit.errors import UserError
from vaekit.figures import drawing

RNG = np.random.default_rng(0)
CURVES = Drawing("curves", [{"step": i, "elbo": -100.0 / i, "stage": None, "note": "x"} for i in (1, 2, 3)])
SAMPLES = Drawing("samples", RNG.uniform(size=(9, 1, 8, 8)).astype(np.float32))
MAP = Drawing("latent_map", RNG.normal(size=(50, 2)), RNG.integers(0, 3, 50), ("a", "b", "c"), "PCA", (0.5, 0.25))
LAYERS = Drawing("kl_layers", {"": {"z2": 1.0, "z1": np.float64(2.0)}}, None, {"": {"z2": ([1, 2], [0.5, 1.0])}})
WRONG = Drawing("samples", np.zeros((0, 1, 8, 8)))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.mark.parametrize("order", [CURVES, SAMPLES, MAP, LAYERS])
def test_an_order_arrives_as_it_was_sent(order: Drawing) -> None:
    stream = io.BytesIO()
    send(stream, order, Path("/a/b.png"))
    send(stream, SAMPLES, Path("/second.png"))
    stream.seek(0)
    first, second = receive(stream), receive(stream)
    assert first is not None and second is not None and receive(stream) is None
    assert first[0].name == order.name and same(list(order.arguments), list(first[0].arguments))
    assert first[1] == Path("/a/b.png") and same(list(SAMPLES.arguments), list(second[0].arguments))


def test_what_cannot_be_sent_leaves_nothing_half_written() -> None:
    stream = io.BytesIO()
    for bad in (np.array([object()]), {1, 2}):
        with pytest.raises(TypeError):
            send(stream, Drawing("samples", bad), Path("/a.png"))
    assert stream.getvalue() == b""


def test_it_draws_what_is_drawn_here(tmp_path: Path) -> None:
    made = Drawer()
    try:
        for i, order in enumerate((CURVES, SAMPLES, MAP, LAYERS)):
            made.save(order, tmp_path / f"{i}.png")
            order.save(tmp_path / f"here-{i}.png")
        made.finish()
        assert made._process.poll() is None and made.drawn_here == 0
    finally:
        made.end()
    for i in range(4):
        assert (tmp_path / f"{i}.png").read_bytes() == (tmp_path / f"here-{i}.png").read_bytes()


def test_what_it_cannot_draw_is_refused_as_it_is_here(tmp_path: Path) -> None:
    made = Drawer()
    try:
        made.save(WRONG, tmp_path / "wrong.png")
        made.save(SAMPLES, tmp_path / "right.png")
        with pytest.raises(UserError, match="empty"):
            made.finish()
    finally:
        made.end()
    assert (tmp_path / "right.png").exists() and not (tmp_path / "wrong.png").exists()


@pytest.mark.parametrize("how", ["killed", "never started", "an argument that cannot go"])
def test_figures_are_drawn_here_when_the_other_process_fails(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if how == "never started":
        monkeypatch.setattr(sys, "executable", "/bin/false")
    made = Drawer()
    try:
        if how == "killed":
            made._process.kill()
        if how == "an argument that cannot go":
            made.save(Drawing("kl_per_dimension", [1.5], {True}), tmp_path / "b.png")
        made.save(SAMPLES, tmp_path / "a.png")
        made.finish()
        assert made.drawn_here >= 1
    finally:
        made.end()
    assert (tmp_path / "a.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_an_interrupt_is_the_runs_own_affair(tmp_path: Path) -> None:
    made = Drawer()
    try:
        made.save(SAMPLES, tmp_path / "a.png")
        while not (tmp_path / "a.png").exists():
            time.sleep(0.01)
        os.kill(made._process.pid, signal.SIGINT)
        made.save(SAMPLES, tmp_path / "b.png")
        made.finish()
        assert made._process.poll() is None and made.drawn_here == 0
    finally:
        made.end()


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "from vaekit.figures.drawing import Drawer; import os, signal; "
        "print(Drawer()._process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    pid, ends = int(found.stdout), time.monotonic() + 30
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    except OSError:
        return False


def test_it_is_had_only_where_something_is_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", sys)
    with drawer() as found:
        assert found is None
    monkeypatch.delitem(sys.modules, "matplotlib.figure")
    with drawer(wanted=False) as found:
        assert found is None
    monkeypatch.setattr(drawing, "_cores", lambda: 1)
    with drawer() as found:
        assert found is None
    monkeypatch.setattr(drawing, "_cores", lambda: 2)
    with drawer() as found:
        assert found is not None
        process = found._process
    assert process.poll() is not None


def test_it_loads_no_torch_and_nothing_from_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise SystemExit(1)")
    monkeypatch.chdir(tmp_path)
    made = Drawer()
    try:
        made.save(SAMPLES, Path("a.png"))
        made.finish()
        assert made.drawn_here == 0 and (tmp_path / "a.png").exists()
        if sys.platform == "linux":
            assert "libtorch" not in Path(f"/proc/{made._process.pid}/maps").read_text()
    finally:
        made.end()
