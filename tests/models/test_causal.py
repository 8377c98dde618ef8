"""Concepts with a learned graph: the search against every graph there is, densities, and what an intervention moves."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from vaekit.data.loading import load
from vaekit.data.scenes import SCENES
from vaekit.errors import UserError
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.causal import distance
from vaekit.models.causal import CausalVAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.causal import CausalPrior, best_graph, causal_order
from vaekit.training.concept_source import some_labelled

EDGES = [(i, j) for i in range(3) for j in range(3) if i != j]


def acyclic(parents: Tensor) -> bool:
    try:
        causal_order(parents)
    except ValueError:
        return False
    return True


def every_graph() -> list[Tensor]:
    found = []
    for bits in product([False, True], repeat=len(EDGES)):
        graph = torch.zeros(3, 3, dtype=torch.bool)
        for (i, j), is_one in zip(EDGES, bits):
            graph[i, j] = is_one
        found += [graph] if acyclic(graph) else []
    return found


@pytest.mark.parametrize("seed", range(8))
def test_the_graph_is_the_best_of_all(seed: int) -> None:
    torch.manual_seed(seed)
    scores, edge = torch.randn(3, 8), 0.3
    power = 2 ** torch.arange(3)

    def worth(graph: Tensor) -> float:
        own = scores[torch.arange(3), (graph.long() * power).sum(1)]
        return float(own.sum()) - edge * int(graph.sum())

    graphs = every_graph()
    assert len(graphs) == 25, "directed acyclic graphs of three nodes"
    assert worth(best_graph(scores, edge)) == pytest.approx(max(map(worth, graphs)), abs=1e-5)


def prior(parents: list[list[int]]) -> CausalPrior:
    torch.manual_seed(3)
    made = CausalPrior(len(parents), 1)
    torch.nn.init.normal_(made.mechanisms.scales, std=0.5)
    made.parents.copy_(torch.tensor(parents, dtype=torch.bool))
    return made


@torch.no_grad()
def test_the_prior_is_a_density_and_its_samples_are_of_it() -> None:
    made = prior([[0, 1, 0], [0, 0, 0], [1, 1, 0]])()
    z = made.sample((40_000,))
    wide = torch.distributions.StudentT(5.0, made.sample((2000,)).mean(0), 1.5 * z.std(0))
    x = wide.sample(torch.Size((200_000,)))
    mass = (made.log_prob(x) - wide.log_prob(x).sum(-1)).exp()
    assert float(mass.mean()) == pytest.approx(1, abs=4 * float(mass.std()) / len(x) ** 0.5 + 0.01)
    noise = torch.randn(50, 4)
    at = made.at(noise)
    loc, log_scale = made.mechanisms(at[:, :3], made.parents)
    assert torch.allclose((at[:, :3] - loc) / log_scale.exp(), noise[:, :3], atol=1e-4)


@torch.no_grad()
def test_every_mechanism_is_the_one_of_its_set() -> None:
    made = prior([[0, 1, 0], [0, 0, 0], [1, 1, 0]])
    u = torch.randn(5, 3)
    table, whole = made.every(u), made().log_prob(torch.cat([u, torch.zeros(5, 1)], 1))
    assert torch.allclose(table[:, 0, 2] + table[:, 1, 0] + table[:, 2, 3] - 0.9189385, whole, atol=1e-5)
    moved = u.clone()
    moved[:, 2] += 1
    assert torch.equal(made.every(moved)[:, 0, 2], table[:, 0, 2]), "what is no parent is not seen"


def model() -> CausalVAE:
    made = CausalVAE(DiagonalNormal(mlp(6, 4)), prior([[0, 0, 0], [1, 0, 0], [0, 1, 0]]), Gaussian(mlp(4, 6)))
    return made.eval()


@torch.no_grad()
def test_what_is_set_moves_its_effects_and_nothing_else() -> None:
    m, u = model(), torch.randn(7, 3)
    assert torch.allclose(m.counterfactual(u, {}), u, atol=1e-5), "nothing set, nothing moved"
    after = m.counterfactual(u, {1: torch.full((7,), 2.0)})
    assert torch.equal(after[:, 0], u[:, 0]) and bool((after[:, 1] == 2).all()) and not torch.allclose(after, u)
    same = m.counterfactual(u, {1: u[:, 1]})
    assert torch.allclose(same, u, atol=1e-5), "set to what it was"
    first = m.counterfactual(u, {0: u[:, 0] + 1})
    assert bool((first != u).all()), "all follow the first of a chain"


def test_labels_teach_the_graph_of_a_chain() -> None:
    torch.manual_seed(0)
    m = model().train()
    m.prior.parents.zero_()
    optimiser = torch.optim.Adam(m.parameters(), 1e-2)
    for step in range(400):
        a = torch.rand(128) * 3.4 - 1.7
        b = a.square() - 1 + 0.2 * torch.randn(128)
        c = (2 * b).sin() + 0.2 * torch.randn(128)
        y = torch.stack([a, torch.ones(128), b, torch.ones(128), c, torch.ones(128)], 1)
        trace = m.trace_concepts(torch.zeros(128, 6), y)
        optimiser.zero_grad()
        (-trace.log_py.mean()).backward()
        optimiser.step()
        m.after_step(step)
    assert m.concept_graph().tolist() == [[False, True, False], [False, False, True], [False, False, False]]


@pytest.mark.parametrize("curved", [True, False])
def test_a_straight_mechanism_with_normal_noise_has_no_direction(curved: bool) -> None:
    """The case that cannot be identified: both orders of two normal concepts are one density."""
    torch.manual_seed(0)
    made = CausalPrior(2, 1)
    optimiser = torch.optim.Adam(made.parameters(), 1e-2)
    scores = torch.zeros(2, 4)
    for step in range(600):
        a = torch.randn(512)
        b = (a.square() - 1) / 2**0.5 if curved else a
        b = (b + 0.5 * torch.randn(512)) / 1.25**0.5
        every = made.every(torch.stack([a, b], 1))
        optimiser.zero_grad()
        (-every.mean()).backward()
        optimiser.step()
        if step >= 400:
            scores += every.detach().mean(0) / 200
    forward, backward = scores[0, 0] + scores[1, 1], scores[1, 0] + scores[0, 2]
    assert (float(forward - backward) > 0.1) if curved else (abs(float(forward - backward)) < 0.02)


def test_no_label_moves_the_bound() -> None:
    m, x = model(), torch.randn(4, 6)
    y = torch.tensor([[1.0, 1.0] * 3] * 4)
    torch.manual_seed(0)
    without = m.trace(x, k=3).log_w
    torch.manual_seed(0)
    made = m.trace_concepts(x, y, k=3)
    assert torch.equal(made.log_w, without) and made.whole.all()
    y[0, 1] = 0
    assert m.trace_concepts(x, y).whole.tolist() == [False, True, True, True]


# -- scenes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENES)
def test_scenes_are_what_their_graph_says(name: str) -> None:
    scene = SCENES[name]
    v = scene.sample(200, seed=1)
    assert acyclic(torch.from_numpy(scene.graph.T))
    for i, one in enumerate(scene.names):
        same = scene.intervened(v, one, v[:, i])
        assert abs(same - v).max() < 1e-12
        moved = abs(scene.intervened(v, one, v[:, i] + 0.3) - v).max(0) > 1e-9
        reached = {i}
        for j in range(len(scene.names)):
            reached |= {j} if any(scene.graph[k, j] for k in reached) else set()
        assert set(moved.nonzero()[0].tolist()) == reached
    pictures = scene.draw(v[:5])
    assert pictures.shape == (5, 32, 32) and len({picture.tobytes() for picture in pictures}) == 5
    with pytest.raises(UserError, match="no factor 'moon'"):
        scene.intervened(v, "moon", 0.5)


def test_distance_counts_pairs() -> None:
    truth = SCENES["tank"].graph
    turned, extra = truth.copy(), truth.copy()
    turned[0, 2], turned[2, 0] = False, True
    extra[0, 1] = True
    assert (distance(truth, truth), distance(truth, turned), distance(truth, extra), distance(truth, 0 * truth)) == (
        *(0, 1, 1, 3),
    )


def test_a_share_of_the_labels_is_shown() -> None:
    data = load("shadows")
    shown = some_labelled(data, 0, 0.1).data.train.y
    assert shown is not None and int((shown != 0).any(1).sum()) == round(0.1 * len(data.train))
    assert torch.equal(shown, some_labelled(data, 0, 0.1).data.train.y)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no concepts"):
        some_labelled(load("digits"), 0, 0.1)
