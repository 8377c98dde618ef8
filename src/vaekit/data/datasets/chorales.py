"""Bach's chorales from music21's corpus, parsed once and kept in the user's cache as plain arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS
from vaekit.data.download import cache_folder, kept
from vaekit.data.music.midi import Note
from vaekit.data.music.piano_roll import STEPS, Piece, Pieces, rasterise
from vaekit.errors import optional

VOICES = 4


@DATASETS.register(
    "chorales",
    summary="four-part chorales in 4/4 on a grid of sixteenths, bundled: no download; parsed once, in a minute",
    reference="J. S. Bach, the 371 chorales of Riemenschneider's edition, by music21's corpus",
    licence="public domain",
    size="371 chorales",
    bundled="music21",
    modality="music",
)
def chorales(_: Path) -> Pieces:
    """Return the chorales in 4/4 with four voices."""
    music21 = optional("music21", "the chorales need the package music21: pip install 'vaekit[music]'")
    cached = cache_folder() / "chorales" / f"grids-1-music21-{music21.__version__}.npz"
    arrays = kept(cached, lambda: _packed(_parsed(music21)))
    grids = np.split(arrays["grid"], np.cumsum(arrays["steps"])[:-1], axis=1)
    pieces = [Piece(str(name), grid) for name, grid in zip(arrays["names"], grids)]
    left_out = {str(reason): int(count) for reason, count in zip(arrays["reasons"], arrays["counts"])}
    return Pieces("chorales", "music21's corpus", pieces, left_out)


def _packed(music: Pieces) -> dict[str, np.ndarray]:
    return {
        "grid": np.concatenate([piece.grid for piece in music.pieces], 1),
        "steps": np.array([piece.grid.shape[1] for piece in music.pieces]),
        "names": np.array([piece.name for piece in music.pieces]),
        "reasons": np.array(list(music.left_out)),
        "counts": np.array(list(music.left_out.values())),
    }


def _parsed(music21: Any) -> Pieces:
    pieces, left_out = [], {"not in 4/4": 0, "not of four voices": 0}
    listed = music21.corpus.chorales.ChoraleListRKBWV().byRiemenschneider
    for number in sorted(listed):
        score = music21.corpus.parse(f"bach/bwv{listed[number]['bwv']}")
        piece, fault = piece_of(score, f"BWV {listed[number]['bwv']}")
        if piece is None:
            left_out[fault] += 1
        else:
            pieces.append(piece)
    return Pieces("chorales", "music21's corpus", pieces, left_out)


def piece_of(score: Any, name: str) -> tuple[Piece | None, str]:
    """Return a music21 score of four parts in 4/4 on the grid, or None and what is wrong with it.

    Bars begin where the score's first full measure does; an upbeat is the end of a bar that begins with rests.
    """
    parts = list(score.parts)
    if len(parts) != VOICES:
        return None, "not of four voices"
    if {time.ratioString for time in score.recurse().getElementsByClass("TimeSignature")} != {"4/4"}:
        return None, "not in 4/4"
    upbeat = parts[0].getElementsByClass("Measure")[0].paddingLeft
    length = max(float(part.highestTime) for part in parts) + upbeat
    steps = STEPS * -int(-length // (STEPS / 4))
    voices = []
    for part in parts:
        notes = [
            Note(float(note.offset), float(note.duration.quarterLength), pitch.midi)
            for note in part.stripTies().flatten().notes
            for pitch in note.pitches[-1:]
        ]
        voices.append(rasterise(notes, steps, start=-upbeat, name=name))
    return Piece(name, np.stack(voices)), ""
