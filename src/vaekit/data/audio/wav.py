"""WAV files: PCM of 8, 16, 24 or 32 bits in, 16 bits out."""

from __future__ import annotations

import io
import struct
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from vaekit.atomic import replacing
from vaekit.data.files import unreadable
from vaekit.data.limits import check_count, check_size
from vaekit.errors import UserError

MOST_RATE = 384_000
"""Samples a second of the fastest converters in use."""


@dataclass(frozen=True)
class Sound:
    """One recording: samples (T,) float32 in [-1, 1], at `rate` a second; `channels` it had before they were mixed."""

    samples: np.ndarray
    rate: int
    channels: int = 1


def read_wav(path: Path) -> Sound:
    """Read a recording; several channels are averaged into one.

    Raises:
        UserError: names the file that is empty, damaged, cut off, silent or not plain PCM.
    """
    try:
        size = path.stat().st_size
        if not size:
            raise UserError(f"{path} is empty; record it again or leave it out")
        check_size(4 * size, path)
        with path.open("rb") as file:
            return _parsed(file, path)
    except OSError as error:
        raise UserError(unreadable(path, error)) from None


def parse_wav(data: bytes, source: str) -> Sound:
    """Return the recording that the bytes of a WAV file hold, as `read_wav` does; `source` names it in errors."""
    return _parsed(io.BytesIO(data), source)


def _parsed(stream: BinaryIO, path: object) -> Sound:
    try:
        with wave.open(stream, "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            data = file.readframes(count)
    except (wave.Error, EOFError, ValueError, RuntimeError, OverflowError, struct.error) as error:
        said = str(error) or "it is cut off"
        raise UserError(f"{path} is not a WAV file that can be read ({said}); save it as 16-bit PCM") from None
    check_count(rate, MOST_RATE, "samples a second", path)
    if len(data) != count * channels * width:
        raise UserError(
            f"{path} is cut off: its header promises {count} samples and {len(data) // max(channels * width, 1)} are "
            "there; copy it again"
        )
    if not count or rate < 1:
        raise UserError(f"{path} holds no sound; record it again or leave it out")
    samples = _numbers(data, width, path).reshape(-1, channels).mean(1, dtype=np.float32)
    if not samples.any():
        raise UserError(f"{path} is silent throughout; record it again or leave it out")
    return Sound(samples, rate, channels)


def _numbers(data: bytes, width: int, path: object) -> np.ndarray:
    """Return samples in [-1, 1] of PCM: unsigned at 8 bits, else signed and little-endian."""
    if width == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    if width <= 4:
        words = np.zeros((len(data) // width, 4), np.uint8)
        words[:, 4 - width :] = np.frombuffer(data, np.uint8).reshape(-1, width)
        return (words.view("<i4")[:, 0] / 2**31).astype(np.float32)
    raise UserError(f"{path} has {8 * width} bits a sample; save it as 16-bit PCM")


def write_wav(path: Path, samples: np.ndarray, rate: int) -> None:
    """Write samples (T,), clipped to [-1, 1], as 16-bit mono, whole or not at all.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "tone.wav"
    >>> write_wav(path, np.sin(np.arange(800) / 4), 8000)
    >>> len(read_wav(path).samples)
    800
    """
    with replacing(path) as part:
        part.write_bytes(wav_bytes(samples, rate))


def wav_bytes(samples: np.ndarray, rate: int) -> bytes:
    """Return samples (T,), clipped to [-1, 1], as the bytes of a 16-bit mono WAV file."""
    whole = np.rint(np.clip(samples, -1, 1) * (2**15 - 1)).astype("<i2")
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(whole.tobytes())
    return out.getvalue()


def resampled(sound: Sound, rate: int) -> Sound:
    """Return the recording at another rate, band-limited (scipy's polyphase filter)."""
    if sound.rate == rate:
        return sound
    from scipy.signal import resample_poly

    check_size(8 * len(sound.samples) * rate // sound.rate, "a recording", packed=8 * len(sound.samples))
    made = resample_poly(sound.samples.astype(np.float64), rate, sound.rate)
    return Sound(made.astype(np.float32), rate, sound.channels)
