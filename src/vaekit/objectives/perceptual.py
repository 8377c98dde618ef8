"""Reconstruction scored on the features of a network instead of on the data themselves."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.schedules import Schedule
from vaekit.trace import Trace


@OBJECTIVES.register("feature-reconstruction", reference="Larsen et al. 2016, arXiv:1512.09300, eqs. 6-8")
class FeatureReconstruction(Term):
    """½ Σ_l w_l ‖φ_l(x) - φ_l(x̂)‖², (B,): x̂ is the mean of p(x|z), φ_l the layers that `features` returns.

    Summed over features and averaged over the K samples: for one layer of weight 1 it is -log N(φ(x); φ(x̂), I) less
    its constant. φ may be the discriminator being trained (VAE-GAN); a given network is kept fixed with `frozen`.
    This is no likelihood of x: what the model bounds depends on p(x|z), not on this term.

    Source: Larsen et al. 2016, arXiv:1512.09300, eqs. 6-8 (given network).

    >>> from vaekit.distributions.normal import DiagonalNormalFamily
    >>> x = torch.zeros(3, 4)
    >>> trace = Trace(x, None, {}, DiagonalNormalFamily(torch.ones(1, 3, 4), torch.zeros(1, 3, 4)))
    >>> FeatureReconstruction(nn.Identity())(trace)
    tensor([2., 2., 2.])
    """

    name = "perceptual"

    def __init__(
        self,
        features: nn.Module,
        weight: Schedule | float | str = 1.0,
        layers: Sequence[float] | None = None,
        k: int = 1,
    ) -> None:
        super().__init__(weight)
        self.features = features
        self.layers = layers
        self.k = k

    def forward(self, trace: Trace) -> Tensor:
        """Return the squared distance between features."""
        mean = trace.px.mean
        rows = mean.flatten(0, 1)
        aim, got = _list(self.features(trace.x)), _list(self.features(rows))
        weights = [1.0] * len(aim) if self.layers is None else list(self.layers)
        if len(weights) != len(aim):
            raise ValueError(f"{len(weights)} layer weights for a network that returns {len(aim)} layers")
        total = torch.zeros(mean.shape[:2], dtype=rows.dtype, device=rows.device)
        for weight, a, b in zip(weights, aim, got):
            off = b.flatten(1).unflatten(0, mean.shape[:2]) - a.flatten(1)
            total = total + 0.5 * weight * off.square().sum(-1)
        return total.mean(0)


def frozen(network: nn.Module) -> nn.Module:
    """Return a copy of a network that no player trains, in eval mode whatever its owner's mode.

    >>> any(p.requires_grad for p in frozen(nn.Linear(2, 2)).parameters())
    False
    """
    return _Still(copy.deepcopy(network).requires_grad_(False))


class _Still(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval()

    def train(self, mode: bool = True) -> _Still:
        """Stay in eval mode: dropout and batch statistics would make the distance a moving target."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor | Sequence[Tensor]:
        """Return the network's features."""
        return self.network(x)


def _list(value: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)
