"""Sound in the explorer: a player, WAV files to save, and a WAV file of one's own."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

import vaekit
from explorer.conftest import CPU, asking
from explorer.test_page import code, saved, wait_for
from explorer.test_server import RAW, refused
from vaekit.data.audio.modality import resynthesised
from vaekit.data.audio.wav import parse_wav, wav_bytes, write_wav
from vaekit.explorer.server import Explorer
from vaekit.explorer.session import Session

RATE = 8000


def tone(hertz: float, seconds: float = 0.3, rate: int = RATE) -> np.ndarray:
    """A sine that fades in."""
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.minimum(1, 20 * t) * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty tones."""
    path = tmp_path_factory.mktemp("tones")
    for i in range(40):
        write_wav(path / f"{i}.wav", tone(300 + 60 * i), RATE)
    return path


@pytest.fixture(scope="module")
def run(folder: Path) -> Any:
    small = {"data.mels": 16, "data.frames": 24, "data.seconds": 0.3, "model.latent": 2, "model.hidden": [16]}
    return vaekit.train("vae", folder, steps=30, set=small, **CPU)


@pytest.fixture(scope="module")
def tones(run: Any) -> Iterator[Explorer]:
    explorer = Explorer(Session(run)).start()
    yield explorer
    explorer.stop()


@pytest.fixture
def client(tones: Explorer) -> Iterator[httpx.Client]:
    with asking(tones) as made:
        yield made


def test_a_code_and_an_example_are_heard_as_the_run_writes_them(client: httpx.Client, run: Any) -> None:
    facts = client.get("/api/facts").json()
    seconds = facts["sound"]["seconds"]
    assert facts["sound"]["rate"] == RATE and 0.25 < seconds < 0.32
    answer = client.post("/api/sound", json={"z": [0.5, -0.5]})
    assert answer.headers["content-type"] == "audio/wav"
    found = parse_wav(answer.content, "answer")
    expected = resynthesised(run.decode(torch.tensor([[0.5, -0.5]])), run.info)[0].numpy()
    assert found.rate == RATE and len(found.samples) == round(seconds * RATE)
    assert np.abs(found.samples - expected).max() < 1e-3
    example = parse_wav(client.get("/api/heard?i=2").content, "answer").samples
    own = resynthesised(run.prepare.values(run.test.inputs[2:3]), run.info)[0].numpy()
    assert np.abs(example - own).max() < 1e-3 and np.abs(example).max() > 0.5
    refused(client.get("/api/heard?i=999"), 400)
    refused(client.post("/api/sound", json={"z": [0.5]}), 400)


def test_sound_is_asked_of_sound_only(served: Explorer) -> None:
    with asking(served) as client:
        assert client.get("/api/facts").json()["sound"] is None
        assert "no sound" in refused(client.get("/api/heard?i=0"), 400)
        assert "no sound" in refused(client.post("/api/sound", json={"z": [0.0] * 6}), 400)
        assert "no sound" in refused(
            client.post("/api/infer/file", content=wav_bytes(tone(500), RATE), headers=RAW), 400
        )


def test_a_wav_file_is_read_as_the_run_s_own(client: httpx.Client, run: Any, folder: Path) -> None:
    session = Session(run)
    expected = run.prepared(folder / "7.wav").inputs
    data = (folder / "7.wav").read_bytes()
    answer = client.post("/api/infer/file", content=data, headers=RAW).json()
    z = session.infer(expected, None)["z"]
    assert np.allclose(answer["z"], z, atol=0.05), "but for the seed of the faint noise"
    assert answer["told"] == "0.30 s at 8,000 Hz, cut after 0.29 s" and answer["elbo"] is not None
    double = wav_bytes(tone(300 + 60 * 7, 0.9, 2 * RATE), 2 * RATE)
    long = client.post("/api/infer/file", content=double, headers=RAW).json()
    assert "resampled to 8,000 Hz" in long["told"] and "cut after" in long["told"]


def header(rate: int) -> bytes:
    """A second of noise whose header says another rate."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(rate)
        file.writeframes(np.random.default_rng(0).integers(0, 256, RATE).astype(np.uint8).tobytes())
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (wav_bytes(tone(500), RATE)[:200], "cut off"),
        (wav_bytes(tone(500), RATE)[:30], "not a WAV file"),
        (b"RIFF" + b"\0" * 50, "not a WAV file"),
        (wav_bytes(np.zeros(100), RATE), "silent"),
        (wav_bytes(np.zeros(0), RATE), "no sound"),
        (header(1), "8,000 s of sound; give at most 60 s"),
        (header(10**9), "samples a second"),
    ],
)
def test_a_bad_wav_file_is_refused_in_a_sentence(client: httpx.Client, data: bytes, word: str) -> None:
    assert word in refused(client.post("/api/infer/file", content=data, headers=RAW), 400)


def playing(page: Any, name: str) -> float:
    """Wait until the player plays what has this name, and return how long it is, in seconds."""
    wait_for(page, "n => document.getElementById('sound-name').textContent === n", name)
    wait_for(page, "document.getElementById('sound').duration > 0")
    assert page.is_visible("#sound") and page.get_attribute("#sound", "aria-label") == f"Sound: {name}"
    return page.evaluate("document.getElementById('sound').duration")


def test_hearing_saving_and_opening_sound(open_page: Any, tones: Explorer, run: Any, folder: Path) -> None:
    page = open_page(tones).page
    assert page.is_hidden("#sound")
    page.click("#hear")
    seconds = Session(run).facts["sound"]["seconds"]
    assert playing(page, "decoded") == pytest.approx(seconds, abs=1e-3)
    page.locator("#sliders input").first.focus()
    page.keyboard.press("PageUp")
    wait_for(page, "document.getElementById('sound').hidden")  # it is of another code
    page.keyboard.press("h")
    playing(page, "decoded")
    z = code(page)
    expected = resynthesised(run.decode(torch.tensor([z])), run.info)[0].numpy()
    assert np.abs(parse_wav(saved(page, "#save-wav"), "saved").samples - expected).max() < 0.02
    page.click("#tab-between")
    page.wait_for_selector("#panel-between .strip button")
    page.click("[aria-label='Hear example B']")
    playing(page, "example 1")
    page.click("#tab-own")
    page.set_input_files("#file", folder / "7.wav")
    wait_for(page, "document.querySelector('#own-results').innerText.includes('7.wav (0.30 s at 8,000 Hz, cut')")
    page.click("text=Hear the example")
    assert playing(page, "7.wav") == pytest.approx(0.3, abs=1e-3)
    page.click("text=Hear the reconstruction")
    playing(page, "reconstruction")
    page.click("text=Look at it")
    wait_for(page, "document.querySelector('#own-results').innerText.includes('test example 0')")
    page.click("text=Hear the example")
    playing(page, "example 0")
