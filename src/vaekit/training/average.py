"""Exponential moving averages of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from vaekit.training.dtensor import like, local, put


class WeightAverage:
    """θ̄ ← d θ̄ + (1 - d) θ after every step, with d = min(decay, (1 + t) / (10 + t)) so that early steps fade."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.steps = 0
        self._owners = {name: p for name, p in module.named_parameters() if p.is_floating_point()}
        self._live = {name: local(p) for name, p in self._owners.items()}
        self.values = {name: p.detach().clone() for name, p in self._live.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the averages towards the present weights."""
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(list(self.values.values()), list(self._live.values()), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in the module for the time of a `with` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for name, parameter in self._live.items():
            mine = self.values[name].clone()
            self.values[name].copy_(parameter)
            parameter.copy_(mine)

    @torch.no_grad()
    def keep(self) -> None:
        """Leave the averages in the module."""
        for name, parameter in self._live.items():
            parameter.copy_(self.values[name])

    def state(self) -> dict[str, Tensor]:
        """Return the averages and the step count as tensors."""
        return {
            **{f"value.{name}": like(v, self._owners[name]) for name, v in self.values.items()},
            "steps": torch.tensor(self.steps),
        }

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Copy a state back."""
        self.steps = int(state["steps"])
        for name, value in self.values.items():
            put(like(value, self._owners[name]), state[f"value.{name}"])
