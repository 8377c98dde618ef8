"""Second players: the density ratio finds a known total correlation; every gradient stays with its own player."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.generating import Generating
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.adversaries import (
    CRITIC,
    DensityRatioTC,
    FoolCode,
    FoolData,
    JudgeCode,
    JudgeData,
    Permuted,
    SimilarityFeatures,
    permute_dimensions,
    two_sided,
)
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.perceptual import FeatureReconstruction
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.trace import GeneratingTrace, Latent, Trace
from vaekit.training.loop import fit
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Batch
from vaekit.training.stages import Stage, make_optimisers


def codes(z: Tensor) -> Trace:
    """A trace whose codes are z (B, D)."""
    q = DiagonalNormalFamily(z, torch.zeros_like(z))
    p = StandardNormalFamily(torch.zeros(z.shape[1:]))
    return Trace(
        torch.zeros(len(z), 1),
        None,
        {"z": Latent(q, p, z[None], z[None])},
        DiagonalNormalFamily(z[None], z[None]),
    )


def test_permuting_keeps_the_margins_and_breaks_the_dependence() -> None:
    torch.manual_seed(0)
    z = torch.randn(5000, 1).expand(-1, 2).contiguous()
    shuffled = permute_dimensions(z)
    torch.testing.assert_close(shuffled.sort(0).values, z.sort(0).values)
    assert abs(float(torch.corrcoef(shuffled.T)[0, 1])) < 0.05


def test_the_density_ratio_finds_the_total_correlation_of_a_gaussian() -> None:
    """After training the critic on N(0, [[1, ρ], [ρ, 1]]), the term's mean is near -½ log(1 - ρ²)."""
    torch.manual_seed(0)
    rho = 0.8
    critic = mlp(2, 1, (32, 32), act="silu")
    term, loss = DensityRatioTC(critic), Permuted(critic)
    optimiser = torch.optim.Adam(critic.parameters(), lr=3e-3)

    def draw(n: int) -> Trace:
        z = torch.randn(n, 2)
        return codes(torch.stack([z[:, 0], rho * z[:, 0] + math.sqrt(1 - rho**2) * z[:, 1]], 1))

    for _ in range(700):
        optimiser.zero_grad()
        loss(draw(512)).backward()
        optimiser.step()
    with torch.no_grad():
        found = term(draw(20_000))
    assert float(found.mean()) == pytest.approx(-0.5 * math.log(1 - rho**2), abs=0.08)


def test_a_critic_that_cannot_tell_pays_log_two() -> None:
    assert float(two_sided(torch.zeros(3), torch.zeros(4))) == pytest.approx(math.log(2))


def test_an_optimal_critic_of_codes_gives_the_log_ratio() -> None:
    """With D* = p / (p + q) the fooling term is -log D*, and both losses have their stated values."""
    torch.manual_seed(0)
    z = 1 + torch.randn(4, 1)

    class Optimal(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return -0.5 * rows.square() + 0.5 * (rows - 1).square()  # log N(z; 0, 1) - log N(z; 1, 1)

    p, q = torch.exp(-0.5 * z.square()), torch.exp(-0.5 * (z - 1).square())
    torch.testing.assert_close(FoolCode(Optimal())(codes(z)), -torch.log(p / (p + q)).squeeze(1))
    assert float(JudgeCode(Optimal())(codes(z))) > 0


def vae(kind: type[VAE] = VAE) -> VAE:
    torch.manual_seed(0)
    return kind(DiagonalNormal(mlp(6, 3, (8,))), StandardNormal(3), Gaussian(mlp(3, 6, (8,)), scale=1.0))


def factor() -> tuple[VAE, Objective]:
    critic = mlp(3, 1, (8,))
    terms = (Reconstruction(), Rate(), DensityRatioTC(critic, 5.0), Permuted(critic))
    return vae(), Objective(*terms, players={CRITIC: critic})


def judged() -> tuple[VAE, Objective]:
    critic = mlp(3, 1, (8,))
    return vae(), Objective(Reconstruction(), FoolCode(critic), JudgeCode(critic), players={CRITIC: critic})


def gan() -> tuple[VAE, Objective]:
    critic = mlp(6, 1, (8,))
    similar = FeatureReconstruction(SimilarityFeatures(critic))
    terms = (similar, Rate(), FoolData(critic), JudgeData(critic))
    return vae(Generating), Objective(*terms, players={CRITIC: critic})


@pytest.mark.parametrize("build", [factor, judged, gan])
def test_each_player_moves_its_own_parameters_only(build: Callable[[], tuple[VAE, Objective]]) -> None:
    """Training with a player's learning rate at (next to) nothing leaves it where it was, and moves the other."""

    class Batches:
        def steps(self, batch_size: int) -> int:
            return 3

        def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
            torch.manual_seed(epoch)
            for _ in range(skip, 3):
                yield torch.randn(16, 6), None

        def valid(self, batch_size: int) -> Iterator[Batch]:
            yield torch.ones(4, 6), None

        def to(self, device: object) -> Batches:
            return self

    for still in (MODEL, CRITIC):
        model, objective = build()
        critic = objective.players[CRITIC]
        before = {id(p): p.detach().clone() for p in [*model.parameters(), *critic.parameters()]}
        own, other = (1e-30, 0.01) if still == MODEL else (0.01, 1e-30)
        settings = TrainSettings(epochs=1, device="cpu", warmup=0, lr=own, lr_players=other)
        fit(model, [Stage(objective)], Batches(), settings)
        held, moved = (model, critic) if still == MODEL else (critic, model)
        assert all(torch.equal(p, before[id(p)]) for p in held.parameters())
        assert all(not torch.equal(p, before[id(p)]) for p in moved.parameters())


@pytest.mark.parametrize("build", [factor, judged, gan])
def test_players_share_no_parameter_and_leave_none_out(build: Callable[[], tuple[VAE, Objective]]) -> None:
    model, objective = build()
    optimisers = make_optimisers(model, Stage(objective), TrainSettings())
    own = {player: {id(p) for p in optimiser.parameters} for player, optimiser in optimisers.items()}
    assert own[MODEL] == {id(p) for p in model.parameters()}
    assert own[CRITIC] == {id(p) for p in objective.players[CRITIC].parameters()}


def test_fooling_the_discriminator_of_data_is_not_the_encoders_business() -> None:
    model, objective = gan()
    trace = model.trace(torch.randn(16, 6))
    assert isinstance(trace, GeneratingTrace) and trace.generated.shape == (32, 6)
    fool = next(term for term in objective.each() if term.name == "fool")
    encoder, decoder = list(model.posterior.parameters()), list(model.likelihood.parameters())
    grads = torch.autograd.grad(fool(trace), [*encoder, *decoder], allow_unused=True)
    assert all(grad is None for grad in grads[: len(encoder)])
    assert all(grad is not None for grad in grads[len(encoder) :])


def test_what_a_gan_bounds_is_computed_from_its_likelihood() -> None:
    """A density of x bounds log p(x), however it was trained; a score does not."""
    from vaekit import bounds
    from vaekit.likelihoods.bernoulli import SoftBernoulli

    model, _ = gan()
    assert bounds.refusal(model.trace(torch.randn(4, 6))) is None
    soft = Generating(model.posterior, model.prior, SoftBernoulli(mlp(3, 6, (8,))))
    reason = bounds.refusal(soft.trace(torch.rand(4, 6)))
    assert reason is not None and "not a normalised distribution" in reason


def test_values_of_the_losses_of_a_known_critic() -> None:
    """With D of log-odds x₁: fooling is E[-log D(x̃)], and judging ½ E[-log D(x)] + ½ E[-log(1 - D(x̃))]."""

    class First(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows[:, :1]

    x, fake = torch.tensor([[2.0, 9], [0.5, 9]]), torch.tensor([[-1.0, 9], [1.5, 9], [0.2, 9]])
    latent = codes(fake).latents["z"]
    trace = GeneratingTrace(x, None, {"z": latent}, DiagonalNormalFamily(x[None], x[None]), generated=fake)
    log_d = torch.nn.functional.logsigmoid
    torch.testing.assert_close(FoolData(First())(trace), -log_d(fake[:, 0]).mean())
    torch.testing.assert_close(FoolCode(First())(trace), -log_d(fake[:, 0]))
    expected = -0.5 * log_d(x[:, 0]).mean() - 0.5 * log_d(-fake[:, 0]).mean()
    torch.testing.assert_close(JudgeData(First())(trace), expected)
    torch.manual_seed(3)
    drawn = torch.randn(3, 2)  # the prior's draws are the critic's first kind
    torch.manual_seed(3)
    expected = -0.5 * log_d(drawn[:, 0]).mean() - 0.5 * log_d(-fake[:, 0]).mean()
    torch.testing.assert_close(JudgeCode(First())(trace), expected)
