"""Dead units: hidden units that say nothing about the example."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.metrics.base import Result, Subject, metric, refused, refuses

KINDS = (nn.ReLU, nn.SiLU, nn.GELU, nn.Tanh, nn.ELU, nn.Softplus)
SAME = 1e-6
"""Outputs that differ by no more over all examples are the same."""
MAPS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.GroupNorm, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
"""Modules whose outputs are (B, units, places); all others give (B, places, units)."""
UNIT = "of hidden units"


class Ranges:
    """The lowest and highest output of each hidden unit, by place: which activation, and its how manieth call.

    A unit is a feature of a dense layer, or a channel of a map, whose outputs at all its places (pixels, steps, nodes)
    count.
    """

    def __init__(self) -> None:
        self.ends: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._calls: dict[str, int] = {}

    def next(self) -> None:
        """Begin the next batch."""
        self._calls = {}

    def add(self, name: str, out: Tensor, axis: int) -> None:
        """Take the outputs of one call, whose units lie along `axis`."""
        call = self._calls[name] = self._calls.get(name, -1) + 1
        flat = out.movedim(axis, 0).flatten(1)
        low, high = flat.amin(1), flat.amax(1)
        before = self.ends.get((name, call))
        if before is not None:
            low, high = torch.minimum(low, before[0]), torch.maximum(high, before[1])
        self.ends[name, call] = (low, high)

    def dead(self) -> tuple[int, int]:
        """Return how many units are the same for every example, and how many there are."""
        spans = [high - low for low, high in self.ends.values()]
        return sum(int((span <= SAME).sum()) for span in spans), sum(len(span) for span in spans)


@contextmanager
def watched(model: nn.Module) -> Iterator[Ranges]:
    """Watch every activation of the model for the length of the block.

    >>> net = nn.Sequential(nn.Linear(1, 3), nn.ReLU())
    >>> with torch.no_grad(), watched(net) as ranges:
    ...     _ = net[0].weight.copy_(torch.tensor([[1.0], [-1.0], [0.0]])), net[0].bias.fill_(0.0)
    ...     _ = net(torch.tensor([[1.0], [2.0]]))
    >>> ranges.dead()
    (2, 3)
    """
    ranges, hooks, axis = Ranges(), [], 1

    def take(module: nn.Module, _: Any, out: Tensor, name: str) -> None:
        nonlocal axis
        if not isinstance(module, KINDS):
            axis = 1 if isinstance(module, MAPS) else -1
        elif out.dim() > 1:
            ranges.add(name, out, axis)

    for name, module in model.named_modules():
        if isinstance(module, KINDS) or next(module.parameters(recurse=False), None) is not None:
            hooks.append(module.register_forward_hook(partial(take, name=name)))
    try:
        yield ranges
    finally:
        for hook in hooks:
            hook.remove()


@metric(
    "dead_units",
    group="networks",
    gives={"dead_units": ("share of hidden units whose output is the same for every test example", False)},
    reference="Lu et al. 2019, arXiv:1903.06733",
)
@refuses("dead_units", unit=UNIT)
def dead_units(subject: Subject) -> dict[str, Result]:
    """Share of the encoder's and decoder's hidden units that are the same for every test example, and so do nothing."""
    with watched(subject.model) as ranges:
        for x, y in subject.batches("dead_units"):
            ranges.next()
            subject.model.reconstruct(x, y)
    dead, units = ranges.dead()
    if not units or len(subject.x) < 2:
        reason = "the networks have no activations" if not units else "one example says nothing of differences"
        return {"dead_units": refused(reason, UNIT)}
    return {"dead_units": Result(dead / units, UNIT, len(subject.x), facts={"of": units})}
