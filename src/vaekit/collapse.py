"""The watch for posterior collapse: KL of each latent dimension and active units, on held-out data while training."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.trace import Trace

ACTIVE = 0.01
"""A unit is active when the variance of its posterior mean over the data exceeds this (Burda et al. 2016)."""

REMEDIES = (
    "warm the KL up (--set objective.beta='linear 0 1 50%')",
    "give free bits (--set objective.free_bits=0.1)",
    "use a smaller latent (--set model.latent=...) or a weaker decoder",
    "lower the learning rate, or train longer",
)


@dataclass
class LatentWatch:
    """Running sums over held-out batches for each latent."""

    kl: dict[str, Tensor] = field(default_factory=dict)
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)
    n: int = 0

    def add(self, trace: Trace) -> None:
        """Take one held-out trace."""
        size = 0
        counts = distributed.counts()
        for name, latent in trace.latents.items():
            elements = latent.kl_elements
            if elements is None:
                continue
            event = len(latent.q.event_shape)
            # A latent below another has posteriors (K, B, ...): take the first sample's.
            elements = elements if elements.dim() == event + 1 else elements[0]
            mean = latent.q.mean if latent.q.mean.dim() == event + 1 else latent.q.mean[0]
            mean = mean.double()
            size = len(mean)
            for store, value in (
                (self.kl, elements.double().sum(0)),
                (self.first, mean.sum(0)),
                (self.second, mean.square().sum(0)),
            ):
                value = value if counts else torch.zeros_like(value)
                store[name] = value if name not in store else store[name] + value
        self.n += size if counts else 0

    def join(self) -> None:
        """Add up what the processes that shared the batches saw, each its own rows."""
        for store in (self.kl, self.first, self.second):
            for value in store.values():
                distributed.sum_in_place(value)
        self.n = int(distributed.sums([self.n])[0])

    def kl_elements(self) -> dict[str, list[float]]:
        """Mean KL of each dimension by latent, nats."""
        return {name: (value / self.n).flatten().tolist() for name, value in self.kl.items()} if self.n else {}

    def active(self) -> dict[str, tuple[int, int]]:
        """(active units, units) by latent."""
        out: dict[str, tuple[int, int]] = {}
        for name, first in self.first.items():
            variance = self.second[name] / self.n - (first / self.n).square()
            out[name] = (int((variance > ACTIVE).sum()), variance.numel())
        return out

    def warning(self) -> str | None:
        """One sentence when a latent has collapsed, naming remedies; None while all is well."""
        for name, (active, units) in self.active().items():
            total = float(torch.sum(self.kl[name])) / self.n
            if active == 0 or total < 0.05:
                return (
                    f"the posterior of {name} has collapsed to its prior: {active} of {units} units active, "
                    f"KL {total:.3f} nats. Try to " + "; or ".join(REMEDIES)
                )
        return None
