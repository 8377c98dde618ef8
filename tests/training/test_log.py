"""Loggers beside the JSON lines."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from vaekit.errors import UserError
from vaekit.runs.train import train
from vaekit.training.log import LOGGERS

ROOT = Path(__file__).resolve().parents[2]
TOLD = """
import json, os
from pathlib import Path
def tell(*what):
    with Path(os.environ["TOLD"]).open("a") as out:
        out.write(json.dumps(what, default=str) + "\\n")
"""
# Stand-ins with the calls of each package that are used, as their documentation has them.
STAND_INS = {
    "mlflow": TOLD
    + """
from types import SimpleNamespace as Some
class entities:
    Param = staticmethod(lambda key, value: ["param", key, value])
    Metric = staticmethod(lambda key, value, timestamp, step: ["metric", key, value, step])
class MlflowClient:
    def __init__(self, tracking_uri): tell("at", tracking_uri)
    def get_experiment_by_name(self, name): return None
    def create_experiment(self, name): return name
    def create_run(self, experiment, run_name): tell("begin", experiment, run_name); return Some(info=Some(run_id="r"))
    def log_batch(self, run, metrics=(), params=()): tell(*metrics, *params)
    def set_terminated(self, run): tell("end", run)
""",
    "wandb": TOLD
    + """
class Run:
    def log(self, values, step): tell(*(["metric", key, value, step] for key, value in values.items()))
    def finish(self): tell("end")
def init(project, name, dir, mode, config):
    tell("begin", project, name); tell("at", mode); tell(*(["param", key, value] for key, value in config.items()))
    return Run()
""",
    "trackio": TOLD
    + """
class Run:
    def log(self, values, step): tell(*(["metric", key, value, step] for key, value in values.items()))
    def finish(self): tell("end")
def init(project, name, config):
    tell("begin", project, name); tell(*(["param", key, value] for key, value in config.items()))
    return Run()
""",
}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_tracker_gets_settings_and_every_number_and_is_ended(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / f"{name}.py").write_text(STAND_INS[name])
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.delitem(__import__("sys").modules, name, raising=False)
    for variable in ("WANDB_MODE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TOLD", str(tmp_path / "told.jsonl"))
    small = {"model.hidden": "8", "train.log_every": 2}
    train("vae", "digits", steps=4, out=tmp_path / "run", set=small, loggers=[name], pictures=False)
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    begins = [line for line in told if line[0] == "begin"]
    assert begins == [["begin", "vaekit", "run"]] and told[-1][0] == "end"
    params = {one[1]: one[2] for line in told for one in line if one[0] == "param"}
    assert params["recipe"] == "vae" and str(params["model.latent"]) == "20" and str(params["train.steps"]) == "4"
    metrics = [one[1:] for line in told for one in line if one[0] == "metric"]
    written = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    wanted = [[name, record["step"]] for record in written for name in record if name in ("loss", "valid.elbo")]
    assert [[one, step] for one, _, step in metrics if one in ("loss", "valid.elbo")] == wanted and wanted
    where = [line[1] for line in told if line[0] == "at"]
    local = {"mlflow": [f"sqlite:///{tmp_path}/run/mlflow.db"], "wandb": ["offline"], "trackio": []}
    assert where == local[name]


def test_each_logger_names_an_extra_that_there_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for entry in LOGGERS:
        package = entry.facts.get("package")
        if package is None:
            continue
        assert any(one.startswith(package) for one in extras[entry.name])
        monkeypatch.setattr("vaekit.runs.train.find_spec", lambda name: None)
        with pytest.raises(UserError, match=rf"pip install 'vaekit\[{entry.name}\]'"):
            train("vae", "digits", steps=1, out=tmp_path / "run", loggers=[entry.name])
        assert not (tmp_path / "run").exists()


def test_tensorboard_gets_every_number_at_its_step(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore

    logger = LOGGERS["tensorboard"].part(tmp_path)
    logger.log({"step": 2, "epoch": 0.5, "stage": "train", "loss": 3.0, "kl_elements.z": [1.0, 2.0]})
    logger.log({"step": 4, "epoch": 1.0, "stage": "train", "loss": 2.5})
    logger.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert events.Tags()["scalars"] == ["loss"]
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(2, 3.0), (4, 2.5)]
