"""The prior by flow matching: an exact density, fitted to the codes of a model after it was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

import vaekit
from vaekit.bounds import elbo
from vaekit.distributions.flow import Flow
from vaekit.distributions.velocity import Integrated, Velocity
from vaekit.errors import UserError
from vaekit.objectives.matching import FlowMatching
from vaekit.priors.latent_flow import LatentFlow
from vaekit.trace import Trace

PLAIN = {"model.latent": 4, "model.hidden": [64], "objective.beta": 0.3}
SMALL = {**PLAIN, "model.prior": "latent-flow", "model.prior_width": 48}
CENTRES = torch.tensor([[2.0, 0.0], [-2.0, 0.0], [0.0, 2.0], [0.0, -2.0]])


def field(features: int = 3, size: float = 0.5) -> Velocity:
    """A velocity with random weights, in float64."""
    torch.manual_seed(0)
    made = Velocity(features, 16).double()
    torch.nn.init.normal_(made.out.weight, std=size)
    return made


def four(n: int) -> Tensor:
    """Draw from four normals of deviation 0.4."""
    return CENTRES[torch.randint(0, 4, (n,))] + 0.4 * torch.randn(n, 2)


def four_log_prob(z: Tensor) -> Tensor:
    each = torch.distributions.Normal(CENTRES, 0.4).log_prob(z.unsqueeze(-2)).sum(-1)
    return each.logsumexp(-1) - torch.log(torch.tensor(4.0))


def gain(run: vaekit.Run) -> float:
    """Return what the fitted prior adds to the bound on log p(x), nats: at β < 1 codes are no normal's."""
    bounds = []
    for trace in (run.model.trace, run.model.trace_plain):  # pyright: ignore[reportAttributeAccessIssue]
        torch.manual_seed(0)
        with torch.no_grad():
            bounds.append(float(elbo(trace(run.test.x.float(), k=20)).mean()))
    return bounds[0] - bounds[1]


@pytest.fixture(scope="module")
def fitted() -> Flow:
    """A flow fitted to the four normals."""
    torch.manual_seed(0)
    prior, term = LatentFlow(2, 64), FlowMatching()
    adam = torch.optim.Adam(prior.parameters(), 5e-3)
    for step in range(2000):
        for group in adam.param_groups:
            group["lr"] = 5e-3 * (1 - step / 2000)
        adam.zero_grad()
        term(Trace(four(256), None, {}, prior())).mean().backward()
        adam.step()
    return prior.requires_grad_(False)()


def test_the_divergence_is_the_trace_of_the_jacobian() -> None:
    made = field()
    z, t = torch.randn(3, dtype=torch.float64), torch.tensor([0.3], dtype=torch.float64)
    v, divergence = made.with_divergence(z, t)
    jacobian = torch.autograd.functional.jacobian(lambda z: made.velocity(z, t), z)
    assert isinstance(jacobian, Tensor)
    torch.testing.assert_close(divergence, jacobian.trace())
    torch.testing.assert_close(v, made.velocity(z, t))


def test_the_log_determinant_is_that_of_the_map_and_the_inverse_leads_back() -> None:
    made = Integrated(field().requires_grad_(False), 0.0, 1.0)
    z = torch.randn(5, 3, dtype=torch.float64)
    there, ladj = made.call_and_ladj(z)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda one: made.call_and_ladj(one)[0], z[i])
        assert isinstance(jacobian, Tensor)
        torch.testing.assert_close(ladj[i], jacobian.slogdet()[1], rtol=0, atol=1e-6)
    back, ladj_back = made.inv.call_and_ladj(there)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-6)
    torch.testing.assert_close(ladj_back, -ladj, rtol=0, atol=1e-6)
    assert float((there - z).detach().abs().max()) > 0.1, "the map does something"


def test_it_integrates_to_one_and_its_samples_have_its_density(fitted: Flow) -> None:
    axis = torch.linspace(-5, 5, 201)
    grid = torch.cartesian_prod(axis, axis)
    mass = float(fitted.log_prob(grid).double().exp().sum() * (axis[1] - axis[0]) ** 2)
    assert mass == pytest.approx(1, abs=1e-3)
    torch.manual_seed(1)
    z, log_p = fitted.rsample_and_log_prob(torch.Size((500,)))
    torch.testing.assert_close(log_p, fitted.log_prob(z), rtol=0, atol=1e-3)
    finer, ladj = Integrated(fitted.steps, 1.0, 0.0, 256).call_and_ladj(z)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(fitted.base.log_prob(finer) + ladj, log_p, rtol=0, atol=2e-3)


def test_it_is_fitted_to_the_law_of_its_examples(fitted: Flow) -> None:
    torch.manual_seed(2)
    z = four(2000)
    lost = float((four_log_prob(z) - fitted.log_prob(z)).mean())
    normal = torch.distributions.MultivariateNormal(z.mean(0), z.T.cov())
    assert lost < 0.08, f"KL(law ‖ fit) is {lost:.3f} nats"
    assert float((four_log_prob(z) - normal.log_prob(z)).mean()) > 0.5, "no normal would do"
    gained = float((fitted.log_prob(fitted.sample((2000,))) - four_log_prob(fitted.sample((2000,)))).mean())
    assert abs(gained) < 0.15


def test_a_model_is_trained_with_a_normal_and_then_its_prior_is_fitted(tmp_path: Path) -> None:
    run = vaekit.train("beta-vae", "digits", steps=600, set=SMALL, device="cpu", pictures=False, out=tmp_path / "run")
    assert {record["stage"] for record in run.log} == {"model", "prior"}
    assert gain(run) > 0.1
    again = vaekit.load(tmp_path / "run")
    torch.testing.assert_close(again.sample(5, seed=1), run.sample(5, seed=1))
    assert run.evaluate("likelihood", limit=50, k=5).keys() >= {"elbo", "iw_bound"}


def test_the_prior_of_a_run_that_is_there_is_fitted_alone(tmp_path: Path) -> None:
    first = vaekit.train(
        "beta-vae", "digits", steps=300, set=PLAIN, device="cpu", pictures=False, out=tmp_path / "first"
    )
    with pytest.warns(UserWarning, match="prior.field"):
        second = vaekit.train(
            init=tmp_path / "first",
            steps=300,
            set={"model.prior": "latent-flow"},
            device="cpu",
            freeze=["posterior", "likelihood"],
            pictures=False,
        )
    assert {record["stage"] for record in second.log} == {"prior"}
    for name, weight in first.model.state_dict().items():
        assert torch.equal(weight, second.model.state_dict()[name]), name
    assert gain(second) > 0.1


@pytest.mark.parametrize("recipe", ["two-stage-vae", "hierarchical-vae"])
def test_recipes_that_train_another_way_refuse_it(recipe: str) -> None:
    with pytest.raises(UserError, match=r"fitted last|not used by this recipe"):
        vaekit.train(recipe, "digits", steps=2, set=SMALL, device="cpu")
