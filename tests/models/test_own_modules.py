"""Any nn.Module in a model: the same numbers as the vaekit network with its weights, and errors before a kernel's."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Gamma, Independent, Laplace, Normal

from vaekit import bounds
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.categorical import Categorical
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.nets.own import as_net
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.normal import StandardNormal


class Encoder(nn.Module):
    """Convolutions on (1, 8, 8): the size of its input cannot be told from its first layer."""

    def __init__(self, latent: int = 4, pair: bool = False) -> None:
        super().__init__()
        self.conv, self.out, self.pair = nn.Conv2d(1, 8, 3, 2, 1), nn.Linear(128, 2 * latent), pair

    def forward(self, x: Tensor) -> Any:
        out = self.out(torch.relu(self.conv(x)).flatten(1))
        return out.chunk(2, -1) if self.pair else out


class Decoder(nn.Module):
    def __init__(self, latent: int = 4, values: int = 1) -> None:
        super().__init__()
        self.out, self.values = nn.Linear(latent, values * 64), values

    def forward(self, z: Tensor) -> Tensor:
        return self.out(z).view(-1, self.values, 8, 8)


def images(n: int = 5) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_module_gives_the_mean_and_the_log_variance() -> None:
    x, one, pair = images(), Encoder(), Encoder(pair=True)
    pair.load_state_dict(one.state_dict())
    with torch.no_grad():
        mean, log_variance = pair(x)
        for net in (one, pair):
            q = DiagonalNormal(net)(x)
            torch.testing.assert_close(q.mean, mean)
            torch.testing.assert_close(q.stddev, (log_variance / 2).exp())


def test_the_bound_is_what_torch_makes_of_the_same_modules() -> None:
    x, encoder, decoder = images(), Encoder(), Decoder(values=2)
    model = VAE(DiagonalNormal(encoder), StandardNormal(4), Gaussian(decoder, scale="pixel"))
    with torch.no_grad():
        trace = model.trace(x, k=3)
        z = trace.latents["z"].z
        mean, log_variance = encoder(x).chunk(2, 1)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1)
        m, v = decoder(z.flatten(0, 1)).view(3, 5, 2, 8, 8).unbind(2)
        log_px = Normal(m, (v / 2).exp()).log_prob(x[:, 0]).sum((-1, -2))
        torch.testing.assert_close(bounds.elbo(trace), log_px.mean(0) - kl)


@pytest.mark.parametrize("latents", [2, 3])
def test_any_tensor_of_values_times_channels_is_read(latents: int) -> None:
    q = DiagonalNormal(nn.Conv2d(1, 2 * latents, 3, 2, 1))(images())
    assert q.event_shape == (latents, 4, 4) and q.batch_shape == (5,)
    levels = Categorical(nn.Sequential(nn.Linear(latents, 17 * 64), nn.Unflatten(1, (17, 8, 8))), levels=17)
    assert levels(torch.zeros(3, 5, latents)).log_prob(images().round()).shape == (3, 5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: DiagonalNormal(nn.Linear(9, 5)), "gives (B, 5); a DiagonalNormal needs (B, 2 · latents) or a pair"),
        (
            lambda: VAE(DiagonalNormal(Encoder(3)), StandardNormal(2), Bernoulli(Decoder(2))).trace(images()),
            "the network gives (B, 6); a DiagonalNormal over 2 latents needs (B, 4) or a pair (mean, log variance)",
        ),
        (
            lambda: VAE(DiagonalNormal(nn.Linear(9, 6)), StandardNormal(2), Bernoulli(nn.Linear(2, 9))),
            "the posterior has latents of shape (3,) and the prior (2,)",
        ),
        (
            lambda: VAE(DiagonalNormal(nn.Linear(9, 4)), StandardNormal(2), Bernoulli(nn.Linear(3, 9))),
            "the decoder takes latents of shape (3,) and the prior's are (2,)",
        ),
        (
            lambda: VAE(DiagonalNormal(Encoder()), StandardNormal(4), Bernoulli(nn.Linear(4, 64))).trace(images()),
            "p(x|z) is of examples of shape (64,), and the data's are of (1, 8, 8)",
        ),
        (lambda: FullNormal(nn.Linear(9, 8)), "name it: vaekit.as_net(module, in_shape, out_shape)"),
        (lambda: Delta(as_net(Encoder(), (3, 8, 8))), "the network does not take (B, 3, 8, 8): "),
        (lambda: Gaussian(Encoder(), scale="pixel"), "name it: vaekit.as_net"),
        (lambda: DiagonalNormal(nn.LSTM(9, 4)), "the network gives a tuple"),
        (
            lambda: VAE(nn.Linear(9, 4), StandardNormal(2), Bernoulli(nn.Linear(2, 9))).trace(torch.zeros(3, 9)),
            "the posterior Linear gives a Tensor, and a distribution is needed: put the network into a family",
        ),
        (
            lambda: VAE(DiagonalNormal(nn.Linear(9, 4)), StandardNormal(2), nn.Linear(2, 9)),
            "the likelihood Linear gives a Tensor, and a distribution is needed: put the network into a family",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(make: Any, says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_trial_leaves_the_module_and_the_random_state_as_they_were() -> None:
    net: Any = nn.Sequential(nn.Linear(9, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4))
    before, state = {name: value.clone() for name, value in net.state_dict().items()}, torch.get_rng_state()
    posterior = DiagonalNormal(net)
    assert posterior.latent_shape == (2,) and net.training and net[1].training
    assert torch.equal(torch.get_rng_state(), state)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


class Posterior(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(9, 4)

    def forward(self, x: Tensor) -> Normal:
        mean, log_sd = self.out(x).chunk(2, 1)
        return Normal(mean, log_sd.exp())


class Likelihood(nn.Module):
    """p(x|z) of a family of torch's."""

    def __init__(self, family: str) -> None:
        super().__init__()
        self.out, self.family = nn.Linear(2, 18), family

    def forward(self, z: Tensor) -> Any:
        assert z.dim() == 2
        a, b = self.out(z).chunk(2, 1)
        if self.family == "gamma":
            return Independent(Gamma(a.exp(), b.exp()), 1)
        if self.family == "bernoulli":
            return TorchBernoulli(logits=a)
        return Normal(a, b.exp()) if self.family == "normal" else Laplace(a, b.exp())


@pytest.mark.parametrize(
    ("family", "wants"), [("gamma", "any"), ("bernoulli", "binary"), ("laplace", "real"), ("normal", "real")]
)
def test_parts_may_return_torch_distributions(family: str, wants: str) -> None:
    own, x = Likelihood(family), torch.rand(5, 9).round() + (0.0 if family == "bernoulli" else 0.5)
    model = VAE(Posterior(), StandardNormal(2), own)
    assert model.likelihood.wants == wants
    trace = model.trace(x, k=3)
    z = trace.latents["z"].z
    rows = [own(row).log_prob(x) for row in z]
    expected = torch.stack([row if row.dim() == 1 else row.sum(1) for row in rows])
    torch.testing.assert_close(trace.log_px, expected)
    assert trace.kl["z"].shape == (5,), "a normal posterior's KL is in closed form"
    assert bounds.refusal(trace) is None
    assert model.sample(4).shape == (4, 9) and model.reconstruct(x).shape == (5, 9)
    assert (trace.px.sample((7,)).shape, trace.px.mean.shape) == ((7, 3, 5, 9), (3, 5, 9))
    torch.testing.assert_close(trace.px.log_prob_elements(x).sum(-1), expected)  # type: ignore[attr-defined]


def test_support_is_the_distributions_own() -> None:
    model = VAE(Posterior(), StandardNormal(2), Likelihood("bernoulli"))
    assert "2 of 5 examples" not in (bounds.refusal(model.trace(torch.ones(5, 9))) or "")
    x = torch.ones(5, 9)
    x[1:3, 4] = 0.5
    refusal = bounds.refusal(VAE(Posterior(), StandardNormal(2), Likelihood("gamma")).trace(-x))
    assert refusal is not None and refusal.startswith("5 of 5 examples"), refusal


def test_a_prior_may_be_a_module() -> None:
    class Prior(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(2))

        def forward(self) -> Normal:
            return Normal(torch.zeros_like(self.scale), self.scale.exp())

    model = VAE(DiagonalNormal(nn.Linear(9, 4)), Prior(), Bernoulli(nn.Linear(2, 9)))
    same = VAE(DiagonalNormal(model.posterior.net), StandardNormal(2), Bernoulli(model.likelihood.net))
    x = torch.rand(5, 9).round()
    torch.testing.assert_close(model.trace(x).kl["z"], same.trace(x).kl["z"])
    assert model.sample(3, temperature=0.5).shape == (3, 9)


def test_a_module_reaches_where_a_network_of_the_package_does() -> None:
    """The same layers with the same weights give the same bound, to the factor 2 between log σ and log σ²."""
    theirs: Any = mlp(9, 2, (7,), act="relu")
    plain: Any = nn.Sequential(nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 4))
    ours = DiagonalNormal(theirs)
    with torch.no_grad():
        for mine, other in zip(plain[::2], [theirs.layers[0], theirs.head]):
            mine.weight.copy_(other.weight)
            mine.bias.copy_(other.bias)
        plain[2].weight[2:] *= 2
        plain[2].bias[2:] *= 2
        x = torch.rand(5, 9)
        q, p = DiagonalNormal(plain)(x), ours(x)
        torch.testing.assert_close(q.mean, p.mean)
        torch.testing.assert_close(7 * torch.tanh(q.stddev.log() / 7), p.stddev.log())
        assert math.isclose(float(q.mean[0, 0]), float(p.mean[0, 0]), rel_tol=1e-5)
