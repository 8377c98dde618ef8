"""Any likelihood of real values or counts, over the observed cells of series."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from vaekit.conditional import Likelihood
from vaekit.distributions.base import Family
from vaekit.distributions.observed import ObservedCells
from vaekit.errors import UserError


class OfSeries(Likelihood):
    """p(x | z, T) of series (C, T) with gaps and an end: the cells' likelihood `of`, over those that are observed.

    `facts` are the data's (`vaekit.data.series.modality`): `sd` of each channel, whose logarithm brings log p back to
    the source's units, and `lengths`, from which the ends of samples are drawn. The length T itself is not modelled:
    all log-probabilities are given it.

    Raises:
        UserError: `of` fits its σ to whole batches (scale "optimal").

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.nets.mlp import mlp
    >>> part = OfSeries(Gaussian(mlp(2, (1, 4))), {"sd": [2.0], "lengths": [[4, 10]]})
    >>> part(torch.zeros(3, 2)).log_prob(torch.full((3, 1, 4), torch.nan))
    tensor([0., 0., 0.], grad_fn=<SumBackward1>)
    """

    log_sd: Tensor
    lengths: Tensor
    shares: Tensor

    def __init__(self, of: Likelihood, facts: Mapping[str, Any]) -> None:
        super().__init__()
        if getattr(of, "scale", 0) is None:
            raise UserError("model.scale=optimal takes whole examples, and series have gaps and ends; use channel")
        self.of = of
        self.wants, self.measure = of.wants, of.measure
        units = torch.tensor(facts["sd"] or [1.0] * len(facts["mean"]), dtype=torch.float64)
        ends = torch.tensor(facts["lengths"], dtype=torch.int64).view(-1, 2)
        self.register_buffer("log_sd", units.log().float().unsqueeze(-1), persistent=False)
        self.register_buffer("lengths", ends[:, 0], persistent=False)
        self.register_buffer("shares", (ends[:, 1] / ends[:, 1].sum()).float(), persistent=False)

    def forward(self, *context: Any) -> ObservedCells:
        """Return p(x | z, T)."""
        return ObservedCells(cast(Family, self.of(*context)), self.log_sd, self.lengths, self.shares)

    def start_from(self, mean: Tensor) -> None:
        """Start from the channels' means (C,)."""
        shape = self.of.net.out_shape if self.of.net is not None else mean.shape
        self.of.start_from(mean.unsqueeze(-1).expand(shape))
