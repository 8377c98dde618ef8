"""The von Mises-Fisher posterior: latents that are directions."""

from __future__ import annotations

from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import normalize

from vaekit.distributions.normal import bounded_log_scale
from vaekit.distributions.von_mises_fisher import VonMisesFisherFamily
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Posterior


@POSTERIORS.register("von-mises-fisher", reference="Davidson et al. 2018, arXiv:1804.00891")
class VonMisesFisher(Posterior):
    """q(z|x) = vMF(μ(x), κ(x)) on the unit sphere in R^D, D ≥ 2; its KL to the uniform prior is exact.

    κ starts near D and is bounded to D e^±7. Features and reconstructions take the mean direction μ, which lies on the
    sphere as samples do; the mean itself is shorter.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> VonMisesFisher(mlp(784, 20))(torch.zeros(3, 784)).sample((5,)).norm(dim=-1).mean().round(decimals=4)
    tensor(1.)
    """

    space = "unit vectors"

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self, 2)
        if len(net.out_shape) != 1 or net.out_shape[0] < 2:
            raise ValueError(f"directions need a flat latent of at least 2 dimensions, not {net.out_shape}")
        super().__init__(net, params=2)

    def family(self, params: Tensor) -> VonMisesFisherFamily:
        """Take the direction of one row and the mean of the other."""
        loc, raw = params[..., 0, :], params[..., 1, :].mean(-1)
        return VonMisesFisherFamily(normalize(loc, dim=-1), loc.shape[-1] * bounded_log_scale(raw).exp())

    def mean(self, q: Distribution) -> Tensor:
        """Return the mean direction μ, (B, D)."""
        return q.mode
