"""Weights that are found: the multiplier's direction, what it moves, where training ends; and a committed rate."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

import toys
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.errors import UserError
from vaekit.objectives.base import MODEL
from vaekit.objectives.constraints import MOST, MULTIPLIER, Constraint, Multiplier, constrained
from vaekit.posteriors.committed import CommittedNormal, widest
from vaekit.recipes.base import RECIPES
from vaekit.runs.train import train
from vaekit.trace import Latent, Trace


@pytest.mark.parametrize("of", ["rate", "reconstruction"])
def test_the_weight_grows_above_the_target_and_falls_below_it(of: Any) -> None:
    torch.manual_seed(0)
    trace = toys.gaussian_model().trace(torch.randn(9, toys.FEATURES))
    now = float((trace.kl["z"].mean() if of == "rate" else -trace.log_px.mean()).detach())
    for target, sign in ((now - 1, -1), (now + 1, 1)):
        weight = Multiplier()
        (slope,) = torch.autograd.grad(Constraint(weight, of, target)(trace), [weight.exponent])
        assert float(slope) == pytest.approx(sign * 20.0, rel=1e-4)  # -C · d log λ
        for end in (MOST + 1, -MOST - 1):  # at an end it moves back alone
            with torch.no_grad():
                weight.exponent.fill_(end / 20)
            (slope,) = torch.autograd.grad(Constraint(weight, of, target)(trace), [weight.exponent])
            assert (float(slope) != 0) == (sign * end > 0)


def test_each_player_moves_its_own() -> None:
    torch.manual_seed(0)
    model = toys.gaussian_model()
    objective = constrained("rate", 1.0)
    losses = objective(model.trace(torch.randn(9, toys.FEATURES)))
    weight: Any = objective.players[MULTIPLIER]
    assert [name for name, _ in objective.own_parameters(MODEL)] == []
    assert [p for _, p in objective.own_parameters(MULTIPLIER)] == [weight.exponent]
    theirs = torch.autograd.grad(
        losses[MULTIPLIER].total, list(model.parameters()), allow_unused=True, retain_graph=True
    )
    assert theirs == (None,) * len(theirs)
    assert torch.autograd.grad(losses[MODEL].total, [weight.exponent], allow_unused=True) == (None,)
    assert losses[MODEL].parts.keys() == {"reconstruction", "rate"}


@pytest.mark.parametrize(("of", "target"), [("rate", 0.4), ("reconstruction", 3.4)])
def test_both_players_together_end_at_the_target(of: Any, target: float) -> None:
    """Free posteriors N(μ, σ²) of sixteen points x under p(x|z) = N(z, I), z of two numbers; Adam for both players."""
    torch.manual_seed(0)
    x, q = 2 * torch.randn(16, 2), [torch.zeros(16, 2, requires_grad=True), torch.zeros(16, 2, requires_grad=True)]
    objective = constrained(of, target)
    mine = list(objective.players[MULTIPLIER].parameters())
    adams = torch.optim.Adam(q, 0.03), torch.optim.Adam(mine, 1e-3)
    decay = [torch.optim.lr_scheduler.CosineAnnealingLR(adam, 700) for adam in adams]
    tail = []
    for step in range(700):
        posterior = DiagonalNormalFamily(q[0], q[1])
        z = posterior.rsample(torch.Size((4,)))
        trace = Trace(
            x,
            None,
            {"z": Latent(posterior, StandardNormalFamily(torch.zeros(2)), z, z)},
            DiagonalNormalFamily(z, z * 0),
        )
        losses = objective(trace)
        for player, own in ((MODEL, q), (MULTIPLIER, mine)):
            for parameter, slope in zip(own, torch.autograd.grad(losses[player].total, own, retain_graph=True)):
                parameter.grad = slope
        for adam in adams:
            adam.step()
        for one in decay:
            one.step()
        if step >= 600:
            tail.append(float((trace.kl["z"].mean() if of == "rate" else -trace.log_px.mean()).detach()))
    assert sum(tail) / len(tail) == pytest.approx(target, rel=0.05)


def test_the_weight_is_logged_and_kept(tmp_path: Any) -> None:
    settings = {"objective.rate": 1, "train.log_every": 5}
    run = train("rate-vae", "digits", steps=40, out=tmp_path / "run", set=settings, pictures=False)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    shown = [line["players.multiplier"] for line in lines if "players.multiplier" in line]
    assert shown[0] != shown[-1] and all(value > 0 for value in shown)
    assert float(run.built.stages[0].objective.players[MULTIPLIER]()) == pytest.approx(shown[-1], rel=0.1)


# -- a committed rate -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.01, 0.5, 3.0])
def test_the_widest_normal_has_the_rate(rate: float) -> None:
    q = DiagonalNormalFamily(torch.zeros(1, 1, dtype=torch.float64), torch.full((1, 1), widest(rate)).double())
    from vaekit.distributions.kl import kl

    assert widest(rate) < 0
    assert float(kl(q, StandardNormalFamily(torch.zeros(1)))) == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1.0, 1e4])
def test_no_input_and_no_network_has_a_lower_rate(scale: float) -> None:
    from vaekit.distributions.kl import kl
    from vaekit.nets.mlp import mlp

    torch.manual_seed(0)
    part = CommittedNormal(mlp(3, 4, (8,)), committed=2.5)
    with torch.no_grad():
        for parameter in part.parameters():
            parameter.mul_(scale)
    rates = kl(part(torch.randn(50, 3)), StandardNormalFamily(torch.zeros(4)))
    assert bool((rates >= 2.5 - 1e-5).all()) and bool(torch.isfinite(rates).all())


def test_the_rate_is_committed_to_from_a_standard_normal_alone() -> None:
    run = train("delta-vae", "digits", steps=30, set={"model.committed": 4}, pictures=False)
    assert (run.evaluate(["elbo"])["kl"].value or 0) >= 4
    with pytest.raises(UserError, match=r"set model\.prior=standard-normal"):
        RECIPES["delta-vae"].part.build(RECIPES["delta-vae"].part.settings({"model": {"prior": "vamp"}}), run.info)
