"""A table conditioned on its columns, from training to rows with names, at the command line; and rows of any table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from commands.conftest import Command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table of customers: a kind, an amount that follows it, a number that follows both."""
    home = tmp_path_factory.mktemp("conditions")
    rng = np.random.default_rng(0)
    fraud = rng.random(400) < 0.2
    amount = np.where(fraud, rng.normal(300, 50, 400), rng.normal(100, 30, 400)).round(1)
    with (home / "t.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["town", "status", "score", "amount"])
        for i in range(400):
            status = "" if i % 40 == 0 else "fraud" if fraud[i] else "fine"
            out.writerow([("Hull", "York")[i % 2], status, round(amount[i] / 10 + rng.normal(), 2), amount[i]])
    return home


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_given_two_of_its_columns(vaekit: Command, home: Path) -> None:
    made = vaekit("train", "cvae", "--data", home / "t.csv", "--out", home / "cvt", "--steps", 60, "--set",
                  "data.label=status,amount", "--set", "objective.k=2")  # fmt: skip
    assert made.code == 0, made.err
    record = json.loads((home / "cvt" / "run.json").read_text())
    assert record["recipe"] == "tabular-cvae"
    kept = record["data"]["info"]["condition"]
    assert [(one["name"], one["type"], one["missing"]) for one in kept] == [
        ("status", "categorical", True),
        ("amount", "positive", False),
    ]
    assert list((home / "cvt" / "figures").glob("latent_map.png"))
    for extra, rows in (([], 6), (["--where", "status=fraud,amount=200..400"], 6), (["--where", "amount=50"], 6)):
        assert vaekit("sample", home / "cvt", "-n", rows, *extra, "--out", home / "cvt.csv").code == 0
        table = read(home / "cvt.csv")
        assert len(table) == rows and list(table[0]) == ["town", "status", "score", "amount"]
    assert {row["amount"] for row in table} == {"50.0"}
    asked = ["--where", "status=fraud,amount=200..400,score=20..", "--out", home / "some.csv"]
    done = vaekit("sample", home / "cvt", "-n", 6, *asked)
    assert done.code == 0 and "exact" in done.err
    for row in read(home / "some.csv"):
        assert row["status"] == "fraud" and 200 <= float(row["amount"]) <= 400 and float(row["score"]) >= 20
    assert vaekit("encode", home / "cvt", "--out", home / "z.csv").code == 0
    assert set(read(home / "z.csv")[0]) >= {"z0", "status", "amount"}
    assert vaekit("evaluate", home / "cvt", "--k", 5).code == 0


def test_rows_of_a_table_that_meet_a_condition(vaekit: Command, home: Path) -> None:
    made = vaekit("train", "tabular-vae", "--data", home / "t.csv", "--out", home / "plain", "--steps", 60)
    assert made.code == 0, made.err
    done = vaekit(
        "sample", home / "plain", "-n", 20, "--where", "status=fraud,amount=100..500", "--out", home / "r.csv"
    )
    assert done.code == 0 and "by rejection, which is exact" in done.err
    rows = read(home / "r.csv")
    assert len(rows) == 20
    assert all(row["status"] == "fraud" and 100 <= float(row["amount"]) <= 500 for row in rows)
    done = vaekit("sample", home / "plain", "-n", 5, "--where", "amount=120.5", "--out", home / "r.csv")
    assert done.code == 0 and "effective sample size" in done.err
    assert {row["amount"] for row in read(home / "r.csv")} == {"120.5"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--where", "status"], "column=value"),
        (["--where", "status=theft"], "fine, fraud"),
        (["--where", "stats=fraud"], "did you mean 'status'"),
        (["--where", "status=fraud", "--label", "fraud"], "leave --label"),
        (["--label", "fraud"], "not conditioned"),
        (["--where", "amount=1e7.."], "too rare"),
    ],
)
def test_what_cannot_be_is_one_sentence(vaekit: Command, home: Path, more: list[str], words: str) -> None:
    if not (home / "plain").exists():
        vaekit("train", "tabular-vae", "--data", home / "t.csv", "--out", home / "plain", "--steps", 20)
    done = vaekit("sample", home / "plain", *more, "--out", home / "none.csv")
    assert done.code == 2 and words in done.err and not (home / "none.csv").exists()


def test_numbers_in_an_archive_are_conditions(vaekit: Command, home: Path) -> None:
    rng = np.random.default_rng(1)
    y = rng.uniform(0, 1, (100, 5)) > 0.5
    np.savez(home / "a.npz", x=rng.normal(size=(100, 4)).astype(np.float32), y=np.c_[y, rng.normal(size=100)])
    assert vaekit("train", "cvae", "--data", home / "a.npz", "--out", home / "a", "--steps", 5).code == 0
    assert vaekit("sample", home / "a", "-n", 3, "--where", "y0=1,y5=0.3", "--out", home / "a-3.npz").code == 0
    assert np.load(home / "a-3.npz")["y"].shape == (3, 12)
    done = vaekit("sample", home / "a", "-n", 3, "--label", "1", "--out", home / "a-3.npz")
    assert done.code == 2 and "say which, where y0=" in done.err
    done = vaekit("sample", home / "a", "-n", 3, "--where", "y9=1", "--out", home / "a-3.npz")
    assert done.code == 2 and "no attribute 'y9'" in done.err
