"""In how many parts a step is computed, so that memory holds it: measured on a few examples before training begins.

A step's gradient is the sum of those of its parts (`vaekit.distributed.rows`), so parts cost a little time and change
nothing else; the noise is that of as many processes. What a step takes grows with the examples computed at once: on
CUDA it is the peak of what the allocator gave for one pass forward and back; elsewhere it is what autograd keeps for
the way back, and half as much again for what the way back needs itself (0.1 to 0.7 of it for convolutions, measured).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm

from vaekit import distributed
from vaekit.devices import device_of, free_memory, seeded
from vaekit.distributed.rows import WHOLE
from vaekit.errors import NeedsWholeBatch, TrainingFailed, lacks_memory
from vaekit.models.base import Model
from vaekit.objectives.base import Loss, Objective
from vaekit.training.gradient_sync import own_gradients
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Batch, Source
from vaekit.training.stages import Tracer, train_mode

SHARE = 0.5
"""Of the memory that is free, what a step may take."""
WAY_BACK = 1.5
"""What a step takes, where it is not measured, in terms of what autograd keeps for the way back."""
PLENTY = 20_000
"""Times its examples' bytes that no step takes: where memory has that, nothing is measured."""


@dataclass(frozen=True)
class Parts:
    """A step in parts of at most `rows` examples each on a process; all at once where `rows` is 0.

    >>> Parts(50).of(128), Parts(50).of(30), Parts().of(128)
    (3, 1, 1)
    """

    rows: int = 0

    def of(self, total: int) -> int:
        """Return the number of parts of a batch of `total` examples; each process has a row in every part."""
        each, world = -(-total // distributed.world()), distributed.world()
        return 1 if self.rows == 0 else max(1, min(-(-each // self.rows), total // world))


@dataclass(frozen=True)
class Trial:
    """One pass forward and back on a few examples, after which all is as before: weights, buffers, random state."""

    trace: Tracer
    objective: Objective
    model: Model
    owners: Mapping[str, Sequence[Tensor]]
    autocast: AbstractContextManager[Any]
    freeze: tuple[str, ...] = ()

    @property
    def device(self) -> torch.device:
        """Where it is computed."""
        return device_of(self.model)

    def needs(self, batch: Batch, rows: int, part: tuple[int, int] = WHOLE) -> int:
        """Return the bytes that `rows` examples on each process take; NeedsWholeBatch where `part` cannot be alone."""
        total = rows * part[1] * distributed.world()
        x, y = (None if one is None else one[:total].clone() for one in batch)  # not a view of the whole batch

        def losses() -> dict[str, Loss]:
            with self.autocast:
                trace = self.trace(distributed.deal(x), distributed.deal(y), k=self.objective.k)
            return self.objective(trace)

        with self._untouched(), distributed.sharing(total, 0, part=part):
            if self.device.type == "cuda":
                return self._peak(losses)
            parameters = [*self.model.parameters(), *self.objective.parameters()]
            return int(WAY_BACK * kept_bytes(losses, parameters))

    def _peak(self, losses: Callable[[], dict[str, Loss]]) -> int:
        before = torch.cuda.memory_allocated(self.device)
        torch.cuda.reset_peak_memory_stats(self.device)
        own_gradients(losses(), self.owners, self.objective)
        return torch.cuda.max_memory_allocated(self.device) - before

    @contextmanager
    def _untouched(self) -> Iterator[None]:
        modules = [*self.model.modules(), *self.objective.modules()]
        modes = [(module, module.training) for module in modules]
        buffers = [(b, b.clone()) for b in (*self.model.buffers(), *self.objective.buffers())]
        try:
            with seeded(0, self.device):
                train_mode(self.model, self.freeze)
                yield
        finally:
            with torch.no_grad():
                for buffer, value in buffers:
                    buffer.copy_(value)
            for module, mode in modes:
                module.training = mode


def kept_bytes(compute: Callable[[], Any], without: Sequence[Tensor]) -> int:
    """Return the bytes that autograd keeps for the way back of what is computed, each storage once.

    >>> w = torch.ones(1000, requires_grad=True)
    >>> kept_bytes(lambda: (w.exp() * 2.0).sum(), [w])  # exp keeps its result
    4000
    """
    own = {tensor.untyped_storage().data_ptr() for tensor in without if not hasattr(tensor, "placements")}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would hold the graph that holds it

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        made = compute()
    del made
    return sum(kept.values())


def settle(settings: TrainSettings, source: Source, trial: Trial) -> tuple[Parts, str | None]:
    """Return in which parts a stage's steps are computed, and a sentence where that is worth one.

    A number given by hand is taken, or is a NeedsWholeBatch.
    """
    batch = next(source.train(settings.batch_size, seed=settings.seed, epoch=0, skip=0), ((), None))
    x, world = batch[0], distributed.world()
    each = -(-len(x) // world)
    if not isinstance(x, Tensor) or settings.accumulate == 1 or len(x) < 2 * world:
        return Parts(), None
    if settings.accumulate != "auto":
        reason = _whole_only(trial, batch)
        if reason is not None:
            raise reason
        return Parts(-(-each // settings.accumulate)), None
    free = free_memory(trial.device)
    if free is None or (x.is_floating_point() and PLENTY * x[:each].nbytes < SHARE * free):
        return Parts(), None
    few = min(2, each // 2)
    first, second = (trial.needs(batch, rows) for rows in (few, 2 * few))
    one = max((second - first) / few, 1)
    at_once = int((SHARE * free - max(first - few * one, 0)) / one)
    # All processes take the parts that the one with the least room needs.
    at_once = max(1, min(distributed.join_rows(torch.tensor([at_once], device=trial.device)).tolist()))
    if at_once >= each:
        return Parts(), None
    facts = f"a step on {each} examples takes about {_size(one * each)}, and {_size(free)} of memory are free"
    reason = _whole_only(trial, batch)
    if reason is not None:
        most = at_once * world
        return Parts(), f"warning: {facts}; {reason.what} needs the whole batch: lower --batch-size to {most} or less"
    parts = -(-each // at_once)
    rows = -(-each // parts)
    return Parts(rows), f"{facts}: it is computed in {parts} parts of {rows} (train.accumulate; the same gradient)"


def _whole_only(trial: Trial, batch: Batch) -> NeedsWholeBatch | None:
    """Return the reason for which steps cannot be computed in parts, None where they can."""
    if any(isinstance(module, _BatchNorm) and module.training for module in trial.model.modules()):
        return NeedsWholeBatch("batch normalisation")
    try:
        trial.needs(batch, 1, (0, 2))
    except NeedsWholeBatch as reason:
        return reason
    return None


@contextmanager
def explained(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Turn a lack of memory within the block into a TrainingFailed that names the settings to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not lacks_memory(error):
            raise
        raise TrainingFailed(
            f"the memory of {device} does not hold a step on {settings.batch_size} examples: compute it in more parts "
            f"(--set train.accumulate=8 gives the same gradient), or lower --batch-size"
        ) from None


def _size(count: float) -> str:
    """Return bytes for a person.

    >>> _size(7.94e9), _size(31e6)
    ('7.9 GB', '31 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
