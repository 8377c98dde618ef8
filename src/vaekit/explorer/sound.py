"""Sound in the explorer: spectrograms as WAV files to hear, and a person's WAV file as a spectrogram."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.modality import resynthesised
from vaekit.data.audio.wav import parse_wav, resampled, wav_bytes
from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.errors import UserError

MOST_SECONDS = 60
"""Of a recording that a person gives: as long as that it may be at any rate without taking much memory."""


def sound_facts(info: DataInfo) -> dict[str, Any] | None:
    """Return what the page must know: how long examples are, and their rate; None where they are no sound."""
    if info.modality != "audio":
        return None
    scale = MelScale.from_dict(info.facts["mel"])
    return {"seconds": scale.length / scale.rate, "rate": scale.rate}


def heard(x: Tensor, info: DataInfo, prepare: Prepare) -> bytes:
    """Return a spectrogram as the model has it, (1, 1, mels, frames), as a WAV file."""
    return wav_bytes(resynthesised(prepare.values(x), info)[0].numpy(), MelScale.from_dict(info.facts["mel"]).rate)


def read_sound(data: bytes, info: DataInfo) -> tuple[np.ndarray, str]:
    """Return a WAV file as one example (1, mels, frames) in the data's units, and what was done to it, for people.

    Raises:
        UserError: the run's data are no sound, or the file is damaged, silent, or longer than `MOST_SECONDS`.
    """
    if info.modality != "audio":
        raise UserError(f"{info.name} holds no sound, so WAV files are not read; choose another file")
    scale, sound = MelScale.from_dict(info.facts["mel"]), parse_wav(data, "the file")
    seconds = len(sound.samples) / sound.rate
    if seconds > MOST_SECONDS:
        raise UserError(f"the file holds {seconds:,.0f} s of sound; give at most {MOST_SECONDS} s")
    made = torch.from_numpy(scale.fitted(resampled(sound, scale.rate).samples, 0))
    values = (scale.log_mel(made[None]) - info.facts["mean"]) / info.facts["sd"]
    told = f"{seconds:.2f} s at {sound.rate:,} Hz"
    told += f", resampled to {scale.rate:,} Hz" if sound.rate != scale.rate else ""
    told += f", cut after {scale.length / scale.rate:.2f} s" if seconds > scale.length / scale.rate else ""
    return values.double().numpy(), told
