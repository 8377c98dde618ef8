"""Sound: files that can and cannot be read, spectrograms against a plain reckoning, and the way back."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data import load
from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.modality import Audio, log_powers, resynthesised
from vaekit.data.audio.wav import Sound, read_wav, resampled, write_wav
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError
from vaekit.runs.loading import restored
from vaekit.runs.train import train
from vaekit.training.checkpoint import model_tensors

RATE = 8000
SMALL = {"mels": 16, "frames": 16, "seconds": 0.2}


def tone(hertz: float, seconds: float = 0.2, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray, width: int = 2, channels: int = 1, rate: int = RATE) -> Path:
    """Write PCM of any width by hand."""
    whole = np.rint(np.clip(samples, -1, 1 - 2.0 ** (1 - 8 * width)) * 2 ** (8 * width - 1)).astype(np.int64)
    data = (whole + 128).astype(np.uint8).tobytes() if width == 1 else b""
    if width > 1:
        data = b"".join(int(v).to_bytes(width, "little", signed=True) for v in whole)
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    """Forty files named as the Free Spoken Digit Dataset's: a digit's tone, a speaker's loudness."""
    for i in range(40):
        digit, speaker = i % 4, ("ann", "bob")[i // 20]
        sound = tone(300 * (digit + 1), 0.1 + 0.005 * i) * (0.2 if speaker == "ann" else 0.9)
        write(tmp_path / "spoken" / f"{digit}_{speaker}_{i}.wav", sound)
    return tmp_path / "spoken"


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_every_width_gives_the_same_sound(width: int, tmp_path: Path) -> None:
    sound = read_wav(write(tmp_path / "a.wav", tone(440), width))
    assert sound.rate == RATE and np.abs(sound.samples - tone(440)).max() < 2.0 ** (1 - 8 * width) + 1e-6


def test_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(440), -0.5 * tone(440)], 1).ravel()
    sound = read_wav(write(tmp_path / "a.wav", both, channels=2))
    assert sound.channels == 2 and np.allclose(sound.samples, 0.25 * tone(440), atol=1e-3)


def test_what_is_written_is_read_and_clipped(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", 3 * tone(440), RATE)
    assert np.allclose(read_wav(tmp_path / "a.wav").samples, np.clip(3 * tone(440), -1, 1), atol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_resampling_keeps_a_tone() -> None:
    high = Sound(tone(440, 0.5, 22050).astype(np.float32), 22050)
    low = resampled(high, RATE)
    middle = slice(400, -400)
    assert len(low.samples) == 4000 and np.allclose(low.samples[middle], tone(440, 0.5)[middle], atol=2e-3)
    assert resampled(low, RATE) is low


def test_log_mel_is_the_logarithm_of_banded_powers() -> None:
    scale = MelScale.of(RATE, **SMALL)
    x = torch.randn(2, scale.length, generator=torch.Generator().manual_seed(0))
    found = scale.log_mel(x)
    padded = np.pad(x[1].double().numpy(), scale.bins // 2, mode="reflect")
    window = np.zeros(scale.bins)
    first = (scale.bins - scale.window) // 2
    window[first : first + scale.window] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(scale.window) / scale.window)
    for t in (0, 7, 15):
        frame = padded[t * scale.hop : t * scale.hop + scale.bins] * window
        power = np.abs(np.fft.rfft(frame)) ** 2
        assert np.allclose(found[1, :, t].numpy(), np.log(scale.filters @ power + 1e-10), atol=1e-3)
    # Between the tops of the first and the last band, neighbouring triangles share each frequency out in full.
    tops = scale.filters.argmax(1)
    assert np.allclose(scale.filters.sum(0)[tops[0] + 3 : tops[-1] - 3], 1, atol=0.35)


def test_a_tone_lies_in_the_band_of_its_frequency() -> None:
    scale = MelScale.of(RATE, mels=32, frames=32, seconds=0.4)
    for hertz in (300, 1000, 2500):
        x = torch.from_numpy(scale.fitted(tone(hertz, 0.4), 0))[None]
        band = int(scale.log_mel(x)[0].mean(1).argmax())
        top = scale.filters[band].argmax() * RATE / scale.bins
        assert abs(top - hertz) < 0.12 * hertz + 20


def test_powers_are_not_negative_and_nearly_undo_the_bands() -> None:
    scale = MelScale.of(RATE, mels=32, frames=32, seconds=0.4)
    x = scale.log_mel(torch.randn(1, scale.length, generator=torch.Generator().manual_seed(1)))
    p = scale.powers(x)
    assert float(p.min()) >= 0
    back = (torch.from_numpy(scale.filters) @ p + 1e-10).log()
    assert float((back - x).abs().mean()) < 0.05


def test_sound_made_again_has_nearly_the_same_spectrogram() -> None:
    scale = MelScale.of(RATE, mels=32, frames=32, seconds=0.4)
    sweep = np.sin(2 * np.pi * (200 + 1500 * np.arange(3000) / 3000) * np.arange(3000) / RATE)
    x = scale.log_mel(torch.from_numpy(scale.fitted(sweep, 0))[None])
    sound = scale.waveform(x)
    assert sound.shape == (1, scale.length) and float(sound.abs().max()) == pytest.approx(0.9)
    again = scale.log_mel(sound / 0.9)
    loud = x > x.max() - 7
    assert float((again - x)[loud].std()) < 0.8  # but for the loudness, which is set by the peak
    assert torch.equal(sound, scale.waveform(x)) and not torch.equal(sound, scale.waveform(x, seed=1))


def test_recordings_are_cut_or_filled_with_faint_noise() -> None:
    scale = MelScale.of(RATE, **SMALL)
    long, short = scale.fitted(tone(440, 9), 0), scale.fitted(0.01 * tone(440, 0.05), 1)
    assert len(long) == len(short) == scale.length and np.abs(short).max() == pytest.approx(1, abs=0.02)
    tail = short[500:]
    assert tail.std() == pytest.approx(1e-3, rel=0.1) and not np.array_equal(tail, long[500:])


@pytest.mark.parametrize(
    ("label", "classes"),
    [("auto", ("0", "1", "2", "3")), ("speaker", ("ann", "bob")), ("none", ())],
)
def test_labels_are_in_the_names(label: Any, classes: tuple[str, ...], spoken: Path) -> None:
    data = load(spoken, DataSettings(label=label, **SMALL))
    assert data.info.classes == classes and data.info.shape == (1, 16, 16) and data.info.modality == "audio"
    assert data.info.n_train + data.info.n_valid + data.info.n_test == 40 and data.info.kind == "real"
    assert (data.train.y is None) == (label == "none")
    seen = data.prepare(data.train.x)
    assert abs(float(seen.mean())) < 1e-4 and float(seen.std()) == pytest.approx(1, abs=1e-3)
    assert data.info.standardised and data.info.deviation == pytest.approx([float(data.train.x.std())], rel=1e-3)
    counts = data.info.facts["counts"]
    assert counts["cut"] + counts["filled up"] == 40 and counts["resampled"] == 0


def test_subfolders_are_labels_and_other_names_need_none(tmp_path: Path) -> None:
    for i in range(20):
        write(tmp_path / ("low", "high")[i % 2] / f"take{i}.WAV", tone(300 + 900 * (i % 2) + i))
    assert load(tmp_path, DataSettings(**SMALL)).info.classes == ("high", "low")
    with pytest.raises(UserError, match=r"data.label=digit wants names like"):
        load(tmp_path, DataSettings(label="digit", **SMALL))
    write(tmp_path / "loose.wav", tone(500))
    with pytest.raises(UserError, match=r"loose.wav is not in a subfolder"):
        load(tmp_path, DataSettings(label="folder", **SMALL))


def broken(folder: Path, name: str) -> None:
    file = folder / f"0_ann_{99}.wav"
    write(file, tone(440))
    whole = file.read_bytes()
    if name == "empty":
        file.write_bytes(b"")
    elif name == "cut off":
        file.write_bytes(whole[:-500])
    elif name == "damaged":
        file.write_bytes(b"RIFX" + whole[4:])
    elif name == "silent":
        write(file, np.zeros(100))
    elif name == "no samples":
        write(file, np.zeros(0))
    elif name == "float":
        file.write_bytes(whole[:20] + (3).to_bytes(2, "little") + whole[22:])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("empty", "is empty"),
        ("cut off", "is cut off"),
        ("damaged", "not a WAV file that can be read"),
        ("silent", "is silent throughout"),
        ("no samples", "holds no sound"),
        ("float", "save it as 16-bit PCM"),
    ],
)
def test_files_that_cannot_be_read_are_named(name: str, words: str, spoken: Path) -> None:
    broken(spoken, name)
    with pytest.raises(UserError, match=f"0_ann_99.wav.*{words}"):
        load(spoken, DataSettings(**SMALL))


def test_another_rate_is_named_or_resampled(spoken: Path) -> None:
    write(spoken / "1_ann_99.wav", tone(600, 0.2, 16000), rate=16000)
    with pytest.raises(UserError, match=r"1_ann_99.wav has 16000 samples a second and most others 8000"):
        load(spoken, DataSettings(**SMALL))
    data = load(spoken, DataSettings(rate=8000, **SMALL))
    assert data.info.facts["mel"]["rate"] == 8000 and data.info.facts["counts"]["resampled"] == 1


def test_impossible_spectrograms_are_refused(spoken: Path) -> None:
    for given, words in (({"frames": 8, "seconds": 2.0}, "ms apart"), ({"mels": 400}, "too narrow")):
        with pytest.raises(UserError, match=words):
            load(spoken, DataSettings(**{**SMALL, **given}))


def test_a_run_on_sound_writes_wav_and_takes_other_recordings(spoken: Path, tmp_path: Path) -> None:
    given = {"model.latent": 2, "model.hidden": 16, **{f"data.{name}": value for name, value in SMALL.items()}}
    run = train("cvae", spoken, steps=5, set=given, pictures=False)
    assert run.settings.model.likelihood == "gaussian" and run.record["result"]["elbo"] is not None
    x = run.sample(2, "3")
    Audio().write(tmp_path / "three.wav", x, run.info)
    length = MelScale.from_dict(run.info.facts["mel"]).length
    assert len(read_wav(tmp_path / "three.wav").samples) == 2 * length + round(0.15 * RATE)
    Audio().write(tmp_path / "take{}.wav", x, run.info)
    assert sorted(path.name for path in tmp_path.glob("take*")) == ["take0.wav", "take1.wav"]
    assert run.modality is not None and run.modality.lines(x, run.info)[0].endswith("s of sound at 8000 Hz")
    one = tmp_path / "other"
    write(one / "3_cid_0.wav", tone(1200))
    split = run.prepared(one)
    mine, theirs = run.prepare.values(split.x), load(one, DataSettings(valid=0, test=0, **SMALL))
    assert split.y is not None and split.y.tolist() == [3]
    assert torch.allclose(mine, theirs.train.x, atol=1e-4)
    assert resynthesised(mine, run.info).shape == (1, length)
    write(one / "7_cid_0.wav", tone(1200))
    with pytest.raises(UserError, match="has the label '7'; this run's model knows 0, 1, 2, 3"):
        run.prepared(one)
    write(tmp_path / "fast" / "3_cid_0.wav", tone(1200, 0.2, 16000), rate=16000)
    with pytest.raises(UserError, match="at 16000 Hz, and this run was trained on sound at 8000 Hz"):
        run.prepared(tmp_path / "fast")


def test_a_run_of_an_earlier_version_reads_its_recordings_in_its_units(spoken: Path, tmp_path: Path) -> None:
    """Then (log power − mean) / sd was made in reading, with both among the facts."""
    given = {"model.latent": 2, "model.hidden": 16, **{f"data.{name}": value for name, value in SMALL.items()}}
    run = train("vae", spoken, steps=2, set=given | {"data.standardise": False}, pictures=False)
    record = json.loads(json.dumps(run.record))
    for name in ("mean", "deviation", "standardised"):
        del record["data"]["info"][name]
    record["data"]["info"]["facts"] |= {"mean": -3.0, "sd": 2.0}
    old = restored(record, model_tensors(run.model))
    assert torch.allclose(old.test.x, (run.test.x + 3) / 2, atol=1e-5)
    assert torch.allclose(old.prepared(spoken).x[:5], (run.prepared(spoken).x[:5] + 3) / 2, atol=1e-5)
    assert torch.allclose(log_powers(old.test.x, old.info), log_powers(run.test.x, run.info), atol=1e-4)
