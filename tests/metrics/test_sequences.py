"""Metrics of sequences against the same numbers by hand."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.likelihoods.tokens import Tokens
from vaekit.metrics.base import Subject, evaluate
from vaekit.metrics.sequences import accuracy, edit_distance, per_token, scored
from vaekit.models.vae import VAE
from vaekit.nets.recurrent import GRUDecoder, GRUEncoder
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tokens import END, PAD

V, T, N = 9, 7, 23


def rows(n: int, width: int, seed: int) -> list[list[int]]:
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        words = [rng.randrange(3, 6) for _ in range(rng.randrange(width))]
        out.append([*words, END] + [PAD] * (width - 1 - len(words)))
    return out


def subject(k: int = 3, **facts: object) -> Subject:
    torch.manual_seed(0)
    model = VAE(
        DiagonalNormal(GRUEncoder(V, 2, width=5, embedding=4)),
        StandardNormal(2),
        Tokens(GRUDecoder((T, V), 2, width=5, embedding=4)),
    ).eval()
    info = DataInfo("toy", (T,), "tokens", V, 1, 1, N, modality="text", facts=dict(facts))
    return Subject(model, info, torch.tensor(rows(N, T, 1)), k=k, batch_size=10)


def by_hand(a: list[int], b: list[int]) -> int:
    """Levenshtein's distance, by the textbook's table."""
    a, b = a[: a.index(END)], b[: b.index(END)]
    row = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(b, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def test_edit_distance_is_the_textbooks() -> None:
    a, b = rows(200, 9, 1), rows(200, 7, 2)
    found = edit_distance(torch.tensor(a), torch.tensor(b))
    assert found.tolist() == [by_hand(x, y) for x, y in zip(a, b)]
    assert edit_distance(torch.tensor(a), torch.tensor(a)).sum() == 0


def test_accuracy_counts_used_places_whatever_the_widths() -> None:
    x = torch.tensor([[4, 5, END, PAD], [4, 5, 6, END]])
    assert accuracy(x, x).tolist() == [1.0, 1.0]
    again = torch.tensor([[4, 5, 6, END, PAD, PAD], [4, 4, 4, 4, 4, END]])
    assert accuracy(x, again).tolist() == pytest.approx([2 / 3, 1 / 4])
    assert accuracy(x, torch.tensor([[4], [5]])).tolist() == pytest.approx([1 / 3, 0])


def test_an_end_that_is_certain_is_not_counted() -> None:
    x = torch.tensor([[4] * (T - 1) + [END], [4, END] + [PAD] * (T - 2)])
    assert scored(x, subject().info).tolist() == [T - 1, 2]
    assert scored(x, subject(truncated=True).info).tolist() == [T, 2]


def test_perplexity_is_of_the_bounds_that_are_reported() -> None:
    it = subject()
    found = evaluate(it, ["likelihood", "perplexity"])
    count = int(scored(it.x, it.info).sum())
    bound = found["iw_bound"].value
    assert bound is not None
    assert found["perplexity"].value == pytest.approx(math.exp(-bound * N / count))
    assert found["perplexity"].facts["k"] == 3 and found["perplexity"].facts["tokens"] == count
    elbo = found["elbo"].value
    assert elbo is not None
    # another draw of the noise, so near alone
    assert found["perplexity_elbo"].value == pytest.approx(math.exp(-elbo * N / count), rel=0.05)
    assert "bits_per_dim" not in found  # means nothing of tokens
    alone = evaluate(subject(), ["perplexity"])
    assert alone["perplexity"].value == found["perplexity"].value


def test_a_uniform_model_has_the_perplexity_of_its_choices() -> None:
    it = subject()
    decoder: Any = it.model.likelihood.decoder  # type: ignore[union-attr]
    with torch.no_grad():
        for p in decoder.head.parameters():
            p.zero_()
        for p in it.model.posterior.parameters():  # type: ignore[union-attr]
            p.zero_()
    found = evaluate(it, ["perplexity"])
    assert found["perplexity_elbo"].value == pytest.approx(V - 2, rel=1e-5)  # PAD and START are never drawn
    assert found["perplexity"].value == pytest.approx(V - 2, rel=1e-5)


def test_the_standard_error_of_a_ratio_is_the_spread_of_resamples() -> None:
    torch.manual_seed(0)
    counts = torch.randint(3, 20, (400,))
    values = -2.0 * counts + 3 * torch.randn(400)
    found = per_token(values, counts)
    index = torch.randint(400, (4000, 400))
    again = (-values[index].sum(1) / counts[index].sum(1)).exp()
    assert found.stderr == pytest.approx(float(again.std()), rel=0.1)


def test_outside_the_support_there_is_no_perplexity() -> None:
    it = subject()
    it.x = torch.full((4, T), 4)
    found = evaluate(it, ["perplexity"])
    assert found["perplexity"].value is None and "outside the support" in found["perplexity"].facts["refused"]


def test_reconstructions_are_compared_with_their_lines() -> None:
    it = subject()

    class Echo(VAE):
        def reconstruct(self, x: Tensor, y: Tensor | None = None, sample: bool = False) -> Tensor:
            out = x.clone()
            out[0, 0] = 8
            return out

    it.model = Echo(it.model.posterior, it.model.prior, it.model.likelihood)  # type: ignore[union-attr]
    it.batch_size = N
    found = evaluate(it, ["token_reconstruction"])
    assert found["exact_reconstruction"].value == pytest.approx((N - 1) / N)
    assert found["edit_distance"].value == pytest.approx(1 / N)
    assert bounds.refusal(it.model.trace(it.x)) is None
