"""Disentanglement by holding a factor still: β-VAE and FactorVAE metrics, interventional robustness.

Pure functions on samples of codes (N, D) and factors (N, F): "with factor k held at a value" means among the samples
that have that value.
"""

from __future__ import annotations

import numpy as np

from vaekit.errors import UserError
from vaekit.metrics.factor_scores import Array, checked, regression, standardised

PRUNED = 0.05
"""Codes whose standard deviation is below this vote for no factor, as in Locatello et al. 2019."""


class Groups:
    """Which of some samples share each value of each factor; values are drawn as often as these samples have them."""

    def __init__(self, factors: Array, rows: Array) -> None:
        self.rows: list[Array] = []
        self.starts: list[Array] = []
        self.sizes: list[Array] = []
        for column in factors[rows].T:
            order = np.argsort(column, kind="stable")
            sizes = np.unique(column, return_counts=True)[1]
            if not (sizes > 1).any():
                raise UserError("a factor has no value that two examples share; use more examples")
            shared = np.repeat(sizes > 1, sizes)
            self.rows.append(rows[order[shared]])
            sizes = sizes[sizes > 1]
            self.starts.append(np.repeat(np.cumsum(sizes) - sizes, sizes))
            self.sizes.append(np.repeat(sizes, sizes))

    def pairs(self, factor: int, count: int, generator: np.random.Generator) -> tuple[Array, Array]:
        """Return `count` pairs of distinct samples that share a value of a factor."""
        rows, starts, sizes = self.rows[factor], self.starts[factor], self.sizes[factor]
        first = generator.integers(len(rows), size=count)
        start, size = starts[first], sizes[first]
        second = start + (first - start + 1 + generator.integers(size - 1)) % size
        return rows[first], rows[second]

    def draw(self, factor: int, count: int, generator: np.random.Generator) -> Array:
        """Return distinct samples that share a value of a factor, `count` of them or as many as there are."""
        rows, starts, sizes = self.rows[factor], self.starts[factor], self.sizes[factor]
        at = generator.integers(len(rows))
        return generator.choice(rows[starts[at] : starts[at] + sizes[at]], min(count, sizes[at]), replace=False)


def _two_groups(factors: Array, generator: np.random.Generator) -> tuple[Groups, Groups]:
    """Return the groups of either half of the samples: what is learned from one is tested on the other."""
    order = generator.permutation(len(factors))
    return Groups(factors, order[: len(order) // 2]), Groups(factors, order[len(order) // 2 :])


def beta_vae_score(
    codes: Array, factors: Array, *, batch: int = 64, train: int = 800, test: int = 400, seed: int = 0
) -> Array:
    """Whether a linear classifier predicts which factor was held still, for `test` batches: (test,) bool.

    Each batch is `batch` pairs of distinct samples that share one factor's value; its feature is the mean of
    |code₁ - code₂|, and logistic regression predicts the factor. It is fitted to batches of one half of the samples and
    tested on those of the other, so that codes that know nothing are at chance. Codes are standardised first.
    Source: Higgins et al. 2017, openreview:Sy2fzU9gl.

    >>> factors = np.random.default_rng(0).integers(0, 4, (1000, 3))
    >>> float(beta_vae_score(factors.astype(float), factors, train=200, test=100).mean())
    1.0
    """
    codes, factors = checked(codes, factors)
    codes = codes / np.where(codes.std(0) > 1e-8, codes.std(0), 1.0)
    generator = np.random.default_rng(seed)
    fitted, tested = _two_groups(factors, generator)
    features, held = np.empty((train + test, codes.shape[1])), generator.integers(factors.shape[1], size=train + test)
    for i, factor in enumerate(held):
        first, second = (fitted if i < train else tested).pairs(factor, batch, generator)
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
    (codes with a standard deviation below 0.05 are left out); each code predicts the factor of most of its `train`
    votes, which are of one half of the samples, the tests of the other: a code's votes in a small group are alike by
    chance. Source: Kim & Mnih 2018, arXiv:1802.05983; the pruning after Locatello et al. 2019, arXiv:1811.12359.

    >>> factors = np.random.default_rng(0).integers(0, 4, (1000, 3))
    >>> float(factor_vae_score(factors.astype(float), factors).mean())
    1.0
    """
    codes, factors = checked(codes, factors)
    sd = codes.std(0)
    kept = np.flatnonzero(sd >= PRUNED)
    if len(kept) == 0:
        return np.zeros(test, dtype=bool)
    codes = codes[:, kept] / sd[kept]
    generator = np.random.default_rng(seed)
    voting, tested = _two_groups(factors, generator)
    votes, held = np.empty(train + test, dtype=np.int64), generator.integers(factors.shape[1], size=train + test)
    for i, factor in enumerate(held):
        rows = (voting if i < train else tested).draw(factor, batch, generator)
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
