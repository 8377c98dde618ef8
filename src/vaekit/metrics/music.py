"""Reconstruction of music: the pitches that sound, and the notes."""

from __future__ import annotations

import numpy as np
import torch

from vaekit.data.music.midi import Note
from vaekit.data.music.modality import grids_of
from vaekit.data.music.piano_roll import notes_of, sounding
from vaekit.metrics.base import Result, Subject, mean_of, metric


def frame_accuracy(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return the share of a grid's steps and voices (V, S) at which the same pitch sounds, or none in both.

    What is missing at the end of the guess counts as silent, what is too much there is not counted.

    >>> frame_accuracy(np.array([[60, 1, 62, 0]]), np.array([[60, 60, 61]]))
    0.75
    """
    fitted = np.zeros_like(truth)
    width = min(truth.shape[1], guess.shape[1])
    fitted[:, :width] = guess[:, :width]
    return float((sounding(truth) == sounding(fitted)).mean())


def note_f1(truth: np.ndarray, guess: np.ndarray) -> float:
    """Return F1 of the notes: a guessed note is right if its voice, pitch and onset are, its length within 20%.

    F1 = 2 · right / (notes + guessed notes); two silences agree. A length may also be off by a step of the grid.
    Source: the note-with-offset F-measure of MIREX (Bay, Ehmann & Downie 2009), exact in time since the grid is.

    >>> note_f1(np.array([[60, 1, 62, 0]]), np.array([[60, 60, 62, 1]]))
    0.8
    """
    real, guessed = notes_of(truth), notes_of(guess)
    total = sum(map(len, real)) + sum(map(len, guessed))
    return 2 * sum(_right(a, b) for a, b in zip(real, guessed)) / total if total else 1.0


def _right(real: list[Note], guessed: list[Note]) -> int:
    by_onset = {note.onset: note for note in guessed}
    count = 0
    for note in real:
        other = by_onset.get(note.onset)
        if other is not None and other.pitch == note.pitch:
            count += abs(other.length - note.length) <= max(0.25, 0.2 * note.length)
    return count


@metric(
    "music",
    group="reconstruction",
    gives={
        "frame_accuracy": ("share of steps at which the greedy reconstruction sounds the same pitch", True),
        "note_f1": ("F1 of the greedy reconstruction's notes: onset, pitch, and length within 20% or a step", True),
    },
    needs=("modality:music",),
    reference="Bay, Ehmann & Downie 2009",
)
def music(subject: Subject) -> dict[str, Result]:
    """Frames and notes of the greedy reconstruction from the posterior mean.

    Rows of one piece are not independent: the standard errors, over rows, are somewhat too small.
    """
    frames, notes = [], []
    for x, _ in subject.batches("music"):
        again = subject.model.reconstruct(x)
        for truth, guess in zip(grids_of(x, subject.info), grids_of(again, subject.info)):
            frames.append(frame_accuracy(truth, guess))
            notes.append(note_f1(truth, guess))
    return {
        "frame_accuracy": mean_of(torch.tensor(frames, dtype=torch.float64), "share"),
        "note_f1": mean_of(torch.tensor(notes, dtype=torch.float64), "share"),
    }
