"""Adam against torch's, skipped steps, and weight averages by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from training.toys import ToySource, toy_data, toy_vae
from vaekit.errors import TrainingFailed, UserError
from vaekit.objectives.base import MODEL
from vaekit.objectives.elbo import negative_elbo
from vaekit.training.average import WeightAverage
from vaekit.training.loop import Fit, fit
from vaekit.training.optimiser import Adam
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage, make_optimisers


def weights(seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (4,), (2, 3), (1,))]


def gradients(step: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(50 + step)
    return [torch.randn(shape, generator=generator) * (1 + step % 5) for shape in ((3, 4), (4,), (2, 3), (1,))]


# A processor's norm is looked at; elsewhere it stays a scalar on the device, which works on a processor too.
both_ways = pytest.mark.parametrize("waited_for", [True, False])


def test_a_processor_is_waited_for() -> None:
    assert Adam([("w", nn.Parameter(torch.zeros(2)), 0.1)]).waited_for


@both_ways
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("clip", [None, 2.0])
def test_it_is_adamw_over_twenty_steps(weight_decay: float, clip: float | None, waited_for: bool) -> None:
    mine, theirs = weights(), weights()
    rates = [1e-2, 1e-2, 3e-3, 3e-3]
    adam = Adam(
        [(str(i), p, lr) for i, (p, lr) in enumerate(zip(mine, rates))],
        betas=(0.8, 0.95),
        eps=1e-6,
        weight_decay=weight_decay,
        clip=clip,
    )
    adam.waited_for = waited_for
    groups = [{"params": theirs[:2], "lr": 1e-2}, {"params": theirs[2:], "lr": 3e-3}]
    oracle = torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-6, weight_decay=weight_decay)
    for step in range(20):
        factor = 1 / (1 + step)
        for group, lr in zip(oracle.param_groups, (1e-2, 3e-3)):
            group["lr"] = lr * factor
        for p, g in zip(theirs, gradients(step)):
            p.grad = g
        expected = nn.utils.clip_grad_norm_(theirs, math.inf if clip is None else clip)
        adam.scale_rates(factor)
        norm = adam.step(gradients(step))
        oracle.step()
        torch.testing.assert_close(norm, expected)
    for p, q in zip(mine, theirs):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def copy_of(adam: Adam) -> dict[str, Tensor]:
    own = {f"weight.{i}": p.detach() for i, p in enumerate(adam.parameters)}
    return {name: value.clone() for name, value in (adam.state() | own).items()}


@both_ways
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(value: float, waited_for: bool) -> None:
    adam = Adam([(str(i), p, 0.1) for i, p in enumerate(weights())], weight_decay=0.1, clip=1.0)
    adam.waited_for = waited_for
    adam.step(gradients(0))
    before = copy_of(adam)
    bad = gradients(1)
    bad[2][1, 1] = value
    for times in (1, 2):
        adam.step([g.clone() for g in bad])
        assert float(adam.skipped) == float(adam.in_a_row) == times
    after = copy_of(adam)
    for name in before:
        if name not in ("skipped", "in_a_row"):
            assert torch.equal(before[name], after[name]), name
    adam.step(gradients(1))
    assert (float(adam.skipped), float(adam.in_a_row)) == (2, 0)
    # Bias correction went on where it stood: as if the bad steps had never been.
    clean = Adam([(str(i), p, 0.1) for i, p in enumerate(weights())], weight_decay=0.1, clip=1.0)
    clean.step(gradients(0))
    clean.step(gradients(1))
    for p, q in zip(adam.parameters, clean.parameters):
        assert torch.equal(p, q)


@both_ways
def test_a_step_above_the_threshold_is_skipped(waited_for: bool) -> None:
    adam = Adam([("w", p, 0.1) for p in [nn.Parameter(torch.zeros(2))]], skip_above=5.0)
    adam.waited_for = waited_for
    (w,) = adam.parameters
    adam.step([torch.tensor([3.0, 4.1])])
    assert torch.equal(w, torch.zeros(2)) and float(adam.skipped) == 1
    adam.step([torch.tensor([3.0, 4.0])])
    assert bool((w != 0).all()) and float(adam.skipped) == 1


def test_a_parameter_without_a_gradient_stays() -> None:
    adam = Adam([(str(i), p, 0.1) for i, p in enumerate(weights())], weight_decay=0.5)
    grads: list[Tensor | None] = list(gradients(0))
    grads[1] = None
    before = adam.parameters[1].detach().clone()
    adam.step(grads)
    assert torch.equal(adam.parameters[1], before)


class Explosive(ToySource):
    """Rows of NaN from some step on."""

    def train(self, batch_size, *, seed, epoch, skip):
        """Yield NaN after the first epoch."""
        for x, y in super().train(batch_size, seed=seed, epoch=epoch, skip=skip):
            yield (x * math.nan if epoch >= 1 else x), y


def test_too_many_bad_steps_end_the_run_with_the_reason() -> None:
    model = toy_vae()
    settings = TrainSettings(epochs=10, batch_size=10, max_bad_steps=8, log_every=4, lr=0.003, device="cpu")
    with pytest.raises(TrainingFailed, match=r"10 steps in a row .* not finite .*'model', step 20.*train.lr=0.001"):
        fit(model, [Stage(negative_elbo())], Explosive(), settings)
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_bad_steps_are_counted_in_the_result() -> None:
    class Once(ToySource):
        def train(self, batch_size, *, seed, epoch, skip):
            for i, (x, y) in enumerate(super().train(batch_size, seed=seed, epoch=epoch, skip=skip)):
                yield (x * math.nan if epoch == 0 and i in (2, 5) else x), y

    result = fit(toy_vae(), [Stage(negative_elbo())], Once(), TrainSettings(epochs=3, batch_size=10, device="cpu"))
    assert result.skipped == 2 and result.position.step == 30


def test_the_average_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    values = [2.0, -1.0, 5.0]
    with torch.no_grad():
        module.weight.fill_(1.0)
    average, expected = WeightAverage(module, 0.2), 1.0
    for t, value in enumerate(values, 1):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update()
        decay = min(0.2, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * value
    assert average.values["weight"].item() == pytest.approx(expected, rel=1e-6)
    with average.applied():
        assert module.weight.item() == pytest.approx(expected, rel=1e-6)
    assert module.weight.item() == 5.0
    average.keep()
    assert module.weight.item() == pytest.approx(expected, rel=1e-6)


def test_encoder_and_decoder_learn_at_their_own_rates() -> None:
    settings = TrainSettings(lr=1e-3, lr_encoder=4e-3, weight_decay=0.0, device="cpu")
    model = toy_vae()
    (adam,) = make_optimisers(model, Stage(negative_elbo()), settings).values()
    rates = {name: group.lr for group in adam.groups for name in group.names}
    assert {rates[n] for n in rates if n.startswith("model.posterior")} == {4e-3}
    assert {rates[n] for n in rates if n.startswith("model.likelihood")} == {1e-3}
    assert len(rates) == len(list(model.parameters()))
    # Adam's first step moves every weight by its learning rate, whatever the gradient.
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    loss = negative_elbo()(model.trace(toy_data(50)))[MODEL].total
    adam.step(torch.autograd.grad(loss, adam.parameters))
    for name, p in model.named_parameters():
        moved = (p.detach() - before[name]).abs().max().item()
        assert moved == pytest.approx(4e-3 if name.startswith("posterior") else 1e-3, rel=0.02), name


def test_warm_up_and_decay() -> None:
    def factors(**settings: object) -> list[float]:
        made = TrainSettings.model_validate({"steps": 10, "batch_size": 100, "device": "cpu", **settings})
        run = Fit(toy_vae(), [Stage(negative_elbo())], ToySource(), made)
        return [run.plan.factor(step, 10) for step in range(10)]

    assert factors(warmup=0, decay="none") == [1.0] * 10
    assert factors(warmup=4, decay="none") == pytest.approx([0.2, 0.4, 0.6, 0.8] + [1.0] * 6)
    assert factors(warmup="4ep", decay="none") == factors(warmup="40%", decay="none") == factors(warmup=4, decay="none")
    cosine = [0.2, 0.4, 0.6, 0.8] + [0.5 * (1 + math.cos(math.pi * t / 6)) for t in range(6)]
    assert factors(warmup=4, decay="cosine") == pytest.approx(cosine)
    assert factors(warmup=0, decay="linear") == pytest.approx([1 - t / 10 for t in range(10)])


def test_a_stage_with_nothing_to_train_is_refused() -> None:
    with pytest.raises(UserError, match="stage 'empty' leaves the player 'model' nothing to train"):
        fit(toy_vae(), [Stage(negative_elbo(), "empty", trainable=("nothing",))], ToySource(), TrainSettings(steps=1))


def test_a_gradient_with_other_strides_moves_the_same_elements() -> None:
    """The fused kernel walks through memory: a channels-last gradient of a plain weight must not be scrambled."""
    grad = torch.randn(3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    moved = []
    for layout in (torch.contiguous_format, torch.channels_last):
        weight = nn.Parameter(torch.zeros(3, 2, 4, 4))
        Adam([("w", weight, 1e-2)]).step([grad.contiguous(memory_format=layout)])
        moved.append(weight.detach())
    torch.testing.assert_close(moved[0], moved[1], rtol=0, atol=0)
    assert bool((moved[0].sign() == -grad.sign()).all())
