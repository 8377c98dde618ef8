"""Terms played by two: critics of codes (FactorVAE, WAE-GAN, AAE), discriminators of data (VAE-GAN).

A critic is any module from (N, ...) to one logit a row; the odds are of a row being of the first kind named. Its own
loss is a term of the player "critic". Each player's gradient reaches its own parameters only, so the model's terms
may pass through the critic without moving it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit import distributed
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.objectives.mmd import prior_sample
from vaekit.schedules import Schedule
from vaekit.trace import GeneratingTrace, Trace, require_trace

CRITIC = "critic"


def logits(critic: nn.Module, rows: Tensor) -> Tensor:
    """Return the critic's log-odds, (N,)."""
    return critic(rows).reshape(len(rows))


def permute_dimensions(z: Tensor) -> Tensor:
    """Shuffle each column of z (B, D) over the batch by itself: draws from the product of the marginals.

    >>> z = torch.arange(6.0).view(3, 2)
    >>> bool((permute_dimensions(z).sort(0).values == z.sort(0).values).all())
    True
    """
    order = torch.rand(z.shape, device=z.device).argsort(0)
    return z.gather(0, order)


def two_sided(first: Tensor, second: Tensor) -> Tensor:
    """½ E[-log D(first)] + ½ E[-log(1 - D(second))] of log-odds: log 2 for a critic that gives even odds; a scalar."""
    return 0.5 * (distributed.mean(F.softplus(-first)) + distributed.mean(F.softplus(second)))


def judged(critic: nn.Module, first: Tensor, second: Tensor) -> Tensor:
    """Return `two_sided` of the critic's log-odds of rows of both kinds, judged in one batch."""
    both = logits(critic, torch.cat([first, second]))
    return two_sided(both[: len(first)], both[len(first) :])


class _Played(Term):
    """A term that passes through a critic; `player` says whose loss it is in."""

    def __init__(self, critic: nn.Module, weight: Schedule | float | str = 1.0, latent: str = "z") -> None:
        super().__init__(weight)
        self.critic = critic
        self.latent = latent

    def code(self, trace: Trace) -> Tensor:
        """One posterior sample of each example, (B, ...)."""
        return trace.latents[self.latent].code[0]


@OBJECTIVES.register("density-ratio-tc", reference="Kim & Mnih 2018, arXiv:1802.05983, eq. 3")
class DensityRatioTC(_Played):
    """Total correlation by density ratio, E_q(z)[log D(z) - log(1 - D(z))], (B,) nats, D trained by `Permuted`.

    It is the TC when D is optimal: then D/(1 - D) = q(z) / Π_d q(z_d).
    Source: Kim & Mnih 2018, arXiv:1802.05983, eq. 3.
    """

    name = "total_correlation"

    def forward(self, trace: Trace) -> Tensor:
        """Return the critic's log-odds at the codes."""
        return logits(self.critic, self.code(trace))


@OBJECTIVES.register("permuted-codes", reference="Kim & Mnih 2018, arXiv:1802.05983, algorithm 2")
class Permuted(_Played):
    """The critic's loss: codes against codes whose dimensions are shuffled over the batch, each by itself; a scalar.

    Both kinds come from one batch (the paper's algorithm 2 takes a second one for the shuffled): a shuffled row shares
    a coordinate with a given example with probability D/B, which is what that second batch avoids.
    """

    name = "permuted"
    player = CRITIC

    def forward(self, trace: Trace) -> Tensor:
        """Return the two-sided cross-entropy."""
        z = self.code(trace).detach().flatten(1)
        every = distributed.gather(z)
        with distributed.alike():
            shuffled = permute_dimensions(every)
        return judged(self.critic, z, distributed.take(shuffled))


@OBJECTIVES.register("fool-code-critic", reference="Makhzani et al. 2016, arXiv:1511.05644")
class FoolCode(_Played):
    """The encoder's part, E_q(z)[-log D(z)], (B,), D being the critic's probability that z is from the prior.

    Source: Makhzani et al. 2016, arXiv:1511.05644, algorithm 1.
    """

    name = "fool"

    def forward(self, trace: Trace) -> Tensor:
        """Return -log D at the codes."""
        return F.softplus(-logits(self.critic, self.code(trace)))


@OBJECTIVES.register("judge-codes", reference="Makhzani et al. 2016, arXiv:1511.05644")
class JudgeCode(_Played):
    """The critic's loss: prior draws against codes; a scalar."""

    name = "judge"
    player = CRITIC

    def forward(self, trace: Trace) -> Tensor:
        """Return the two-sided cross-entropy."""
        z = self.code(trace).detach()
        return judged(self.critic, prior_sample(trace, self.latent), z)


class SimilarityFeatures(nn.Module):
    """A discriminator's last hidden layer as a network of features."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator: Any = discriminator

    def forward(self, x: Tensor) -> Tensor:
        """Return the features, (N, F)."""
        return self.discriminator.features(self.discriminator.centre(x), None)


def generated(trace: Trace, term: Term) -> Tensor:
    """Return what the decoder made with no gradient to the encoder, (N, *event)."""
    return require_trace(trace, GeneratingTrace, f"the term '{term.name}'").generated


@OBJECTIVES.register("fool-discriminator", reference="Larsen et al. 2016, arXiv:1512.09300, algorithm 1")
class FoolData(_Played):
    """The decoder's part, E[-log D(x̃)] over generated x̃, a scalar; the encoder is not in it.

    Source: Larsen et al. 2016, arXiv:1512.09300, algorithm 1, in the non-saturating form.
    """

    name = "fool"

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean of -log D."""
        return distributed.mean(F.softplus(-logits(self.critic, generated(trace, self))))


@OBJECTIVES.register("judge-data", reference="Larsen et al. 2016, arXiv:1512.09300, algorithm 1")
class JudgeData(_Played):
    """The discriminator's loss: data against generated examples, each kind weighing one half; a scalar."""

    name = "judge"
    player = CRITIC

    def forward(self, trace: Trace) -> Tensor:
        """Return the two-sided cross-entropy."""
        return judged(self.critic, trace.x, generated(trace, self).detach())
