"""Evaluation of a run as a whole: factors and named features reach the numbers, the file, the table and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from vaekit.commands.evaluate import Ticker
from vaekit.commands.main import run as command
from vaekit.metrics.base import evaluate
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def own_cache(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))


@pytest.fixture(scope="module")
def sprites(home: Path) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        settings = {"data.limit": 240, "data.valid": 20, "data.test": 120, "model.latent": 3, "model.hidden": [16]}
        settings["model.net"] = "mlp"
        return train("vae", "sprites", out=home / "sprites", steps=10, set=settings, pictures=False)


def asked(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        command(["evaluate", *words])
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_factors_travel_from_the_set_to_the_numbers(sprites: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert sprites.path is not None
    subject = load(sprites.path).subject(limit=50)
    assert subject.factors is not None and subject.factors.shape == (50, 5)
    torch.testing.assert_close(subject.factors[:, 0], subject.y)
    code, out, _ = asked(capsys, str(sprites.path), "--metrics", "mig,sap,elbo", "--json")
    found = json.loads(out.splitlines()[-1])
    assert code == 0 and set(found) == {"mig", "sap", "sap_categorical", "elbo", "log_px", "kl"}
    assert set(found["mig"]["by_factor"]) == {"shape", "scale", "orientation", "x", "y"}
    for entry in found.values():
        assert {"value", "unit", "n"} <= set(entry) and ("stderr" in entry or "interval" in entry)
    kept = json.loads((sprites.path / "evaluation.json").read_text())
    assert kept["mig"]["value"] == found["mig"]["value"] and kept["mig"]["split"] == "test"


def test_the_name_of_the_features_is_in_table_and_report(
    sprites: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vaekit.metrics.features.STEPS", (5, 5))
    assert sprites.path is not None
    code, out, _ = asked(capsys, str(sprites.path), "--metrics", "fid,precision_recall", "--limit", "60")
    assert code == 0
    for name in ("fid", "fid_extrapolated", "precision", "recall"):
        assert re.search(rf" {name}: .*\[1\]$", out, re.MULTILINE), out
    assert [line for line in out.splitlines() if line.startswith("[1] features: classifier-sprites-")]
    assert (sprites.path / "report.html").read_text().count("classifier-sprites-") >= 3


def test_missing_weights_end_with_one_sentence(sprites: Run, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = asked(capsys, str(sprites.path), "--metrics", "fid", "--inception", "nowhere.safetensors")
    assert code == 2 and "nowhere.safetensors" in err and out == ""


def test_the_same_seed_gives_the_same_numbers_whatever_is_asked_beside(sprites: Run) -> None:
    subject = sprites.subject(limit=60, k=20)
    alone = evaluate(sprites.subject(limit=60, k=20), ["iw_bound"])["iw_bound"].value
    beside = evaluate(subject, ["elbo", "holes", "iw_bound", "mig"])["iw_bound"].value
    assert alone == beside


def test_time_left_is_the_pace_so_far() -> None:
    lines: list[str] = []
    times = iter([0.0, 10.0, 10.05, 60.0, 61.0, 100.0])
    ticker = Ticker(clock=times.__next__, shown=lines.append)
    for name, done, total in (("ais", 0, 100), ("ais", 10, 100), ("ais", 11, 100), ("ais", 20, 100), ("fid", 5, 10)):
        ticker(name, done, total)
    ticker("fid", 10, 10)
    shown = [line.replace("\r\x1b[2K", "") for line in lines]
    assert shown == ["ais 0/100", "ais 10/100, 90 s left", "ais 20/100, 4 min left", "fid 5/10", "fid 10/10\n"]
