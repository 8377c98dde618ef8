"""A classifier on codes, for few labels: logistic regression, its penalty chosen by cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError


def few_labels(y: NDArray[np.int64], n: int, seed: int = 0) -> NDArray[np.int64]:
    """Return the index of n examples, as many of each class as can be: the labels that are known.

    >>> few_labels(np.array([0, 0, 0, 1, 1, 1]), 4).shape
    (4,)
    """
    classes = np.unique(y)
    if not len(classes) <= n <= len(y):
        raise UserError(f"{n} labels of {len(classes)} classes and {len(y)} examples; ask for at least one a class")
    rng = np.random.default_rng(seed)
    queues = [rng.permutation(np.flatnonzero(y == label)).tolist() for label in classes]
    chosen: list[int] = []
    while len(chosen) < n:
        for queue in queues:
            if queue and len(chosen) < n:
                chosen.append(queue.pop())
    return np.sort(np.array(chosen))


def fit_classifier(z: NDArray[np.floating], y: NDArray[np.int64], seed: int = 0) -> Any:
    """Return a fitted scikit-learn pipeline: standardised codes, multinomial logistic regression.

    The penalty is chosen among 13 by cross-validation in as many folds as the rarest class allows (at most five).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = np.unique(y, return_counts=True)[1]
    if len(counts) < 2:
        raise UserError("a classifier needs labels of at least two classes")
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    folds = min(5, int(counts.min()))
    if folds < 2:
        return model.fit(z, y)
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    grid = {"logisticregression__C": np.logspace(-4, 2, 13)}
    return GridSearchCV(model, grid, cv=split).fit(z, y)


def accuracy_interval(right: NDArray[np.bool_], level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's interval of a share of right answers.

    >>> low, high = accuracy_interval(np.array([True] * 90 + [False] * 10))
    >>> round(low, 3), round(high, 3)
    (0.826, 0.945)
    """
    from statistics import NormalDist

    n, p = len(right), float(right.mean())
    t = NormalDist().inv_cdf((1 + level) / 2)
    middle = (p + t * t / (2 * n)) / (1 + t * t / n)
    half = t / (1 + t * t / n) * (p * (1 - p) / n + t * t / (4 * n * n)) ** 0.5
    return middle - half, middle + half
