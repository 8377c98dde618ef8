"""What a page asks of a training: done at the next step, logged, and kept by a run that is taken up again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import vaekit
from vaekit.training.control import CONTROL, Control, ask, asked_of
from vaekit.training.hooks import StepInfo

SMALL: dict[str, Any] = {"model.hidden": [16], "model.latent": 3}


def trained(folder: Path, at: dict[int, Callable[[], Any]], steps: int = 40, **more: Any) -> Any:
    """Train while functions are called after some steps."""

    def callback(info: StepInfo) -> None:
        if info.step in at:
            at[info.step]()

    options: dict[str, Any] = {"pictures": False, "device": "cpu", "callbacks": [callback]}
    if not more.get("resume"):
        options |= {"steps": steps, "set": SMALL | {"train.log_every": 5}}
        return vaekit.train("vae", "digits", out=folder, **options)
    return vaekit.train(out=folder, **options, **more)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def weights(run: Any) -> torch.Tensor:
    return torch.cat([value.flatten() for value in run.model.state_dict().values()])


def test_a_lower_learning_rate_and_beta_are_in_the_log_and_hold(tmp_path: Path) -> None:
    def both() -> None:
        ask(tmp_path / "a", "learning rate", 0.5)
        ask(tmp_path / "a", "beta", 0.25)

    run = trained(tmp_path / "a", {17: both})
    plain = trained(tmp_path / "b", {})
    said = [line for line in lines(tmp_path / "a") if "control" in line]
    assert [(line["step"], line["control"]) for line in said] == [(17, "learning rate × 0.5"), (17, "beta × 0.25")]
    ours, other = ({line["step"]: line for line in lines(tmp_path / name) if "lr" in line} for name in "ab")
    assert ours[15]["lr"] == other[15]["lr"] and ours[15]["loss"] == other[15]["loss"]
    assert ours[30]["lr"] == pytest.approx(0.5 * other[30]["lr"])
    [beta] = {value for name, value in ours[40].items() if name.startswith("terms.")}
    assert beta == 0.25
    assert ours[30]["loss"] == pytest.approx(ours[30]["reconstruction"] + 0.25 * ours[30]["rate"], rel=1e-4)
    assert (weights(run) - weights(plain)).abs().max() > 0
    assert not (tmp_path / "a" / CONTROL).exists()


def test_resuming_after_a_change_ends_in_the_same_bits(tmp_path: Path) -> None:
    def change(name: str) -> Callable[[], None]:
        return lambda: (ask(tmp_path / name, "learning rate", 0.5), ask(tmp_path / name, "beta", 0.5), None)[-1]

    def interrupt() -> None:
        raise KeyboardInterrupt

    whole = trained(tmp_path / "whole", {17: change("whole")})
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", {17: change("cut"), 18: interrupt})
    cut = trained(tmp_path / "cut", {}, resume=True)
    assert torch.equal(weights(whole), weights(cut))
    ours, other = (
        [{k: v for k, v in line.items() if k not in ("examples_per_second",)} for line in lines(tmp_path / n)]
        for n in ("whole", "cut")
    )
    assert ours == other


def test_factors_asked_again_and_again_stay_within_their_limits(tmp_path: Path) -> None:
    def often() -> None:
        for _ in range(60):  # 100^60 is beyond every float, and 100^5 beyond the limit
            ask(tmp_path / "a", "beta", 100.0)

    trained(tmp_path / "a", {3: often}, steps=6)
    betas = {value for line in lines(tmp_path / "a") for name, value in line.items() if name.startswith("terms.")}
    assert max(betas) == pytest.approx(1e6)
    assert vaekit.train(out=tmp_path / "a", resume=True, steps=8, pictures=False).record["result"]["steps"] == 8


def test_stop_ends_the_run_with_what_it_learned(tmp_path: Path) -> None:
    run = trained(tmp_path / "a", {9: lambda: ask(tmp_path / "a", "stop")})
    assert run.record["status"] == "done" and run.record["result"]["steps"] == 9
    assert lines(tmp_path / "a")[-1]["step"] == 9


def test_a_paused_run_waits_and_loses_nothing(tmp_path: Path) -> None:
    waited = []

    def pause() -> None:
        ask(tmp_path / "a", "pause")
        began = time.monotonic()

        def later() -> None:
            time.sleep(0.6)
            waited.append(time.monotonic() - began)
            ask(tmp_path / "a", "go on")

        threading.Thread(target=later).start()

    run = trained(tmp_path / "a", {9: pause})
    plain = trained(tmp_path / "b", {})
    assert waited and torch.equal(weights(run), weights(plain))
    assert [line["control"] for line in lines(tmp_path / "a") if "control" in line] == ["pause", "go on"]


def test_a_watched_run_makes_checkpoints_soon_at_little_cost() -> None:
    control = Control(None)
    assert control.seconds(30) == 30 and not control.watched
    control._until = time.monotonic() + 10
    control.saving = 0.01
    assert control.seconds(30) == 2
    control.saving = 0.1
    assert control.seconds(30) == pytest.approx(10)
    control.saving = 1.0
    assert control.seconds(30) == 30


def test_what_asks_nothing_known_is_left_out(tmp_path: Path) -> None:
    (tmp_path / CONTROL).write_text(
        '{"what": "explode"}\nnonsense\n{"what": "beta", "factor": -1.0}\n{"what": "pause"}\n'
    )
    assert [one.what for one in asked_of(tmp_path)] == ["pause"]
    assert asked_of(tmp_path) == () and not list(tmp_path.iterdir())


def test_looking_costs_little(tmp_path: Path) -> None:
    """Two percent of the quickest steps, about 0.5 ms, are 10 µs."""
    control, took = Control(tmp_path), []
    for _ in range(20):
        began = time.perf_counter()
        for _ in range(100):
            assert not list(control.asked(lambda: None))
        took.append((time.perf_counter() - began) / 100)
    assert min(took) < 1e-5


def test_what_was_asked_of_an_earlier_process_is_forgotten(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    ask(tmp_path / "a", "stop")
    ask(tmp_path / "a", "watch")
    control = Control(tmp_path / "a")
    assert control.watched and not list(control.asked(lambda: None))
