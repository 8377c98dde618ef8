"""Objectives: values by hand, signs, scales that batch and image size do not change, gradients, and players."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import toys
from linear_gaussian import LinearGaussian
from vaekit import bounds
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.errors import UserError
from vaekit.objectives.adversaries import FoolData, JudgeData
from vaekit.objectives.base import MODEL, OBJECTIVES, Objective, Term, mean_over_samples
from vaekit.objectives.codes import Cost
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.objectives.prediction import Prediction
from vaekit.objectives.semisupervised import Classification, HiddenLabels, ShownLabels
from vaekit.trace import Latent, PredictiveTrace, SemiSupervisedTrace, Trace
from vaekit.training.loop import fit
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage


def _trace(loc: Tensor, log_scale: Tensor, x: Tensor | None = None, k: int = 1) -> Trace:
    """N(loc, exp(2 log_scale)) against N(0, I), decoded to N(z's first number, 1) for each element of x."""
    q = DiagonalNormalFamily(loc, log_scale)
    z = q.rsample(torch.Size((k,)))
    x = torch.zeros(len(loc), 4) if x is None else x
    mean = z[..., :1].expand(*z.shape[:-1], x.shape[-1])
    latent = Latent(q, StandardNormalFamily(torch.zeros(loc.shape[-1])), z, z)
    return Trace(x, None, {"z": latent}, DiagonalNormalFamily(mean, torch.zeros_like(mean)))


def _loss(objective: Objective, trace: Trace) -> Tensor:
    return objective(trace)[MODEL].total


# -- what a term needs of a trace -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("term", "needs"),
    [
        (HiddenLabels(), "SemiSupervisedTrace"),
        (ShownLabels(), "SemiSupervisedTrace"),
        (Classification(), "SemiSupervisedTrace"),
        (Prediction(), "PredictiveTrace"),
        (FoolData(nn.Linear(toys.FEATURES, 1)), "GeneratingTrace"),
        (JudgeData(nn.Linear(toys.FEATURES, 1)), "GeneratingTrace"),
        (Cost("commitment"), "a model whose quantiser has that cost"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Term) else "",
)
def test_a_term_that_a_model_cannot_serve_is_refused_at_the_first_step(term: Term, needs: str) -> None:
    term.player = MODEL
    with pytest.raises(UserError, match=f"^the term '{term.name}' needs .*{needs}"):
        _train(Objective(term))


# -- values and signs -------------------------------------------------------------------------------------------------


def test_the_rate_by_hand() -> None:
    """½ Σ (μ² + σ² - log σ² - 1): for μ = (1, 2), σ = (1, e): ½ (1) + ½ (4 + e² - 3)."""
    trace = _trace(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 1.0]]))
    expected = 0.5 + 0.5 * (4 + math.exp(2) - 2 - 1)
    assert Rate()(trace).item() == pytest.approx(expected, rel=1e-6)


def test_the_reconstruction_by_hand_has_its_constant_and_is_summed() -> None:
    x = torch.tensor([[1.0, -2.0, 0.5, 3.0]])
    trace = _trace(torch.tensor([[1.0]]), torch.full((1, 1), -20.0), x)
    expected = 0.5 * ((x - 1).square().sum().item() + 4 * math.log(2 * math.pi))
    assert Reconstruction()(trace).item() == pytest.approx(expected, rel=1e-5)


def test_the_loss_is_the_negative_elbo() -> None:
    trace = _trace(torch.randn(6, 2), torch.randn(6, 2), torch.randn(6, 4), k=3)
    torch.testing.assert_close(_loss(negative_elbo(), trace), -bounds.elbo(trace).mean())
    weighted = _loss(negative_elbo(4.0), trace)
    torch.testing.assert_close(weighted, -(trace.log_px.mean() - 4 * trace.kl["z"].mean()))
    parts = negative_elbo(4.0)(trace)[MODEL].parts
    torch.testing.assert_close(parts["rate"], trace.kl["z"].mean())
    torch.testing.assert_close(parts["reconstruction"], -trace.log_px.mean())


def test_the_gradient_of_the_rate_pulls_the_posterior_to_the_prior() -> None:
    loc, log_scale = torch.tensor([[2.0]]).requires_grad_(), torch.tensor([[1.5]]).requires_grad_()
    _loss(Objective(Rate()), _trace(loc, log_scale)).backward()
    assert loc.grad is not None and loc.grad.item() == pytest.approx(2.0)
    assert log_scale.grad is not None and log_scale.grad.item() == pytest.approx(math.exp(3) - 1, rel=1e-5)


# -- scales -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective", [negative_elbo(2.0), negative_elbo(free_bits=0.5), Objective(ImportanceWeighted(k=3))]
)
def test_a_doubled_batch_has_the_same_loss(objective: Objective) -> None:
    one = _trace(torch.randn(6, 2), torch.randn(6, 2), torch.randn(6, 4), k=3)
    latent = one.latents["z"]
    assert isinstance(latent.q, DiagonalNormalFamily) and isinstance(one.px, DiagonalNormalFamily)
    q = DiagonalNormalFamily(latent.q.loc.repeat(2, 1), latent.q.log_scale.repeat(2, 1))
    z = latent.z.repeat(1, 2, 1)
    px = DiagonalNormalFamily(one.px.loc.repeat(1, 2, 1), one.px.log_scale.repeat(1, 2, 1))
    two = Trace(one.x.repeat(2, 1), None, {"z": Latent(q, latent.p, z, z)}, px)
    torch.testing.assert_close(_loss(objective, one), _loss(objective, two))


def test_a_tiled_image_scales_the_reconstruction_by_its_pixels_and_leaves_the_rate() -> None:
    x, loc, log_scale = torch.randn(6, 4), torch.randn(6, 2), torch.randn(6, 2)
    losses: list[Any] = []
    for times in (1, 4):
        torch.manual_seed(0)
        losses.append(negative_elbo()(_trace(loc, log_scale, x.repeat(1, times)))[MODEL])
    torch.testing.assert_close(losses[1].parts["reconstruction"], 4 * losses[0].parts["reconstruction"])
    torch.testing.assert_close(losses[1].parts["rate"], losses[0].parts["rate"])
    expected = 4 * losses[0].parts["reconstruction"] + losses[0].parts["rate"]
    torch.testing.assert_close(losses[1].total, expected)


def test_samples_are_averaged_not_summed() -> None:
    trace = _trace(torch.randn(5, 2), torch.randn(5, 2), k=8)
    torch.testing.assert_close(Reconstruction(k=8)(trace), -trace.log_px.sum(0) / 8)
    assert negative_elbo(k=8).k == 8


# -- free bits --------------------------------------------------------------------------------------------------------


def _two_dimensions() -> Trace:
    """Mean KL of the dimensions over the batch: ½·(0 + 4)/2 = 1 and ½·(0.04 + 0)/2 = 0.01."""
    return _trace(torch.tensor([[0.0, 0.2], [2.0, 0.0]]), torch.zeros(2, 2))


@pytest.mark.parametrize(
    ("per", "free_bits", "charged"),
    [
        ("dimension", 0.0, 1.01),
        ("dimension", 0.3, 1.3),
        ("dimension", 2.0, 4.0),
        ("latent", 0.3, 1.01),
        ("latent", 2.0, 2.0),
    ],
)
def test_free_bits_by_hand(per: Any, free_bits: float, charged: float) -> None:
    rate = Rate(free_bits=free_bits, per=per)
    assert float(rate(_two_dimensions()).mean()) == pytest.approx(charged, rel=1e-5)


def test_free_bits_take_the_gradient_from_dimensions_that_are_below() -> None:
    loc = torch.tensor([[0.0, 0.2], [2.0, 0.0]]).requires_grad_()
    Rate(free_bits=0.3)(_trace(loc, torch.zeros(2, 2))).backward()
    assert loc.grad is not None
    torch.testing.assert_close(loc.grad, torch.tensor([[0.0, 0.0], [1.0, 0.0]]))


def test_free_bits_follow_a_schedule() -> None:
    rate = Rate(free_bits="linear 2 0 10")
    assert float(rate(_two_dimensions())) == pytest.approx(4.0)
    rate.free_bits.advance(10, total=20, per_epoch=5)
    assert float(rate(_two_dimensions())) == pytest.approx(1.01, rel=1e-5)


@pytest.mark.parametrize(
    ("schedule", "first", "last"), [("linear 0.5 0 10", 1.5, 1.01), ("linear 0 0.5 10", 1.01, 1.5)]
)
def test_free_bits_may_begin_or_end_at_zero(schedule: str, first: float, last: float) -> None:
    rate = Rate(free_bits=schedule)
    assert float(rate(_two_dimensions()).mean()) == pytest.approx(first, rel=1e-5)
    rate.free_bits.advance(10, total=20, per_epoch=5)
    assert float(rate(_two_dimensions()).mean()) == pytest.approx(last, rel=1e-5)


@pytest.mark.parametrize("shape", [(4,), (1, 4), (3, 4), (3, 1), (1, 1)])
def test_a_mean_over_samples_is_one_number_an_example(shape: tuple[int, ...]) -> None:
    value = torch.randn(shape)
    found = mean_over_samples(value)
    assert found.shape == shape[-1:]
    torch.testing.assert_close(found, value.reshape(-1, shape[-1]).sum(0) / value.reshape(-1, shape[-1]).shape[0])


def test_the_rate_of_named_latents() -> None:
    one, other = _two_dimensions().latents["z"], _trace(torch.ones(2, 1), torch.zeros(2, 1)).latents["z"]
    trace = Trace(torch.zeros(2, 1), None, {"a": one, "b": other}, StandardNormalFamily(torch.zeros(1)))
    assert float(Rate()(trace).mean()) == pytest.approx(1.51, rel=1e-5)
    assert float(Rate(latents=["b"])(trace).mean()) == pytest.approx(0.5, rel=1e-5)


# -- importance weighting ---------------------------------------------------------------------------------------------


def _rough() -> tuple[nn.Module, Any, Tensor]:
    toy = LinearGaussian.make(off=0.4)
    return toy.model, toy, toy.sample(6)


def test_the_importance_gradient_favours_the_best_samples() -> None:
    """∇ log (1/K) Σ w = Σ w̃ ∇ log w with w̃ = softmax(log w): written out by hand, and unlike softmax(-log w)."""
    model, toy, x = _rough()
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradient(sign: float | None) -> Tensor:
        torch.manual_seed(0)
        trace = toy.model.trace(x, k=5)
        if sign is None:
            value = _loss(Objective(ImportanceWeighted(k=5)), trace)
        else:
            weights = torch.softmax(sign * trace.log_w.detach(), 0)
            value = -(weights * trace.log_w).sum(0).mean()
        return torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)])

    torch.testing.assert_close(gradient(None), gradient(+1.0))
    assert (gradient(None) - gradient(-1.0)).norm() > 0.3 * gradient(None).norm()
    assert (gradient(None) - gradient(0.0)).norm() > 0.1 * gradient(None).norm()


def test_the_importance_objectives_value_is_the_bound() -> None:
    """Σ w̃ log w, the surrogate some report, exceeds the bound by KL(w̃ ‖ uniform)."""
    _, toy, x = _rough()
    with torch.no_grad():
        trace = toy.model.trace(x, k=5)
        loss = -_loss(Objective(ImportanceWeighted(k=5)), trace)
    by_hand = trace.log_w.exp().mean(0).log().mean()
    torch.testing.assert_close(loss, by_hand)
    weights = trace.log_w.softmax(0)
    surrogate = (weights * trace.log_w).sum(0).mean()
    assert surrogate > loss + 0.05
    divergence = (weights * (weights * 5).log()).sum(0).mean()
    torch.testing.assert_close(surrogate - divergence, loss)


def test_with_one_sample_it_is_the_elbo_with_a_sampled_kl() -> None:
    _, toy, x = _rough()
    trace = toy.model.trace(x, k=1)
    torch.testing.assert_close(_loss(Objective(ImportanceWeighted(k=1)), trace), -trace.log_w.mean())


# -- schedules in objectives ------------------------------------------------------------------------------------------


def _train(objective: Objective, **options: Any) -> Any:
    torch.manual_seed(0)
    settings = TrainSettings(**({"epochs": 2, "batch_size": 32, "device": "cpu"} | options))
    return fit(toys.gaussian_model(), [Stage(objective)], toys.Examples(torch.randn(64, toys.FEATURES)), settings)


@pytest.mark.parametrize("beta", ["linear 0 1 10ep", "linear 0 1 5", "sigmoid 0 1 200%"])
def test_a_warm_up_longer_than_the_run_warns(beta: str) -> None:
    with pytest.warns(UserWarning, match=r"takes .* steps but the run has 4: it ends at .* instead of 1; shorten it"):
        _train(negative_elbo(beta))


def test_a_warm_up_ends_at_its_last_value_and_is_in_the_state() -> None:
    objective = negative_elbo("linear 0 1 50%")
    _train(objective)
    weights = {name: float(value) for name, value in objective.state_dict().items()}
    assert weights["terms.1.weight.value"] == 1.0
    assert weights["terms.0.weight.value"] == 1.0


def test_a_weight_scales_its_term_alone() -> None:
    trace = _two_dimensions()
    plain, heavy = (Objective(Reconstruction(), Rate(beta))(trace)[MODEL] for beta in (1.0, 3.0))
    torch.testing.assert_close(heavy.total - plain.total, 2 * plain.parts["rate"])


# -- players ----------------------------------------------------------------------------------------------------------


def test_players_have_their_own_parameters_and_losses() -> None:
    objective = toys.with_critic(Reconstruction(), Rate())
    assert objective.player_names == [MODEL, "critic"]
    assert list(objective.own_parameters(MODEL)) == []
    assert len(list(objective.own_parameters("critic"))) == len(list(toys.critic().parameters()))
    losses = objective(toys.gaussian_model().trace(torch.randn(9, toys.FEATURES)))
    assert set(losses[MODEL].parts) == {"reconstruction", "rate", "ratio"}
    assert set(losses["critic"].parts) == {"critic"}


def test_a_player_without_terms_is_not_named() -> None:
    assert Objective(Reconstruction(), Rate(), players={"idle": toys.critic()}).player_names == [MODEL]


def test_a_player_without_a_network_and_two_terms_of_a_name_are_refused() -> None:
    with pytest.raises(ValueError, match="no network was given for the players"):
        Objective(Reconstruction(), toys.Critic(toys.critic()))
    with pytest.raises(ValueError, match="share a name"):
        Objective(Rate(), Rate())


def test_every_term_is_registered_with_its_source() -> None:
    registered = {entry.part: entry for entry in OBJECTIVES}
    terms = [Term]
    for term in terms:
        terms += term.__subclasses__()
        if term.__module__.startswith("vaekit.objectives") and term is not Term and not term.__name__.startswith("_"):
            assert term in registered and registered[term].summary and registered[term].reference, term


def test_values_of_prediction_and_classification() -> None:
    """Of three examples and two samples: -E log p(t|z), 0 without targets; -log q(y|x) over the shown labels."""
    z, x = torch.zeros(2, 3, 1), torch.zeros(3, 1)
    q = DiagonalNormalFamily(torch.zeros(3, 1), torch.zeros(3, 1))
    parts = (x, torch.tensor([1, -1, 0]), {"z": Latent(q, StandardNormalFamily(torch.zeros(1)), z, z)})
    px = DiagonalNormalFamily(z, z)
    log_pt = torch.tensor([[-1.0, -2.0, -3.0], [-3.0, -4.0, -7.0]])
    assert Prediction()(PredictiveTrace(*parts, px, log_pt=log_pt)).tolist() == [2.0, 3.0, 5.0]
    assert Prediction()(PredictiveTrace(*parts, px, log_pt=None)).tolist() == [0.0, 0.0, 0.0]
    log_qy = torch.tensor([[0.3, 0.7], [0.5, 0.5], [0.1, 0.9]]).log()
    hidden = torch.tensor([False, True, False])
    found = Classification()(SemiSupervisedTrace(*parts, px, hidden=hidden, log_qy=log_qy))
    assert float(found) == pytest.approx(-(math.log(0.7) + math.log(0.1)) / 2)
