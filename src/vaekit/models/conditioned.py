"""A conditional model that learns to do without its condition, or without a part of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, Posterior, Prior
from vaekit.models.vae import VAE
from vaekit.trace import Trace


class ConditionedVAE(VAE):
    """p(x, z|y) with y of attributes side by side, each zeros where it is missing.

    While training, the condition of a share `drop` of the examples is hidden: for half of them all of it, for the
    others each attribute with probability 1/2. Afterwards, as where the data lack some, x can be asked for given the
    rest, or given nothing: p(x|y_known). Source: dropping conditions, Ho & Salimans 2022, arXiv:2207.12598, §3.2.

    `widths`: how many numbers of y belong to each attribute. `missing`: whether the data lack some.

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.nets.mlp import mlp
    >>> from vaekit.posteriors.normal import DiagonalNormal
    >>> from vaekit.priors.normal import StandardNormal
    >>> q, px = DiagonalNormal(mlp(3, 2, context=5)), Gaussian(mlp(2, 3, context=5))
    >>> model = ConditionedVAE(q, StandardNormal(2), px, widths=(3, 2), drop=0.2)
    >>> model.trace(torch.zeros(4, 3), torch.ones(4, 5)).y.shape, model.optional_label
    (torch.Size([4, 5]), 5)
    """

    owner: Tensor

    def __init__(
        self,
        posterior: Posterior,
        prior: Prior,
        likelihood: Likelihood,
        widths: Sequence[int],
        drop: float = 0.0,
        missing: bool = False,
    ) -> None:
        super().__init__(posterior, prior, likelihood)
        owner = torch.repeat_interleave(torch.arange(len(widths)), torch.tensor(list(widths)))
        self.register_buffer("owner", owner, persistent=False)
        self.drop = drop
        self.optional_label = len(owner) if drop or missing else 0

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass, in training with some conditions hidden."""
        return super().trace(x, self._partly_hidden(y) if self.training and self.drop and y is not None else y, k, hard)

    def intervene(self, x: Any, values: Mapping[int, Tensor], y: Tensor | None = None) -> Distribution:
        """Return p(x|z, y') with numbers of the condition set, z being the mean of q(z|x, y): nothing else moves.

        Raises:
            Unsupported: what is set is a choice, or there is no y.
        """
        if y is None or not y.dtype.is_floating_point or not bool((self.owner.bincount() == 2).all()):
            self._lacks("sets numbers of a condition, which it has to be given")
        after = y.clone()
        for i, value in values.items():
            first = int((self.owner < i).sum())
            after[:, first], after[:, first + 1] = value, 1.0
        return self.decode(self.posterior_mean(x, y), after)

    def _partly_hidden(self, y: Tensor) -> Tensor:
        chosen, half = torch.rand(2, len(y), device=y.device)
        hidden = chosen < self.drop
        if not y.dtype.is_floating_point:
            return torch.where(hidden, -1, y)
        attributes = int(self.owner[-1]) + 1
        each = torch.rand(len(y), attributes, device=y.device) < 0.5
        each = hidden.unsqueeze(1) & (each | (half < 0.5).unsqueeze(1))
        return torch.where(each[:, self.owner], 0.0, y)
