"""Imputing the cells of a table: the exact conditional of a linear-Gaussian model, and votes for levels."""

from __future__ import annotations

from typing import Any

import torch

from table_oracle import Oracle
from vaekit.likelihoods.mixed import Mixed
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.nets.table import TableMLP
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tasks.imputation import impute


def test_means_and_draws_follow_the_exact_conditional() -> None:
    oracle = Oracle.make(exact=False)
    x = oracle.rows()[2:]
    found = impute(oracle.model, x, None, draws=2000, k=20_000, seed=1)
    for i, row in enumerate(x):
        gap = torch.isnan(row)
        assert torch.equal(found.mean[i][~gap], row[~gap])
        if not bool(gap.any()) or bool(gap.all()):
            continue
        mean, covariance = oracle.conditional(row)
        assert found.ess is not None
        noise = 5 * (covariance.diagonal() / found.ess[i].clamp(max=2000)).sqrt()
        assert bool(((found.mean[i][gap] - mean).abs() < noise).all())
        assert bool(((found.draws[:, i][:, gap].mean(0) - mean).abs() < 1.5 * noise).all())
        torch.testing.assert_close(found.draws[:, i][:, gap].var(0), covariance.diagonal(), rtol=0.4, atol=0)


def test_levels_are_voted_for() -> None:
    """The level imputed is the likeliest under Σ_k w_k p(level | z_k), computed by brute force over the prior."""
    columns: list[dict[str, Any]] = [
        {"type": "numeric", "sd": 1.0},
        {"type": "categorical", "levels": ["a", "b", "c"]},
        {"type": "ordinal", "levels": ["1", "2", "3"]},
    ]
    torch.manual_seed(2)
    part = Mixed(lambda outputs: mlp(1, outputs, ()), columns=columns, scale=0.5)
    net: Any = part.net
    with torch.no_grad():  # the number, three logits, and the score of the ordered levels
        net.head.weight.copy_(torch.tensor([[1.0], [-2.0], [0.0], [2.0], [3.0]]))
        net.head.bias.copy_(torch.tensor([0.0, 0.0, 0.6, 0.0, 0.0]))
    model = VAE(DiagonalNormal(TableMLP(columns, 1, (8,))), StandardNormal(1), part).eval()
    x = torch.full((9, 3), torch.nan)
    x[:, 0] = torch.linspace(-2, 2, 9)
    found = impute(model, x, None, draws=1, k=20_000, seed=0).mean
    with torch.no_grad():
        z = torch.linspace(-6, 6, 2001).view(-1, 1, 1).expand(-1, 9, 1)
        px: Any = model.decode(z)
        log_w = px.log_prob(x) - 0.5 * z.squeeze(-1) ** 2
        probs = (log_w.softmax(0)[..., None, None] * px.probs).sum(0)
    clear = probs[:, 0].sort(-1).values.diff(dim=-1)[:, -1] > 0.03
    assert int(clear.sum()) > 5 and len(probs[clear, 0].argmax(-1).unique()) > 1
    assert torch.equal(found[clear, 1], probs[clear, 0].argmax(-1).float())
    cumulative = probs[:, 1].cumsum(-1)
    clear = (cumulative - 0.5).abs().min(-1).values > 0.02
    assert torch.equal(found[clear, 2], (cumulative[clear] < 0.5).sum(-1).float())
