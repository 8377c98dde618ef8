"""Gradients of discrete latents against the exact ones: every code is enumerated, and so is every set of samples."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit.bounds import importance_weighted
from vaekit.distributions.base import detached
from vaekit.distributions.bernoulli import BernoulliFamily
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.relaxed import coupled_bits, coupled_one_hot
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.joint import Given, JointVAE
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective, Term
from vaekit.objectives.elbo import Rate, Reconstruction
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.objectives.samples import inner
from vaekit.objectives.scores import Rebar, Reinforce, WakeSleep
from vaekit.posteriors.bernoulli import BernoulliPosterior
from vaekit.posteriors.categorical import CategoricalPosterior
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.bernoulli import BernoulliPrior
from vaekit.priors.categorical import UniformCategorical
from vaekit.priors.normal import StandardNormal
from vaekit.trace import CoupledTrace, Latent, Trace, extended

BITS = 3
X = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)


def bits(temperature: float = 0.5) -> VAE:
    torch.manual_seed(0)
    q = BernoulliPosterior(mlp(4, BITS, (8,)), temperature)
    model = VAE(q, BernoulliPrior(BITS), Bernoulli(mlp(BITS, 4, (8,)))).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)
        for parameter in model.prior.parameters():
            parameter.copy_(torch.tensor([0.3, -0.5, 0.8]))
    return model


def every(dims: int = BITS) -> Tensor:
    """All codes, (2^D, D)."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=dims)), dtype=torch.float64)


def at(model: VAE, z: Tensor, x: Tensor = X) -> Trace:
    """Return the trace of one example at given samples (K, B, D), its B sets of samples side by side."""
    x = x.expand(z.shape[1], -1)
    return Trace(x, None, {"z": Latent(model.encode(x), model.prior_of(), z, z)}, model.decode(z))


def sets(k: int) -> Tensor:
    """All ordered sets of K codes, (K, 2^(DK), D)."""
    codes = every()
    return torch.stack([codes[list(one)] for one in itertools.product(range(len(codes)), repeat=k)], 1)


def gradient(model: VAE, value: Tensor) -> Tensor:
    found = torch.autograd.grad(value, list(model.parameters()), allow_unused=True, retain_graph=True)
    return torch.cat(
        [torch.zeros(p.numel()).to(p) if g is None else g.flatten() for p, g in zip(model.parameters(), found)]
    )


def chances(trace: Trace) -> Tensor:
    """The probability of each set of samples, (B,), differentiable."""
    return trace.latents["z"].log_q_code.sum(0).exp()


def exact_elbo(trace: Trace) -> Tensor:
    return (chances(trace) * trace.log_w.mean(0)).sum()


def exact_bound(trace: Trace) -> Tensor:
    return (chances(trace) * importance_weighted(trace)).sum()


@pytest.mark.parametrize(
    ("objective", "exact", "k"),
    [
        (Objective(Reinforce(2), Rate()), exact_elbo, 2),
        (Objective(Reinforce(3), Rate()), exact_elbo, 3),
        (Objective(ImportanceWeighted(2, gradient="vimco")), exact_bound, 2),
        (Objective(ImportanceWeighted(3, gradient="vimco")), exact_bound, 3),
    ],
    ids=["reinforce-2", "reinforce-3", "vimco-2", "vimco-3"],
)
def test_score_functions_are_unbiased(objective: Objective, exact: Callable[[Trace], Tensor], k: int) -> None:
    """The mean over every set of samples, each with its probability, is the gradient of the summed-out bound."""
    model, codes = bits(), sets(k)
    trace = at(model, codes)
    total: Any = sum(term(trace) for term in objective.each())
    mean = gradient(model, (chances(trace).detach() * total).sum())
    torch.testing.assert_close(mean, -gradient(model, exact(trace)), rtol=1e-9, atol=1e-11)


def test_a_baseline_that_sees_its_own_sample_would_be_biased() -> None:
    """The check above can fail: the mean of all samples as the baseline is 1/K short."""
    model, codes = bits(), sets(2)
    trace = at(model, codes)
    signal = (trace.log_px - trace.log_px.mean(0)).detach()
    wrong = -(trace.log_px + signal * trace.latents["z"].log_q_code).mean(0) + Rate()(trace)
    mean = gradient(model, (chances(trace).detach() * wrong).sum())
    assert (mean + gradient(model, exact_elbo(trace))).norm() > 0.05 * mean.norm()


def variance(model: VAE, term: Callable[[Trace], Tensor], k: int) -> float:
    """The trace of the covariance of a gradient, exactly."""
    trace = at(model, sets(k))
    chance, value = chances(trace).detach(), term(trace)
    each = torch.stack([gradient(model, one) for one in value])
    mean = (chance[:, None] * each).sum(0)
    return float((chance[:, None] * (each - mean).square()).sum())


def test_baselines_reduce_the_variance() -> None:
    model = bits()

    def plain(trace: Trace) -> Tensor:
        return -(trace.log_px + trace.log_px.detach() * trace.latents["z"].log_q_code).mean(0)

    def plain_bound(trace: Trace) -> Tensor:
        bound = importance_weighted(trace)
        return -(bound + bound.detach() * trace.latents["z"].log_q_code.sum(0))

    assert variance(model, Reinforce(2), 2) < 0.5 * variance(model, plain, 2)
    assert variance(model, ImportanceWeighted(2, gradient="vimco"), 2) < 0.5 * variance(model, plain_bound, 2)


def test_values_are_the_bounds_whatever_the_gradient() -> None:
    model = bits()
    torch.manual_seed(1)
    trace = model.trace_coupled(X.expand(5, -1), k=4)
    torch.testing.assert_close(Reinforce(4)(trace), -trace.log_px.mean(0))
    torch.testing.assert_close(Rebar(4)(trace), -trace.log_px.mean(0))
    for term in (WakeSleep(4), ImportanceWeighted(4, gradient="vimco")):
        torch.testing.assert_close(term(trace), -importance_weighted(trace))
        with torch.no_grad():
            torch.testing.assert_close(term(trace), -importance_weighted(trace))


# -- REBAR ------------------------------------------------------------------------------------------------------------


def drawn(model: VAE, objective: Objective, trace: Callable[..., Trace], k: int, rounds: int, n: int) -> Tensor:
    """Independent gradients, (rounds, P), each a mean of `n`."""
    out = []
    for _ in range(rounds):
        one = trace(X.expand(n, -1), k=k)
        total: Any = sum(term(one) for term in objective.each())
        out.append(gradient(model, total.mean()))
    return torch.stack(out)


def off(found: Tensor, exact: Tensor) -> Tensor:
    """How many standard errors the mean of gradients is from the exact one."""
    error = (found.var(0) / len(found)).sqrt()
    return ((found.mean(0) - exact).abs() / error.clamp(min=1e-12))[error > 0]


@pytest.mark.parametrize("eta", [1.0, 0.4])
def test_rebar_is_unbiased_and_varies_less_than_reinforce(eta: float) -> None:
    model = bits()
    exact = -gradient(model, exact_elbo(at(model, every()[None])))
    torch.manual_seed(2)
    rebar = drawn(model, Objective(Rebar(1, eta), Rate()), model.trace_coupled, 1, 40, 500)
    none = drawn(
        model, Objective(Rebar(1, 0.0), Rate()), model.trace_coupled, 1, 40, 500
    )  # REINFORCE without a baseline
    assert float(off(rebar, exact).max()) < 4.5
    assert float(rebar.var(0).sum()) < 0.5 * float(none.var(0).sum())


def test_the_relaxation_is_biased() -> None:
    """What the unbiased ones are for: the same check finds Gumbel's bias."""
    model = bits(1.0)
    exact = -gradient(model, exact_elbo(at(model, every()[None])))
    torch.manual_seed(3)
    found = drawn(model, Objective(Reconstruction(), Rate()), model.trace, 1, 40, 500)
    assert float(off(found, exact).max()) > 10


def test_coupled_codes_have_one_distribution_given_the_hard_one() -> None:
    """ζ and ζ̃ have the same quantiles given b, for bits and for one-hot codes; b has q's probabilities."""
    torch.manual_seed(4)
    logits = torch.tensor([[0.8, -1.5]], dtype=torch.float64)
    b, soft, given = coupled_bits(BernoulliFamily(logits), torch.tensor(1.0), 40_000)
    torch.testing.assert_close(b.mean(0), torch.sigmoid(logits), rtol=0, atol=0.01)
    marks = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    for j, value in itertools.product(range(2), (0.0, 1.0)):
        rows = b[:, 0, j] == value
        one, two = (torch.quantile(s[rows, 0, j], marks) for s in (soft, given))
        torch.testing.assert_close(one, two, rtol=0, atol=0.015)
    logits = torch.tensor([[0.8, -0.5, 0.0]], dtype=torch.float64)
    b, soft, given = coupled_one_hot(OneHot(logits), torch.tensor(1.0), 40_000)
    torch.testing.assert_close(b.mean(0), logits.softmax(-1), rtol=0, atol=0.01)
    for i, j in itertools.product(range(3), range(3)):
        rows = b[:, 0, i] == 1
        one, two = (torch.quantile(s[rows, 0, j], marks) for s in (soft, given))
        torch.testing.assert_close(one, two, rtol=0, atol=0.02)


# -- wake-sleep -------------------------------------------------------------------------------------------------------


def test_wake_sleep_by_hand() -> None:
    """θ: Σ w̃ ∇ log p(x, z); φ: Σ w̃ ∇ log q(z|x)."""
    model = bits()
    trace = at(model, every()[:5, None])
    weights = trace.log_w.detach().softmax(0)
    found = gradient(model, WakeSleep(5)(trace).sum())
    latent = trace.latents["z"]
    expected = gradient(model, -(weights * (trace.log_px + latent.log_p_code)).sum())
    expected = expected + gradient(model, -(weights * latent.log_q_code).sum())
    torch.testing.assert_close(found, expected)


def test_wake_sleep_takes_no_path_through_continuous_samples() -> None:
    """Of a reparameterised normal it is the same as of samples that are given."""
    torch.manual_seed(0)
    model = VAE(DiagonalNormal(mlp(4, 2, (8,))), StandardNormal(2), Bernoulli(mlp(2, 4, (8,)))).double()
    trace = model.trace(X, k=5)
    z = trace.latents["z"].z.detach()
    torch.testing.assert_close(
        gradient(model, WakeSleep(5)(trace).sum()), gradient(model, WakeSleep(5)(at(model, z)).sum())
    )


# -- other latents, refusals ------------------------------------------------------------------------------------------


def joint() -> JointVAE:
    torch.manual_seed(0)
    posteriors = {"z": DiagonalNormal(Given((1,))), "c": CategoricalPosterior(Given((1,)), classes=3)}
    priors = {"z": StandardNormal(1), "c": UniformCategorical((1, 3))}
    return JointVAE(lambda width: mlp(4, width, (8,)), posteriors, priors, Bernoulli(mlp(4, 4, (8,)))).double()


@pytest.mark.parametrize(
    "objective", [Objective(Reinforce(3), Rate()), Objective(ImportanceWeighted(3, gradient="vimco"))]
)
def test_of_mixed_latents_each_goes_its_way(objective: Objective) -> None:
    """A path for the normal, a score for the category: against the sum over categories of one sample's gradient."""
    model: Any = joint()
    torch.manual_seed(5)
    found = drawn(model, objective, model.trace_hard, 3, 25, 150)

    def summed_out(n: int) -> Tensor:
        """The bound with the categories of all three samples summed out, the normal ones drawn."""
        one = model.trace_hard(X.expand(n, -1), k=3)
        z, c = one.latents["z"], one.latents["c"]
        total: Any = 0.0
        for which in itertools.product(range(3), repeat=3):
            code = torch.eye(3, dtype=torch.float64)[list(which)][:, None, None].expand_as(c.z)
            latent = Latent(c.q, c.p, code, code)
            px = model.decode(torch.cat([z.z.flatten(2), code.flatten(2)], -1))
            trace = Trace(one.x, None, {"z": z, "c": latent}, px)
            each = importance_weighted(trace) if len(list(objective.each())) == 1 else trace.log_w.mean(0)
            total = total + latent.log_q_code.sum(0).exp() * each
        return gradient(model, -total.mean())

    exact = torch.stack([summed_out(150) for _ in range(25)])
    error = ((found.var(0) + exact.var(0)) / len(found)).sqrt()
    assert float(((found.mean(0) - exact.mean(0)).abs() / error.clamp(min=1e-12)).max()) < 5


@pytest.mark.parametrize("term", [Reinforce(3), Rebar(3), ImportanceWeighted(3, gradient="vimco")])
def test_what_has_no_hard_discrete_samples_is_refused(term: Term) -> None:
    model = bits()
    for trace in (model.trace(X, k=3), _straight_through(model).trace(X, k=3), _normal().trace(X, k=3)):
        soft = (trace.latents["z"].z, trace.px)
        with pytest.raises(UserError, match=r"relaxed|hard samples of discrete latents"):
            term(extended(trace, CoupledTrace, soft=soft, given=soft))


def _straight_through(model: VAE) -> VAE:
    posterior: Any = model.posterior
    posterior.straight_through = True
    return model


def _normal() -> VAE:
    return VAE(DiagonalNormal(mlp(4, 2, ())), StandardNormal(2), Bernoulli(mlp(2, 4, ()))).double()


def test_one_sample_has_no_baseline() -> None:
    trace = bits().trace_hard(X)
    for term in (Reinforce(1), ImportanceWeighted(1, gradient="vimco")):
        with pytest.raises(UserError, match=r"k=2 or more"):
            term(trace)


def test_the_posterior_of_bits_holds_its_parameters_when_detached() -> None:
    model = bits()
    q = detached(model.encode(X))
    assert not q.log_prob(every()).requires_grad


def test_products_are_summed_over_an_events_axes_where_it_has_any() -> None:
    slope, sample = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(inner(slope, sample), (slope * sample).sum((2, 3)))
    torch.testing.assert_close(inner(slope[..., 0, 0], sample[..., 0, 0]), (slope * sample)[..., 0, 0])
