"""A few examples of a class: new ones like them, classes from them, and what cannot be asked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import vaekit
from vaekit.commands import main
from vaekit.errors import UserError
from vaekit.latents.few_shot import episode
from vaekit.runs.run import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A set-vae of seven digits, trained for a few steps."""
    settings = {"data.unseen": "7,8,9", "model.hidden": [32], "model.likelihood": "gaussian", "train.lr": 4e-3}
    yield vaekit.train(
        "set-vae", "digits", steps=150, set=settings, out=tmp_path_factory.mktemp("sets") / "run", pictures=False
    )


def test_more_of_a_set_has_the_data_s_shape_and_units(run: Run) -> None:
    made = run.sample_like(run.test.first(4), 6, seed=2)
    assert made.shape == (6, 1, 8, 8) and float(made.min()) >= -1 and float(made.max()) <= 2
    assert torch.equal(made, run.sample_like(run.test.first(4), 6, seed=2))
    order = torch.tensor([3, 1, 0, 2])
    assert torch.allclose(run.sample_like(run.test.take(order), 6, seed=2), made, atol=1e-5)


@pytest.mark.parametrize("by", ["context", "likelihood"])
def test_unseen_classes_are_told_apart_above_chance(run: Run, by: str) -> None:
    found = run.few_shot(shots=10, by=by, k=20)  # type: ignore[arg-type]
    assert set(found.predicted) <= {"7", "8", "9"} and found.accuracy is not None
    assert found.accuracy["n"] == len(run.test) - 30 and found.accuracy["value"] > 0.4
    assert found.probability.min() >= 1 / 3 - 1e-9


def test_classes_that_the_run_does_not_know_have_names(run: Run) -> None:
    x, y = run.test.x[:200].numpy(), np.array(["odd", "even"])[(run.test.y[:200] % 2 == 0).long()]  # type: ignore[index]
    found = run.few_shot((x, y), shots=3)
    assert set(found.predicted) <= {"odd", "even"} and len(found.predicted) == 194


def test_log_p_of_a_set_is_of_all_its_members(run: Run) -> None:
    few = run.test.first(3)
    assert run.set_log_likelihood(few, k=50) != pytest.approx(run.set_log_likelihood(run.test.first(1), k=50))


def test_a_plain_model_goes_by_class_means_and_has_no_sets(tmp_path: Path) -> None:
    plain = vaekit.train("vae", "digits", steps=60, set={"data.unseen": "7,8,9"}, pictures=False)
    assert plain.few_shot(shots=5).accuracy["value"] > 0.4  # type: ignore[index]
    with pytest.raises(UserError, match="needs a model of sets"):
        plain.sample_like(plain.test.first(2), 3)


def test_too_many_shots_are_told() -> None:
    with pytest.raises(UserError, match="leave none to classify"):
        episode(np.array([0, 0, 1, 1, 1]), 2)
    with pytest.raises(UserError, match="two classes"):
        episode(np.array([1, 1, 1]), 1)


def test_the_commands(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run.path is not None
    with pytest.raises(SystemExit, match="0"):
        main.run(["classify", str(run.path), "--shots", "5", "--out", str(tmp_path / "c.csv"), "--json"])
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["shots"] == 5 and 0 <= told["accuracy"]["value"] <= 1
    with pytest.raises(SystemExit, match="0"):
        main.run(["sample", str(run.path), "--like", "3,17,42", "-n", "4", "--out", str(tmp_path / "s.png")])
    assert (tmp_path / "s.png").is_file()
