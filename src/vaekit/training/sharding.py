"""Weights shared out over the processes (FSDP2), for models that one device cannot hold.

Every network of the model, and every block of its lists of blocks, holds a part of its weights on each process and
gathers the rest for the time of its own forward and backward pass. Optimiser state and weight averages are of the parts
alone; checkpoints are gathered one tensor at a time and are those of an unsharded run. What lies outside networks
(scales, pseudo-inputs, codebooks) is small and stays whole everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from vaekit.distributed import group
from vaekit.errors import UserError
from vaekit.objectives.base import MODEL, Loss
from vaekit.training.compiled import networks
from vaekit.training.dtensor import is_part, local


def shard(model: nn.Module, device: torch.device) -> None:
    """Share the networks' weights out over the processes and put the parts on `device`."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    group.same_start(list(model.state_dict().values()))
    mesh = init_device_mesh(device.type, (group.world(),))
    nets = [net for net in networks(model) if next(net.parameters(), None) is not None]
    if not nets:
        raise UserError("train.shard=true: this model has no network whose weights could be shared out; leave it out")
    for net in nets:
        for block in _blocks(net):
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
        net.register_forward_hook(_not_a_view)  # before FSDP's own: an operation in place on a view loses its hooks
        fully_shard(net, mesh=mesh, reshard_after_forward=True)
    model.to(device)


def _not_a_view(net: nn.Module, inputs: object, out: object) -> object:
    return out.clone() if isinstance(out, Tensor) and out._is_view() else out


def _blocks(net: nn.Module) -> Iterator[nn.Module]:
    """Yield what stands in the network's lists of modules and has parts itself."""
    for module in net.modules():
        if isinstance(module, nn.ModuleList):
            yield from (block for block in module if next(block.children(), None) is not None)


def gradients(
    losses: Mapping[str, Loss], owners: Mapping[str, Sequence[Tensor]], objective: nn.Module
) -> dict[str, list[Tensor | None]]:
    """Return each player's gradients: of shared-out weights this process's part of the sum over all processes.

    FSDP adds gradients up in the hooks of `backward` and takes their mean, so the model's loss is scaled up by the
    number of processes; the other players' gradients are taken as always, before it.
    """
    out: dict[str, list[Tensor | None]] = {}
    for player, own in owners.items():
        if player != MODEL:
            out[player] = list(
                torch.autograd.grad(losses[player].total, list(own), retain_graph=True, allow_unused=True)
            )
    try:
        (losses[MODEL].total * group.world()).backward()
    except RuntimeError as error:
        raise _refused(error) from None
    out[MODEL] = [_taken(owner) for owner in owners[MODEL]]
    for parameter in objective.parameters():
        parameter.grad = None
    return out


def _taken(owner: Tensor) -> Tensor | None:
    grad, owner.grad = owner.grad, None
    if grad is None:
        return None
    return local(grad) if is_part(owner) else grad / group.world()


def _refused(error: RuntimeError) -> Exception:
    if not any(part in str(error) for part in ("DTensor", "setStorage")):
        return error
    return UserError(
        "train.shard=true: this model uses its networks' weights outside their forward pass, so they cannot be shared "
        "out; train it without"
    )


def norm_of(grads: Sequence[Tensor | None], owners: Sequence[Tensor]) -> Tensor:
    """Return the norm of the whole gradient: parts are added up over the processes, whole ones count once."""
    square = torch.zeros((), device=local(owners[0]).device)
    apart = square.clone()
    for grad, owner in zip(grads, owners):
        if grad is not None and is_part(owner):
            apart = apart + grad.square().sum()
        elif grad is not None:
            square = square + grad.square().sum()
    return (square + group.sum_in_place(apart)).sqrt()
