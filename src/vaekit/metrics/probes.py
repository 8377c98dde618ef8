"""Probes of the latents: label classifiers, clusters, and holes of the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.inference import batched, joined
from vaekit.metrics.base import Result, Subject, metric, once, refused, refuses
from vaekit.metrics.distances import nearest
from vaekit.metrics.factor_scores import regression, standardised
from vaekit.metrics.uncertainty import bootstrap, dependent_share, error_of_halves, halves, share
from vaekit.models.base import Model

MAX_EXAMPLES = 10_000
"""Training examples that probes are fitted on, at most: the first ones of a seeded order."""


@once
def train_features(subject: Subject) -> tuple[np.ndarray, np.ndarray]:
    """Return posterior means (N, F) and labels (N,) of at most 10,000 training examples, kept for other probes."""
    assert subject.train is not None
    x, y = subject.train()
    assert y is not None
    rows = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))[:MAX_EXAMPLES]
    model, progress = subject.model, subject.progress_of("encode training examples")
    z = batched(model, model.features, x[rows], y[rows], size=subject.batch_size, seed=subject.seed, progress=progress)
    return z.numpy(), y[rows].numpy()


@metric(
    "linear_probe",
    group="latents",
    gives={
        "linear_probe": ("test accuracy of a logistic regression on posterior means, fitted on training data", True)
    },
    needs=("labels", "train"),
    reference="Alain & Bengio 2017, arXiv:1610.01644",
)
@refuses("linear_probe", unit="accuracy")
def linear_probe(subject: Subject) -> dict[str, Result]:
    """Accuracy of a logistic regression from standardised posterior means to labels."""
    assert subject.y is not None
    test = subject.blind_features().numpy()
    train, labels = train_features(subject)
    guess = regression(standardised(train, train), labels, 500).predict(standardised(test, train))
    return {"linear_probe": share(guess == subject.y.numpy(), "accuracy", train_n=len(train))}


@metric(
    "knn_accuracy",
    group="latents",
    gives={"knn_accuracy": ("test accuracy of the ten nearest training examples' vote, by posterior means", True)},
    needs=("labels", "train"),
)
@refuses("knn_accuracy", unit="accuracy")
def knn_accuracy(subject: Subject) -> dict[str, Result]:
    """Accuracy of a vote among the ten nearest training examples in the space of posterior means."""
    from sklearn.neighbors import KNeighborsClassifier

    assert subject.y is not None
    test = subject.blind_features().numpy()
    train, labels = train_features(subject)
    k = min(10, len(train))
    guess = KNeighborsClassifier(n_neighbors=k).fit(train, labels).predict(test)
    return {"knn_accuracy": share(guess == subject.y.numpy(), "accuracy", neighbours=k, train_n=len(train))}


def matched_accuracy(clusters: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of examples in the class of their cluster, clusters given to classes one to one at best.

    max over one-to-one maps m of (1/N) Σ_n [m(cluster_n) = label_n], by the Hungarian method (Kuhn 1955).

    >>> matched_accuracy(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 0]))
    0.75
    """
    from scipy.optimize import linear_sum_assignment
    from sklearn.metrics.cluster import contingency_matrix

    table = np.asarray(contingency_matrix(labels, clusters))
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(labels))


@metric(
    "clustering",
    group="latents",
    gives={
        "cluster_nmi": ("normalised mutual information of k-means clusters of posterior means with labels", True),
        "cluster_ari": ("adjusted Rand index of the same clusters", True),
        "cluster_accuracy": ("accuracy of the same clusters, each given to one class at best", True),
    },
    needs=("labels",),
    reference="Hubert & Arabie 1985; Xie et al. 2016, arXiv:1511.06335",
)
@refuses("cluster_nmi", "cluster_ari", "cluster_accuracy", unit="of 1")
def clustering(subject: Subject) -> dict[str, Result]:
    """Agreement of k-means clusters of the posterior means, as many as there are classes, with the labels."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    assert subject.y is not None
    labels = subject.y.numpy()
    count = len(np.unique(labels))
    tries: Any = 10
    features = subject.blind_features().numpy()

    def scores(rows: np.ndarray) -> list[float]:
        fitted: Any = KMeans(count, n_init=tries, random_state=subject.seed).fit(features[rows])
        a, b = fitted.labels_, labels[rows]
        return [float(normalized_mutual_info_score(b, a)), float(adjusted_rand_score(b, a)), matched_accuracy(a, b)]

    values = scores(np.arange(len(labels)))
    errors = [None] * 3
    if len(labels) >= 2 * count:  # each resample has clusters of its own
        errors = bootstrap(scores, len(labels), times=40, seed=subject.seed)
    units = {"cluster_nmi": "of 1", "cluster_ari": "of 1", "cluster_accuracy": "accuracy"}
    return {
        name: Result(value, unit, len(labels), stderr, facts={"clusters": count})
        for (name, unit), value, stderr in zip(units.items(), values, errors)
    }


def hole_share(prior: Tensor, codes: Tensor, quantile: float = 0.99) -> tuple[np.ndarray, float]:
    """Return which prior samples (P, D) lie in holes of the codes (N, D), and the distance that decides it.

    The codes are halved. The distance is the 0.99 quantile of what separates one half's codes from their nearest in
    the other half; a prior sample is in a hole where its nearest in that other half is farther. Were the prior the
    aggregate posterior, about one in a hundred would be.
    """
    order = torch.randperm(len(codes))
    half = len(codes) // 2
    reference, others = codes[order[:half]], codes[order[half:]]
    limit = float(torch.quantile(nearest(others, reference), quantile))
    return (nearest(prior, reference) > limit).numpy(), limit


def holes_of(prior: Tensor, codes: Tensor) -> Result:
    """Return the share of prior samples (N, D) in holes of as many codes, which they share: its error is of halves."""
    holes, limit = hole_share(prior, codes)
    n, value = len(codes), float(holes.mean())
    stderr = error_of_halves(halves(lambda rows: hole_share(prior[rows], codes[rows])[0].mean(), n, times=10))
    return dependent_share(value, stderr, n, expected=0.01, distance=limit)


@metric(
    "holes",
    group="latents",
    gives={
        "holes": (
            "share of prior samples farther from any code than 99% of codes are from each other; 0.01 where prior and "
            "aggregate posterior agree",
            False,
        )
    },
    reference="after Rosca et al. 2018, arXiv:1802.06847 (prior and aggregate posterior disagree)",
)
def prior_holes(subject: Subject) -> dict[str, Result]:
    """Share of prior samples in holes: far from the aggregate posterior, where the decoder was never trained."""
    model = subject.model
    codes: list[Tensor] = []
    for x, y in subject.pieces("holes"):
        trace = model.trace(x, y, hard=True)
        if len(trace.latents) != 1 or not model.offers(Model.sample_latent):
            return {"holes": refused("holes need a model with one latent variable whose prior can be sampled", "share")}
        (latent,) = trace.latents.values()
        if latent.z is not latent.code or not latent.z.dtype.is_floating_point:
            return {"holes": refused("the latent is discrete, and holes are defined by distances", "share")}
        codes.append(latent.z[0].flatten(1))
    every = joined(codes)[:MAX_EXAMPLES]
    if len(every) < 20:
        return {"holes": refused("fewer than 20 examples are too few for an aggregate posterior", "share")}
    prior = model.sample_latent(len(every), subject.labels(len(every))).flatten(1).cpu()
    return {"holes": holes_of(prior, every)}
