"""Piano rolls draw the notes there are; drawings say what is no molecule."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vaekit import figures
from vaekit.data.molecules.modality import Molecules, MoleculeSettings
from vaekit.data.music.midi import Note
from vaekit.data.music.modality import Music, MusicSettings
from vaekit.data.music.piano_roll import PER_QUARTER, STEPS, Piece, notes_of
from vaekit.errors import UserError
from vaekit.figures.molecules import LETTERS, drawings, legend, molecules
from vaekit.figures.music import rolls


def test_a_roll_shows_every_note() -> None:
    rng = np.random.default_rng(0)
    grid = rng.choice([0, 1, 1, 60, 64, 70], (2, 2 * STEPS)).astype(np.int16)
    grid[:, 0] = 60
    data = Music().load([Piece("a", grid)], MusicSettings(voices="all", bars=2, valid=0, test=0))
    fig = rolls(data.train.x, data.info.facts)
    (ax,) = fig.axes
    drawn = [path.get_extents() for collection in ax.collections for path in collection.get_paths()]
    shown = sorted((round(box.x0 - 0.08), round(box.width + 0.16), round(box.y0 + 0.4)) for box in drawn)
    notes = [note for voice in notes_of(grid) for note in voice]
    assert shown == sorted((n.onset * PER_QUARTER, n.length * PER_QUARTER, n.pitch) for n in map(Note._make, notes))


def test_an_empty_row_and_what_is_no_word() -> None:
    facts = {"voices": 1, "steps": 16}
    assert figures.png(rolls(np.array([[2, 0, 0], [3, 1, 45]]), facts))[1:4] == b"PNG"


def test_molecules_are_drawn_from_their_tokens() -> None:
    pytest.importorskip("rdkit")
    data = Molecules().load(["CCO", "CC(=O)O", "c1ccccc1"], MoleculeSettings(valid=0, test=0))
    picture = figures.png(molecules(data.train.x, data.info.facts))
    assert picture[1:4] == b"PNG"
    assert picture == figures.png(drawings(Molecules().lines(data.train.x, data.info)))
    assert picture != figures.png(molecules(data.train.x.flip(0), data.info.facts))


def test_what_is_no_molecule_stays_empty(capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("rdkit")
    assert figures.png(drawings(["C1CC", "", "CC"]))[1:4] == b"PNG"
    assert capfd.readouterr().err == ""


def test_without_rdkit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(UserError, match=r"pip install 'vaekit\[mol\]'"):
        drawings(["CC"])


def test_drawings_have_their_smiles_below() -> None:
    pytest.importorskip("rdkit")
    assert (
        legend("CCO", True) == "CCO" and legend("", True) == "(no atoms)" and legend("C1CC", False) == "(no molecule)"
    )
    assert len(legend("C" * 60, True)) <= LETTERS + 1
    with_names = figures.png(drawings(["CCO"]))
    assert with_names != figures.png(drawings(["OCC"])), "the same molecule, written another way"
