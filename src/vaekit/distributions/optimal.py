"""A normal whose one variance is fitted to what it scores: the σ-VAE's likelihood."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.distributions.normal import LOG_SCALE_BOUND, DiagonalNormalFamily

_FLOOR = math.exp(-2 * LOG_SCALE_BOUND)


def log_scale_of(mean_square: Tensor, least: Tensor | None = None) -> Tensor:
    """Return ½ log σ², at least `least` (-7, which is e^-7 of standardised data's deviation).

    >>> log_scale_of(torch.tensor([1.0, 0.0]))
    tensor([ 0., -7.])
    """
    if least is None:
        return 0.5 * torch.log(mean_square.clamp_min(_FLOOR))
    return torch.maximum(0.5 * torch.log(mean_square), least)


class FittedNormal(DiagonalNormalFamily):
    """N(loc, σ² I) with σ² the mean squared error of whatever `log_prob` is given, over elements and batch
    (all of it, where processes share one).

    σ² is the maximum-likelihood variance of the batch (Rybkin et al. 2021, arXiv:2006.13202), held constant for
    the gradient: by the envelope theorem the batch's gradient is the same either way. Where gradients are on, `observe`
    is told each σ² and answers with the one to use.
    Until something is scored, `log_scale` is the one given. One example's log_prob depends on the others', so this is
    for training steps alone; a bound to report takes a fixed σ.

    >>> d = FittedNormal(torch.zeros(2, 1), torch.zeros(()), 1)
    >>> _ = d.log_prob(torch.tensor([[3.0], [-3.0]])); d.scale[0].item()
    3.0
    """

    def __init__(
        self,
        loc: Tensor,
        log_scale: Tensor,
        event_dims: int = 1,
        observe: Callable[[Tensor], Tensor] | None = None,
        least: Tensor | None = None,
    ) -> None:
        super().__init__(loc, log_scale, event_dims)
        self._least = least
        self._observe = observe

    def _fit(self, value: Tensor) -> None:
        observe = self._observe if torch.is_grad_enabled() else None
        with torch.no_grad():
            mean_square = distributed.mean((value - self.loc).square())
            if observe is not None:
                mean_square = observe(mean_square)
            self.log_scale = log_scale_of(mean_square, self._least)

    def log_prob(self, value: Tensor) -> Tensor:
        """Fit σ to `value`, then return the log-density, nats/example."""
        self._fit(value)
        return super().log_prob(value)

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Fit σ to `value`, then return the log-density of each element."""
        self._fit(value)
        return super().log_prob_elements(value)
