"""Sound: folders of WAV files as log-mel spectrograms that every recipe for arrays takes, and back to WAV."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vaekit.data.info import DataInfo
from vaekit.data.mel import MelScale
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.raw import Part, Raw
from vaekit.data.settings import DataSettings
from vaekit.data.wav import Sound, read_wav, resampled, write_wav
from vaekit.errors import UserError

if TYPE_CHECKING:
    from vaekit.data.dataset import DataSet

NAMED = re.compile(r"(?P<digit>\d+)_(?P<speaker>[^_]+)_(?P<index>\d+)")
"""How the Free Spoken Digit Dataset names its files."""
PAUSE = 0.15
"""Seconds of silence between recordings written into one file."""


class Audio(Modality):
    """WAV files as standardised log-mel spectrograms, (1, mels, frames), the lowest band first.

    A recording is brought to peak 1, cut after `data.seconds` or followed by silence, and laid over faint seeded noise
    (`MelScale.fitted`). Values are natural logarithms of powers, less the training mean and over the training
    deviation, one number each for all bands. `info.facts`: `mel` (`MelScale.to_dict`), `mean`, `sd`, and `counts`: how
    many were mixed to one channel, resampled, cut, filled up. A density of them is in nats of these units.
    """

    name = "audio"
    noun = "recordings (WAV)"
    as_arrays = True
    reads = (".wav",)
    formats = (".wav",)
    default = None
    picture = "vaekit.figures.audio:spectrograms"

    def lines(self, x: Any, info: DataInfo) -> list[str]:
        """Return how long each recording sounds, and how loud it is against its loudest frame."""
        scale, plain = _scale(info), unstandardised(x, info)
        out = []
        for power in plain.reshape(len(plain), scale.mels, scale.frames).exp().sum(1):
            loud = int((power > power.max() * 1e-3).sum())
            out.append(f"{loud * scale.hop / scale.rate:.2f} s of sound at {scale.rate} Hz")
        return out

    def write(self, path: Path, x: Any, info: DataInfo) -> None:
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

    def matched(self, other: DataSet, info: DataInfo) -> DataSet:
        """Return other recordings with `info`'s mean, deviation and labels in place of their own.

        Raises:
            UserError: they have another sample rate, or a label that is not among `info.classes`.
        """
        import torch

        mine, theirs = info.facts, other.info.facts
        if other.info.modality != self.name or mine["mel"] != theirs["mel"]:
            found = theirs.get("mel", {}).get("rate")
            what = f"at {found} Hz" if found else "no sound"
            raise UserError(
                f"{other.info.source} is {what}, and this run was trained on sound at {mine['mel']['rate']} Hz; "
                "convert it"
            )
        x = (other.train.x * theirs["sd"] + theirs["mean"] - mine["mean"]) / mine["sd"]
        y = other.train.y
        if y is not None and info.classes:
            unknown = next((name for name in other.info.classes if name not in info.classes), None)
            if unknown is not None:
                raise UserError(
                    f"{other.info.source} has the label '{unknown}'; this run knows {', '.join(info.classes)}"
                )
            y = torch.tensor([info.classes.index(name) for name in other.info.classes])[y]
        return replace(other, train=replace(other.train, x=x, y=y))


def _scale(info: DataInfo) -> MelScale:
    return MelScale.from_dict(info.facts["mel"])


def unstandardised(x: Any, info: DataInfo) -> Any:
    """Return log-mel spectrograms (N, mels, frames) of standardised ones (N, 1, mels, frames)."""
    return x.float().flatten(0, -3) * info.facts["sd"] + info.facts["mean"]


def resynthesised(x: Any, info: DataInfo, seed: int = 0) -> Any:
    """Return sound (N, length) of standardised log-mel spectrograms (N, 1, mels, frames)."""
    return _scale(info).waveform(unstandardised(x, info), seed=seed)


# -- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Listed:
    path: Path
    label: str | None


def list_wavs(folder: Path) -> list[Path]:
    """Return the WAV files in a folder and in its subfolders, by name."""
    return sorted(path for path in [*folder.glob("*"), *folder.glob("*/*")] if path.suffix.lower() == ".wav")


def read_audio(path: Path, settings: DataSettings) -> Raw:
    """Read a WAV file or a folder of them; labels are digits or speakers of the files' names, or subfolders.

    Raises:
        UserError: names the file that cannot be read, has another rate than most, or no label where one is asked for.
    """
    from vaekit.data.token_rows import split_numbers

    files = [path] if path.is_file() else list_wavs(path)
    listed = _labelled(files, path, settings.label)
    sounds, counts = _read(files, settings.rate)
    scale = MelScale.of(sounds[0].rate, mels=settings.mels, frames=settings.frames, seconds=settings.seconds)
    counts |= {
        "cut": sum(len(sound.samples) > scale.length for sound in sounds),
        "filled up": sum(len(sound.samples) < scale.length for sound in sounds),
    }
    x = _spectra(scale, sounds)
    train = split_numbers(len(x), str(path), settings)[0]
    mean, sd = float(x[train].mean(dtype=np.float64)), float(x[train].std(dtype=np.float64))
    x = ((x - mean) / max(sd, 1e-6)).astype(np.float32)[:, None]
    classes = _classes(listed)
    y = np.array([classes.index(each.label) for each in listed]) if classes else None  # type: ignore[arg-type]
    facts = {"mel": scale.to_dict(), "mean": mean, "sd": max(sd, 1e-6), "counts": counts}
    return Raw(path.stem, str(path), Part(x, y), classes=tuple(classes), modality="audio", facts=facts)


def _spectra(scale: MelScale, sounds: Sequence[Sound]) -> np.ndarray:
    import torch

    made = np.stack([scale.fitted(sound.samples, i) for i, sound in enumerate(sounds)])
    return scale.log_mel(torch.from_numpy(made)).numpy()


def _read(files: Sequence[Path], rate: int | None) -> tuple[list[Sound], dict[str, int]]:
    """Read recordings, all at one rate: `rate`, else the one they have in common."""
    sounds = [read_wav(file) for file in files]
    rates = Counter(sound.rate for sound in sounds)
    common = rates.most_common(1)[0][0] if rate is None else rate
    if rate is None and len(rates) > 1:
        odd = next(file for file, sound in zip(files, sounds) if sound.rate != common)
        found = next(sound.rate for sound in sounds if sound.rate != common)
        raise UserError(
            f"{odd} has {found} samples a second and most others {common}; resample all with --set data.rate={common}"
        )
    mixed = sum(sound.channels > 1 for sound in sounds)
    if mixed:
        warnings.warn(f"{mixed} of {len(sounds)} recordings had several channels, which were averaged", stacklevel=4)
    counts = {"mixed to one channel": mixed, "resampled": sum(sound.rate != common for sound in sounds)}
    return [resampled(sound, common) for sound in sounds], counts


def _labelled(files: Sequence[Path], root: Path, wanted: str) -> list[_Listed]:
    """Return each file with its label: what its name says, or the subfolder it lies in."""
    named = [NAMED.fullmatch(file.stem) for file in files]
    in_folders = all(file.parent != root for file in files) and root.is_dir()
    if wanted == "auto":
        wanted = "folder" if in_folders else "digit" if all(named) else "none"
    out = []
    for file, match in zip(files, named):
        label = None
        if wanted in ("digit", "speaker"):
            if match is None:
                raise UserError(
                    f"{file}: data.label={wanted} wants names like 7_anna_0.wav; rename it or set data.label=none"
                )
            label = str(int(match["digit"])) if wanted == "digit" else match["speaker"]
        elif wanted == "folder":
            if file.parent == root:
                raise UserError(f"{file} lies in no subfolder; move it into one named for its label")
            label = file.parent.name
        out.append(_Listed(file, label))
    return out


def _classes(listed: Sequence[_Listed]) -> list[str]:
    names = {each.label for each in listed if each.label is not None}
    return sorted(names, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))


MODALITIES.register("audio", summary="WAV files as log-mel spectrograms, for every recipe that takes arrays")(Audio())
