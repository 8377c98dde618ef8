"""Hierarchies against exact log p(x): linear-Gaussian chains in closed form, small ones by quadrature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from toys import plane, quadrature
from vaekit import bounds
from vaekit.data.info import DataInfo
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.hierarchy import BottomUp, Hierarchy
from vaekit.models.topdown import Rung, TopDown, Upward, combine, levels
from vaekit.nets.mlp import mlp
from vaekit.nets.stream import EveryResolution, StreamHead
from vaekit.objectives.base import MODEL
from vaekit.objectives.elbo import Rate, negative_elbo
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import ConditionalNormal
from vaekit.recipes.base import RECIPES

# -- linear-Gaussian chains ------------------------------------------------------------------------------------------

FEATURES = 3
# z1 = A z2 + a + s ε and x = W z1 + b + σ ε; A is diagonal and W's columns orthogonal: every posterior is diagonal.
A = torch.tensor([0.9, -0.6], dtype=torch.float64)
SHIFT = torch.tensor([0.3, -0.2], dtype=torch.float64)
S = torch.tensor([0.7, 0.4], dtype=torch.float64)
W = torch.tensor([[1.0, 0.5], [1.0, -0.5], [0.0, 0.8]], dtype=torch.float64)
B0 = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)
SIGMA = 0.5
PRECISION = (W * W).sum(0) / SIGMA**2
"""Of z1 in p(x|z1)."""


def marginal() -> MultivariateNormal:
    covariance = W @ torch.diag(A * A + S * S) @ W.T + SIGMA**2 * torch.eye(FEATURES, dtype=torch.float64)
    return MultivariateNormal(W @ SHIFT + B0, covariance)


def fill(layer: Any, weight: Tensor, bias: Tensor, log_scale: Tensor) -> None:
    """Make a linear layer give the mean weight x + bias and this log-scale (the parts bound it by 7 tanh(·/7))."""
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[: len(bias)] = weight
        layer.bias.copy_(torch.cat([bias, 7 * torch.atanh(log_scale / 7)]))


def decoder() -> Gaussian:
    likelihood: Any = Gaussian(mlp(2, FEATURES, ()), scale=SIGMA).double()
    with torch.no_grad():
        likelihood.net.head.weight.copy_(W)
        likelihood.net.head.bias.copy_(B0)
    return likelihood


def chain_up(off: float) -> BottomUp:
    """q(z1|x) q(z2|z1), exact if `off` is 0."""
    first: Any = DiagonalNormal(mlp(FEATURES, 2, ()))
    second: Any = DiagonalNormal(mlp(2, 2, ()))
    prior: Any = ConditionalNormal(mlp(2, 2, ()))
    model = BottomUp([first, second], [prior], decoder()).double()
    fill(prior.net.head, torch.diag(A), SHIFT, S.log())
    variance = 1 / (PRECISION + 1 / (A * A + S * S))
    gain = variance[:, None] * W.T / SIGMA**2
    fill(first.net.head, gain, variance * SHIFT / (A * A + S * S) - gain @ B0 + off, 0.5 * variance.log() + off)
    variance = 1 / (1 + A * A / (S * S))
    gain = variance * A / (S * S)
    fill(second.net.head, torch.diag(gain), -gain * SHIFT - off, 0.5 * variance.log() + off)
    return model


class Same(nn.Module):
    """The evidence of every level is x itself."""

    def forward(self, x: Tensor) -> list[Tensor]:
        return [x, x]


def ladder(off: float) -> TopDown:
    """q(z2|x) q(z1|z2, x), exact if `off` is 0: then what x says of z1 is p(x|z1) as a normal of z1."""
    top, bottom = Rung(2, FEATURES, 0), Rung(2, FEATURES, 1, mlp(2, 2, ()))
    model = TopDown(Same(), [top, bottom], decoder()).double()
    prior: Any = bottom.prior
    fill(prior.head, torch.diag(A), SHIFT, S.log())
    inverse = W.T / (PRECISION * SIGMA**2)[:, None]
    fill(bottom.posterior, inverse, -inverse @ B0 + off, -0.5 * PRECISION.log() + off)
    given = 1 / PRECISION + S * S  # the variance of x's estimate of z1 around A z2 + a
    variance = 1 / (1 + A * A / given)
    gain = variance * A / given
    fill(top.posterior, gain[:, None] * inverse, -gain * (inverse @ B0 + SHIFT) - off, 0.5 * variance.log() + off)
    return model


CHAINS: dict[str, Callable[[float], Hierarchy]] = {"bottom-up": chain_up, "ladder": ladder}


@pytest.mark.parametrize("name", CHAINS)
def test_with_the_exact_posterior_every_weight_is_log_p_x(name: str) -> None:
    x = marginal().sample((6,))
    trace = CHAINS[name](0.0).trace(x, k=7)
    exact = marginal().log_prob(x)
    torch.testing.assert_close(trace.log_w, exact.expand(7, -1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CHAINS)
def test_bounds_stand_in_order(name: str) -> None:
    x = marginal().sample((4,))
    model = CHAINS[name](0.3)
    exact = marginal().log_prob(x)
    with torch.no_grad():
        trace = model.trace(x, k=20_000)
        elbo, sampled = bounds.elbo(trace), trace.log_w.mean(0)
        noise = trace.log_w.std(0) / 20_000**0.5
        assert bool(((elbo - sampled).abs() < 5 * noise).all())
        few = trace.log_w.unflatten(0, (-1, 10))
        iw = (few.logsumexp(1) - math.log(10)).mean(0)
    assert bool((elbo < iw).all()) and bool((iw < exact).all())
    torch.testing.assert_close(bounds.importance_weighted(trace), exact, rtol=0, atol=0.03)


@pytest.mark.parametrize("name", CHAINS)
def test_kl_is_to_the_prior_at_the_z_that_was_drawn_and_the_top_counts(name: str) -> None:
    trace = CHAINS[name](0.3).trace(marginal().sample((4,)), k=5)
    top, bottom = trace.latents["z2"], trace.latents["z1"]
    assert isinstance(bottom.p, DiagonalNormalFamily) and isinstance(bottom.q, DiagonalNormalFamily)
    torch.testing.assert_close(bottom.p.loc, A * top.z + SHIFT)
    torch.testing.assert_close(bottom.p.scale, S.expand(5, 4, 2))
    found = trace.kl
    for latent, value in ((bottom, found["z1"]), (top, found["z2"])):
        q, p = (torch.distributions.Normal(d.mean, d.stddev.expand_as(d.mean)) for d in (latent.q, latent.p))
        by_torch = torch.distributions.kl_divergence(q, p).sum(-1)
        if name == "bottom-up" and latent is bottom:
            # z2 was drawn given z1, so the closed form at z2 would be another number.
            by_torch = (q.log_prob(latent.z) - p.log_prob(latent.z)).sum(-1)
        torch.testing.assert_close(value.expand(5, 4), by_torch.expand(5, 4))
        elements = latent.kl_elements
        assert elements is not None
        torch.testing.assert_close(elements.sum(-1), value)
    total = found["z1"].mean(0) + (found["z2"] if found["z2"].dim() == 1 else found["z2"].mean(0))
    torch.testing.assert_close(bounds.elbo(trace), trace.log_px.mean(0) - total)
    torch.testing.assert_close(Rate()(trace), total)


def test_precision_weighting_is_the_normalised_product() -> None:
    a = DiagonalNormalFamily(torch.tensor([[0.5]]), torch.tensor([[-0.4]]))
    b = DiagonalNormalFamily(torch.tensor([[-1.2]]), torch.tensor([[0.7]]))
    grid = torch.linspace(-15, 15, 30_001)[:, None, None]
    product = (a.log_prob(grid) + b.log_prob(grid)).exp()
    product = product / (product.sum(0) * 0.001)
    torch.testing.assert_close(combine(a, b).log_prob(grid).exp(), product, rtol=1e-3, atol=1e-5)
    same, other = combine(a, b), combine(b, a)
    torch.testing.assert_close(same.loc, other.loc)
    vague = DiagonalNormalFamily(torch.tensor([[50.0]]), torch.tensor([[7.0]]))
    torch.testing.assert_close(combine(a, vague).loc, a.loc, rtol=1e-3, atol=1e-3)


# -- every kind of hierarchy -----------------------------------------------------------------------------------------


def small_chain() -> Hierarchy:
    posteriors = [
        DiagonalNormal(mlp((1, 4, 4), 3, (8,))),
        DiagonalNormal(mlp(3, 2, (8,))),
        DiagonalNormal(mlp(2, 1)),
    ]
    priors = [ConditionalNormal(mlp(2, 3, (8,))), ConditionalNormal(mlp(1, 2, (8,)))]
    return BottomUp(posteriors, priors, Bernoulli(mlp(3, (1, 4, 4), (8,))))


def small_ladder() -> Hierarchy:
    up = Upward([mlp((1, 4, 4), 8, (8,)), mlp(8, 8, ()), mlp(8, 8, ())])
    rungs = [Rung(1, 8, 0), Rung(2, 8, 1, mlp(1, 2, (8,))), Rung(3, 8, 2, mlp(2, 3, (8,)))]
    return TopDown(up, rungs, Bernoulli(mlp(3, (1, 4, 4), (8,))))


def deep(
    counts: Sequence[int] = (1, 2), sizes: Sequence[tuple[int, int]] = ((1, 1), (2, 2)), latent: int = 2
) -> Hierarchy:
    blocks = levels(counts, sizes, width=6, middle=4, latent=latent)
    up = EveryResolution((1, 4, 4), sizes, 6, 4, blocks=1)
    head = StreamHead((6, *sizes[-1]), (1, 4, 4)) if len(sizes) > 1 else mlp((6, 1, 1), (1, 4, 4), (8,))
    return TopDown(up, blocks, Bernoulli(head))


def stirred(make: Callable[[], Hierarchy]) -> Hierarchy:
    """Return a model off its start, where priors are N(0, I) and some layers are zero."""
    torch.manual_seed(3)
    model = make().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


KINDS = pytest.mark.parametrize("make", [small_chain, small_ladder, deep])


def data(n: int = 5) -> Tensor:
    return (torch.rand(n, 1, 4, 4) > 0.5).float()


@KINDS
def test_samples_lead_at_every_level(make: Callable[[], Hierarchy]) -> None:
    model = stirred(make)
    for k in (1, 4):
        trace = model.trace(data(), k=k)
        assert list(trace.latents) == ["z3", "z2", "z1"] == model.names
        for name, shape in zip(model.names, model.shapes):
            latent = trace.latents[name]
            assert latent.z.shape == (k, 5, *shape)
            assert latent.kl.shape in ((k, 5), (5,)) and latent.log_q_code.shape == (k, 5)
            assert latent.log_p_code.shape == (k, 5)
            if make is not small_chain or name == "z3":
                assert bool((latent.kl >= 0).all())
        assert trace.log_w.shape == (k, 5)
        assert bounds.refusal(trace) is None


@KINDS
def test_gradients_reach_every_parameter(make: Callable[[], Hierarchy]) -> None:
    model = stirred(make).train()
    negative_elbo(k=3)(model.trace(data(), k=3))[MODEL].total.backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool((parameter.grad != 0).any()), name
    roles = {name: role for role, name, _ in model.parameter_roles()}
    assert set(roles) == dict(model.named_parameters()).keys() and set(roles.values()) == {"encoder", "decoder"}
    model.zero_grad()
    model.sample(3).sum().backward()
    for name, parameter in model.named_parameters():
        used = parameter.grad is not None and bool((parameter.grad != 0).any())
        assert used == (roles[name] == "decoder"), name  # sampling needs the prior and the likelihood, and all of them


@KINDS
def test_the_loss_does_not_depend_on_the_batch(make: Callable[[], Hierarchy], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = stirred(make), data(6)
    monkeypatch.setattr(torch, "randn", lambda *shape, **kw: torch.full(*shape, 0.3) if len(shape) == 1 else None)
    objective = negative_elbo()
    whole = objective(model.trace(x))[MODEL].total
    alone = torch.stack([objective(model.trace(x[i : i + 1]))[MODEL].total for i in range(6)])
    torch.testing.assert_close(alone.mean(), whole)
    assert alone.std() > 1e-3


@KINDS
def test_codes_in_the_prior_s_units_are_the_same_latents(make: Callable[[], Hierarchy]) -> None:
    model, x = stirred(make), data()
    u = model.posterior_mean(x)
    assert u.shape == (5, sum(math.prod(s) for s in model.shapes)) and torch.equal(u, model.features(x))
    placed, means = model.place(u), model.encode_all(x)
    for name in model.names:
        torch.testing.assert_close(placed[name], means[name].mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode(u).mean, model.reconstruct(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(model.decode(u.expand(3, -1, -1)).mean[2], model.reconstruct(x), rtol=1e-4, atol=1e-5)
    assert not torch.equal(model.reconstruct(x, sample=True), model.reconstruct(x, sample=True))


def test_weights_agree_with_quadrature_over_codes() -> None:
    """∫ p(x, u) du by quadrature, against importance weights in the latents' own units."""

    def two() -> Hierarchy:
        return deep((2,), ((1, 1),), latent=1)

    def chain() -> Hierarchy:
        posteriors = [DiagonalNormal(mlp((1, 4, 4), 1, (8,))), DiagonalNormal(mlp(1, 1, (8,)))]
        return BottomUp(posteriors, [ConditionalNormal(mlp(1, 1, (8,)))], Bernoulli(mlp(1, (1, 4, 4), (8,))))

    for make in (two, chain):
        model, x = stirred(make), data(3)
        with torch.no_grad():
            for name, parameter in model.named_parameters():  # wider posteriors, for weights of little variance
                if name.endswith(("posterior.f.7.bias", "posteriors.0.net.head.bias", "posteriors.1.net.head.bias")):
                    parameter[1] += 0.7
            exact = quadrature(model.log_joint(x, plane()[:, None].expand(-1, 3, -1)), 2)
            trace = model.trace(x, k=20_000)
            torch.testing.assert_close(bounds.importance_weighted(trace), exact, rtol=0, atol=0.03)
            assert bool((bounds.elbo(trace) < exact).all())


# -- generation ------------------------------------------------------------------------------------------------------


@KINDS
def test_the_top_of_an_example_is_kept(make: Callable[[], Hierarchy], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = stirred(make), data()
    means = {name: q.mean for name, q in model.encode_all(x).items()}
    seen: list[Tensor] = []
    plain = model.decode
    monkeypatch.setattr(model, "decode", lambda z, y=None: (seen.append(z), plain(z))[1])
    for k in range(4):
        out = model.sample_given_top(x, k, n=6)
        assert out.shape == (6, 5, 1, 4, 4)
        placed = {name: z.detach() for name, z in model.place(seen[-1]).items()}
        for i, name in enumerate(model.names):
            here = placed[name]
            if i < k:
                torch.testing.assert_close(here, means[name].expand_as(here), rtol=1e-4, atol=1e-5)
            else:
                assert float(here.std(0).min()) > 0.01, name
    whole = model.sample_given_top(x, 3, n=6)
    torch.testing.assert_close(whole, model.reconstruct(x).expand_as(whole), rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="k=4 levels"):
        model.sample_given_top(x, 4)


def test_a_kept_level_may_be_a_posterior_sample() -> None:
    model, x = stirred(small_ladder), data()
    out = [model.sample_given_top(x, 3, sample=True) for _ in range(2)]
    assert not torch.equal(*out)
    draws = model.sample_given_top(x, 1, n=2, draw=True)
    assert set(draws.unique().tolist()) <= {0.0, 1.0}


@KINDS
def test_every_level_has_its_temperature(make: Callable[[], Hierarchy]) -> None:
    model = stirred(make)
    widths = [math.prod(s) for s in model.shapes]
    spread = model.sample_latent(4000, temperature=[1.0, 0.5, 0.0]).split(widths, -1)
    for part, expected in zip(spread, (1.0, 0.5, 0.0)):
        torch.testing.assert_close(part.std(0), torch.full(part.shape[1:], expected), rtol=0, atol=0.06)
    still = model.sample(3, temperature=[0.0, 0.0, 0.0])
    torch.testing.assert_close(still[0], still[2])
    torch.testing.assert_close(still[0], model.sample(1, temperature=0.0)[0])
    # z of a level is its prior's mean plus the temperature times σ ε: with a fixed top, the spread is T σ.
    z = model.place(model.sample_latent(2000, temperature=[0.0, 0.5, 0.0]))["z2"]
    one = torch.zeros(1, sum(widths)).index_fill(1, torch.arange(widths[0], sum(widths[:2])), 1.0)
    sigma, centre = model.place(one)["z2"], model.place(torch.zeros_like(one))["z2"]
    torch.testing.assert_close(z.std(0), 0.5 * (sigma - centre)[0], rtol=0.1, atol=0.01)
    with pytest.raises(UserError, match="2 temperatures for 3 levels"):
        model.sample(1, temperature=[1.0, 0.5])


def test_free_bits_are_a_group_s() -> None:
    trace = stirred(small_ladder).trace(data(), k=2)
    means = [float(v.detach().mean()) for v in trace.kl.values()]
    free = sorted(means)[1] + 1e-4
    expected = sum(max(free, m) for m in means)
    assert float(Rate(1.0, free, "latent")(trace).detach()) == pytest.approx(expected, rel=1e-5)


# -- the recipes -----------------------------------------------------------------------------------------------------


def info(shape: tuple[int, ...]) -> DataInfo:
    return DataInfo("these", shape, "binary", 2, 100, 10, 10)


def build(name: str, shape: tuple[int, ...] = (1, 8, 8), **model: Any) -> Hierarchy:
    recipe = RECIPES[name].part
    made = recipe.build(recipe.settings({"model": model}), info(shape)).model
    assert isinstance(made, Hierarchy)
    return made


def test_any_number_of_layers() -> None:
    for name in ("hierarchical-vae", "ladder-vae"):
        model = build(name, latent=7, upper=[5, 4, 3, 2])
        assert model.names == ["z5", "z4", "z3", "z2", "z1"] and model.shapes == [(2,), (3,), (4,), (5,), (7,)]
        assert model.sample(2).shape == (2, 1, 8, 8)


@pytest.mark.parametrize(
    ("shape", "groups", "finest", "sides"),
    [
        ((1, 8, 8), (1, 2, 1), "auto", [(1, 1), (4, 4), (4, 4), (8, 8)]),
        ((1, 28, 28), (1, 1, 1), "auto", [(1, 1), (7, 7), (14, 14)]),
        ((1, 28, 28), (1, 1), "full", [(1, 1), (28, 28)]),
        ((3, 32, 32), (1, 1, 1, 1), "auto", [(1, 1), (4, 4), (8, 8), (16, 16)]),
        ((1, 45, 37), (1, 1, 1), "auto", [(1, 1), (12, 10), (23, 19)]),
    ],
)
def test_grids_of_the_very_deep_one(
    shape: tuple[int, ...], groups: tuple[int, ...], finest: str, sides: list[tuple[int, int]]
) -> None:
    model = build("very-deep-vae", shape, groups=groups, finest=finest, width=8, middle=4)
    assert [s[1:] for s in model.shapes] == sides
    x = torch.zeros(2, *shape)
    assert model.reconstruct(x).shape == model.sample(2).shape == x.shape
    assert model.trace(x, k=2).log_w.shape == (2, 2)


def test_what_the_very_deep_one_cannot_do_is_said() -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"groups": [3]}, "takes 2 to 4"),
        ({"groups": [1, 1, 1, 1, 1]}, "takes 2 to 4"),
        ({"hidden": [8]}, "model.hidden"),
        ({"prior": "vamp"}, "model.prior"),
    ]
    for more, said in refused:
        with pytest.raises(UserError, match=said):
            build("very-deep-vae", **more)
    with pytest.raises(UserError, match="needs images"):
        build("very-deep-vae", (13,))


def test_the_very_deep_one_starts_as_it_should() -> None:
    """Priors N(0, I), what goes into the stream 1/√depth of its usual size, predictions at the mean."""
    torch.manual_seed(0)
    few, many = build("very-deep-vae", groups=[1, 1, 1]), build("very-deep-vae", groups=[3, 4, 5])

    def size(model: Hierarchy) -> float:
        assert isinstance(model, TopDown)
        found = [w for name, w in model.named_parameters() if name.endswith("after.f.7.weight")]
        return float(torch.cat([w.detach().flatten() for w in found]).std())

    assert size(few) / size(many) == pytest.approx(2.0, rel=0.1)
    for latent in many.trace(torch.zeros(2, 1, 8, 8)).latents.values():
        p: Any = latent.p
        assert not p.loc.any() and not p.log_scale.any()
    mean = torch.rand(1, 8, 8) * 0.8 + 0.1
    many.start_from(mean)
    head: Any = many.likelihood.net
    torch.testing.assert_close(torch.sigmoid(head.head.position + head.head.bias.view(-1, 1, 1)).detach(), mean)


@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_the_ladder_is_normalised_as_it_is_told(norm: str) -> None:
    torch.manual_seed(0)
    model = build("ladder-vae", hidden=(16,), between=(12, 12), upper=(6, 4), norm=norm).train()
    x = (torch.rand(7, 1, 8, 8) > 0.5).float()
    evidence = [d.detach() for d in model.up(x)]  # pyright: ignore[reportCallIssue]
    others = [d.detach() for d in model.up(torch.cat([x[:1], 1 - x[1:]]))]  # pyright: ignore[reportCallIssue]
    depends = not all(torch.allclose(a[0], b[0]) for a, b in zip(evidence, others))
    assert depends == (norm == "batch")
    model.eval()
    torch.testing.assert_close(model.posterior_mean(x)[:1], model.posterior_mean(x[:1]))
    loss = negative_elbo()(model.train().trace(x[:1]))[MODEL].total
    loss.backward()
    assert bool(torch.isfinite(loss))  # the last batch of an epoch may hold one example


def test_what_x_gives_a_ladder_s_level_starts_precise() -> None:
    trace = build("ladder-vae", upper=(6, 4)).eval().trace((torch.rand(50, 1, 8, 8) > 0.5).float())
    for latent in trace.latents.values():
        assert latent.q.stddev.mean().item() < 0.25


def test_the_ladder_warms_up_and_bounds_can_be_chosen() -> None:
    settings = RECIPES["ladder-vae"].part.settings()
    assert str(settings.objective.beta).startswith("linear 0 1") and settings.objective.free_per == "latent"
    recipe = RECIPES["hierarchical-vae"].part
    built = recipe.build(recipe.settings({"objective": {"bound": "importance", "k": 5}}), info((1, 8, 8)))
    objective = built.stages[0].objective
    assert objective.k == 5
    trace = built.model.trace(torch.zeros(3, 1, 8, 8), k=5)
    torch.testing.assert_close(objective(trace)[MODEL].total, -bounds.importance_weighted(trace).mean())
