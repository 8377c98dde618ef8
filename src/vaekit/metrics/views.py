"""Metrics of several modalities: what each tells of the others, in nats and in classes kept."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vaekit import bounds
from vaekit.data.shuffling import some_rows
from vaekit.devices import seeded
from vaekit.inference import batches, joined
from vaekit.metrics.base import PIECE, Result, Subject, mean_of, metric, once, refuses
from vaekit.metrics.likelihood import NATS
from vaekit.tokens import used
from vaekit.views import CELLS, TEXT, View, views_of

MOST = 1000
"""Test examples that are generated from, and samples from the prior."""
LEARNT = 20_000
"""Training examples that the classifiers see."""
STEPS, BATCH, WIDTH = 600, 128, 256
K = 100
"""Importance samples of the likelihoods, unless fewer are asked for."""
OF_1 = "of 1"


@metric(
    "view_likelihood",
    group="views",
    gives={
        "view_log_p": ("log-likelihood of one modality by itself, log p(x_m): bound of K samples", True),
        "conditional_log_p": ("log p(x_m | the other modalities): difference of two bounds of K samples", True),
        "shared_nats": ("log p(x) - Σ_m log p(x_m), what the modalities tell of each other: from such bounds", None),
    },
    needs=("modality:views",),
    reference="Burda et al. 2016, arXiv:1509.00519; Shi et al. 2019, arXiv:1911.03393",
)
@refuses("view_log_p", "conditional_log_p", "shared_nats", unit=NATS)
def view_likelihood(subject: Subject) -> dict[str, Result]:
    """Log-likelihoods of each modality, alone and given the others, over the test examples that have all of them.

    Each is log of a mean of K importance weights, whose samples come from q(z | the modalities it is of). Differences
    of bounds are no bounds: they converge as K grows.
    """
    views, k = views_of(subject.info.facts["views"]), min(subject.k, K)
    x = _whole(subject, views)
    every = _log_p(subject, x, views, range(len(views)), k)
    alone = [_log_p(subject, x, views, [m], k) for m in range(len(views))]
    rest = [_log_p(subject, x, views, [o for o in range(len(views)) if o != m], k) for m in range(len(views))]
    out: dict[str, Result] = {}
    for m, view in enumerate(views):
        out[f"view_log_p.{view.name}"] = mean_of(alone[m], NATS, k=k)
        out[f"conditional_log_p.{view.name}"] = mean_of(every - rest[m], NATS, k=k)
    return out | {"shared_nats": mean_of(every - torch.stack(alone).sum(0), NATS, k=k)}


@metric(
    "coherence",
    group="views",
    gives={
        "cross_coherence": ("share of generated modalities whose class is that of the one they were made from", True),
        "joint_coherence": ("share of samples whose modalities a classifier each puts into one class", True),
        "class_accuracy": ("accuracy of the classifier of a modality on real test examples", None),
    },
    needs=("modality:views", "labels", "train"),
    reference="Shi et al. 2019, arXiv:1911.03393",
)
def coherence(subject: Subject) -> dict[str, Result]:
    """Whether modalities agree in class, judged by a classifier of each that is fitted to real training examples.

    `cross_coherence.A_to_B`: z ~ q(z | A of a test example), and B as p(x_B|z) shows it, has the example's class;
    `cross_coherence` is the mean over all pairs. `joint_coherence`: z ~ p(z), and all modalities have one class.
    """
    views, judges = views_of(subject.info.facts["views"]), classifiers(subject)
    rows = subject.some_rows(MOST)
    assert subject.y is not None
    x, y = subject.x[rows], subject.y[rows]
    out: dict[str, Result] = {}
    for view, judge in zip(views, judges):
        seen = view.seen(subject.x)
        right = judge(subject.x[seen]) == subject.y[seen]
        out[f"class_accuracy.{view.name}"] = mean_of(right.double(), OF_1)
    crossed: list[Tensor] = []
    for source, target in itertools.permutations(range(len(views)), 2):
        seen = views[source].seen(x)
        made = subject_rows(subject, only(x[seen], views, [source]))
        right = (judges[target](made) == y[seen]).double()
        out[f"cross_coherence.{views[source].name}_to_{views[target].name}"] = mean_of(right, OF_1)
        crossed.append(torch.zeros(len(x), dtype=torch.float64).masked_scatter(seen, right))
    out["cross_coherence"] = mean_of(torch.stack(crossed).mean(0), OF_1, definition="mean over pairs of modalities")
    guesses = torch.stack([judge(subject.samples(MOST)) for judge in judges])
    agree = (guesses == guesses[0]).all(0).double()
    return out | {"joint_coherence": mean_of(agree, OF_1)}


def only(x: Tensor, views: Sequence[View], kept: Sequence[int]) -> Tensor:
    """Return rows that have the modalities with the numbers `kept`, and no others."""
    out = torch.full_like(x, torch.nan)
    for m in kept:
        out[:, views[m].start : views[m].stop] = x[:, views[m].start : views[m].stop]
    return out


def subject_rows(subject: Subject, x: Tensor) -> Tensor:
    """Return rows of all modalities made from those that are there, by a sample of q(z | those), on the CPU."""
    parts = [subject.model.reconstruct(rows, sample=True) for rows, _ in batches(subject.model, x, size=PIECE)]
    return joined(parts)


def _whole(subject: Subject, views: Sequence[View]) -> Tensor:
    """Return up to `MOST` test examples that have every modality, else any."""
    seen = torch.stack([view.seen(subject.x) for view in views]).all(0)
    x = subject.x[seen] if bool(seen.any()) else subject.x
    return x[some_rows(len(x), MOST)]


def _log_p(subject: Subject, x: Tensor, views: Sequence[View], kept: Sequence[int], k: int) -> Tensor:
    """Return the importance-weighted bound on log p of some modalities of each example, (N,)."""
    parts = [
        bounds.log_likelihood(subject.model, rows, None, k=k).values
        for rows, _ in batches(subject.model, only(x, views, kept), size=PIECE)
    ]
    return joined(parts)


# -- classifiers -------------------------------------------------------------------------------------------------------


@once
def classifiers(subject: Subject) -> list[Callable[[Tensor], Tensor]]:
    """Return a classifier for each modality, (N, W) → classes (N,), fitted to training examples that have it.

    Two layers of 256 units over a modality's numbers, over shares of tokens of a text, or over cells as levels; 600
    steps of 128 by Adam.
    """
    assert subject.train is not None
    x, y = subject.train()
    assert y is not None
    classes = max(int(y.max()), 0) + 1
    out: list[Callable[[Tensor], Tensor]] = []
    for m, (view, facts) in enumerate(zip(views_of(subject.info.facts["views"]), subject.info.facts["views"])):
        rows = (view.seen(x) & (y >= 0)).nonzero().squeeze(1)
        rows = rows[some_rows(len(rows), LEARNT)]
        inputs = _inputs(view, facts)
        network = _fitted(inputs(x[rows]), y[rows], classes)
        subject.progress("coherence: classifiers", m + 1, len(subject.info.facts["views"]))
        out.append(lambda rows, inputs=inputs, network=network: _classes(network, inputs(rows)))
    return out


def _inputs(view: View, facts: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    """Return what a modality is to its classifier: numbers, (N, F)."""
    if view.kind == TEXT:
        return lambda x: _shares_of_tokens(view.whole(x).long(), 4096)
    if view.kind == CELLS:
        levels = [len(column.get("levels") or ()) for column in facts["columns"]]
        return lambda x: _levels(torch.nan_to_num(view.of(x)), levels)
    return lambda x: view.whole(x).flatten(1)


def _shares_of_tokens(ids: Tensor, most: int) -> Tensor:
    counts = torch.zeros(len(ids), most).scatter_add_(1, ids.clamp(max=most - 1), used(ids).float())
    return counts / counts.sum(1, keepdim=True).clamp(min=1) * 10


def _levels(cells: Tensor, levels: Sequence[int]) -> Tensor:
    each = [
        F.one_hot(cells[:, j].long().clamp(0, n - 1), n).float() if n else cells[:, j : j + 1]
        for j, n in enumerate(levels)
    ]
    return torch.cat(each, 1)


def _fitted(x: Tensor, y: Tensor, classes: int) -> nn.Module:
    with seeded(0), torch.enable_grad():
        network = nn.Sequential(
            nn.Linear(x.shape[1], WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, classes)
        )
        optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4)
        for step in range(STEPS):
            optimiser.param_groups[0]["lr"] = 1e-3 * (1 - step / STEPS) + 1e-5
            rows = torch.randint(len(x), (BATCH,))
            optimiser.zero_grad(set_to_none=True)
            F.cross_entropy(network(x[rows]), y[rows]).backward()
            optimiser.step()
    return network.eval().requires_grad_(False)


def _classes(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return network(x).argmax(1)
