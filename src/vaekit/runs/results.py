"""What the uses of a run give: arrays on the CPU, in the data's units, and the facts that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.origin import Origin

Array = NDArray[Any]


@dataclass(frozen=True)
class Traversal:
    """Decoded x (L, S, *shape) as one of L latent dimensions takes S `values`, (S,) or (L, S); `kl` (L,) in nats.

    Where the KL does not factorise, `kl` is the deviation of the codes, and `factorises` is False. `names` are those
    that figures have: z1 is the first, z2.1 the first of a hierarchy's layer z2.
    """

    x: Array
    dimensions: list[int]
    values: Array
    kl: Array
    factorises: bool
    names: list[str]


@dataclass(frozen=True)
class Manifold:
    """Decoded x (S, S, *shape) of codes z (S, S, D) in a plane with coordinates xs, ys (S,) along `axes`."""

    x: Array
    z: Array
    xs: Array
    ys: Array
    axes: tuple[str, str]


@dataclass(frozen=True)
class Moved:
    """Decoded x (R, S, *shape) of codes z (R, S, D): rows of examples combined or moved, and what was done."""

    x: Array
    z: Array
    done: str


@dataclass(frozen=True)
class Detection:
    """Anomaly scores (N,), the higher the stranger, the threshold, and which examples are above it, (N,) bool.

    `truth` (N,) bool says which are anomalies, where that is known; `judged` then holds AUROC and AUPR with intervals.
    `reference` says whose scores gave the threshold ("held-out", "training" or "data": those scored here; "given": it
    was a number) and `reference_n` how many they were. `p_values` (N,) are conformal: the share of the reference that
    scores as high; None without one. `contributions` (N, *shape), where asked for, are what each number of an example
    adds to its score, and `latent` (N,) the rest of it. `origin` says where each example
    comes from: files, rows, lines. `frame`, of a table given as a data frame: score, anomaly, p_value, truth and
    contributions as one, with its index.
    """

    score: str
    scores: Array
    threshold: float
    anomaly: Array
    truth: Array | None = None
    judged: Mapping[str, Any] = field(default_factory=dict)
    reference: str = "data"
    reference_n: int = 0
    p_values: Array | None = None
    contributions: Array | None = None
    latent: Array | None = None
    origin: Origin | None = None
    frame: Any = None


@dataclass(frozen=True)
class Imputation:
    """Data with gaps filled: `x` by the best single value each, `draws` by M multiple imputations; `missing` bool.

    Arrays for arrays; for tables x and each draw have the form that the table was given in (a data frame, a dict of
    columns), and `missing` is (N, C) over the columns that the model knows.
    """

    x: Any
    draws: Any
    missing: Array


@dataclass(frozen=True)
class Augmented:
    """New examples x (N, *shape) as the run's data are stored, the number `of` of the example each comes from, (N,).

    `y` (N,) are their labels (names where the classes have any) or None, `means` what the model gave, `facts` how.
    """

    x: Any
    of: Array
    y: Array | None
    means: Tensor
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Clustering:
    """Cluster of each example (N,), 0 the largest; its probability (N,) where the method gives one; facts about them.

    `facts`: kind, k, n, sizes, stability (adjusted Rand index, with interval), and ari and nmi where labels are known.
    """

    labels: NDArray[np.int64]
    probability: Array | None
    truth: Sequence[str] | None
    facts: Mapping[str, Any]
    origin: Origin | None = None


@dataclass(frozen=True)
class Classification:
    """Predicted class names (N,), their probabilities (N,), and the accuracy where labels are known."""

    predicted: list[str]
    probability: Array
    truth: list[str] | None
    accuracy: Mapping[str, Any] | None
    origin: Origin | None = None


@dataclass(frozen=True)
class Forecast:
    """The steps after the end of series: their mean x (N, H) or (N, H, C), as the source lays series out, and draws
    (M, N, …) of whole paths."""

    x: Array
    draws: Array

    def quantile(self, q: float) -> Array:
        """Return the draws' quantile of every step, shaped as `x`.

        >>> Forecast(np.zeros((1, 2)), np.arange(6.0).reshape(3, 1, 2)).quantile(0.5)
        array([[2., 3.]])
        """
        return np.quantile(self.draws, q, axis=0)
