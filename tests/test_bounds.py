"""Bounds: plain whatever was trained, refused for computed reasons, averaged over examples and not over batches."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, Normal, kl_divergence

import toys
from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.distributions.base import Family
from vaekit.distributions.bernoulli import BernoulliFamily, SoftBernoulliFamily
from vaekit.distributions.categorical import OneHot
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.distributions.point import PointMass
from vaekit.errors import NotALikelihood, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.trace import Latent, Trace
from vaekit.training.loop import fit
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage
from vaekit.training.validation import held_out

# -- log-mean-exp ---------------------------------------------------------------------------------------------------


def test_log_mean_exp_divides_by_the_samples_there_are() -> None:
    log_w = torch.randn(7, 3, dtype=torch.float64) * 3
    torch.testing.assert_close(bounds.log_mean_exp(log_w), log_w.exp().mean(0).log())
    same = torch.full((13, 2), -4.25)
    torch.testing.assert_close(bounds.log_mean_exp(same), torch.full((2,), -4.25))


def test_log_mean_exp_of_far_out_weights_stays_finite() -> None:
    log_w = torch.tensor([[-1e5], [-1e5 - 50.0]])
    torch.testing.assert_close(bounds.log_mean_exp(log_w), torch.tensor([-1e5 - math.log(2)]))
    assert bounds.log_mean_exp(torch.full((3, 1), -math.inf)).item() == -math.inf


@pytest.mark.parametrize(("k", "rows"), [(10, 4), (7, 5), (1, 512), (513, 512), (100, 33)])
def test_a_k_that_chunks_do_not_divide_draws_and_divides_by_k(k: int, rows: int) -> None:
    toy = LinearGaussian.make()
    drawn: list[int] = []
    inner = toy.model.trace

    def counting(x: Tensor, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        drawn.append(k)
        assert hard
        return inner(x, y, k, hard)

    toy.model.trace = counting  # pyright: ignore[reportAttributeAccessIssue]
    x = toy.sample(1)
    found = bounds.log_likelihood(toy.model, x, k=k, rows=rows)
    assert sum(drawn) == k
    torch.testing.assert_close(found.values, toy.marginal().log_prob(x), rtol=0, atol=1e-9)


# -- refusals -------------------------------------------------------------------------------------------------------


def _trace(q: Distribution, p: Distribution, px: Distribution, x: Tensor, **more: Any) -> Trace:
    z = q.sample(torch.Size((1,)))
    return Trace(x, None, {"z": Latent(q, p, z, z)}, px, **more)


class _Relaxed(DiagonalNormalFamily):
    relaxed = True


class _Scoreless(StandardNormalFamily):
    measure = "none"


Q = DiagonalNormalFamily(torch.zeros(4, 2), torch.zeros(4, 2))
P = StandardNormalFamily(torch.zeros(2))
LOGITS = torch.zeros(1, 4, 3)
BITS = torch.ones(4, 3)


@pytest.mark.parametrize(
    ("trace", "reason"),
    [
        (
            _trace(PointMass(torch.zeros(4, 2)), P, BernoulliFamily(LOGITS), BITS),
            r"point mass on a continuous latent.*infinite",
        ),
        (
            _trace(_Relaxed(Q.loc, Q.log_scale), P, BernoulliFamily(LOGITS), BITS),
            "relaxation of a discrete posterior",
        ),
        (_trace(Q, _Scoreless(torch.zeros(2)), BernoulliFamily(LOGITS), BITS), "the prior of z has no density"),
        (_trace(Q, P, SoftBernoulliFamily(LOGITS), BITS), "SoftBernoulli is not a normalised distribution"),
        (_trace(Q, P, BernoulliFamily(LOGITS), BITS * 0.5), "4 of 4 examples lie outside the support.*Bernoulli"),
        (
            _trace(Q, P, BernoulliFamily(LOGITS), torch.eye(4)[:, :3] * 2),
            "3 of 4 examples lie outside the support",
        ),
        (_trace(Q, P, BernoulliFamily(LOGITS), BITS, refusal="the data were shuffled"), "the data were shuffled"),
    ],
)
def test_refusals_name_the_part(trace: Trace, reason: str) -> None:
    with pytest.raises(NotALikelihood, match=reason) as error:
        bounds.require(trace)
    assert isinstance(error.value, UserError)
    assert bounds.refusal(trace) == error.value.reason


def test_what_bounds_is_not_refused() -> None:
    assert bounds.refusal(_trace(Q, P, BernoulliFamily(LOGITS), BITS)) is None
    code = PointMass(torch.eye(3)[[0, 1, 2, 0]])
    assert bounds.refusal(_trace(code, OneHot(torch.zeros(3)), BernoulliFamily(LOGITS), BITS)) is None


def test_every_chunk_of_data_is_checked() -> None:
    model = toys.flow_model()
    x = toys.bits(40)
    x[-1] = 0.5
    with pytest.raises(NotALikelihood, match="outside the support"):
        bounds.log_likelihood(model, x, k=3, rows=6)


# -- held-out scores --------------------------------------------------------------------------------------------------


def _still_model() -> VAE:
    """A model whose ELBO has no noise: the decoder does not look at z, and the KL is a closed form."""
    model = VAE(DiagonalNormal(mlp(3, 2, ())), StandardNormal(2), Bernoulli(mlp(2, 3, ()))).double()
    net = model.likelihood.net
    assert net is not None and isinstance(net.head, nn.Linear)
    nn.init.zeros_(net.head.weight)
    return model.eval()


def _held_out(model: VAE, x: Tensor, size: int, objective: Objective | None = None) -> Any:
    return held_out(model.trace, objective or negative_elbo(), toys.Examples(x).valid(size), seed=0)


def test_a_short_last_batch_weighs_by_its_examples() -> None:
    model, x = _still_model(), toys.bits(53).double()
    # The last examples differ from the others, so an average over batches would show.
    x[-4:] = 1 - x[-4:]
    whole = bounds.elbo(model.trace(x)).detach()
    for size in (7, 50, 500):
        found = _held_out(model, x, size)
        assert found.n == 53
        assert found.elbo == pytest.approx(float(whole.mean()), abs=1e-9)
        assert found.loss == pytest.approx(-float(whole.mean()), abs=1e-9)
        assert found.stderr == pytest.approx(float(whole.std()) / math.sqrt(53), abs=1e-9)
        assert found.terms["log_px"] - found.terms["kl.z" if "kl.z" in found.terms else "kl"] == pytest.approx(
            found.elbo
        )


@pytest.mark.parametrize(
    "objective",
    [
        negative_elbo(4.0),
        negative_elbo(0.0),
        negative_elbo(free_bits=3.0),
        negative_elbo("linear 0 1 50%"),
        Objective(Reconstruction(weight=10.0), Rate(0.5, free_bits=1.0, per="latent")),
    ],
)
def test_the_reported_elbo_does_not_depend_on_the_training_loss(objective: Objective) -> None:
    model, x = _still_model(), toys.bits(20).double()
    found = _held_out(model, x, 7, objective)
    assert found.elbo == pytest.approx(float(bounds.elbo(model.trace(x)).detach().mean()), abs=1e-9)
    assert found.elbo != pytest.approx(-found.loss, abs=1e-3)


def test_the_logged_elbo_is_plain_too() -> None:
    x = toys.bits(64)
    records: list[dict[str, Any]] = []

    class Keep:
        def log(self, record: Any) -> None:
            records.append(dict(record))

        def close(self) -> None:
            pass

    settings = TrainSettings(epochs=2, batch_size=64, device="cpu", lr=1e-9)
    torch.manual_seed(0)
    model = _still_model().float()
    expected = float(bounds.elbo(model.trace(x)).detach().mean())
    fit(model, [Stage(negative_elbo(9.0, free_bits=2.0))], toys.Examples(x), settings, loggers=[Keep()])
    training = [record["elbo"] for record in records if "elbo" in record]
    held = [record["valid.elbo"] for record in records if "valid.elbo" in record]
    assert training == pytest.approx([expected] * 2, abs=1e-4)
    assert held == pytest.approx([expected] * 2, abs=1e-4)


def test_held_out_scores_repeat_and_leave_the_random_state_alone() -> None:
    torch.manual_seed(0)
    model, x = toys.gaussian_model().eval(), torch.randn(30, toys.FEATURES)
    torch.manual_seed(1)
    first = _held_out(model, x, 10)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after)
    assert _held_out(model, x, 10).elbo == first.elbo


def test_no_held_out_examples_is_said() -> None:
    found = _held_out(_still_model(), torch.zeros(0, 3), 10)
    assert found.elbo is None and found.n == 0
    assert found.refused == "there are no held-out examples"


# -- evaluation does not sample where it says it does not -----------------------------------------------------------


def test_reconstructions_and_features_are_deterministic_unless_asked() -> None:
    model, x = toys.gaussian_model().eval(), torch.randn(8, toys.FEATURES)
    with torch.no_grad():
        assert torch.equal(model.reconstruct(x), model.reconstruct(x))
        assert torch.equal(model.features(x), model.features(x))
        torch.testing.assert_close(model.features(x), model.encode(x).mean)
        torch.testing.assert_close(model.reconstruct(x), model.decode(model.encode(x).mean).mean)
        assert not torch.equal(model.reconstruct(x, sample=True), model.reconstruct(x, sample=True))


def test_log_likelihood_takes_no_gradients() -> None:
    toy = LinearGaussian.make()
    assert not bounds.log_likelihood(toy.model, toy.sample(2), k=3).values.requires_grad


def test_families_are_told_apart_by_measure() -> None:
    assert issubclass(BernoulliFamily, Family)
    toy = LinearGaussian.make()
    assert bounds.log_likelihood(toy.model, toy.sample(2), k=3).measure == "density"
    assert bounds.log_likelihood(toys.flow_model(), toys.bits(2), k=3).measure == "mass"


@pytest.mark.parametrize("k", [1, 3])
def test_what_a_weight_has_beside_its_parts_is_averaged_over_samples_too(k: int) -> None:
    z = Q.rsample(torch.Size((k,)))
    latents, px = {"z": Latent(Q, P, z, z)}, BernoulliFamily(torch.randn(k, 4, 3))
    plain = bounds.elbo(Trace(BITS, None, latents, px))
    extra = torch.randn(k, 4)
    found = bounds.elbo(Trace(BITS, None, latents, px, log_w_extra=extra))
    assert found.shape == (4,)
    torch.testing.assert_close(found, plain + extra.mean(0))
    torch.testing.assert_close(bounds.elbo(Trace(BITS, None, latents, px, log_w_extra=extra[0])), plain + extra[0])


def test_sampled_kls_are_averaged_over_the_samples_and_latents_are_added() -> None:
    """A mixture has no closed KL, so it is (K, B); the unit normal's is (B,): by hand, one sample at a time."""
    mixture = MixtureSameFamily(Categorical(torch.ones(2)), Independent(Normal(torch.randn(2, 3), 1.0), 1))
    q, normal = Independent(Normal(torch.randn(2, 3), 0.5), 1), Independent(Normal(torch.zeros(2, 3), 1.0), 1)
    z, x = q.sample(torch.Size((4,))), torch.randn(2, 3)
    px = Independent(Normal(z, 1.0), 1)
    trace = Trace(x, None, {"a": Latent(q, mixture, z, z), "b": Latent(q, normal, z, z)}, px)
    assert trace.kl["a"].shape == (4, 2) and trace.kl["b"].shape == (2,)
    rate = (q.log_prob(z) - mixture.log_prob(z)).mean(0) + kl_divergence(q, normal)
    torch.testing.assert_close(bounds.elbo(trace), px.log_prob(x).mean(0) - rate)


def zhang_and_stephens(weights: list[float]) -> float:
    """The shape of a generalised Pareto tail as their paper derives it, M + 1 rising weights, one number at a time."""
    x = [w - weights[0] for w in weights[1:]]
    n = len(x)
    m = 30 + math.floor(math.sqrt(n))
    quartile = x[math.floor(n / 4 + 0.5) - 1]
    theta = [1 / x[-1] + (1 - math.sqrt(m / (j - 0.5))) / (3 * quartile) for j in range(1, m + 1)]

    def kappa(t: float) -> float:
        return -sum(math.log(1 - t * one) for one in x) / n

    fit = [n * (math.log(t / kappa(t)) + kappa(t) - 1) for t in theta]
    posterior = [1 / sum(math.exp(other - mine) for other in fit) for mine in fit]
    shape = -kappa(sum(t * p for t, p in zip(theta, posterior, strict=True)))
    return n / (n + 10) * shape + 10 / (n + 10) * 0.5


@pytest.mark.parametrize("m", [5, 6, 7, 17, 60])
@pytest.mark.parametrize("spread", [0.5, 2.0])
def test_pareto_shape_is_zhang_and_stephenss(m: int, spread: float) -> None:
    top = (spread * torch.randn(m + 1, 3, generator=torch.Generator().manual_seed(m))).sort(0, descending=True).values
    expected = [zhang_and_stephens(w) for w in top.double().exp().flip(0).T.tolist()]
    for shift in (0.0, 400.0):  # weights' scale is nothing to their shape
        torch.testing.assert_close(bounds.pareto_shape(top.double() + shift).tolist(), expected, rtol=1e-6, atol=1e-6)
    assert bool(bounds.pareto_shape(top[:5]).isnan().all())  # M = 4


def test_a_tails_shape_is_that_of_its_largest_weights() -> None:
    assert [bounds.tail_length(k) for k in (24, 25, 100, 225, 400, 10_000)] == [4, 5, 20, 45, 60, 300]
    log_w = torch.randn(100, 4, generator=torch.Generator().manual_seed(0))
    largest = log_w.sort(0, descending=True).values[:21]
    assert torch.equal(bounds.tail_shape(log_w), bounds.pareto_shape(largest))
    assert bool(bounds.tail_shape(log_w[:24]).isnan().all()) and bool(bounds.tail_shape(log_w[:25]).isfinite().all())
