"""Log-mel spectrograms of sound, and sound from log-mel spectrograms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vaekit.data.info import Plain
from vaekit.errors import UserError

LEAST = 1e-10
"""Added to every power: what is logged is never zero."""
DITHER = 1e-3
"""Standard deviation of the noise added to a recording of peak 1 (-60 dB)."""
BLOCK = 256
POWER_STEPS, PHASE_STEPS, MOMENTUM = 200, 60, 0.99


@dataclass(frozen=True)
class MelScale(Plain):
    """Spectra of `mels` bands and `frames` frames: log Σ_f M_bf |STFT_f|², natural logarithm of a power.

    Hann windows of `window` samples, `hop` apart, padded with zeros to `bins`; M are triangles of height 1, their feet
    at their neighbours' tops, evenly spaced on the mel scale 2595 log10(1 + f / 700) from `low` Hz to half the `rate`.
    A recording is as long as the frames are, (frames - 1) hop samples.

    >>> scale = MelScale.of(8000, mels=64, frames=64, seconds=0.8)
    >>> scale.window, scale.hop, scale.bins, scale.length
    (256, 100, 512, 6300)
    >>> scale.log_mel(torch.randn(3, scale.length)).shape
    torch.Size([3, 64, 64])
    """

    rate: int
    window: int
    hop: int
    bins: int
    mels: int
    frames: int
    low: float = 50.0

    @staticmethod
    def of(rate: int, *, mels: int, frames: int, seconds: float) -> MelScale:
        """Return a scale for `seconds` of sound: windows of 32 ms, frames as far apart as `frames` of them ask for.

        Raises:
            UserError: frames are too far apart to cover the sound, or bands too narrow to hold a frequency.
        """
        window = max(16, round(0.032 * rate))
        hop = round(seconds * rate / frames)
        if not 1 <= hop <= window // 2:
            raise UserError(
                f"data.frames={frames} over data.seconds={seconds:g} are {1000 * seconds / frames:.3g} ms apart; they "
                "must be at most 16 ms apart: raise data.frames or lower data.seconds"
            )
        made = MelScale(rate, window, hop, 2 ** math.ceil(math.log2(2 * window)), mels, frames)
        empty = (made.filters.sum(1) == 0).nonzero()[0]
        if len(empty):
            raise UserError(f"data.mels={mels} bands are too narrow at {rate} Hz (band {empty[0]} is empty); lower it")
        return made

    @property
    def length(self) -> int:
        """Samples of a recording."""
        return (self.frames - 1) * self.hop

    @cached_property
    def filters(self) -> np.ndarray:
        """M, (mels, bins // 2 + 1)."""
        top = 2595 * math.log10(1 + self.rate / 1400)
        edges = np.linspace(2595 * math.log10(1 + self.low / 700), top, self.mels + 2)
        hertz = 700 * (10 ** (edges / 2595) - 1)
        f = np.arange(self.bins // 2 + 1) * self.rate / self.bins
        rise = (f - hertz[:-2, None]) / (hertz[1:-1] - hertz[:-2])[:, None]
        fall = (hertz[2:, None] - f) / (hertz[2:] - hertz[1:-1])[:, None]
        return np.maximum(0, np.minimum(rise, fall)).astype(np.float32)

    def fitted(self, samples: np.ndarray, seed: int) -> np.ndarray:
        """Return a recording as the scale takes it: peak 1, cut at the end or followed by silence, over faint noise.

        The noise (-60 dB, seeded) keeps silence from being one number exactly, which no density could score sanely.
        """
        out = np.random.default_rng(seed).normal(0, DITHER, self.length).astype(np.float32)
        kept = samples[: self.length] / max(float(np.abs(samples).max()), 1e-9)
        out[: len(kept)] += kept
        return out

    def log_mel(self, x: Tensor) -> Tensor:
        """Return the log-mel spectrograms of recordings (N, length): (N, mels, frames)."""
        filters = torch.from_numpy(self.filters)
        out = [(filters @ self._transform(part).abs().square() + LEAST).log() for part in x.split(BLOCK)]
        return torch.cat(out)

    def _transform(self, x: Tensor) -> Tensor:
        window = torch.hann_window(self.window)
        return torch.stft(x, self.bins, self.hop, self.window, window, return_complex=True)

    def _back(self, spectrum: Tensor) -> Tensor:
        window = torch.hann_window(self.window)
        return torch.istft(spectrum, self.bins, self.hop, self.window, window, length=self.length)

    def powers(self, log_mel: Tensor) -> Tensor:
        """Return powers P ≥ 0 (N, bins // 2 + 1, frames) that nearly minimise ‖M P − exp(log_mel)‖².

        Multiplicative updates keep P positive: Lee & Seung 2001. Frequencies in no band stay at zero.
        """
        m = torch.from_numpy(self.filters)
        wanted = log_mel.float().exp()
        p = (m.T @ wanted) / m.sum(0).clamp(min=1e-6)[:, None]
        up, gram = m.T @ wanted, m.T @ m
        for _ in range(POWER_STEPS):
            p = p * up / (gram @ p).clamp(min=1e-20)
        return p

    def waveform(self, log_mel: Tensor, seed: int = 0) -> Tensor:
        """Return sound (N, length), peak 0.9, whose spectrogram is near `log_mel` (N, mels, frames).

        Phases by the fast Griffin–Lim algorithm, from random ones: Perraudin, Balazs & Søndergaard 2013.
        """
        size = self.powers(log_mel).sqrt()
        angle = 2 * math.pi * torch.rand(size.shape, generator=torch.Generator().manual_seed(seed))
        phase = torch.polar(torch.ones_like(size), angle)
        before = torch.zeros_like(phase)
        for _ in range(PHASE_STEPS):
            now = self._transform(self._back(size * phase))
            ahead = now + MOMENTUM * (now - before)
            phase, before = ahead / ahead.abs().clamp(min=1e-9), now
        x = self._back(size * phase)
        return 0.9 * x / x.abs().amax(-1, keepdim=True).clamp(min=1e-9)
