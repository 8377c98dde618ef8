"""Studies from beginning to end, on trials of a few steps."""

from __future__ import annotations

import csv
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

import vaekit
from vaekit.commands.main import outcome as outcome_of
from vaekit.errors import UserError
from vaekit.studies import budget
from vaekit.studies.budget import Cost, length_within, seconds
from vaekit.studies.study import Progress, study
from vaekit.training.settings import TrainSettings

TINY: dict[str, Any] = {
    "name": "tiny",
    "settings": {"train.steps": 4, "model.hidden": [8], "model.latent": 2},
    "metrics": ["elbo", "active_units"],
    "numbers": ["kl", "elbo", "active_units", "parameters"],
    "seeds": 2,
    "k": 2,
    "limit": 30,
}
BETA = TINY | {"grid": {"objective.beta": [1, 4]}, "planes": [["kl", "elbo"]]}


class Told(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.over: list[str] = []
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def running(self, trial: str) -> None:
        self.begun.append(trial)

    def ended(self, outcome: Any) -> None:
        self.over.append(outcome.trial)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return study(BETA, "digits", out=tmp_path_factory.mktemp("study") / "out")


@pytest.mark.parametrize("resplit", [True, False])
def test_a_split_for_every_seed(resplit: bool, tmp_path: Path) -> None:
    one = TINY | {"arms": {"x": {}}, "resplit": resplit}
    trials = study(one, "digits", out=tmp_path / "out").path / "trials"
    runs = [vaekit.load(trials / f"x-{seed}") for seed in (0, 1)]
    assert [run.settings.data.seed for run in runs] == [0, int(resplit)]
    assert torch.equal(*(run.data.test.x for run in runs)) != resplit


def test_the_folder_holds_runs_tables_figures_and_a_page(done: Any) -> None:
    names = {path.name for path in done.path.iterdir()}
    assert names == {"study.json", "table.csv", "table.json", "report.html", "figures", "trials", "state"}
    assert {path.name for path in (done.path / "trials").iterdir()} == set(done.outcomes)
    assert vaekit.load(done.path / "trials" / "beta=4-1").evaluation()["kl"]["n"] == 30
    assert {path.name for path in (done.path / "figures").iterdir()} == {"numbers.png", "kl-elbo.png"}
    page = done.report.read_text(encoding="utf-8")
    assert all(sentence.split("±")[0].strip() in page for sentence in done.findings)
    assert page.count("<img") == 2 and "<script" not in page


def test_table_and_record_have_every_seed(done: Any) -> None:
    rows = [*csv.DictReader((done.path / "table.csv").read_text(encoding="utf-8").splitlines())]
    table = json.loads((done.path / "table.json").read_text(encoding="utf-8"))["points"]
    record = json.loads((done.path / "study.json").read_text(encoding="utf-8"))
    assert [row["objective.beta"] for row in rows] == ["1", "4"]
    for row, entry in zip(rows, table, strict=True):
        each = [record["trials"][f"{entry['point']}-{seed}"]["numbers"]["kl"]["value"] for seed in (0, 1)]
        assert [*entry["numbers"]["kl"]["seeds"].values()] == each
        assert float(row["kl"]) == pytest.approx(sum(each) / 2) and row["kl_seeds"] == "2"
    assert record["trials"]["beta=1-0"]["numbers"]["kl"]["number_of"]["examples"].startswith("30 of the test split")


def test_a_finished_study_is_not_run_again_and_a_changed_one_is_refused(done: Any) -> None:
    weights = done.path / "trials" / "beta=1-0" / "model.safetensors"
    before, told = weights.stat().st_mtime_ns, Told()
    with pytest.raises(UserError, match="holds a study already; add resume"):
        study(BETA, "digits", out=done.path)
    again = study(BETA, "digits", out=done.path, resume=True, progress=told)
    assert weights.stat().st_mtime_ns == before and not told.begun and again.findings == done.findings
    with pytest.raises(UserError, match="holds a study with another 'grid'"):
        study(BETA | {"grid": {"objective.beta": [1, 5]}}, "digits", out=done.path, resume=True)
    renamed = study(BETA | {"question": "Why?"}, "digits", out=done.path, resume=True)
    assert "Why?" in renamed.report.read_text(encoding="utf-8")


def test_a_failed_trial_costs_only_itself(tmp_path: Path) -> None:
    arms = {"plain": {}, "conv": {"settings": {"model.net": "conv"}, "data": "iris"}}
    made = study(TINY | {"arms": arms, "metrics": ["elbo", "mig"], "seeds": 1}, "digits", out=tmp_path / "out")
    assert set(made.failed) == {"conv-0"} and "iris holds rows of a table" in made.failed["conv-0"]
    assert made.outcomes["plain-0"].status == "done"
    page = made.report.read_text(encoding="utf-8")
    assert "conv-0 failed" in page and "mig was left out: the data have no known factors" in page


def test_nothing_is_written_for_a_study_that_is_wrong(tmp_path: Path) -> None:
    for wrong in ({"grid": {"objective.betta": [1]}}, {"grid": {"objective.beta": [1]}, "metrics": ["elbow"]}):
        with pytest.raises(UserError):
            study(TINY | wrong, "digits", out=tmp_path / "out")
    with pytest.raises(UserError, match="--budget 5 parsecs"):
        study(BETA, "digits", out=tmp_path / "out", budget="5 parsecs")
    assert not (tmp_path / "out").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="is not empty and holds no study"):
        study(BETA, "digits", out=tmp_path / "full")


def test_data_in_memory_and_metrics_that_are_functions(tmp_path: Path) -> None:
    x = (torch.rand(120, 1, 4, 4) > 0.5).float()

    def half(model: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.full((len(x),), 0.5)

    made = study(BETA | {"numbers": ["half"]}, x, out=tmp_path / "out", metrics=[half], seeds=1)
    assert made.rows[0]["numbers"]["half"]["mean"] == 0.5
    with pytest.raises(UserError, match="use jobs=1"):
        study(BETA, x, out=tmp_path / "more", jobs=2)


def test_a_share_of_the_training_examples_is_their_number(tmp_path: Path) -> None:
    made = study(TINY | {"grid": {"data.limit": ["10%", "100%"]}, "seeds": 1}, "digits", out=tmp_path / "out")
    sizes = [vaekit.load(made.path / "trials" / name).info.n_train for name in ("limit=10-0", "limit=100-0")]
    assert sizes[1] == vaekit.train("vae", "digits", steps=1).info.n_train and sizes[0] == round(0.1 * sizes[1])
    numbers = [made.outcomes[name].numbers["kl"]["number_of"] for name in ("limit=10-0", "limit=100-0")]
    assert numbers[0] == numbers[1]


@pytest.mark.slow
def test_a_trial_that_kills_its_process_is_recorded_and_costs_only_itself(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "import os, signal\n"
        "def fatal(model, x):\n"
        "    if model.encode(x).mean.shape[1] == 3:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return x.flatten(1).sum(1)\n"
    )
    made = study(
        TINY | {"grid": {"model.latent": [2, 3]}, "seeds": 1, "metrics": ["elbo", f"{own}:fatal"]},
        "digits",
        out=tmp_path / "out",
        jobs=2,
    )
    assert made.outcomes["latent=2-0"].status == "done"
    assert made.failed == {"latent=3-0": "its process ended with signal 9 2 times, perhaps for want of memory"}


@pytest.mark.slow
def test_a_search_by_tpe_goes_on_where_it_was_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("optuna", reason="needs optuna")
    from vaekit.studies import worker

    space = {"train.lr": {"low": 1e-4, "high": 1e-1, "log": True}, "model.act": ["relu", "silu"]}
    searched = TINY | {"search": {"space": space, "trials": 5}, "seeds": 1}
    plain, ran = worker.run_trial, []

    def cut(bench: Any, trial: Any, *rest: Any) -> Any:
        ran.append(trial.name)
        if len(ran) == 3:
            raise KeyboardInterrupt
        return plain(bench, trial, *rest)

    monkeypatch.setattr(worker, "run_trial", cut)
    with pytest.raises(KeyboardInterrupt):
        study(searched, "digits", out=tmp_path / "out")
    made = study(searched, "digits", out=tmp_path / "out", resume=True)
    assert ran == ["0000-0", "0001-0", "0002-0", "0002-0", "0003-0", "0004-0"]  # the third was taken again
    assert sorted(made.outcomes) == [f"000{i}-0" for i in range(5)]
    assert all(1e-4 <= one.at["train.lr"] <= 1e-1 for one in made.outcomes.values())
    goals = {"elbo": "maximise", "active_units": "minimise"}
    both = study(
        TINY | {"search": {"space": space, "trials": 3, "goals": goals}, "seeds": 1}, "digits", out=tmp_path / "both"
    )
    assert re.search(r"Of 3 points \d are on the Pareto front of elbo and active_units", both.findings[0])


def test_a_search_without_optuna_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UserError, match=r"pip install 'vaekit\[studies\]'"):
        study(TINY | {"search": {"space": {"model.act": ["relu"]}}}, "digits", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_random_search_needs_no_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    searched = TINY | {"search": {"space": {"train.lr": [0.001, 0.01]}, "by": "random", "trials": 2}, "seeds": 1}
    assert len(study(searched, "digits", out=tmp_path / "out").outcomes) == 2


def test_the_budget_is_divided_into_steps(tmp_path: Path) -> None:
    assert [seconds(text) for text in ("90s", "5m", "2h", "1.5 h", "3min")] == [90, 300, 7200, 5400, 180]
    cheap, dear = Cost(0.01, 1.0, 10_000), Cost(0.03, 3.0, 10_000)
    length = length_within(1000, [cheap, dear], trials=20, jobs=2, spent=100)
    assert length.steps is not None
    spent = 10 * sum(cost.beside + length.steps * cost.step for cost in (cheap, dear))
    assert spent == pytest.approx(0.85 * 900 * 2, rel=1e-3)
    assert length_within(10_000, [Cost(0.01, 1, 200)], trials=2, jobs=1, spent=0).steps == 200
    short = length_within(10, [dear], trials=100, jobs=1, spent=0)
    assert short.steps == 50 and "too short" in short.said
    told = Told()
    quick = BETA | {"settings": {"model.hidden": [8], "model.latent": 2}, "seeds": 1}
    made = study(quick, "digits", out=tmp_path / "out", budget="0.1s", progress=told)
    assert {one.facts["steps"] for one in made.outcomes.values()} == {50}
    assert "a step takes" in told.notes[0] and told.notes[0] in made.report.read_text(encoding="utf-8")


def test_held_out_evaluation_is_not_taken_for_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifteen steps of half a second, ten seconds of evaluation after an epoch of a hundred steps."""
    settings = SimpleNamespace(train=TrainSettings(batch_size=10))
    record = {"result": {"wall_seconds": 10.5, "seconds": 0.5, "steps": 15}}
    run = SimpleNamespace(record=record, info=SimpleNamespace(n_train=1000), settings=settings)
    monkeypatch.setattr(budget, "_run", lambda *_: run)
    monkeypatch.setattr(budget, "evaluated", lambda *_: None)
    cost = budget._cost(cast(Any, None), cast(Any, SimpleNamespace(settings={"train.steps": 200})))
    assert cost.step == pytest.approx(0.5 / 15 + 10 / 100)
    assert cost.most == 200


def test_the_command_says_its_findings_and_one_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(
        "grid: {objective.beta: [1, 4]}\nsettings: {train.steps: 4, model.hidden: [8]}\n"
        "metrics: [elbo, own.py:twice]\nnumbers: {twice: double}\nseeds: 1\nlimit: 20\n",
        encoding="utf-8",
    )
    Path("own.py").write_text(
        "def twice(model, x):\n    return 2 * (x == x).flatten(1).float().mean(1)\n", encoding="utf-8"
    )
    assert outcome_of(["study", "mine.yaml", "--data", "digits", "--out", "out", "--json"]) == (0, None)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["trials"] == {"done": 2, "failed": 0, "pruned": 0}
    entry = json.loads(Path("out/trials/beta=1-0/evaluation.json").read_text(encoding="utf-8"))
    assert entry["twice"]["value"] == told["points"][0]["numbers"]["twice"]["mean"] == 2.0
    for words, said in (
        (["study", "mine.yaml"], "needs --out DIR"),
        (["study"], "name a study"),
        (["study", "betta", "--out", "x"], "did you mean 'beta'"),
        (["study", "mine.yaml", "--out", "y", "--jobs", "0"], "--jobs must be at least 1"),
    ):
        code, sentence = outcome_of(words)
        assert code == 2 and said in str(sentence)
    assert outcome_of(["study", "--list"]) == (0, None)
    assert "vae-against-ae" in capsys.readouterr().out
