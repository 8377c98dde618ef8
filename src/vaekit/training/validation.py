"""Held-out evaluation while training: the plain ELBO where there is one, else the loss; never the test split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vaekit import bounds, distributed
from vaekit.collapse import LatentWatch
from vaekit.devices import seeded
from vaekit.objectives.base import MODEL, Objective
from vaekit.trace import Trace
from vaekit.training.source import Batch


@dataclass
class HeldOut:
    """The result of a held-out pass. `elbo` is None where there is none or it is not finite, and `refused` says why.

    `loss` is None without an objective or examples; `bounded` says whether the traces bound log p(x).
    """

    elbo: float | None
    stderr: float | None
    refused: str | None
    loss: float | None
    n: int
    terms: dict[str, float] = field(default_factory=dict)
    watch: LatentWatch = field(default_factory=LatentWatch)
    metrics: dict[str, float] = field(default_factory=dict)

    bounded: bool = False

    @property
    def score(self) -> float:
        """What early stopping maximises: the ELBO, or minus the loss of what has none; -inf if not finite."""
        value = self.elbo
        if value is None and not self.bounded and self.loss is not None:
            value = -self.loss
        return -math.inf if value is None or not math.isfinite(value) else value

    def record(self) -> dict[str, Any]:
        """Return what is logged of it."""
        record: dict[str, Any] = {"valid.loss": self.loss}
        if self.bounded:
            record["valid.elbo"] = self.elbo
        if self.bounded and self.refused is not None:
            record["valid.refused"] = self.refused
        if self.stderr is not None:
            record["valid.elbo.stderr"] = self.stderr
        record |= {f"valid.{name}": value for name, value in (self.terms | self.metrics).items()}
        for latent in self.watch.usage():
            record |= {f"active.{latent.name}": latent.active, f"units.{latent.name}": latent.units}
        return record | {f"kl_elements.{name}": value for name, value in self.watch.kl_elements().items()}


@torch.no_grad()
def held_out(
    make_trace: Callable[..., Trace],
    objective: Objective | None,
    batches: Iterable[Batch],
    seed: int,
    bounded: bool = True,
    device: torch.device | None = None,
    metrics: Mapping[str, Callable[[Trace], Tensor]] | None = None,
) -> HeldOut:
    """Score held-out batches with their own seeded noise, leaving the caller's random state as it was.

    The model must be in eval mode. Without an objective there is no loss. `bounded` False skips the ELBO (a stage
    whose trace is not of the data). `device` is the model's, whose noise is seeded.
    `metrics` are further functions of the trace, by name; the result has their means over examples.
    """
    watch = LatentWatch()
    values: list[Tensor] = []
    terms: dict[str, float] = {}
    own: dict[str, float] = {}
    refused: str | None = None
    loss, n = 0.0, 0
    with seeded(seed, device):
        for x, y in batches:
            size = len(x)
            with distributed.sharing(size, seed, n):
                x, y = distributed.deal(x), distributed.deal(y)
                trace = make_trace(x, y, k=1, hard=True)
                refused = refused or distributed.first_text(bounds.refusal(trace))
                if bounded and refused is None:
                    elbos = bounds.elbo(trace).double()
                    values.append(elbos if distributed.counts() else elbos[:0])
                    for name, value in {"log_px": trace.log_px, **named_kl(trace)}.items():
                        terms[name] = terms.get(name, 0.0) + float(distributed.share_of_mean(value.double())) * size
                for name, metric in (metrics or {}).items():
                    value = distributed.share_of_mean(metric(trace).double())
                    own[name] = own.get(name, 0.0) + float(value) * size
                if objective is not None:
                    soft = trace if objective.k == 1 else make_trace(x, y, k=objective.k)
                    loss += float(objective(soft)[MODEL].total) * size
                    watch.add(trace)
            n += size
    if n == 0:
        return HeldOut(None, None, "there are no held-out examples", None, 0)
    watch.join()
    loss, *joined = distributed.sums([loss, *terms.values(), *own.values()])
    means = [value / n for value in joined]
    terms, own = dict(zip(terms, means)), dict(zip(own, means[len(terms) :]))
    bounded = bounded and refused is None
    elbo, stderr = _mean(values) if bounded else (None, None)
    if elbo is not None and not math.isfinite(elbo):
        parts = [f"{name} is {value}" for name, value in terms.items() if not math.isfinite(value)]
        refused = f"the held-out ELBO is {elbo}: {', '.join(parts)}"
        elbo = stderr = None
    return HeldOut(elbo, stderr, refused, None if objective is None else loss / n, n, terms, watch, own, bounded)


def named_kl(trace: Trace) -> dict[str, Tensor]:
    """Return the KLs by the names they are logged under: "kl" when there is one latent, else "kl.NAME"."""
    return {"kl" if len(trace.kl) == 1 else f"kl.{name}": value for name, value in trace.kl.items()}


def _mean(values: list[Tensor]) -> tuple[float, float | None]:
    every = distributed.join_rows(torch.cat(values))
    return float(every.mean()), float(every.std()) / math.sqrt(len(every)) if len(every) > 1 else None
