"""Disentanglement of codes (N, D) against known factors (N, F): pure functions on samples, no full grid needed.

Conditioning on a factor's value uses the samples that have it. None of them depends on the order or the signs of the
latents.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from vaekit.errors import UserError

Array = np.ndarray
BINS = 20


def checked(codes: Array, factors: Array) -> tuple[Array, Array]:
    """Return codes as float64 and the varied factors as integers from 0; a UserError where they do not fit together."""
    codes, factors = np.asarray(codes, dtype=np.float64), np.asarray(factors)
    if codes.ndim != 2 or factors.ndim != 2 or len(codes) != len(factors):
        raise UserError(f"codes {codes.shape} and factors {factors.shape} must be (N, D) and (N, F) of the same N")
    if not np.isfinite(codes).all():
        raise UserError("codes hold values that are not finite")
    varied = varied_factors(factors)
    if not varied:
        raise UserError("no factor takes more than one value among these examples")
    return codes, np.stack([np.unique(factors[:, j], return_inverse=True)[1] for j in varied], 1)


def varied_factors(factors: Array) -> list[int]:
    """Return the columns of factors (N, F) that take more than one value."""
    return [j for j in range(factors.shape[1]) if len(np.unique(factors[:, j])) > 1]


def binned(codes: Array, bins: int = BINS) -> Array:
    """Return codes (N, D) as the numbers of equally wide bins between each one's least and greatest value."""
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1.0)
    return np.minimum(((codes - low) / width * bins).astype(np.int64), bins - 1)


def information(codes: Array, factors: Array, bins: int = BINS) -> Array:
    """Mutual information of every binned code with every factor, (D, F) nats, biased upward by about bins²/2N."""
    from sklearn.metrics import mutual_info_score

    codes, factors = checked(codes, factors)

    def shared(code: Array, factor: Array) -> float:
        size = factor.max() + 1
        counts = np.bincount(code * size + factor, minlength=bins * size)
        return mutual_info_score(None, None, contingency=counts.reshape(bins, size))

    return np.array([[shared(code, factor) for factor in factors.T] for code in binned(codes, bins).T])


def mig(codes: Array, factors: Array, bins: int = BINS) -> Array:
    """Mutual information gap of each varied factor, (F,) in [0, 1]: (I₁ - I₂) / H(factor), I₁ ≥ I₂ the largest two.

    Source: Chen et al. 2018, arXiv:1802.04942; bins as Locatello et al. 2019, arXiv:1811.12359.

    >>> factors = np.random.default_rng(0).integers(0, 4, (2000, 2))
    >>> bool(mig(factors.astype(float), factors).mean() > 0.95)
    True
    """
    from scipy.stats import entropy

    _, values = checked(codes, factors)
    return _gap(information(codes, factors, bins)) / np.array([entropy(np.bincount(column)) for column in values.T])


def _gap(scores: Array) -> Array:
    """Return by how much the best code's score is above the second best's (0 if there is none): (F,) for (D, F)."""
    *_, second, best = np.sort(np.vstack([np.zeros_like(scores[:1]), scores]), axis=0)
    return best - second


def modularity(table: Array) -> float:
    """Modularity from mutual informations (D, F): the mean over codes of 1 - Σ_(j≠best) I_j² / (I_best² (F - 1)).

    A code without information on any factor counts 0. Source: Ridgeway & Mozer 2018, arXiv:1802.05312.

    >>> round(modularity(np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])), 4)
    0.6667
    """
    squares = np.square(table)
    best = squares.max(1)
    if table.shape[1] < 2:
        return float((best > 0).mean())
    rest = (squares.sum(1) - best) / (np.where(best > 0, best, 1.0) * (table.shape[1] - 1))
    return float(np.where(best > 0, 1 - rest, 0.0).mean())


def explicitness(codes: Array, factors: Array, seed: int = 0, swap: bool = False) -> Array:
    """How well a logistic regression separates each value of each factor from the others, (F,) in about [0, 1].

    Per factor, the mean over its values of 2 (AUC - ½), one against the rest, on the half of the samples that the
    regression was not fitted on (`swap` exchanges the halves). Source: Ridgeway & Mozer 2018, arXiv:1802.05312, who
    report the AUC itself.
    """
    from sklearn.metrics import roc_auc_score

    codes, factors = checked(codes, factors)
    train, test = _halves(len(codes), seed, swap)
    scaled = standardised(codes, codes[train])
    out = []
    for factor in factors.T:
        model = regression(scaled[train], factor[train])
        each = zip(model.classes_, model.predict_proba(scaled[test]).T)
        truths = [(factor[test] == value, scores) for value, scores in each]
        areas = [2 * roc_auc_score(truth, scores) - 1 for truth, scores in truths if 0 < truth.sum() < len(truth)]
        out.append(np.mean(areas) if areas else math.nan)
    return np.array(out)


def regression(x: Array, y: Array, steps: int = 300) -> Any:
    """Return a fitted logistic regression."""
    from sklearn.linear_model import LogisticRegression

    return fit(LogisticRegression(max_iter=steps), x, y)


def accuracy(model: Any, x: Array, y: Array) -> float:
    """Return the share of rows whose class a fitted model predicts."""
    return float((model.predict(x) == y).mean())


def fit(model: Any, x: Array, y: Array) -> Any:
    """Fit a scikit-learn model, and return it also where its solver has not converged."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)  # a factor has many values
        return model.fit(x, y)


def _halves(n: int, seed: int, swap: bool = False) -> tuple[Array, Array]:
    order = np.random.default_rng(seed).permutation(n)
    first, second = order[: n // 2], order[n // 2 :]
    return (second, first) if swap else (first, second)


def standardised(codes: Array, reference: Array) -> Array:
    """Standardise codes by the moments of the reference; one that is constant there becomes 0."""
    mean, sd = reference.mean(0), reference.std(0)
    return np.where(sd > 1e-8, (codes - mean) / np.where(sd > 1e-8, sd, 1.0), 0.0)


def sap(
    codes: Array,
    factors: Array,
    categorical: Sequence[bool] | None = None,
    *,
    standardise: bool = True,
    seed: int = 0,
) -> Array:
    """Separated attribute predictability of each factor, (F,): the best code's score less the second best's.

    A code's score for an ordered factor is its squared correlation with it; for a categorical one, the held-out
    accuracy of a linear support vector machine on that code alone, as in the paper. `categorical` says which of the
    varied factors are so (default: none). Codes are standardised before, so that the penalty of a machine does not
    depend on their scale, unless `standardise` is False. Source: Kumar et al. 2018, arXiv:1711.00848.

    >>> factors = np.random.default_rng(0).integers(0, 5, (2000, 2))
    >>> bool(sap(-3.0 * factors[:, ::-1], factors).mean() > 0.95)
    True
    """
    from sklearn.svm import LinearSVC

    codes, factors = checked(codes, factors)
    kinds = [False] * factors.shape[1] if categorical is None else list(categorical)
    train, test = _halves(len(codes), seed)
    scaled = standardised(codes, codes)
    given = scaled if standardise else codes
    scores = np.empty((codes.shape[1], factors.shape[1]))
    for j, (kind, y) in enumerate(zip(kinds, factors.T)):
        if kind:
            for i, code in enumerate(given.T[:, :, None]):
                machine = LinearSVC(C=0.01, class_weight="balanced", random_state=0)
                scores[i, j] = accuracy(fit(machine, code[train], y[train]), code[test], y[test])
        else:
            scores[:, j] = np.square(scaled.T @ (y - y.mean()) / y.std() / len(y))
    return _gap(scores)


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness, informativeness (held-out accuracy), and the importances (D, F) they come from."""

    disentanglement: float
    completeness: float
    informativeness: float
    importance: Array


def disentanglement_of(importance: Array) -> float:
    """Σ_i ρ_i (1 - H_F(P_i)), P_i the shares of code i's importance among F factors, ρ_i its share of all importance.

    >>> merged = np.eye(10)[1:]
    >>> merged[0, 0] = 1.0  # the first code holds two of ten factors, and is one of nine
    >>> round(disentanglement_of(merged[:1]), 6) == round(1 - math.log(2) / math.log(10), 6)
    True
    """
    from scipy.stats import entropy

    rows = importance.sum(1)
    if rows.sum() <= 0:
        return 0.0
    if importance.shape[1] < 2:
        return 1.0
    used = rows > 0
    return float(rows[used] @ (1 - entropy(importance[used], axis=1, base=importance.shape[1])) / rows.sum())


def completeness_of(importance: Array) -> float:
    """Σ_j ρ_j (1 - H_D(P_j)), P_j the shares of factor j's importance among D codes."""
    return disentanglement_of(importance.T)


def dci(
    codes: Array, factors: Array, trees: int = 30, seed: int = 0, swap: bool = False, *, boosted: bool = False
) -> DCI:
    """Disentanglement, completeness and informativeness by random forests, one a factor, or by boosted trees.

    Importances are the forest's mean decreases of impurity with every code a candidate at every split (a random part of
    them would spread importance to uninformative codes); informativeness is the mean accuracy on the half of the
    samples the forests were not grown on (`swap` exchanges the halves). Source: Eastwood & Williams 2018,
    openreview:By-7dz-AZ. `boosted` takes scikit-learn's gradient-boosted trees as they come, as disentanglement_lib
    does (Locatello et al. 2019, arXiv:1811.12359): importances, and so both scores, are higher by up to 0.2.
    """
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier

    codes, factors = checked(codes, factors)
    train, test = _halves(len(codes), seed, swap)
    every: Any = None
    make = partial(RandomForestClassifier, trees, max_features=every, min_samples_leaf=5, random_state=seed)
    if boosted:
        make = partial(GradientBoostingClassifier, n_estimators=trees, random_state=seed)
    forests = [fit(make(), codes[train], factor[train]) for factor in factors.T]
    right = [accuracy(forest, codes[test], factor[test]) for forest, factor in zip(forests, factors.T)]
    table = np.stack([forest.feature_importances_ for forest in forests], 1)
    return DCI(disentanglement_of(table), completeness_of(table), float(np.mean(right)), table)
