"""Run folders written by earlier commits load, and do what runs do.

`earlier/COMMIT/KIND` holds what that commit's `vaekit train` wrote: a few steps of a small model, on digits or on a
file of `earlier/data`, which the records name relative to it. Before a change of a format is released, add a folder of
it: `vaekit train … --steps 4 --set model.hidden=4 --set model.latent=2`, less figures, report and checkpoints.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import vaekit
from vaekit.runs.train import train

pytestmark = pytest.mark.filterwarnings("ignore:.*whether they are the same cannot be checked:UserWarning")
EARLIER = Path(__file__).parent / "earlier"
RUNS = sorted(path.parent.relative_to(EARLIER).as_posix() for path in EARLIER.glob("*/*/run.json"))


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    monkeypatch.chdir(EARLIER / "data")
    return Path(shutil.copytree(EARLIER / request.param, tmp_path / "run"))


def test_there_are_three_commits_of_six_kinds() -> None:
    assert len(RUNS) == 18 and len({name.split("/")[0] for name in RUNS}) == 3


@pytest.mark.parametrize("copy", RUNS, indirect=True)
def test_a_run_of_an_earlier_commit_is_used(copy: Path) -> None:
    run = vaekit.load(copy, "cpu")
    assert len(run.sample(2)) == 2 and run.log
    found = run.evaluate(["elbo"], k=2, limit=5)
    assert found["elbo"].value is not None and found["elbo"].unit.startswith("nats")
    text = run.write_report().read_text(encoding="utf-8")
    assert run.recipe in text and f"{int(-found['elbo'].value)}." in text
    again = vaekit.load(copy, "cpu")
    assert again.evaluation()["elbo"]["value"] == found["elbo"].value


@pytest.mark.parametrize("copy", RUNS, indirect=True)
def test_its_model_and_its_split_are_those_it_had(copy: Path) -> None:
    """The held-out ELBO that training recorded comes out again, but for the noise that is drawn."""
    run = vaekit.load(copy, "cpu")
    found = run.evaluate(["elbo"], k=2, data=run.data.valid)
    assert found["elbo"].value == pytest.approx(
        run.record["result"]["elbo"],
        rel=0.1 if run.info.kind == "graph" else 0.02,  # one graph, a handful of draws
    )
    assert found["elbo"].n == run.record["result"]["held_out_n"]


@pytest.mark.parametrize("copy", [name for name in RUNS if name.endswith("/vae")], indirect=True)
def test_its_numbers_are_kept(copy: Path) -> None:
    run = vaekit.load(copy, "cpu")
    before = json.loads((copy / "evaluation.json").read_text(encoding="utf-8"))
    assert run.evaluation() == before
    run.evaluate(["active_units"], k=2, limit=5)
    assert before.items() <= run.evaluation().items() and len(run.evaluation()) > len(before)


@pytest.mark.parametrize("copy", ["577b6c1/vae"], indirect=True)
def test_it_is_taken_up_again(copy: Path) -> None:
    run = train(out=copy, resume=True, steps=6, pictures=False, device="cpu")
    record = json.loads((copy / "run.json").read_text(encoding="utf-8"))
    assert run.record["result"]["steps"] == 6 and record["status"] == "done"
    assert record["format"] == 2 and len(record["weights"]["sha256"]) == 64
    assert [line["step"] for line in run.log] == [2, 4, 4, 6, 6]
