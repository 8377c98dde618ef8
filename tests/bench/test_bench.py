"""The benchmark's own parts: contenders step on command, do equal work, and the page says what was not measured."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import one of bench's scripts."""
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCH / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_gate_lets_as_many_batches_through_as_were_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = script("contenders", monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO("go 2\ngo 3\nend\n"))
    gate, seen = contenders.Gate(), []
    with pytest.raises(contenders.Ended):
        while True:
            seen.extend(gate(iter("abc")))
    assert seen == list("abcab")  # over the end of an epoch
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer.get("steps") for answer in answers] == [None, 2, 3]


def test_the_first_epoch_ends_with_its_last_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = script("contenders", monkeypatch)
    for cut in (True, False):  # a loop that leaves at the epoch's last batch, as vaekit's, and one that asks for more
        monkeypatch.setattr(sys, "stdin", io.StringIO("first\n"))
        gate, seen = contenders.Gate(), []
        with pytest.raises(contenders.Ended):
            while True:
                for batch in gate(iter("abc")):
                    seen.append(batch)
                    if cut and batch == "c":
                        break
        assert seen == list("abc")
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["first"]


@pytest.mark.parametrize("net", ["mlp", "conv"])
def test_contenders_have_the_same_layers(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    contenders = script("contenders", monkeypatch)
    images = (np.random.default_rng(0).random((256, 1, 28, 28)) > 0.7).astype(np.uint8)
    built, source, settings = contenders.prepared(net, images, "fp32")
    theirs = [p.shape for part in contenders.layers(net) for p in part.parameters()]
    mine = sum(p.numel() for p in built.model.parameters())
    # vaekit's image head has a bias a position, which starts it at the mean image.
    assert 0 <= mine - sum(shape.numel() for shape in theirs) <= 784
    sizes = (contenders.linear_work if net == "mlp" else contenders.conv_work)(torch, torch.float32).sizes
    assert sum(torch.Size(size).numel() for size in sizes) == sum(shape.numel() for shape in theirs)
    assert settings.batch_size == contenders.BATCH and source.data.prepare.mode == "as-is"


def test_the_bare_loop_takes_vaekits_own_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same weights, batch and noise give the same weights after a step, so the comparison is of like with like."""
    contenders = script("contenders", monkeypatch)
    from vaekit.training.loop import Fit

    images = (np.random.default_rng(0).random((256, 1, 28, 28)) > 0.7).astype(np.uint8)
    built, source, settings = contenders.prepared("mlp", images, "fp32")
    other = contenders.prepared("mlp", images, "fp32")[0]
    settings = settings.model_copy(update={"steps": 1, "device": "cpu"})
    x, _ = next(iter(source.train(128, seed=0, epoch=0, skip=0)))
    step = contenders.bare_step(other, "fp32")
    Fit(built.model, built.stages, source, settings).run()
    torch.manual_seed(settings.seed)
    step(x)
    moved = [a - b for a, b in zip(built.model.parameters(), other.model.parameters())]
    # Adam's first step is the gradient's sign: where that is next to 0, rounding decides.
    assert sum(int((m.abs() > 2e-5).sum()) for m in moved) < 1e-4 * sum(m.numel() for m in moved)


def test_the_page_says_what_was_not_measured_and_shows_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = script("page", monkeypatch)
    monkeypatch.setattr(page, "HERE", tmp_path)
    (tmp_path / "results").mkdir()
    text = page.page()
    assert text.count("ot measured") >= 6
    values = {"median": 2.0, "low": 1.9, "high": 2.1}
    row: dict[str, Any] = {"cpu_seconds_an_epoch": 5.0, "images_per_second": 9e3, "peak_mib": 300.0}
    result = {
        "machine": script("machine", monkeypatch).describe(),
        "quick": False,
        "rounds": 16,
        "images": 12_800,
        "what": {"mlp": "784-512"},
        "nets": {
            "mlp": {
                "textbook": row | {"elbo": -100.0, "elbo_stderr": 1.0},
                "vaekit-fp32": row | {"elbo": -99.0, "elbo_stderr": 1.0, "x_textbook": values, "x_limit-fp32": values},
                "limit-fp32": row,
            }
        },
        "first": {"mlp": {"vaekit-fp32": {"wall": 3.0}}},
        "trace": {"fp32": values},
        "overhead": {"fp32": values},
    }
    (tmp_path / "results" / "training.json").write_text(json.dumps(result))
    text = page.page()
    assert "2.00 (1.90 to 2.10)" in text and "0.50 (0.48 to 0.53)" in text
    assert "| not measured |" in text  # pythae


def test_no_result_names_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    facts = json.dumps(script("machine", monkeypatch).describe())
    assert socket.gethostname() not in facts and str(Path.home()) not in facts


@pytest.mark.slow
def test_a_contender_answers_in_a_process_of_its_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x=(rng.random((256, 1, 28, 28)) > 0.7).astype(np.uint8), held=np.zeros((9, 1, 28, 28)))
    for name in ("vaekit-bf16", "textbook", "limit-fp32"):
        done = subprocess.run(
            [sys.executable, str(BENCH / "contenders.py"), name, "mlp", str(tmp_path / "d.npz")],
            input="go 3\nend\n", capture_output=True, text=True, check=True, timeout=120,
        )  # fmt: skip
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        assert answers[1]["steps"] == 3 and answers[1]["cpu"] > 0 and answers[-1]["peak_mib"] > 50


@pytest.mark.slow
def test_beside_a_busy_core_two_threads_lose_no_more_with_the_bounded_spin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program on one core of two may cost half the speed; OpenMP's own waiting costs several times that."""
    import os

    beside_others = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1
    if beside_others or len(os.sched_getaffinity(0)) < 2 or os.getloadavg()[0] > 0.7:
        pytest.skip("wants two cores, a quiet machine and no test beside it: pytest -n0 tests/bench")
    found = script("spin", monkeypatch).measured(rounds=7, steps=40)
    assert found["vaekit"]["slow_down"] < 2.3
    assert found["vaekit"]["beside_ms"] < 1.1 * found["library"]["beside_ms"]
