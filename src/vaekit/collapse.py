"""Posterior collapse: the rule for it, and KL and active units of each latent over held-out data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.trace import Trace

ACTIVE = 0.01
"""A unit is active when the variance of its posterior mean over the data exceeds this (Burda et al. 2016)."""
LEAST_KL = 0.05
"""Nats per example below which a latent has collapsed, whatever its units do."""

REMEDIES = (
    "warm the KL up (--set objective.beta='linear 0 1 50%')",
    "give free bits (--set objective.free_bits=0.1)",
    "use a smaller latent (--set model.latent=...) or a weaker decoder",
    "lower the learning rate, or train longer",
)


@dataclass(frozen=True)
class Usage:
    """How much of a latent the model uses: its KL in nats per example, and how many of its units are active."""

    name: str
    kl: float
    active: int
    units: int

    @property
    def collapsed(self) -> bool:
        """Whether the posterior has collapsed to the prior: no active unit, or a KL below 0.05 nats.

        >>> Usage("z", 0.0715, 1, 1).collapsed, Usage("z", 0.02, 1, 1).collapsed, Usage("z", 0.2, 0, 4).collapsed
        (False, True, True)
        """
        return self.active == 0 or self.kl < LEAST_KL


NAMED = 4
"""Collapsed latents that a warning names; it counts the others."""


def warning(latents: Sequence[Usage]) -> str | None:
    """Return one sentence on the latents that have collapsed, with remedies; None where none has."""
    lost = [latent for latent in latents if latent.collapsed]
    if not lost:
        return None
    names = ", ".join(one.name for one in lost[:NAMED]) + (
        f" and {len(lost) - NAMED} more" if len(lost) > NAMED else ""
    )
    active, units, kl = sum(one.active for one in lost), sum(one.units for one in lost), sum(one.kl for one in lost)
    return (
        f"the posterior of {names} has collapsed to its prior: {active} of {units} units active, KL {kl:.3f} nats. "
        f"Try to {'; or '.join(REMEDIES)}"
    )


@dataclass
class Warned:
    """Which latents were said to have collapsed, each once, however often it comes and goes."""

    names: list[str] = field(default_factory=list)

    def begin(self, latents: Sequence[Usage]) -> str | None:
        """Return the warning of latents that have collapsed and were not said to, None where there are none.

        >>> warned = Warned()
        >>> [warned.begin([Usage("z", kl, 0, 2)]) is None for kl in (0.012, 0.013, 0.5, 0.011)]
        [False, True, True, True]
        """
        fresh = [one for one in latents if one.collapsed and one.name not in self.names]
        self.names += [one.name for one in fresh]
        return warning(fresh)

    def back(self, latents: Sequence[Usage]) -> str | None:
        """Return a sentence on the latents that were said to have collapsed and have not, at the end."""
        names = [one.name for one in latents if one.name in self.names and not one.collapsed]
        return f"no longer collapsed at the end: {', '.join(names)}" if names else None


@dataclass
class LatentWatch:
    """Running sums over `n` examples for each latent: its KL and the KL's square, its posterior mean and its square."""

    sums: dict[str, list[Tensor]] = field(default_factory=dict)
    n: int = 0

    def add(self, trace: Trace) -> None:
        """Add one held-out trace."""
        size, counts = 0, distributed.counts()
        for name, latent in trace.latents.items():
            if latent.kl_elements is None:
                continue
            # A latent below another has posteriors (K, B, ...): take the first sample's.
            dims = len(latent.q.event_shape) + 1
            kl, mean = (
                (value if value.dim() == dims else value[0]).double() for value in (latent.kl_elements, latent.q.mean)
            )
            size = len(mean)
            values = [kl.sum(0), mean.sum(0), mean.square().sum(0), kl.square().sum(0)]
            values = values if counts else [torch.zeros_like(value) for value in values]
            self.sums[name] = [a + b for a, b in zip(self.sums[name], values)] if name in self.sums else values
        self.n += size if counts else 0

    def join(self) -> None:
        """Add up the sums of the processes that shared the batches, each its own rows."""
        for values in self.sums.values():
            for value in values:
                distributed.sum_in_place(value)
        self.n = int(distributed.sums([self.n])[0])

    def kl_elements(self) -> dict[str, list[float]]:
        """Mean KL of each dimension by latent, nats."""
        return {name: (kl / self.n).flatten().tolist() for name, (kl, *_) in self.sums.items()} if self.n else {}

    def kl_stderr(self) -> dict[str, list[float]]:
        """Standard error of each of `kl_elements`; {} of fewer than two examples."""
        out: dict[str, list[float]] = {}
        for name, (kl, _, _, square) in self.sums.items() if self.n > 1 else ():
            variance = (square / self.n - (kl / self.n).square()).clamp(min=0)
            out[name] = (variance / (self.n - 1)).sqrt().flatten().tolist()
        return out

    def active(self) -> dict[str, list[bool]]:
        """Which dimensions of each latent are active: those whose posterior mean varies by more than `ACTIVE`."""
        out: dict[str, list[bool]] = {}
        for name, (_, first, second, _) in self.sums.items():
            out[name] = (second / self.n - (first / self.n).square() > ACTIVE).flatten().tolist()
        return out

    def usage(self) -> list[Usage]:
        """KL and active units of each latent."""
        sums, active = self.sums, self.active()
        return [Usage(n, float(sums[n][0].sum()) / self.n, sum(each), len(each)) for n, each in active.items()]


def dimension_names(sizes: dict[str, int]) -> list[str]:
    """Return what the dimensions of latents are called everywhere, counted from 1: z3 of one latent, z2.3 of several.

    >>> dimension_names({"z": 2}), dimension_names({"z2": 1, "z1": 2})
    (['z1', 'z2'], ['z2.1', 'z1.1', 'z1.2'])
    """
    if len(sizes) == 1:
        return [f"z{j + 1}" for j in range(*sizes.values())]
    return [f"{name}.{j + 1}" for name, size in sizes.items() for j in range(size)]
