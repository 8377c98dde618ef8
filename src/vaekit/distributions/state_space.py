"""States that follow one another: normal chains, linear or recurrent."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family, sum_event
from vaekit.distributions.kl import register_kl
from vaekit.distributions.normal import LOG_2PI, bounded_log_scale


class LinearChain(Family):
    """p(z_1 … z_T) = Π_t N(z_t; m_t + A_t z_{t-1}, L_t L_tᵀ) with z_0 = 0: event (T, D), nats/example.

    m, log_diagonal (..., T, D); A, lower (..., T, D, D). L_t = diag(exp log_diagonal) (I + N), N the part of `lower`
    strictly below the diagonal. Every normal Markov chain has this form, and the posterior of a linear state-space
    model, its Kalman smoother's, is one.

    >>> vectors, matrices = torch.zeros(5, 3, 2), torch.zeros(5, 3, 2, 2)
    >>> chain = LinearChain(vectors, vectors, matrices, matrices)
    >>> chain.rsample((4,)).shape, chain.log_prob(torch.zeros(5, 3, 2)).shape, chain.variance[0, 2].tolist()
    (torch.Size([4, 5, 3, 2]), torch.Size([5]), [1.0, 1.0])
    """

    def __init__(self, loc: Tensor, log_diagonal: Tensor, carry: Tensor, lower: Tensor) -> None:
        self.loc, self.log_diagonal, self.carry, self.lower = loc, log_diagonal, carry, lower
        super().__init__(loc.shape[:-2], loc.shape[-2:])

    @property
    def scale_tril(self) -> Tensor:
        """L, (..., T, D, D)."""
        eye = torch.eye(self.loc.shape[-1], dtype=self.loc.dtype, device=self.loc.device)
        return self.log_diagonal.exp().unsqueeze(-1) * (eye + self.lower.tril(-1))

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw one state after another, (*sample_shape, ..., T, D)."""
        shape = self._extended_shape(sample_shape)
        noise = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        steps = self.loc + (self.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        states, z = [], torch.zeros_like(steps[..., 0, :])
        for t in range(shape[-2]):
            z = steps[..., t, :] + (self.carry[..., t, :, :] @ z.unsqueeze(-1)).squeeze(-1)
            states.append(z)
        return torch.stack(states, -2)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        before = torch.nn.functional.pad(value[..., :-1, :], (0, 0, 1, 0))
        off = value - self.loc - (self.carry @ before.unsqueeze(-1)).squeeze(-1)
        scaled = (off * torch.exp(-self.log_diagonal)).unsqueeze(-1)
        eye = torch.eye(off.shape[-1], dtype=off.dtype, device=off.device)
        unit = (eye + self.lower.tril(-1)).expand(*scaled.shape[:-2], -1, -1)
        noise = torch.linalg.solve_triangular(unit, scaled, upper=False, unitriangular=True).squeeze(-1)
        return sum_event(-0.5 * (noise * noise + LOG_2PI) - self.log_diagonal, 2)

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return the means (..., T, D) and covariances (..., T, D, D) of each state by itself."""
        noise = self.scale_tril @ self.scale_tril.mT
        mean, cov = torch.zeros_like(self.loc[..., 0, :]), torch.zeros_like(noise[..., 0, :, :])
        means, covs = [], []
        for t in range(self.loc.shape[-2]):
            a = self.carry[..., t, :, :]
            mean = self.loc[..., t, :] + (a @ mean.unsqueeze(-1)).squeeze(-1)
            cov = noise[..., t, :, :] + a @ cov @ a.mT
            means.append(mean)
            covs.append(cov)
        return torch.stack(means, -2), torch.stack(covs, -3)

    @property
    def mean(self) -> Tensor:
        """The mean of every state."""
        return self.moments()[0]

    @property
    def variance(self) -> Tensor:
        """The variance of every number of a state."""
        return self.moments()[1].diagonal(dim1=-2, dim2=-1)

    def tempered(self, temperature: float) -> LinearChain:
        """Return the chain with the noise of every step multiplied by `temperature`."""
        return LinearChain(self.loc, self.log_diagonal + math.log(temperature), self.carry, self.lower)


@register_kl(LinearChain, LinearChain)
def kl_of_chains(q: LinearChain, p: LinearChain) -> Tensor:
    """Return KL(q ‖ p) = Σ_t E_q KL(q(z_t|z_{t-1}) ‖ p(z_t|z_{t-1})), (...) nats, in closed form.

    With r = m^q - m^p + (A^q - A^p) z_{t-1} it is ½ [tr(Σ_p⁻¹ (Σ_q + E r rᵀ)) - D + log |Σ_p| / |Σ_q|] at each step.
    """
    mean, cov = q.moments()
    mean = torch.nn.functional.pad(mean[..., :-1, :], (0, 0, 1, 0))  # of the state before
    cov = torch.nn.functional.pad(cov[..., :-1, :, :], (0, 0, 0, 0, 1, 0))
    carry = q.carry - p.carry
    off = q.loc - p.loc + (carry @ mean.unsqueeze(-1)).squeeze(-1)
    spread = q.scale_tril @ q.scale_tril.mT + carry @ cov @ carry.mT + off.unsqueeze(-1) * off.unsqueeze(-2)
    root = p.scale_tril.expand_as(spread)
    half = torch.linalg.solve_triangular(root, spread, upper=False)
    trace = torch.linalg.solve_triangular(root, half.mT, upper=False).diagonal(dim1=-2, dim2=-1)
    return sum_event(0.5 * (trace - 1) + p.log_diagonal - q.log_diagonal, 2)


class StateNet(Protocol):
    """A recurrent network over states: what it tells of each from those before it."""

    def parameters_of(self, before: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and raw log σ of each state (N, T, D), given those before, each shifted to the next's place."""
        ...

    def start(self, count: int) -> Tensor:
        """Return the memory before the first state."""
        ...

    def step(self, before: Tensor, memory: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and raw log σ of the next state (N, D), given the one before, and the memory after it."""
        ...


class RecurrentChain(Family):
    """p(z_1 … z_T) = Π_t N(z_t; μ(z_<t), diag σ²(z_<t)) with μ and σ from a recurrent network: event (T, D).

    `net` is a `StateNet`. The density takes one pass, a draw goes step by step.
    """

    has_rsample = False

    def __init__(self, net: StateNet, shape: tuple[int, int], temperature: float = 1.0) -> None:
        self.net, self.shape, self.temperature = net, shape, temperature
        super().__init__(SCALAR, torch.Size(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats/example."""
        before = torch.nn.functional.pad(value[..., :-1, :], (0, 0, 1, 0)).reshape(-1, *self.shape)
        loc, raw = (part.view(value.shape) for part in self.net.parameters_of(before))
        log_scale = bounded_log_scale(raw) + math.log(self.temperature)
        off = (value - loc) * (-log_scale).exp()
        return sum_event(-0.5 * (off * off + LOG_2PI) - log_scale, 2)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw one state after another, (*sample_shape, T, D)."""
        with torch.no_grad():
            count = torch.Size(sample_shape).numel()
            memory, states = self.net.start(count), []
            z = memory.new_zeros(count, self.shape[1])
            for _ in range(self.shape[0]):
                loc, raw, memory = self.net.step(z, memory)
                z = loc + self.temperature * bounded_log_scale(raw).exp() * torch.randn_like(loc)
                states.append(z)
            return torch.stack(states, 1).view(*sample_shape, *self.shape)

    def tempered(self, temperature: float) -> RecurrentChain:
        """Return the chain with every σ multiplied by `temperature`."""
        return RecurrentChain(self.net, self.shape, self.temperature * temperature)

    def detached(self) -> RecurrentChain:
        """Return the chain with its network held fixed."""
        net: Any = deepcopy(self.net)
        return RecurrentChain(net.requires_grad_(False), self.shape, self.temperature)
