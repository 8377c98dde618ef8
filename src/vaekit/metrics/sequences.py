"""Metrics of sequences of tokens: perplexity by the bounds, and errors of reconstructions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused
from vaekit.metrics.likelihood import importance_bounds, weight_facts
from vaekit.tokens import END, lengths, used

UNIT = "a token"


@metric(
    "perplexity",
    group="likelihood",
    gives={
        "perplexity": ("upper bound on the perplexity a token, END counted, by the importance-weighted bound", False),
        "perplexity_elbo": ("upper bound on the perplexity a token, END counted, by the plain ELBO", False),
    },
    needs=("tokens",),
    reference="Bowman et al. 2016, arXiv:1511.06349",
    shared=True,
)
def perplexity(subject: Subject) -> dict[str, Result]:
    """exp of minus the bound on log p(x) a token: Σ over sequences of the bound, divided by all their tokens."""
    estimate = importance_bounds(subject)
    if isinstance(estimate, str):
        return {name: refused(estimate, UNIT) for name in ("perplexity", "perplexity_elbo")}
    each = [bounds.elbo(subject.model.trace(x, y, hard=True)) for x, y in subject.pieces("perplexity")]
    plain = subject.join_pieces(each)
    counts = scored(subject.x, subject.info)
    return {
        "perplexity": per_token(estimate.values, counts, k=estimate.k, **weight_facts(estimate.ess, estimate.pareto_k)),
        "perplexity_elbo": per_token(plain, counts),
    }


def scored(x: Tensor, info: DataInfo) -> Tensor:
    """Return how many tokens of each row a model has to predict, (N,): an END at the last place is certain.

    >>> info = DataInfo("toy", (3,), "tokens", 6, 1, 1, 1)
    >>> scored(torch.tensor([[4, 5, 2], [4, 2, 0]]), info)
    tensor([2, 2])
    """
    counts = lengths(x)
    if info.facts.get("truncated") or x.shape[-1] < info.shape[0]:
        return counts
    certain = x[..., info.shape[0] - 1] == END
    return counts - certain.long()


def per_token(values: Tensor, counts: Tensor, **facts: object) -> Result:
    """exp(-Σ values / Σ counts) with its standard error, both of a ratio's, by the delta method.

    `values` (N,) are log-probabilities or bounds, nats; `counts` (N,) numbers of tokens.

    >>> result = per_token(torch.tensor([-2.0, -4.0]) * math.log(2.0), torch.tensor([2, 4]))
    >>> round(result.value or 0.0, 6), round(result.stderr or 0.0, 6)
    (2.0, 0.0)
    """
    values, counts = values.double(), counts.double()
    n, rate = len(values), -float(values.sum() / counts.sum())
    off = -values - rate * counts
    error = float(off.square().sum() / max(n - 1, 1)) ** 0.5 / (float(counts.mean()) * math.sqrt(n))
    value = math.exp(min(rate, 700.0))
    facts = {"nats": rate, "tokens": int(counts.sum())} | facts
    return Result(value, UNIT, n, value * error if n > 1 else None, facts=facts)


@metric(
    "token_reconstruction",
    group="reconstruction",
    gives={
        "token_accuracy": ("share of places where the greedy reconstruction has the sequence's own token", True),
        "edit_distance": ("tokens to insert, delete or replace to get the sequence from its reconstruction", False),
        "exact_reconstruction": ("share of sequences reconstructed without an error", True),
    },
    needs=("tokens",),
)
def token_reconstruction(subject: Subject) -> dict[str, Result]:
    """Greedy reconstructions from the posterior mean against the sequences themselves."""

    def compared(x: Tensor, y: Tensor | None) -> Tensor:
        again = subject.model.reconstruct(x, y)
        return torch.stack([accuracy(x, again), edit_distance(x, again)], 1)

    right, errors = subject.per_example("token_reconstruction", compared).unbind(1)
    return {
        "token_accuracy": mean_of(right, "of 1"),
        "edit_distance": mean_of(errors, "tokens a sequence", of=float(lengths(subject.x).double().mean()) - 1),
        "exact_reconstruction": mean_of((errors == 0).double(), "of 1"),
    }


def accuracy(x: Tensor, again: Tensor) -> Tensor:
    """Return the share of each row's used places (B, T) at which `again` (B, any width) has the same token, (B,).

    >>> accuracy(torch.tensor([[4, 5, 2, 0]]), torch.tensor([[4, 6, 2]])).item()
    0.666...
    """
    width = max(x.shape[1], again.shape[1])
    x, again = (torch.nn.functional.pad(ids, (0, width - ids.shape[1])) for ids in (x, again))
    keep = used(x)
    return ((x == again) & keep).sum(1).double() / keep.sum(1)


def edit_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the Levenshtein distance of each pair of rows, up to END, (B,) float64.

    All pairs go through one table together: O(T²) steps, whatever B is.

    >>> edit_distance(torch.tensor([[4, 5, 6, 2]]), torch.tensor([[5, 6, 7, 2]])).item()
    2.0
    """
    count_a, count_b = (lengths(ids) - (ids == END).any(1).long() for ids in (a, b))
    size = len(a)
    row = torch.arange(b.shape[1] + 1, dtype=torch.float64, device=a.device).expand(size, -1)
    out = row.gather(1, count_b.unsqueeze(1)).squeeze(1)
    steps = torch.arange(b.shape[1] + 1, dtype=torch.float64, device=a.device)
    for i in range(a.shape[1]):
        differs = (a[:, i : i + 1] != b).double()
        best = torch.minimum(row[:, 1:] + 1, row[:, :-1] + differs)
        best = torch.cat([torch.full_like(row[:, :1], i + 1.0), best], 1)
        # insertions along the row: the least of best[j'] + (j - j') over j' ≤ j
        row = torch.cummin(best - steps, 1).values + steps
        out = torch.where(count_a == i + 1, row.gather(1, count_b.unsqueeze(1)).squeeze(1), out)
    return out
