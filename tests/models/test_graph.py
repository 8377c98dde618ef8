"""Graph VAE: what shuffling nodes, padding and batching may change (nothing), and what the bound is a bound on."""

from __future__ import annotations

import math

import pytest
import torch

from graph_toys import every_graph, model, shuffled, some
from vaekit import bounds
from vaekit.distributions.edges import EdgesFamily
from vaekit.errors import UserError
from vaekit.graphs import Graphs
from vaekit.likelihoods.edges import Edges
from vaekit.models.graph import GraphVAE
from vaekit.nets.graph import GraphNet, propagation
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.edges import EdgeReconstruction, balance
from vaekit.objectives.elbo import Rate
from vaekit.posteriors.normal import FullNormal


def order_within(x: Graphs, seed: int = 4) -> torch.Tensor:
    """A permutation that keeps each graph's nodes together."""
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randperm(n, generator=generator) + s for n, s in zip(x.sizes.tolist(), x.starts.tolist())]
    return torch.cat(parts)


def test_propagation_is_the_normalised_adjacency() -> None:
    x = some()
    a = torch.zeros(x.nodes, x.nodes)
    a[x.edges[:, 0], x.edges[:, 1]] = 1
    a = a + a.T + torch.eye(x.nodes)
    scale = a.sum(1).rsqrt()
    assert torch.allclose(propagation(x).to_dense(), scale[:, None] * a * scale)


def test_only_seen_edges_reach_the_encoder() -> None:
    x = some()
    fewer = Graphs(x.sizes, x.edges, seen=x.edges[::2], features=x.features)
    other = Graphs(x.sizes, x.edges[:3], seen=x.edges[::2], features=x.features)
    m = model()
    assert torch.equal(m.posterior_mean(fewer), m.posterior_mean(other))
    assert not torch.allclose(m.posterior_mean(fewer), m.posterior_mean(x))


@torch.no_grad()
def test_shuffling_nodes_changes_nothing() -> None:
    x, m = some(), model().double()
    x = Graphs(x.sizes, x.edges, features=x.features.double())  # type: ignore[union-attr]
    order = order_within(x)
    y = shuffled(x, order)
    q, r = m.encode(x), m.encode(y)
    assert torch.allclose(x.packed(q.mean)[order], y.packed(r.mean))
    assert torch.allclose(x.packed(q.variance)[order], y.packed(r.variance))
    noise = torch.randn(6, x.nodes, 2, dtype=torch.float64)
    z = torch.stack([q.at(x.padded(e)) for e in noise])  # type: ignore[attr-defined]
    w = torch.stack([r.at(y.padded(e[order])) for e in noise])  # type: ignore[attr-defined]
    log_x, log_y = m.decode(z, sizes=x.sizes).log_prob(x), m.decode(w, sizes=y.sizes).log_prob(y)
    assert torch.allclose(log_x, log_y) and torch.allclose(q.log_prob(z), r.log_prob(w))
    assert torch.allclose(m.trace(x).kl["z"], m.trace(y).kl["z"])
    assert not torch.equal(x.edges, y.edges)


@torch.no_grad()
def test_padding_and_batching_change_no_bound() -> None:
    x, m = some(), model().double()
    x = Graphs(x.sizes, x.edges, features=x.features.double())  # type: ignore[union-attr]
    torch.manual_seed(0)
    plain = m.trace(x, k=4)
    torch.manual_seed(0)
    roomy = m.trace(x.roomy(30), k=4)
    for bound in (bounds.elbo, bounds.importance_weighted):
        assert torch.allclose(bound(plain), bound(roomy), rtol=1e-12)
    assert roomy.latents["z"].z.shape[-2] == 30 and plain.latents["z"].z.shape[-2] == 7
    # With the largest graph gone the rest have fewer rows; the KL is exact and the likelihood is taken at the mean.
    alone = x[1:2]
    assert torch.allclose(m.trace(alone).kl["z"], plain.kl["z"][1:2], rtol=1e-12)
    at_mean = m.decode(m.posterior_mean(x), sizes=x.sizes).log_prob(x)
    assert torch.allclose(
        m.decode(m.posterior_mean(alone), sizes=alone.sizes).log_prob(alone), at_mean[1:2], rtol=1e-12
    )


@torch.no_grad()
def test_the_bound_lies_below_the_likelihood_and_masses_of_all_graphs_sum_to_one() -> None:
    """Σ_A p(A) = 1 by Monte Carlo over the prior, and ELBO ≤ IW-K ≤ log p(A) for each of the 8 graphs of 3 nodes."""
    every, m = every_graph(3), model(features=1).double()
    every = Graphs(every.sizes, every.edges, features=torch.ones(every.nodes, 1, dtype=torch.float64))
    torch.manual_seed(0)
    z = torch.randn(20000, 1, 3, 2, dtype=torch.float64).expand(-1, len(every), -1, -1)
    log_p = bounds.log_mean_exp(m.decode(z, sizes=every.sizes).log_prob(every))
    assert log_p.exp().sum().item() == pytest.approx(1.0, abs=1e-9)
    many = m.trace(every, k=20000)
    assert bool((bounds.elbo(many) <= log_p + 0.02).all())
    assert torch.allclose(bounds.importance_weighted(many), log_p, atol=0.05)


@torch.no_grad()
def test_the_chunked_bound_is_the_whole_one() -> None:
    x, m = some(), model().eval()
    torch.manual_seed(0)
    found = bounds.log_likelihood(m, x, k=6, rows=6)  # type: ignore[arg-type]
    assert found.values.shape == (3,) and found.measure == "mass"
    torch.manual_seed(0)
    each = [bounds.importance_weighted(m.trace(x[i], k=6)) for i in range(3)]
    assert torch.allclose(found.values, torch.cat(each), atol=1e-5)


def test_a_plain_graph_autoencoder_is_refused_for_a_computed_reason() -> None:
    x, m = some(), model(delta=True)
    assert "point mass" in str(bounds.refusal(m.trace(x)))
    with pytest.raises(bounds.NotALikelihood, match="point mass"):
        bounds.log_likelihood(m, x, k=3)  # type: ignore[arg-type]
    assert bounds.refusal(model().trace(x)) is None


def test_posteriors_that_do_not_factorise_over_nodes_are_refused() -> None:
    class Odd(FullNormal):
        def forward(self, *context: object) -> torch.distributions.Distribution:
            return super().forward(torch.zeros(2, 3))

    with pytest.raises(UserError, match="diagonal-normal or delta"):
        GraphVAE(Odd(mlp(3, 4)), Edges(4), {3: 1}).encode(some())


def test_pos_weight_shapes_the_loss_and_never_the_bound() -> None:
    x, m = some(), model()
    torch.manual_seed(0)
    trace = m.trace(x)
    edges, rest = trace.px.log_parts(x)  # type: ignore[attr-defined]
    plain, heavy = EdgeReconstruction()(trace), EdgeReconstruction("balanced")(trace)
    assert torch.allclose(plain, -trace.log_px.mean(0))
    counts = x.graph_of[x.edges[:, 0]].bincount(minlength=3)
    pairs = x.sizes * (x.sizes - 1) // 2
    weight = (pairs - counts) / counts
    assert torch.allclose(balance(x), weight) and torch.allclose(heavy, -(weight * edges + rest).mean(0))
    assert torch.allclose(bounds.elbo(trace), trace.log_px.mean(0) - trace.kl["z"])
    total = Objective(EdgeReconstruction(2.0), Rate(per="latent"))(trace)[MODEL].total
    assert torch.allclose(total, (-(2 * edges + rest).mean(0) + trace.kl["z"]).mean())


def test_balance_counts_observed_pairs_and_survives_a_graph_without_edges() -> None:
    empty = Graphs(torch.tensor([3]), torch.empty(0, 2, dtype=torch.int64))
    assert balance(empty).tolist() == [1.0]
    one = Graphs(torch.tensor([4]), torch.tensor([[0, 1]]), hidden=torch.tensor([[1, 2], [2, 3]]))
    assert balance(one).tolist() == [3.0]
    trace = model(features=1).trace(Graphs(empty.sizes, empty.edges, features=torch.ones(3, 1)))
    assert torch.isfinite(EdgeReconstruction("balanced")(trace)).all()


def test_gradients_reach_every_parameter() -> None:
    x, m = some(), model()
    loss = Objective(EdgeReconstruction(), Rate(per="latent"))(m.trace(x))[MODEL].total
    grads = torch.autograd.grad(loss, list(m.parameters()))
    assert all(float(g.abs().sum()) > 0 and bool(torch.isfinite(g).all()) for g in grads)


@torch.no_grad()
def test_samples_have_the_training_sizes_and_the_prior_s_edges() -> None:
    m = model()
    torch.manual_seed(1)
    x = m.sample(600)
    assert isinstance(x, Graphs) and len(x) == 600
    share = float((x.sizes == 5).double().mean())
    assert set(x.sizes.tolist()) == {3, 5} and share == pytest.approx(2 / 3, abs=4 * math.sqrt(2 / 9 / 600))
    cold = m.sample(50, temperature=1e-6)
    assert len(cold) == 50


def test_features_are_one_row_a_graph_and_reconstructions_graphs() -> None:
    x, m = some(), model()
    assert m.features(x).shape == (3, 2) and m.node_codes(x).shape == (15, 2)
    again = m.reconstruct(x)
    assert torch.equal(again.sizes, x.sizes)
    px = m.decode(m.posterior_mean(x), sizes=x.sizes)
    assert isinstance(px, EdgesFamily)
    assert torch.equal(again.edges, px.mode.edges)


def test_without_features_each_node_of_the_one_graph_has_an_indicator() -> None:
    x = some((6,))
    bare = Graphs(x.sizes, x.edges)
    told = Graphs(x.sizes, x.edges, features=torch.eye(6))
    net = GraphNet(6, (5,), 2)
    assert torch.allclose(net(bare), net(told), atol=1e-6)
