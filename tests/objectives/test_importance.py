"""Importance-weighted objectives: their order, their axes, and gradients that agree in expectation."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from vaekit.bounds import importance_weighted
from vaekit.conditional import Likelihood, Posterior, Prior
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.errors import UserError
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.capacity import Capacity
from vaekit.objectives.importance import (
    CombinedImportanceWeighted,
    Gradient,
    ImportanceWeighted,
    MultipleImportanceWeighted,
    combined_importance_weighted,
    multiple_importance_weighted,
)
from vaekit.posteriors.base import POSTERIORS
from vaekit.priors.base import PRIORS
from vaekit.trace import Latent, Trace


def model(posterior: str = "diagonal-normal", prior: str = "standard-normal", **options: Any) -> VAE:
    from vaekit.likelihoods.bernoulli import Bernoulli

    torch.manual_seed(0)
    q = cast(Posterior, POSTERIORS[posterior].part(mlp(3, 2, (4,)), **options))
    entry: Any = PRIORS[prior]
    p = entry.part(q, (3,), components=4) if entry.facts.get("of_posterior") else entry.part(q.latent_shape)
    return VAE(q, cast(Prior, p), cast(Likelihood, Bernoulli(mlp(q.latent_shape, 3, (4,))))).double()


X = torch.tensor([[0.0, 1.0, 1.0]], dtype=torch.float64)


class Weighted(Trace):
    """A trace whose weights are given."""

    log_w = cast(Any, None)


def weights(values: Tensor) -> Trace:
    d = StandardNormalFamily(torch.zeros(1))
    trace = Weighted(None, None, {"z": Latent(d, d, values, values)}, d)
    object.__setattr__(trace, "log_w", values)
    return trace


def test_miwae_averages_over_the_right_axis() -> None:
    """Two bounds of three samples each, for two examples, by hand."""
    w = torch.tensor([[1.0, 2.0], [2.0, 2.0], [3.0, 5.0], [4.0, 1.0], [4.0, 1.0], [1.0, 4.0]])
    expected = [
        0.5 * (math.log((1 + 2 + 3) / 3) + math.log((4 + 4 + 1) / 3)),
        0.5 * (math.log((2 + 2 + 5) / 3) + math.log((1 + 1 + 4) / 3)),
    ]
    torch.testing.assert_close(multiple_importance_weighted(weights(w.log()), 2), torch.tensor(expected))
    with pytest.raises(ValueError, match="4 equal parts"):
        multiple_importance_weighted(weights(w.log()), 4)


def test_bounds_lie_between_the_elbo_and_the_bound_of_all_samples() -> None:
    log_w = 2 * torch.randn(24, 500, dtype=torch.float64)
    trace = weights(log_w)
    ladder = [multiple_importance_weighted(trace, m) for m in (24, 12, 6, 3, 1)]
    torch.testing.assert_close(ladder[0], log_w.mean(0))
    torch.testing.assert_close(ladder[-1], importance_weighted(trace))
    assert all(bool((a <= b + 1e-12).all()) for a, b in zip(ladder, ladder[1:]))  # noqa: RUF007
    mixed = [combined_importance_weighted(trace, beta) for beta in (1.0, 0.7, 0.2, 0.0)]
    torch.testing.assert_close(mixed[0], ladder[0])
    torch.testing.assert_close(mixed[-1], ladder[-1])
    assert all(bool((a <= b + 1e-12).all()) for a, b in zip(mixed, mixed[1:]))  # noqa: RUF007


@pytest.mark.parametrize("gradient", ["plain", "stl", "dreg"])
def test_the_value_is_the_bound_itself(gradient: Gradient) -> None:
    trace = model().trace(X.expand(6, -1), k=7)
    term = ImportanceWeighted(7, gradient=gradient)
    torch.testing.assert_close(term(trace), -importance_weighted(trace))
    with torch.no_grad():
        torch.testing.assert_close(term(trace), -importance_weighted(trace))


def gradients(vae: VAE, k: int, kind: Gradient, n: int) -> tuple[Tensor, Tensor]:
    """Per-repeat gradients of the encoder and of the decoder, (rounds, P) each: `n` independent repeats a round."""
    rounds = 30
    groups = [list(vae.posterior.parameters()), list(vae.likelihood.parameters())]
    out: tuple[list[Tensor], list[Tensor]] = ([], [])
    for _ in range(rounds):
        loss = ImportanceWeighted(k, gradient=kind)(vae.trace(X.expand(n, -1), k=k)).mean()
        found = torch.autograd.grad(loss, groups[0] + groups[1])
        out[0].append(torch.cat([g.reshape(-1) for g in found[: len(groups[0])]]))
        out[1].append(torch.cat([g.reshape(-1) for g in found[len(groups[0]) :]]))
    return torch.stack(out[0]), torch.stack(out[1])


def agree(a: Tensor, b: Tensor) -> bool:
    off = (a.mean(0) - b.mean(0)).abs() / ((a.var(0) + b.var(0)) / len(a)).sqrt().clamp(min=1e-12)
    return bool((off < 5).all())


@pytest.mark.parametrize("posterior", ["diagonal-normal", "full-normal"])
def test_dreg_agrees_with_plain_gradients_and_varies_less(posterior: str) -> None:
    vae = model(posterior)
    torch.manual_seed(1)
    plain, dreg = gradients(vae, 8, "plain", 1000), gradients(vae, 8, "dreg", 1000)
    assert agree(plain[0], dreg[0]) and agree(plain[1], dreg[1])
    assert float(dreg[0].var(0).sum()) < 0.7 * float(plain[0].var(0).sum())


def test_stl_is_unbiased_for_one_sample_and_biased_for_more() -> None:
    vae = model()
    torch.manual_seed(1)
    assert agree(gradients(vae, 1, "plain", 2000)[0], gradients(vae, 1, "stl", 2000)[0])
    one, same = gradients(vae, 1, "stl", 10), gradients(vae, 1, "dreg", 10)
    assert one[0].shape == same[0].shape
    plain, stl = gradients(vae, 8, "plain", 2000), gradients(vae, 8, "stl", 2000)
    assert agree(plain[1], stl[1]) and not agree(plain[0], stl[0])


def test_dreg_through_a_flow_that_knows_its_density_only_at_samples() -> None:
    vae = model("flow", flow="planar", transforms=2)
    torch.manual_seed(1)
    plain, dreg = gradients(vae, 4, "plain", 1000), gradients(vae, 4, "dreg", 1000)
    assert agree(plain[0], dreg[0]) and agree(plain[1], dreg[1])


def test_other_terms_beside_dreg_keep_their_gradients() -> None:
    """The correction belongs to the one term: a second reader of z is not scaled."""
    vae = model()
    trace = vae.trace(X, k=5)
    parameters = list(vae.posterior.parameters())
    both = ImportanceWeighted(5, gradient="dreg")(trace).sum() + trace.latents["z"].z.sum()
    apart = [ImportanceWeighted(5, gradient="dreg")(trace).sum(), trace.latents["z"].z.sum()]
    together = torch.autograd.grad(both, parameters, retain_graph=True)
    each = [torch.autograd.grad(part, parameters, retain_graph=True) for part in apart]
    for a, b, c in zip(together, *each):
        torch.testing.assert_close(a, b + c)


def test_refusals_are_computed() -> None:
    dreg = ImportanceWeighted(3, gradient="dreg")
    with pytest.raises(UserError, match="made of the posterior"):
        dreg(model(prior="vamp").trace(X, k=3))
    vae = model()
    trace = vae.trace(X, k=3)
    two = replace(trace, latents={"z1": trace.latents["z"], "z2": trace.latents["z"]})
    with pytest.raises(UserError, match="several latents"):
        dreg(two)
    soft = model("categorical", "uniform-categorical", classes=3).trace(X, k=3)
    for term in (dreg, ImportanceWeighted(3), MultipleImportanceWeighted(1, 3), CombinedImportanceWeighted(3)):
        with pytest.raises(UserError, match="relaxed"):
            term(soft)
    hard = model("categorical", "uniform-categorical", classes=3, straight_through=True).trace(X, k=3)
    assert torch.isfinite(ImportanceWeighted(3)(hard)).all()
    with pytest.raises(UserError, match="discrete"):
        dreg(hard)


def test_refused_before_anything_is_written(tmp_path: Any) -> None:
    from vaekit.runs.train import train

    with pytest.raises(UserError, match="made of the posterior"):
        train("dreg", "digits", steps=1, out=tmp_path / "run", set={"model.prior": "vamp"})
    assert not (tmp_path / "run").exists()


def test_capacity_is_the_distance_of_the_mean_rate() -> None:
    q = DiagonalNormalFamily(torch.tensor([[1.0], [3.0]]), torch.zeros(2, 1))  # KLs of 0.5 and 4.5 nats
    latent = Latent(q, StandardNormalFamily(torch.zeros(1)), q.mean[None], q.mean[None])
    trace = Trace(None, None, {"a": latent, "b": latent}, q)
    assert float(Capacity(1.0, 2.0, ["a"])(trace)) == pytest.approx(0.5)
    assert float(Capacity(1.0, 2.0)(trace)) == pytest.approx(3.0)
    term = Capacity(7.0, "linear 0 4 10")
    term.capacity.advance(5, total=20, per_epoch=5)
    assert float(term(trace)) == pytest.approx(3.0) and float(term.weight()) == 7.0


def test_m_bounds_of_k_samples_take_m_times_k() -> None:
    term = MultipleImportanceWeighted(4, 6)
    assert term.k == 24 and CombinedImportanceWeighted(6).k == 6
    log_w = torch.randn(24, 5)
    expected = torch.stack([torch.logsumexp(part, 0) - math.log(6) for part in log_w.split(6)]).mean(0)
    torch.testing.assert_close(term.bound(cast(Trace, SimpleNamespace(log_w=log_w))), expected)
    torch.testing.assert_close(term.bound(cast(Trace, SimpleNamespace(log_w=log_w[:1]))), log_w[0])
