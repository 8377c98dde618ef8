"""How well latents recover known sources: the mean correlation coefficient."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vaekit.metrics.base import Result, Subject, metric

RESAMPLES = 200
MOST = 1 - 1e-12
"""What a correlation of 1 counts for, whose artanh is finite."""


def correlations(a: Tensor, b: Tensor) -> Tensor:
    """Return Pearson's correlation of every column of a (N, S) with every column of b (N, F): (S, F).

    A column that does not vary correlates with nothing: 0.
    """
    a, b = (x.double() - x.double().mean(0) for x in (a, b))
    scale = a.norm(dim=0)[:, None] * b.norm(dim=0)
    return torch.where(scale > 1e-12, a.T @ b / scale.clamp(min=1e-12), torch.zeros_like(scale))


def mean_correlation(sources: Tensor, latents: Tensor, rank: bool = False) -> float:
    """Return the mean |correlation| of the sources (N, S) with the latents (N, F) matched to them one to one.

    The matching is the best there is (the Hungarian method); a source left without a latent counts 0. With `rank` the
    correlation is Spearman's, which a monotone change of a latent leaves alone. 1 means: recovered up to order, sign,
    scale and shift. Source: Hyvärinen & Morioka 2016, arXiv:1605.06336; Khemakhem et al. 2020, arXiv:1907.04809.

    >>> s = torch.tensor([[0.0, 1.0], [1.0, 0.0], [2.0, 4.0]])
    >>> mean_correlation(s, -3 * s.flip(1) + 1)
    1.0
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.stats import rankdata

    if rank:  # equal values share their mean rank
        sources, latents = (torch.from_numpy(np.asarray(rankdata(x.numpy(), axis=0))) for x in (sources, latents))
    table = correlations(sources, latents).abs()
    rows, columns = linear_sum_assignment(table.numpy(), maximize=True)
    return round(float(table[rows, columns].sum()) / sources.shape[1], 12)


@metric(
    "mcc",
    group="disentanglement",
    gives={
        "mcc": ("mean absolute correlation of the known factors with the latents matched to them one to one", True),
        "mcc_rank": ("the same with Spearman's rank correlation", True),
    },
    needs=("sources",),
    reference="Khemakhem et al. 2020, arXiv:1907.04809",
)
def mcc(subject: Subject) -> dict[str, Result]:
    """Mean correlation coefficient, with a bootstrap interval of 95%.

    The interval is tanh(artanh r ± 1.96 s) with s the bootstrap's standard error of artanh r (Fisher 1921): quantiles
    of the resampled values themselves are shifted up, since a best matching of noise looks better than it is.
    As in the source, codes of a posterior that is given the label are taken as they are: `codes` says so.
    """
    assert subject.factors is not None
    sources, latents = subject.factors.double(), subject.features.double()
    picks = [torch.randint(len(sources), (len(sources),)) for _ in range(RESAMPLES)]
    out: dict[str, Result] = {}
    for name, rank in (("mcc", False), ("mcc_rank", True)):
        value = mean_correlation(sources, latents, rank)
        again = [mean_correlation(sources[i], latents[i], rank) for i in picks]
        error = float(np.std(np.arctanh(np.clip(again, 0, MOST)), ddof=1))
        low, high = np.tanh(np.arctanh(min(value, MOST)) + 1.96 * error * np.array([-1, 1])).tolist()
        facts = {"codes": "of a posterior that is given the label"} if subject.labelled_codes else {}
        out[name] = Result(value, "correlation", len(sources), interval=(low, high), facts=facts)
    return out
