"""Where a run is written: one folder a run, and a run that is replaced stays whole until the new one has ended."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vaekit
from vaekit.errors import TrainingFailed, UserError
from vaekit.runs import folder as files
from vaekit.runs import target as places
from vaekit.runs.figures import MAKERS
from vaekit.runs.locks import InUse, locked
from vaekit.runs.series_figures import MAKERS as SERIES
from vaekit.training.loop import Fit

SMALL: dict[str, Any] = {"model.hidden": "8", "model.latent": 2, "train.log_every": 1, "train.checkpoint_steps": 2}


def train(out: Path, **options: Any) -> vaekit.Run:
    options = {"steps": 4, "set": SMALL, "pictures": False, "seed": 1} | options
    return vaekit.train("vae", "digits", out=out, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "run"
    run = train(folder, pictures=True)
    run.evaluate(["elbo"], limit=8)
    return folder


@pytest.fixture
def old(made: Path, tmp_path: Path) -> Path:
    """A run with figures, report and evaluation, and other people's files in it."""
    folder = Path(shutil.copytree(made, tmp_path / "old"))
    (folder / "thesis.tex").write_text("years of work")
    (folder / "figures" / "mine.png").write_bytes(b"mine")
    (folder / "notes").mkdir()
    (folder / "notes" / "a.txt").write_text("notes")
    return folder


# -- names -------------------------------------------------------------------------------------------------------------


def test_runs_without_a_name_are_given_one_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[str] = []
    together = threading.Barrier(8)

    def take() -> None:
        together.wait()
        with places.next_free("vae", "digits") as folder:
            together.wait()
            found.append(str(folder))
            together.wait()

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted({"runs/digits-vae", *(f"runs/digits-vae-{n}" for n in range(2, 9))})
    assert not (tmp_path / "runs").exists()  # nothing was written


def test_two_trainings_into_one_folder_are_one_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[str] = []
    true = Fit._step

    def step(self: Fit, *batch: Any) -> None:
        if not inside:
            inside.append("")
            for options in ({}, {"overwrite": True}, {"resume": True}):
                thread = threading.Thread(target=second, args=(options,))
                thread.start()
                thread.join()
        true(self, *batch)

    def second(options: dict[str, Any]) -> None:
        with pytest.raises(InUse, match=f"process {os.getpid()} on"):
            train(tmp_path / "run", **options)
        inside.append("refused")

    monkeypatch.setattr(Fit, "_step", step)
    run = train(tmp_path / "run")
    assert inside[1:] == ["refused"] * 3
    assert run.record["result"]["steps"] == 4 and not (tmp_path / "run" / ".lock").exists()


def test_what_writes_into_a_run_waits_or_is_refused_and_readers_are_not(old: Path) -> None:
    run = vaekit.load(old)
    done = threading.Event()

    def hold(ready: threading.Event) -> None:
        with locked(old):
            ready.set()
            done.wait()

    ready = threading.Event()
    thread = threading.Thread(target=hold, args=(ready,))
    thread.start()
    ready.wait()
    with pytest.MonkeyPatch.context() as patch:
        for module in ("run", "detection"):
            patch.setattr(f"vaekit.runs.{module}.MOMENT", 0.1)
        writers: list[Callable[[], Any]] = [
            lambda: run.evaluate(["elbo"]),
            run.write_report,
            run.write_figures,
            lambda: run.save(old, overwrite=True),
            lambda: train(old, resume=True),
            lambda: vaekit.fit(run.model, np.zeros((20, 1, 8, 8)), steps=1, folder=old),
        ]
        for write in writers:
            with pytest.raises(InUse):
                write()
        with pytest.warns(UserWarning, match="threshold for detect was not kept"):
            run.detect(score="reconstruction")
        assert len(vaekit.load(old).sample(2)) == 2 and len(run.encode()) == len(run.test)
    done.set()
    thread.join()
    assert run.evaluate(["elbo"], limit=8)["elbo"].n == 8


# -- replacing ---------------------------------------------------------------------------------------------------------


def test_every_figure_is_known_as_our_own() -> None:
    assert {*MAKERS, *SERIES} <= {*files.PICTURES}


def test_only_our_own_files_are_replaced(old: Path) -> None:
    run = train(old, overwrite=True, seed=2)
    assert run.path == old
    assert (old / "thesis.tex").read_text() == "years of work" and (old / "notes" / "a.txt").exists()
    assert (old / "figures" / "mine.png").read_bytes() == b"mine"
    left = {path for path in content(old) if path not in ("thesis.tex", "notes/a.txt", "figures/mine.png")}
    assert left == {"run.json", "model.safetensors", "log.jsonl", "checkpoints/last.safetensors"}
    assert vaekit.load(old).record["seed"] == 2


@pytest.mark.parametrize("text", ["{}", "[1]", "no JSON", '{"recipe": "vae"}'])
def test_a_folder_with_another_run_json_is_left_alone(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(text)
    (tmp_path / "thesis.tex").write_text("x")
    before = content(tmp_path)
    with pytest.raises(UserError, match=r"overwrite replaces nothing but runs"):
        train(tmp_path, overwrite=True)
    assert content(tmp_path) == before


def test_places_that_are_not_replaced(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(old)
    (tmp_path / "link").symlink_to(old)
    with pytest.raises(UserError, match="is a link to"):
        train(tmp_path / "link", overwrite=True)
    np.save(old / "x.npy", np.zeros((30, 4)))
    for name in ("data", "valid"):
        with pytest.raises(UserError, match=r"holds the data .*x\.npy"):
            x = {"data": str(old / "x.npy")} if name == "data" else {"data": "digits", "valid": old / "x.npy"}
            vaekit.train("vae", out=old, overwrite=True, **x)
    (old / "x.npy").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(places.os.path, "ismount", lambda path: Path(path) == old)
        with pytest.raises(UserError, match="is a mount point"):
            train(old, overwrite=True)
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(old))
        with pytest.raises(UserError, match="is your home folder"):
            train(old, overwrite=True)
    with monkeypatch.context() as patch:
        patch.chdir(old)
        for out in (Path(), old):
            with pytest.raises(UserError, match="is the current folder"):
                train(out, overwrite=True)
        patch.chdir(old / "notes")
        with pytest.raises(UserError, match="or holds it"):
            train(Path(".."), overwrite=True)
    with pytest.raises(UserError):
        train(Path("/"), overwrite=True)
    assert content(old) == before


def test_a_folder_of_the_run_that_is_a_link_is_not_written_through(old: Path, tmp_path: Path) -> None:
    shutil.move(old / "checkpoints", tmp_path / "elsewhere")
    (old / "checkpoints").symlink_to(tmp_path / "elsewhere")
    before = content(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"checkpoints is a link"):
        train(old, overwrite=True)
    assert content(tmp_path / "elsewhere") == before


def test_the_old_run_stays_when_the_new_one_fails(old: Path) -> None:
    before = content(old)
    with pytest.raises(TrainingFailed):
        train(old, overwrite=True, lr=1e30, set=SMALL | {"train.max_bad_steps": 1, "train.log_every": 2})
    assert {name: data for name, data in content(old).items() if not name.startswith(".new/")} == before
    record = json.loads((old / ".new" / "run.json").read_text())
    assert record["status"] == "failed" and "not finite" in record["failed"]
    assert vaekit.load(old).record["seed"] == 1
    train(old, overwrite=True, seed=3)  # the failed one gives way
    assert vaekit.load(old).record["seed"] == 3 and not (old / ".new").exists()


def test_a_new_run_cut_short_goes_on_by_resume(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true, before = Fit._step, content(old)

    def step(self: Fit, *batch: Any) -> None:
        if self.at.step == 3:
            raise KeyboardInterrupt
        true(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_step", step)
        with pytest.raises(KeyboardInterrupt):
            train(old, overwrite=True, seed=5)
    assert {name: data for name, data in content(old).items() if not name.startswith(".new/")} == before
    train(old, resume=True, seed=5)
    whole = train(tmp_path / "whole", seed=5)
    assert (old / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert vaekit.load(old).record["result"]["elbo"] == whole.record["result"]["elbo"]
    assert not (old / ".new").exists() and (old / "thesis.tex").exists()


@pytest.mark.parametrize("moved", range(5))
def test_a_kill_while_files_are_put_in_place_is_made_good(
    moved: int, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After any number of files: whoever reads next finds the new run, whole."""

    class Killed(BaseException):
        pass

    true, seen = Path.replace, 0

    def replace(self: Path, target: Any) -> Path:
        nonlocal seen
        if ".complete" in self.parts:
            seen += 1
            if seen > moved:
                raise Killed
        return true(self, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Path, "replace", replace)
        vaekit.load(old).evaluate(["elbo"], limit=4)  # two files
        seen = 10
        train(old, overwrite=True, seed=7)
    if moved > 1:
        assert vaekit.load(old).record["seed"] in (1, 7)
    else:
        assert vaekit.load(old).evaluation()["elbo"]["n"] == 4
    assert not (old / ".complete").exists() and (old / "thesis.tex").exists()


def test_what_a_strangers_run_says_to_remove_is_not_removed(old: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    complete = old / ".complete"
    complete.mkdir()
    (complete / "gone.json").write_text(json.dumps(["../precious", "thesis.tex", "figures/mine.png"]))
    files.read_record(old)
    assert (tmp_path / "precious").exists() and (old / "thesis.tex").exists() and (old / "figures/mine.png").exists()
    shutil.rmtree(old / "figures")
    (tmp_path / "outside").mkdir()
    (old / "figures").symlink_to(tmp_path / "outside")
    (complete / "figures").mkdir(parents=True)
    (complete / "figures" / "authorized_keys").write_text("x")
    with pytest.raises(UserError, match="is a link"):
        files.read_record(old)
    assert list((tmp_path / "outside").iterdir()) == []


def test_saving_over_a_run_keeps_others_files(old: Path) -> None:
    run = vaekit.load(old)
    log = run.log
    run.save(old, overwrite=True, pictures=False)
    assert run.log == log and (old / "thesis.tex").exists() and "elbo" in run.evaluation()
    with pytest.raises(UserError, match="holds a run already"):
        run.save(old)


# -- endings -----------------------------------------------------------------------------------------------------------


def test_a_run_that_fails_before_its_first_checkpoint_keeps_its_log_and_says_why(tmp_path: Path) -> None:
    settings = SMALL | {"train.max_bad_steps": 1, "train.log_every": 3}
    del settings["train.checkpoint_steps"]
    with pytest.raises(TrainingFailed):
        train(tmp_path / "run", lr=1e30, steps=30, set=settings)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["status"] == "failed" and "train.lr" in record["failed"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert lines[-1]["failed"] == record["failed"] and "loss" in lines[0]
    with pytest.raises(UserError, match=r"has not finished training: it failed \("):
        vaekit.load(tmp_path / "run")
    train(tmp_path / "run", overwrite=True)
    assert vaekit.load(tmp_path / "run").record["status"] == "done"


def test_bad_data_in_the_middle_keep_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A UserError after steps were taken: of data on disk that have changed, say."""
    true = Fit._step

    def step(self: Fit, *batch: Any) -> None:
        if self.at.step == 3:
            raise UserError("x.npy has changed")
        true(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_step", step)
        with pytest.raises(UserError):
            train(tmp_path / "run", set=SMALL | {"train.checkpoint_steps": 100})
    assert json.loads((tmp_path / "run" / "run.json").read_text())["failed"] == "x.npy has changed"
    assert "loss" in (tmp_path / "run" / "log.jsonl").read_text()
    run = train(tmp_path / "run", resume=True)
    assert run.record["status"] == "done" and "failed" not in run.record


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP")
@pytest.mark.parametrize("nohup", [False, True])
def test_a_lost_terminal_saves_the_run(nohup: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true = Fit._step

    def step(self: Fit, *batch: Any) -> None:
        if self.at.step == 1:
            os.kill(os.getpid(), signal.SIGHUP)
        true(self, *batch)

    monkeypatch.setattr(Fit, "_step", step)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        settings = SMALL | {"train.checkpoint_steps": 100}
        if nohup:
            assert train(tmp_path / "run", set=settings).record["status"] == "done"
            return
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "run", set=settings)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (tmp_path / "run" / "checkpoints" / "last.safetensors").exists()
    monkeypatch.undo()
    assert train(tmp_path / "run", resume=True).record["result"]["steps"] == 4


def test_a_card_of_somebody_else_is_not_replaced(made: Path, tmp_path: Path) -> None:
    from vaekit.runs.hub import save_pretrained

    run = vaekit.load(made)
    with pytest.raises(UserError, match="a run's own folder"):
        save_pretrained(run, made)
    (tmp_path / "README.md").write_text("# My project")
    with pytest.raises(UserError, match="would be replaced"):
        save_pretrained(run, tmp_path)
    assert (tmp_path / "README.md").read_text() == "# My project"
    save_pretrained(run, tmp_path / "hub")
    save_pretrained(run, tmp_path / "hub")
