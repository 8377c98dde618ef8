"""Small models, sources and objectives that the tests of training share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective, Term
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.trace import Trace
from vaekit.training.source import Batch
from vaekit.training.stages import Stage

D, LATENT = 12, 3


def toy_data(n: int, seed: int = 0) -> Tensor:
    """Return binary rows (n, D) of two kinds, with noise."""
    generator = torch.Generator().manual_seed(seed)
    kind = torch.randint(2, (n, 1), generator=generator).float()
    p = 0.15 + 0.7 * ((torch.arange(D) % 2).float() * kind + (1 - (torch.arange(D) % 2).float()) * (1 - kind))
    return torch.bernoulli(p, generator=generator)


@dataclass
class ToySource:
    """Batches of two tensors; the noise of a step depends on (seed, epoch, step) alone, as resuming needs."""

    x: Tensor = field(default_factory=lambda: toy_data(100))
    held: Tensor = field(default_factory=lambda: toy_data(40, 1))
    flip: float = 0.05

    def steps(self, batch_size: int) -> int:
        """Return the steps of an epoch."""
        return -(-len(self.x) // batch_size)

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield an epoch's batches."""
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        for step in range(skip, self.steps(batch_size)):
            x = self.x[order[step * batch_size : (step + 1) * batch_size]]
            noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(10_000 * seed + 100 * epoch + step))
            yield torch.where(noise < self.flip, 1 - x, x), None

    def valid(self, batch_size: int) -> Iterator[Batch]:
        """Yield the held-out batches."""
        for start in range(0, len(self.held), batch_size):
            yield self.held[start : start + batch_size], None

    def to(self, device: Any) -> ToySource:
        """Return itself: the tests run on the CPU."""
        return self


def toy_vae(seed: int = 0, hidden: int | tuple[int, ...] = 8) -> VAE:
    """Return a Bernoulli VAE of D inputs."""
    widths = (hidden,) if isinstance(hidden, int) else hidden
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(DiagonalNormal(mlp(D, LATENT, widths)), StandardNormal(LATENT), Bernoulli(mlp(LATENT, D, widths)))


class Judge(Term):
    """What a critic of codes says of posterior samples (a low score is good for the model)."""

    name = "judge"

    def __init__(self, critic: nn.Module, weight: float = 0.1) -> None:
        super().__init__(weight)
        self.critic = critic

    def forward(self, trace: Trace) -> Tensor:
        """Return log D(z), averaged over samples."""
        return nn.functional.logsigmoid(self.critic(trace.latents["z"].z)).squeeze(-1).mean(0)


class Critic(Term):
    """The critic's own loss: it tells posterior samples from prior ones; it draws from the global generator."""

    name = "critic"
    player = "critic"

    def __init__(self, critic: nn.Module) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, trace: Trace) -> Tensor:
        """Return the cross-entropy."""
        z = trace.latents["z"].z.detach()
        fake, real = self.critic(z), self.critic(torch.randn_like(z))
        return -(nn.functional.logsigmoid(fake) + nn.functional.logsigmoid(-real)).squeeze(-1).mean(0)


def adversarial(seed: int = 0) -> Objective:
    """Return a negative ELBO with a critic as second player, and a scheduled β."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(100 + seed)
        critic = nn.Sequential(nn.Linear(LATENT, 6), nn.Tanh(), nn.Linear(6, 1))
    return Objective(
        Reconstruction(), Rate("linear 0.1 1 50%"), Judge(critic), Critic(critic), players={"critic": critic}
    )


def two_stages(seed: int = 0) -> list[Stage]:
    """Return a stage with two players, then one that trains the decoder alone, half as long."""
    return [
        Stage(adversarial(seed), "both"),
        Stage(negative_elbo(0.5), "decoder", trainable=("likelihood",), share=0.5),
    ]
