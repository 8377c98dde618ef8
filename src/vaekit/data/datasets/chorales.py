"""Bach's chorales from music21's corpus, parsed once and kept in the user's cache as plain arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from vaekit.atomic import replacing
from vaekit.data.datasets import DATASETS
from vaekit.data.download import cache_folder
from vaekit.data.music.midi import Note
from vaekit.data.music.piano_roll import STEPS, Piece, Pieces, rasterise
from vaekit.errors import UserError

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
    music21 = need_music21()
    cached = cache_folder() / "chorales" / f"grids-1-music21-{music21.__version__}.npz"
    music = _cached(cached) or _parsed(music21)
    if not cached.is_file():
        _keep(cached, music)
    return music


def need_music21() -> Any:
    """Import music21.

    Raises:
        UserError: it is not installed.
    """
    try:
        import music21
    except ImportError:
        raise UserError("the chorales need the package music21: pip install 'vaekit[music]'") from None
    return music21


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


def _cached(path: Path) -> Pieces | None:
    """Return what was parsed before, or None where there is nothing, or nothing whole."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
            grids = np.split(kept["grid"], np.cumsum(kept["steps"])[:-1], axis=1)
            names = [str(name) for name in kept["names"]]
            left_out = {str(name): int(n) for name, n in zip(kept["reasons"], kept["counts"])}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return Pieces("chorales", "music21's corpus", [Piece(n, g) for n, g in zip(names, grids)], left_out)


def _keep(path: Path, music: Pieces) -> None:
    """Write the parsed grids; a cache that cannot be written is left out."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            np.savez_compressed(
                part,
                grid=np.concatenate([piece.grid for piece in music.pieces], 1),
                steps=np.array([piece.grid.shape[1] for piece in music.pieces]),
                names=np.array([piece.name for piece in music.pieces]),
                reasons=np.array(list(music.left_out)),
                counts=np.array(list(music.left_out.values())),
            )
    except OSError:
        return
