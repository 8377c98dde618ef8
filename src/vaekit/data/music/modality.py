"""Music: chorales and MIDI files, as rows of tokens on a grid of sixteenth notes, some bars a row."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from vaekit.data.contents import contents_of
from vaekit.data.dataset import DataSet, Split
from vaekit.data.datasets import read_if_known
from vaekit.data.digest import array_keys
from vaekit.data.files import paths_below
from vaekit.data.info import DataInfo
from vaekit.data.limits import bounded, check_count
from vaekit.data.modality import MODALITIES, Modality
from vaekit.data.music import piano_roll
from vaekit.data.music.midi import Note, read_midi, write_midi
from vaekit.data.music.piano_roll import PER_QUARTER, STEPS, Piece, Pieces
from vaekit.data.origin import Origin
from vaekit.data.paths import exists
from vaekit.data.settings import DataSettings, settings_as
from vaekit.data.splits import deal
from vaekit.data.token_rows import token_rows
from vaekit.errors import UserError
from vaekit.figures.music import rolls
from vaekit.tokens import END, PAD, SPECIAL

MOST_BARS = 10_000
"""Bars of a piece: five hours at 120 beats a minute."""


class MusicSettings(DataSettings):
    """Settings of music. `valid` and `test` hold out whole pieces."""

    voices: Literal["melody", "all"] = Field(
        default="melody", description="the highest voice alone, or all of them, step by step from the highest down"
    )
    bars: int = Field(default=4, ge=1, description="bars of a row")
    stride: int = Field(
        default=1, ge=1, description="bars from one training row to the next; held-out rows do not overlap"
    )
    transpose: int = Field(
        default=0, ge=0, le=12, description="training rows come in every transposition by up to this many semitones"
    )
    invalid: Literal["refuse", "drop"] = Field(
        default="refuse",
        description="files that are not MIDI, not in 4/4 or not of as many voices as the others: 'refuse' them, or "
        "'drop' them with a warning",
    )


class Music(Modality):
    """The chorales, MIDI files or a folder of them, or `Piece`s in memory, cut into rows of some bars.

    A step is a token a voice: rest, hold or a pitch of the piano's 88; the vocabulary is the same for all data.
    `info.facts`: `vocabulary`, `voices`, `bars`, `steps` (a bar), `bar` (tokens a bar), `pieces` (train, valid, test),
    `left_out` (pieces, and why).
    """

    name = "music"
    noun = "pieces of music"
    settings = MusicSettings
    reads = (".mid", ".midi")
    formats = (".mid", ".txt")
    default = "chorales"
    picture = staticmethod(rolls)

    def load(self, source: Any, settings: DataSettings) -> DataSet:
        """Read pieces, hold out whole ones, and cut all into rows; training rows alone overlap and are transposed.

        Raises:
            UserError: the source cannot be read, or holds a piece that does not fit (unless `data.invalid` is drop).

        >>> scales = [Piece(f"scale {i}", np.array([[60 + i, 1, 62 + i, 1] * 8])) for i in range(3)]
        >>> data = Music().load(scales, MusicSettings(bars=1, valid=1, test=1, transpose=1))
        >>> data.train.x.shape, data.test.x.shape, Music().lines(data.test.x[:1], data.info)
        (torch.Size([6, 17]), torch.Size([2, 17]), ['C4 - D4 - C4 - D4 - C4 - D4 - C4 - D4 -'])
        """
        mine = settings_as(MusicSettings, settings)
        music = pieces(source, mine)
        keys = array_keys(piece.grid for piece in music.pieces)
        parts = deal(keys, music.source, mine.model_copy(update={"limit": None}))
        voices = music.pieces[0].grid.shape[0]
        width = mine.bars * STEPS * voices + 1
        chosen = [[music.pieces[i] for i in index] for index in (parts.train, parts.valid, parts.test)]
        keyed = [
            (part, key)
            for piece, key in zip(chosen[0], keys[parts.train])
            for part in piano_roll.segments(piece, mine.bars, mine.stride)
        ]
        if mine.limit is not None and mine.limit < len(keyed):
            index = np.random.default_rng(mine.seed).choice(len(keyed), mine.limit, replace=False)
            keyed = [keyed[i] for i in np.sort(index)]
        keyed = [(moved, key) for part, key in keyed for moved in transpositions(part, mine.transpose)]
        trained = Split(_rows((grid for grid, _ in keyed), width), keys=np.array([key for _, key in keyed], np.uint64))
        splits = [trained] + [_held_out(group, mine.bars, width) for group in chosen[1:]]
        facts = {
            "vocabulary": list(piano_roll.WORDS),
            "voices": voices,
            "bars": mine.bars,
            "steps": STEPS,
            "bar": STEPS * voices,
            "pieces": [len(group) for group in chosen],
            "left_out": music.left_out,
        }
        contents, size = contents_of(parts, keys), SPECIAL + len(piano_roll.WORDS)
        return self.data_set(music.name, music.source, "tokens", splits, facts, size, contents=contents)

    def encode(self, source: Any, info: DataInfo, settings: DataSettings) -> Split:
        """Cut other pieces into rows like the run's own, which do not overlap.

        Raises:
            UserError: a piece has fewer voices than the run's, or cannot be read.
        """
        voices, bars = info.facts["voices"], info.facts["bars"]
        mine = settings_as(MusicSettings, settings).model_copy(update={"voices": "melody" if voices == 1 else "all"})
        music = pieces(source, mine)
        odd = next((piece for piece in music.pieces if piece.grid.shape[0] != voices), None)
        if odd is not None:
            raise UserError(f"{odd.name} has {odd.grid.shape[0]} voices, and this run's music {voices}; leave it out")
        return _held_out(music.pieces, bars, info.shape[0])

    def lines(self, x: Tensor, info: DataInfo) -> list[str]:
        """Return the steps of each voice: a pitch's name, - for a hold, . for a rest, | between bars."""
        return [" / ".join(_spelled(voice) for voice in grid) for grid in grids_of(x, info)]

    def write(self, path: Path, x: Tensor, info: DataInfo, y: Any = None) -> None:
        """Write a MIDI file of all examples one after another, a bar of silence between, or a text of one a line."""
        if path.suffix.lower() == ".txt":
            super().write(path, x, info)
            return
        parts: list[list[Note]] = [[] for _ in range(info.facts["voices"])]
        start = 0
        for grid in grids_of(x, info):
            for part, notes in zip(parts, piano_roll.notes_of(grid)):
                part += [note._replace(onset=note.onset + start / PER_QUARTER) for note in notes]
            start += STEPS * (-(-grid.shape[1] // STEPS) + 1)
        write_midi(path, parts)


@bounded
def pieces(source: Any, settings: MusicSettings) -> Pieces:
    """Return the pieces of a known set, a MIDI file, a folder of them, or a list of `Piece`s, by the voices wanted.

    Raises:
        UserError: there are none, or one does not fit (unless `data.invalid` is drop).
    """
    known = read_if_known(source, Music.name, "holds no music; give chorales, a MIDI file or a folder of them")
    music = known or _given(source, settings)
    if settings.voices == "melody":
        return replace(music, pieces=[Piece(piece.name, piece.grid[:1]) for piece in music.pieces])
    return music


def _given(source: Any, settings: MusicSettings) -> Pieces:
    if isinstance(source, Pieces):
        return source
    if isinstance(source, str | Path):
        return _files(Path(source), settings)
    if isinstance(source, list | tuple) and source and all(isinstance(piece, Piece) for piece in source):
        return Pieces("memory", "memory", list(source))
    raise UserError(f"music in memory is a list of {Piece.__module__}.Piece; give that, a MIDI file or chorales")


def _files(path: Path, settings: MusicSettings) -> Pieces:
    """Return the pieces of MIDI files."""
    files = [path]
    if exists(path) and path.is_dir():
        files = [file for file in paths_below(path) if file.suffix.lower() in Music.reads]
    if not files:
        raise UserError(f"{path} holds no .mid files; give a folder that does")
    good: list[Piece] = []
    bad: list[str] = []
    for file in files:
        try:
            good.append(_fitting(file, settings, good))
        except UserError as error:
            if settings.invalid == "refuse" or file == path:
                raise
            bad.append(str(error))
    if not good:
        raise UserError(f"{path} holds no piece that can be used: {bad[0]}")
    if bad:
        warnings.warn(f"{path}: left out {len(bad)} of {len(files)} files, the first: {bad[0]}", stacklevel=2)
    return Pieces(path.stem, str(path), good, {"files": len(bad)} if bad else {})


def _fitting(file: Path, settings: MusicSettings, before: list[Piece]) -> Piece:
    """Return a MIDI file as a piece with its voices from the highest to the lowest."""
    midi = read_midi(file)
    odd = next((time for time in midi.signatures if time != (4, 4)), None)
    fix = "leave it out, or all such with data.invalid=drop"
    if odd is not None:
        raise UserError(f"{file} has bars of {odd[0]}/{odd[1]}, and rows are of 4/4; {fix}")
    if not midi.parts:
        raise UserError(f"{file} has no notes; {fix}")
    parts = sorted(midi.parts, key=lambda part: -float(np.mean([note.pitch for note in part])))
    if settings.voices == "all" and before and before[0].grid.shape[0] != len(parts):
        raise UserError(f"{file} has {len(parts)} voices, the files before {before[0].grid.shape[0]}; {fix}")
    end = max(note.onset + note.length for part in parts for note in part)
    steps = STEPS * max(1, -int(-end * PER_QUARTER // STEPS))
    check_count(steps // STEPS, MOST_BARS, "bars", file)
    return Piece(str(file), np.stack([piano_roll.rasterise(part, steps, name=str(file)) for part in parts]))


def transpositions(grid: np.ndarray, most: int) -> list[np.ndarray]:
    """Return a grid moved by -most … most semitones, those that stay on the piano; itself is one of them.

    >>> [int(part[0, 0]) for part in transpositions(np.array([[60, 1, 0]]), 2)]
    [58, 59, 60, 61, 62]
    """
    pitched = grid >= piano_roll.LOWEST
    low, high = grid[pitched].min(initial=piano_roll.HIGHEST), grid[pitched].max(initial=piano_roll.LOWEST)
    down, up = min(most, low - piano_roll.LOWEST), min(most, piano_roll.HIGHEST - high)
    return [np.where(pitched, grid + step, grid) for step in range(-down, up + 1)]


def _rows(grids: Iterable[np.ndarray], width: int) -> Tensor:
    return token_rows((piano_roll.words(grid) + SPECIAL for grid in grids), width)


def grids_of(x: Tensor, info: DataInfo) -> list[np.ndarray]:
    """Return token rows as grids (voices, steps); what is not a word is a hold."""
    out = []
    for row in x.tolist():
        row = row[: row.index(END)] if END in row else row
        numbers = [number - SPECIAL if number >= SPECIAL else piano_roll.HOLD for number in row if number != PAD]
        out.append(piano_roll.grid_of(numbers, info.facts["voices"]))
    return out


def _held_out(chosen: list[Piece], bars: int, width: int) -> Split:
    """Return rows that do not overlap, each with its piece's file (or name) and its first bar, counted from 1."""
    parts = [(piece.name, piano_roll.segments(piece, bars, bars)) for piece in chosen]
    keys = np.repeat(array_keys(piece.grid for piece in chosen), [len(grids) for _, grids in parts])
    names = np.array([name for name, grids in parts for _ in grids], dtype=str)
    first = np.array([1 + bars * i for _, grids in parts for i in range(len(grids))], np.int64)
    return Split(
        _rows((grid for _, grids in parts for grid in grids), width),
        origin=Origin({"file": names, "bar": first}),
        keys=keys,
    )


def _spelled(voice: np.ndarray) -> str:
    names = {piano_roll.REST: ".", piano_roll.HOLD: "-"}
    steps = [names.get(value) or piano_roll.WORDS[value - piano_roll.LOWEST + 2] for value in voice.tolist()]
    return " | ".join(" ".join(steps[start : start + STEPS]) for start in range(0, len(steps), STEPS))


MODALITIES.register("music", summary="chorales and MIDI files, on a grid of sixteenths")(Music())
