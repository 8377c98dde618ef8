"""M2: a VAE whose label is a latent variable, seen for some examples and summed over for the others."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, Posterior, Prior, apply_net
from vaekit.distributions.base import Family, tempered
from vaekit.models.base import Model, point
from vaekit.nets.base import Net
from vaekit.trace import Latent, SemiSupervisedTrace


class LabelAveraged(Family):
    """q(z|x) = Σ_y w(y) q(z|x,y), known by its moments: mean and variance (B, D)."""

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        self._mean, self._variance = mean, variance
        super().__init__(mean.shape[:1], mean.shape[1:])

    @property
    def mean(self) -> Tensor:
        """Σ_y w(y) μ(x, y)."""
        return self._mean

    @property
    def variance(self) -> Tensor:
        """Σ_y w(y) (σ²(x, y) + μ²(x, y)) - mean²."""
        return self._variance

    def log_prob(self, value: Tensor) -> Tensor:
        """Raise: the trace scores z given the label, and sums over the label itself."""
        raise ValueError("q(z|x) of a model with a latent label is scored given the label")


@dataclass(frozen=True)
class AveragedLatent(Latent):
    """The latent z beside a label: its KL is averaged over w(y), (B,), and so are its elements, (B, *event)."""

    kl_mean: Tensor = field(kw_only=True)
    kl_elements_mean: Tensor | None = None

    @cached_property
    def kl(self) -> Tensor:
        """Σ_y w(y) KL(q(z|x,y) ‖ p(z)), (B,) nats."""
        return self.kl_mean

    @cached_property
    def kl_elements(self) -> Tensor | None:
        """The same by latent dimension, (B, *event), where q and p factorise."""
        return self.kl_elements_mean


@dataclass(frozen=True)
class EnumeratedTrace(SemiSupervisedTrace):
    """A trace of x with the label summed over where it is hidden (y < 0) and given where it is shown.

    `weights` (B, C) is q(y|x), one-hot where y is shown.
    The tables by class hold log p(x|y,z) and log p(z) - log q(z|x,y) at the samples, (K, B, C); where y is shown, its
    column alone is not 0. What is read of it:

        log_px = Σ_y w(y) log p(x|y,z_y),   kl = {z: Σ_y w(y) KL(q(z|x,y) ‖ p(z)), y: Σ_y w(y) log w(y)/p(y)},
        log_w = log Σ_y p(y) p(x|y,z_y) p(z_y) / q(z_y|x,y), which needs no q(y|x) and so is the tighter bound.
    """

    weights: Tensor = field(kw_only=True)
    log_px_by_class: Tensor = field(kw_only=True)
    log_ratio_by_class: Tensor = field(kw_only=True)
    log_py: float = field(kw_only=True)

    @cached_property
    def log_px(self) -> Tensor:
        """E_{w(y)}[log p(x|y,z_y)], (K, B) nats."""
        return (self.weights * self.log_px_by_class).sum(-1)

    @cached_property
    def kl(self) -> dict[str, Tensor]:
        """The KL of z, averaged over the label, and that of the label, (B,) nats each; -log p(y) where y is shown."""
        # By log q(y|x) and not by log w: a weight that underflows to 0 must not give the gradient 0 · ∞.
        entropy = -(self.weights * self.log_qy).sum(-1) * self.hidden
        return {"z": self.latents["z"].kl, "y": -self.log_py - entropy}

    @cached_property
    def log_w(self) -> Tensor:
        """The importance weights with the label summed over exactly, (K, B)."""
        each = self.log_px_by_class + self.log_ratio_by_class + self.log_py
        seen = F.one_hot(self.weights.argmax(-1), self.weights.shape[-1]).bool() | self.hidden.unsqueeze(-1)
        return torch.logsumexp(each.masked_fill(~seen, -torch.inf), -1)


@dataclass(frozen=True)
class _Table:
    """Puts values of the scored pairs (..., P) into a table (..., B, C), 0 elsewhere."""

    rows: Tensor
    classes: Tensor
    shape: tuple[int, int]

    def __call__(self, values: Tensor) -> Tensor:
        out = values.new_zeros(*values.shape[:-1], *self.shape)
        out[..., self.rows, self.classes] = values
        return out

    def mean(self, values: Tensor, weights: Tensor) -> Tensor:
        """Average values of the pairs (P, ...) over the classes: (B, ...)."""
        own = weights[self.rows, self.classes].view(-1, *[1] * (values.dim() - 1))
        return values.new_zeros(self.shape[0], *values.shape[1:]).index_add(0, self.rows, own * values)


def _averaged(pair: Latent, table: _Table, weights: Tensor) -> AveragedLatent:
    """Return the latent by example from the latent by pair; its samples are those of the likeliest label."""
    kl = pair.kl.mean(0) if pair.kl.dim() > 1 else pair.kl
    mean = table.mean(pair.q.mean, weights)
    second = table.mean(pair.q.variance + pair.q.mean.square(), weights)
    number = table(torch.arange(len(table.rows), dtype=torch.float64, device=weights.device)).long()
    chosen = number.gather(1, weights.argmax(-1, keepdim=True)).squeeze(1)
    elements = pair.kl_elements
    return AveragedLatent(
        LabelAveraged(mean, second - mean.square()),
        pair.p,
        pair.z[:, chosen],
        pair.code[:, chosen],
        kl_mean=table.mean(kl, weights),
        kl_elements_mean=None if elements is None else table.mean(elements, weights),
    )


class SemiSupervised(Model):
    """p(y) p(z) p(x|y,z) with q(y|x) q(z|x,y), p(y) uniform over C classes.

    `trunk` turns x into features once, `posterior` takes them with a label (its network has a context of C), and so
    does `likelihood` with z. `classifier` (B, ...) → C log-odds is q(y|x). A label y of -1 is hidden. Without labels
    the trace bounds log p(x):

        log p(x) ≥ Σ_y q(y|x) [E_q(z|x,y) log p(x|y,z) - KL(q(z|x,y) ‖ p(z)) + log p(y) - log q(y|x)] = -U(x).

    As the decoder takes it a code is (z, y) side by side, y as C numbers: that is what `posterior_mean` gives (z's
    mean at the likeliest label, and that label) and what `decode` takes where no y is passed.

    Source: Kingma et al. 2014, arXiv:1406.5298, §3.
    """

    gives_label = True
    encoder_parts = ("trunk", "classifier", "posterior")

    def __init__(
        self, trunk: Net, classifier: Net, posterior: Posterior, prior: Prior, likelihood: Likelihood, n_classes: int
    ) -> None:
        super().__init__()
        self.trunk = trunk
        self.classifier = classifier
        self.posterior = posterior
        self.prior = prior
        self.likelihood = likelihood
        self.n_classes = n_classes

    def class_log_probs(self, x: Any) -> Tensor:
        """Return log q(y|x), (B, C)."""
        return F.log_softmax(apply_net(self.classifier, x).flatten(1), -1)

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> EnumeratedTrace:
        """Run one forward pass: every class for the examples whose label is hidden, the label alone for the others."""
        log_qy = self.class_log_probs(x)
        hidden = torch.ones(len(x), dtype=torch.bool, device=log_qy.device) if y is None else y < 0
        rows, classes = self._pairs(hidden, y)
        h = apply_net(self.trunk, x).flatten(1)[rows]
        q = self.posterior(h, classes)
        draw = self.posterior.draw(q, k, hard)
        p = self.prior()
        pair = Latent(q, p, draw.z, draw.code, draw.log_q, draw.start)
        px = self.likelihood(draw.z, self._one_hot(classes, h))

        given = F.one_hot(classes.new_zeros(len(x)) if y is None else y.clamp(min=0), self.n_classes)
        weights = torch.where(hidden.unsqueeze(-1), log_qy.exp(), given.to(log_qy.dtype))
        table = _Table(rows, classes, (len(x), self.n_classes))
        shown = y is not None and not bool(hidden.all())
        return EnumeratedTrace(
            x,
            y,
            {"z": _averaged(pair, table, weights)},
            px,
            refusal="the labels of some examples are given, so the bound is on log p(x, y)" if shown else None,
            hidden=hidden,
            log_qy=log_qy,
            weights=weights,
            log_px_by_class=table(px.log_prob(x[rows])),
            log_ratio_by_class=table(pair.log_p_code - pair.log_q_code),
            log_py=-math.log(self.n_classes),
        )

    def _pairs(self, hidden: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return (example, class) of each pair to score, (P,) each."""
        every = torch.arange(self.n_classes, device=hidden.device)
        unknown = hidden.nonzero().squeeze(1)
        rows, classes = unknown.repeat_interleave(self.n_classes), every.repeat(len(unknown))
        if y is None or len(unknown) == len(hidden):
            return rows, classes
        known = (~hidden).nonzero().squeeze(1)
        return torch.cat([rows, known]), torch.cat([classes, y[known]])

    def _one_hot(self, y: Tensor, like: Tensor) -> Tensor:
        if y.dtype.is_floating_point:
            return y
        return F.one_hot(y.long(), self.n_classes).to(like.dtype)

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(z|x,y), batch shape (B,), at the label given or else at the likeliest."""
        y = self.class_log_probs(x).argmax(-1) if y is None else y
        h = apply_net(self.trunk, x).flatten(1)
        return self.posterior(h, self._one_hot(y, h))

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        """Return (z, y) side by side, (B, D + C): the mean of q(z|x,y), and the label given or likeliest."""
        y = self.class_log_probs(x).argmax(-1) if y is None else y
        z = self.posterior.mean(self.encode(x, y)).flatten(1)
        return torch.cat([z, self._one_hot(y, z)], -1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        """Return p(x|y,z); without y, the last C numbers of `z` are the label."""
        if y is None:
            z, y = z[..., : -self.n_classes], z[..., -self.n_classes :]
        return self.likelihood(z, self._one_hot(y, z))

    def reconstruct(self, x: Any, y: Tensor | None = None, sample: bool = False) -> Tensor:
        """Return the mean of p(x|y,z) at the mean of q(z|x,y) and the likeliest label, or at a draw of both."""
        if not sample:
            return point(self.decode(self.posterior_mean(x, y)))
        y = torch.multinomial(self.class_log_probs(x).exp(), 1).squeeze(1) if y is None else y
        return point(self.decode(self.posterior.draw(self.encode(x, y), 1, hard=True).z[0], y))

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draw `n` codes (z, y) side by side, (n, D + C): z from p(z), y as given or from p(y)."""
        z = tempered(self.prior(), temperature).sample(torch.Size((n,)))
        y = torch.randint(self.n_classes, (n,), device=z.device) if y is None else y
        return torch.cat([z, self._one_hot(y, z)], -1)
