"""Quantised codes: the bound against brute force, the codebook against hand updates, and what no batch size changes."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.codes import CodeVAE, TwoLevelCodes
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.nets.resnet import GridNet
from vaekit.objectives.base import MODEL
from vaekit.objectives.codes import Cost, quantised
from vaekit.posteriors.quantised import CodePosterior, FiniteScalar, VectorQuantised, k_means
from vaekit.priors.base import Prior
from vaekit.priors.codes import PixelCNNPrior, TransformerPrior, UniformCodesPrior

X = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))


def prior_of(name: str, q: CodePosterior) -> Prior:
    if name == "uniform":
        return UniformCodesPrior(q.code_shape, q.codes)
    prior = TransformerPrior(q.code_shape, q.codes, prior_width=8, prior_layers=1, prior_heads=2)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return prior


def vq_model(prior: str = "uniform", **options: Any) -> CodeVAE:
    torch.manual_seed(4)
    q = VectorQuantised(mlp(3, (2, 2), (8,)), **({"codes": 3} | options))
    model = CodeVAE(q, prior_of(prior, q), Bernoulli(mlp((2, 2), 3, (8,))))
    with torch.no_grad():  # a decoder that listens to the code
        for parameter in model.likelihood.parameters():
            parameter.mul_(3)
    return model.eval()


def fsq_model(prior: str = "uniform") -> CodeVAE:
    torch.manual_seed(5)
    q = FiniteScalar(mlp(3, (2, 2), (8,)), levels=(2, 3))
    return CodeVAE(q, prior_of(prior, q), Bernoulli(mlp((2, 2), 3, (8,)))).eval()


def every_code(q: CodePosterior) -> Tensor:
    places = math.prod(q.code_shape)
    return torch.tensor(list(itertools.product(range(q.codes), repeat=places))).view(-1, *q.code_shape)


# --- the bound -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", ["uniform", "transformer"])
@pytest.mark.parametrize("make", [vq_model, fsq_model])
@torch.no_grad()
def test_the_bound_is_below_the_sum_over_all_codes(make: Any, prior: str) -> None:
    model = make(prior)
    codes = every_code(model.posterior)
    joint = model.decode_codes(codes[:, None]).log_prob(X) + model.prior().log_prob(codes)[:, None]
    exact = torch.logsumexp(joint, 0)
    torch.testing.assert_close(exact.exp().sum(), torch.tensor(1.0))  # p(x) over all x: codes and data both sum to 1
    found = bounds.elbo(model.trace(X))
    assert bool((found <= exact + 1e-6).all()) and float((exact - found).min()) > 1e-4
    own = model.codes(X)
    number = (codes[:, None] == own).flatten(2).all(2).float().argmax(0)
    torch.testing.assert_close(found, joint.gather(0, number[None])[0])
    for k in (1, 7):  # more samples of a point mass are the same sample
        estimate = bounds.log_likelihood(model, X, k=k)
        torch.testing.assert_close(estimate.values, found)
        assert bool((estimate.noise == 0).all())


@torch.no_grad()
def test_the_uniform_prior_costs_log_k_a_code() -> None:
    model = vq_model(codes=5)
    trace = model.trace(X)
    torch.testing.assert_close(trace.kl["z"], torch.full((1, 8), 2 * math.log(5)))
    torch.testing.assert_close(model.trace_uniform(X).log_w, trace.log_w)


@torch.no_grad()
def test_a_fitted_prior_gains_what_its_own_code_likelihood_says() -> None:
    model = vq_model("transformer")
    gain = bounds.elbo(model.trace(X)) - bounds.elbo(model.trace_uniform(X))
    torch.testing.assert_close(gain, model.trace_prior(X).log_px[0] + 2 * math.log(3))


@torch.no_grad()
def test_two_levels_are_bounded_by_the_sum_over_both() -> None:
    model = two_levels().eval()
    x = torch.bernoulli(torch.full((6, 1, 4, 4), 0.5))
    top, bottom = every_code(model.top), every_code(model.bottom)
    pairs = {"top": top.repeat_interleave(len(bottom), 0), "bottom": bottom.repeat(len(top), 1, 1)}
    z_top = model._up(model.top.embed(pairs["top"]))
    prior = model.prior["top"]().log_prob(pairs["top"]) + model.prior["bottom"](z_top).log_prob(pairs["bottom"])
    torch.testing.assert_close(prior.exp().sum(), torch.tensor(1.0))
    joint = torch.stack([model.decode_codes(pairs).log_prob(one) for one in x], 1) + prior[:, None]
    found, exact = bounds.elbo(model.trace(x)), torch.logsumexp(joint, 0)
    assert bool((found <= exact + 1e-5).all())
    codes = model.codes(x)
    mine = (pairs["top"][:, None] == codes["top"]).flatten(2).all(2) & (
        pairs["bottom"][:, None] == codes["bottom"]
    ).flatten(2).all(2)
    torch.testing.assert_close(found, joint.gather(0, mine.float().argmax(0)[None])[0])
    second = model.trace_prior(x)
    by_parts = second.log_px[0] - second.costs["fine"]
    torch.testing.assert_close(by_parts, -torch.stack(list(model.trace(x).kl.values())).sum(0)[0])


class SmallTwoLevels(TwoLevelCodes):
    @property
    def top(self) -> CodePosterior:
        return dict(self.levels)["top"]

    @property
    def bottom(self) -> CodePosterior:
        return dict(self.levels)["bottom"]


def two_levels() -> SmallTwoLevels:
    torch.manual_seed(2)
    features, up = mlp((1, 4, 4), (3, 2, 2), (8,)), mlp((2, 1, 1), (2, 2, 2), (8,))
    top = VectorQuantised(mlp((3, 2, 2), (2, 1, 1), (8,)), codes=3)
    bottom = VectorQuantised(GridNet((5, 2, 2), (2, 2, 2), width=8), codes=3)
    priors = (
        PixelCNNPrior((1, 1), 3, prior_width=8, prior_layers=1),
        PixelCNNPrior((2, 2), 3, prior_width=8, prior_layers=1, context=2),
    )
    return SmallTwoLevels(features, top, up, bottom, *priors, Bernoulli(mlp((4, 2, 2), (1, 4, 4), (8,))))


# --- the codebook --------------------------------------------------------------------------------------------------


def test_the_moving_averages_are_those_of_a_hand_computation() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=4, decay=0.9, revive=0.0)
    book, usage, sums = q.codebook[0].clone(), q.usage[0].clone(), q.sums[0].clone()
    for step in range(3):
        x = torch.randn(5, 3, generator=torch.Generator().manual_seed(step))
        with torch.no_grad():
            rows = q.rows(x)[0]
        codes = (rows[:, None] - book).square().sum(2).argmin(1)
        q.train()(x)
        q.after_step()
        for code in range(4):
            mine = rows[codes == code]
            usage[code] = 0.9 * usage[code] + 0.1 * len(mine) / 10
            sums[code] = 0.9 * sums[code] + 0.1 * mine.sum(0) / 10
        total = usage.sum()
        smoothed = (usage + 1e-3 / 4) / (total + 1e-3) * total
        book = sums / smoothed[:, None]
        torch.testing.assert_close(q.usage[0], usage)
        torch.testing.assert_close(q.sums[0], sums)
        torch.testing.assert_close(q.codebook[0], book)


@pytest.mark.parametrize("update", ["ema", "loss"])
def test_neither_loss_nor_codebook_depends_on_the_batch_size(update: str) -> None:
    losses, books = [], []
    for times in (1, 4):
        model = vq_model(update=update, revive=0.0).train()
        x = X.repeat(times, 1)
        loss = quantised(0.25, codebook=update == "loss")(model.trace_uniform(x))[MODEL]
        loss.total.backward()
        model.after_step(0)
        losses.append([float(loss.total.detach()), *(float(part) for part in loss.parts.values())])
        books.append(model.posterior.get_buffer("sums") if update == "ema" else model.posterior.codebook.grad)
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    torch.testing.assert_close(books[0], books[1], rtol=1e-4, atol=1e-6)


def test_the_costs_are_the_squared_distances_of_each_example() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=4, update="loss")
    found, (rows, _) = q(X), q.rows(X)
    off = (rows.view(8, 2, 2) - q.vectors(found.value.view(-1, 1)).view(8, 2, 2)).square().sum((1, 2))
    torch.testing.assert_close(found.costs["commitment"], off)
    torch.testing.assert_close(found.costs["codebook"], off)
    commitment = torch.autograd.grad(found.costs["commitment"].sum(), q.codebook, retain_graph=True, allow_unused=True)
    assert commitment == (None,)  # it moves the encoder alone
    assert float(torch.autograd.grad(found.costs["codebook"].sum(), q.codebook)[0].abs().sum()) > 0


def test_the_gradient_of_z_goes_straight_to_the_encoder() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=4, update="loss")
    assert q.net is not None
    direction = torch.randn(8, 2, 2)
    parameter = next(q.net.parameters())
    through = torch.autograd.grad((q(X).z * direction).sum(), parameter)[0]
    plain = torch.autograd.grad((q.net(X)[:, 0] * direction).sum(), parameter)[0]
    torch.testing.assert_close(through, plain)


def test_a_dead_code_starts_again_at_an_output_of_the_encoder() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=6, decay=0.5, revive=0.1).train()
    with torch.no_grad():
        q.codebook[0, 4:] = 1e3  # never the nearest
        q.sums[0, 4:] = 1e3 / 6
    for step in range(4):
        q(X)
        q.after_step()
        assert float(q.codebook[0, 4:].abs().min()) > 100, "revived before its share fell to a tenth of 1/K"
        assert float(q.usage[0, 5]) == pytest.approx(0.5 ** (step + 1) / 6) or step == 3
        if step == 2:
            break
    with torch.no_grad():
        rows = q.rows(X)[0]
    q(X)
    q.after_step()
    distance = (q.codebook[0, 4:, None] - rows).square().sum(2).min(1).values
    assert bool((distance < 1e-12).all())
    torch.testing.assert_close(q.usage[0, 4:], torch.full((2,), 1 / 6))


def test_without_revival_it_stays_dead() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=6, decay=0.5, revive=0.0).train()
    with torch.no_grad():
        q.codebook[0, 5], q.sums[0, 5] = 1e3, 1e3 / 6
    for _ in range(20):
        q(X)
        q.after_step()
    assert float(q.usage[0, 5]) < 1e-6


def test_perplexity_is_the_exponential_of_the_entropy_of_the_usage() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=8)
    assert float(q.watch()["codebook.perplexity"]) == pytest.approx(8)
    q.usage[0] = torch.tensor([0.5, 0.25, 0.25, 0, 0, 0, 0, 0])
    assert float(q.watch()["codebook.perplexity"]) == pytest.approx(2**1.5, rel=1e-4)
    assert float(q.watch()["codebook.used"]) == 3
    q.usage[0] = torch.eye(8)[0]
    assert float(q.watch()["codebook.perplexity"]) == pytest.approx(1, abs=1e-4)


def test_it_moves_in_training_passes_only() -> None:
    model = vq_model()
    before = {name: value.clone() for name, value in model.posterior.state_dict().items()}

    def unmoved() -> bool:
        model.after_step(0)
        return all(torch.equal(value, before[name]) for name, value in model.posterior.state_dict().items())

    model.eval().trace(X)
    assert unmoved()
    model.train().trace_prior(X)  # the second stage trains the prior on codes that stay as they are
    assert unmoved()
    model.trace_uniform(X)
    assert not unmoved()
    assert {"codebook", "sums", "usage"} <= set(before)  # so checkpoints hold them


def test_k_means_finds_well_separated_groups() -> None:
    centres = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    rows = centres.repeat(50, 1) + 0.1 * torch.randn(150, 2)
    found, share = k_means(rows, 3)
    assert float(torch.cdist(centres, found).min(1).values.max()) < 0.1
    torch.testing.assert_close(share, torch.full((3,), 1 / 3))


def test_it_starts_at_the_encoders_outputs() -> None:
    model = vq_model(codes=4)
    before = float(model.trace(X).costs["commitment"].detach().mean())
    assert model.examples_wanted > 0
    model.start_from_examples(X.repeat(5, 1))
    after = float(model.trace(X).costs["commitment"].detach().mean())
    assert after < 0.5 * before
    assert float(model.watch()["codebook.used"]) == 4


# --- codes and vectors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [vq_model, fsq_model, lambda: vq_model(quantisers=3)])
@torch.no_grad()
def test_codes_decode_to_the_reconstruction(make: Any) -> None:
    model = make()
    codes = model.codes(X)
    assert codes.dtype == torch.int64 and codes.shape == (8, *model.posterior.code_shape)
    torch.testing.assert_close(model.decode_codes(codes).mean, model.reconstruct(X))
    torch.testing.assert_close(model.posterior.embed(codes), model.posterior_mean(X))


@torch.no_grad()
def test_two_levels_of_codes_decode_to_the_reconstruction() -> None:
    model = two_levels().eval()
    x = torch.bernoulli(torch.full((6, 1, 4, 4), 0.5))
    torch.testing.assert_close(model.decode_codes(model.codes(x)).mean, model.reconstruct(x))
    assert model.sample(3).shape == (3, 1, 4, 4)


def test_each_further_quantiser_comes_closer() -> None:
    torch.manual_seed(0)
    x, off = torch.randn(200, 3), []
    for quantisers in (1, 2, 3):
        q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=8, quantisers=quantisers)
        torch.manual_seed(1)
        q.net = mlp(3, (2, 2), (8,))
        q.start_from_examples(x)
        off.append(float(q(x).costs["commitment"].detach().mean()))
    assert off[1] < 0.5 * off[0] and off[2] < 0.5 * off[1]


def test_finite_scalars_number_all_their_codes() -> None:
    q = FiniteScalar(mlp(3, (3,), (8,)), levels=(2, 3, 4))
    codes = torch.arange(24)
    z = q.embed(codes)
    assert len({tuple(row) for row in z.tolist()}) == 24
    assert float(z.min()) == -1 and float(z.max()) == 1
    again, vectors, _ = q.nearest(torch.atanh(z * 0.999))
    assert torch.equal(again[:, 0], codes)
    torch.testing.assert_close(vectors, z)
    assert q.watch()["codebook.perplexity"] == pytest.approx(24)


def test_finite_scalars_round_to_the_nearest_value() -> None:
    q = FiniteScalar(mlp(1, (1,), ()), levels=(5,))
    soft = torch.linspace(-0.999, 0.999, 401)[:, None]
    _, z, _ = q.nearest(torch.atanh(soft))
    assert float((z - soft).abs().max()) <= 0.25 + 1e-6


# --- refusals ------------------------------------------------------------------------------------------------------


def test_a_prior_of_other_codes_is_refused() -> None:
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=3)
    with pytest.raises(UserError, match="codes 0 to 2"):
        VAE(q, UniformCodesPrior((2,), codes=4), Bernoulli(mlp((2, 2), 3)))


@pytest.mark.parametrize("levels", [(4,), (4, 1)])
def test_levels_that_do_not_fit_are_refused(levels: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"model\.levels"):
        FiniteScalar(mlp(3, (2, 2)), levels=levels)


def test_costs_are_terms_by_their_name() -> None:
    trace = vq_model().trace(X)
    assert torch.equal(Cost("commitment", 0.5)(trace), trace.costs["commitment"])
