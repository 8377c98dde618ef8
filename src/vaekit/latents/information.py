"""How much each latent dimension tells: its KL over examples, and where its codes lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vaekit.collapse import ACTIVE, LatentWatch, dimension_names
from vaekit.distributions.base import measure_of
from vaekit.inference import batches, inference
from vaekit.latents.traverse import by_information
from vaekit.models.base import Model
from vaekit.trace import Latent, Trace


@dataclass(frozen=True)
class Information:
    """Mean KL of each dimension (D,), None where the KL does not factorise; mean and deviation of the codes, (D,).

    `names` are those of the dimensions, as every figure, list and slider has them. Of several latents they are all side
    by side, in the order of the trace; the KL below the top of a hierarchy is estimated from samples, and may come out
    slightly negative.
    """

    kl: list[float] | None
    mean: Tensor
    sd: Tensor
    names: list[str]

    @property
    def values(self) -> Tensor:
        """The KL of each dimension, or the codes' deviation where there is none."""
        return self.sd if self.kl is None else torch.tensor(self.kl)

    @property
    def active(self) -> int:
        """How many dimensions are active: the variance of their codes exceeds 0.01 (Burda et al. 2016)."""
        return int((self.sd.square() > ACTIVE).sum())

    @property
    def order(self) -> list[int]:
        """The dimensions, most informative first."""
        return by_information(self.values)


def unknown(size: int) -> Information:
    """Return what is known of `size` dimensions without any data: their names."""
    return Information(None, torch.zeros(size), torch.ones(size), dimension_names({"z": size}))


def information(
    model: Model, x: Any, y: Tensor | None = None, codes: Callable[[Any, Tensor | None], Tensor] | None = None
) -> Information:
    """Return KL and spread of each latent dimension over prepared examples x (N, ...).

    `codes(x, y)` gives a batch's codes (B, D); the posterior means where it is left out.
    """
    watch, parts = LatentWatch(), []
    with inference(model):
        for part, label in batches(model, x, y):
            watch.add(model.trace(part, label, hard=True))
            parts.append((codes or model.features)(part, label).cpu())
    z = torch.cat(parts)
    elements = watch.kl_elements()
    sizes = {name: len(each) for name, each in elements.items()}
    fit = sum(sizes.values()) == z.shape[1]
    kl = [value for each in elements.values() for value in each] if fit else None
    names = dimension_names(sizes if fit else {"z": z.shape[1]})
    return Information(kl, z.mean(0), z.std(0, correction=0) if len(z) > 1 else torch.ones(z.shape[1]), names)


def is_one_hot(latent: Latent) -> bool:
    """Whether a latent's code is rows of one 1 among 0s, of a prior that gives masses."""
    code = latent.code
    if measure_of(latent.p) != "mass" or not code.dtype.is_floating_point or code.shape[-1] < 2:
        return False
    return bool(((code == 0) | (code == 1)).all()) and bool((code.sum(-1) == 1).all())


def is_discrete(trace: Trace) -> bool:
    """Whether a model has one latent, and that is categories: there is no way from one code to another."""
    latents = list(trace.latents.values())
    return len(latents) == 1 and (not latents[0].code.dtype.is_floating_point or is_one_hot(latents[0]))
