"""How good samples are, by a named feature extractor whose name every number carries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.metrics import distances
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.errors import bootstrap, folds, over_folds, share
from vaekit.metrics.features import extractor

MOST = 10_000
"""Samples drawn, at most; as many real examples stand beside them."""


@dataclass(frozen=True)
class Pair:
    """Features (N, F) and logits (N, K) of test examples and of as many samples; `facts` name what they came from."""

    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    facts: Mapping[str, Any]


def pair(subject: Subject) -> Pair:
    """Return features of the test examples and of samples of the model, made once for all metrics.

    Samples of binary data are draws from p(x|z), as the data are; of other data its means, as is the custom.
    """
    return subject.once("features of samples", lambda: _pair(subject))


@torch.no_grad()
def _pair(subject: Subject) -> Pair:
    found = extractor(subject)
    n = min(len(subject.x), MOST)
    draw = subject.info.kind == "binary"
    fakes = []
    for start in range(0, n, subject.batch_size):
        size = min(subject.batch_size, n - start)
        y = None if subject.y is None else subject.y[start : start + size]
        fakes.append(subject.show(subject.model.sample(size, subject.label(y), draw=draw)))
        subject.progress("sample", start + size, n)
    real, real_logits = found(subject.show(subject.x[:n]), progress=_tell(subject, "features of test examples"))
    fake, fake_logits = found(torch.cat(fakes), progress=_tell(subject, "features of samples"))
    kind = "draws from p(x|z)" if draw else "means of p(x|z)"
    return Pair(real, fake, real_logits, fake_logits, {"features": found.name, "samples": kind, **found.facts})


def _tell(subject: Subject, name: str) -> Callable[[int, int], None]:
    return lambda done, total: subject.progress(name, done, total)


def by_features(*names: str, unit: str) -> Callable[[Any], Any]:
    """Refuse the numbers with the reason where there is no extractor, or the model does not sample."""

    def add(function: Callable[[Subject], dict[str, Result]]) -> Callable[[Subject], dict[str, Result]]:
        @wraps(function)
        def call(subject: Subject) -> dict[str, Result]:
            try:
                return function(subject)
            except UserError as error:
                return {name: refused(str(error), unit) for name in names}

        return call

    return add


@metric(
    "fid",
    group="samples",
    gives={"fid": ("Fréchet distance between features of test examples and of as many samples", False)},
    needs=("images",),
    reference="Heusel et al. 2017, arXiv:1706.08500",
)
@by_features("fid", unit="squared feature units")
def fid(subject: Subject) -> dict[str, Result]:
    """Fréchet distance between Gaussians fitted to features of test examples and samples."""
    found = pair(subject)
    n, width = found.real.shape
    # resampling costs a decomposition each time: few where features are many
    times = 20 if width <= 256 else 4
    errors = bootstrap(lambda rows: {"fid": _resampled(found, rows)}, n, times=times, seed=subject.seed)
    value = distances.fid(found.real, found.fake)
    facts = dict(found.facts) | {"floor": _floor(found.real)}
    return {"fid": Result(value, "squared feature units", n, errors["fid"], facts=facts)}


def _resampled(found: Pair, rows: Any) -> float:
    index = torch.from_numpy(rows)
    return distances.fid(found.real[index], found.fake[index.flip(0)])


def _floor(real: Tensor) -> float | None:
    """Return the distance between two halves of the real examples: what a perfect model would score at half of n."""
    if len(real) < 4:
        return None
    halves = folds(len(real), 2)
    return distances.fid(*(real[torch.from_numpy(half)] for half in halves))


@metric(
    "kid",
    group="samples",
    gives={"kid": ("squared MMD between features of test examples and samples, unbiased", False)},
    needs=("images",),
    reference="Bińkowski et al. 2018, arXiv:1801.01401",
)
@by_features("kid", unit="squared MMD")
def kid(subject: Subject) -> dict[str, Result]:
    """Kernel distance with a cubic kernel, averaged over disjoint seeded parts of at most 1,000."""
    found = pair(subject)
    n = len(found.real)
    count = max(1, min(n // 20, max(10, -(-n // 1000))))
    parts = folds(n, count, subject.seed)
    values = [distances.kid(found.real[i], found.fake[i]) for i in map(torch.from_numpy, parts)]
    value, stderr = over_folds(values)
    return {"kid": Result(value, "squared MMD", n, stderr, facts=dict(found.facts) | {"subsets": count})}


@metric(
    "inception_score",
    group="samples",
    gives={"inception_score": ("exp of the mean KL of a sample's predicted classes from those of all samples", True)},
    needs=("images",),
    reference="Salimans et al. 2016, arXiv:1606.03498",
)
@by_features("inception_score", unit="of the number of classes")
def inception_score(subject: Subject) -> dict[str, Result]:
    """Inception Score of the samples by the extractor's classes, over ten parts (few samples: whole, resampled)."""
    found = pair(subject)
    n = len(found.fake_logits)

    def score(rows: Any) -> float:
        return distances.inception_score(found.fake_logits[torch.from_numpy(rows)])

    splits = 10 if n >= 5000 else 1  # parts of fewer than 500 score too low
    value, stderr = over_folds([score(rows) for rows in folds(n, splits, subject.seed)])
    if stderr is None:
        stderr = bootstrap(lambda rows: {"score": score(rows)}, n, seed=subject.seed)["score"]
    facts = dict(found.facts) | {"splits": splits, "of_test_examples": distances.inception_score(found.real_logits)}
    return {"inception_score": Result(value, "of the number of classes", n, stderr, facts=facts)}


@metric(
    "precision_recall",
    group="samples",
    gives={
        "precision": ("share of samples within the manifold of test examples", True),
        "recall": ("share of test examples within the manifold of samples", True),
    },
    needs=("images",),
    reference="Kynkäänniemi et al. 2019, arXiv:1904.06991",
)
@by_features("precision", "recall", unit="share")
def precision_recall(subject: Subject) -> dict[str, Result]:
    """Improved precision and recall, k = 3."""
    found = pair(subject)
    precise, recalled = distances.precision_recall(found.real, found.fake, k=3)
    facts = dict(found.facts) | {"k": 3}
    return {"precision": share(precise.numpy(), "share", **facts), "recall": share(recalled.numpy(), "share", **facts)}


@metric(
    "density_coverage",
    group="samples",
    gives={
        "density": ("how many test examples' neighbourhoods a sample lies in, over k; 1 where they agree", True),
        "coverage": ("share of test examples whose neighbourhood holds a sample", True),
    },
    needs=("images",),
    reference="Naeem et al. 2020, arXiv:2002.09797",
)
@by_features("density", "coverage", unit="share")
def density_coverage(subject: Subject) -> dict[str, Result]:
    """Density and coverage, k = 5."""
    found = pair(subject)
    density, covered = distances.density_coverage(found.real, found.fake, k=5)
    facts = dict(found.facts) | {"k": 5}
    return {"density": mean_of(density, "share", **facts), "coverage": share(covered.numpy(), "share", **facts)}
