"""Optimising molecules: the table tells true properties, and a run without a property is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from recipes import examples
from vaekit.commands.main import run as command
from vaekit.commands.optimise import optimise
from vaekit.errors import UserError
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.tasks.optimisation import summary

pytest.importorskip("rdkit")
pytest.importorskip("selfies")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("optimising")
    settings = {"model.width": 24, "model.embedding": 16, "model.latent": 6, "data.property": "logp", "train.lr": 5e-3}
    return train("molecule-vae", examples.smiles(), out=folder / "run", steps=120, set=settings, pictures=False)


def test_the_table_holds_true_properties(trained: Run, tmp_path: Path) -> None:
    from rdkit import Chem
    from rdkit.Chem import Crippen, DataStructs, rdFingerprintGenerator

    assert trained.path is not None
    optimise(trained.path, n=6, steps=20, out=tmp_path / "out.csv")
    found = summary(trained.optimise(n=6, steps=20), minimise=False)
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == found["n"] == 6
    maker = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=1024)
    for row in rows:
        first, last = Chem.MolFromSmiles(row["molecule"]), Chem.MolFromSmiles(row["optimised"])
        assert float(row["before"]) == pytest.approx(Crippen.MolLogP(first))  # pyright: ignore[reportAttributeAccessIssue]
        if row["optimised"]:
            assert float(row["after"]) == pytest.approx(Crippen.MolLogP(last))  # pyright: ignore[reportAttributeAccessIssue]
            pair = maker.GetFingerprint(first), maker.GetFingerprint(last)
            assert float(row["similarity"]) == pytest.approx(DataStructs.TanimotoSimilarity(*pair))
    gains = [float(row["after"]) - float(row["before"]) for row in rows if row["optimised"]]
    assert found["gain"]["value"] == pytest.approx(np.mean(gains)) and found["valid"] == len(gains) / 6


def test_up_and_down_part(trained: Run) -> None:
    up, down = (trained.optimise(steps=40, minimise=minimise) for minimise in (False, True))
    assert (up["predicted"] > down["predicted"]).all()
    assert list(up["reconstruction"]) == list(down["reconstruction"])
    assert np.nanmean(up["after"]) > np.nanmean(down["after"])


def test_the_command(trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.smi").write_text("CCO\nCCCN\n")
    arguments = ["--data", str(tmp_path / "mine.smi"), "--out", str(tmp_path / "out.npz"), "--json"]
    with pytest.raises(SystemExit) as stop:
        command(["optimise", str(trained.path), *arguments])
    assert stop.value.code == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["n"] == 2
    with np.load(tmp_path / "out.npz", allow_pickle=False) as kept:
        assert kept["molecule"].tolist() == ["CCO", "CCCN"]


def test_what_cannot_be_optimised_is_refused(tmp_path: Path, trained: Run) -> None:
    settings = {"model.width": 8, "model.embedding": 8, "model.latent": 2}
    plain = train("molecule-vae", examples.smiles(), out=tmp_path / "run", steps=2, set=settings, pictures=False)
    assert plain.path is not None and trained.path is not None
    with pytest.raises(UserError, match=r"predicts no property; train molecule-vae with data\.property"):
        optimise(plain.path, out=tmp_path / "out.csv")
    with pytest.raises(UserError, match="write a file ending in"):
        optimise(trained.path, out=tmp_path / "out.png")
    with pytest.raises(UserError, match="-n must be at least 1"):
        optimise(trained.path, n=0, out=tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
