"""Metrics of samples by a named feature extractor: FID, KID, Inception Score, precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vaekit.metrics import distances
from vaekit.metrics.base import Result, Subject, mean_of, metric, once, refuses
from vaekit.metrics.features import extractor
from vaekit.metrics.uncertainty import bootstrap, folds, over_folds, share

MAX_EXAMPLES = 10_000
"""Samples drawn, at most, and test examples compared with them."""


@dataclass(frozen=True)
class Compared:
    """Features (N, F) and logits (N, K) of test examples and of as many samples; `facts` name extractor and samples."""

    real: Tensor
    fake: Tensor
    real_logits: Tensor
    fake_logits: Tensor
    facts: Mapping[str, Any]


@once
def compared(subject: Subject) -> Compared:
    """Return features of the test examples and of samples of the model, made once for all metrics.

    Samples of binary data are draws from p(x|z), as the data are; of other data means, as is usual.
    """
    extract = extractor(subject)
    n = min(len(subject.x), MAX_EXAMPLES)
    draw = subject.info.kind == "binary"
    fakes = subject.show(subject.samples(n, draw=draw))
    real, real_logits = extract(subject.show(subject.x[:n]), progress=subject.progress_of("features of test examples"))
    fake, fake_logits = extract(fakes, progress=subject.progress_of("features of samples"))
    kind = "draws from p(x|z)" if draw else "means of p(x|z)"
    return Compared(real, fake, real_logits, fake_logits, {"features": extract.name, "samples": kind, **extract.facts})


@metric(
    "fid",
    group="samples",
    gives={"fid": ("Fréchet distance between features of test examples and of as many samples", False)},
    needs=("images",),
    reference="Heusel et al. 2017, arXiv:1706.08500",
)
@refuses("fid", unit="squared feature units")
def fid(subject: Subject) -> dict[str, Result]:
    """Fréchet distance between Gaussians fitted to features of test examples and samples."""
    features = compared(subject)
    n, width = features.real.shape
    # resampling costs a decomposition each time: few where features are many
    times = 20 if width <= 256 else 4

    def resampled(rows: np.ndarray) -> float:
        return distances.fid(features.real[rows], features.fake[rows[::-1].copy()])

    # between two halves of the real examples: what a perfect model would score at half of n
    floor = distances.fid(*(features.real[half] for half in folds(n, 2))) if n >= 4 else None
    value, stderr = distances.fid(features.real, features.fake), bootstrap(resampled, n, times=times, seed=subject.seed)
    return {"fid": Result(value, "squared feature units", n, stderr, facts={**features.facts, "floor": floor})}


@metric(
    "kid",
    group="samples",
    gives={"kid": ("squared MMD between features of test examples and samples, unbiased", False)},
    needs=("images",),
    reference="Bińkowski et al. 2018, arXiv:1801.01401",
)
@refuses("kid", unit="squared MMD")
def kid(subject: Subject) -> dict[str, Result]:
    """Kernel distance with a cubic kernel, averaged over disjoint seeded parts of at most 1,000."""
    features = compared(subject)
    n = len(features.real)
    count = max(1, min(n // 20, max(10, -(-n // 1000))))
    parts = folds(n, count, subject.seed)
    value, stderr = over_folds([distances.kid(features.real[i], features.fake[i]) for i in parts])
    return {"kid": Result(value, "squared MMD", n, stderr, facts={**features.facts, "subsets": count})}


@metric(
    "inception_score",
    group="samples",
    gives={"inception_score": ("exp of the mean KL of a sample's predicted classes from those of all samples", True)},
    needs=("images",),
    reference="Salimans et al. 2016, arXiv:1606.03498",
)
@refuses("inception_score", unit="of the number of classes")
def inception_score(subject: Subject) -> dict[str, Result]:
    """Inception Score of the samples by the extractor's classes, over ten parts (few samples: whole, resampled)."""
    features = compared(subject)
    n = len(features.fake_logits)

    def score(rows: np.ndarray) -> float:
        return distances.inception_score(features.fake_logits[rows])

    splits = 10 if n >= 5000 else 1  # parts of fewer than 500 score too low
    value, stderr = over_folds([score(rows) for rows in folds(n, splits, subject.seed)])
    if stderr is None:
        stderr = bootstrap(score, n, seed=subject.seed)
    of_data = distances.inception_score(features.real_logits)
    facts = {**features.facts, "splits": splits, "of_test_examples": of_data}
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
@refuses("precision", "recall", unit="share")
def precision_recall(subject: Subject) -> dict[str, Result]:
    """Improved precision and recall, k = 3."""
    features = compared(subject)
    precise, recalled = distances.precision_recall(features.real, features.fake, k=3)
    return {name: share(hits, k=3, **features.facts) for name, hits in (("precision", precise), ("recall", recalled))}


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
@refuses("density", "coverage", unit="share")
def density_coverage(subject: Subject) -> dict[str, Result]:
    """Density and coverage, k = 5."""
    features = compared(subject)
    density, covered = distances.density_coverage(features.real, features.fake, k=5)
    facts = {**features.facts, "k": 5}
    return {"density": mean_of(density, "share", **facts), "coverage": share(covered, **facts)}
