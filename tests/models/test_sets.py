"""Sets that share a context: exact values of a linear-Gaussian model, and what holds of any network."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from vaekit import bounds
from vaekit.data.loading import load
from vaekit.data.settings import DataSettings
from vaekit.distributions.kl import kl
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.gaps import fit_posteriors
from vaekit.models.sets import SetVAE
from vaekit.nets.mlp import mlp
from vaekit.nets.pool import AttentionPool
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal
from vaekit.training.set_source import SetSource, turned

A, B, S, T = 0.8, 0.5, 0.6, 0.7
"""z | c ~ N(A c, S²); x | z, c ~ N(z + B c, T²)."""


def model(width: int = 6) -> SetVAE:
    torch.manual_seed(0)
    return SetVAE(
        mlp(width, 8, (), act="tanh"),
        DiagonalNormal(AttentionPool(8, 3, heads=2, hidden=16)),
        DiagonalNormal(mlp(8, 2, (16,), context=3)),
        ConditionalNormal(mlp(3, 2, (16,))),
        Gaussian(mlp(5, width, (16,)), scale=1.0),
    ).eval()


class ExactContext(nn.Module):
    """q(c|X) of the linear model, from the sum of the members."""

    def forward(self, h: Tensor) -> Tensor:
        n, slope, noise = h.shape[1], A + B, S**2 + T**2
        precision = 1 + n * slope**2 / noise
        mean = slope / noise * h.sum(1) / precision
        return torch.stack([mean, torch.full_like(mean, -0.5 * math.log(precision))], 1)


class Raw(DiagonalNormal):
    """A normal whose network gives mean and log σ themselves."""

    def __init__(self, net: nn.Module, fixed: float | None = None) -> None:
        nn.Module.__init__(self)
        self.module, self.fixed = net, fixed
        self.latent_shape = (1,)

    def forward(self, *context: Tensor):
        from vaekit.distributions.normal import DiagonalNormalFamily

        made = self.module(*context)
        if self.fixed is None:
            return DiagonalNormalFamily(made[:, 0], made[:, 1])
        return DiagonalNormalFamily(made, torch.full_like(made, self.fixed))


class Member(nn.Module):
    """The mean of q(z|x, c), exact."""

    def forward(self, h: Tensor, c: Tensor) -> Tensor:
        precision = 1 / S**2 + 1 / T**2
        return (A * c / S**2 + (h - B * c) / T**2) / precision


@pytest.fixture
def exact() -> SetVAE:
    """A linear model whose posteriors are the true ones."""
    made = SetVAE(
        mlp(1, 1, ()),
        Raw(ExactContext()),
        Raw(Member(), -0.5 * math.log(1 / S**2 + 1 / T**2)),
        ConditionalNormal(mlp(1, 1, ())),
        Gaussian(mlp(2, 1, ()), scale=T),
    )
    with torch.no_grad():
        for net, weight in ((made.trunk, [[1.0]]), (made.likelihood.net, [[B, 1.0]])):
            assert net is not None
            net.head.weight.copy_(torch.tensor(weight))  # type: ignore[operator, union-attr]
            net.head.bias.zero_()  # type: ignore[operator, union-attr]
        head = made.prior.net.head  # type: ignore[union-attr]
        head.weight.copy_(torch.tensor([[A], [0.0]]))  # type: ignore[operator, union-attr]
        head.bias.copy_(torch.tensor([0.0, 7 * math.atanh(math.log(S) / 7)]))  # type: ignore[operator, union-attr]
    return made.eval()


def log_p(x: Tensor) -> Tensor:
    """log p(X) of sets (B, N, 1): normal, of covariance (A + B)² + (S² + T²) I."""
    n = x.shape[1]
    cov = torch.full((n, n), (A + B) ** 2, dtype=torch.float64) + (S**2 + T**2) * torch.eye(n, dtype=torch.float64)
    return torch.distributions.MultivariateNormal(torch.zeros(n, dtype=torch.float64), cov).log_prob(x[..., 0].double())


@pytest.mark.parametrize("n", [1, 2, 7])
def test_log_p_of_a_set_is_exact_where_the_posterior_is(exact: SetVAE, n: int) -> None:
    x = torch.randn(5, n, 1)
    trace = exact.trace(x, k=4)
    assert trace.log_w.shape == (4, 5) and torch.allclose(trace.log_w.double(), log_p(x).expand(4, 5), atol=1e-4)
    assert torch.allclose(bounds.log_likelihood(exact, x, k=20).values.double(), log_p(x), atol=1e-4)
    members = exact.trace_members(x, k=4)
    assert torch.allclose(members.log_w.double() * n, log_p(x).expand(4, 5), atol=1e-4)


def test_the_elbo_of_members_is_that_of_the_set_over_its_size() -> None:
    m, x = model(), torch.randn(4, 5, 6)
    torch.manual_seed(1)
    whole = bounds.elbo(m.trace(x, k=3))
    torch.manual_seed(1)
    assert torch.allclose(bounds.elbo(m.trace_members(x, k=3)), whole / 5, atol=1e-5)


def test_an_example_is_a_set_of_one(exact: SetVAE) -> None:
    x = torch.randn(6, 1)
    assert torch.allclose(exact.trace(x, k=3).log_w, exact.trace(x.unsqueeze(1), k=3).log_w, atol=1e-5)
    m, x = model(), torch.randn(6, 6)
    assert torch.allclose(m.encode(x).mean, m.encode(x.unsqueeze(1)).mean, atol=1e-6)


def test_what_is_given_a_set_is_the_predictive_density(exact: SetVAE) -> None:
    x, sets = torch.randn(3, 1), torch.randn(2, 4, 1)
    joint = torch.stack([torch.stack([log_p(torch.cat([s, one[None]])[None])[0] for s in sets]) for one in x])
    truth = joint - log_p(sets)
    torch.manual_seed(0)
    assert torch.allclose(exact.log_given(x, sets, k=40_000).double(), truth, atol=0.02)
    empty = exact.log_given(x, sets[:1, :0], k=40_000)[:, 0]
    assert torch.allclose(empty.double(), log_p(x.unsqueeze(1)), atol=0.02)


def test_draws_given_a_set_have_the_predictive_mean(exact: SetVAE) -> None:
    sets = torch.full((1, 3, 1), 2.0)
    slope, noise = A + B, S**2 + T**2
    mean = slope * (slope / noise * 6.0) / (1 + 3 * slope**2 / noise)
    torch.manual_seed(0)
    drawn = exact.sample_like(sets, 20_000, draw=True)
    assert drawn.shape == (20_000, 1, 1) and abs(float(drawn.mean()) - mean) < 0.03
    assert float(drawn.var()) == pytest.approx(noise + slope**2 / (1 + 3 * slope**2 / noise), rel=0.05)


def test_order_does_not_matter_and_repeats_count() -> None:
    m, x = model(), torch.randn(3, 6, 6)
    q, mixed = m.encode(x), m.encode(x[:, torch.randperm(6)])
    assert torch.allclose(q.loc, mixed.loc, atol=1e-6) and torch.allclose(q.log_scale, mixed.log_scale, atol=1e-6)
    twice = m.encode(torch.cat([x, x], 1))
    assert bool((kl(q, twice) > 1e-4).all()), "a set seen twice is more evidence"
    a, b = x[:, :1], x[:, 1:2]
    assert torch.allclose(m.encode(torch.cat([a, b, a], 1)).loc, m.encode(torch.cat([b, a, a], 1)).loc, atol=1e-6)
    order = torch.randperm(6)
    torch.manual_seed(0)
    log_w = bounds.log_likelihood(m, x, k=3000).values
    torch.manual_seed(0)
    assert torch.allclose(bounds.log_likelihood(m, x[:, order], k=3000).values, log_w, atol=0.3)


@torch.no_grad()
def test_an_empty_set_gives_the_prior() -> None:
    m = model()
    for part in m.context.parameters():
        nn.init.normal_(part)  # whatever the weights are
    q = m.encode(torch.zeros(2, 0, 6))
    assert q.loc.shape == (2, 3) and float(q.loc.abs().max()) == 0 and float(q.log_scale.abs().max()) == 0
    trace = m.trace(torch.zeros(2, 0, 6), k=3)
    assert float(trace.log_w.abs().max()) < 1e-6, "log p(∅) = 0"


def test_every_part_gets_a_gradient() -> None:
    m = model().train()
    (-bounds.elbo(m.trace_members(torch.randn(4, 3, 6)))).mean().backward()
    lacking = [name for name, p in m.named_parameters() if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    assert not lacking


def test_refining_a_context_finds_the_exact_one(exact: SetVAE) -> None:
    x = torch.randn(4, 3, 1)
    truth = exact.encode(x)
    exact.context = Raw(Blunt())
    local = fit_posteriors(exact.of_context(), x, steps=150, samples=32, scoring=4000)
    assert torch.allclose(local.elbo.double(), log_p(x), atol=0.05)
    assert torch.allclose(local.q.mean, truth.mean, atol=0.1)


class Blunt(nn.Module):
    """A q(c|X) that knows nothing."""

    def forward(self, h: Tensor) -> Tensor:
        return h.new_zeros(len(h), 2, 1)


# -- the source of sets -----------------------------------------------------------------------------------------------


def test_batches_have_sets_of_one_class_and_are_drawn_again_alike() -> None:
    data = load("digits", DataSettings(unseen="7,8,9"))
    source = SetSource.of(data, 0, most=6)
    batches = list(source.train(32, seed=1, epoch=2, skip=0))
    assert len(batches) == source.steps(32) and {x.shape[1] for x, _ in batches} == {1, 2, 3, 4, 5, 6}
    kinds = {tuple(row.flatten().tolist()): int(label) for row, label in zip(data.prepare(data.train.x), data.train.y)}  # type: ignore[arg-type]
    for x, y in batches[:10]:
        assert y is not None and x.shape[2:] == (1, 8, 8) and len(x) == max(1, 32 // x.shape[1])
        for members, label in zip(x, y):
            rows = [tuple(member.flatten().tolist()) for member in members]
            assert {kinds[row] for row in rows} == {int(label)} and len(set(rows)) == len(rows)
    again = list(source.train(32, seed=1, epoch=2, skip=3))
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(batches[3:], again))


def test_turning_keeps_every_picture_and_gives_eight() -> None:
    x = torch.arange(9.0).view(1, 1, 1, 3, 3).expand(8, 2, 1, 3, 3)
    made = turned(x, torch.arange(8).numpy())
    assert len({tuple(one.flatten().tolist()) for one in made[:, 0]}) == 8
    assert torch.equal(made[:, 0], made[:, 1]) and torch.equal(
        made.flatten(1).sort(1).values, x.flatten(1).sort(1).values
    )


def test_unseen_classes_are_the_test_split_alone() -> None:
    data = load("digits", DataSettings(unseen="7, 9"))
    assert set(data.test.y.tolist()) == {7, 9} and not {7, 9} & set(data.train.y.tolist() + data.valid.y.tolist())  # type: ignore[union-attr]
    assert data.info.n_test == int(sum((load("digits").train.y == c).sum() for c in (7, 9))) + sum(  # type: ignore[misc]
        int((split.y == c).sum())
        for split in (load("digits").valid, load("digits").test)
        for c in (7, 9)  # type: ignore[union-attr]
    )
    third = load("digits", DataSettings(unseen="0.3"))
    assert len(set(third.test.y.tolist())) == 3 and third.info.n_valid > 0  # type: ignore[union-attr]
    assert len(load("digits", DataSettings(unseen="7", limit=50)).train) == 50


@pytest.mark.parametrize(
    ("unseen", "words"), [("7,12", "no class '12'"), ("0,1,2,3,4,5,6,7,8,9", "leaves no class to train on")]
)
def test_what_cannot_be_kept_apart_is_told(unseen: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load("digits", DataSettings(unseen=unseen))


def test_data_without_classes_have_no_sets() -> None:
    with pytest.raises(UserError, match="no classes"):
        SetSource.of(load(torch.rand(40, 5)), 0, most=3)
    with pytest.raises(UserError, match="none; leave it out"):
        load(torch.rand(40, 5), DataSettings(unseen="0.5"))
