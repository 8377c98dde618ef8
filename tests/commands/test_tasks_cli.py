"""Commands on a trained run: what they write, and one sentence, code 2 and no file for bad input."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaekit.runs.loading import load
from vaekit.runs.train import train


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned something, on binary digits."""
    out = tmp_path_factory.mktemp("good") / "run"
    train("vae", "digits", out=out, steps=600, set={"model.hidden": "64", "model.latent": 8}, pictures=False)
    return out


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A run on a table of real numbers, and the table."""
    folder = tmp_path_factory.mktemp("table")
    rng = np.random.default_rng(0)
    z = rng.standard_normal((400, 1))
    x = z @ np.array([[5.0, -3.0, 1.0]]) + [100, 0, -7] + 0.1 * rng.standard_normal((400, 3))
    with (folder / "t.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["a", "b", "label", "c"])
        writer.writerows([f"{r[0]:.6f}", f"{r[1]:.6f}", "yes" if r[2] > -7 else "no", f"{r[2]:.6f}"] for r in x)
    settings = {"data.standardise": True, "model.latent": 1, "model.hidden": "32", "model.scale": "shared"}
    train("vae", folder / "t.csv", out=folder / "run", steps=800, lr=5e-3, set=settings, pictures=False)
    return folder / "run", folder / "t.csv"


def found(done: Any) -> dict[str, Any]:
    assert done.code == 0, done.err
    return json.loads(done.out.splitlines()[-1])


@pytest.mark.parametrize("score", ["reconstruction", "elbo", "iw", "regret", "complexity", "distance", "neighbours"])
def test_detect_writes_scores_verdicts_and_truth(score: str, good: Path, vaekit: Any, here: Path) -> None:
    noise = (np.random.default_rng(0).random((40, 8, 8)) < 0.5).astype(np.uint8)
    np.save("noise.npy", noise)
    words = ("detect", good, "--against", "noise.npy", "--score", score, "--k", 16, "--contamination", 0.18)
    words += ("--threshold", "data")
    answer = found(vaekit(*words, "--out", "s.csv", "--json"))
    rows = list(csv.DictReader(io.StringIO(Path("s.csv").read_text())))
    assert len(rows) == answer["n"] == 214
    marked = [float(r["score"]) > answer["threshold"] for r in rows]
    assert [r["anomaly"] == "1" for r in rows] == marked and sum(marked) == answer["flagged"] == 38
    if score not in ("distance", "complexity"):
        assert answer["auroc"]["value"] > 0.9
    low, high = answer["auroc"]["interval"]
    assert low <= answer["auroc"]["value"] <= high


def test_detect_judges_one_row_by_the_runs_own_and_says_which_column(
    table: tuple[Path, Path], vaekit: Any, here: Path
) -> None:
    Path("one.csv").write_text("a,b,label,c\n100.0,0.0,yes,40.0\n")
    done = vaekit("detect", table[0], "--data", "one.csv", "--out", "s.csv", "--contributions")
    assert done.code == 0 and "1 of 1 above" in done.err and "from 32 held-out examples" in done.err
    (row,) = csv.DictReader(io.StringIO(Path("s.csv").read_text()))
    parts = {name: float(value) for name, value in row.items() if name.startswith("contribution_")}
    assert sum(parts.values()) == pytest.approx(float(row["score"]), rel=1e-4)
    assert max(parts, key=parts.__getitem__) == "contribution_x2" and float(row["p_value"]) == pytest.approx(1 / 33)
    answer = found(vaekit("detect", table[0], "--data", "one.csv", "--out", "s.npz", "--contributions", "--json"))
    assert (answer["flagged"], answer["threshold_from"], answer["threshold_n"]) == (1, "held-out", 32)
    with np.load("s.npz") as arrays:
        assert arrays["contributions"].shape == (1, 3) and arrays["latent"].shape == (1,)
    assert vaekit("detect", table[0], "--data", "one.csv", "--out", "s.csv", "--threshold", "best").code == 2


def test_detect_by_class_and_repeatably(good: Path, vaekit: Any, here: Path) -> None:
    words = ("detect", good, "--anomalous", "1,7", "--limit", 60, "--k", 8, "--out")
    assert found(vaekit(*words, "a.npz", "--json"))["aupr"]["n"] == 60
    vaekit(*words, "b.npz")
    with np.load("a.npz") as a, np.load("b.npz") as b:
        assert np.array_equal(a["score"], b["score"])
        assert np.array_equal(a["truth"], np.isin(load(good).test.y[:60].numpy(), [1, 7]))  # type: ignore[index]


def test_impute_leaves_a_tables_cells_alone(table: tuple[Path, Path], vaekit: Any, here: Path) -> None:
    run, source = table
    rows = list(csv.reader(io.StringIO(source.read_text())))
    truth = [row[:] for row in rows]
    for i in range(1, 60, 3):
        rows[i][1] = "" if i % 2 else "NA"
    with Path("gaps.csv").open("w", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(rows)
    assert found(vaekit("impute", run, "--data", "gaps.csv", "--out", "full.csv", "--json"))["missing"] == 20
    full = list(csv.reader(io.StringIO(Path("full.csv").read_text())))
    errors = []
    for before, after, true in zip(rows, full, truth):
        for cell, new, right in zip(before, after, true):
            if cell in ("", "NA"):
                errors.append(float(new) - float(right))
            else:
                assert cell == new
    assert len(errors) == 20 and np.sqrt(np.mean(np.square(errors))) < 1.0  # the column's deviation is 3


@pytest.mark.parametrize("method", ["resampling", "gibbs"])
def test_impute_images(method: str, good: Path, vaekit: Any, here: Path) -> None:
    x = load(good).test.x.numpy().astype(np.float32)[:100]
    gaps = x.copy()
    gaps[:, :, 4:] = np.nan
    np.save("gaps.npy", gaps)
    words = ("impute", good, "--data", "gaps.npy", "--method", method, "--draws", 5, "--out", "full.npz")
    assert vaekit(*words).code == 0
    with np.load("full.npz") as full:
        assert np.array_equal(full["x"][:, :, :4], x[:, :, :4])
        assert full["draws"].shape == (5, 100, 1, 8, 8) and set(np.unique(full["draws"])) <= {0.0, 1.0}
        assert np.array_equal(full["draws"][:, :, :, :4], np.broadcast_to(x[:, :, :4], (5, 100, 1, 4, 8)))
        below = ((full["x"] - x)[:, :, 4:] ** 2).mean()
    assert below < 0.97 * x[:, :, 4:].var(0).mean()


@pytest.mark.parametrize("method", ["near", "class", "interpolate", "adversarial"])
def test_augment_writes_a_data_set_that_trains(method: str, good: Path, vaekit: Any, here: Path) -> None:
    answer = found(vaekit("augment", good, "--method", method, "-n", 50, "--out", "new.npz", "--json"))
    with np.load("new.npz") as new:
        assert new["x"].shape == (50, 1, 8, 8) and new["x"].dtype == np.uint8 and new["x"].max() <= 16
        assert set(new["y"].tolist()) <= set(load(good).info.classes)
        said = json.loads(str(new["provenance"]))
    assert said["method"] == method and said["n"] == 50 and said["model"] == answer["model"]
    if method == "adversarial":
        assert said["mean_gain_in_loss"] > 0
    run = train("vae", "new.npz", steps=2, set={"model.hidden": "8"})
    assert run.info.n_train + run.info.n_valid + run.info.n_test == 50


@pytest.mark.parametrize("kind", ["gmm", "kmeans"])
def test_cluster(kind: str, good: Path, vaekit: Any, here: Path) -> None:
    answer = found(vaekit("cluster", good, "--kind", kind, "--bootstraps", 3, "--out", "c.csv", "--json"))
    rows = list(csv.DictReader(io.StringIO(Path("c.csv").read_text())))
    assert len(rows) == 174 and answer["k"] == 10 and sum(answer["sizes"]) == 174
    assert 0.2 < answer["nmi"] < 1 and 0 < answer["stability"]["value"] <= 1


def test_classify_from_few_labels(good: Path, vaekit: Any, here: Path) -> None:
    few, many = (
        found(vaekit("classify", good, "--labels", n, "--out", f"{n}.csv", "--json"))["accuracy"]["value"]
        for n in (20, 1000)
    )
    assert 0.3 < few < many and many > 0.65
    assert len(list(csv.DictReader(io.StringIO(Path("20.csv").read_text())))) == 174


WAYS: dict[str, tuple[Any, ...]] = {
    "traverse": ("--steps", 3, "--top", 2),
    "manifold": ("--size", 3),
    "arithmetic": ("--examples", "1,2,3"),
    "arithmetic along a class": ("--examples", "1,2", "--attribute", "3", "--amounts", "0,1"),
    "sample from the aggregate": ("--from", "aggregate", "-n", 9, "--components", 2),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("suffix", ["png", "npz"])
def test_ways_through_the_latent_space(way: str, suffix: str, good: Path, vaekit: Any, here: Path) -> None:
    done = vaekit(way.split()[0], good, *WAYS[way], "--out", f"w.{suffix}")
    assert done.code == 0, done.err
    if suffix == "png":
        assert Path("w.png").read_bytes()[:4] == b"\x89PNG"
        return
    shape = {
        "traverse": (2, 3, 1, 8, 8),
        "manifold": (3, 3, 1, 8, 8),
        "arithmetic": (1, 4, 1, 8, 8),
        "arithmetic along a class": (2, 2, 1, 8, 8),
        "sample from the aggregate": (9, 1, 8, 8),
    }[way]
    with np.load("w.npz") as out:
        assert out["x"].shape == shape and np.isfinite(out["x"]).all()


def test_traversals_hold_the_other_dimensions_and_begin_at_the_example(good: Path, vaekit: Any, here: Path) -> None:
    run = load(good)
    z = run.encode(run.test.first(6))[5]
    vaekit("traverse", good, "--example", 5, "--dimensions", "3,0", "--steps", 2, "--reach", 2, "--out", "t.npz")
    with np.load("t.npz") as out:
        moved = z.clone()
        moved[0] = 2.0
        assert np.allclose(out["x"][1, 1], run.decode(moved[None])[0].numpy(), atol=1e-6)


def _arrays() -> None:
    np.save("nine.npy", np.zeros((3, 9), np.uint8))
    np.save("nan.npy", np.full((3, 8, 8), np.nan, np.float32))
    np.save("whole.npy", np.zeros((3, 8, 8), np.float32))
    np.save("inf.npy", np.full((3, 8, 8), np.inf, np.float32))
    gaps = np.full((3, 8, 8), 0.5, np.float32)
    gaps[0, 0, 0] = np.nan
    np.save("grey-gaps.npy", gaps)
    Path("broken.npz").write_bytes(b"PK\x03\x04 not an archive")
    Path("text.csv").write_text("a,b\n1,x\n")
    np.save("plain.npy", (np.arange(192).reshape(3, 8, 8) % 2).astype(np.uint8))
    np.save("flat-gaps.npy", np.full((2, 5), np.nan, np.float32))


WRONG: dict[str, tuple[tuple[Any, ...], str]] = {
    "detect another shape": (("detect", "vae", "--data", "nine.npy"), "shape"),
    "detect NaN": (("detect", "vae", "--data", "nan.npy"), "nan"),
    "detect a broken archive": (("detect", "vae", "--data", "broken.npz"), "damaged"),
    "detect missing labels": (("detect", "vae", "--data", "plain.npy", "--anomalous", "3"), "no labels"),
    "detect no such class": (("detect", "vae", "--anomalous", "11"), "no label '11'"),
    "detect no such score": (("detect", "vae", "--score", "magic"), "no anomaly score 'magic'"),
    "detect contamination": (("detect", "vae", "--contamination", "0.7"), "contamination"),
    "detect both truths": (("detect", "vae", "--anomalous", "3", "--against", "plain.npy"), "one of them"),
    "detect an autoencoder's likelihood": (("detect", "ae"), "point mass"),
    "detect without labels for cvae": (("detect", "cvae", "--data", "plain.npy"), "conditioned on labels"),
    "impute another shape": (("impute", "vae", "--data", "flat-gaps.npy"), "shape (5,)"),
    "impute nothing missing": (("impute", "vae", "--data", "whole.npy"), "nothing to impute"),
    "impute infinities": (("impute", "vae", "--data", "inf.npy"), "infinite"),
    "impute greys by a binary model": (("impute", "vae", "--data", "grey-gaps.npy"), "binary data"),
    "impute text": (("impute", "vae", "--data", "text.csv"), "row 1, column 'b'"),
    "impute a broken archive": (("impute", "vae", "--data", "broken.npz"), "damaged"),
    "impute with no file": (("impute", "vae", "--data", "none.csv"), "no such file"),
    "augment by missing labels": (("augment", "vae", "--data", "plain.npy", "--method", "class"), "labels"),
    "augment another shape": (("augment", "vae", "--data", "nine.npy"), "shape"),
    "augment none": (("augment", "vae", "-n", "0"), "at least 1"),
    "cluster one": (("cluster", "vae", "--k", "1"), "at least 2"),
    "cluster too many": (("cluster", "vae", "--k", "500"), "at most one an example"),
    "classify with too few labels": (("classify", "vae", "--labels", "3"), "at least one a class"),
    "classify from the label": (("classify", "cvae"), "is given the label"),
    "classify another shape": (("classify", "vae", "--data", "nine.npy"), "shape"),
    "traverse no such dimension": (("traverse", "vae", "--dimensions", "9"), "go from 0 to 1"),
    "traverse no such example": (("traverse", "vae", "--example", "900"), "go from 0 to 173"),
    "traverse a point": (("traverse", "vae", "--steps", "1"), "at least 2"),
    "manifold of one": (("manifold", "vae", "--size", "1"), "at least 2"),
    "manifold no such label": (("manifold", "cvae", "--label", "x"), "no label 'x'"),
    "arithmetic of two": (("arithmetic", "vae", "--examples", "1,2"), "takes three"),
    "arithmetic of words": (("arithmetic", "vae", "--examples", "one"), "with commas"),
    "arithmetic no such class": (("arithmetic", "vae", "--examples", "1", "--attribute", "cat"), "no label 'cat'"),
    "arithmetic amounts": (("arithmetic", "vae", "--examples", "1", "--attribute", "3", "--amounts", "x"), "--amounts"),
    "aggregate temperature": (("sample", "vae", "--from", "aggregate", "--temperature", "2"), "--from aggregate"),
    "aggregate components": (("sample", "vae", "--from", "aggregate", "--components", "0"), "components"),
    "intervene without concepts": (("intervene", "vae", "light=0.9"), "has none: train causal-vae"),
    "intervene by words": (("intervene", "vae", "light=bright"), "write what is set as NAME=NUMBER"),
    "not a run": (("cluster", "."), "not a run folder"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_one_sentence_and_no_file(case: str, trained: dict[str, Path], vaekit: Any, here: Path) -> None:
    _arrays()
    before = sorted(p.name for p in here.iterdir())
    (command, run, *rest), says = WRONG[case]
    done = vaekit(command, trained.get(run, run), *rest, "--out", "out.npz")
    assert done.code == 2, done.err
    assert says.lower() in done.err.lower() and len(done.err.strip().splitlines()) == 1
    assert sorted(p.name for p in here.iterdir()) == before


@pytest.mark.parametrize("command", ["detect", "augment", "cluster", "classify", "traverse", "manifold"])
def test_a_file_that_cannot_be_written(command: str, trained: dict[str, Path], vaekit: Any, here: Path) -> None:
    for out, says in (("out.txt", "ending in"), ("nowhere/out.npz", "does not exist")):
        done = vaekit(command, trained["vae"], "--out", out)
        assert done.code == 2 and says in done.err and not list(here.iterdir())


def test_intervene_writes_the_examples_and_what_follows(vaekit: Any, here: Path) -> None:
    run = train("cvae", "shadows", steps=2, out=here / "run", set={"data.limit": 60, "model.hidden": 8}, pictures=False)
    assert vaekit("intervene", "run", "light=0.9, pole=0.5", "-n", 3, "--out", "made.npz").code == 0
    with np.load("made.npz") as file:
        made = dict(file)
    expected = run.intervene(run.test.first(3), light=0.9, pole=0.5)
    assert np.array_equal(made["made"], expected.numpy()) and made["x"].shape == made["made"].shape == (3, 1, 32, 32)
    assert vaekit("intervene", "run", "light=0.9", "--examples", "1,2", "--out", "made.png").code == 0
    assert Path("made.png").stat().st_size > 1000
    done = vaekit("intervene", "run", "lite=0.9", "--out", "other.png")
    assert done.code == 2 and "did you mean 'light'" in done.err
