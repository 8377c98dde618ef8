"""M2 on a tiny model: its bounds against quadrature over z and a sum over labels, by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.metrics.base import METRICS, Subject
from vaekit.models.semisupervised import EnumeratedTrace, SemiSupervised
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.semisupervised import Classification, HiddenLabels, ShownLabels
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

C = 3
X = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 0.0, 0.0]])


def model(seed: int = 0) -> SemiSupervised:
    torch.manual_seed(seed)
    q = DiagonalNormal(mlp(5, 1, (6,), context=C))
    assert q.net is not None
    px = Bernoulli(mlp(1, 4, (6,), context=C))
    made = SemiSupervised(mlp(4, 5, (6,)), mlp(4, C, (6,)), q, StandardNormal(1), px, C)
    with torch.no_grad():
        for parameter in [*px.parameters(), *made.classifier.parameters()]:
            parameter.mul_(2.5)  # an untrained network hardly tells labels or codes apart
        q.net.set_bias(1, torch.tensor([0.3]))  # wide enough for importance weights without a heavy tail
    return made.double().eval()


@torch.no_grad()
def by_class(m: SemiSupervised, x: Tensor) -> Tensor:
    """log p(x|y) for every y by Gauss-Hermite quadrature over z, (B, C)."""
    t, w = np.polynomial.hermite_e.hermegauss(200)
    z = torch.from_numpy(t).view(-1, 1, 1).expand(-1, len(x), 1)
    log_w = torch.from_numpy(np.log(w / math.sqrt(2 * math.pi)))
    columns = []
    for c in range(C):
        y = torch.full((len(x),), c)
        columns.append(torch.logsumexp(m.decode(z, y).log_prob(x) + log_w.unsqueeze(1), 0))
    return torch.stack(columns, 1)


@torch.no_grad()
def test_the_bound_without_labels_is_below_the_brute_force_sum_over_labels() -> None:
    m, x = model(), X.double()
    exact = torch.logsumexp(by_class(m, x), 1) - math.log(C)
    torch.manual_seed(1)
    trace = m.trace(x, k=4000)
    assert bounds.refusal(trace) is None
    elbo = bounds.elbo(trace)
    slack = 4 * trace.log_w.std(0) / 4000**0.5
    assert bool((elbo < exact + slack).all()) and bool((exact - elbo < 5).all())
    tight = bounds.log_likelihood(m, x, k=4000).values
    torch.testing.assert_close(tight, exact, rtol=0, atol=0.03)


@torch.no_grad()
def test_the_bound_without_labels_is_the_sum_over_labels_of_its_parts() -> None:
    """-U(x) = Σ_y q(y|x) [-L(x, y) - log q(y|x)], each L traced by itself with the label shown."""
    m, x = model(), X.double()
    log_qy = m.class_log_probs(x)
    torch.manual_seed(1)
    whole = bounds.elbo(m.trace(x, k=3000))
    parts = torch.stack([bounds.elbo(m.trace(x, torch.full((len(x),), c), k=3000)) for c in range(C)], 1)
    torch.testing.assert_close(whole, (log_qy.exp() * (parts - log_qy)).sum(1), rtol=0, atol=0.1)


@torch.no_grad()
def test_a_shown_label_gives_the_bound_on_the_joint_and_says_so() -> None:
    m, x, y = model(), X.double(), torch.tensor([0, 1, 2, 1])
    exact = by_class(m, x).gather(1, y.unsqueeze(1)).squeeze(1) - math.log(C)
    torch.manual_seed(1)
    trace = m.trace(x, y, k=4000)
    reason = bounds.refusal(trace)
    assert reason is not None and "log p(x, y)" in reason
    assert bool((bounds.elbo(trace) < exact + 0.05).all())
    torch.testing.assert_close(bounds.importance_weighted(trace), exact, rtol=0, atol=0.03)
    torch.testing.assert_close(trace.kl["y"], torch.full((4,), math.log(C), dtype=torch.float64))


@torch.no_grad()
def test_a_mixed_batch_gives_each_example_what_it_gets_alone() -> None:
    m, x, y = model(), X.double(), torch.tensor([-1, 1, -1, 2])
    torch.manual_seed(1)
    mixed = m.trace(x, y, k=3000)
    hidden, shown = m.trace(x[[0, 2]], None, k=3000), m.trace(x[[1, 3]], y[[1, 3]], k=3000)
    for rows, alone in (([0, 2], hidden), ([1, 3], shown)):
        torch.testing.assert_close(bounds.elbo(mixed)[rows], bounds.elbo(alone), rtol=0, atol=0.1)
        torch.testing.assert_close(
            bounds.importance_weighted(mixed)[rows], bounds.importance_weighted(alone), rtol=0, atol=0.03
        )
        torch.testing.assert_close(mixed.kl["z"][rows], alone.kl["z"])
        torch.testing.assert_close(mixed.latents["z"].q.mean[rows], alone.latents["z"].q.mean)


@torch.no_grad()
def test_the_latent_by_example_averages_over_the_label() -> None:
    m, x = model(), X.double()
    trace = m.trace(x, k=2)
    assert isinstance(trace, EnumeratedTrace)
    latent, weights = trace.latents["z"], m.class_log_probs(x).exp()
    each = [m.encode(x, torch.full((len(x),), c)) for c in range(C)]
    mean = sum(weights[:, c : c + 1] * each[c].mean for c in range(C))
    second = sum(weights[:, c : c + 1] * (each[c].variance + each[c].mean ** 2) for c in range(C))
    assert isinstance(mean, Tensor)
    torch.testing.assert_close(latent.q.mean, mean)
    torch.testing.assert_close(latent.q.variance, second - mean**2)
    assert latent.kl_elements is not None and latent.z.shape == (2, 4, 1)
    torch.testing.assert_close(latent.kl_elements.sum(-1), trace.kl["z"])


def test_the_objective_weighs_its_three_terms() -> None:
    m, x, y = model(), X.double(), torch.tensor([-1, 1, -1, 2])
    torch.manual_seed(1)
    trace = m.trace(x, y)
    loss = Objective(HiddenLabels(), ShownLabels(0.25), Classification(3.0)).double()(trace)[MODEL]
    elbo = bounds.elbo(trace)
    nll = F.nll_loss(m.class_log_probs(x)[[1, 3]], y[[1, 3]])
    expected = -elbo[[0, 2]].mean() - 0.25 * elbo[[1, 3]].mean() + 3 * nll
    torch.testing.assert_close(loss.total, expected)
    torch.manual_seed(1)
    alone = Objective(HiddenLabels(), ShownLabels(0.25), Classification(3.0)).double()(m.trace(x))[MODEL]
    assert float(alone.parts["shown"]) == 0 and float(alone.parts["classification"]) == 0


def test_gradients_are_finite_where_the_classifier_is_certain() -> None:
    m, x = model(), X.double()
    with torch.no_grad():
        m.classifier.head.bias.copy_(torch.tensor([2000.0, 0.0, -2000.0]))  # pyright: ignore[reportCallIssue]
    loss = -bounds.elbo(m.trace(x)).mean()
    grads = torch.autograd.grad(loss, list(m.parameters()))
    assert bool(torch.isfinite(loss)) and all(bool(torch.isfinite(grad).all()) for grad in grads)


@torch.no_grad()
def test_codes_hold_the_label_beside_z() -> None:
    m, x = model(), X.double()
    z = m.posterior_mean(x)
    y = m.class_log_probs(x).argmax(-1)
    assert z.shape == (4, 1 + C) and torch.equal(z[:, 1:].argmax(-1), y)
    torch.testing.assert_close(m.reconstruct(x), m.decode(m.encode(x, y).mean, y).mean)
    assert m.float().sample(6, torch.arange(6) % C).shape == (6, 4) and m.sample(5).shape == (5, 4)


@torch.no_grad()
def test_its_accuracy_is_that_of_the_likeliest_label() -> None:
    m = model().float()
    x = torch.bernoulli(torch.full((40, 4), 0.5), generator=torch.Generator().manual_seed(0))
    y = torch.arange(40) % C
    log_p = m.class_log_probs(x)
    info = DataInfo("toy", (4,), "binary", 2, 0, 0, 40, ("a", "b", "c"))
    found = METRICS["accuracy"].part(Subject(m, info, x, y, batch_size=7))
    assert found["accuracy"].value == pytest.approx(float((log_p.argmax(1) == y).double().mean()))
    assert found["label_log_prob"].value == pytest.approx(float(log_p[torch.arange(40), y].mean()), abs=1e-6)
