"""A run that has ended is taken up again to last longer; collapse is said once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from training.toys import LATENT, D, ToySource, adversarial, toy_vae, two_stages
from vaekit.collapse import LatentWatch, Usage, Warned, warning
from vaekit.errors import UserError
from vaekit.models.vae import VAE
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.training.log import read
from vaekit.training.loop import Fit, fit
from vaekit.training.plan import Plan
from vaekit.training.progress import Progress
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage
from vaekit.training.validation import HeldOut


def settings(**more: Any) -> TrainSettings:
    constant = {"decay": "none", "warmup": 0}
    return TrainSettings(**({"epochs": 4, "batch_size": 20, "device": "cpu", "lr": 0.01} | constant | more))


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """Keep a line."""
        self.said.append(text)


def stages_of(kind: str) -> list[Stage]:
    if kind == "two players":
        return [Stage(adversarial())]
    beta = "linear 0.1 1 3ep" if kind == "annealed" else 1.0
    return [Stage(negative_elbo(beta))]


@pytest.mark.parametrize("kind", ["plain", "annealed"])
@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"keep": "best"}, {"warmup": "2ep"}, {"early_stop": 50}])
def test_4_epochs_and_then_9_are_9_at_once(kind: str, more: dict[str, Any], tmp_path: Path) -> None:
    """Bit for bit, with a learning rate and schedules whose lengths are not shares of the run's."""
    whole, cut = toy_vae(), toy_vae()
    at_once = fit(whole, stages_of(kind), ToySource(), settings(epochs=9, **more))
    fit(toy_vae(), stages_of(kind), ToySource(), settings(epochs=4, **more), folder=tmp_path)
    notes = Notes()
    longer = fit(
        cut, stages_of(kind), ToySource(), settings(epochs=9, **more), folder=tmp_path, progress=notes, resume=True
    )
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), cut.parameters()))
    assert longer.position.step == at_once.position.step == 45 and longer.held_out.elbo == at_once.held_out.elbo
    assert "goes on from step 20 to 45" in notes.said[0] and "no value changes" in notes.said[0]
    assert [r["step"] for r in read(tmp_path / "log.jsonl") if "valid.elbo" in r] == list(range(5, 46, 5))


def test_two_players_go_on_too(tmp_path: Path) -> None:
    """The critic and its optimiser; the objective's β is a share of the run, so it is that of the longer one."""
    made = settings(epochs=8)
    fit(toy_vae(), stages_of("two players"), ToySource(), settings(epochs=4), folder=tmp_path)
    notes = Notes()
    fit(toy_vae(), stages_of("two players"), ToySource(), made, folder=tmp_path, progress=notes, resume=True)
    assert "terms.1 1 → 1" not in notes.said[0]
    betas = {r["step"]: r["terms.1"] for r in read(tmp_path / "log.jsonl") if "terms.1" in r}
    assert betas[20] == pytest.approx(1.0) and betas[25] == pytest.approx(1.0)


def test_what_is_a_share_of_the_run_is_a_share_of_the_longer_one(tmp_path: Path) -> None:
    """The cosine has come down to nothing, and goes on where that of the longer run stands; one line says so."""
    made = {"decay": "cosine", "warmup": "10%", "log_every": 1}
    notes = Notes()

    def train(name: str, epochs: int, resume: bool = False) -> None:
        (tmp_path / name).mkdir(exist_ok=True)
        stages = [Stage(Objective(Reconstruction(), Rate("linear 0 1 100%")))]
        settled = settings(epochs=epochs, **made)
        fit(toy_vae(), stages, ToySource(), settled, folder=tmp_path / name, progress=notes, resume=resume)

    train("whole", 9)
    train("cut", 4)
    train("cut", 9, resume=True)

    def logged(name: str) -> dict[int, tuple[float, float]]:
        records = read(tmp_path / name / "log.jsonl")
        return {r["step"]: (r["lr"], r["rate"] and r["terms.1"]) for r in records if "lr" in r}

    whole, cut = logged("whole"), logged("cut")
    assert all(cut[step] == whole[step] for step in range(21, 46)), "not the schedules of a run of 45 steps"
    assert cut[20][0] < 0.05 * cut[21][0] and cut[20][1] > 2 * cut[21][1]
    (line,) = [text for text in notes.said if "goes on" in text]
    assert f"learning rate {cut[20][0]:.3g} → {cut[21][0]:.3g}" in line
    assert f"terms.1 {cut[20][1]:.3g} → {cut[21][1]:.3g}" in line


def test_the_last_stage_has_what_is_left(tmp_path: Path) -> None:
    """Of a run of two stages the first is over: what it trained stays, and the last gets all that was added."""
    short, model, again = toy_vae(), toy_vae(), toy_vae()
    fit(short, two_stages(), ToySource(), settings(epochs=None, steps=30), folder=tmp_path)
    made = settings(epochs=None, steps=60)
    result = fit(model, two_stages(), ToySource(), made, folder=tmp_path, resume=True)
    assert result.position.step == 60 and result.position.stage == 1 and result.position.stage_step == 40
    assert all(torch.equal(p, q) for p, q in zip(model.posterior.parameters(), short.posterior.parameters()))
    decoders = zip(model.likelihood.parameters(), short.likelihood.parameters())
    assert not all(torch.equal(p, q) for p, q in decoders)
    assert fit(again, two_stages(), ToySource(), made, folder=tmp_path, resume=True).position.step == 60
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.parameters()))


def test_lengthened_in_its_first_stage_it_is_the_longer_run(tmp_path: Path) -> None:
    class Dies(Fit):
        def _step(self, x: Any, y: Any) -> None:
            if self.at.step == 13:
                raise ZeroDivisionError
            super()._step(x, y)

    def made(steps: int) -> TrainSettings:
        return settings(epochs=None, steps=steps, checkpoint_steps=4)

    def stages() -> list[Stage]:
        return [Stage(negative_elbo(), "both"), Stage(negative_elbo(0.5), "decoder", ("likelihood",), share=0.5)]

    whole, cut = toy_vae(), toy_vae()
    fit(whole, stages(), ToySource(), made(60))
    with pytest.raises(ZeroDivisionError):
        Dies(toy_vae(), stages(), ToySource(), made(30), folder=tmp_path).run()
    fit(cut, stages(), ToySource(), made(60), folder=tmp_path, resume=True)
    assert all(torch.equal(p, q) for p, q in zip(whole.parameters(), cut.parameters()))


def test_early_stopping_starts_anew_and_the_best_stays(tmp_path: Path) -> None:
    class Scripted(Fit):
        scores: Sequence[float] = ()

        def _validate(self, averaged: bool = True) -> HeldOut:
            return HeldOut(self.scores[min(self.at.epoch, len(self.scores)) - 1], 0.1, None, 1.0, 10)

    def run(epochs: int, scores: Sequence[float], resume: bool) -> Fit:
        one = Scripted(
            toy_vae(), stages_of("plain"), ToySource(), settings(epochs=epochs, early_stop=2), folder=tmp_path
        )
        one.scores = scores
        one.run(resume)
        return one

    first = run(20, (-9.0, -5.0, -6.0, -7.0), resume=False)
    assert first.at.epoch == 4 and first.at.best_epoch == 2
    second = run(30, (-9.0, -5.0, -6.0, -7.0, -8.0, -8.0), resume=True)
    assert second.at.epoch == 6 and second.at.best_epoch == 2, "a run that had stopped early does not go on"
    third = run(40, (-9.0, -5.0, -6.0, -7.0, -8.0, -8.0, -1.0, -2.0, -3.0), resume=True)
    assert third.at.epoch == 9 and third.at.best_epoch == 7


def test_stages_share_out_the_steps_that_are_left() -> None:
    plan = Plan(TrainSettings(steps=100), (0.6, 0.3, 0.1), per_epoch=7)
    assert [plan.length(0, 0), plan.length(1, 60), plan.length(2, 90)] == [60, 30, 10]
    assert plan.length(2, 40) == 60 and plan.length(2, 100) == 1


# --- frozen parts -------------------------------------------------------------------------------------------------


def normed(seed: int = 0) -> VAE:
    """Return the toy with batch normalisation, with and without weights, and dropout in both its networks."""
    model: Any = toy_vae(seed)
    for part, width in ((model.posterior, D), (model.likelihood, LATENT)):
        first = part.net.layers[0]
        part.net.layers[0] = nn.Sequential(
            nn.BatchNorm1d(width, affine=False), first, nn.BatchNorm1d(first.out_features)
        )
    return model


@pytest.mark.parametrize(("freeze", "part"), [("encoder", "posterior"), ("likelihood", "likelihood")])
def test_batch_statistics_of_frozen_parts_stay(freeze: str, part: str) -> None:
    model = normed()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(model, [Stage(negative_elbo())], ToySource(), settings(freeze=freeze, ema=0.5))
    moved = {name.split(".")[0] for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"posterior", "likelihood"} - {part}


def test_a_stage_with_nothing_left_to_train_is_left_out() -> None:
    """Of encoder and decoder, then decoder alone; a part that is not there and one that is all are refused."""
    run = Fit(toy_vae(), two_stages(), ToySource(), settings(freeze="likelihood"))
    assert [stage.name for stage in run.stages] == ["both"]
    with pytest.raises(
        UserError, match=r"train\.freeze=conv: this model has no such part; it has encoder, decoder, post"
    ):
        Fit(toy_vae(), two_stages(), ToySource(), settings(freeze="encoder conv"))
    with pytest.raises(UserError, match="leaves nothing to train"):
        Fit(toy_vae(), two_stages(), ToySource(), settings(freeze=("encoder", "decoder")))


# --- collapse ----------------------------------------------------------------------------------------------------


class Flickering(Fit):
    """A run whose latent collapses at every second evaluation, with another KL each time."""

    ends_collapsed = True

    def _validate(self, averaged: bool = True) -> HeldOut:
        last = self.at.stage_step >= self.total
        lost = self.ends_collapsed if last else self.at.epoch % 2 == 0
        sums = [torch.tensor([v]) for v in (0.001 * self.at.epoch if lost else 9.0, 0.0, 99.0, 0.0)]
        watch = LatentWatch({"z": sums}, 1)
        return HeldOut(-1.0, 0.1, None, 1.0, 10, watch=watch)


@pytest.mark.parametrize("ends_collapsed", [True, False])
def test_a_collapse_is_said_when_it_begins_and_at_the_end(ends_collapsed: bool, tmp_path: Path) -> None:
    notes = Notes()
    run = Flickering(toy_vae(), stages_of("plain"), ToySource(), settings(epochs=40), progress=notes, folder=tmp_path)
    run.ends_collapsed = ends_collapsed
    result = run.run()
    said = [text for text in notes.said if text.startswith("warning: the posterior of z has collapsed")]
    assert len(said) == 1 and "KL 0.014" in said[0]
    assert [("KL 0.040" in text) for text in result.warnings] == ([True] if ends_collapsed else [])
    assert any("no longer collapsed at the end: z" in text for text in notes.said) is not ends_collapsed
    again = Notes()
    longer = Flickering(
        toy_vae(), stages_of("plain"), ToySource(), settings(epochs=60), progress=again, folder=tmp_path
    )
    longer.run(resume=True)
    assert not [text for text in again.said if "has collapsed" in text], "said again by a run taken up again"


def test_each_latent_is_said_once_and_all_are_named() -> None:
    warned = Warned()
    low, high = [Usage(f"z{i}", 0.01, 0, 3) for i in range(6)], [Usage(f"z{i}", 5.0, 3, 3) for i in range(6)]
    assert warned.begin(high) is None
    assert "posterior of z0 has" in (warned.begin([low[0], *high[1:]]) or "")
    second = warned.begin(low[:3])
    assert (
        second is not None and "posterior of z1, z2 has" in second and "z0" not in second and "0 of 6 units" in second
    )
    assert warned.begin(low[:3]) is None
    assert "z0, z1, z2, z3 and 2 more" in (warning(low) or "")
    assert warned.back([low[0], high[1], high[2]]) == "no longer collapsed at the end: z1, z2"
