"""Graphs as tensors, and the links of one graph that are held out."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vaekit.data.graphs.raw_graphs import RawGraphs
from vaekit.data.settings import DataSettings
from vaekit.errors import UserError
from vaekit.graphs import Graphs


def as_tensor(values: np.ndarray) -> Tensor:
    """Return whole numbers as int64."""
    return torch.from_numpy(np.ascontiguousarray(values, np.int64))


def unsplit(raw: RawGraphs) -> Graphs:
    """Return graphs of which every edge is seen and scored."""
    labels = None if raw.labels is None else as_tensor(raw.labels)
    return Graphs(as_tensor(raw.sizes), as_tensor(raw.edges), labels=labels)


def link_splits(raw: RawGraphs, settings: DataSettings, hide: bool) -> list[Graphs]:
    """Return the one graph three times: with its training edges, those and the validation's, and all of them.

    `hide`: training does not score the held-out pairs.
    """
    n, count = int(raw.sizes[0]), len(raw.edges)
    wanted = [int(w) if w >= 1 else math.floor(w * count) for w in (settings.test, settings.valid)]
    if sum(wanted) >= count:
        raise UserError(
            f"{raw.source} has {count} edges, and holding out {sum(wanted)} leaves none to train on; lower "
            "data.test and data.valid"
        )
    random = np.random.default_rng(settings.seed)
    order = random.permutation(count)
    off = _unjoined(raw.edges, n, sum(wanted), random, raw.source)
    test, valid = order[: wanted[0]], order[wanted[0] : sum(wanted)]
    held = [as_tensor(raw.edges[test]), as_tensor(raw.edges[valid])]
    not_joined = [as_tensor(off[: wanted[0]]), as_tensor(off[wanted[0] :])]
    seen = as_tensor(raw.edges[np.sort(order[sum(wanted) :])])
    labels = None if raw.labels is None else as_tensor(raw.labels)
    asked = [torch.cat(pair) for pair in zip(held, not_joined)]
    answers = [torch.arange(2 * w) < w for w in wanted]
    scored = as_tensor(raw.edges[np.sort(order[wanted[0] :])])
    size = as_tensor(raw.sizes)
    return [
        Graphs(size, seen, seen, torch.cat(asked) if hide else None, labels=labels),
        Graphs(size, scored, seen, asked[0], labels=labels, asked=asked[1], answers=answers[1]),
        Graphs(size, as_tensor(raw.edges), seen, labels=labels, asked=asked[0], answers=answers[0]),
    ]


def _unjoined(edges: np.ndarray, n: int, count: int, random: np.random.Generator, source: str) -> np.ndarray:
    """Return `count` different pairs i < j that are not joined, each as likely as any other."""
    if n * (n - 1) // 2 - len(edges) < count:
        raise UserError(f"{source} has too few pairs that are not joined to hold out {count}; lower data.test")
    joined = set((edges[:, 0] * n + edges[:, 1]).tolist())
    keys: list[int] = []
    while len(keys) < count:
        for i, j in np.sort(random.integers(0, n, (2 * count + 16, 2)), 1).tolist():
            key = i * n + j
            if i != j and key not in joined and len(keys) < count:
                joined.add(key)
                keys.append(key)
    return np.stack(np.divmod(np.array(keys, np.int64), n), 1).reshape(-1, 2)
