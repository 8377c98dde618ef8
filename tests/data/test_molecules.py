"""Molecules: reading, refusing, tokens there and back, and files written."""

from __future__ import annotations

import builtins
import csv
import gzip
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vaekit.data.datasets.smiles import moses, nci
from vaekit.data.molecules import chemistry
from vaekit.data.molecules.modality import Molecules, MoleculeSettings
from vaekit.errors import UserError
from vaekit.tokens import END, UNKNOWN, lengths

pytest.importorskip("rdkit")
pytest.importorskip("selfies")

SMILES = ["CCO", "c1ccccc1", "CC(=O)O", "C[N+](C)(C)CC(=O)[O-]", "F/C=C/F", "CC%12CCCC%12", "N[C@@H](C)C(=O)O", "ClCBr"]
ALL = {"valid": 0, "test": 0}


def load(source: Any, **settings: Any) -> Any:
    return Molecules().load(source, MoleculeSettings(**settings))


@pytest.mark.parametrize("representation", ["selfies", "smiles"])
def test_tokens_spell_the_same_molecule(representation: Any) -> None:
    data = load(SMILES, representation=representation, **ALL)
    shown = Molecules().lines(data.train.x, data.info)
    assert [chemistry.canonical(text) for text in shown] == [chemistry.canonical(text) for text in SMILES]
    assert data.info.levels == 4 + len(data.info.facts["vocabulary"])
    assert data.info.shape == (int(lengths(data.train.x).max()),)


def test_every_row_of_selfies_is_a_molecule() -> None:
    data = load(SMILES, **ALL)
    torch.manual_seed(0)
    rows = torch.randint(4, data.info.levels, (200, data.info.shape[0]))
    assert all(chemistry.canonical(text) for text in Molecules().lines(rows, data.info))


def test_lines_that_are_no_molecule_are_refused_by_number(tmp_path: Path) -> None:
    path = tmp_path / "some.smi"
    path.write_text("CCO ethanol\n\nC1CC broken\nCC\n")
    with pytest.raises(UserError, match=r"line 3 \('C1CC'\) is not a molecule; correct it, or .* data.invalid=drop"):
        load(path)
    with pytest.warns(UserWarning, match=r"left out line 3 \('C1CC'\)"):
        data = load(path, invalid="drop", **ALL)
    assert data.info.facts["left_out"]["invalid"] == 1 and len(data.train) == 2


def test_what_has_no_selfies_is_named_too() -> None:
    hypervalent = "c1ccc2c(c1)[I]c1ccccc12"
    with pytest.raises(UserError, match=r"molecule 2 .* has no SELFIES"):
        load(["CC", hypervalent])
    assert len(load(["CC", hypervalent], representation="smiles", **ALL).train) == 2


def test_rdkit_says_nothing_and_speaks_again_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    from rdkit import Chem

    assert chemistry.canonical("C1CC") is None
    assert capfd.readouterr().err == ""
    Chem.MolFromSmiles("C1CC")
    assert "unclosed ring" in capfd.readouterr().err


def test_the_same_molecule_is_met_once_however_it_is_written() -> None:
    data = load(["OCC", "CCO", "C(O)C", "CC"], **ALL)
    assert len(data.train) == 2 and data.info.facts["left_out"]["duplicate"] == 2
    assert len(load(["OCC", "CCO"], duplicates="keep", **ALL).train) == 2


def test_long_molecules_are_left_out() -> None:
    data = load(["C" * 30, "CC", "CCC"], longest=10, **ALL)
    assert len(data.train) == 2 and data.info.facts["left_out"]["too long"] == 1
    with pytest.raises(UserError, match=r"no molecule that data\.longest=3"):
        load(["CCCC"], longest=3)


def test_the_vocabulary_is_the_training_splits() -> None:
    many = ["C" * n for n in range(1, 20)] + ["CBr"]
    for seed in range(40):
        data = load(many, valid=0.1, test=0.2, seed=seed)
        words = data.info.facts["vocabulary"]
        held = torch.cat([data.valid.x, data.test.x])
        if "[Br]" not in words:
            assert int((held == UNKNOWN).sum()) == 1
            counts = data.info.facts["counts"]
            assert counts["unknown in train"] == 0 and counts["unknown in valid"] + counts["unknown in test"] == 1
            return
    raise AssertionError("no seed held the bromine out")


def test_a_table_and_packed_files(tmp_path: Path) -> None:
    table = tmp_path / "some.csv.gz"
    with gzip.open(table, "wt") as out:
        out.write("id,SMILES\n1,CCO\n2,CC\n")
    assert len(load(table, **ALL).train) == 2
    (tmp_path / "other.csv").write_text("id;smiles\n1;CCO\n2;CC\n")
    assert len(load(tmp_path / "other.csv", **ALL).train) == 2
    for text in ("SMILES name\nCCO ethanol\nCC ethane\n", "smiles,name\nCCO,ethanol\nCC,ethane\n"):
        (tmp_path / "some.smi").write_text(text)
        assert Molecules().lines(load(tmp_path / "some.smi", **ALL).train.x, load(table, **ALL).info) == ["CCO", "CC"]
    plain = tmp_path / "some.csv"
    plain.write_text("a,b\nCCO,1\nCC,2\n")
    with pytest.raises(UserError, match=r"no column smiles; set data.column to one of a, b"):
        load(plain)
    assert len(load(plain, column="a", **ALL).train) == 2
    plain.write_text("smiles,b\nCCO,1\nC1,2\n")
    with pytest.raises(UserError, match=r"row 2 \('C1'\) is not a molecule"):
        load(plain)
    plain.write_text("a,smiles\nCCO\n")
    with pytest.raises(UserError, match="row 1 has 1 of 2 columns"):
        load(plain)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no molecules"),
        (b"CC\xff\x81\n", "not UTF-8"),
        (gzip.compress(b"CCO\n" * 50, mtime=0)[:-9], "damaged gzip file"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.smi"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        load(path)
    assert "bad.smi" in str(error.value)


def test_a_missing_file_and_wrong_values() -> None:
    with pytest.raises(UserError, match="cannot read"):
        load("nowhere.smi")
    with pytest.raises(UserError, match="list of SMILES"):
        load(np.zeros((3, 2)))


def test_other_molecules_are_read_with_the_runs_vocabulary(tmp_path: Path) -> None:
    data = load(SMILES, **ALL)
    path = tmp_path / "other.smi"
    path.write_text("CCI\nCCO\nCCO\n")
    with pytest.warns(
        UserWarning, match=r"1 of 9 tokens are unknown to this run \(\[I\]\), the first in line 1: .*one code"
    ):
        split = Molecules().encode(path, data.info, MoleculeSettings())
    assert split.x.shape == (3, data.info.shape[0])
    assert UNKNOWN in split.x[0].tolist() and UNKNOWN not in split.x[1].tolist()
    assert torch.equal(split.x[1], split.x[2])
    path.write_text("CC\n" + "C" * 60 + "\n")
    with pytest.raises(UserError, match=r"line 2 has 60 tokens, and this run takes at most"):
        Molecules().encode(path, data.info, MoleculeSettings())


def test_a_property_becomes_standardised_labels() -> None:
    from rdkit import Chem
    from rdkit.Chem import Descriptors

    data = load(SMILES, property="weight", valid=1, test=1)
    fact = data.info.facts["property"]
    mass = [Descriptors.MolWt(Chem.MolFromSmiles(text)) for text in Molecules().lines(data.train.x, data.info)]  # pyright: ignore[reportAttributeAccessIssue]
    assert data.train.y.shape == (6, 1)
    np.testing.assert_allclose(data.train.y[:, 0].numpy() * fact["sd"] + fact["mean"], mass, rtol=1e-5)
    assert abs(float(data.train.y.mean())) < 1e-6
    assert data.valid.y.shape == (1, 1) and data.test.y is None


@pytest.mark.parametrize("name", ["out.smi", "out.csv"])
def test_written_files_are_read_again(tmp_path: Path, name: str) -> None:
    data = load(SMILES, **ALL)
    Molecules().write(tmp_path / name, data.train.x, data.info)
    assert torch.equal(load(tmp_path / name, **ALL).train.x, data.train.x)
    if name.endswith(".csv"):
        with (tmp_path / name).open() as file:
            assert next(csv.reader(file)) == ["smiles"]


def test_a_limit_reads_no_more_than_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.data.molecules import modality as molecules

    seen = 0
    true = molecules.canonical

    def counted(text: str) -> str | None:
        nonlocal seen
        seen += 1
        return true(text)

    monkeypatch.setattr(molecules, "canonical", counted)
    many = ["C" * n + "O" for n in range(1, 101)]
    data = load(many, limit=16)
    assert data.info.n_train == 16 and seen < 50


def test_the_bundled_set() -> None:
    found = nci(Path())
    data = Molecules().load(found, MoleculeSettings(limit=300))
    assert len(found.rows) == 4999 and data.info.n_train == 300 and data.info.name == "nci"
    assert set(data.info.facts["left_out"]) == {"invalid", "duplicate", "too long"}


def test_moses_is_found_beside_its_package_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "moses" / "dataset" / "data"
    folder.mkdir(parents=True)
    (tmp_path / "moses" / "__init__.py").write_text("raise RuntimeError('imported')")
    with gzip.open(folder / "train.csv.gz", "wt") as out:
        out.write("SMILES\nCCO\nCC\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert [text for _, text in moses(Path()).rows] == ["CCO", "CC"]
    assert "moses" not in sys.modules


@pytest.mark.parametrize("package", ["rdkit", "selfies"])
def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    true = builtins.__import__

    def fail(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == package:
            raise ImportError(name)
        return true(name, *rest, **more)

    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.import_module", lambda name: fail(name))
    with pytest.raises(UserError, match=rf"need the package {package}: pip install 'vaekit\[mol\]'"):
        chemistry.need(f"{package}.anything")


def test_end_stands_after_the_tokens() -> None:
    data = load(["C", "CC"], **ALL)
    assert data.train.x.tolist() == [[4, END, 0], [4, 4, END]]
