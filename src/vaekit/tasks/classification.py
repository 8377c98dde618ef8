"""A classifier on codes, for few labels: logistic regression, its penalty chosen by cross-validation."""

from __future__ import annotations

from itertools import zip_longest
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
    queues = [rng.permutation(np.flatnonzero(y == label))[::-1].tolist() for label in classes]
    in_turn = [i for turn in zip_longest(*queues) for i in turn if i is not None]
    return np.sort(in_turn[:n])


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
