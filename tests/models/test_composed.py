"""Two models in a row: the hierarchy's bound against quadrature, what each stage trains, where labels go."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.composed import Stacked, TwoStage
from vaekit.models.semisupervised import SemiSupervised
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.trace import SemiSupervisedTrace

X = torch.tensor([[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)


def two_stage(seed: int = 0) -> TwoStage:
    torch.manual_seed(seed)
    first = VAE(DiagonalNormal(mlp(4, 1, (6,))), StandardNormal(1), Bernoulli(mlp(1, 4, (6,))))
    second = VAE(DiagonalNormal(mlp(1, 1, (6,))), StandardNormal(1), Gaussian(mlp(1, 1, (6,)), scale=0.7))
    with torch.no_grad():
        for parameter in [*first.likelihood.parameters(), *second.likelihood.parameters()]:
            parameter.mul_(2.0)  # an untrained decoder hardly tells codes apart
        for part in (first.posterior, second.posterior):
            assert part.net is not None
            part.net.set_bias(1, torch.tensor([0.6]))  # wide enough for importance weights without a heavy tail
        assert first.posterior.net is not None
        first.posterior.net.set_bias(0, torch.tensor([2.3]))  # about where p(z) is
    return TwoStage(first, second).double().eval()


def log_marginal(log_values: Tensor, log_weights: Tensor) -> Tensor:
    return torch.logsumexp(log_values + log_weights.view(-1, *[1] * (log_values.dim() - 1)), 0)


@torch.no_grad()
def exact(model: TwoStage, x: Tensor) -> Tensor:
    """log p(x) = log ∫∫ p(u) p(z|u) p(x|z) du dz: Gauss-Hermite in u, a fine grid in z."""
    t, w = np.polynomial.hermite_e.hermegauss(120)
    u = torch.from_numpy(t).unsqueeze(1)
    z = torch.linspace(-12, 12, 6001, dtype=torch.float64).view(-1, 1)
    pz = model.second.decode(u)
    log_pz = log_marginal(pz.log_prob(z.unsqueeze(1)).mT, torch.from_numpy(np.log(w / math.sqrt(2 * math.pi))))
    px = model.first.decode(z.unsqueeze(1).expand(-1, len(x), 1))
    step = math.log(float(z[1] - z[0]))
    return torch.logsumexp(px.log_prob(x) + log_pz.unsqueeze(1) + step, 0)


@torch.no_grad()
def test_the_bound_is_the_hierarchys() -> None:
    model = two_stage()
    truth = exact(model, X)
    torch.manual_seed(1)
    trace = model.trace(X, k=20_000)
    assert bounds.refusal(trace) is None
    values = trace.log_w
    elbo = bounds.elbo(trace)
    slack = 4 * values.std(0) / 20_000**0.5
    assert bool((elbo < truth + slack).all())
    # The closed form in u alone lowers the noise: the mean is that of the log-weights.
    assert bool(((elbo - values.mean(0)).abs() < slack).all())
    torch.testing.assert_close(bounds.importance_weighted(trace), truth, rtol=0, atol=0.03)


@torch.no_grad()
def test_a_closed_form_at_given_u_would_be_wrong() -> None:
    """KL(q(z|x) ‖ p(z|u)) averaged over u ~ q(u|z) is not E[log q(z|x) - log p(z|u)]: z and u go together."""
    model = two_stage()
    torch.manual_seed(1)
    trace = model.trace(X, k=20_000)
    latent = trace.latents["z"]
    q = model.first.encode(X)
    pz = trace.inner.px if trace.inner is not None else None
    assert pz is not None and latent.kl_elements is None
    loc, scale = pz.mean.view(20_000, 3), 0.7
    closed = (
        math.log(scale)
        - q.stddev.log().squeeze(1)
        + (q.variance + (q.mean - loc.unsqueeze(-1)) ** 2).squeeze(-1) / (2 * scale**2)
        - 0.5
    )
    off = closed - latent.kl
    assert bool((off.mean(0).abs() > 5 * off.std(0) / 20_000**0.5).all())


@torch.no_grad()
def test_its_samples_are_the_hierarchys() -> None:
    model = two_stage()
    torch.manual_seed(2)
    z = model.sample_latent(200_000)
    t, w = np.polynomial.hermite_e.hermegauss(120)
    loc = model.second.decode(torch.from_numpy(t).unsqueeze(1)).mean.squeeze(1).numpy()
    w = w / math.sqrt(2 * math.pi)
    mean, second = (w * loc).sum(), (w * loc**2).sum() + 0.7**2
    assert abs(float(z.mean()) - mean) < 0.01 and abs(float(z.var()) - (second - mean**2)) < 0.02
    assert model.sample(5).shape == (5, 4)


def test_each_stage_reaches_its_own_model_only() -> None:
    model = two_stage().float().train()
    first, second = list(model.first.parameters()), list(model.second.parameters())
    one = -bounds.elbo(model.trace_first(X.float())).mean()
    grads = torch.autograd.grad(one, [*first, *second], allow_unused=True)
    assert all(g is not None for g in grads[: len(first)]) and all(g is None for g in grads[len(first) :])
    two = -bounds.elbo(model.trace_second(X.float())).mean()
    grads = torch.autograd.grad(two, [*first, *second], allow_unused=True)
    assert all(g is None for g in grads[: len(first)]) and all(g is not None for g in grads[len(first) :])


def test_a_point_mass_in_the_first_model_is_refused() -> None:
    good = two_stage()
    first = VAE(Delta(mlp(4, 1, (6,))), StandardNormal(1), Bernoulli(mlp(1, 4, (6,))))
    reason = bounds.refusal(TwoStage(first, good.second.float()).trace(X.float()))
    assert reason is not None and "point mass" in reason


def stacked() -> Stacked:
    torch.manual_seed(0)
    first = VAE(DiagonalNormal(mlp(4, 2, (6,))), StandardNormal(2), Bernoulli(mlp(2, 4, (6,))))
    px = Gaussian(mlp(1, 2, (6,), context=3), scale=0.7)
    posterior = DiagonalNormal(mlp(5, 1, (6,), context=3))
    second = SemiSupervised(mlp(2, 5, (6,)), mlp(2, 3, (6,)), posterior, StandardNormal(1), px, 3)
    return Stacked(first, second).double().eval()


@torch.no_grad()
def test_stacked_bounds_log_p_of_x_with_the_label_summed_over() -> None:
    model = stacked()
    torch.manual_seed(1)
    trace = model.trace(X, torch.tensor([0, 1, 2]), k=2000)
    assert bounds.refusal(trace) is None
    assert sorted(trace.kl) == ["second.y", "second.z", "z"]
    elbo, tight = bounds.elbo(trace), bounds.log_likelihood(model, X, k=20_000).values
    assert bool((elbo < tight + 0.05).all())
    # Straight from its definition: z's from q(z|x), the second model's own marginal by many samples.
    q = model.first.encode(X)
    z = q.sample(torch.Size((400,)))
    inner = bounds.log_likelihood(model.second, z.flatten(0, 1), k=200).values.view(400, 3)
    log_w = model.first.decode(z).log_prob(X) + inner - q.log_prob(z)
    torch.testing.assert_close(tight, bounds.log_mean_exp(log_w), rtol=0, atol=0.15)


def test_stacked_gives_labels_to_the_second_model_alone() -> None:
    model, y = stacked(), torch.tensor([-1, 1, -1])
    assert model.trace_first(X, y).log_px.shape == (1, 2)  # the shown one is among the hidden already
    assert model.trace_first(X, torch.tensor([0, 1, 2])).log_px.shape == (1, 3)
    trace = model.trace_second(X, y)
    assert isinstance(trace, SemiSupervisedTrace) and trace.hidden.tolist() == [True, False, True]
    assert model.class_log_probs(X).shape == (3, 3)
    assert model.float().sample(4, torch.tensor([0, 1, 2, 0])).shape == (4, 4)
