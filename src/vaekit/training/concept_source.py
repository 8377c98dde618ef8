"""A data set of which training sees the labels of a few examples alone."""

from __future__ import annotations

from dataclasses import replace

import torch

from vaekit.data.dataset import DataSet
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.training.data_source import DataSource


def some_labelled(data: DataSet, seed: int, share: float) -> DataSource:
    """Return the source that shows the conditions of a share of the training examples, chosen by the seed.

    The others' are all zeros, which is what a missing one is; held-out examples keep theirs, which no bound reads.

    Raises:
        UserError: the data have no conditions, or the share leaves none.
    """
    y = data.train.y
    if y is None or not y.is_floating_point():
        raise UserError(f"{data.info.name} has no concepts: give numbers as labels, one column each")
    count = round(share * len(y))
    if not count:
        raise UserError(f"model.labelled={share:g} of {len(y)} examples is none; raise it")
    chosen = torch.randperm(len(y), generator=torch.Generator().manual_seed(mix(seed, count, 12)))[:count]
    shown = torch.zeros_like(y)
    shown[chosen] = y[chosen]
    return DataSource(replace(data, train=replace(data.train, y=shown)))
