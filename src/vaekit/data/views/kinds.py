"""The modalities one by one: what is fitted to the training rows, how examples are stored, and how they are shown.

Each function takes a modality as it was read (`Column`), and gives rows (N, size) float32, NaN where it is missing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import torch

from vaekit.data.audio.mel import MelScale
from vaekit.data.audio.recordings import read_sounds
from vaekit.data.folders import fit_image, open_image
from vaekit.data.limits import check_size
from vaekit.data.tables.frames import Cells
from vaekit.data.text.tokeniser import Tokeniser, fit
from vaekit.data.token_rows import token_rows
from vaekit.data.views.reading import Column, Source
from vaekit.data.views.settings import ViewSettings
from vaekit.errors import UserError
from vaekit.tokens import UNKNOWN

Facts = dict[str, Any]
LEVELS = 256


class ViewKind(Protocol):
    """A kind of modality."""

    def fit(self, source: Source, column: Column, rows: np.ndarray, settings: ViewSettings) -> Facts:
        """Return its facts, `shape` among them; what is fitted is fitted to the training `rows`."""
        ...

    def store(self, source: Source, column: Column, facts: Mapping[str, Any]) -> np.ndarray:
        """Return rows (N, size) as the model sees them."""
        ...


def gathered(own: np.ndarray, cells: Cells) -> np.ndarray:
    """Return rows (N, size) of a column whose different texts have rows (U, size); NaN where a cell is missing."""
    blank = np.full((1, own.shape[1]), np.nan, np.float32)
    return np.concatenate([own.astype(np.float32), blank])[cells.codes]


class Pictures:
    """Files of pictures, or whole greys in memory.

    Grey ones become 0 and 1, cut at one half, unless `data.binarise` is none; colours are 256 levels on [0, 1].
    Facts: `values`, "binary" or "levels".
    """

    def fit(self, source: Source, column: Column, rows: np.ndarray, settings: ViewSettings) -> Facts:
        """Shape and values: those of the first picture, scaled to `data.size`."""
        if settings.binarise in ("stochastic", "fixed"):
            raise UserError(f"data.binarise={settings.binarise} is for pictures alone; use threshold or none")
        if column.values is not None:
            shape = column.values.shape[1:]
        else:
            files = source.files(column)
            opened = [open_image(path, settings.size) for path in files[:50]]
            width, height = opened[0].size
            shape = (3 if any(one.mode == "RGB" for one in opened) else 1, height, width)
        binary = shape[0] == 1 if settings.binarise == "auto" else settings.binarise == "threshold"
        return {"shape": list(shape), "values": "binary" if binary else "levels"}

    def store(self, source: Source, column: Column, facts: Mapping[str, Any]) -> np.ndarray:
        """Read every file once, fitted to the shape."""
        shape = tuple(facts["shape"])
        if column.values is not None:
            if column.values.shape[1:] != shape:
                raise UserError(
                    f"{source.frame.source}: '{column.name}' has pictures of shape {column.values.shape[1:]}; this "
                    f"run's are {shape}"
                )
            return self._scaled(column.values.reshape(len(source), -1), facts)
        assert column.texts is not None
        files = source.files(column)
        check_size(4 * math.prod(shape) * len(source), source.frame.source, packed=sum(f.stat().st_size for f in files))
        own = np.empty((len(files), math.prod(shape)), np.float32)
        for row, path in zip(own, files):
            picture = open_image(path, None)
            if picture.mode == "F":
                raise UserError(f"{path} has greys of more than 8 bits; save it with 8")
            picture = fit_image(picture.convert("RGB" if shape[0] == 3 else "L"), (shape[2], shape[1]))
            made = np.asarray(picture, np.float32)
            row[:] = (np.moveaxis(made, 2, 0) if shape[0] == 3 else made).reshape(-1)
        return self._scaled(gathered(own, column.texts), facts)

    def _scaled(self, greys: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
        unit = greys / np.float32(LEVELS - 1)
        if facts["values"] == "levels":
            return unit.astype(np.float32)
        return np.where(np.isnan(unit), np.nan, unit >= 0.5).astype(np.float32)


class Numbers:
    """Arrays of numbers in memory. Facts: `mean` and `sd` over the training rows, one for each entry of the first axis.

    Values are stored standardised, and scored in their own units.
    """

    def fit(self, source: Source, column: Column, rows: np.ndarray, settings: ViewSettings) -> Facts:
        """Shape, mean and deviation."""
        assert column.values is not None
        return {"shape": list(column.values.shape[1:])} | moments(column.values[rows], column.name)

    def store(self, source: Source, column: Column, facts: Mapping[str, Any]) -> np.ndarray:
        """Standardise."""
        if column.values is None or column.values.shape[1:] != tuple(facts["shape"]):
            have = "none" if column.values is None else column.values.shape[1:]
            raise UserError(
                f"{source.frame.source}: '{column.name}' has numbers of shape {have}; this run's are {facts['shape']}"
            )
        return standardised(column.values, facts)


class Sounds:
    """WAV files as log-mel spectrograms, (1, mels, frames); see `vaekit.data.audio.mel`. Facts: `mel`, `mean`, `sd`."""

    def fit(self, source: Source, column: Column, rows: np.ndarray, settings: ViewSettings) -> Facts:
        """The scale of the recordings, and the moments of the training rows' spectrograms."""
        if column.texts is None:
            raise UserError(f"data.types={column.name}=sound wants names of WAV files")
        sounds, _ = read_sounds(source.files(column), settings.rate)
        scale = MelScale.of(sounds[0].rate, mels=settings.mels, frames=settings.frames, seconds=settings.seconds)
        facts: Facts = {"shape": [1, scale.mels, scale.frames], "mel": scale.to_dict()}
        used = np.unique(column.texts.codes[rows])
        return facts | moments(self._spectra(sounds, scale)[used[used >= 0]], column.name)

    def store(self, source: Source, column: Column, facts: Mapping[str, Any]) -> np.ndarray:
        """Read every recording once."""
        if column.texts is None:
            raise UserError(f"{source.frame.source}: '{column.name}' must be names of WAV files")
        scale = MelScale.from_dict(facts["mel"])
        check_size(4 * scale.mels * scale.frames * len(source), source.frame.source)
        sounds, _ = read_sounds(source.files(column), scale.rate)
        spectra = self._spectra(sounds, scale) if sounds else np.zeros((0, 1, scale.mels, scale.frames), np.float32)
        return gathered(standardised(spectra, facts), column.texts)

    def _spectra(self, sounds: Any, scale: MelScale) -> np.ndarray:
        made = np.stack([scale.fitted(sound.samples, i) for i, sound in enumerate(sounds)])
        return scale.log_mel(torch.from_numpy(made)).numpy().astype(np.float32)[:, None]


class Texts:
    """Texts as tokens, END, padding. Facts: `tokeniser` of the training rows, `truncated` where some are cut."""

    def fit(self, source: Source, column: Column, rows: np.ndarray, settings: ViewSettings) -> Facts:
        """The vocabulary and the width of the training rows."""
        if column.texts is None:
            raise UserError(f"data.types={column.name}=text wants texts")
        used = np.unique(column.texts.codes[rows])
        train = [column.texts.texts[code] for code in used if code >= 0]
        if not train:
            raise UserError(f"{source.frame.source}: '{column.name}' has no text in the training rows; leave it out")
        every = [column.texts.text(row) for row in rows if column.texts.codes[row] >= 0]
        options = {"most": settings.vocabulary, "least": settings.least, "lowercase": settings.lowercase}
        tokeniser = fit(every, settings.unit, **options)
        long = max(len(tokeniser.encode(text)) for text in train)
        shape = [min(settings.longest, long) + 1]
        return {"shape": shape, "tokeniser": tokeniser.to_dict(), "truncated": long > settings.longest}

    def store(self, source: Source, column: Column, facts: Mapping[str, Any]) -> np.ndarray:
        """Number the tokens; a longer text is cut, and without its END where the model knows of cut ones."""
        if column.texts is None:
            raise UserError(f"{source.frame.source}: '{column.name}' must be texts")
        tokeniser, (width,) = Tokeniser.from_dict(facts["tokeniser"]), facts["shape"]
        ids = [tokeniser.encode(text) for text in column.texts.texts]
        unknown, cut = sum(row.count(UNKNOWN) for row in ids), sum(len(row) >= width for row in ids)
        if unknown or cut:
            warnings.warn(
                f"{source.frame.source}: of the texts of '{column.name}' {cut} are longer than {width - 1} tokens and "
                f"were cut, and {unknown} tokens are unknown to this run",
                stacklevel=4,
            )
        most = width if facts["truncated"] else width - 1
        return gathered(token_rows((row[:most] for row in ids), width).numpy(), column.texts)


def moments(values: np.ndarray, name: str) -> Facts:
    """Return `mean` and `sd` of the numbers (N, *shape) that are there, by the first axis of an example."""
    wide = values.astype(np.float64)
    axes = tuple(axis for axis in range(wide.ndim) if axis != 1)
    count = (~np.isnan(wide)).sum(axes)
    if not count.all():
        raise UserError(f"'{name}' has no numbers in the training rows, in all or in an entry; leave it out")
    mean, sd = np.nanmean(wide, axes), np.nanstd(wide, axes)
    return {"mean": mean.tolist(), "sd": np.where(sd > 1e-12 * (1e-30 + abs(mean)), sd, 1.0).tolist()}


def standardised(values: np.ndarray, facts: Mapping[str, Any]) -> np.ndarray:
    """Return (values - mean) / sd as rows (N, size)."""
    mean, sd = (np.array(facts[name], np.float32).reshape(-1, *[1] * (values.ndim - 2)) for name in ("mean", "sd"))
    return ((values - mean) / sd).astype(np.float32).reshape(len(values), -1)


def in_units(stored: Any, facts: Mapping[str, Any]) -> np.ndarray:
    """Return what `standardised` was given of a view's values (N, *shape)."""
    values = np.asarray(stored, np.float64)
    mean, sd = (np.array(facts[name]).reshape(-1, *[1] * (values.ndim - 2)) for name in ("mean", "sd"))
    return values * sd + mean


VIEWS: Mapping[str, Callable[[], ViewKind]] = {
    "picture": Pictures,
    "numbers": Numbers,
    "sound": Sounds,
    "text": Texts,
}
