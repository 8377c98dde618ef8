"""Importance-weighted objectives: their order, their axes, and gradients that agree in expectation."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from vaekit.bounds import importance_weighted
from vaekit.conditional import Likelihood, Posterior, Prior
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.hierarchy import BottomUp
from vaekit.models.topdown import Rung, TopDown, Upward
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives import samples
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
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.base import PRIORS
from vaekit.priors.normal import ConditionalNormal
from vaekit.trace import Latent, Trace


def model(posterior: str = "diagonal-normal", prior: str = "standard-normal", **options: Any) -> VAE:
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


def gradients(vae: Any, k: int, kind: Gradient, n: int, rounds: int = 30) -> tuple[Tensor, Tensor]:
    """Per-repeat gradients of the encoder and of the others, (rounds, P) each: `n` independent repeats a round."""
    roles = [(role, p) for role, _, p in vae.parameter_roles() if p.requires_grad]
    groups = [[p for role, p in roles if (role == "encoder") == mine] for mine in (True, False)]
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


def bottom_up() -> BottomUp:
    torch.manual_seed(0)
    posteriors = [DiagonalNormal(mlp(3, 2, (4,))), DiagonalNormal(mlp(2, 2, (4,))), DiagonalNormal(mlp(2, 1, (4,)))]
    priors = [ConditionalNormal(mlp(2, 2, (4,))), ConditionalNormal(mlp(1, 2, (4,)))]
    return _rough(BottomUp(posteriors, priors, Bernoulli(mlp(2, 3, (4,)))))


def ladder() -> TopDown:
    torch.manual_seed(0)
    up = Upward([mlp(3, 4, (4,)), mlp(4, 4, (4,))], norm="layer")
    return _rough(TopDown(up, [Rung(1, 4, 0), Rung(2, 4, 1, mlp(1, 2, (4,)))], Bernoulli(mlp(2, 3, (4,)))))


def _rough(made: Any) -> Any:
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(1.5).add_(0.1)
    return made.double()


@pytest.mark.parametrize("kind", ["dreg", "gdreg"])
@pytest.mark.parametrize("make", [bottom_up, ladder, lambda: model(prior="vamp")], ids=["bottom-up", "ladder", "vamp"])
def test_of_hierarchies_and_of_the_vampprior_too(make: Callable[[], Any], kind: Gradient) -> None:
    """Three levels inferred upwards, two downwards whose q holds the prior's net, and a prior made of posteriors."""
    made = make()
    torch.manual_seed(1)
    plain, dreg = gradients(made, 6, "plain", 700, 20), gradients(made, 6, kind, 700, 20)
    assert agree(plain[0], dreg[0]) and agree(plain[1], dreg[1])


def test_once_trained_each_varies_less_where_it_says() -> None:
    """Path derivatives help where q is near: DReG the encoder's gradient, GDReG that of the priors too."""
    made = bottom_up()
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    adam = torch.optim.Adam(made.parameters(), 0.02)
    torch.manual_seed(2)
    for _ in range(150):
        adam.zero_grad()
        ImportanceWeighted(8)(made.trace(every, k=8)).mean().backward()
        adam.step()
    kinds: tuple[Gradient, ...] = ("plain", "dreg", "gdreg")
    found = {kind: gradients(made, 32, kind, 20, 40) for kind in kinds}
    prior = sum(p.numel() for p in made.priors.parameters())  # which come first of the decoder's
    q, p = (
        {kind: float(one[i].var(0)[:size].sum()) for kind, one in found.items()} for i, size in ((0, None), (1, prior))
    )
    assert q["dreg"] < 0.5 * q["plain"] and q["gdreg"] < 0.5 * q["plain"]
    assert p["gdreg"] < 0.8 * p["plain"] and p["dreg"] == pytest.approx(p["plain"], rel=0.5)


def test_a_level_below_counts_through_the_one_above_it() -> None:
    """The check of hierarchies can fail: without the correction for what samples hand to samples they are biased."""
    made = bottom_up()
    torch.manual_seed(3)
    plain = gradients(made, 6, "plain", 700, 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samples, "own_slopes", samples.slopes)
        wrong = gradients(made, 6, "dreg", 700, 20)
    assert not agree(plain[0], wrong[0])


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

    discrete = {"model.posterior": "bernoulli", "model.prior": "bernoulli", "model.straight_through": True}
    with pytest.raises(UserError, match="discrete"):
        train("dreg", "digits", steps=1, out=tmp_path / "run", set=discrete)
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
