"""A made table of every kind of column: trained on, sampled, imputed and scored in its own form."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import vaekit
from vaekit.commands.common import Answer
from vaekit.commands.impute import impute as impute_file
from vaekit.commands.main import run as command
from vaekit.errors import UserError
from vaekit.tasks.imputation import impute

GAPS = ("", "NA", "?")
KINDS = ("age", "spent", "visits", "town", "grade", "joined")


def made(path: Path, n: int = 240, missing: float = 0.2, seed: int = 0) -> Path:
    """Write a table whose columns all follow one hidden factor; a constant and a running number beside them."""
    noise = np.random.default_rng(seed)
    f = noise.normal(size=n)
    columns: dict[str, list[str]] = {
        "nr": [f"C-{i:04d}" for i in range(n)],
        "age": [f"{v:.1f}" for v in 40 + 10 * f + 3 * noise.normal(size=n)],
        "spent": [f"{v:.2f}" for v in np.exp(3 + f + 0.2 * noise.normal(size=n))],
        "visits": [str(v) for v in noise.poisson(np.exp(2 + 0.8 * f))],
        "town": np.where(f + 0.3 * noise.normal(size=n) > 0, "Hull", "York").tolist(),
        "grade": [("low", "mid", "high")[int(v)] for v in np.clip(np.floor(1.5 + f), 0, 2)],
        "joined": (np.datetime64("2021-06-15") + (60 * f).astype(int)).astype(str).tolist(),
        "country": ["UK"] * n,
    }
    for name in KINDS:
        for i in np.flatnonzero(noise.random(n) < missing):
            columns[name][i] = GAPS[i % 3]
    columns["country"][3] = ""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values()))
    return path


def call(*words: object) -> object:
    """Run the command line; return its exit code."""
    with pytest.raises(SystemExit) as end:
        command([str(word) for word in words])
    return end.value.code


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as stream:
        return list(csv.reader(stream))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tables")
    data = made(folder / "table.csv")
    with pytest.warns(UserWarning, match="'nr' has a different text.*'country' is 'UK'"):
        return vaekit.train(
            "tabular-vae",
            data,
            out=folder / "run",
            steps=250,
            lr=5e-3,
            device="cpu",  # tests call the model on CPU tensors
            pictures=False,
            set={
                "model.hidden": (32,),
                "model.latent": 2,
                "objective.k": 5,
                "data.types": {"grade": "ordinal:low<mid<high"},
            },
        )


@pytest.fixture
def data(run: Any) -> Path:
    return Path(run.record["data"]["source"])


def test_it_learns_what_the_columns_share(run: Any) -> None:
    found = run.evaluate(["imputation", "columns"], k=200)
    assert found["impute_rmse"].value < 0.75 * found["impute_rmse_mean"].value
    assert found["impute_accuracy"].value > found["impute_accuracy_mode"].value
    assert found["cell_nll"].stderr > 0
    assert {name.partition(".")[2] for name in found if name.startswith("column_nll.")} == set(KINDS)
    assert {name.partition(".")[2] for name in found if name.startswith("column_accuracy.")} == {"town", "grade"}
    mean = sum(found[f"column_nll.{name}"].value * found[f"column_nll.{name}"].n for name in KINDS)
    assert mean / found["cell_nll"].n == pytest.approx(found["cell_nll"].value, rel=1e-5)


def test_samples_are_a_table_that_a_person_can_read(run: Any, tmp_path: Path) -> None:
    x = run.sample(5)
    run.modality.write(tmp_path / "s.csv", x, run.info)
    header, *rows = rows_of(tmp_path / "s.csv")
    assert header == [*KINDS, "country"] and len(rows) == 5
    for row in rows:
        cells = dict(zip(header, row))
        assert (cells["visits"] or "0").isdigit() and cells["town"] in ("", "Hull", "York") and cells["country"] == "UK"
        assert not cells["spent"] or float(cells["spent"]) > 0
        assert cells["grade"] in ("", "low", "mid", "high")  # gaps are as frequent as in the rows


def test_imputing_leaves_every_observed_cell_as_it_was_written(
    run: Any, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    impute_file(run.path, data=str(data), draws=2, k=100, out=tmp_path / "f.csv", answer=Answer(json=True))
    found = json.loads(capsys.readouterr().out)
    before, after = rows_of(data), rows_of(tmp_path / "f.csv")
    assert before[0] == after[0] and len(before) == len(after)
    gaps = 0
    for old, new in zip(before[1:], after[1:]):
        for a, b in zip(old, new):
            gaps += a in GAPS
            assert b not in GAPS if a in GAPS else a == b
    assert found["missing"] == gaps > 200
    assert after[4][-1] == "UK"


def test_imputing_many_times_over(run: Any, data: Path, tmp_path: Path) -> None:
    words = ("impute", run.path, "--data", data, "--out", tmp_path / "m.csv", "--draws", 3, "--k", 50)
    assert call(*words) in (0, None) and len(rows_of(tmp_path / "m.csv")) == 241
    assert call(*words, "--multiple") in (0, None)
    header, *rows = rows_of(tmp_path / "m.csv")
    assert header[0] == "imputation" and [row[0] for row in rows] == ["0"] * 240 + ["1"] * 240 + ["2"] * 240
    town = header.index("town")
    first, second = ([row[1:] for row in rows if row[0] == m] for m in "01")
    assert first != second and {row[town] for row in rows} == {"Hull", "York"}


def test_both_methods_agree_and_keep_what_is_observed(run: Any) -> None:
    x = run.prepared(run.record["data"]["source"]).x[:60]
    # Filled as cells that were observed: what a missing one would have held is another question.
    x[:, [bool(column.get("gap_of")) for column in run.info.facts["columns"]]] = 0.0
    seen = ~torch.isnan(x)
    close = impute(run.model, x, None, draws=5, k=400)
    near, draws = close.mean, close.draws
    far = impute(run.model, x, None, method="gibbs", draws=5, k=400).mean
    for filled in (near, far, *draws):
        assert torch.equal(filled[seen], x[seen]) and not torch.isnan(filled).any()
    real = torch.zeros_like(seen)
    real[:, :2] = ~seen[:, :2]
    assert float((near - far)[real].square().mean().sqrt()) < 0.5


def test_imputing_depends_on_the_row_alone(run: Any) -> None:
    x = run.prepared(run.record["data"]["source"]).x[:20]
    whole = impute(run.model, x, None, draws=1, k=64).mean
    turn = torch.randperm(20)
    shuffled = impute(run.model, x[turn], None, draws=1, k=64).mean
    torch.testing.assert_close(shuffled, whole[turn], rtol=1e-4, atol=1e-4)
    alone = impute(run.model, x[7:8], None, draws=1, k=64).mean
    torch.testing.assert_close(alone, whole[7:8], rtol=1e-4, atol=1e-4)


def test_refusals(run: Any, tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.csv", missing=0.0)
    text = whole.read_text().replace("UK", "").splitlines()
    whole.write_text("\n".join(line.removesuffix(",") for line in text).replace(",country", "") + "\n")
    options: Any = {"draws": 1, "k": 10}
    with pytest.raises(UserError, match="nothing to impute"):
        impute_file(run.path, data=str(whole), out=tmp_path / "f.csv", **options)
    with pytest.raises(UserError, match="write a file ending in"):
        impute_file(run.path, data=str(whole), out=tmp_path / "f.png", **options)
    odd = tmp_path / "odd.csv"
    odd.write_text("age,town\n12.0,\n,Rome\n")
    with pytest.raises(UserError, match="line 3, column 'town': 'Rome' is not among"), pytest.warns(UserWarning):
        impute_file(run.path, data=str(odd), out=tmp_path / "f.csv", **options)
    assert not (tmp_path / "f.csv").exists()


def test_new_rows_near_given_ones_are_a_table(run: Any, tmp_path: Path) -> None:
    assert call("augment", run.path, "--out", tmp_path / "a.csv", "-n", 6) in (0, None)
    header, *rows = rows_of(tmp_path / "a.csv")
    assert header == [*KINDS, "country"] and len(rows) == 6 and {row[-1] for row in rows} == {"UK"}
    assert call("augment", run.path, "--out", tmp_path / "a.npz", "-n", 6) in (0, None)


def test_anomalies_of_a_table(run: Any, data: Path, tmp_path: Path) -> None:
    assert call("detect", run.path, "--data", data, "--out", tmp_path / "d.csv", "--k", 16) in (0, None)
    scores = [float(row[1]) for row in rows_of(tmp_path / "d.csv")[1:]]
    assert len(scores) == 240 and np.isfinite(scores).all()


def test_cells_of_a_file_that_were_there_stay_as_they_were_written(tmp_path: Path) -> None:
    given = [["1.50", "x"], ["2.5", "y"], ["", "x"], ["3.250", ""]] * 20
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(",".join(row) + "\n" for row in given))
    run = vaekit.train("tabular-vae", tmp_path / "t.csv", steps=5, set={"data.repeats": "apart"}, pictures=False)
    found = run.impute_table(tmp_path / "t.csv", draws=1, k=10)
    for filled in (found.rows(), found.rows(0)):
        assert all(new == old or old == "" for row, own in zip(filled, given) for new, old in zip(row, own))
        assert all(cell for row in filled for cell in row)
