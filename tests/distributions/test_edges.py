"""Edges: the masses of all graphs sum to one, blocks change nothing, hidden pairs and padded rows have no part."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from graph_toys import every_graph, some
from vaekit.distributions import edges as module
from vaekit.distributions.edges import EdgesFamily
from vaekit.graphs import Graphs


def spread(g: int, n: int, width: int = 3, seed: int = 1, k: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lead = (g,) if k is None else (k, g)
    u = torch.randn(*lead, n, width, generator=generator, dtype=torch.float64)
    return u, u * torch.tensor([1.0, -0.5, 2.0], dtype=torch.float64)[:width], torch.tensor(-0.7, dtype=torch.float64)


def by_hand(u: Tensor, v: Tensor, bias: Tensor, x: Graphs) -> Tensor:
    """Sum over pairs one after another."""
    out = []
    hidden = set() if x.hidden is None else {tuple(pair) for pair in x.hidden.tolist()}
    joined = {tuple(pair) for pair in x.edges.tolist()}
    for g, (start, n) in enumerate(zip(x.starts.tolist(), x.sizes.tolist())):
        total = torch.zeros((), dtype=u.dtype)
        for i in range(n):
            for j in range(i + 1, n):
                pair = (start + i, start + j)
                if pair in hidden:
                    continue
                logit = u[g, i] @ v[g, j] + bias
                total = total + logsigmoid(logit if pair in joined else -logit)
        out.append(total)
    return torch.stack(out)


def test_an_event_is_a_matrix_of_nodes() -> None:
    u, v, bias = spread(2, 4)
    d = EdgesFamily(u, v, bias, torch.tensor([4, 3]))
    assert d.batch_shape == (2,) and d.event_shape == (4, 4) and d.mean.shape == (2, 4, 4)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_masses_of_all_graphs_sum_to_one(n: int) -> None:
    every = every_graph(n)
    u, v, bias = (part.expand(len(every), -1, -1) if part.dim() else part for part in spread(1, n))
    mass = EdgesFamily(u, v, bias, every.sizes).log_prob(every).exp().sum()
    assert mass.item() == pytest.approx(1.0, abs=1e-12)


def test_log_prob_is_the_sum_over_pairs_and_hidden_ones_are_left_out() -> None:
    x = some()
    u, v, bias = spread(3, x.pad)
    assert torch.allclose(EdgesFamily(u, v, bias, x.sizes).log_prob(x), by_hand(u, v, bias, x))
    hidden = torch.cat([x.edges[:2], torch.tensor([[5, 7]])])
    seen = x.edges[2:]
    part = Graphs(x.sizes, seen, hidden=hidden)
    assert torch.allclose(EdgesFamily(u, v, bias, x.sizes).log_prob(part), by_hand(u, v, bias, part))
    weights = EdgesFamily(u, v, bias, x.sizes).log_parts(part)
    assert torch.allclose(weights[0] + weights[1], by_hand(u, v, bias, part))


@pytest.mark.parametrize("block", [1, 7, 40, 1 << 20])
def test_blocks_change_neither_value_nor_gradient(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x = some((5, 3, 7, 1))
    u, v, bias = (part.clone().requires_grad_() for part in spread(4, 8, k=3))
    hand = torch.stack([by_hand(u[i], v[i], bias, x) for i in range(3)])
    weights = torch.randn(3, 4, dtype=torch.float64)
    wanted = torch.autograd.grad((hand * weights).sum(), (u, v, bias))
    monkeypatch.setattr(module, "BLOCK", block)
    found = EdgesFamily(u, v, bias, x.sizes).log_prob(x)
    assert found.shape == (3, 4) and torch.allclose(found, hand)
    for a, b in zip(torch.autograd.grad((found * weights).sum(), (u, v, bias)), wanted):
        assert torch.allclose(a, b)


def test_padding_changes_nothing() -> None:
    x = some()
    u, v, bias = spread(3, x.pad)
    wide = torch.nn.functional.pad(u, (0, 0, 0, 5), value=9.0), torch.nn.functional.pad(v, (0, 0, 0, 5), value=9.0)
    roomy = x.roomy(x.pad + 5)
    assert torch.equal(EdgesFamily(*wide, bias, x.sizes).log_prob(roomy), EdgesFamily(u, v, bias, x.sizes).log_prob(x))


def test_draws_have_the_edges_that_the_mean_says(monkeypatch: pytest.MonkeyPatch) -> None:
    u, v, bias = spread(1, 5)
    n = 4000
    sizes = torch.full((n,), 4)
    d = EdgesFamily(u.expand(n, -1, -1), v.expand(n, -1, -1), bias, sizes)
    torch.manual_seed(0)
    monkeypatch.setattr(module, "BLOCK", 9)
    x = d.sample()
    _, i, j = x.local(x.edges)
    rate = torch.zeros(5, 5, dtype=torch.float64).index_put((i, j), torch.tensor(1.0 / n).double(), accumulate=True)
    mean = d.mean[0].triu(1)
    assert bool((rate - mean).abs().max() < 5 * 0.5 / n**0.5) and bool((rate[:, 4] == 0).all())
    assert bool((x.edges[:, 0] < x.edges[:, 1]).all())
    assert torch.equal(d.mean[0], d.mean[0].T)


def test_the_mode_is_the_likeliest_graph() -> None:
    every = every_graph(4)
    u, v, bias = spread(1, 4)
    d = EdgesFamily(u, v, bias, torch.tensor([4]))
    all_of_them = EdgesFamily(u.expand(len(every), -1, -1), v.expand(len(every), -1, -1), bias, every.sizes)
    best = every[all_of_them.log_prob(every).argmax().unsqueeze(0)]
    assert torch.equal(d.mode.edges, best.edges)


def test_extreme_logits_stay_finite() -> None:
    x = some((4,))
    u = torch.full((1, 4, 1), 200.0, requires_grad=True)
    found = EdgesFamily(u, -u, torch.zeros(()), x.sizes).log_prob(x)
    assert torch.isfinite(found).all() and torch.isfinite(torch.autograd.grad(found.sum(), u)[0]).all()
