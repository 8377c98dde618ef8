"""A table model with a linear decoder, for which everything about observed and missing cells is known exactly."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from vaekit.likelihoods.mixed import Mixed
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.nets.table import TableMLP
from vaekit.posteriors.base import Posterior
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

SD = (2.0, 0.5, 1.0, 3.0)
NUMERIC: list[dict[str, Any]] = [{"name": f"c{i}", "type": "numeric", "mean": 1.0, "sd": sd} for i, sd in enumerate(SD)]


@dataclass
class Oracle:
    """x = W z + b + σ ε as stored, four columns and two latents, and the normal that any of its cells follow."""

    weight: Tensor
    bias: Tensor
    sigma: float
    model: VAE

    @staticmethod
    def make(exact: bool) -> Oracle:
        """Return the model with the exact posterior, or with one that was never trained."""
        torch.manual_seed(3)
        part = Mixed(lambda outputs: mlp(2, outputs, ()), columns=NUMERIC, scale=0.6).double()
        net: Any = part.net
        with torch.no_grad():
            net.head.bias.normal_()
            net.head.weight.normal_()
        weight, bias = net.head.weight.detach(), net.head.bias.detach()
        assert part.scale is not None
        sigma = float(part.scale.log_value.exp())  # as the model has it: the logarithm is float32
        q: Any = Exact(weight, bias, sigma) if exact else DiagonalNormal(TableMLP(NUMERIC, 2, (16,))).double()
        return Oracle(weight, bias, sigma, VAE(q, StandardNormal(2).double(), part).eval())

    def covariance(self) -> Tensor:
        """Return the covariance of whole rows."""
        return self.weight @ self.weight.T + self.sigma**2 * torch.eye(len(self.bias), dtype=torch.float64)

    def log_p(self, row: Tensor) -> Tensor:
        """Return log p(observed cells) in the columns' own units; 0 where there are none."""
        seen = ~torch.isnan(row)
        if not bool(seen.any()):
            return torch.zeros((), dtype=torch.float64)
        units = torch.tensor(SD, dtype=torch.float64)[seen].log().sum()
        normal = MultivariateNormal(self.bias[seen], self.covariance()[seen][:, seen])
        return normal.log_prob(row[seen]) - units

    def conditional(self, row: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance of the missing cells of a row, given the others."""
        gap, cov = torch.isnan(row), self.covariance()
        gain = cov[gap][:, ~gap] @ torch.linalg.inv(cov[~gap][:, ~gap])
        return self.bias[gap] + gain @ (row[~gap] - self.bias[~gap]), cov[gap][:, gap] - gain @ cov[~gap][:, gap]

    def rows(self, n: int = 8) -> Tensor:
        """Return rows with gaps; the first has nothing observed, the second all."""
        torch.manual_seed(5)
        x = MultivariateNormal(self.bias, self.covariance()).sample((n,))
        x[2:][torch.rand(n - 2, 4) < 0.4] = math.nan
        x[0] = torch.nan
        return x


class Exact(Posterior):
    """p(z | observed cells), row by row."""

    def __init__(self, weight: Tensor, bias: Tensor, sigma: float) -> None:
        nn.Module.__init__(self)
        self.net, self.latent_shape = None, (2,)
        self.weight, self.bias, self.sigma = weight, bias, sigma

    def forward(self, *context: Any) -> Any:
        x = context[0]
        seen = (~torch.isnan(x)).double().unsqueeze(-1) * self.weight
        precision = torch.eye(2, dtype=torch.float64) + seen.mT @ seen / self.sigma**2
        off = torch.where(torch.isnan(x), 0.0, x - self.bias) / self.sigma**2
        cov = torch.linalg.inv(precision)
        return MultivariateNormal((cov @ (seen.mT @ off.unsqueeze(-1))).squeeze(-1), covariance_matrix=cov)
