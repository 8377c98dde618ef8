"""Adam with decoupled weight decay as one fused kernel call a group.

torch.optim.AdamW(fused=True) imports 800 modules when it is made, which takes seconds, and its Python adds 5 to 10% to
a small model's step; this calls the same fused kernel directly. Clipping and the skipping of bad steps are scalars on
the device, so that nothing waits for it; on a processor, which has its result when a call returns, a bad step is left
out by the program.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from vaekit.training.dtensor import like, local, put


@dataclass
class Group:
    """Parameters that share a learning rate: as the model has them, and what this process holds of each.

    Those that `wait` may be left as they are for some steps.
    """

    names: list[str]
    owners: list[nn.Parameter]
    lr: float
    wait: bool
    parameters: list[Tensor] = field(default_factory=list)
    first: list[Tensor] = field(default_factory=list)
    second: list[Tensor] = field(default_factory=list)
    count: Tensor = field(default_factory=lambda: torch.zeros(()))
    rate: Tensor = field(default_factory=lambda: torch.zeros(()))


class Adam:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980) with decoupled weight decay (Loshchilov & Hutter 2019).

    `step` takes the gradients as a list beside the parameters (None where a parameter took no part). A step whose
    global gradient norm is not finite, or above `skip_above`, changes nothing and is counted in `skipped`. Parameters
    whose names are in `waiting` can be left as they are for a step (`scale_rates`); their moments go on.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter, float]],
        *,
        waiting: Container[str] = (),
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip: float | None = None,
        skip_above: float | None = None,
    ) -> None:
        self.betas, self.eps, self.weight_decay = betas, eps, weight_decay
        self.clip, self.skip_above = clip, skip_above
        groups: dict[tuple[float, bool], Group] = {}
        for name, parameter, lr in named:
            wait = name in waiting
            group = groups.setdefault((lr, wait), Group([], [], lr, wait))
            group.names.append(name)
            group.owners.append(parameter)
        self.groups = list(groups.values())
        for group in self.groups:
            group.parameters = [local(p) for p in group.owners]
            group.first = [torch.zeros_like(p) for p in group.parameters]
            group.second = [torch.zeros_like(p) for p in group.parameters]
            place = group.parameters[0].device
            group.count = torch.zeros((), device=place)
            # A tensor, so that a recorded step follows it; the kernels of CUDA and Metal read float32.
            kind = torch.float32 if place.type in ("cuda", "mps") else torch.float64
            group.rate = torch.full((), group.lr, dtype=kind, device=place)
        self.owners = [p for group in self.groups for p in group.owners]
        self.parameters = [p for group in self.groups for p in group.parameters]
        device = self.parameters[0].device if self.parameters else torch.device("cpu")
        self.skipped = torch.zeros((), device=device)
        self.in_a_row = torch.zeros((), device=device)
        self.waited_for = device.type == "cpu"
        self._was_bad = True

    def scale_rates(self, factor: float, *, wait: bool = False) -> None:
        """Let learning rates be the peak ones times `factor` from here on, and 0 for those that wait, if they do."""
        for group in self.groups:
            group.rate.fill_(0.0 if wait and group.wait else group.lr * factor)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor | None], norm: Tensor | None = None) -> Tensor:
        """Take one step; return the gradient norm (before clipping).

        `norm` is that of the whole gradient where these are parts of it.
        """
        total = norm_of(grads) if norm is None else norm
        bad = None if self.waited_for else self._flag(total)
        if bad is None and self._left_out(float(total)):
            return total
        scale = None if self.clip is None else (total / self.clip).clamp(min=1.0).to(torch.float32)
        start = 0
        for group in self.groups:
            own = grads[start : start + len(group.parameters)]
            start += len(group.parameters)
            self._update(group, own, scale, bad)
        return total

    def _left_out(self, norm: float) -> bool:
        """Return whether a step of this norm is bad, and count it."""
        bad = not math.isfinite(norm) or (self.skip_above is not None and norm > self.skip_above)
        if bad:
            self.skipped += 1.0
            self.in_a_row += 1.0
        elif self._was_bad:
            self.in_a_row.zero_()
        self._was_bad = bad
        return bad

    def _flag(self, norm: Tensor) -> Tensor:
        """Return 1 for a bad step, else 0, and count it, all on the device."""
        good = torch.isfinite(norm)
        if self.skip_above is not None:
            good = good & (norm <= self.skip_above)
        bad = 1.0 - good.to(torch.float32)
        self.skipped += bad
        self.in_a_row.add_(1.0).mul_(bad)
        return bad

    def _update(self, group: Group, grads: Sequence[Tensor | None], scale: Tensor | None, bad: Tensor | None) -> None:
        rows = [row for row in zip(group.parameters, grads, group.first, group.second) if row[1] is not None]
        if not rows:
            return
        parameters, own, first, second = (list(column) for column in zip(*rows))
        own = [laid_out_as(p, g) for p, g in zip(parameters, own)]
        # A skipped step must not advance the bias correction.
        group.count += 1.0 if bad is None else 1.0 - bad
        torch._fused_adamw_(
            parameters,
            own,
            first,
            second,
            [],
            [group.count] * len(parameters),
            lr=group.rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
            grad_scale=scale,
            found_inf=bad,
        )

    def state(self) -> dict[str, Tensor]:
        """Return the whole state as named tensors."""
        out = {"skipped": self.skipped, "in_a_row": self.in_a_row}
        for i, group in enumerate(self.groups):
            out[f"count.{i}"] = group.count
            for name, owner, first, second in zip(group.names, group.owners, group.first, group.second):
                out[f"first.{name}"] = like(first, owner)
                out[f"second.{name}"] = like(second, owner)
        return out

    @torch.no_grad()
    def load(self, state: dict[str, Tensor]) -> None:
        """Copy a state back, in place; KeyError if a tensor is missing."""
        for name, own in self.state().items():
            put(own, state[name])
        self._was_bad = True


def norm_of(grads: Sequence[Tensor | None]) -> Tensor:
    """Return the norm of all gradients as one vector."""
    return torch.linalg.vector_norm(torch.stack(torch._foreach_norm([g for g in grads if g is not None])))


def laid_out_as(parameter: Tensor, grad: Tensor) -> Tensor:
    """Return the gradient with the parameter's strides: the fused kernel goes through both in the order of memory.

    Convolutions give a gradient with the channels last where their input had them last.

    >>> weight, grad = torch.zeros(2, 3), torch.ones(3, 2).mT
    >>> laid_out_as(weight, grad).stride() == weight.stride()
    True
    """
    return grad if grad.stride() == parameter.stride() else torch.empty_like(parameter).copy_(grad)
