"""A data set as a model of sets is trained on it: every batch has sets of one size, each of one class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vaekit.data.dataset import DataSet
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.training.data_source import DataSource
from vaekit.training.source import Batch


@dataclass(frozen=True)
class SetSource(DataSource):
    """Training batches x (S, N, *shape), y (S,): S sets of N different members of the class y each, S N ≈ batch_size.

    N is drawn for each step, evenly from 1 to `most`, a class in proportion to its examples (of those with N at least),
    and its members at random, all from (seed, epoch, step). An epoch has as many members as the data have examples.
    Held-out batches are plain examples, which a model of sets takes as sets of one: their ELBO is nats an example.
    """

    most: int = 1
    turns: bool = False

    @staticmethod
    def of(data: DataSet, seed: int, most: int, turns: bool = False) -> SetSource:
        """Return the source of sets of up to `most` members.

        Raises:
            UserError: the data have no classes.
        """
        if data.train.y is None or not data.info.n_classes:
            raise UserError(
                f"{data.info.name} has no classes to take sets from; give labelled data, or name the column of groups "
                "with data.label=COLUMN"
            )
        return SetSource(data, most=most, turns=turns)

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        """The numbers of each class's training examples; those without a label are each a class of their own."""
        assert self.data.train.y is not None
        y = self.data.train.y.cpu().numpy()
        known = [np.flatnonzero(y == c) for c in np.unique(y[y >= 0])]
        return known + [np.array([i]) for i in np.flatnonzero(y < 0)]

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        """Yield the epoch's batches from number `skip` on."""
        train = self.data.train
        place = train.x.device if self.device is None else self.device
        generator = torch.Generator(place)
        sizes = np.array([len(rows) for rows in self._rows])
        for step in range(skip, self.steps(batch_size)):
            rng = np.random.default_rng(mix(seed, epoch, 3, step))
            n = min(int(rng.integers(1, self.most + 1)), int(sizes.max()))
            share = np.where(sizes >= n, sizes, 0)
            chosen = rng.choice(len(sizes), max(1, batch_size // n), p=share / share.sum())
            rows = np.concatenate([rng.choice(self._rows[c], n, replace=False) for c in chosen])
            batch = train.take(torch.from_numpy(rows).to(train.x.device))
            assert batch.y is not None
            generator.manual_seed(mix(seed, epoch, 2, step))
            x = self.data.prepare(batch.x.to(place), generator)
            x = x.unflatten(0, (-1, n))
            yield (turned(x, rng.integers(0, 8, len(x))) if self.turns else x), batch.y[::n].to(place)


def turned(x: Tensor, by: np.ndarray) -> Tensor:
    """Return sets of square pictures (S, N, C, H, H), each turned by `by` (S,) quarters, and mirrored from 4 on.

    >>> turned(torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 1, 2, 2), np.array([5])).flatten().tolist()
    [4.0, 2.0, 3.0, 1.0]
    """
    out = torch.empty_like(x)
    for each in np.unique(by):
        rows = torch.from_numpy(np.flatnonzero(by == each)).to(x.device)
        some = torch.rot90(x[rows], int(each) % 4, (-2, -1))
        out[rows] = some.flip(-1) if each > 3 else some
    return out
