"""Models of states against the Kalman filter and smoother, and against the joint normal that they stand for."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from vaekit import bounds
from vaekit.distributions.kl import closed_form_kl
from vaekit.distributions.state_space import LinearChain, RecurrentChain
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.likelihoods.series import OfSeries
from vaekit.models.vae import VAE
from vaekit.nets.base import Net
from vaekit.nets.states import LinearStateDecoder, StateDecoder, StateEncoder, StateTransition
from vaekit.posteriors.states import States
from vaekit.priors.states import LinearStates, RecurrentStates
from vaekit.tasks.imputation import impute

T, D, C = 7, 2, 3
SIGMA = float(torch.tensor(math.log(0.6)).double().exp())  # the model keeps its logarithm in float32


class Smoother(Net):
    """x (N, C, T) → the parameters of the exact p(z_t | z_{t-1}, x), by a backward pass of information.

    p(x_t … x_T | z_t) ∝ exp(-½ zᵀ Λ_t z + η_tᵀ z), so p(z_t | z_{t-1}, x) has precision Q⁻¹ + Λ_t.
    """

    def __init__(self, toy: Kalman, off: float = 0.0) -> None:
        super().__init__((C, T), (T, D))
        self.toy, self.off = toy, off

    def make_head(self, values: int) -> nn.Module:
        return nn.Identity()

    def forward(self, x: Any, context: Tensor | None = None, lead: tuple[int, ...] | None = None) -> Tensor:
        toy, eye = self.toy, torch.eye(D, dtype=x.dtype)
        seen = torch.isfinite(x)
        off = torch.where(seen, x - toy.bias[:, None], 0.0)
        info, pull = x.new_zeros(len(x), D, D), x.new_zeros(len(x), D)
        out: list[Tensor] = []
        for t in reversed(range(T)):
            weight = toy.emit[None] * seen[..., t, None]
            info = info + weight.mT @ weight / SIGMA**2
            pull = pull + (weight.mT @ off[..., t, None])[..., 0] / SIGMA**2
            q_inverse = torch.diag(toy.noise(t).square().reciprocal())
            cov = torch.linalg.inv(q_inverse + info)
            root = torch.linalg.cholesky(cov)
            carry = cov @ q_inverse @ toy.carry * (t > 0)
            diagonal = root.diagonal(dim1=-2, dim2=-1)
            lower = root / diagonal[..., None] - eye
            mean = (cov @ pull[..., None])[..., 0]
            undone = [7 * torch.atanh(part / 7) for part in (diagonal.log() + self.off, carry, lower)]
            columns = [undone[0][:, None], undone[1].mT, undone[2].mT]  # a value a column, for each row
            out.append(torch.cat([mean[:, None] + self.off, *columns], 1))
            both = toy.carry.T @ q_inverse
            pull = (both @ cov @ pull[..., None])[..., 0]
            info = both @ toy.carry - both @ cov @ both.T
        return torch.stack(out[::-1], 2)


class Kalman:
    """z_1 ~ N(0, I), z_t = A z_{t-1} + q ε, x_t = C z_t + b + σ ε, as vaekit's parts, with what is known of it."""

    def __init__(self, off: float = 0.0) -> None:
        noise = torch.Generator().manual_seed(2)
        self.carry = torch.tensor([[0.8, 0.3], [-0.2, 0.7]], dtype=torch.float64)
        self.emit = torch.randn(C, D, generator=noise, dtype=torch.float64)
        self.bias = torch.randn(C, generator=noise, dtype=torch.float64)
        self.prior = LinearStates((T, D))
        decoder = LinearStateDecoder(D, (C, T))
        likelihood = OfSeries(Gaussian(decoder, scale=0.6), {"sd": [1.0] * C, "lengths": [[T, 1]]})
        self.model = VAE(States(Smoother(self, off)), self.prior, likelihood).double().eval()
        with torch.no_grad():
            self.prior.carry.copy_(self.carry)
            self.prior.raw.copy_(torch.tensor([-0.5, -1.0]))
            head: Any = decoder.head
            head.weight.copy_(self.emit[..., None])
            head.bias.copy_(self.bias)

    def noise(self, t: int) -> Tensor:
        """The deviations of step t's noise."""
        return self.prior().log_diagonal[t].exp().detach()

    def filtered(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log p(x), and the filter's means and covariances of each step, of one series (C, T) with gaps."""
        mean, cov = x.new_zeros(D), torch.zeros(D, D, dtype=x.dtype)
        log_p, means, covs = x.new_zeros(()), [], []
        for t in range(T):
            a = self.carry if t else torch.zeros_like(self.carry)
            mean, cov = a @ mean, a @ cov @ a.T + torch.diag(self.noise(t).square())
            seen = torch.isfinite(x[:, t])
            if bool(seen.any()):
                emit = self.emit[seen]
                spread = emit @ cov @ emit.T + SIGMA**2 * torch.eye(len(emit), dtype=x.dtype)
                off = x[seen, t] - self.bias[seen] - emit @ mean
                log_p = log_p + MultivariateNormal(torch.zeros_like(off), spread).log_prob(off)
                gain = cov @ emit.T @ torch.linalg.inv(spread)
                mean, cov = mean + gain @ off, cov - gain @ emit @ cov
            means.append(mean)
            covs.append(cov)
        return log_p, torch.stack(means), torch.stack(covs)

    def smoothed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The Rauch–Tung–Striebel smoother's means and covariances of one series."""
        _, means, covs = self.filtered(x)
        mean, cov = [means[-1]], [covs[-1]]
        for t in reversed(range(T - 1)):
            ahead = self.carry @ covs[t] @ self.carry.T + torch.diag(self.noise(t + 1).square())
            gain = covs[t] @ self.carry.T @ torch.linalg.inv(ahead)
            mean.append(means[t] + gain @ (mean[-1] - self.carry @ means[t]))
            cov.append(covs[t] + gain @ (cov[-1] - ahead) @ gain.T)
        return torch.stack(mean[::-1]), torch.stack(cov[::-1])

    def series(self, n: int = 5) -> Tensor:
        """Series with gaps."""
        torch.manual_seed(0)
        x = self.model.decode(self.prior().sample((n,))).sample()
        x[torch.rand(x.shape) < 0.2] = torch.nan
        x[0, :, 3] = torch.nan
        return x


@torch.no_grad()
def test_every_weight_is_the_kalman_filters_likelihood() -> None:
    """With the exact posterior log w = log p(x_observed) at every sample; ELBO and bound of K samples are it too."""
    toy = Kalman()
    x = toy.series()
    exact = torch.stack([toy.filtered(one)[0] for one in x])
    trace = toy.model.trace(x, k=6)
    torch.testing.assert_close(trace.log_w, exact.expand(6, -1), atol=1e-6, rtol=0)
    torch.testing.assert_close(bounds.importance_weighted(trace), exact, atol=1e-6, rtol=0)
    elbo = torch.stack([bounds.elbo(toy.model.trace(x, k=50)) for _ in range(40)])
    assert ((elbo.mean(0) - exact).abs() < 4 * elbo.std(0) / math.sqrt(40)).all()


@torch.no_grad()
def test_the_posterior_is_the_kalman_smoothers_and_of_a_beginning_the_filters() -> None:
    toy = Kalman()
    x = toy.series()
    mean, cov = (torch.stack(part) for part in zip(*(toy.smoothed(one) for one in x)))
    q: Any = toy.model.encode(x)
    torch.testing.assert_close(q.mean, mean, atol=1e-6, rtol=0)
    torch.testing.assert_close(q.moments()[1], cov, atol=1e-6, rtol=0)
    for t in (0, 3, T - 1):
        begun = x.clone()
        begun[:, :, t + 1 :] = torch.nan
        filtered = [toy.filtered(one)[1:] for one in x]
        now: Any = toy.model.encode(begun)
        torch.testing.assert_close(now.mean[:, t], torch.stack([m[t] for m, _ in filtered]), atol=1e-6, rtol=0)
        torch.testing.assert_close(now.moments()[1][:, t], torch.stack([c[t] for _, c in filtered]), atol=1e-6, rtol=0)


@torch.no_grad()
def test_what_is_off_costs_its_divergence_and_more_samples_win_it_back() -> None:
    """log p(x) - ELBO = KL(q ‖ p(z|x)), both normal chains; the bounds lie in order and close in on log p(x)."""
    toy, right = Kalman(off=0.15), Kalman()
    x = toy.series()
    exact = torch.stack([toy.filtered(one)[0] for one in x])
    gap = closed_form_kl(toy.model.encode(x), right.model.encode(x))
    assert gap is not None and bool((gap > 0.1).all())
    torch.manual_seed(1)
    elbo = torch.stack([bounds.elbo(toy.model.trace(x, k=100)) for _ in range(40)])
    assert ((exact - elbo.mean(0) - gap).abs() < 4 * elbo.std(0) / math.sqrt(40)).all()
    lower, upper = (one.values for one in bounds.power_means(toy.model, x, None, 4000, (1.0, 2.0)))
    assert (elbo.mean(0) < lower).all() and (lower < upper).all()
    torch.testing.assert_close(lower, exact, atol=0.1, rtol=0)


@torch.no_grad()
def test_forecasts_and_their_intervals_are_the_exact_conditionals() -> None:
    """Means and deviations of draws of later steps, given the first four, are those of the Kalman predictions."""
    toy = Kalman()
    x = toy.series(3)
    x[:, :, 4:] = torch.nan
    found = impute(toy.model, x, None, draws=4000, k=4000, seed=0)
    for i in range(3):
        _, means, covs = toy.filtered(x[i])
        for t in range(4, T):
            mean = toy.emit @ means[t] + toy.bias
            sd = (toy.emit @ covs[t] @ toy.emit.T).diagonal().add(SIGMA**2).sqrt()
            torch.testing.assert_close(found.mean[i, :, t], mean, atol=0.08, rtol=0)
            torch.testing.assert_close(found.draws[:, i, :, t].std(0), sd, atol=0.08, rtol=0.05)


# -- the families -----------------------------------------------------------------------------------------------------


def chain(seed: int, batch: tuple[int, ...] = (4,)) -> LinearChain:
    noise = torch.Generator().manual_seed(seed)

    def some(*shape: int) -> Tensor:
        return 0.5 * torch.randn(*batch, T, *shape, generator=noise, dtype=torch.float64)

    return LinearChain(some(D), some(D), some(D, D), some(D, D))


def joint(one: LinearChain) -> MultivariateNormal:
    """The same as one normal over all numbers: z = (I - A)⁻¹ (m + L ε)."""
    lead = one.batch_shape
    carry, root = torch.zeros(*lead, T * D, T * D).double(), torch.zeros(*lead, T * D, T * D).double()
    for t in range(T):
        here = slice(t * D, (t + 1) * D)
        root[..., here, here] = one.scale_tril[..., t, :, :]
        if t:
            carry[..., here, (t - 1) * D : t * D] = one.carry[..., t, :, :]
    inverse = torch.linalg.inv(torch.eye(T * D).double() - carry)
    cov = inverse @ root @ root.mT @ inverse.mT
    return MultivariateNormal((inverse @ one.loc.flatten(-2)[..., None])[..., 0], (cov + cov.mT) / 2)


def test_a_chain_is_the_joint_normal_it_stands_for() -> None:
    one = chain(0)
    whole = joint(one)
    z = torch.randn(3, 4, T, D, dtype=torch.float64)
    torch.testing.assert_close(one.log_prob(z), whole.log_prob(z.flatten(-2)))
    torch.testing.assert_close(one.mean.flatten(-2), whole.mean)
    torch.testing.assert_close(one.variance.flatten(-2), whole.variance)
    torch.manual_seed(0)
    drawn = one.rsample((40_000,)).flatten(-2)
    torch.testing.assert_close(drawn.mean(0), whole.mean, atol=0.1, rtol=0)
    torch.testing.assert_close(drawn[:, 0].T.cov(), whole.covariance_matrix[0], atol=0.15, rtol=0.1)


def test_the_divergence_of_chains_is_that_of_the_normals() -> None:
    q, p, prior = chain(1), chain(2), chain(3, ())
    for other in (p, prior):
        exact = torch.distributions.kl_divergence(joint(q), joint(other))
        found = closed_form_kl(q, other)
        assert found is not None
        torch.testing.assert_close(found, exact)
    same = closed_form_kl(q, q)
    assert same is not None and float(same.abs().max()) < 1e-9


@torch.no_grad()
def test_a_recurrent_chain_scores_what_it_draws_and_each_step_sees_the_states_before_it_alone() -> None:
    torch.manual_seed(0)
    net = StateTransition(1, 8).double()
    one = RecurrentChain(net, (3, 1))
    drawn = one.sample((20_000,))
    grid = torch.linspace(-10, 10, 101, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid, grid)[..., None]
    mass = one.log_prob(z).exp() * 0.2**3
    assert float(mass.sum()) == pytest.approx(1, abs=1e-3)
    torch.testing.assert_close((mass[:, None] * z[..., 0]).sum(0), drawn[..., 0].mean(0), atol=0.05, rtol=0)
    before = torch.randn(2, 3, 1, dtype=torch.float64)
    later = before.clone()
    later[:, 2] += 1
    loc, _ = net.parameters_of(before)
    assert torch.equal(loc[:, :2], net.parameters_of(later)[0][:, :2])


def test_a_step_of_the_recurrent_model_has_gradients_everywhere() -> None:
    torch.manual_seed(0)
    encoder, decoder = StateEncoder((C, T), D, width=8), StateDecoder(D, (C, T), width=8)
    likelihood = OfSeries(Gaussian(decoder, scale="channel"), {"sd": [1.0] * C, "lengths": [[T, 1]]})
    model = VAE(States(encoder), RecurrentStates((T, D), 8), likelihood)
    x = torch.randn(5, C, T)
    x[0, :, 4:] = torch.inf
    x[1, 0, 2] = torch.nan
    (-bounds.elbo(model.trace(x, k=2)).mean()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
