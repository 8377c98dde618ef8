"""One step by several processes: their gradients added up, and the flags that any of them raised.

Players take their gradients by `autograd.grad`, each of its own parameters only, which the hooks of
DistributedDataParallel do not see (they wait for `backward` to reach every parameter). So the gradients of all players
travel in one flat tensor, with one collective a step; at the sizes of these models there is nothing to overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vaekit.distributed import group
from vaekit.objectives.base import Loss, Objective
from vaekit.training import sharding
from vaekit.training.dtensor import is_part, local
from vaekit.training.optimiser import laid_out_as

Grads = Sequence[Tensor | None]


def own_gradients(
    losses: Mapping[str, Loss], owners: Mapping[str, Sequence[Tensor]], objective: Objective, sharded: bool = False
) -> dict[str, Grads]:
    """Return each player's gradients, taken before any of them moves, of the parameters it owns only."""
    if sharded:
        return {**sharding.gradients(losses, owners, objective)}
    grads: dict[str, Grads] = {}
    *_, last = owners
    for player, own in owners.items():
        total = losses[player].total
        grads[player] = torch.autograd.grad(total, own, retain_graph=player != last, allow_unused=True)
    return grads


@torch.no_grad()
def added(before: Mapping[str, Grads] | None, grads: Mapping[str, Grads]) -> Mapping[str, Grads]:
    """Return the gradients of the parts so far, `before`, and of one part more, added up."""
    if before is None:
        return grads
    return {
        player: [b if a is None else a if b is None else a + b for a, b in zip(before[player], own)]
        for player, own in grads.items()
    }


@torch.no_grad()
def sum_gradients(
    grads: Mapping[str, Grads], owners: Mapping[str, Sequence[Tensor]], flags: Sequence[bool]
) -> tuple[Mapping[str, Grads], Tensor | None]:
    """Return every player's gradients added up over the processes, and how many raised each of `flags`.

    A gradient that is None on one process counts as zeros there; it stays None where it is on all. Those of weights
    that are shared out have been added up already.
    """
    if group.world() == 1:
        return grads, None
    flat: list[Tensor] = []
    present: list[bool] = []
    for player, own in owners.items():
        for parameter, grad in zip(own, grads[player]):
            present.append(grad is not None or is_part(parameter))
            if is_part(parameter):
                continue
            flat.append(_in_memory_order(grad, parameter))
    sizes = [len(one) for one in flat]
    device = local(next(iter(owners.values()))[0]).device
    facts = torch.tensor([*present, *flags], dtype=torch.float32, device=device)
    buffer = group.sum_in_place(torch.cat([*flat, facts]))
    *rest, facts = buffer.split([*sizes, len(facts)])
    parts = iter(rest)
    # Only a process that lacks a gradient waits to know whether others have it.
    holders = [] if all(present) else facts.tolist()
    out: dict[str, Grads] = {}
    at = 0
    for player, own in owners.items():
        summed: list[Tensor | None] = []
        for parameter, grad in zip(own, grads[player]):
            if is_part(parameter):
                summed.append(grad)
            else:
                total = _like(next(parts), parameter)
                summed.append(total if present[at] or holders[at] > 0 else None)
            at += 1
        out[player] = summed
    return out, facts[len(present) :]


def _in_memory_order(grad: Tensor | None, parameter: Tensor) -> Tensor:
    """Return the gradient flat, in the order in which the parameter lies in memory (channels last, say)."""
    if grad is None:
        return parameter.new_zeros(parameter.numel())
    return laid_out_as(parameter, grad).as_strided((grad.numel(),), (1,))


def _like(flat: Tensor, parameter: Tensor) -> Tensor:
    """Undo `_in_memory_order`: the fused optimiser goes through memory, so strides must be the parameter's."""
    return flat.to(parameter.dtype).as_strided(parameter.shape, parameter.stride())
