"""A training watched while it runs: the page opens at once, what it shows moves on, and its buttons are obeyed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import vaekit
from explorer.conftest import asking
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session
from vaekit.runs.watched import Watched, in_training

WORDS = ["--set", "model.hidden=[16]", "--set", "model.latent=3", "--set", "train.log_every=100", "--device", "cpu"]


def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Ask until something is so, and return it."""
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A training that would take an hour, in a process of its own."""
    folder = tmp_path / "run"
    words = [sys.executable, "-m", "vaekit", "train", "vae", "--steps", "3000000", "--out", str(folder), *WORDS]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: process.poll() is not None or in_training(folder))
        assert process.poll() is None, process.communicate()[1]
        yield folder, process
    finally:
        process.kill()
        process.communicate()


def controls(folder: Path) -> list[str]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines() if line.endswith("}")]
    return [line["control"] for line in lines if "control" in line]


def test_a_training_is_watched_paused_changed_and_stopped(training: Any, open_page: Any) -> None:
    folder, process = training
    watched = Watched(folder)
    explorer = Explorer(Session(watched.first, 500), live=watched).start()
    page = open_page(explorer).page  # before there is any checkpoint
    try:
        assert page.get_attribute("#tab-live", "aria-selected") == "true"
        pixels = "() => Array.from(document.getElementById('decoded').getContext('2d').getImageData(0, 0, 8, 8).data)"
        first = page.evaluate(pixels)

        def shown(name: str, least: int) -> Callable[[], bool]:
            return lambda: int(page.get_attribute(*name.split("|")) or 0) >= least

        until(shown(".samples|data-version", 2))
        until(shown("#live-map|data-version", 2))
        until(shown("#live-curves|data-steps", 200))
        assert page.evaluate(pixels) != first  # the same code, decoded by other weights
        assert re.match(r"Training: step [\d,]+, epoch [\d.]+, held-out ELBO −\d", page.inner_text("#live-status"))

        page.click("#panel-live >> text=Pause")
        until(lambda: page.get_attribute("#live-status", "data-state") == "paused")
        size = (folder / "log.jsonl").stat().st_size
        time.sleep(0.5)
        assert (folder / "log.jsonl").stat().st_size == size and process.poll() is None
        page.click("#panel-live >> text=β × ½")
        page.click("#panel-live >> text=Learning rate × ½")
        until(lambda: len(controls(folder)) == 3)
        page.click("#panel-live >> text=Go on")
        until(lambda: page.get_attribute("#live-status", "data-state") == "running")
        until(lambda: (folder / "log.jsonl").stat().st_size > size + 1000)
        assert controls(folder) == ["pause", "beta × 0.5", "learning rate × 0.5", "go on"]
        page.click("#tab-map")
        page.wait_for_selector("#map[data-ready]")
        page.click("#tab-live")

        page.click("#panel-live >> text=Stop")
        process.wait(60)
        until(lambda: page.get_attribute("#live-status", "data-state") == "done")
        assert page.is_disabled("#panel-live >> text=Pause")
        run = vaekit.load(folder, "cpu")
        assert 0 < run.record["result"]["steps"] < 3_000_000
        until(lambda: explorer is not None and watched._over)
        z = torch.zeros(1, 3)
        with asking(explorer) as client:
            until(lambda: client.post("/api/decode", json={"z": z.tolist()}).content == bytes(Session(run).decode(z)))
            assert client.post("/api/ask", json={"what": "pause"}).status_code == 400
            assert client.post("/api/ask", json={"what": "dance"}).status_code == 400
    finally:
        page.context.close()  # it asks on and on
        explorer.stop()


def test_a_killed_training_is_said_to_be_none(training: Any) -> None:
    folder, process = training
    watched = Watched(folder)
    until(lambda: watched.state(0)["count"] > 1)
    assert watched.state(0)["status"] == "running"
    process.kill()
    process.wait()
    assert watched.state(0)["status"] == "ended"


def test_a_run_that_has_ended_has_no_training(tmp_path: Path, served: Explorer) -> None:
    vaekit.train("vae", "digits", steps=2, out=tmp_path / "run", pictures=False, device="cpu")
    assert in_training(tmp_path / "run") is None
    with pytest.raises(vaekit.UserError, match="no training"):
        Watched(tmp_path / "run")
    with asking(served) as client:
        assert client.get("/api/facts").json()["live"] is False
        assert client.get("/api/training?i=0").status_code == 400


def test_train_watch_opens_the_page_beside_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = [
        sys.executable,
        "-m",
        "vaekit",
        "train",
        "vae",
        "--steps",
        "3000000",
        "--watch",
        "--out",
        str(folder),
        *WORDS,
    ]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        told: Any = process.stderr
        line = until(lambda: next((one for one in iter(told.readline, "") if "token=" in one), None))
        import httpx

        url = re.findall(r"http://127.0.0.1:\d+/", line)[0]
        headers = {"authorization": "Bearer " + re.findall(r"token=(\S+)", line)[0]}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as client:
            assert client.get("/api/facts").json()["live"] is True
            until(lambda: client.get("/api/training?i=0").json()["version"] >= 1)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert not (tmp_path / "run" / ".lock").exists()
