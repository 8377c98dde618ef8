"""Metrics of samples by a named feature extractor: FID, KID, Inception Score, precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from vaekit.metrics import distances
from vaekit.metrics.base import Result, Subject, metric, once, refused, refuses
from vaekit.metrics.features import Extractor, extractor
from vaekit.metrics.uncertainty import bootstrap, dependent_share, error_of_halves, folds, halves, over_folds

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
def shown_samples(subject: Subject) -> tuple[Tensor, Tensor, str]:
    """Return test examples and as many samples of the model as images, and what the samples are, for all metrics.

    Samples of binary data are draws from p(x|z), as the data are; of other data means, as is usual.
    """
    n = min(len(subject.x), MAX_EXAMPLES)
    draw = subject.info.kind == "binary"
    fakes = subject.show(subject.samples(n, draw=draw))
    kind = "draws from p(x|z)" if draw else "means of p(x|z)"
    return subject.show(subject.x[subject.some_rows(n)]), fakes, kind


def compare(subject: Subject, extract: Extractor) -> Compared:
    """Return features of the test examples and of samples of the model by an extractor."""
    reals, fakes, kind = shown_samples(subject)
    real, real_logits = extract(reals, progress=subject.progress_of("features of test examples"))
    fake, fake_logits = extract(fakes, progress=subject.progress_of("features of samples"))
    return Compared(real, fake, real_logits, fake_logits, {"features": extract.name, "samples": kind, **extract.facts})


@once
def compared(subject: Subject) -> Compared:
    """Return `compare` by the subject's extractor, made once for all metrics."""
    return compare(subject, extractor(subject))


def over_parts(
    real: Tensor, fake: Tensor, facts: Mapping[str, Any], kernel: distances.Kernel, scale: float, seed: int
) -> Result:
    """Return `scale` times the squared MMD, averaged over disjoint seeded parts of at most 1,000, with its error."""
    n = len(real)
    parts = folds(n, -(-n // 1000), seed)
    value = float(np.mean([distances.mmd(real[part], fake[part], kernel) for part in parts]))
    stderr = None
    if n >= 3 * len(parts):
        errors = [distances.mmd_error(real[part], fake[part], kernel) for part in parts]
        stderr = scale * float(np.linalg.norm(errors)) / len(parts)
    unit = "squared MMD" if scale == 1 else f"{scale:,.0f} squared MMD"
    return Result(scale * value, unit, n, stderr, facts={**facts, "subsets": len(parts)})


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
    return {"kid": over_parts(features.real, features.fake, features.facts, distances.cubic_kernel, 1.0, subject.seed)}


@metric(
    "fid",
    group="samples",
    gives={
        "fid": (
            "Fréchet distance between features of test examples and of as many samples, biased upward by 1/n",
            False,
        ),
        "fid_extrapolated": ("the same extrapolated to an infinite number of either", False),
    },
    needs=("images",),
    reference="Heusel et al. 2017, arXiv:1706.08500; Chong & Forsyth 2020, arXiv:1911.07023 (extrapolation)",
)
@refuses("fid", "fid_extrapolated", unit="squared feature units")
def fid(subject: Subject) -> dict[str, Result]:
    """Fréchet distance between Gaussians fitted to features of test examples and samples."""
    return frechet_of(compared(subject), "fid", subject.seed)


def frechet_of(features: Compared, name: str, seed: int) -> dict[str, Result]:
    """Return a Fréchet distance by this name, and the same extrapolated, with their errors."""
    n, width = features.real.shape
    value, unit, facts = distances.fid(features.real, features.fake), "squared feature units", dict(features.facts)
    if n < 8:
        few = refused("fewer than 8 examples", unit)
        return {name: Result(value, unit, n, facts=facts), f"{name}_extrapolated": few}

    def part(rows: np.ndarray) -> list[float]:
        """Return FID of some rows, and the mean of its two halves'."""
        two = [distances.fid(features.real[half], features.fake[half]) for half in np.array_split(rows, 2)]
        return [distances.fid(features.real[rows], features.fake[rows]), float(np.mean(two))]

    # each costs a decomposition: few where features are many
    half = halves(part, n, times=10 if width <= 256 else 2, seed=seed)
    stderr, _ = error_of_halves(half)
    # between two halves of the real examples: what a perfect model would score at half of n
    facts["floor"] = distances.fid(*(features.real[rows] for rows in folds(n, 2)))
    # the bias falls as 1/n, so twice the value at n less that at n/2 is without its first order
    extrapolated = 2 * value - float(half[..., 0].mean())
    error = error_of_halves(2 * half[..., 0] - half[..., 1])
    return {
        name: Result(value, unit, n, stderr, facts=facts),
        f"{name}_extrapolated": Result(extrapolated, unit, n, error, facts=dict(features.facts)),
    }


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

    def both(real: Tensor, fake: Tensor) -> list[float]:
        return [float(hits.double().mean()) for hits in distances.precision_recall(real, fake, k=3)]

    return _shares(features, both, ("precision", "recall"), k=3)


def _shares(
    features: Compared, both: Callable[[Tensor, Tensor], list[float]], names: tuple[str, str], k: int
) -> dict[str, Result]:
    """Return two statistics of neighbourhoods; points share neighbours, so the errors are of halves of both sets."""
    n = len(features.real)
    values, facts = both(features.real, features.fake), {"k": k, **features.facts}
    errors = [None, None]
    if n // 2 > k:
        errors = error_of_halves(halves(lambda rows: both(features.real[rows], features.fake[rows]), n, times=20))
    return {
        name: Result(value, "share", n, error, facts=facts)
        if error is None or name == "density"
        else dependent_share(value, error, n, **facts)
        for name, value, error in zip(names, values, errors)
    }


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

    def both(real: Tensor, fake: Tensor) -> list[float]:
        return [float(part.double().mean()) for part in distances.density_coverage(real, fake, k=5)]

    return _shares(features, both, ("density", "coverage"), k=5)
