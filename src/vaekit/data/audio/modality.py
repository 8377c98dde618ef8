"""Sound: folders of WAV files as log-mel spectrograms that every recipe for arrays takes, and back to WAV."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.wav import write_wav
from vaekit.data.dataset import DataSet
from vaekit.data.info import DataInfo
from vaekit.data.modality import MODALITIES, Modality
from vaekit.figures.audio import spectrograms

PAUSE = 0.15
"""Seconds of silence between recordings written into one file."""


class Audio(Modality):
    """WAV files as log-mel spectrograms, (1, mels, frames), the lowest band first.

    A recording is brought to peak 1, cut after `data.seconds` or followed by silence, and added to faint seeded noise
    (`MelScale.fitted`). Values are natural logarithms of powers, and a density of them is in nats of these units.
    `info.facts`: `mel` (`MelScale.to_dict`), `counts`: how many were mixed to one channel, resampled, cut, filled up,
    and `mean` and `sd`, 0 and 1 but in runs of earlier versions, whose values are (log power − mean) / sd.
    """

    name = "audio"
    noun = "recordings (WAV)"
    as_arrays = True
    reads = (".wav",)
    formats = (".wav",)
    picture = staticmethod(spectrograms)

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return how long each recording sounds, and how loud it is against its loudest frame."""
        scale, plain = _scale(info), log_powers(x, info)
        out = []
        for power in plain.reshape(len(plain), scale.mels, scale.frames).exp().sum(1):
            loud = int((power > power.max() * 1e-3).sum())
            out.append(f"{loud * scale.hop / scale.rate:.2f} s of sound at {scale.rate} Hz")
        return out

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Any = None) -> None:
        """Write recordings as 16-bit WAV: one after the other with a pause, or a file each where the name has {}."""
        sounds = resynthesised(x, info).numpy()
        rate = _scale(info).rate
        if "{}" in path.name:
            for i, sound in enumerate(sounds):
                write_wav(path.with_name(path.name.replace("{}", str(i))), sound, rate)
            return
        pause = np.zeros(round(PAUSE * rate), np.float32)
        parts = [part for sound in sounds for part in (sound, pause)][:-1]
        write_wav(path, np.concatenate(parts) if parts else pause, rate)

    def restated(self, other: DataSet, info: DataInfo) -> DataSet:
        """Return recordings in the units of the values of `info`, which versions before standardised in reading."""
        mine, theirs = info.facts, other.info.facts
        if (mine["mean"], mine["sd"]) == (theirs["mean"], theirs["sd"]):
            return other
        facts = theirs | {"mean": mine["mean"], "sd": mine["sd"]}
        splits: dict[str, Any] = {}
        for name in ("train", "valid", "test"):
            split = getattr(other, name)
            x = (split.x * theirs["sd"] + theirs["mean"] - mine["mean"]) / mine["sd"]
            splits[name] = replace(split, x=x)
        return replace(other, info=replace(other.info, facts=facts), **splits)


def _scale(info: DataInfo) -> MelScale:
    return MelScale.from_dict(info.facts["mel"])


def log_powers(x: Tensor, info: DataInfo) -> Tensor:
    """Return log-mel spectrograms (N, mels, frames) of values as `Run.sample` gives them, (N, 1, mels, frames)."""
    return x.float().flatten(0, -3) * info.facts["sd"] + info.facts["mean"]


def resynthesised(x: Tensor, info: DataInfo, seed: int = 0) -> Tensor:
    """Return sound (N, length) of spectrograms (N, 1, mels, frames), as `Run.sample` gives them."""
    return _scale(info).waveform(log_powers(x, info), seed=seed)


MODALITIES.register("audio", summary="WAV files as log-mel spectrograms, for every recipe that takes arrays")(Audio())
