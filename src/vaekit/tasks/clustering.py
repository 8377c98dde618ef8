"""Clusters of codes, and how far they would be found again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError

Kind = Literal["gmm", "kmeans"]


@dataclass(frozen=True)
class Clusters:
    """Labels (N,) sorted by size (0 the largest), each one's probability where the method gives it, and stability.

    `stability` are the adjusted Rand indices between the labels and those of a fit to a bootstrap sample: 1 is the same
    partition, 0 what chance gives.
    """

    labels: NDArray[np.int64]
    sure: NDArray[np.float64] | None
    stability: NDArray[np.float64]

    @property
    def interval(self) -> tuple[float, float]:
        """Return the range that holds 95% of the fits' agreement, (2.5%, 97.5%): more fits do not narrow it."""
        low, high = np.quantile(self.stability, [0.025, 0.975])
        return float(low), float(high)


def cluster(z: NDArray[np.floating], k: int, kind: Kind = "gmm", *, bootstraps: int = 10, seed: int = 0) -> Clusters:
    """Cluster codes z (N, F) into k, by a mixture of normals or k-means; UserError where there are too few examples.

    Stability (Hennig 2007): fit again to `bootstraps` samples with replacement, label all codes, compare.
    """
    from sklearn.metrics import adjusted_rand_score

    if not 2 <= k <= len(z):
        raise UserError(f"k={k} clusters of {len(z)} examples; ask for at least 2 and at most one an example")
    z = np.asarray(z, dtype=np.float64)
    model = _fit(z, k, kind, seed)
    labels = model.predict(z)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    rank = np.empty(k, np.int64)
    rank[order] = np.arange(k)
    sure = model.predict_proba(z).max(1) if kind == "gmm" else None
    rng = np.random.default_rng(seed)
    again = [
        adjusted_rand_score(labels, _fit(z[rng.integers(0, len(z), len(z))], k, kind, seed + 1 + i).predict(z))
        for i in range(bootstraps)
    ]
    return Clusters(rank[labels], sure, np.array(again))


def _fit(z: NDArray[np.float64], k: int, kind: Kind, seed: int) -> Any:
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model: Any = (
        GaussianMixture(k, covariance_type="full", reg_covar=1e-4, random_state=seed)
        if kind == "gmm"
        else KMeans(k, n_init=4, random_state=seed)  # pyright: ignore[reportArgumentType]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # duplicates in a bootstrap; the stability shows it
        return model.fit(z)


def agreement(truth: NDArray[np.int64], labels: NDArray[np.int64]) -> dict[str, float]:
    """Return the adjusted Rand index and the normalised mutual information of clusters with known classes."""
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    return {
        "ari": float(adjusted_rand_score(truth, labels)),
        "nmi": float(normalized_mutual_info_score(truth, labels)),
    }
