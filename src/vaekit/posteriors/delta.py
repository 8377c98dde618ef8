"""The point-mass posterior of a plain autoencoder."""

from __future__ import annotations

from torch import Tensor, nn

from vaekit.distributions.point import PointMass
from vaekit.posteriors.base import POSTERIORS, Posterior


@POSTERIORS.register("delta", reference="Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647")
class Delta(Posterior):
    """q(z|x) = δ(z - f(x)): no noise, and on a continuous latent no bound on log p(x) either.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> Delta(mlp(784, 20))(torch.zeros(3, 784)).mean.shape
    torch.Size([3, 20])
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net, params=1)

    def family(self, params: Tensor) -> PointMass:
        """Take the one value."""
        axis = params.dim() - 1 - len(self.latent_shape)
        return PointMass(params.select(axis, 0), len(self.latent_shape))
