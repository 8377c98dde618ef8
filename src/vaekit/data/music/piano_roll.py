"""Music on a grid of sixteenth notes: a step of a voice is a pitch that begins, a hold, or a rest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from vaekit.data.music.midi import Note
from vaekit.errors import UserError

STEPS = 16
"""Steps a bar of 4/4."""
PER_QUARTER = 4
REST, HOLD = 0, 1
"""Of a grid's steps; all else is the MIDI number of a pitch that begins."""
LOWEST, HIGHEST = 21, 108
"""A piano's keys, A0 to C8."""
_NAMES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
WORDS = ("rest", "hold", *(f"{_NAMES[p % 12]}{p // 12 - 1}" for p in range(LOWEST, HIGHEST + 1)))
"""The vocabulary: rest, hold and the piano's keys."""


@dataclass(frozen=True)
class Piece:
    """A piece in 4/4: its name, and `grid` (voices, bars · 16), REST, HOLD or pitches."""

    name: str
    grid: np.ndarray

    @property
    def bars(self) -> int:
        """How many bars it has."""
        return self.grid.shape[1] // STEPS


@dataclass(frozen=True)
class Pieces:
    """Pieces of a source, and how many were left out for which reason."""

    name: str
    source: str
    pieces: list[Piece]
    left_out: dict[str, int] = field(default_factory=dict)


def rasterise(notes: Iterable[Note], steps: int, start: float = 0.0, name: str = "") -> np.ndarray:
    """Return one voice (steps,) int16; notes are rounded to the grid, and one that begins cuts off the one before.

    `start` is where the first step lies, in quarter notes. Of notes that begin together the highest stays.

    Raises:
        UserError: a pitch is none of the piano's.

    >>> rasterise([Note(0, 0.5, 60), Note(0.5, 0.25, 62)], 4).tolist()
    [60, 1, 62, 0]
    """
    out = np.full(steps, REST, np.int16)
    reach = 0  # where what is held ends
    for note in sorted(notes, key=lambda note: (note.onset, note.pitch)):
        if not LOWEST <= note.pitch <= HIGHEST:
            raise UserError(
                f"{name} has the pitch {note.pitch}, outside the piano's {LOWEST} to {HIGHEST}; transpose it"
            )
        first = round((note.onset - start) * PER_QUARTER)
        last = max(first + 1, round((note.onset + note.length - start) * PER_QUARTER))
        if not 0 <= first < steps:
            continue
        out[first] = note.pitch
        out[first + 1 : last] = HOLD
        out[last:reach] = REST  # what an earlier note still held there ended with it
        reach = last
    return out


def notes_of(grid: np.ndarray) -> list[list[Note]]:
    """Return each voice's notes of a grid (voices, steps); a hold with nothing to hold is a rest.

    >>> notes_of(np.array([[60, 1, 62, 0]]))
    [[Note(onset=0.0, length=0.5, pitch=60), Note(onset=0.5, length=0.25, pitch=62)]]
    """
    out = []
    for voice in np.asarray(grid):
        notes: list[list[int]] = []
        going = False
        for step, value in enumerate(voice.tolist()):
            if value >= LOWEST:
                notes.append([step, 1, value])
            elif value == HOLD and going:
                notes[-1][1] += 1
            going = value >= LOWEST or (value == HOLD and going)
        out.append([Note(start / PER_QUARTER, length / PER_QUARTER, pitch) for start, length, pitch in notes])
    return out


def sounding(grid: np.ndarray) -> np.ndarray:
    """Return the pitch that sounds at each step, 0 where none does: (voices, steps).

    >>> sounding(np.array([[1, 60, 1, 0, 1]])).tolist()
    [[0, 60, 60, 0, 0]]
    """
    grid = np.pad(np.asarray(grid, np.int16), ((0, 0), (1, 0)), constant_values=REST)
    begun = np.maximum.accumulate(np.where(grid == HOLD, 0, np.arange(grid.shape[1])), axis=1)
    return np.take_along_axis(grid, begun, 1)[:, 1:]


def segments(piece: Piece, bars: int, stride: int) -> list[np.ndarray]:
    """Return stretches of `bars` bars every `stride` bars, (voices, ≤ bars · 16) each; the last one may be shorter.

    A note that sounds on from the bar before begins anew with its segment.

    >>> [part.shape[1] // STEPS for part in segments(Piece("", np.full((1, 5 * STEPS), 60)), 2, 2)]
    [2, 2, 1]
    """
    pitches = sounding(piece.grid)
    out = []
    for first in range(0, piece.bars, stride):
        if first > 0 and first + bars - stride >= piece.bars:
            break  # all of it was in the one before
        start = first * STEPS
        part = piece.grid[:, start : start + bars * STEPS].copy()
        tied = part[:, 0] == HOLD
        part[tied, 0] = pitches[tied, start]
        out.append(part)
    return out


def words(grid: np.ndarray) -> np.ndarray:
    """Return a grid's word numbers in reading order, step by step from the highest voice down: (voices · steps,).

    >>> words(np.array([[60, 1], [48, 0]])).tolist()
    [41, 29, 1, 0]
    """
    return np.where(grid >= LOWEST, grid - LOWEST + 2, grid).T.reshape(-1).astype(np.int64)


def grid_of(numbers: Sequence[int], voices: int) -> np.ndarray:
    """Undo `words`; a last step that lacks a voice is left out.

    >>> grid_of([41, 29, 1, 0], 2).tolist()
    [[60, 1], [48, 0]]
    """
    flat = np.asarray(numbers, np.int16)
    flat = flat[: len(flat) // voices * voices].reshape(-1, voices).T
    return np.where(flat >= 2, flat + LOWEST - 2, flat)
