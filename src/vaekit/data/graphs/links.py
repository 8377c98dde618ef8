"""Graphs as tensors, and the links of one graph that are held out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vaekit.data.contents import Contents, contents_of
from vaekit.data.graphs.keys import edge_keys, whole_keys
from vaekit.data.graphs.raw_graphs import RawGraphs
from vaekit.data.settings import DataSettings
from vaekit.data.shares import CONTENTS
from vaekit.data.splits import Splits, deal
from vaekit.errors import UserError
from vaekit.graphs import Graphs


def as_tensor(values: np.ndarray) -> Tensor:
    """Return whole numbers as int64."""
    return torch.from_numpy(np.ascontiguousarray(values, np.int64))


def unsplit(raw: RawGraphs) -> Graphs:
    """Return graphs of which every edge is seen and scored."""
    labels = None if raw.labels is None else as_tensor(raw.labels)
    return Graphs(as_tensor(raw.sizes), as_tensor(raw.edges), labels=labels)


def link_splits(raw: RawGraphs, settings: DataSettings, hide: bool) -> tuple[list[Graphs], Contents]:
    """Return the one graph three times, with its training edges, with validation's too, and with all; and its contents.

    `hide`: training does not score the held-out pairs.
    """
    count = len(raw.edges)
    dealt, (off_test, off_valid) = _held_out(raw, settings)
    test, valid = dealt.test, dealt.valid
    held = [as_tensor(raw.edges[test]), as_tensor(raw.edges[valid])]
    not_joined = [as_tensor(off_test), as_tensor(off_valid)]
    seen = as_tensor(raw.edges[dealt.train])
    labels = None if raw.labels is None else as_tensor(raw.labels)
    asked = [torch.cat(pair) for pair in zip(held, not_joined)]
    answers = [torch.arange(2 * len(part)) < len(part) for part in held]
    scored = as_tensor(raw.edges[np.setdiff1d(np.arange(count), test)])
    size = as_tensor(raw.sizes)
    graphs = [
        Graphs(size, seen, seen, torch.cat(asked) if hide else None, labels=labels),
        Graphs(size, scored, seen, asked[0], labels=labels, asked=asked[1], answers=answers[1]),
        Graphs(size, as_tensor(raw.edges), seen, labels=labels, asked=asked[0], answers=answers[0]),
    ]
    return graphs, contents_of(dealt, edge_keys(raw), labelled=whole_keys(raw))


def _held_out(raw: RawGraphs, settings: DataSettings) -> tuple[Splits, list[np.ndarray]]:
    """Return how edges are dealt out, by a hash of their nodes, and as many pairs not joined as test and validate.

    Those of each split have a generator of their own, so that a further edge changes few.
    """
    n, count = int(raw.sizes[0]), len(raw.edges)
    if settings.shares.method == CONTENTS:
        dealt = deal(edge_keys(raw), raw.source, settings.model_copy(update={"limit": None}), most=np.inf, noun="edges")
        wanted = [len(dealt.test), len(dealt.valid)]
        randoms = [np.random.default_rng([settings.seed or 0, mark]) for mark in range(2)]
    else:
        wanted = [int(w) if w >= 1 else math.floor(w * count) for w in (settings.test, settings.valid)]
        if sum(wanted) >= count:
            raise UserError(
                f"{raw.source} has {count} edges, and holding out {sum(wanted)} leaves none to train on; lower "
                "data.test and data.valid"
            )
        randoms = [np.random.default_rng(settings.seed)] * 2
        order = randoms[0].permutation(count)
        test, valid = order[: wanted[0]], order[wanted[0] : sum(wanted)]
        dealt = Splits(np.sort(order[sum(wanted) :]), valid, test, settings.shares)
    if n * (n - 1) // 2 - count < sum(wanted):
        raise UserError(
            f"{raw.source} has too few pairs that are not joined to hold out {sum(wanted)}; lower data.test"
        )
    joined = set((raw.edges[:, 0] * n + raw.edges[:, 1]).tolist())
    if randoms[0] is randoms[1]:
        off = _unjoined(joined, n, sum(wanted), randoms[0])
        return dealt, [off[: wanted[0]], off[wanted[0] :]]
    return dealt, [_unjoined(joined, n, w, random) for w, random in zip(wanted, randoms)]


def _unjoined(joined: set[int], n: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Return `count` different pairs i < j that are not joined, each as likely as any other, and join them."""
    keys: list[int] = []
    while len(keys) < count:
        for i, j in np.sort(random.integers(0, n, (2 * count + 16, 2)), 1).tolist():
            key = i * n + j
            if i != j and key not in joined and len(keys) < count:
                joined.add(key)
                keys.append(key)
    return np.stack(np.divmod(np.array(keys, np.int64), n), 1).reshape(-1, 2)
