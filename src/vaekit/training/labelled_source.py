"""A data set as semi-supervised training takes it: all examples without labels, and a few with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from vaekit.data.dataset import DataSet, Split
from vaekit.data.labelled import HIDDEN, choose_labelled
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.training.data_source import DataSource
from vaekit.training.source import Batch


@dataclass(frozen=True)
class LabelledSource(DataSource):
    """Every batch is a batch of the whole training split with labels hidden (y = -1), and some shown examples after it.

    The shown ones are drawn afresh for each step from (seed, epoch, step), so a resumed run goes on as it would have.
    Held-out labels are hidden too: nothing in training, early stopping included, reads a label that is not shown. The
    data set itself keeps all its labels, for evaluation.
    """

    shown: Split | None = None

    @staticmethod
    def of(data: DataSet, n: int, seed: int) -> LabelledSource:
        """Return the source that shows `n` labels, chosen by the seed."""
        if data.train.y is None:
            raise UserError(f"{data.info.name} has no labels to show; use labelled data")
        index = choose_labelled(data.train.y, n, data.info.n_classes, seed)
        hidden = replace(data, train=_without(data.train), valid=_without(data.valid))
        return LabelledSource(hidden, shown=data.train.take(index))

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the epoch's batches from number `skip` on: `batch_size` hidden, then at most as many shown."""
        shown = self.shown
        assert shown is not None and shown.y is not None
        count = min(batch_size, len(shown))
        for step, (x, y) in enumerate(super().train(batch_size, seed=seed, epoch=epoch, skip=skip), start=skip):
            assert y is not None
            generator = torch.Generator().manual_seed(mix(seed, epoch, 3, step))
            some = shown.take(torch.randperm(len(shown), generator=generator)[:count])
            assert some.y is not None
            extra = self.data.prepare(some.x, generator).to(x.device)
            yield torch.cat([x, extra]), torch.cat([y, some.y.to(y.device)])


def _without(split: Split) -> Split:
    return Split(split.x, torch.full((len(split),), HIDDEN, dtype=torch.int64))
