"""Outputs name the file, row, line or node of each line, and what was left out; own held-out data by flags."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from vaekit.runs.train import train

RNG = np.random.default_rng(2)
SMALL: dict[str, Any] = {"model.hidden": 8, "model.latent": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures in a folder a label, and a run on it."""
    root = tmp_path_factory.mktemp("names")
    for i in range(24):
        place = root / "pictures" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RNG.integers(0, 256, (6, 6)).astype(np.uint8)).save(place / f"img {i:02d}.png")
    train("vae", root / "pictures", out=root / "run", steps=2, set=SMALL, pictures=False)
    return root


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


@pytest.mark.parametrize(
    "words",
    [
        ("encode",),
        ("detect", "--score", "reconstruction"),
        ("cluster", "--k", 2, "--bootstraps", 1),
        ("classify", "--labels", 4),
    ],
    ids=lambda words: words[0],
)
def test_files_are_named_in_the_first_column(words: tuple[Any, ...], folder: Path, vaekit: Any, here: Path) -> None:
    names = [f"{label}/img {i:02d}.png" for label in "ab" for i in range(24) if "ab"[i % 2] == label]
    for out in ("o.csv", "o.npz"):
        done = vaekit(words[0], folder / "run", *words[1:], "--data", folder / "pictures", "--out", out)
        assert done.code == 0, done.err
    rows = rows_of(here / "o.csv")
    assert next(iter(rows[0])) == "file" and [row["file"] for row in rows] == names
    with np.load("o.npz", allow_pickle=False) as out:
        assert out["file"].tolist() == names
    if words[0] != "detect":
        assert [row["label"] for row in rows] == [name[0] for name in names]


@pytest.mark.filterwarnings("ignore:new.txt.*empty lines were left out")
def test_lines_that_are_left_out_stand_where_they_were(vaekit: Any, here: Path) -> None:
    lines = ["to be", "or not", "be to"] * 5
    train("sequence-vae", lines, out=here / "run", steps=2, pictures=False)
    (here / "new.txt").write_text("be\n\nto be or\nor\n")
    done = vaekit("encode", "run", "--data", "new.txt", "--out", "z.csv")
    assert done.code == 0 and "1 left out" in done.err
    rows = rows_of(here / "z.csv")
    assert [(row["line"], row["part"]) for row in rows] == [("1", "1"), ("2", ""), ("3", "1"), ("3", "2"), ("4", "1")]
    assert [row["left_out"] for row in rows] == ["", "empty", "", "", ""] and rows[1]["z0"] == ""
    assert all(float(row["z0"]) == float(row["z0"]) for row in rows if not row["left_out"])
    assert vaekit("encode", "run", "--data", "new.txt", "--out", "z.npz").code == 0
    with np.load("z.npz", allow_pickle=False) as out:
        assert out["line"].tolist() == [1, 3, 3, 4] and len(out["z"]) == 4
        assert (out["left_out"].tolist(), out["left_out_why"].tolist()) == ([2], ["empty"])


def test_nodes_are_named(vaekit: Any, here: Path) -> None:
    (here / "ring.edges").write_text("".join(f"user{i} user{(i + 1) % 12}\n" for i in range(12)))
    done = vaekit("train", "graph-vae", "--data", "ring.edges", "--steps", 2, "--out", "run", "--no-figures")
    assert done.code == 0, done.err
    assert vaekit("encode", "run", "--out", "z.csv").code == 0
    rows = rows_of(here / "z.csv")
    assert next(iter(rows[0])) == "node" and {row["node"] for row in rows} == {f"user{i}" for i in range(12)}


def test_held_out_data_are_named_by_flags(vaekit: Any, here: Path) -> None:
    x = RNG.normal(size=(30, 4))
    for name, part in (("x", x), ("v", x[:5] + 1), ("t", x[:6] - 1)):
        np.save(here / f"{name}.npy", part)
    words = ("--valid", "v.npy", "--test", "t.npy", "--steps", 2, "--set", "model.hidden=8", "--no-figures", "--json")
    done = vaekit("train", "vae", "--data", "x.npy", *words, "--out", "run")
    assert done.code == 0 and json.loads(done.out.splitlines()[-1])["held_out_n"] == 5
    assert vaekit("encode", "run", "--out", "z.npz").code == 0
    with np.load("z.npz", allow_pickle=False) as out:
        assert len(out["z"]) == 6
    done = vaekit("train", "vae", "--data", "x.npy", "--valid", "w.npy", "--out", "other")
    assert done.code == 2 and "w.npy" in done.err and not (here / "other").exists()


def test_a_run_without_held_out_examples_says_so(vaekit: Any, here: Path) -> None:
    np.save(here / "one.npy", RNG.normal(size=(1, 4)))
    done = vaekit("train", "vae", "--data", "one.npy", "--steps", 2, "--out", "run", "--no-figures")
    assert done.code == 0 and "no held-out number: there are no held-out examples" in done.err
    done = vaekit("evaluate", "run", "--metrics", "elbo")
    assert done.code == 2 and done.err == "vaekit: one has no test examples, so nothing is held out; give other data\n"
    assert vaekit("train", "--resume", "--out", "run", "--no-figures").code == 0


@pytest.mark.parametrize(
    "words", [("encode",), ("detect", "--score", "reconstruction"), ("impute",)], ids=lambda w: w[0]
)
def test_series_are_named_by_their_ids(words: tuple[Any, ...], vaekit: Any, here: Path) -> None:
    lines = [f"M{i:02d},{t},{'' if t == 3 else round(RNG.normal(), 3)}" for i in range(20) for t in range(6)]
    (here / "meters.csv").write_text("\n".join(["id,time,load", *lines]))
    run = train("series-vae", here / "meters.csv", steps=2, set={"model.latent": 2}, pictures=False, out=here / "run")
    held_out = run.data.test.origin
    assert held_out is not None and set(held_out.columns["series"]) <= {f"M{i:02d}" for i in range(20)}
    done = vaekit(words[0], here / "run", *words[1:], "--data", here / "meters.csv", "--out", "o.csv")
    assert done.code == 0, done.err
    each = [row["series"] for row in rows_of(here / "o.csv")]
    assert list(dict.fromkeys(each)) == [f"M{i:02d}" for i in range(20)]
    assert len(each) == (120 if words[0] == "impute" else 20)
