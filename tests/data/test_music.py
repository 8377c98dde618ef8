"""Music: MIDI files there and back, the grid, rows of bars, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vaekit.data.datasets import chorales
from vaekit.data.music import piano_roll
from vaekit.data.music.midi import Note, read_midi, write_midi
from vaekit.data.music.modality import Music, MusicSettings, grids_of
from vaekit.data.music.piano_roll import HOLD, REST, STEPS, Piece, notes_of, rasterise, segments, sounding
from vaekit.errors import UserError
from vaekit.tokens import END, SPECIAL


def melody(bars: int, first: int = 60, voices: int = 1) -> Piece:
    rng = np.random.default_rng(first)
    grid = np.where(
        rng.random((voices, bars * STEPS)) < 0.4, rng.integers(first, first + 12, (voices, bars * STEPS)), HOLD
    )
    grid[:, 0] = first
    return Piece(f"piece {first}", grid.astype(np.int16))


def load(source: Any, **more: Any) -> Any:
    return Music().load(source, MusicSettings(**more))


voice = st.lists(st.one_of(st.just(REST), st.just(HOLD), st.integers(21, 108)), min_size=1, max_size=40)


@settings(max_examples=60, deadline=None)
@given(voice)
def test_notes_and_the_grid_are_two_forms_of_one(steps: list[int]) -> None:
    grid = np.array([steps], np.int16)
    notes = notes_of(grid)
    again = np.array([rasterise(notes[0], len(steps))])
    assert notes_of(again) == notes
    np.testing.assert_array_equal(sounding(again), sounding(grid))


@settings(max_examples=40, deadline=None)
@given(st.lists(voice, min_size=1, max_size=4))
def test_midi_comes_back_as_written(tmp_path_factory: pytest.TempPathFactory, voices: list[list[int]]) -> None:
    path = tmp_path_factory.mktemp("midi") / "a.mid"
    parts = [notes_of(np.array([steps], np.int16))[0] for steps in voices]
    write_midi(path, parts)
    found = read_midi(path)
    assert [list(part) for part in found.parts] == [part for part in parts if part]
    assert found.signatures == ((4, 4),)


def test_music21_reads_what_is_written(tmp_path: Path) -> None:
    music21 = pytest.importorskip("music21")
    path = tmp_path / "a.mid"
    parts = notes_of(melody(2, 55, voices=3).grid)
    write_midi(path, parts, tempo=100)
    read = music21.converter.parse(path, quantizePost=False)
    assert len(read.parts) == 3
    for part, notes in zip(read.parts, parts):
        found = [
            (float(n.offset), float(n.duration.quarterLength), n.pitch.midi) for n in part.stripTies().flatten().notes
        ]
        assert found == [tuple(note) for note in notes]
    assert read.flatten().getElementsByClass("MetronomeMark")[0].number == 100


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + len(body).to_bytes(4, "big") + body


HEAD = chunk(b"MThd", bytes((0, 0, 0, 1, 0, 96)))
FINISH = b"\x00\xff\x2f\x00"


def test_running_status_note_on_with_velocity_zero_drums_and_sysex(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    body = b"\x00\xf0\x03\x01\x02\xf7" + b"\x00\x99\x23\x40" + b"\x00\x90\x3c\x40" + b"\x60\x3c\x00" + b"\x00\x3e\x40"
    body += b"\x81\x40\x3e\x00" + b"\x00\xc0\x05" + FINISH
    path.write_bytes(HEAD + chunk(b"XFIH", b"skipped") + chunk(b"MTrk", body))
    assert read_midi(path).parts == ((Note(0, 1, 60), Note(1, 2, 62)),)


def test_of_two_equal_notes_that_overlap_the_first_ends_first(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    body = b"\x00\x90\x3c\x40\x60\x3c\x40\x60\x3c\x00\x60\x3c\x00" + FINISH
    path.write_bytes(HEAD + chunk(b"MTrk", body))
    assert read_midi(path).parts == ((Note(0, 2, 60), Note(1, 2, 60)),)


def test_a_note_never_ended_sounds_to_the_end_of_its_track(tmp_path: Path) -> None:
    path = tmp_path / "a.mid"
    path.write_bytes(HEAD + chunk(b"MTrk", b"\x00\x90\x3c\x40\x81\x40\xff\x2f\x00"))
    assert read_midi(path).parts == ((Note(0, 2, 60),),)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "does not begin with MThd"),
        (b"RIFF....", "does not begin with MThd"),
        (HEAD, "no tracks"),
        (HEAD + b"MTrk\x00\x00\x00\x20\x00", "cut off"),
        (HEAD + chunk(b"MTrk", b"\x00\x90\x3c"), "cut off"),
        (HEAD + chunk(b"MTrk", b"\x00\x3c\x40"), "event 0x0"),
        (HEAD + chunk(b"MTrk", b"\xff\xff\xff\xff\xff\x90"), "more than four bytes"),
        (chunk(b"MThd", bytes((0, 0, 0, 1, 0xE7, 40))) + chunk(b"MTrk", FINISH), "in frames"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.mid"
    path.write_bytes(data)
    with pytest.raises(UserError, match=words) as error:
        read_midi(path)
    assert "bad.mid" in str(error.value)


def test_rows_spell_the_pieces() -> None:
    whole = melody(3, 50, voices=2)
    data = load([whole], voices="all", bars=3, valid=0, test=0)
    assert data.info.shape == (3 * 2 * STEPS + 1,) and data.train.x[0, -1] == END
    np.testing.assert_array_equal(grids_of(data.train.x, data.info)[0], whole.grid)
    words = [data.info.facts["vocabulary"][i - SPECIAL] for i in data.train.x[0, :4].tolist()]
    assert words[:2] == ["D3", "D3"]


def test_segments_begin_notes_anew_and_lose_nothing() -> None:
    piece = Piece("", np.array([[60] + [HOLD] * (3 * STEPS - 1)], np.int16))
    parts = segments(piece, 2, 2)
    assert [part.shape[1] for part in parts] == [2 * STEPS, STEPS]
    assert parts[1][0, 0] == 60
    whole = melody(7)
    pitches = np.concatenate([sounding(part) for part in segments(whole, 2, 2)], 1)
    np.testing.assert_array_equal(pitches, sounding(whole.grid))


def test_training_rows_overlap_and_move_held_out_ones_do_not() -> None:
    source = [melody(8, first) for first in (50, 60, 70, 80)]
    data = load(source, bars=2, stride=1, transpose=2, valid=1, test=1)
    assert len(data.train) == 2 * 7 * 5 and len(data.valid) == len(data.test) == 4
    plain = load(source, bars=2, stride=1, valid=1, test=1)
    assert torch.equal(plain.test.x, data.test.x) and torch.equal(plain.valid.x, data.valid.x)
    assert {tuple(row) for row in plain.train.x.tolist()} <= {tuple(row) for row in data.train.x.tolist()}
    assert len(load(source, bars=2, limit=3, transpose=1, valid=1, test=1).train) == 9


def test_whole_pieces_are_held_out() -> None:
    data = load([melody(6, first) for first in (40, 55, 70, 85)], bars=1, valid=1, test=1)

    def ranges(x: Any) -> set[int]:
        return {int((grid[grid >= 21]).min()) // 15 for grid in grids_of(x, data.info) if (grid >= 21).any()}

    groups = [ranges(split.x) for split in (data.train, data.valid, data.test)]
    assert all(not a & b for i, a in enumerate(groups) for b in groups[i + 1 :])


def test_the_last_row_of_a_piece_may_be_short() -> None:
    data = load([melody(3)], bars=2, stride=2, valid=0, test=0)
    assert data.train.x[1, STEPS] == END and data.train.x[1, STEPS + 1 :].eq(0).all()


def test_writing_keeps_every_note(tmp_path: Path) -> None:
    pieces = [melody(2, 50), melody(2, 65)]
    data = load(pieces, bars=2, valid=0, test=0)
    path = tmp_path / "out.mid"
    Music().write(path, data.train.x, data.info)
    gap = (2 + 1) * STEPS / piano_roll.PER_QUARTER
    notes = notes_of(pieces[0].grid)[0] + [n._replace(onset=n.onset + gap) for n in notes_of(pieces[1].grid)[0]]
    assert list(read_midi(path).parts[0]) == notes
    Music().write(tmp_path / "out.txt", data.train.x, data.info)
    assert (tmp_path / "out.txt").read_text().startswith("D3 ")


def test_a_folder_of_files_is_read_and_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_midi(tmp_path / "a.mid", notes_of(melody(2, 60, voices=2).grid))
    write_midi(tmp_path / "deep" / "b.MID", notes_of(melody(2, 50, voices=2).grid))
    data = load(tmp_path, voices="all", bars=1, valid=0, test=0)
    assert len(data.train) == 4 and data.info.facts["voices"] == 2
    three = bytes((0, 0xFF, 0x58, 4, 3, 2, 24, 8)) + b"\x00\x90\x3c\x40\x60\x3c\x00" + FINISH
    (tmp_path / "waltz.mid").write_bytes(HEAD + chunk(b"MTrk", three))
    with pytest.raises(UserError, match=r"waltz.mid has bars of 3/4"):
        load(tmp_path)
    with pytest.warns(UserWarning, match="left out 1 of 3 files"):
        assert load(tmp_path, invalid="drop", valid=0, test=0).info.facts["left_out"] == {"files": 1}
    with pytest.raises(UserError, match="waltz"):  # the one file that was asked for is not dropped
        load(tmp_path / "waltz.mid", invalid="drop")


def test_other_refusals(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.mid files"):
        load(tmp_path)
    with pytest.raises(UserError, match="cannot read"):
        load(tmp_path / "nothing.mid")
    with pytest.raises(UserError, match=r"list of vaekit\.data\.music\.piano_roll\.Piece"):
        load([1, 2])
    write_midi(tmp_path / "silent.mid", [[]])
    with pytest.raises(UserError, match="no notes"):
        load(tmp_path / "silent.mid")
    write_midi(tmp_path / "silent.mid", [[Note(0, 1, 110)]])
    with pytest.raises(UserError, match=r"silent.mid has the pitch 110, outside"):
        load(tmp_path / "silent.mid")
    info = load([melody(2, voices=2)], voices="all", valid=0, test=0).info
    with pytest.raises(UserError, match="has 3 voices, and this run's music 2"):
        Music().encode([melody(2, voices=3)], info, MusicSettings())


def test_music21_scores_become_pieces() -> None:
    music21 = pytest.importorskip("music21")
    found = music21.corpus.parse("bach/bwv347")
    piece, fault = chorales.piece_of(found, "BWV 347")
    assert piece is not None and not fault
    # the upbeat of one quarter ends a bar that begins with rests
    assert (piece.grid[:, :12] == REST).all() and (piece.grid[:, 12] >= 21).all()
    for part, notes in zip(found.parts, notes_of(piece.grid)):
        truth = [
            (float(n.offset) + 3, float(n.duration.quarterLength), n.pitch.midi)
            for n in part.stripTies().flatten().notes
        ]
        assert [tuple(note) for note in notes] == truth
    assert chorales.piece_of(music21.corpus.parse("bach/bwv269"), "") == (None, "not in 4/4")


def test_parsed_chorales_are_kept_and_damage_is_parsed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("music21")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = piano_roll.Pieces("chorales", "music21's corpus", [melody(3, 50, 4), melody(5, 60, 4)], {"not in 4/4": 2})
    calls = []
    monkeypatch.setattr(chorales, "_parsed", lambda music21: calls.append(1) or made)
    for _ in range(2):
        found = chorales.chorales(Path())
        assert found.left_out == made.left_out and [p.name for p in found.pieces] == ["piece 50", "piece 60"]
        for a, b in zip(found.pieces, made.pieces):
            np.testing.assert_array_equal(a.grid, b.grid)
    assert calls == [1]
    kept = next(tmp_path.rglob("*.npz"))
    kept.write_bytes(kept.read_bytes()[:100])
    assert len(chorales.chorales(Path()).pieces) == 2 and calls == [1, 1]


def test_without_music21_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "music21", None)
    with pytest.raises(UserError, match=r"pip install 'vaekit\[music\]'"):
        chorales.chorales(Path())
