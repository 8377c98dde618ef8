"""One step by several processes: their gradients added up, and what one of them hears heard by all.

Players take their gradients by `autograd.grad`, each of its own parameters only, which the hooks of
DistributedDataParallel do not see (they wait for `backward` to reach every parameter). So the gradients of all players
travel in one flat tensor, with one collective a step; at the sizes of these models there is nothing to overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import torch
from torch import Tensor

from vaekit.ranks import group
from vaekit.training.optimiser import laid_out_as
from vaekit.training.parts import is_part, local

Grads = Sequence[Tensor | None]


@torch.no_grad()
def sum_gradients(
    grads: Mapping[str, Grads], owners: Mapping[str, Sequence[Tensor]], said: Sequence[bool]
) -> tuple[dict[str, Grads], Tensor]:
    """Return every player's gradients added up over the processes, and how many processes said each of `said`.

    A gradient that is None on one process counts as zeros there; it stays None where it is on all. Those of weights
    that are shared out have been added up already.
    """
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
    facts = torch.tensor([*present, *said], dtype=torch.float32, device=device)
    buffer = group.sum_in_place(torch.cat([*flat, facts]))
    *rest, facts = buffer.split([*sizes, len(facts)])
    parts = iter(rest)
    # Only a process that lacks a gradient waits to know whether others have it.
    lost = [] if all(present) else facts.tolist()
    out: dict[str, Grads] = {}
    at = 0
    for player, own in owners.items():
        summed: list[Tensor | None] = []
        for parameter, grad in zip(own, grads[player]):
            if is_part(parameter):
                summed.append(grad)
            else:
                total = _like(next(parts), parameter)
                summed.append(total if present[at] or lost[at] > 0 else None)
            at += 1
        out[player] = summed
    return out, facts[len(present) :]


def keep_in_step(states: Mapping[str, Tensor]) -> bool:
    """Return whether all processes have these generator states; where not, all get the first one's, in place.

    They draw alike, so this finds what `vaekit.ranks.draws` does not know: a function of its own that draws.
    """
    if group.world() == 1:
        return True
    mark = torch.tensor([float(crc32(state.numpy().tobytes())) for state in states.values()], dtype=torch.float64)
    same = bool((group.sum_in_place(mark.clone()) == mark * group.world()).all())
    if group.sums([float(same)])[0] == group.world():
        return True
    group.same_start(list(states.values()))
    return False


def _in_memory_order(grad: Tensor | None, parameter: Tensor) -> Tensor:
    """Return the gradient flat, in the order in which the parameter lies in memory (channels last, say)."""
    if grad is None:
        return parameter.new_zeros(parameter.numel())
    return laid_out_as(parameter, grad).as_strided((grad.numel(),), (1,))


def _like(flat: Tensor, parameter: Tensor) -> Tensor:
    """Undo `_in_memory_order`: the fused optimiser goes through memory, so strides must be the parameter's."""
    return flat.to(parameter.dtype).as_strided(parameter.shape, parameter.stride())
