"""The loop: held-out data, early stopping, players, random state, the log, interrupts, checkpoints."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from training.toys import ToySource, adversarial, toy_data, toy_vae, two_stages
from vaekit import bounds
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.elbo import negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.runs.train import train
from vaekit.training import checkpoint, loop
from vaekit.training.hooks import StepInfo
from vaekit.training.log import JsonLines, read
from vaekit.training.loop import Fit, fit
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Batch
from vaekit.training.stages import Stage, player_parameters
from vaekit.training.validation import HeldOut, held_out


def settings(**more: Any) -> TrainSettings:
    return TrainSettings(**({"epochs": 4, "batch_size": 20, "device": "cpu", "lr": 0.01} | more))


def elbo_stage() -> list[Stage]:
    return [Stage(negative_elbo())]


# --- held-out data -----------------------------------------------------------------------------------------------


def test_held_out_elbo_is_the_mean_over_examples_whatever_the_batches() -> None:
    """A short last batch counts by its examples: the trap of averaging batch means."""
    model = toy_vae().eval()
    held = toy_data(23, 5)

    def batches(size: int) -> Iterator[Batch]:
        yield from ((held[i : i + size], None) for i in range(0, 23, size))

    def score(size: int) -> HeldOut:
        return held_out(lambda x, y, **k: model.trace(x, y, **k), negative_elbo(), batches(size), seed=3)

    with torch.no_grad():
        torch.manual_seed(3)
        whole = bounds.elbo(model.trace(held, hard=True)).double()
    one = score(23)
    assert one.elbo == pytest.approx(whole.mean().item(), rel=1e-6)
    assert one.stderr == pytest.approx(whole.std().item() / math.sqrt(23), rel=1e-6)
    assert one.n == 23 and one.loss == pytest.approx(-whole.mean().item(), rel=1e-6)
    assert one.terms["log_px"] - one.terms["kl"] == pytest.approx(whole.mean().item(), rel=1e-6)
    # Batches of 10, 10 and 3 with the same noise an example: draws are rows of one stream.
    torch.manual_seed(3)
    with torch.no_grad():
        parts = [bounds.elbo(model.trace(x, hard=True)) for x, _ in batches(10)]
    assert score(10).elbo == pytest.approx(torch.cat(parts).double().mean().item(), rel=1e-6)


def test_validation_leaves_the_random_state_and_the_mode_as_they_were() -> None:
    run = Fit(toy_vae(), elbo_stage(), ToySource(), settings(ema=0.9))
    run._start_stage(0, None)
    run.model.train()
    before = torch.get_rng_state()
    weights = [p.detach().clone() for p in run.model.parameters()]
    first, second = run._validate(), run._validate()
    assert torch.equal(torch.get_rng_state(), before) and run.model.training
    assert first.elbo == second.elbo
    assert all(torch.equal(p, w) for p, w in zip(run.model.parameters(), weights))


def test_how_often_one_validates_does_not_change_the_weights() -> None:
    models = [toy_vae(), toy_vae()]
    for model, every in zip(models, (1, 3)):
        fit(model, elbo_stage(), ToySource(), settings(epochs=6, validate_every=every))
    assert all(torch.equal(p, q) for p, q in zip(models[0].parameters(), models[1].parameters()))


def test_the_callers_random_state_is_left_alone_and_does_not_matter() -> None:
    torch.manual_seed(11)
    before = torch.get_rng_state()
    one, two = toy_vae(), toy_vae()
    fit(one, elbo_stage(), ToySource(), settings())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(12)
    fit(two, elbo_stage(), ToySource(), settings())
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), two.parameters()))
    run = train("vae", torch.randn(60, 4, generator=torch.Generator().manual_seed(1)), steps=3)
    torch.manual_seed(12)
    expected = torch.rand(1)
    torch.manual_seed(12)
    run.sample(3)
    run.evaluate(["elbo"])
    assert torch.equal(torch.rand(1), expected)


def test_the_test_split_is_never_touched_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Early stopping and the choice of weights see the held-out split; a test split that cannot be read trains on."""
    from vaekit.data.dataset import DataSet
    from vaekit.runs import data as loading

    class Poison:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(f"training asked the test split for {name}")

        def __len__(self) -> int:
            raise AssertionError("training asked for the test split's length")

    true_prepare = loading.prepare

    def prepare(*args: Any) -> DataSet:
        data = true_prepare(*args)
        return DataSet(data.info, data.train, data.valid, Poison(), data.prepare)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(loading, "prepare", prepare)
    run = train("vae", "digits", epochs=2, set={"train.early_stop": 1, "model.hidden": 8}, pictures=False)
    assert run.record["result"]["held_out_n"] == 176
    with pytest.raises(AssertionError, match="test split"):
        run.evaluate(["elbo"])


def test_held_out_data_are_not_trained_on_nor_augmented() -> None:
    """Splits are disjoint, the held-out batches are always the same, and their noise is not the training's."""
    from vaekit.data import load
    from vaekit.training.data_source import DataSource

    x = torch.arange(200 * 4, dtype=torch.float32).reshape(200, 4)
    data = load(x.numpy())
    rows = [set(split.x[:, 0].tolist()) for split in (data.train, data.valid, data.test)]
    assert len(rows[0] | rows[1] | rows[2]) == 200 == sum(map(len, rows))
    source = DataSource(load("digits", wants="binary"))
    first, second = (torch.cat([b for b, _ in source.valid(50)]) for _ in range(2))
    assert torch.equal(first, second) and len(first) == 176
    other = torch.cat([b for b, _ in source.valid(176)])
    assert torch.equal(first, other), "the noise of held-out data depends on the batch size"


# --- early stopping ----------------------------------------------------------------------------------------------


class Scripted(Fit):
    """A run whose held-out scores are given beforehand, by evaluation."""

    scores: tuple[float, ...] = ()

    def _validate(self, averaged: bool = True) -> HeldOut:
        number = getattr(self, "asked", 0)
        self.asked = number + 1
        self.kept = [*getattr(self, "kept", []), [p.detach().clone() for p in self.model.parameters()]]
        score = self.scores[min(number, len(self.scores) - 1)]
        return HeldOut(score, 0.1, None, -score, 10)


@pytest.mark.parametrize("in_folder", [False, True])
def test_early_stopping_keeps_the_best_weights(in_folder: bool, tmp_path: Path) -> None:
    run = Scripted(
        toy_vae(), elbo_stage(), ToySource(), settings(epochs=20, early_stop=3), folder=tmp_path if in_folder else None
    )
    run.scores = (-9.0, -7.0, -8.0, -7.0, -7.5, -1.0)  # the equal score at the fourth is no improvement
    result = run.run()
    assert result.position.epoch == 5 and result.position.best == -7.0 and result.position.best_epoch == 2
    assert all(torch.equal(p, w) for p, w in zip(run.model.parameters(), run.kept[1]))


def test_without_early_stopping_the_last_weights_stay() -> None:
    run = Scripted(toy_vae(), elbo_stage(), ToySource(), settings(epochs=4))
    run.scores = (-1.0, -2.0, -3.0, -4.0)
    assert run.run().position.epoch == 4
    assert all(torch.equal(p, w) for p, w in zip(run.model.parameters(), run.kept[3]))


# --- players and stages ------------------------------------------------------------------------------------------


def test_the_decoder_waits_while_the_encoder_is_ahead() -> None:
    model, moved = toy_vae(), list[set[str]]()
    last = {name: p.detach().clone() for name, p in model.named_parameters()}
    roles = {name: role for role, name, _ in model.parameter_roles()}

    def look(info: StepInfo) -> None:
        now = dict(info.model.named_parameters())
        moved.append({roles[name] for name, p in now.items() if not torch.equal(p, last[name])})
        last.update({name: p.detach().clone() for name, p in now.items()})

    ahead = settings(steps=8, epochs=None, encoder_steps=3, encoder_ahead=6)
    fit(model, [Stage(negative_elbo(), callbacks=(look,))], ToySource(), ahead)
    both = {"encoder", "decoder"}
    assert moved == [{"encoder"}, {"encoder"}, both, {"encoder"}, {"encoder"}, both, both, both]
    moved.clear()
    fit(model, [Stage(negative_elbo(), callbacks=(look,), trainable=("likelihood",))], ToySource(), ahead)
    assert moved == 8 * [{"decoder"}]  # nothing to wait for


def test_each_player_moves_its_own_parameters_by_its_own_loss() -> None:
    objective = adversarial()
    model = toy_vae()
    stage = Stage(objective)
    names = {p: {n for n, _, _ in player_parameters(model, stage, p, settings())} for p in objective.player_names}
    assert names["model"] == {f"model.{n}" for n, _ in model.named_parameters()}
    critic = objective.players["critic"].named_parameters()
    assert names["critic"] == {f"objective.players.critic.{n}" for n, _ in critic}
    before = [p.detach().clone() for p in objective.parameters()]
    result = fit(model, [stage], ToySource(), settings())
    assert result.skipped == 0
    assert any(not torch.equal(p, b) for p, b in zip(objective.parameters(), before))


def test_a_learned_sigma_reaches_the_noise_of_the_data_in_a_short_run() -> None:
    """300 steps at 1e-2 move what Adam moves by 3 at most, and log σ has 4 to go; -4 is the data's, by construction."""
    noise = math.exp(-4)
    x = noise * torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    data, net = ToySource(x, x, flip=0.0), mlp(2, 4, ())
    for parameter in net.parameters():
        parameter.requires_grad_(False).zero_()
    for factor, near in ((5.0, True), (1.0, False)):
        model = VAE(DiagonalNormal(mlp(4, 2, ())), StandardNormal(2), Gaussian(net, scale="dimension"))
        fit(model, [Stage(negative_elbo())], data, settings(steps=300, lr=1e-2, lr_sigma_factor=factor))
        off = (
            (
                model.likelihood.scale(None).detach()  # pyright: ignore[reportCallIssue]
                - data.x.square().mean(0).sqrt().log()
            )
            .abs()
            .max()
        )
        assert (float(off) < 0.1) == near, (factor, off)


def test_a_stage_trains_only_what_it_names() -> None:
    model, stages = toy_vae(), two_stages()
    run = Fit(model, stages, ToySource(), settings(steps=30))
    assert [run.plan.length(0, 0), run.plan.length(1, 20)] == [20, 10]
    seen: dict[str, Tensor] = {}
    true = run._start_stage

    def start(number: int, state: Any) -> None:
        if number == 1:
            seen.update({n: p.detach().clone() for n, p in model.named_parameters()})
        true(number, state)

    run._start_stage = start  # pyright: ignore[reportAttributeAccessIssue]
    run.run()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if not torch.equal(p, seen[name])}
    assert moved == {"likelihood"}


# --- the log -----------------------------------------------------------------------------------------------------


def test_the_log_has_what_a_person_follows(tmp_path: Path) -> None:
    fit(toy_vae(), [Stage(adversarial())], ToySource(), settings(log_every=2), folder=tmp_path)
    records = read(tmp_path / "log.jsonl")
    training = [r for r in records if "loss" in r]
    held = [r for r in records if "valid.elbo" in r]
    assert [r["step"] for r in training] == [2, 4, 5, 6, 8, 10, 12, 14, 15, 16, 18, 20]
    assert [r["step"] for r in held] == [5, 10, 15, 20] and [r["epoch"] for r in held] == [1.0, 2.0, 3.0, 4.0]
    for name in ("epoch", "elbo", "kl", "lr", "skipped", "grad_norm", "critic.loss", "critic.grad_norm", "stage"):
        assert name in training[0], name
    for name in ("valid.loss", "valid.elbo.stderr", "valid.log_px", "valid.kl", "active.z", "units.z", "kl_elements.z"):
        assert name in held[0], name
    # β rises from 0.1 to 1 over the first half; the logged ELBO is the plain one all the while.
    assert training[0]["terms.1"] < training[3]["terms.1"] and training[-1]["terms.1"] == pytest.approx(1.0)
    for r in training:
        assert r["elbo"] == pytest.approx(-r["reconstruction"] - r["rate"], abs=1e-3)


def test_records_are_json_whatever_happens(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "log.jsonl")
    units = {"active.z": 1, "units.z": 2}
    log.log({"step": 1, "epoch": 0, "loss": math.nan, "kl_elements.z": [math.inf, 1.0], **units})
    assert json.loads((tmp_path / "log.jsonl").read_text()) == {
        "step": 1,
        "epoch": 0,
        "loss": None,
        "kl_elements.z": [None, 1.0],
        **units,
        "not_finite": {"loss": "nan", "kl_elements.z": "inf"},
    }
    position = log.position
    log.log({"step": 2, "epoch": 0})
    log.close()
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 3, "lo')
    assert [r["step"] for r in read(tmp_path / "log.jsonl")] == [1, 2]
    again = JsonLines(tmp_path / "log.jsonl", position)
    again.log({"step": 7, "epoch": 1})
    again.close()
    assert [r["step"] for r in read(tmp_path / "log.jsonl")] == [1, 7]
    assert read(tmp_path / "none.jsonl") == []


# --- collapse ----------------------------------------------------------------------------------------------------


def test_the_watch_warns_of_a_collapsed_model_and_not_of_a_healthy_one() -> None:
    healthy = fit(toy_vae(), elbo_stage(), ToySource(), settings(epochs=60))
    assert healthy.warnings == []
    collapsed = fit(toy_vae(), [Stage(negative_elbo(50.0))], ToySource(), settings(epochs=60))
    (warning,) = collapsed.warnings
    assert "posterior of z has collapsed" in warning and "0 of 3 units" in warning and "objective.beta" in warning


# --- interrupts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [20, 100])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_saves_after_the_step(number: signal.Signals, batch_size: int, tmp_path: Path) -> None:
    """With one batch an epoch too."""
    whole = toy_vae()
    fit(whole, elbo_stage(), ToySource(), settings(steps=9, batch_size=batch_size))

    class Interrupted(Fit):
        def _step(self, x: Any, y: Tensor | None) -> None:
            if self.at.step == 4:
                os.kill(os.getpid(), number)
            super()._step(x, y)

    before = signal.getsignal(number)
    run = Interrupted(toy_vae(), elbo_stage(), ToySource(), settings(steps=9, batch_size=batch_size), folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    assert signal.getsignal(number) is before
    assert run.at.step in (5, 6)
    model = toy_vae(seed=3)
    result = fit(
        model, elbo_stage(), ToySource(), settings(steps=9, batch_size=batch_size), folder=tmp_path, resume=True
    )
    assert result.position.step == 9
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), whole.parameters()))


# --- checkpoints -------------------------------------------------------------------------------------------------


def test_checkpoints_are_safetensors_and_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pickle

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a pickle was read or written")

    for name in ("load", "loads", "dump", "dumps", "Unpickler", "Pickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    monkeypatch.setattr(torch, "save", refuse)
    made = settings(epochs=2, checkpoint_steps=2, keep="best")
    fit(toy_vae(), [Stage(adversarial())], ToySource(), made, folder=tmp_path)
    fit(toy_vae(), [Stage(adversarial())], ToySource(), made, folder=tmp_path, resume=True)
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(p.name for p in files) == ["best.safetensors", "last.safetensors", "log.jsonl"]
    for path in files:
        assert path.read_bytes()[:2] not in (b"PK", b"\x80\x02", b"\x80\x04")
        if path.suffix == ".safetensors":
            length = int.from_bytes(path.read_bytes()[:8], "little")
            assert "__metadata__" in json.loads(path.read_bytes()[8 : 8 + length])


@pytest.mark.parametrize("damage", [0, 4, 100, 2000])
def test_a_damaged_checkpoint_is_named(damage: int, tmp_path: Path) -> None:
    fit(toy_vae(), elbo_stage(), ToySource(), settings(epochs=1), folder=tmp_path)
    path = tmp_path / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:damage])
    with pytest.raises(UserError, match=r"last\.safetensors"):
        fit(toy_vae(), elbo_stage(), ToySource(), settings(epochs=1), folder=tmp_path, resume=True)
    with pytest.raises(UserError, match=r"nothing\.safetensors"):
        checkpoint.load(tmp_path / "nothing.safetensors")


def test_a_checkpoint_of_another_model_is_named(tmp_path: Path) -> None:
    fit(toy_vae(), elbo_stage(), ToySource(), settings(epochs=1), folder=tmp_path)
    with pytest.raises(UserError, match=r"last\.safetensors does not fit this model"):
        fit(toy_vae(hidden=9), elbo_stage(), ToySource(), settings(epochs=1), folder=tmp_path, resume=True)


def test_a_finished_run_taken_up_again_says_the_same(tmp_path: Path) -> None:
    """Skipped steps are counted once, and the held-out score is of the weights that were kept, not of averages."""
    made = settings(epochs=5, ema=0.9, keep="best", skip_above=30.0)
    model, again = toy_vae(), toy_vae()
    first = fit(model, [Stage(negative_elbo())], ToySource(), made, folder=tmp_path)
    second = fit(again, [Stage(negative_elbo())], ToySource(), made, folder=tmp_path, resume=True)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters()))
    assert second.held_out.elbo == first.held_out.elbo and second.skipped == first.skipped


def test_skipped_steps_are_counted_once_over_a_resume(tmp_path: Path) -> None:
    made = settings(epochs=3, skip_above=1e-6, max_bad_steps=1000)
    first = fit(toy_vae(), elbo_stage(), ToySource(), made, folder=tmp_path)
    second = fit(toy_vae(), elbo_stage(), ToySource(), made, folder=tmp_path, resume=True)
    assert first.skipped == second.skipped == 15


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="nonsense"):
        loop.choose_device("nonsense")


def test_the_best_weights_of_one_stage_are_not_taken_for_anothers(tmp_path: Path) -> None:
    """A run that dies in stage two, its best weights just replaced, must not start stage two from those."""
    made = settings(steps=45, batch_size=16, keep="best", checkpoint_steps=30)

    class Dies(Fit):
        def _step(self, x: Any, y: Tensor | None) -> None:
            if self.at.stage == 1 and self.at.stage_step == 9:
                raise ZeroDivisionError
            super()._step(x, y)

    whole, cut = toy_vae(), toy_vae()
    fit(whole, two_stages(), ToySource(), made)
    (tmp_path / "cut").mkdir()
    with pytest.raises(ZeroDivisionError):
        Dies(toy_vae(), two_stages(), ToySource(), made, folder=tmp_path / "cut").run()
    fit(cut, two_stages(), ToySource(), made, folder=tmp_path / "cut", resume=True)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), cut.parameters()))
