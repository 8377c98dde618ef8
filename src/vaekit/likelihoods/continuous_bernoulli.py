"""The continuous Bernoulli likelihood, for values in [0, 1]."""

from __future__ import annotations

from torch import Tensor, nn

from vaekit.distributions.continuous_bernoulli import ContinuousBernoulliFamily, logits_for
from vaekit.likelihoods.base import LIKELIHOODS, Likelihood
from vaekit.nets.own import adapted


@LIKELIHOODS.register("continuous-bernoulli", reference="Loaiza-Ganem & Cunningham 2019, arXiv:1907.06845")
class ContinuousBernoulli(Likelihood):
    """p(x|z) = Π_j C(λ_j) λ_j^x_j (1 - λ_j)^(1 - x_j), λ = sigmoid(l(z)): Bernoulli's form, normalised on [0, 1].

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> ContinuousBernoulli(mlp(20, 784))(torch.zeros(3, 20)).log_prob(torch.rand(3, 784)).shape
    torch.Size([3])
    """

    wants = "unit"

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self, 1)
        super().__init__(net, params=1)
        self.event_dims = len(net.out_shape)

    def family(self, params: Tensor) -> ContinuousBernoulliFamily:
        """Take the logits."""
        return ContinuousBernoulliFamily(params.squeeze(params.dim() - 1 - self.event_dims), self.event_dims)

    def start_from(self, mean: Tensor) -> None:
        """Start from the log-odds whose mean is the training mean, clipped to [0.01, 0.99]."""
        assert self.net is not None
        self.net.set_bias(0, logits_for(mean.clamp(0.01, 0.99)))
