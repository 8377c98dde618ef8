"""Categorical families on logits: over a grid of levels for each element, and over one-hot vectors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import cross_entropy, one_hot
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.kl import register_kl
from vaekit.distributions.levels import level_index, on_grid


def _draw_index(logits: Tensor, axis: int) -> Tensor:
    """Draw an index along `axis` in proportion to exp(logits): the winner of a race of exponential clocks."""
    return (logits - torch.empty_like(logits).exponential_().log()).argmax(axis)


class CategoricalFamily(Family):
    """A free probability for each of the `levels` values i / (levels - 1), independently for each element.

    `logits` is (..., levels, *event), the event the last `event_dims` axes.
    log p(x) = Σ_j l_j[x_j] - log Σ_i exp l_j[i], nats/example.

    >>> CategoricalFamily(torch.zeros(2, 4, 1, 5, 5), 3).log_prob(torch.zeros(2, 1, 5, 5))[0].item()
    -34.657...
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.unit_interval

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        self.axis = -1 - event_dims
        self.levels = logits.shape[self.axis]
        split = logits.dim() + self.axis
        super().__init__(logits.shape[:split], logits.shape[split + 1 :])

    def _grid(self) -> Tensor:
        """The values of the levels, shaped to broadcast along the levels' axis."""
        grid = torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)
        return grid.view(-1, *[1] * len(self.event_shape))

    @property
    def probs(self) -> Tensor:
        """The probabilities, (..., levels, *event)."""
        return self.logits.softmax(self.axis)

    @property
    def mean(self) -> Tensor:
        """E[x_j], in [0, 1]."""
        return (self.probs * self._grid()).sum(self.axis)

    @property
    def mode(self) -> Tensor:
        """The likeliest level's value."""
        return self.logits.argmax(self.axis).to(self.logits.dtype) / (self.levels - 1)

    @property
    def variance(self) -> Tensor:
        """Var[x_j]."""
        probs, grid = self.probs, self._grid()
        off = grid - (probs * grid).sum(self.axis, keepdim=True)
        return (probs * off * off).sum(self.axis)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw values on the grid."""
        with torch.no_grad():
            logits = self.logits.expand(*sample_shape, *self.logits.shape)
            return _draw_index(logits, self.axis).to(logits.dtype) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example; values are taken to the nearest level."""
        return sum_event(self.log_prob_elements(value), len(self.event_shape))

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return the log-mass of each element, shaped as the broadcast of `value` and the batch."""
        index = level_index(value, self.levels)
        own = self.batch_shape + self.event_shape
        shape = torch.broadcast_shapes(index.shape, own)
        index = index.expand(shape)
        if shape == own:
            logits = self.logits.flatten(self.axis + 1) if self.event_shape else self.logits.unsqueeze(-1)
            logits = logits.reshape(-1, *logits.shape[-2:])
            return -cross_entropy(logits, index.reshape(len(logits), -1), reduction="none").view(shape)
        log_p = self.logits.log_softmax(self.axis)
        log_p = log_p.expand(*shape[: len(shape) - len(self.event_shape)], *log_p.shape[self.axis :])
        return log_p.gather(self.axis, index.unsqueeze(self.axis)).squeeze(self.axis)

    def entropy(self) -> Tensor:
        """Return the entropy, nats/example."""
        log_p = self.logits.log_softmax(self.axis)
        return sum_event(-(log_p.exp() * log_p).sum(self.axis), len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """Whether every element of each example is on the grid, within 1e-4 of a step."""
        return on_grid(x, self.levels, len(self.event_shape))


class OneHot(Family):
    """One-hot vectors: `logits` (..., *groups, classes); the event is the last `event_dims` axes, classes included.

    log p(x) = Σ over groups of x · log_softmax(l), nats/example. With `event_dims` 1 it is one label.

    >>> OneHot(torch.zeros(3, 10)).log_prob(torch.eye(10)[:3])[0].item()
    -2.302...
    """

    measure = "mass"
    has_rsample = False
    domain = constraints.one_hot

    def __init__(self, logits: Tensor, event_dims: int = 1) -> None:
        self.logits = logits
        split = logits.dim() - event_dims
        super().__init__(logits.shape[:split], logits.shape[split:])

    @property
    def probs(self) -> Tensor:
        """The probabilities, shaped as the logits."""
        return self.logits.softmax(-1)

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likeliest class, one-hot."""
        return one_hot(self.logits.argmax(-1), self.logits.shape[-1]).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        """p (1 - p) of each entry."""
        probs = self.probs
        return probs * (1 - probs)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw one-hot vectors, as floats."""
        with torch.no_grad():
            logits = self.logits.expand(*sample_shape, *self.logits.shape)
            return one_hot(_draw_index(logits, -1), logits.shape[-1]).to(logits.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, nats/example; `value` is one-hot, or class numbers (int64) without the last axis."""
        dims = len(self.event_shape)
        log_p = self.logits.log_softmax(-1)
        if not value.dtype.is_floating_point:
            shape = torch.broadcast_shapes(value.shape, log_p.shape[:-1])
            log_p = log_p.expand(*shape, log_p.shape[-1])
            return sum_event(log_p.gather(-1, value.expand(shape).unsqueeze(-1)).squeeze(-1), dims - 1)
        return sum_event(value * log_p, dims)

    def tempered(self, temperature: float) -> OneHot:
        """Return the distribution with logits divided by `temperature`: p^(1/T), normalised."""
        return OneHot(self.logits / temperature, len(self.event_shape))

    def entropy(self) -> Tensor:
        """Return the entropy, nats/example."""
        log_p = self.logits.log_softmax(-1)
        return sum_event(-(log_p.exp() * log_p), len(self.event_shape))

    def in_support(self, x: Tensor) -> Tensor:
        """Whether each example's every group has a single 1 and is 0 elsewhere."""
        one = ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)
        return sum_event((~one).to(torch.float32), len(self.event_shape) - 1) == 0


@register_kl(CategoricalFamily, CategoricalFamily, elements=True)
def _categorical_categorical(q: CategoricalFamily, p: CategoricalFamily) -> Tensor:
    """Σ_i q_i (log q_i - log p_i) for each element."""
    log_q = q.logits.log_softmax(q.axis)
    return (log_q.exp() * (log_q - p.logits.log_softmax(p.axis))).sum(q.axis)


@register_kl(OneHot, OneHot)
def _onehot_onehot(q: OneHot, p: OneHot) -> Tensor:
    """Σ_i q_i (log q_i - log p_i), summed over groups; against zero logits it is log(classes) - entropy."""
    log_q = q.logits.log_softmax(-1)
    return sum_event(log_q.exp() * (log_q - p.logits.log_softmax(-1)), len(q.event_shape))
