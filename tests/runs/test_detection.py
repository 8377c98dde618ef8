"""The threshold of a run: from examples that training did not see, kept in its folder, for one example as for many."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vaekit.errors import UserError
from vaekit.runs import folder as files
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"model.hidden": "16", "model.latent": 2, "data.standardise": True}


def rows(n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, 1))
    return (z @ np.array([[5.0, -3.0, 1.0, 2.0]]) + 0.5 * rng.standard_normal((n, 4))).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run on arrays in memory, with a folder."""
    out = tmp_path_factory.mktemp("detect") / "run"
    made = train("vae", rows(), out=out, steps=200, set=SMALL, pictures=False)
    assert (out / files.THRESHOLDS).is_file()  # the arrays cannot be read again
    return made


def test_one_example_is_judged_and_so_are_many_bad_ones(run: Run) -> None:
    bad = np.random.default_rng(1).uniform(-60, 60, (100, 4)).astype(np.float32)
    assert run.detect(bad[:1]).anomaly.tolist() == [True]
    found = run.detect(bad)
    assert found.anomaly.sum() >= 97 and found.reference == "held-out" and found.reference_n == run.info.n_valid
    assert run.detect(bad, threshold="data").anomaly.sum() == 5


def test_the_folder_alone_can_judge(run: Run, tmp_path: Path) -> None:
    assert run.path is not None
    moved = load(shutil.copytree(run.path, tmp_path / "moved"), "cpu")
    x = rows(400)[300:]
    one, other = run.detect(x), moved.detect(x)  # the arrays that it was trained on are not there any more
    assert one.threshold == other.threshold and (one.anomaly == other.anomaly).all()
    with pytest.raises(UserError, match="give it: a number, or 'data'"):
        moved.detect(x, k=3)
    assert moved.detect(x, threshold="data", k=3).reference_n == 100
    given = moved.detect(x, threshold=float(np.median(one.scores)), k=64)
    assert given.anomaly.sum() == 50 and given.reference == "given" and given.p_values is None


def test_test_data_choose_nothing(run: Run) -> None:
    x = run.data.valid
    scores = np.sort(run.anomaly_scores(run.prepare.fixed(x, 1)))
    limit = run.detect(contamination=0.2).threshold
    least = scores[-int(0.2 * len(scores)) - 1]
    assert least < limit <= least + 1e-6 * max(abs(least), 1)  # a millionth above: rounding moves none across
    assert run.detect(rows(20), contamination=0.2).threshold == limit


def test_nothing_held_out_takes_the_training_split_and_says_so() -> None:
    made = train("vae", rows(50), steps=5, set=SMALL | {"data.valid": 0, "data.test": 0.2}, pictures=False)
    found = made.detect()
    assert (found.reference, found.reference_n) == ("training", len(made.data.train))


def test_what_is_kept_belongs_to_the_weights(run: Run, tmp_path: Path) -> None:
    assert run.path is not None
    copy = shutil.copytree(run.path, tmp_path / "copy")
    kept = json.loads((copy / files.THRESHOLDS).read_text())
    assert [*kept["references"]] == ["iw k=64 seed=0"] and kept["model"] == run.fingerprint
    (copy / files.THRESHOLDS).write_text(json.dumps(kept | {"model": "0" * 32}))
    with pytest.raises(UserError, match="in memory"):
        load(copy, "cpu").detect(rows(3))
    (copy / files.THRESHOLDS).write_text("{")
    with pytest.warns(UserWarning, match="thresholds.json is damaged"), pytest.raises(UserError, match="in memory"):
        load(copy, "cpu").detect(rows(3))


def test_p_values_are_conformal(run: Run) -> None:
    found = run.detect(rows(3000)[1000:])
    assert found.p_values is not None
    assert found.p_values.min() >= 1 / (found.reference_n + 1)
    assert abs(float((found.p_values <= 0.2).mean()) - 0.2) < 0.15  # 30 held-out examples: ± 0.07
    order = np.argsort(found.scores)
    assert (np.diff(found.p_values[order]) <= 0).all()


def test_contributions_sum_to_the_scores_and_name_the_column(run: Run) -> None:
    x = rows(5)
    x[2, 1] += 40
    found = run.detect(x, contributions=True)
    assert found.contributions is not None and found.latent is not None
    np.testing.assert_allclose(found.contributions.sum(1) + found.latent, found.scores, rtol=1e-4)
    assert found.anomaly[2] and found.contributions[2].argmax() == 1
    with pytest.raises(UserError, match="'regret' is no sum"):
        run.detect(x, score="regret", contributions=True)


@pytest.mark.parametrize(
    "bad", [{"threshold": "best"}, {"contamination": 0.7}, {"score": "magic"}, {"against": 1, "anomalous": 2}]
)
def test_refusals(bad: dict[str, Any], run: Run) -> None:
    with pytest.raises(UserError):
        run.detect(rows(3), **bad)


def test_rows_with_levels_that_training_did_not_meet_are_judged_by_their_other_cells() -> None:
    rng = np.random.default_rng(0)
    f = rng.standard_normal(300)
    table = {"size": f.tolist(), "town": np.where(f > 0, "York", "Hull").tolist()}
    table["town"][::9] = [""] * len(table["town"][::9])
    run = train("tabular-vae", table, steps=30, set={"model.hidden": "16"}, pictures=False)
    new = {"size": [0.5, 9.0, 0.5], "town": ["Leeds", "York", ""]}
    with pytest.warns(UserWarning, match="row 1, column 'town': 'Leeds': levels that training did not meet"):
        found, told = run.detect(new), run.prepared(new, unknown="missing").x
    empty = run.prepared({"size": [0.5], "town": [""]}).x
    assert np.isfinite(found.scores).all() and found.scores[0] != found.scores[2]
    gap = run.info.facts["columns"].index(next(c for c in run.info.facts["columns"] if c.get("gap_of")))
    assert empty[0, gap] == told[2, gap] == 1 and told[0, gap] == 0  # a cell that says something is no gap
    with pytest.raises(UserError, match="'Leeds' is not among"):
        run.prepared(new)


def test_rows_of_a_table_are_judged_by_likelihood_and_distance_together(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    f = rng.standard_normal(400)
    table = {name: (f * w + 0.3 * rng.standard_normal(400)).tolist() for name, w in (("a", 1), ("b", -2), ("c", 3))}
    run = train("tabular-vae", table, out=tmp_path / "run", steps=60, set={"model.hidden": "16"}, pictures=False)
    kept = (tmp_path / "run" / files.THRESHOLDS).read_text()
    odd = {"a": [3.0, 0.1], "b": [6.0, -0.2], "c": [9.0, 0.2]}
    found = run.detect(odd)
    assert found.score == "combined" and found.scores[0] > found.scores[1]
    parts = [(run.anomaly_scores(odd, name) - mean) / sd for name, (mean, sd) in run._standards_of(64, 0).items()]
    assert np.allclose(found.scores, np.mean(parts, 0)) and len(parts) == 3
    known = run.anomaly_scores(run.training(1000))
    assert abs(known.mean()) < 0.05
    assert run.detect(odd, contributions=True).score == "iw"
    assert sorted(json.loads((tmp_path / "run" / files.THRESHOLDS).read_text())["references"]) == [
        "combined k=64 seed=0",
        "iw k=64 seed=0",
    ]
    alone = load(tmp_path / "run", "cpu")
    (tmp_path / "run" / files.THRESHOLDS).write_text(kept)
    with pytest.warns(UserWarning, match="scored by iw alone, since the training data are not here"):
        assert alone.detect(odd).score == "iw"
