"""Metrics: named numbers with a unit, a direction and a standard error, computed on the test split of a run's data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.data.info import DataInfo
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.registry import Registry


@dataclass(frozen=True)
class Result:
    """One number: its value (None if refused), unit, count, standard error or interval, and further facts."""

    value: float | None
    unit: str
    n: int
    stderr: float | None = None
    interval: tuple[float, float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON; numbers that are not finite become null."""
        out: dict[str, Any] = {"value": _finite(self.value), "unit": self.unit, "n": self.n}
        if self.stderr is not None:
            out["stderr"] = _finite(self.stderr)
        if self.interval is not None:
            out["interval"] = [_finite(end) for end in self.interval]
        return out | dict(self.facts)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def mean_of(values: Tensor, unit: str, **facts: Any) -> Result:
    """Return the mean of per-example values with its standard error.

    >>> mean_of(torch.tensor([1.0, 3.0]), "nats").to_dict()
    {'value': 2.0, 'unit': 'nats', 'n': 2, 'stderr': 1.0}
    """
    every = values.double()
    stderr = float(every.std()) / math.sqrt(len(every)) if len(every) > 1 else None
    return Result(float(every.mean()), unit, len(every), stderr, facts=facts)


def refused(reason: str, unit: str, **facts: Any) -> Result:
    """Return a metric that has no value, with the reason."""
    return Result(None, unit, 0, facts={"refused": reason, **facts})


@dataclass
class Subject:
    """What is evaluated: a model in eval mode and the test examples as it sees them (x, y), with the settings.

    `train` gives the training split prepared likewise, for metrics that fit a probe; it is read only when asked for.
    `factors` (N, F) are the known factors of the test examples, named by `info.factor_names`. `show` brings images to
    [0, 1]. `options` are settings of single metrics by name; `shared` holds what metrics computed for one another.
    """

    model: Model
    info: DataInfo
    x: Tensor
    y: Tensor | None = None
    k: int = 500
    seed: int = 0
    batch_size: int = 500
    train: Callable[[], tuple[Tensor, Tensor | None]] | None = None
    show: Callable[[Tensor], Tensor] = lambda x: x
    progress: Callable[[str, int, int], None] = lambda name, done, total: None
    options: Mapping[str, Any] = field(default_factory=dict)
    factors: Tensor | None = None
    shared: dict[str, Any] = field(default_factory=dict, repr=False)
    sharing: bool = field(default=False, repr=False)

    def batches(self, name: str = "") -> Iterator[tuple[Tensor, Tensor | None]]:
        """Yield test batches, telling the progress."""
        total = len(self.x)
        for start in range(0, total, self.batch_size):
            stop = start + self.batch_size
            yield self.x[start:stop], None if self.y is None else self.y[start:stop]
            self.progress(name, min(stop, total), total)

    def shares(self, name: str = "") -> Iterator[tuple[Any, Tensor | None]]:
        """Yield this process's pieces of the test examples, every W-th of W processes; of one process, all.

        Each piece has noise seeded by its place, so that the numbers do not depend on how many processes there are.
        """
        total = len(self.x)
        for number in range(distributed.rank() if self.sharing else 0, -(-total // PIECE), self._processes):
            torch.manual_seed(mix(self.seed, number))
            rows = slice(number * PIECE, (number + 1) * PIECE)
            yield self.x[rows], None if self.y is None else self.y[rows]
            self.progress(name, min(rows.stop, total), total)

    @property
    def _processes(self) -> int:
        return distributed.world() if self.sharing else 1

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the values (N,) of all examples, in their order, from those of each process's pieces."""
        mine = torch.cat(list(parts)) if parts else torch.zeros(0)
        if self._processes == 1:
            return mine
        every = torch.arange(len(self.x)).split(PIECE)
        order = torch.cat([piece for rank in range(self._processes) for piece in every[rank :: self._processes]])
        return torch.empty_like(order, dtype=mine.dtype).index_copy_(0, order, distributed.join_rows(mine))

    def agreed(self, text: str | None) -> str | None:
        """Return what the first process that has something to say says, where processes share the examples."""
        return distributed.first_text(text) if self.sharing else text

    def label(self, y: Tensor | None) -> Tensor | None:
        """Return y for conditional models, None for the others."""
        return y if self.model.takes_label else None

    @cached_property
    @torch.no_grad()
    def features(self) -> Tensor:
        """Posterior means of the test examples, (N, F)."""
        return torch.cat([self.model.features(x, self.label(y)) for x, y in self.batches("encode")])

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """Return what `make` gives, made at the first call and kept for other metrics."""
        if name not in self.shared:
            self.shared[name] = make()
        return self.shared[name]


PIECE = 100
"""Examples in a piece of `Subject.shares`."""

Metric = Callable[[Subject], Mapping[str, Result]]

METRICS: Registry[Metric] = Registry("metric", "vaekit.metrics")


def metric(
    name: str,
    *,
    group: str,
    gives: Mapping[str, tuple[str, bool | None]],
    needs: Sequence[str] = (),
    reference: str = "",
    slow: bool = False,
    quiet: bool = False,
    shared: bool = False,
) -> Callable[[Metric], Metric]:
    """Register a metric. `gives` maps each number's name to (what it means, whether higher is better, None: neither).

    `needs`: "labels", "images", "factors", "train", "classifier", "codes", a kind of data ("array", "tokens", "table",
    "graph") or "modality:NAME"; a subject without them leaves the metric out of a group, and is an error when
    asked for by name. A `slow` one, of minutes, is computed only when it or its group is asked for by name, not by
    "all". Where a `quiet` one has no value, that is said only to those who name it. Several processes share the
    examples of a `shared` one, which reads them by `Subject.shares`; any other is computed by the first of them.
    """

    def add(function: Metric) -> Metric:
        doc = (function.__doc__ or "").strip().split("\n")[0]
        facts = {
            "group": group,
            "gives": dict(gives),
            "needs": tuple(needs),
            "slow": slow,
            "quiet": quiet,
            "shared": shared,
        }
        return METRICS.register(name, summary=doc, reference=reference, **facts)(function)

    return add


def meanings() -> dict[str, tuple[str, bool | None]]:
    """Return what every number means and whether higher is better, by the number's name."""
    return {name: value for entry in METRICS for name, value in entry.facts["gives"].items()}


def lacking(subject: Subject, needs: Sequence[str]) -> str | None:
    """Return what the subject lacks of `needs`, as a sentence, or None."""
    have = {
        "labels": subject.y is not None and subject.y.dim() == 1,
        "images": subject.info.is_image,
        "factors": subject.factors is not None,
        "train": subject.train is not None,
        "classifier": subject.model.gives_label,
        "codes": hasattr(subject.model, "code_count"),
        "array": subject.info.is_array,
        **{kind: subject.info.kind == kind for kind in ("tokens", "table", "graph")},
        f"modality:{subject.info.modality}": True,
    }
    words = {
        "labels": "the data have no labels",
        "images": "the data are not images",
        "factors": "the data have no known factors",
        "train": "the training split is not at hand",
        "classifier": "the model does not classify",
        "codes": "the model's latents are no quantised codes",
        "array": "the data are not arrays of numbers",
        "tokens": "the data are not sequences of tokens",
        "table": "the data are not a table",
        "graph": "the data are not graphs",
    }
    lack = next((need for need in needs if not have.get(need, False)), None)
    return None if lack is None else words.get(lack) or f"the data are not {lack.removeprefix('modality:')}"


def evaluate(subject: Subject, names: Sequence[str] = ("all",)) -> dict[str, Result]:
    """Compute metrics by name or group, each with its own seeded noise.

    "all" is everything that applies and is not slow.
    """
    groups = {entry.facts["group"] for entry in METRICS}
    chosen: dict[str, bool] = {}
    for name in names:
        if name == "all" or name in groups:
            for entry in METRICS:
                if name == entry.facts["group"] or (name == "all" and not entry.facts["slow"]):
                    chosen.setdefault(entry.name, False)
        elif name in METRICS.names:
            chosen[name] = True
        else:
            raise UserError(
                f"there is no metric '{name}'; groups: {', '.join(sorted(groups))}; metrics: {METRICS.names}"
            )
    out: dict[str, dict[str, Result]] = {name: {} for name in chosen}
    was_training = subject.model.training
    subject.model.eval()
    try:
        # Those that several processes share come first; the others are the first process's, and nobody waits for it.
        for name in sorted(chosen, key=lambda one: not METRICS[one].facts["shared"]):
            by_name = chosen[name]
            entry = METRICS[name]
            lack = lacking(subject, entry.facts["needs"])
            if lack and by_name:
                raise UserError(f"the metric '{name}' cannot be computed: {lack}")
            if lack or not (entry.facts["shared"] or distributed.is_main()):
                continue
            subject.sharing = entry.facts["shared"] and distributed.world() > 1
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(subject.seed)
                found = entry.part(subject)
            hidden = entry.facts["quiet"] and not by_name
            out[name] = {key: result for key, result in found.items() if not (hidden and result.value is None)}
    finally:
        subject.model.train(was_training)
    return {key: result for each in out.values() for key, result in each.items()}
