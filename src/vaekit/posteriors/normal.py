"""Normal posteriors: diagonal and full covariance."""

from __future__ import annotations

from torch import Tensor, nn

from vaekit.conditional import log_scale
from vaekit.distributions.normal import DiagonalNormalFamily, FullNormalFamily, bounded_log_scale
from vaekit.nets.base import size
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Posterior


@POSTERIORS.register("diagonal-normal", reference="Kingma & Welling 2014, arXiv:1312.6114")
class DiagonalNormal(Posterior):
    """q(z|x) = N(μ(x), diag σ²(x)); log σ is bounded to (-7, 7).

    Any module may be the network: it returns (B, 2 · latent), or the pair (mean, log variance).

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> DiagonalNormal(mlp(784, 20))(torch.zeros(3, 784)).mean.shape
    torch.Size([3, 20])
    >>> q = DiagonalNormal(torch.nn.Linear(784, 2 * 20))(torch.zeros(3, 784))
    >>> q.mean.shape, q.stddev.shape
    (torch.Size([3, 20]), torch.Size([3, 20]))
    """

    bf16_measured = ("mlp", "conv")
    pair = "a pair (mean, log variance)"

    def __init__(self, net: nn.Module) -> None:
        super().__init__(net, params=2)

    def family(self, params: Tensor) -> DiagonalNormalFamily:
        """Split mean and log standard deviation."""
        axis = params.dim() - 1 - len(self.latent_shape)
        loc, raw = params.unbind(axis)
        return DiagonalNormalFamily(loc, log_scale(self.net, raw), len(self.latent_shape))


@POSTERIORS.register("full-normal", reference="Kingma & Welling 2019, arXiv:1906.02691, §2.5.1")
class FullNormal(Posterior):
    """q(z|x) = N(μ(x), L(x) L(x)ᵀ) with L lower triangular and a positive, bounded diagonal.

    Below the diagonal L_ij is a multiple of L_ii within (-7, 7): without a bound, L⁻¹(z - μ) overflows.

    >>> import torch; from vaekit.nets.mlp import mlp
    >>> FullNormal(mlp(784, 5))(torch.zeros(3, 784)).covariance.shape
    torch.Size([3, 5, 5])
    """

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self)
        if len(net.out_shape) != 1:
            raise ValueError(f"a full covariance needs a flat latent, not one of shape {net.out_shape}")
        super().__init__(net, params=2 + size(net.out_shape))

    def family(self, params: Tensor) -> FullNormalFamily:
        """Split mean, log-diagonal and the strictly lower rows of L, relative to the diagonal."""
        loc, raw, rows = params[..., 0, :], params[..., 1, :], params[..., 2:, :]
        log_diagonal = bounded_log_scale(raw)
        return FullNormalFamily(loc, log_diagonal, bounded_log_scale(rows) * log_diagonal.exp().unsqueeze(-1))
