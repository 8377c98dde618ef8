"""Records that were damaged or made up: each is read as before or refused in one sentence, and never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import vaekit
from attack.mutate import damaged, facts_of, mutated, with_facts
from vaekit.errors import TrainingFailed, UserError
from vaekit.runs.loading import load
from vaekit.runs.train import train

EARLIER = Path(__file__).parents[1] / "runs" / "earlier"
KINDS = ("vae", "vq-vae", "tabular", "sequence", "hierarchical", "graph")
TRIES = settings(
    max_examples=int(os.environ.get("VAEKIT_TRIES", "10")),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
RANDOM = st.randoms(use_true_random=False)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    monkeypatch.chdir(EARLIER / "data")
    return lambda kind: Path(shutil.copytree(EARLIER / "5e0e739" / kind, tmp_path / kind, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of today with everything that a folder has."""
    out = tmp_path_factory.mktemp("trained") / "run"
    small = {"model.latent": 2, "model.hidden": [4], "train.log_every": 2, "train.ema": 0.9}
    run = train("vae", "digits", steps=6, set=small, out=out, pictures=False, device="cpu")
    run.keep_reference()
    run.evaluate(["elbo", "mse"], k=2, limit=10)
    return out


def refused(call: Callable[[], Any]) -> str | None:
    """Call, and return what it refuses with, in one sentence; any other error is a fault."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except (UserError, TrainingFailed) as error:
            sentence = str(error)
            assert sentence and "\n" not in sentence.strip() and len(sentence) < 2000, sentence
            return sentence
    return None


def used(folder: Path) -> None:
    run = load(folder, "cpu")
    x = run.sample(2)
    if run.modality is not None:
        run.lines(x)
    assert repr(run) and run._repr_html_() and isinstance(run.log, list)
    run.write_report()


@pytest.mark.parametrize("kind", KINDS)
@TRIES
@given(random=RANDOM)
def test_a_record(kind: str, random: Random, copied: Callable[[str], Path]) -> None:
    folder = copied(kind)
    told, value = mutated(json.loads((folder / "run.json").read_text(encoding="utf-8")), random)
    (folder / "run.json").write_text(json.dumps(value), encoding="utf-8")
    sentence = refused(lambda: used(folder))
    assert sentence is None or str(folder) in sentence or "data" in sentence, (told, sentence)


@pytest.mark.parametrize("name", ["evaluation.json", "thresholds.json", "log.jsonl"])
@TRIES
@given(random=RANDOM)
def test_what_can_be_computed_again(name: str, random: Random, trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run", dirs_exist_ok=True))
    text = (folder / name).read_text(encoding="utf-8")
    if name == "log.jsonl":
        lines = text.splitlines()
        i = random.randrange(len(lines))
        lines[i] = json.dumps(mutated(json.loads(lines[i]), random)[1])
        text = "".join(f"{line}\n" for line in lines)
    else:
        text = json.dumps(mutated(json.loads(text), random)[1])
    (folder / name).write_text(text, encoding="utf-8")

    def use() -> None:
        run = load(folder, "cpu")
        run.write_report()
        run.detect(run.test.first(3))
        assert vaekit.figures.curves(run.log) is not None if len(run.log) > 1 else True

    refused(use)


@TRIES
@given(random=RANDOM)
def test_the_facts_of_a_checkpoint_sealed_again(random: Random, trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run", dirs_exist_ok=True))
    last = folder / "checkpoints" / "last.safetensors"
    data = last.read_bytes()
    assert with_facts(data, facts_of(data)) == data
    last.write_bytes(with_facts(data, mutated(facts_of(data), random)[1]))
    refused(lambda: train(out=folder, resume=True, steps=8, pictures=False))


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/last.safetensors", "evaluation.safetensors"])
@TRIES
@given(random=RANDOM)
def test_no_damaged_tensor_is_used(name: str, random: Random, trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run", dirs_exist_ok=True))
    data = (folder / name).read_bytes()
    other = damaged(data, random)
    (folder / name).write_bytes(other)
    if name.startswith("evaluation"):
        values = load(folder, "cpu")
        if other != data:
            with pytest.warns(UserWarning, match=r"evaluation\.safetensors"):
                assert values.values() == {}
        return
    call = (lambda: load(folder, "cpu")) if name.startswith("model") else (lambda: train(out=folder, resume=True))
    sentence = refused(call) if other != data else name
    assert sentence is not None and name in sentence


def test_damaged_weights_are_had_again_from_the_checkpoint(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match=r"model\.safetensors is damaged.*SHA-256.*--resume --out.*checkpoint"):
        load(folder)
    train(out=folder, resume=True, pictures=False)
    assert path.read_bytes() == whole
    shutil.rmtree(folder / "checkpoints")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UserError, match="train again"):
        load(folder)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    run = train("vae", "digits", steps=2, set={"model.hidden": [4]}, pictures=False, device="cpu")
    next(run.model.parameters()).data.view(-1)[0] = torch.nan
    run.save(tmp_path / "run", pictures=False)
    with pytest.raises(UserError, match=r"not finite.*train\.lr"):
        load(tmp_path / "run")


def test_a_newer_record_is_refused(trained: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"format": record["format"] + 1}))
    with pytest.raises(UserError, match=r"run\.json was written by a newer vaekit .*upgrade"):
        load(folder)
    facts = facts_of((folder / "checkpoints" / "last.safetensors").read_bytes())
    (folder / "run.json").write_text(json.dumps(record))
    last = folder / "checkpoints" / "last.safetensors"
    last.write_bytes(with_facts(last.read_bytes(), facts | {"format": 99}))
    with pytest.raises(UserError, match=r"last\.safetensors was written by a newer vaekit"):
        train(out=folder, resume=True)
