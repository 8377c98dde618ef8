"""Several modalities against what is known exactly: linear-Gaussian ones, enumerated ones, and quadrature."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from vaekit import bounds
from vaekit.distributions.experts import MixtureOfNormals, ProductOfExperts, product
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.views import Views
from vaekit.models.views import HidingViews, MultimodalVAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.agreement import Agreement
from vaekit.posteriors.experts import Experts, Fusion
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.runs.train import train
from vaekit.views import View, views_of

FUSIONS: tuple[Fusion, ...] = ("product", "mixture", "mixture-of-products")
SIZES = (2, 3)
SIGMA = float(torch.tensor(math.log(0.7)).double().exp())  # the model keeps its logarithm in float32
SETS = ((0,), (1,), (0, 1), ())


def two(kind: str = "numbers", sizes: Sequence[int] = SIZES) -> tuple[View, ...]:
    return views_of([{"name": name, "kind": kind, "shape": [n]} for name, n in zip("abcd", sizes)])


def only(x: Tensor, views: Sequence[View], kept: Sequence[int]) -> Tensor:
    out = torch.full_like(x, torch.nan)
    for m in kept:
        out[..., views[m].start : views[m].stop] = x[..., views[m].start : views[m].stop]
    return out


class Linear:
    """x_m = W_m z + b_m + σ ε with one latent: p(x_S) and p(z|x_S) are normal, and the product of experts is exact.

    As a function of z each p(x_m|z) is a normal of precision ‖W_m‖²/σ² and mean W_mᵀ(x_m - b_m)/‖W_m‖².
    """

    def __init__(self, fusion: Fusion, off: float = 0.0) -> None:
        self.views = two()
        noise = torch.Generator().manual_seed(3)
        self.weights = [torch.randn(n, generator=noise, dtype=torch.float64) for n in SIZES]
        self.biases = [torch.randn(n, generator=noise, dtype=torch.float64) for n in SIZES]
        encoders, decoders = [mlp(n, 1, ()) for n in SIZES], [mlp(1, n, ()) for n in SIZES]
        q = Experts([DiagonalNormal(net) for net in encoders], self.views, fusion=fusion)
        p = Views([Gaussian(net, scale=0.7) for net in decoders], self.views)
        self.model = MultimodalVAE(q, StandardNormal(1), p).double().eval()
        with torch.no_grad():
            for net, head, w, b in zip(encoders, decoders, self.weights, self.biases):
                encode, decode = cast(Any, net.head), cast(Any, head.head)
                decode.weight.copy_(w[:, None])
                decode.bias.copy_(b)
                encode.weight.zero_()
                encode.weight[0] = w / w.square().sum()
                log_scale = math.log(SIGMA) - 0.5 * w.square().sum().log() + off
                encode.bias.copy_(torch.stack([-(w @ b) / w.square().sum() + off, 7 * torch.atanh(log_scale / 7)]))

    def marginal(self, kept: Sequence[int]) -> MultivariateNormal:
        """p(x_S)."""
        w, b = (torch.cat([part[m] for m in kept]) for part in (self.weights, self.biases))
        return MultivariateNormal(b, torch.outer(w, w) + SIGMA**2 * torch.eye(len(w), dtype=torch.float64))

    def exact(self, x: Tensor, kept: Sequence[int]) -> Tensor:
        """log p(x_S), (B,)."""
        own = torch.cat([self.views[m].of(x) for m in kept], -1) if kept else x[:, :0]
        return self.marginal(kept).log_prob(own) if kept else x.new_zeros(len(x))

    def sample(self, n: int) -> Tensor:
        torch.manual_seed(4)
        return self.marginal((0, 1)).sample((n,))


# -- exact answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", SETS)
@torch.no_grad()
def test_a_product_of_exact_experts_is_the_exact_posterior_whichever_are_given(kept: tuple[int, ...]) -> None:
    """log w is then log p(x_S) at every sample, and p(z|x_S) is N(Λ⁻¹ Σ_m W_mᵀ(x_m - b_m)/σ², Λ⁻¹)."""
    toy = Linear("product")
    whole = toy.sample(7)
    x = only(whole, toy.views, kept)
    trace = toy.model.trace(x, k=5)
    torch.testing.assert_close(trace.log_w, toy.exact(whole, kept).expand(5, -1), atol=1e-9, rtol=0)
    precision = 1 + sum(float(toy.weights[m].square().sum()) for m in kept) / SIGMA**2
    pull = sum(((toy.views[m].of(whole) - toy.biases[m]) @ toy.weights[m] for m in kept), torch.zeros(7).double())
    q = toy.model.encode(x)
    torch.testing.assert_close(q.mean[:, 0], pull / SIGMA**2 / precision, atol=1e-9, rtol=0)
    torch.testing.assert_close(
        q.variance[:, 0], torch.full((7,), 1 / precision, dtype=torch.float64), atol=1e-9, rtol=0
    )


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("kept", SETS[:3])
@torch.no_grad()
def test_the_bounds_are_of_what_is_there_and_close_in_on_it(fusion: Fusion, kept: tuple[int, ...]) -> None:
    """ELBO ≤ bound of K samples ≤ log p(x_S) ≤ the χ² bound, exact at many samples, with experts that are off."""
    toy = Linear(fusion, off=0.2)
    whole = toy.sample(40)
    x, exact = only(whole, toy.views, kept), toy.exact(whole, kept)
    torch.manual_seed(0)
    elbo = bounds.elbo(toy.model.trace(x, k=3000)).mean()
    lower, upper = (one.values.mean() for one in bounds.power_means(toy.model, x, None, 3000, (1.0, 2.0)))
    assert elbo < lower < exact.mean() + 0.02
    assert lower < upper and upper > exact.mean() - 0.02
    torch.testing.assert_close(lower, exact.mean(), atol=0.03, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_the_bound_of_a_mixture_is_the_mean_over_its_components(fusion: Fusion) -> None:
    """Σ_S π_S E_{q_S}[log p(x, z) - log q(z|x)], the components enumerated and z on a grid."""
    toy = Linear(fusion, off=0.3)
    x = toy.sample(3)
    q: Any = toy.model.encode(x)
    z = torch.linspace(-12, 12, 40001, dtype=torch.float64)[:, None, None].expand(-1, 3, 1)
    log_w = toy.model.log_joint(x, z) - q.log_prob(z)
    if fusion == "product":
        parts, shares = [(q.loc, q.log_scale)], [1.0]
    else:
        count = q.loc.shape[1]
        assert count == {"mixture": 3, "mixture-of-products": 4}[fusion]  # the last is that of nothing given
        parts, shares = [(q.loc[:, c], q.log_scale[:, c]) for c in range(count)], q.logits.softmax(-1)[0].tolist()
    exact = torch.zeros(3, dtype=torch.float64)
    for (loc, log_scale), share in zip(parts, shares):
        density = torch.distributions.Normal(loc, log_scale.exp()).log_prob(z).exp()[..., 0]
        exact += share * torch.trapezoid(density * log_w, z[:, 0, 0], dim=0)
    torch.manual_seed(1)
    drawn = torch.stack([bounds.elbo(toy.model.trace(x, k=12)) for _ in range(800)])
    error = drawn.std(0) / math.sqrt(len(drawn))
    assert ((drawn.mean(0) - exact).abs() < 4 * error).all()


def binary(fusion: Fusion) -> MultimodalVAE:
    torch.manual_seed(5)
    views = two("picture", (2, 2))
    q = Experts([DiagonalNormal(mlp(2, 2, (8,))) for _ in views], views, fusion=fusion)
    return MultimodalVAE(q, StandardNormal(2), Views([Bernoulli(mlp(2, 2, (8,))) for _ in views], views)).eval()


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_the_weights_of_all_examples_sum_to_one(fusion: Fusion) -> None:
    """Σ_x E[ŵ(x)] = 1 over the 16 examples of two pictures of two bits, and over the 4 of one of them alone."""
    model = binary(fusion)
    x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
    half = torch.cat([x[:4, 2:], torch.full((4, 2), torch.nan)], 1)
    torch.manual_seed(2)
    for rows in (x, half):
        sums = torch.stack([model.trace(rows, k=6).log_w.exp().mean(0).sum() for _ in range(400)])
        assert abs(float(sums.mean()) - 1) < 4 * float(sums.std()) / 20


# -- what is missing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fusion", FUSIONS)
@torch.no_grad()
def test_a_missing_modality_is_as_if_the_model_had_none(fusion: Fusion) -> None:
    """q, p(x|z) and samples of a row without b are those of a model of a alone, whatever b would have held."""
    toy = Linear(fusion, off=0.1)
    x = toy.sample(4)
    a = (toy.views[0],)
    experts, parts = cast(Any, toy.model.posterior).experts, cast(Any, toy.model.likelihood).of
    alone = (
        MultimodalVAE(Experts([experts[0]], a, fusion=fusion), StandardNormal(1), Views([parts[0]], a)).double().eval()
    )
    seen = only(x, toy.views, (0,))
    one, other = toy.model.encode(seen), alone.encode(x[:, :2])
    torch.testing.assert_close(one.mean, other.mean)
    z = torch.randn(6, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(one.log_prob(z), other.log_prob(z))
    torch.testing.assert_close(toy.model.decode(z).log_prob(seen), alone.decode(z).log_prob(x[:, :2]))


@torch.no_grad()
def test_with_nothing_given_the_posterior_is_the_standard_normal() -> None:
    z = torch.randn(9, 2, 1, dtype=torch.float64)
    for fusion in FUSIONS:
        q = Linear(fusion).model.encode(torch.full((2, 5), torch.nan, dtype=torch.float64))
        torch.testing.assert_close(q.log_prob(z), torch.distributions.Normal(0.0, 1.0).log_prob(z)[..., 0])


@torch.no_grad()
def test_a_batch_of_rows_with_different_gaps_is_each_row_by_itself() -> None:
    toy = Linear("mixture-of-products", off=0.1)
    x = torch.cat([only(toy.sample(1), toy.views, kept) for kept in SETS])
    z = torch.randn(3, 4, 1, dtype=torch.float64)
    together = toy.model.encode(x).log_prob(z)
    for i in range(4):
        torch.testing.assert_close(toy.model.encode(x[i : i + 1]).log_prob(z[:, i : i + 1])[:, 0], together[:, i])


def test_gradients_reach_every_expert_and_are_finite_where_some_are_missing() -> None:
    for fusion in FUSIONS:
        model = binary(fusion).train()
        x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)))
        x[:5, :2] = torch.nan
        x[4:8, 2:] = torch.nan
        (-bounds.elbo(model.trace(x, k=3)).mean()).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), (fusion, name)
            assert parameter.grad.abs().sum() > 0, (fusion, name)


def test_hiding_leaves_one_modality_at_least_and_only_in_training() -> None:
    views = two(sizes=(1, 2, 3))
    hiding, x = HidingViews(1.0, views), torch.zeros(6000, 6)
    x[:3000, 1:3] = torch.nan
    torch.manual_seed(0)
    rows = hiding(x)
    seen = torch.stack([view.seen(rows) for view in views], -1)
    assert seen.any(-1).all() and not seen[:3000, 1].any()
    shares = [float((seen[3000:].sum(-1) == n).float().mean()) for n in (1, 2, 3)]
    assert shares == pytest.approx([4 / 8, 3 / 8, 1 / 8], abs=0.03)
    assert HidingViews(0.0, views)(x) is x and hiding.eval()(x) is x


# -- the families -----------------------------------------------------------------------------------------------------


def test_precisions_add_up_and_an_expert_that_is_not_taken_does_not_count() -> None:
    loc, log_scale = torch.tensor([[[1.0], [3.0]]]), torch.tensor([[[0.0], [math.log(0.5)]]])
    both, first = (product(loc, log_scale, torch.tensor([taken])) for taken in ([1.0, 1.0], [1.0, 0.0]))
    assert float(both.mean) == pytest.approx((1 + 12) / 6) and float(both.variance) == pytest.approx(1 / 6)
    assert float(first.mean) == pytest.approx(0.5) and float(first.variance) == pytest.approx(0.5)


@torch.no_grad()
def test_samples_are_shared_out_among_components_and_each_is_distributed_as_q() -> None:
    """Of weights (½, ¼, ¼) four samples hold two, one and one; every place among them holds each by its weight."""
    loc = torch.tensor([[[-100.0], [0.0], [100.0]]]).expand(4000, -1, -1)
    q = MixtureOfNormals(loc, torch.zeros_like(loc), torch.tensor([0.5, 0.25, 0.25]).log().expand(4000, 3))
    torch.manual_seed(0)
    chosen = (q.stratified(4)[..., 0] / 100).round().long() + 1
    counts = torch.stack([(chosen == c).sum(0) for c in range(3)])
    assert (counts == torch.tensor([[2], [1], [1]])).all()
    for place in chosen:
        shares = torch.bincount(place, minlength=3) / 4000
        torch.testing.assert_close(shares, torch.tensor([0.5, 0.25, 0.25]), atol=0.03, rtol=0)
    alone = torch.bincount((q.stratified(1)[0, :, 0] / 100).round().long() + 1, minlength=3) / 4000
    torch.testing.assert_close(alone, torch.tensor([0.5, 0.25, 0.25]), atol=0.03, rtol=0)


@torch.no_grad()
def test_a_mixture_is_torchs() -> None:
    torch.manual_seed(0)
    loc, log_scale, logits = torch.randn(4, 3, 2), torch.randn(4, 3, 2), torch.randn(4, 3)
    mine = MixtureOfNormals(loc, log_scale, logits)
    parts = torch.distributions.Independent(torch.distributions.Normal(loc, log_scale.exp()), 1)
    theirs = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(logits=logits), parts)
    z = torch.randn(6, 4, 2)
    torch.testing.assert_close(mine.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(mine.mean, theirs.mean)
    torch.testing.assert_close(mine.variance, theirs.variance)


# -- experts that agree ------------------------------------------------------------------------------------------------


def test_agreement_is_the_mean_divergence_of_the_experts_that_are_there() -> None:
    views = two()
    part = Experts([DiagonalNormal(mlp(n, 2, (8,))) for n in SIZES], views, fusion="product")
    model = MultimodalVAE(part, StandardNormal(2), Views([Gaussian(mlp(2, n, (8,))) for n in SIZES], views))
    x = torch.randn(4, sum(SIZES))
    x = torch.stack([x[0], only(x[1], views, (0,)), only(x[2], views, (1,)), only(x[3], views, ())])
    trace = model.trace(x)
    found, q = Agreement()(trace), trace.latents["z"].q
    assert isinstance(q, ProductOfExperts) and found.shape == (4,) and found[3] == 0
    for i, there in enumerate(((0, 1), (0,), (1,))):
        whole = torch.distributions.Independent(torch.distributions.Normal(q.loc[i], q.log_scale[i].exp()), 1)
        each = []
        for m in there:
            own = cast(Any, part.experts[m])(views[m].whole(x[i : i + 1]))
            expert = torch.distributions.Independent(torch.distributions.Normal(own.loc[0], own.log_scale[0].exp()), 1)
            each.append(torch.distributions.kl_divergence(whole, expert))
        assert torch.allclose(found[i], torch.stack(each).mean(), rtol=1e-5)
    found.sum().backward()
    grads = [p.grad for p in part.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in grads)


def test_agreement_makes_the_experts_alike_and_is_of_products() -> None:
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(300, 1, generator=rng)
    data = {name: (z * w + 0.3 * torch.randn(300, 3, generator=rng)).numpy() for name, w in (("a", 1.0), ("b", -2.0))}
    off = {}
    for weight in (0.0, 1.0):
        settings = {"model.latent": 2, "model.hidden": 16, "model.fusion": "product", "objective.agree": weight}
        run = train("multimodal-vae", data, steps=200, set=settings | {"model.hide": 0}, pictures=False, device="cpu")
        off[weight] = Agreement()(run.model.trace(run.test.x)).mean().item()
    assert off[1.0] < 0.7 * off[0.0]
    with pytest.raises(UserError, match="agree is of products of experts; set "):
        train("multimodal-vae", data, steps=1, set={"objective.agree": 1.0}, pictures=False)
