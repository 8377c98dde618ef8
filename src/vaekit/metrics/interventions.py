"""Disentanglement by holding a factor still: β-VAE and FactorVAE metrics, interventional robustness.

Pure functions on samples of codes (N, D) and factors (N, F): "with factor k held at a value" means among the samples
that have that value.
"""

from __future__ import annotations

import numpy as np

from vaekit.errors import UserError
from vaekit.metrics.factor_scores import Array, checked, regression, standardised


class Groups:
    """Which samples have each value of each factor."""

    def __init__(self, factors: Array) -> None:
        self.rows: list[list[Array]] = []
        for j in range(factors.shape[1]):
            order = np.argsort(factors[:, j], kind="stable")
            edges = np.flatnonzero(np.diff(factors[order, j])) + 1
            self.rows.append([rows for rows in np.split(order, edges) if len(rows) > 1])
        if not all(self.rows):
            raise UserError("a factor has no value that two examples share; use more examples")

    def draw(self, factor: int, generator: np.random.Generator) -> Array:
        """Return the samples of a value of a factor, values as frequent as they are among the samples."""
        sizes = np.array([len(rows) for rows in self.rows[factor]], dtype=float)
        return self.rows[factor][generator.choice(len(sizes), p=sizes / sizes.sum())]


def beta_vae_score(
    codes: Array, factors: Array, *, batch: int = 64, train: int = 800, test: int = 400, seed: int = 0
) -> Array:
    """Whether a linear classifier predicts which factor was held still, for `test` batches: (test,) bool.

    Each batch is `batch` pairs that share one factor's value; its feature is the mean of |code₁ - code₂|, and logistic
    regression predicts the factor. Codes are standardised first. Source: Higgins et al. 2017, openreview:Sy2fzU9gl.

    >>> factors = np.random.default_rng(0).integers(0, 4, (1000, 3))
    >>> float(beta_vae_score(factors.astype(float), factors, train=200, test=100).mean())
    1.0
    """
    codes, factors = checked(codes, factors)
    codes = codes / np.where(codes.std(0) > 1e-8, codes.std(0), 1.0)
    groups, generator = Groups(factors), np.random.default_rng(seed)
    features, held = np.empty((train + test, codes.shape[1])), np.empty(train + test, dtype=np.int64)
    for i in range(train + test):
        held[i] = generator.integers(factors.shape[1])
        first, second = np.empty(batch, np.int64), np.empty(batch, np.int64)
        for pair in range(batch):
            rows = groups.draw(int(held[i]), generator)
            first[pair], second[pair] = rows[generator.integers(len(rows), size=2)]
        features[i] = np.abs(codes[first] - codes[second]).mean(0)
    if factors.shape[1] < 2:
        return np.ones(test, dtype=bool)
    features = standardised(features, features[:train])
    return regression(features[:train], held[:train]).predict(features[train:]) == held[train:]


def factor_vae_score(
    codes: Array, factors: Array, *, batch: int = 64, train: int = 1500, test: int = 1000, seed: int = 0
) -> Array:
    """Whether the code that varies least predicts which factor was held still, for `test` batches: (test,) bool.

    Each batch shares one factor's value; its vote is the code with the least variance relative to that over all samples
    (codes with an sd below 0.05 of the largest are left out); each code predicts the factor of most of its `train`
    votes. Source: Kim & Mnih 2018, arXiv:1802.05983; the pruning after Locatello et al. 2019, arXiv:1811.12359.

    >>> factors = np.random.default_rng(0).integers(0, 4, (1000, 3))
    >>> float(factor_vae_score(factors.astype(float), factors).mean())
    1.0
    """
    codes, factors = checked(codes, factors)
    sd = codes.std(0)
    kept = np.flatnonzero(sd > 0.05 * sd.max()) if sd.max() > 0 else np.arange(0)
    if len(kept) == 0:
        return np.zeros(test, dtype=bool)
    codes = codes[:, kept] / sd[kept]
    groups, generator = Groups(factors), np.random.default_rng(seed)
    votes, held = np.empty(train + test, dtype=np.int64), np.empty(train + test, dtype=np.int64)
    for i in range(train + test):
        held[i] = generator.integers(factors.shape[1])
        rows = groups.draw(int(held[i]), generator)
        rows = generator.choice(rows, min(batch, len(rows)), replace=False)
        votes[i] = int(codes[rows].var(0, ddof=1).argmin())
    table = np.zeros((codes.shape[1], factors.shape[1]))
    np.add.at(table, (votes[:train], held[:train]), 1)
    return table.argmax(1)[votes[train:]] == held[train:]


def irs(codes: Array, factors: Array, quantile: float = 0.99, least: int = 5) -> tuple[float, Array]:
    """Interventional robustness: how little each code moves while its factor is held, and the table (D, F) behind it.

    IRS_ij = 1 - mean over values of factor j of (0.99 quantile of |c_i - mean given that value|) / (0.99 quantile of
    |c_i - mean|); the score is the mean over codes of their best factor's entry, weighted by the denominators. The
    quantile stands for the maximum below and above the line alike, so that a code that has nothing to do with the
    factors scores about 0. Values that fewer than `least` samples have are left out. Source: Suter et al. 2019,
    arXiv:1811.00007.
    """
    codes, factors = checked(codes, factors)
    spread = np.quantile(np.abs(codes - codes.mean(0)), quantile, axis=0)
    table = np.zeros((codes.shape[1], factors.shape[1]))
    for j in range(factors.shape[1]):
        within = []
        for value in np.unique(factors[:, j]):
            part = codes[factors[:, j] == value]
            if len(part) >= least:
                within.append(np.quantile(np.abs(part - part.mean(0)), quantile, axis=0))
        if not within:
            raise UserError(f"no value of a factor is shared by {least} examples; use more examples")
        table[:, j] = 1 - np.mean(within, axis=0) / np.where(spread > 0, spread, 1.0)
    table = np.where(spread[:, None] > 0, table.clip(0, 1), 0.0)
    return (float((table.max(1) * spread).sum() / spread.sum()) if spread.sum() > 0 else 0.0), table
