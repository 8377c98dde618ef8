"""Tiny models of every awkward kind, each with a brute-force log p(x): what the seams must carry unchanged.

Latents of continuous models are small enough for quadrature on a grid; discrete ones are enumerated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Draw, Likelihood, Posterior
from vaekit.distributions.base import Family
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.distributions.point import PointMass
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.base import Model
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import MODEL, Objective, Term
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.base import Prior
from vaekit.priors.normal import ConditionalNormal, StandardNormal
from vaekit.trace import Latent, Trace

FEATURES = 3
GRID = torch.linspace(-6, 6, 121)


def _normal(z: Tensor) -> Tensor:
    return (-0.5 * (z * z + math.log(2 * math.pi))).sum(-1)


def quadrature(log_joint: Tensor, dims: int = 1) -> Tensor:
    """log ∫ exp over the leading (grid) axis of `log_joint` (G, B): the trapezium rule, exact to many digits here."""
    return torch.logsumexp(log_joint, 0) + dims * math.log(float(GRID[1] - GRID[0]))


def plane() -> Tensor:
    """Every point of a 2-D grid, (G, 2)."""
    return torch.cartesian_prod(GRID, GRID)


# -- a flow whose density is known at its own samples only -----------------------------------------------------------


class OwnSamplesOnly(Family):
    """z_j = m_j(u_<j) + s_j(u_<j) u_j with u normal: the inverse autoregressive direction, two dimensions."""

    def __init__(self, base: DiagonalNormalFamily, shift: Tensor, log_scale: Tensor) -> None:
        self.base, self.shift, self.log_scale = base, shift, log_scale
        super().__init__(base.batch_shape, base.event_shape)

    def rsample_and_log_prob(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        u = self.base.rsample(shape)
        log_scale = torch.tanh(u @ self.log_scale.tril(-1).T)
        z = u @ self.shift.tril(-1).T + log_scale.exp() * u
        return z, self.base.log_prob(u) - log_scale.sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        raise NotImplementedError("an inverse autoregressive flow cannot score a given code cheaply")

    @property
    def mean(self) -> Tensor:
        return self.base.mean


class FlowPosterior(DiagonalNormal):
    """A normal base with an inverse autoregressive step on it."""

    def __init__(self, net: Net) -> None:
        super().__init__(net)
        self.shift = nn.Parameter(0.5 * torch.randn(2, 2))
        self.log_scale = nn.Parameter(0.5 * torch.randn(2, 2))

    def forward(self, *context: Any) -> Distribution:
        base = super().forward(*context)
        assert isinstance(base, DiagonalNormalFamily)
        return OwnSamplesOnly(base, self.shift, self.log_scale)


def flow_model() -> VAE:
    return VAE(FlowPosterior(mlp(FEATURES, 2, (8,))), StandardNormal(2), Bernoulli(mlp(2, FEATURES, (8,))))


def flat_exact(model: VAE, x: Tensor) -> Tensor:
    """log p(x) of a model with a two-dimensional continuous latent, by quadrature."""
    return quadrature(model.log_joint(x, plane()[:, None].expand(-1, len(x), -1)), 2)


# -- two latents, top-down -------------------------------------------------------------------------------------------


class TopDown(Model):
    """p(z2) p(z1|z2) p(x|z1, z2), with q(z2|x) q(z1|z2, x): every latent one-dimensional."""

    def __init__(self) -> None:
        super().__init__()
        self.posteriors = nn.ModuleDict(
            {"z2": DiagonalNormal(mlp(FEATURES, 1, (8,))), "z1": DiagonalNormal(mlp(1, 1, (8,), context=FEATURES))}
        )
        self.top = StandardNormal(1)
        self.lower = ConditionalNormal(mlp(1, 1, (8,)))
        self.likelihood = Bernoulli(mlp(2, FEATURES, (8,)))

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        q2 = self.posteriors["z2"](x)
        z2 = q2.rsample((k,))
        q1 = self.posteriors["z1"](z2, x)
        z1 = q1.rsample()
        latents = {"z2": Latent(q2, self.top(), z2, z2), "z1": Latent(q1, self.lower(z2), z1, z1)}
        return Trace(x, y, latents, self.decode(torch.cat([z2, z1], -1)))

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        return self.likelihood(z)

    def exact(self, x: Tensor) -> Tensor:
        z = plane()[:, None].expand(-1, len(x), -1)
        prior = _normal(z[..., :1]) + self.lower(z[..., :1]).log_prob(z[..., 1:])
        return quadrature(self.decode(z).log_prob(x) + prior, 2)


# -- vector-quantised codes ------------------------------------------------------------------------------------------


class NearestCode(PointMass):
    """All mass on the index of the nearest code of each group; keeps the encoder's output for the straight-through."""

    def __init__(self, encoded: Tensor, codebook: Tensor) -> None:
        self.encoded = encoded
        super().__init__(torch.cdist(encoded.flatten(0, -2), codebook).argmin(-1).view(encoded.shape[:-1]))


class VectorQuantised(Posterior):
    """`groups` codes of `width` numbers from one codebook."""

    def __init__(self, codes: int = 3, groups: int = 2, width: int = 2) -> None:
        super().__init__(mlp(FEATURES, (groups, width), (8,)))
        self.codebook = nn.Parameter(torch.randn(codes, width))

    def family(self, params: Tensor) -> NearestCode:
        return NearestCode(params.squeeze(1), self.codebook)

    def embed(self, code: Tensor) -> Tensor:
        return F.embedding(code.argmax(-1) if code.is_floating_point() else code, self.codebook)

    def mean(self, q: Distribution) -> Tensor:
        assert isinstance(q, NearestCode)
        return self.embed(q.value)

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        assert isinstance(q, NearestCode)
        found = self.embed(q.value)
        z = q.encoded + (found - q.encoded).detach()
        code = q.rsample(torch.Size((k,)))
        distance = (q.encoded - found.detach()).square() + 4 * (q.encoded.detach() - found).square()
        return Draw(z.expand(k, *z.shape), code, None, {"commitment": distance.flatten(1).sum(1)})


class UniformCodes(Prior):
    """Every code as likely as any other, in every group."""

    logits: Tensor

    def __init__(self, codes: int = 3, groups: int = 2) -> None:
        super().__init__()
        self.register_buffer("logits", torch.zeros(groups, codes))

    def forward(self) -> OneHot:
        return OneHot(self.logits, 2)


def quantised_model() -> VAE:
    return VAE(VectorQuantised(), UniformCodes(), Bernoulli(mlp((2, 2), FEATURES, (8,))))


def quantised_exact(model: VAE, x: Tensor) -> Tensor:
    codes = torch.tensor(list(product(range(3), repeat=2)))
    z = model.posterior.embed(codes)[:, None].expand(-1, len(x), -1, -1)
    return torch.logsumexp(model.decode(z).log_prob(x), 0) - math.log(len(codes))


# -- padded sequences ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Padded:
    """Token sequences (B, T) with a mask; token 0 ends each. Slicing takes examples."""

    tokens: Tensor
    mask: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Any) -> Padded:
        return Padded(self.tokens[index], self.mask[index])

    def pad(self, more: int, filler: int) -> Padded:
        """Return the same sequences, wider, with `filler` where nothing is."""
        return Padded(F.pad(self.tokens, (0, more), value=filler), F.pad(self.mask, (0, more), value=False))


VOCABULARY = 3


class BagEncoder(Net):
    """The mean embedding of a sequence's tokens, the padding left out."""

    def __init__(self, latent: int) -> None:
        super().__init__(None, (latent,))
        self.embed = nn.Embedding(VOCABULARY, 8)
        self.head = self.make_head(1)

    def make_head(self, values: int) -> nn.Module:
        return nn.Linear(8, values * self.out_shape[0])

    def features(self, x: Padded, context: Tensor | None) -> Tensor:
        mask = x.mask.unsqueeze(-1)
        return (self.embed(x.tokens) * mask).sum(1) / mask.sum(1)


class Sequences(Family):
    """Π_t p(token_t | token_{t-1}, z) up to and with the end token: a mass over sequences of any length."""

    measure = "mass"

    def __init__(self, logits: Tensor) -> None:
        # (..., previous token, token); the start counts as the token VOCABULARY.
        self.log_p = logits.log_softmax(-1)
        super().__init__(logits.shape[:-2], torch.Size())

    def log_prob(self, value: Any) -> Tensor:
        before = F.pad(value.tokens[:, :-1], (1, 0), value=VOCABULARY)
        rows = torch.arange(len(value), device=value.tokens.device)[:, None]
        log_p = self.log_p.expand(*self.log_p.shape[:-3], len(value), *self.log_p.shape[-2:])
        return (log_p[..., rows, before, value.tokens] * value.mask).sum(-1)

    def in_support(self, x: Any) -> Tensor:
        last = x.mask.sum(1, keepdim=True) - 1
        return x.tokens.gather(1, last)[:, 0] == 0


class Markov(Likelihood):
    """Transition logits from z."""

    def family(self, params: Tensor) -> Sequences:
        return Sequences(params.squeeze(-3))


def sequence_model() -> VAE:
    likelihood = Markov(mlp(2, (VOCABULARY + 1, VOCABULARY), (8,)))
    return VAE(DiagonalNormal(BagEncoder(2)), StandardNormal(2), likelihood)


def sequences(n: int) -> Padded:
    length = torch.randint(1, 6, (n, 1))
    at = torch.arange(6)
    tokens = torch.randint(1, VOCABULARY, (n, 6))
    return Padded(torch.where(at < length, tokens, 0), at <= length)


# -- labels that are enumerated --------------------------------------------------------------------------------------


class Expected(Family):
    """Scores Σ_c weight_c log p_c(value_c): the labels' axis, before the batch's, summed out under q(y|x)."""

    def __init__(self, parts: Distribution, weights: Tensor) -> None:
        self.parts, self.weights = parts, weights
        self.measure = getattr(parts, "measure", "density")
        super().__init__(weights.shape[1:], parts.event_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        return (self.weights * self.parts.log_prob(value)).sum(-2)

    def in_support(self, x: Tensor) -> Tensor:
        assert isinstance(self.parts, Family)
        return self.parts.in_support(x)


class SemiSupervised(Model):
    """Kingma et al. 2014's M2 with labels 0 … C - 1, and -1 where the label is missing.

    Training enumerates the labels; `hard` draws them from q(y|x), which is what importance weights are exact under.
    """

    classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.posterior = DiagonalNormal(mlp(FEATURES, 1, (8,), context=self.classes))
        self.posteriors = nn.ModuleDict({"y": mlp(FEATURES, self.classes, (8,))})
        self.prior = StandardNormal(1)
        self.likelihood = Bernoulli(mlp(1, FEATURES, (8,), context=self.classes))

    def _weights(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """q(y|x), one-hot where the label is known; and log q(y|x) of the classifier; both (B, C)."""
        log_q = self.posteriors["y"](x).squeeze(1).log_softmax(-1)
        known = torch.full((len(x),), -1) if y is None else y
        one_hot = F.one_hot(known.clamp(min=0), self.classes).to(log_q)
        return torch.where((known >= 0)[:, None], one_hot, log_q.exp()), log_q

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        q_y, log_q = self._weights(x, y)
        costs = {"classifier": torch.zeros(len(x)) if y is None else -(F.one_hot(y.clamp(min=0), 3) * log_q).sum(-1)}
        if hard:
            label = OneHot(q_y.log()).sample(torch.Size((k,)))
            extra = -math.log(self.classes) - (label * q_y).sum(-1).log()
            q = self.posterior(x.expand(k, *x.shape), label)
            z = q.rsample()
            return Trace(x, y, {"z": Latent(q, self.prior(), z, z)}, self.likelihood(z, label), extra, costs=costs)
        labels = torch.eye(self.classes)[:, None].expand(-1, len(x), -1)
        q = self.posterior(x.expand(self.classes, *x.shape), labels)
        z = q.rsample((k,))
        px = self.likelihood(z, labels.expand(k, *labels.shape))
        extra = -math.log(self.classes) - torch.special.xlogy(q_y, q_y).sum(-1)
        weights = q_y.T
        latent = Latent(Expected(q, weights), Expected(self.prior(), weights), z, z)
        return Trace(x, y, {"z": latent}, Expected(px, weights), extra, costs=costs)

    def exact(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x, y) where the label is known."""
        z = GRID[:, None, None].expand(-1, len(x), 1)
        each = []
        for label in torch.eye(self.classes):
            joint = self.likelihood(z, label.expand(len(x), -1)).log_prob(x) + _normal(z)
            each.append(quadrature(joint) - math.log(self.classes))
        joint = torch.stack(each, -1)
        known = torch.full((len(x),), -1) if y is None else y
        return torch.where(known >= 0, joint.gather(1, known.clamp(min=0)[:, None])[:, 0], joint.logsumexp(-1))


# -- a second player -------------------------------------------------------------------------------------------------


class Critic(Term):
    """The critic's loss: tell posterior samples from prior ones. It does not detach z: training sees to that."""

    name = "critic"
    player = "critic"

    def __init__(self, net: nn.Module, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.net = net

    def forward(self, trace: Trace) -> Tensor:
        z = trace.latents["z"].z[0]
        fake = trace.latents["z"].p.sample((len(z),))
        return (F.softplus(-self.net(z)) + F.softplus(self.net(fake))).squeeze(-1)


class Ratio(Term):
    """The model's share: the critic's log-ratio at posterior samples, to be made small."""

    name = "ratio"
    player = MODEL

    def __init__(self, net: nn.Module, weight: float = 1.0) -> None:
        super().__init__(weight)
        self.net = net

    def forward(self, trace: Trace) -> Tensor:
        return self.net(trace.latents["z"].z[0]).squeeze(-1)


def critic() -> nn.Module:
    """A small network with batch normalisation, whose buffers held-out passes must leave alone."""
    return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))


def with_critic(*terms: Term, ratio: float = 1.0, own: float = 1.0) -> Objective:
    net = critic()
    return Objective(*terms, Ratio(net, ratio), Critic(net, own), players={"critic": net})


def gaussian_model() -> VAE:
    return VAE(DiagonalNormal(mlp(FEATURES, 2, (8,))), StandardNormal(2), Gaussian(mlp(2, FEATURES, (8,))))


def plain_model() -> VAE:
    """A plain autoencoder, which bounds nothing."""
    return VAE(Delta(mlp(FEATURES, 2, (8,))), StandardNormal(2), Gaussian(mlp(2, FEATURES, (8,))))


# -- data ------------------------------------------------------------------------------------------------------------


class Killed(Exception):
    """Stands for a process that dies."""


@dataclass(frozen=True)
class Examples:
    """A source over anything that slices; `dies_at` (epoch, step) raises there, as a process that is killed would."""

    x: Any
    y: Tensor | None = None
    dies_at: tuple[int, int] | None = None

    def steps(self, batch_size: int) -> int:
        return -(-len(self.x) // batch_size)

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[tuple[Any, Tensor | None]]:
        order = torch.randperm(len(self.x), generator=torch.Generator().manual_seed(1000 * seed + epoch))
        for step, index in enumerate(order.split(batch_size)):
            if (epoch, step) == self.dies_at:
                raise Killed
            if step >= skip:
                yield self.x[index], None if self.y is None else self.y[index]

    def valid(self, batch_size: int) -> Iterator[tuple[Any, Tensor | None]]:
        for start in range(0, len(self.x), batch_size):
            part = slice(start, start + batch_size)
            yield self.x[part], None if self.y is None else self.y[part]

    def to(self, device: Any) -> Examples:
        return self


def bits(n: int) -> Tensor:
    """Binary data with something to learn: the last bit is the exclusive or of the others, mostly."""
    x = torch.randint(0, 2, (n, FEATURES)).float()
    x[:, -1] = torch.where(torch.rand(n) < 0.9, x[:, :-1].sum(1) % 2, x[:, -1])
    return x
