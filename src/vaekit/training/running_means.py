"""What a step adds to the log: a few numbers on the device, read when a record is written and not before."""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.trace import Trace
from vaekit.training.validation import named_kl

MOST_KEPT = 64
"""Values of one name kept before they are added up: a long stretch between records holds no more."""
FEW = 4096
"""A batch's values of one name, up to so many, are kept as they are and averaged with those of later steps."""


class Sums:
    """Sums of scalars by name. Adding keeps a reference and starts no kernel; `means` reads them all.

    >>> sums = Sums()
    >>> for value in (1.0, 2.0):
    ...     sums.add("loss", torch.tensor(value))
    >>> sums.means(2)
    {'loss': 1.5}
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Tensor]] = {}
        self._rows: dict[str, list[Tensor]] = {}
        self.bound: dict[str, float] = {}

    def add(self, name: str, value: Tensor) -> None:
        """Add a scalar, which must not be changed in place afterwards."""
        kept = self._kept.setdefault(name, [])
        kept.append(value.detach() if value.requires_grad else value)
        if len(kept) > MOST_KEPT:
            kept[:] = [torch.stack(kept).sum()]

    def add_mean(self, name: str, values: Tensor) -> None:
        """Add this process's share of the mean of a batch's values, (B,) or (K, B); of few values at a later step."""
        if distributed.shared() or values.numel() > FEW:
            self.add(name, distributed.share_of_mean(values.detach()))
            return
        rows = self._rows.setdefault(name, [])
        if rows and (len(rows) >= MOST_KEPT or rows[0].shape != values.shape):
            self._average(name)
        self._rows[name].append(values.detach())

    def _average(self, name: str) -> None:
        rows = self._rows[name]
        self._rows[name] = []
        if rows:
            self.add(name, torch.stack(rows).flatten(1).mean(1).sum())

    def add_bound(self, trace: Trace) -> None:
        """Add the batch means of the parts of the plain ELBO, from which `means` makes "elbo"."""
        self.bound = {"log_px": 1.0}
        self.add_mean("log_px", trace.log_px)
        for name, value in named_kl(trace).items():
            self.bound[name] = -1.0
            self.add_mean(name, value)
        if trace.log_w_extra is not None:
            self.bound["log_w"] = 1.0
            self.add_mean("log_w", trace.log_w_extra)

    def means(self, n: int) -> dict[str, float]:
        """Return the sums over `n`: the one place that waits for the device."""
        for name in self._rows:
            self._average(name)
        out = {name: sum(torch.stack(kept).tolist()) / n for name, kept in self._kept.items()}
        out = dict(zip(out, distributed.sums(list(out.values()))))  # each process has added its shares
        if self.bound:
            out["elbo"] = sum(sign * out[name] for name, sign in self.bound.items())
            del out["log_px"]
            out.pop("log_w", None)
        return out
