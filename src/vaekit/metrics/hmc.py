"""Hamiltonian Monte Carlo along a path of densities, for many chains of many examples at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Spacing = Literal["linear", "geometric", "sigmoid"]
LogDensity = Callable[[Tensor], Tensor]
TARGET = 0.8
"""Acceptance that step sizes are adapted to; 0.65 to 0.9 is near the best for HMC (Betancourt et al. 2014)."""


def temperatures(steps: int, spacing: Spacing = "sigmoid") -> Tensor:
    """Return β_0 = 0 < … < β_T = 1, (T + 1,) float64, along the geometric path f_β = f_0^(1-β) f_1^β.

    "linear": β = t/T. "geometric": β_1 = 1e-4 and a constant ratio from there. "sigmoid": σ(4 (2t/T - 1)), stretched to
    [0, 1], dense at both ends (Wu et al. 2017, arXiv:1611.04273).

    >>> temperatures(4, "linear").tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    >>> [round(b, 3) for b in temperatures(4, "sigmoid").tolist()]
    [0.0, 0.105, 0.5, 0.895, 1.0]
    """
    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    if spacing == "linear":
        return t
    if spacing == "geometric":
        rest = torch.logspace(-4, 0, steps, dtype=torch.float64) if steps > 1 else t[1:]
        return torch.cat([t[:1], rest])
    raw = torch.sigmoid(4 * (2 * t - 1))
    return (raw - raw[0]) / (raw[-1] - raw[0])


@dataclass(frozen=True)
class Bridge:
    """Unnormalised log-densities log f_β(z) = base(z) + β tilt(z); both take (C, B, ...) and give (C, B)."""

    base: LogDensity
    tilt: LogDensity


class State(NamedTuple):
    """Chains' positions (C, B, ...) with base, tilt (C, B) and their gradients."""

    z: Tensor
    base: Tensor
    tilt: Tensor
    base_grad: Tensor
    tilt_grad: Tensor

    @staticmethod
    def at(bridge: Bridge, z: Tensor) -> State:
        """Evaluate a bridge."""
        with torch.enable_grad():
            z = z.detach().requires_grad_(True)
            base, tilt = bridge.base(z), bridge.tilt(z)
            (base_grad,) = torch.autograd.grad(base.sum(), z)
            (tilt_grad,) = torch.autograd.grad(tilt.sum(), z)
        return State(z.detach(), base.detach(), tilt.detach(), base_grad, tilt_grad)

    def log_density(self, beta: float) -> Tensor:
        """log f_β, (C, B)."""
        return self.base + beta * self.tilt

    def gradient(self, beta: float) -> Tensor:
        """Its gradient, (C, B, ...)."""
        return self.base_grad + beta * self.tilt_grad

    def where(self, keep: Tensor, other: State) -> State:
        """Take `other` where `keep` (C, B) is false."""
        return State(*(torch.where(keep.view(*keep.shape, *[1] * (a.dim() - 2)), a, b) for a, b in zip(self, other)))


def transition(bridge: Bridge, state: State, beta: float, step: Tensor, leapfrog: int) -> tuple[State, Tensor]:
    """Make one HMC transition that leaves f_β invariant; return the new state and acceptance probabilities (C, B).

    `step` (B,) is each example's leapfrog step, varied by up to a fifth at random so that no orbit closes on itself.
    Source: Neal 2011, "MCMC using Hamiltonian dynamics".
    """
    jitter = 0.8 + 0.4 * torch.rand(state.base.shape, dtype=step.dtype, device=step.device)
    size = (step * jitter).view(*state.base.shape, *[1] * (state.z.dim() - 2))
    momentum = torch.randn_like(state.z)
    before = state.log_density(beta) - 0.5 * momentum.square().flatten(2).sum(-1)
    new = state
    for _ in range(leapfrog):
        momentum = momentum + 0.5 * size * new.gradient(beta)
        new = State.at(bridge, new.z + size * momentum)
        momentum = momentum + 0.5 * size * new.gradient(beta)
    after = new.log_density(beta) - 0.5 * momentum.square().flatten(2).sum(-1)
    accept = (after - before).nan_to_num(-torch.inf).clamp(max=0).exp()
    return new.where(torch.rand_like(accept) < accept, state), accept


def anneal(bridge: Bridge, z: Tensor, betas: Tensor, steps: Tensor, leapfrog: int) -> tuple[Tensor, Tensor, Tensor]:
    """Carry chains z (C, B, ...) along `betas` (T + 1,) with step sizes (T + 1, B).

    Returns log-weights Σ_t (β_t - β_(t-1)) tilt(z_(t-1)) and tilts as chains arrive at each β_t, (T + 1, C, B) each,
    and the mean acceptance (B,). Backwards, from β = 1 to 0, is the same call with both arrays reversed, since each
    transition is reversible.
    """
    state = State.at(bridge, z)
    log_w, tilt = [torch.zeros_like(state.base)], [state.tilt]
    accepted = torch.zeros(z.shape[1], dtype=state.base.dtype, device=z.device)
    last = len(betas) - 1
    for t in range(1, last + 1):
        log_w.append(log_w[-1] + float(betas[t] - betas[t - 1]) * state.tilt)
        if t < last:
            state, accept = transition(bridge, state, float(betas[t]), steps[t], leapfrog)
            accepted += accept.mean(0)
        tilt.append(state.tilt)
    return torch.stack(log_w), torch.stack(tilt), accepted / max(last - 1, 1)


def adapt(bridge: Bridge, z: Tensor, betas: Tensor, leapfrog: int, start: float = 0.3, warm: int = 10) -> Tensor:
    """Find step sizes for each β and example by a pilot run: (T + 1, B).

    log step rises or falls by ½ (acceptance - 0.8) after each transition. A run that uses these numbers as they stand
    keeps its weights unbiased, which one that adapts as it goes would not.
    """
    state = State.at(bridge, z)
    size = torch.full((z.shape[1],), start, dtype=state.base.dtype, device=z.device)
    sizes = []
    for t, beta in enumerate(betas.tolist()):
        for _ in range(warm if t == 0 else 1):
            state, accept = transition(bridge, state, beta, size, leapfrog)
            size = size * (0.5 * (accept.mean(0) - TARGET)).exp()
        sizes.append(size)
    return torch.stack(sizes)


def stretch(steps: Tensor, pilot: Tensor, betas: Tensor) -> Tensor:
    """Interpolate step sizes (P, B) at the temperatures `pilot` (P,) to `betas` (T + 1,): (T + 1, B)."""
    right = torch.searchsorted(pilot, betas).clamp(1, len(pilot) - 1)
    low, high = pilot[right - 1], pilot[right]
    share = ((betas - low) / (high - low)).clamp(0, 1).to(steps)
    return torch.lerp(steps[right - 1].log(), steps[right].log(), share.unsqueeze(1)).exp()
