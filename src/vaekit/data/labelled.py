"""Which labels a semi-supervised run may see: a few, the same number of each class, chosen by a seed."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit.data.shuffling import mix
from vaekit.errors import UserError

HIDDEN = -1
"""The label of an example whose label is not shown."""


def choose_labelled(y: Tensor, n: int, n_classes: int, seed: int) -> Tensor:
    """Return the sorted indices of `n` examples whose labels are shown, as evenly over the classes as n allows.

    They depend on the labels, n and the seed alone. Where n is not a multiple of the number of classes, a random choice
    of classes shows one more. A class with too few examples is a UserError.

    >>> y = torch.arange(3).repeat(100)
    >>> y[choose_labelled(y, 6, 3, seed=0)].bincount()
    tensor([2, 2, 2])
    """
    if n > len(y):
        raise UserError(f"model.labelled={n} is more than the {len(y)} training examples; lower it")
    if n < n_classes:
        raise UserError(f"model.labelled={n} leaves one of {n_classes} classes without a label; raise it")
    generator = torch.Generator().manual_seed(mix(seed, n, 11))
    more = torch.randperm(n_classes, generator=generator)[: n % n_classes]
    chosen: list[Tensor] = []
    for c in range(n_classes):
        own = (y == c).nonzero().squeeze(1)
        wanted = n // n_classes + int(bool((more == c).any()))
        if len(own) < wanted:
            raise UserError(
                f"class {c} has {len(own)} training examples, fewer than the {wanted} to label; lower model.labelled"
            )
        chosen.append(own[torch.randperm(len(own), generator=generator)[:wanted]])
    return torch.cat(chosen).sort().values
