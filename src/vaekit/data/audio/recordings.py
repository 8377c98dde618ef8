"""WAV files and folders of them as log-mel spectrograms."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.wav import Sound, read_wav, resampled
from vaekit.data.digest import file_keys
from vaekit.data.files import in_folder
from vaekit.data.limits import check_size
from vaekit.data.origin import Origin
from vaekit.data.raw import Part, Raw
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError

NAMED = re.compile(r"(?P<digit>\d+)_(?P<speaker>[^_]+)_(?P<index>\d+)")
"""How the Free Spoken Digit Dataset names its files."""


def is_sound(path: Path) -> bool:
    """Whether a path is a WAV file, or a folder that holds some, itself or in its subfolders."""
    return bool(files_in(path)) if path.is_dir() else path.suffix.lower() == ".wav"


def files_in(folder: Path) -> list[Path]:
    """Return the WAV files of a folder and its subfolders, sorted."""
    inside = in_folder(folder)
    below = [path for each in inside if each.is_dir() and not each.name.startswith(".") for path in in_folder(each)]
    return sorted(path for path in [*inside, *below] if path.suffix.lower() == ".wav")


def read_audio(path: Path, settings: DataSettings) -> Raw:
    """Read a WAV file or a folder of them; labels are digits or speakers of the files' names, or subfolders.

    Raises:
        UserError: names the file that cannot be read, has another rate than most, or no label where one is asked for.
    """
    files = [path] if path.is_file() else files_in(path)
    labels = labels_of(files, path, settings.label)
    sounds, counts = read_sounds(files, settings.rate)
    scale = MelScale.of(sounds[0].rate, mels=settings.mels, frames=settings.frames, seconds=settings.seconds)
    counts |= {
        "cut": sum(len(sound.samples) > scale.length for sound in sounds),
        "filled up": sum(len(sound.samples) < scale.length for sound in sounds),
    }
    check_size(len(files) * scale.length * 8, path)
    made = np.stack([scale.fitted(sound.samples, i) for i, sound in enumerate(sounds)])
    x = scale.log_mel(torch.from_numpy(made)).numpy().astype(np.float32)[:, None]
    classes = sorted(set(labels), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    y = np.array([classes.index(name) for name in labels]) if labels else None
    facts = {"mel": scale.to_dict(), "mean": 0.0, "sd": 1.0, "counts": counts}
    root = path if path.is_dir() else path.parent
    part = Part(x, y, origin=Origin.files([str(file.relative_to(root)) for file in files]), keys=file_keys(files))
    return Raw(path.stem, str(path), part, classes=tuple(classes), modality="audio", facts=facts)


def match_sound(raw: Raw, facts: Mapping[str, Any]) -> Raw:
    """Give recordings the units of others' `facts`, which versions before standardised in reading.

    Raises:
        UserError: they are no sound, or of another sample rate.
    """
    mine = raw.facts
    if raw.modality != "audio" or mine["mel"] != facts["mel"]:
        rate = mine.get("mel", {}).get("rate")
        what = f"at {rate} Hz" if rate else "no sound"
        raise UserError(
            f"{raw.source} is {what}, and this run was trained on sound at {facts['mel']['rate']} Hz; convert it"
        )
    for _, part in raw.parts:
        part.x = ((part.x * mine["sd"] + mine["mean"] - facts["mean"]) / facts["sd"]).astype(np.float32)
    return raw


def read_sounds(files: Sequence[Path], rate: int | None) -> tuple[list[Sound], dict[str, int]]:
    """Read recordings, all at one rate: `rate`, else the one they have in common."""
    sounds = [read_wav(file) for file in files]
    rates = Counter(sound.rate for sound in sounds)
    common = rates.most_common(1)[0][0] if rate is None else rate
    if rate is None and len(rates) > 1:
        odd, other = next((file, sound.rate) for file, sound in zip(files, sounds) if sound.rate != common)
        raise UserError(
            f"{odd} has {other} samples a second and most others {common}; resample all with --set data.rate={common}"
        )
    mixed = sum(sound.channels > 1 for sound in sounds)
    if mixed:
        warnings.warn(f"{mixed} of {len(sounds)} recordings had several channels, which were averaged", stacklevel=4)
    counts = {"mixed to one channel": mixed, "resampled": sum(sound.rate != common for sound in sounds)}
    return [resampled(sound, common) for sound in sounds], counts


def labels_of(files: Sequence[Path], root: Path, wanted: str) -> list[str]:
    """Return each file's label, part of its name or its subfolder's; [] without labels."""
    named = [NAMED.fullmatch(file.stem) for file in files]
    if wanted == "auto":
        in_folders = all(file.parent != root for file in files) and root.is_dir()
        wanted = "folder" if in_folders else "digit" if all(named) else "none"
    if wanted == "none":
        return []
    if wanted not in ("folder", "digit", "speaker"):
        raise UserError(f"data.label of sound is auto, digit, speaker, folder or none, not '{wanted}'")
    labels = []
    for file, match in zip(files, named):
        if wanted == "folder":
            if file.parent == root:
                raise UserError(f"{file} is not in a subfolder; move it into one named for its label")
            labels.append(file.parent.name)
        elif match is None:
            raise UserError(
                f"{file}: data.label={wanted} wants names like 7_anna_0.wav; rename it or set data.label=none"
            )
        else:
            labels.append(str(int(match["digit"])) if wanted == "digit" else match["speaker"])
    return labels
