"""Unsupervised disentanglement ranking: how far the codes of several runs agree, no factors needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vaekit.collapse import LatentWatch
from vaekit.errors import UserError
from vaekit.inference import inference
from vaekit.metrics.base import Result, Subject, metric, once, refuses
from vaekit.metrics.uncertainty import bootstrap

Array = np.ndarray
MAX_EXAMPLES = 5000
"""Examples used, at most."""
INFORMATIVE = 0.01
"""Mean KL of a latent, nats, above which it counts, as in disentanglement_lib."""


def agreement(a: Array, b: Array) -> float:
    """Return how far codes a (N, D) and b (N, E) of the same examples agree one to one, in [0, 1].

    With R (D, E) the absolute rank correlations, the mean of two means: over columns of max² / sum of the column, and
    over rows likewise. 1 where each code of one is monotone in one of the other's, and in that alone.
    Source: Duan et al. 2020, arXiv:1905.12614, weighted as in disentanglement_lib.

    >>> x = np.random.default_rng(0).normal(size=(500, 3))
    >>> agreement(x, -x[:, ::-1] ** 3) > 0.8
    True
    """
    if not (a.shape[1] and b.shape[1]):
        return 0.0
    table = np.abs(_ranked(a).T @ _ranked(b))
    each = (table.max(axis) ** 2 / np.where(table.any(axis), table.sum(axis), 1.0) for axis in (0, 1))
    return float(np.mean([part.mean() for part in each]))


def _ranked(codes: Array) -> Array:
    """Return standardised ranks, whose inner products are Spearman correlations; constant codes become 0."""
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(codes, axis=0), dtype=np.float64)
    ranks -= ranks.mean(0)
    norm = np.linalg.norm(ranks, axis=0)
    return ranks / np.where(norm > 0, norm, 1.0)


def ranking(codes: Array, others: Sequence[Array]) -> float:
    """Return the median of a run's `agreement` with others: codes (N, D_m) of the same examples, informative ones."""
    return float(np.median([agreement(codes, other) for other in others]))


@once
def informative_codes(subject: Subject) -> Array:
    """Return the posterior means of latents with a KL above 0.01 nats, (N, D), of at most 5,000 examples."""
    watch = LatentWatch()
    with inference(subject.model, subject.seed):
        for x, y in subject.batches("udr"):
            watch.add(subject.model.trace(x, y, hard=True))
    found, codes = watch.kl_elements(), subject.features[subject.some_rows(MAX_EXAMPLES)].double().numpy()
    kl = np.concatenate([np.zeros(0), *found.values()])
    if len(found) != 1 or len(kl) != codes.shape[1]:
        raise UserError("the codes of a run are no single vector with a KL of each dimension, which udr compares")
    return codes[:, kl > INFORMATIVE]


@metric(
    "udr",
    group="disentanglement",
    gives={"udr": ("agreement of a run's informative latents with those of other runs, the median over them", True)},
    needs=("runs",),
    reference="Duan et al. 2020, arXiv:1905.12614",
)
@refuses("udr", unit="of 1")
def udr(subject: Subject) -> dict[str, Result]:
    """Unsupervised disentanglement ranking among several runs; the error is over examples, not over runs."""
    codes, others = informative_codes(subject), [informative_codes(other) for other in subject.others]
    error = None
    if len(codes) >= 8:
        error = bootstrap(lambda rows: ranking(codes[rows], [o[rows] for o in others]), len(codes))
    facts = {"runs": 1 + len(others), "informative": codes.shape[1], "of": subject.features.shape[1]}
    return {"udr": Result(ranking(codes, others), "of 1", len(codes), error, facts=facts)}
