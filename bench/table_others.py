"""The plain ways that vaekit's tables are measured against, each a few lines on scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.neighbors import NearestNeighbors
from table_data import is_number, numbers

Values = np.ndarray[Any, np.dtype[np.float64]]


# -- rows made up ------------------------------------------------------------------------------------------------------


def copula(train: pd.DataFrame, n: int, seed: int, label: str) -> pd.DataFrame:
    """Make rows by a Gaussian copula for each class, with the columns' empirical distributions in the class.

    Names are taken in the order of their frequency, each over the part of the normal that its share has.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n, train[label].value_counts(normalize=True).to_numpy())
    parts = []
    for (_, rows), count in zip(train[label].value_counts().items(), counts):
        own = train[train[label] == _]
        codes = numbers(own, train)
        z = np.empty_like(codes)
        for j in range(codes.shape[1]):
            known = ~np.isnan(codes[:, j])
            u = np.where(known, np.nan_to_num(codes[:, j]), np.inf) + 0.0
            order = np.lexsort((rng.random(len(u)), u))  # ties at random
            z[order, j] = ndtri((np.arange(len(u)) + 0.5) / len(u))
        r = np.nan_to_num(np.corrcoef(z.T)) if len(own) > 2 else np.eye(z.shape[1])
        np.fill_diagonal(r, 1)
        drawn = ndtr(rng.multivariate_normal(np.zeros(len(r)), r, size=count, method="eigh"))
        made = {}
        for j, name in enumerate(train.columns):
            ordered = own[name].iloc[np.argsort(codes[:, j], kind="stable")].to_numpy()
            made[name] = ordered[np.minimum((drawn[:, j] * len(own)).astype(int), len(own) - 1)]
        parts.append(pd.DataFrame(made))
        assert rows == len(own)
    return pd.concat(parts, ignore_index=True).sample(frac=1, random_state=seed).reset_index(drop=True)


def noisy(train: pd.DataFrame, n: int, seed: int, label: str) -> pd.DataFrame:
    """Make rows by drawing training rows again, numbers with a tenth of their standard deviation of noise."""
    rng = np.random.default_rng(seed)
    made = train.sample(n, replace=True, random_state=seed).reset_index(drop=True)
    for name in train.columns:
        if pd.api.types.is_numeric_dtype(train[name]) and name != label:
            whole = (train[name].dropna() % 1 == 0).all()
            off = made[name] + 0.1 * train[name].std() * rng.normal(size=n)
            made[name] = (off.round() if whole else off).clip(train[name].min(), train[name].max())
    return made


# -- gaps filled -------------------------------------------------------------------------------------------------------


def one_hot(frame: pd.DataFrame) -> tuple[Values, list[list[int]]]:
    """Return numbers standardised and names one-hot, NaN where missing, and the places of each column."""
    out, places = list[Values](), list[list[int]]()
    codes = numbers(frame, frame)
    for j, name in enumerate(frame.columns):
        column = codes[:, j]
        if is_number(frame[name]):
            wide = ((column - np.nanmean(column)) / (np.nanstd(column) or 1))[:, None]
        else:
            wide = (column[:, None] == np.arange(np.nanmax(column) + 1)).astype(float)
            wide[np.isnan(column)] = np.nan
        first = sum(part.shape[1] for part in out)
        places.append(list(range(first, first + wide.shape[1])))
        out.append(wide)
    return np.concatenate(out, 1), places


def narrow(filled: Values, places: list[list[int]], holed: pd.DataFrame) -> pd.DataFrame:
    """Return a frame from filled numbers and names as `one_hot` has them."""
    codes = numbers(holed, holed)
    for j, name in enumerate(holed.columns):
        own = filled[:, places[j]]
        gap = np.isnan(codes[:, j])
        if is_number(holed[name]):
            mean, sd = np.nanmean(codes[:, j]), np.nanstd(codes[:, j]) or 1
            codes[gap, j] = own[gap, 0] * sd + mean
        else:
            codes[gap, j] = own[gap].argmax(1)
    return named(codes, holed)


def named(codes: Values, like: pd.DataFrame) -> pd.DataFrame:
    """Return a frame from rows of numbers as `numbers` makes them."""
    made: dict[str, Any] = {}
    for j, name in enumerate(like.columns):
        if pd.api.types.is_datetime64_any_dtype(like[name]):
            made[name] = pd.Timestamp(0) + pd.to_timedelta(codes[:, j].round(), unit="D")
        elif is_number(like[name]):
            made[name] = codes[:, j]
        else:
            levels = sorted(like[name].dropna().unique(), key=str)
            made[name] = [levels[int(code)] for code in codes[:, j]]
    return pd.DataFrame(made)


def by_sklearn(imputer: Callable[[int], Any], holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill gaps by an imputer of numbers, names one-hot."""
    x, places = one_hot(holed)
    made = imputer(seed)
    made.set_params(keep_empty_features=True)
    return narrow(made.fit_transform(x), places, holed)


def chained(regressor: Callable[[int], Any], classifier: Callable[[int], Any], holed: pd.DataFrame, seed: int) -> Any:
    """Fill each column in turn by what the others predict, five rounds (missForest's way, Stekhoven 2012)."""
    codes = numbers(holed, holed)
    gaps = np.isnan(codes)
    choice = [not is_number(holed[name]) for name in holed.columns]
    x = codes.copy()
    for j in range(x.shape[1]):
        known = codes[~gaps[:, j], j]
        x[gaps[:, j], j] = np.bincount(known.astype(int)).argmax() if choice[j] else known.mean()
    for _ in range(5):
        for j in np.argsort(gaps.sum(0)):
            gap = gaps[:, j]
            if not gap.any() or len(np.unique(codes[~gap, j])) < 2:
                continue
            others = np.delete(x, j, 1)
            model = (classifier if choice[j] else regressor)(seed).fit(others[~gap], codes[~gap, j])
            x[gap, j] = model.predict(others[gap])
    return named(x, holed)


def boosted(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill gaps by chained boosted trees."""
    return chained(
        lambda s: HistGradientBoostingRegressor(random_state=s),
        lambda s: HistGradientBoostingClassifier(random_state=s, max_iter=30),
        holed,
        seed,
    )


def forest(holed: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Fill gaps by chained random forests."""
    return chained(
        lambda s: RandomForestRegressor(50, max_features=0.34, random_state=s),
        lambda s: RandomForestClassifier(50, random_state=s),
        holed,
        seed,
    )


IMPUTERS: dict[str, Callable[[pd.DataFrame, int], pd.DataFrame]] = {
    "mean": lambda holed, seed: by_sklearn(lambda s: SimpleImputer(), holed, seed),
    "k-NN": lambda holed, seed: by_sklearn(lambda s: KNNImputer(n_neighbors=5), holed, seed),
    "ridge": lambda holed, seed: by_sklearn(lambda s: IterativeImputer(random_state=s), holed, seed),
    "boosting": boosted,
    "forest": forest,
}


# -- anomalies ---------------------------------------------------------------------------------------------------------


def standardised(train: pd.DataFrame, test: pd.DataFrame) -> list[Values]:
    """Return numbers standardised by the training rows and names one-hot; what is missing is 0."""
    both = pd.concat([train, test], ignore_index=True)
    x, _ = one_hot(both)
    fit = x[: len(train)]
    x = (x - np.nanmean(fit, 0)) / np.where(np.nanstd(fit, 0) > 0, np.nanstd(fit, 0), 1)
    return np.split(np.nan_to_num(x), [len(train)])


def neighbours(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Values:
    """Score rows by the distance to the fifth nearest training row."""
    fit, rows = standardised(train, test)
    return NearestNeighbors(n_neighbors=5).fit(fit).kneighbors(rows)[0][:, -1]


def isolation(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Values:
    """Score rows by an isolation forest."""
    fit, rows = standardised(train, test)
    return -IsolationForest(random_state=seed).fit(fit).score_samples(rows)


def ecod(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Values:
    """Score rows by empirical tails, the column's skewness deciding between them (Li et al. 2022)."""
    fit, rows = standardised(train, test)
    ordered = np.sort(fit, 0)
    n = len(fit)
    left, right = np.empty_like(rows), np.empty_like(rows)
    for j in range(fit.shape[1]):
        left[:, j] = -np.log((np.searchsorted(ordered[:, j], rows[:, j], "right") + 1) / (n + 1))
        right[:, j] = -np.log((n - np.searchsorted(ordered[:, j], rows[:, j], "left") + 1) / (n + 1))
    skew = ((fit - fit.mean(0)) ** 3).mean(0)
    chosen = np.where(skew < 0, left, right)
    return np.maximum.reduce([left.sum(1), right.sum(1), chosen.sum(1)])


def components(train: pd.DataFrame, test: pd.DataFrame, seed: int) -> Values:
    """Score rows by their distance in units of the principal components' standard deviations."""
    fit, rows = standardised(train, test)
    _, s, v = np.linalg.svd(fit - fit.mean(0), full_matrices=False)
    kept = s > 1e-6 * s[0]
    return ((((rows - fit.mean(0)) @ v[kept].T) / (s[kept] / np.sqrt(len(fit)))) ** 2).sum(1)


ANOMALIES: dict[str, Callable[[pd.DataFrame, pd.DataFrame, int], Values]] = {
    "k-NN": neighbours,
    "isolation forest": isolation,
    "ECOD": ecod,
    "PCA": components,
}
