"""The posterior of states that follow one another."""

from __future__ import annotations

from torch import Tensor, nn

from vaekit.distributions.normal import bounded_log_scale
from vaekit.distributions.state_space import LinearChain
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Posterior


@POSTERIORS.register(
    "states",
    reference="Krishnan et al. 2017, arXiv:1609.09869; Archer et al. 2015, arXiv:1511.07367",
    of="states",
    no_contract="its latent is a state a step: tests/models/test_states.py holds it",
)
class States(Posterior):
    """q(z_1 … z_T | x) = Π_t N(z_t; m_t + A_t z_{t-1}, L_t L_tᵀ), all of them from the network.

    Of a linear state-space model the exact posterior, the Kalman smoother's, has this form. The network gives 2 + 2 D
    values for each number of each state.

    >>> import torch; from vaekit.nets.states import StateEncoder
    >>> States(StateEncoder((2, 50), 3, width=16))(torch.randn(4, 2, 50)).mean.shape
    torch.Size([4, 50, 3])
    """

    def __init__(self, net: nn.Module) -> None:
        net = adapted(net, self)
        if len(net.out_shape) != 2:
            raise ValueError(f"states are (T, D), not of shape {net.out_shape}")
        super().__init__(net, params=2 + 2 * net.out_shape[1])

    def family(self, params: Tensor) -> LinearChain:
        """Take means, log-diagonals, and the rows of A and L."""
        loc, raw = params[..., 0, :, :], params[..., 1, :, :]
        size = params.shape[-1]
        carry, lower = (
            bounded_log_scale(params[..., start : start + size, :, :].movedim(-3, -1)) for start in (2, 2 + size)
        )
        return LinearChain(loc, bounded_log_scale(raw), carry, lower)
