"""The importance-weighted estimate: the same number however it is cut up, and the quick Bernoulli beneath it."""

from __future__ import annotations

import math

import pytest
import torch

from vaekit import bounds
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal


@pytest.mark.parametrize("lead", [(7,), (7, 1), (7, 4), (4, 4), (2, 7, 4)])
@pytest.mark.parametrize("event", [(6,), (1, 2, 3)])
def test_many_samples_score_as_one_by_one(lead: tuple[int, ...], event: tuple[int, ...]) -> None:
    logits = 3 * torch.randn(*lead, *event)
    x = (torch.rand(*lead[-1:], *event) < 0.5).float() if len(lead) > 1 else (torch.rand(event) < 0.5).float()
    expected = torch.distributions.Bernoulli(logits=logits).log_prob(x.expand_as(logits)).flatten(len(lead)).sum(-1)
    family = BernoulliFamily(logits, len(event))
    with torch.no_grad():
        torch.testing.assert_close(family.log_prob(x), expected)
        torch.testing.assert_close(family.log_prob(x.expand_as(logits)), expected)
    torch.testing.assert_close(family.log_prob(x), expected)


def _model() -> VAE:
    return VAE(DiagonalNormal(mlp(12, 2)), StandardNormal(2), Bernoulli(mlp(2, 12))).eval()


def test_effective_sample_size_and_noise() -> None:
    """Equal weights count fully; the noise is the spread of repeated estimates."""
    model = _model()
    x = (torch.rand(3, 12) < 0.5).float()
    found = bounds.log_likelihood(model, x, k=200)
    assert found.ess.shape == (3,) and ((found.ess >= 1) & (found.ess <= 200.01)).all()
    many = torch.stack([bounds.log_likelihood(model, x, k=200).values for _ in range(300)])
    noise = torch.stack([bounds.log_likelihood(model, x, k=200).noise for _ in range(50)]).mean(0)
    assert ((many.std(0) / noise - 1).abs() < 0.25).all()


@pytest.mark.parametrize("rows", [1, 7, 64, 1000])
def test_chunks_count_every_sample_once(rows: int) -> None:
    """With a posterior that is the prior and a decoder that ignores z, every weight is p(x), so any miscount shows."""
    model = _model()
    with torch.no_grad():
        for part in (model.posterior, model.likelihood):
            for parameter in part.parameters():
                parameter.zero_()
    found = bounds.log_likelihood(model, torch.ones(5, 12), k=50, rows=rows)
    torch.testing.assert_close(found.values, torch.full((5,), -12 * math.log(2)))
    torch.testing.assert_close(found.ess, torch.full((5,), 50.0), rtol=1e-4, atol=0)


def test_never_more_rows_at_once_than_said() -> None:
    """Memory is set by rows, whatever K is."""
    model, sizes = _model(), []
    model.likelihood.register_forward_hook(lambda module, given, out: sizes.append(math.prod(out.batch_shape)))
    x = (torch.rand(9, 12) < 0.5).float()
    for k in (3, 64, 1000):
        bounds.log_likelihood(model, x, k=k, rows=64)
    assert max(sizes) <= 64 and sum(sizes) == 9 * (3 + 64 + 1000)


def test_a_cuda_device_is_given_many_rows_and_as_its_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of 80 GB holds 26,749 examples of 784 numbers, of 4 GB 1,337; small ones 32,768, large ones 512."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", property(lambda x: True), raising=False)
    for free, shape, rows in (
        (80 * 2**30, (1, 28, 28), 26_749),
        (4 * 2**30, (1, 28, 28), 1_337),
        (80 * 2**30, (4,), 2**15),
        (80 * 2**30, (3, 256, 256), 512),
    ):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert bounds.rows_for(torch.zeros(2, *shape)) == rows
    assert bounds.rows_for(torch.zeros(2, 4, dtype=torch.int64)) == 512
