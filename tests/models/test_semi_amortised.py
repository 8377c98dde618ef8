"""Refined posteriors: better bounds than the encoder's own, under no_grad, alike in every batch."""

from __future__ import annotations

import pytest
import torch

from vaekit import bounds
from vaekit.distributions.kl import closed_form_kl
from vaekit.models.semi_amortised import SemiAmortisedVAE
from vaekit.models.vae import VAE
from vaekit.runs.run import Run
from vaekit.runs.train import train


@pytest.fixture(scope="module")
def run() -> Run:
    return train(
        "semi-amortised-vae", "digits", steps=60, seed=0, device="cpu", set={"model.hidden": 32, "model.latent": 4}
    )


@pytest.fixture(scope="module")
def weak() -> VAE:
    """A model whose encoder has been spoilt after training, so that there is something to refine."""
    settings = {"model.hidden": 64, "model.latent": 4, "train.lr": 5e-3}
    model = train("vae", "digits", steps=400, seed=0, device="cpu", set=settings).model
    assert isinstance(model, VAE)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.add_(0.5 * parameter.std() * torch.randn_like(parameter))
    return model.eval()


def elbo(model: VAE, x: torch.Tensor, k: int = 200) -> float:
    torch.manual_seed(1)
    with torch.no_grad():
        return float(bounds.elbo(model.trace(x, k=k, hard=True)).mean())


def refined(model: VAE, steps: int) -> SemiAmortisedVAE:
    return SemiAmortisedVAE(model.posterior, model.prior, model.likelihood, steps=steps, rate=0.03, points=16).eval()


def test_each_refinement_raises_the_bound_without_gradients_around_it(weak: VAE, run: Run) -> None:
    x = run.test.x[:60].float()
    found = [elbo(weak, x), *(elbo(refined(weak, steps), x) for steps in (1, 5, 25))]
    assert found == sorted(found) and found[-1] > found[0] + 0.25, found
    with torch.no_grad():
        assert not refined(weak, 2).encode(x).mean.requires_grad


def test_what_is_reported_uses_samples_of_its_own(weak: VAE, run: Run) -> None:
    """Refined on two fixed points, q fits those: its own ELBO there is above that of fresh samples."""
    x = run.test.x[:60].float()
    model = SemiAmortisedVAE(weak.posterior, weak.prior, weak.likelihood, steps=40, rate=0.05, points=2).eval()
    with torch.no_grad():
        net = model.posterior.net
        assert net is not None
        q = model.encode(x)
        noise = model._noise(q.mean, torch.Size(q.event_shape))
        z = q.at(noise)  # pyright: ignore[reportAttributeAccessIssue]
        kl = closed_form_kl(q, model.prior_of())
        assert kl is not None
        there = float((model.decode(z).log_prob(x).mean(0) - kl).mean())
    assert there > elbo(model, x) + 0.1


def test_an_examples_posterior_does_not_depend_on_its_batch(run: Run) -> None:
    some = run.test.first(20)
    one = some.take(torch.tensor([7]))
    torch.testing.assert_close(run.encode(some)[7:8], run.encode(one), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(run.encode(some), run.encode(some), rtol=0, atol=0)


def test_training_reaches_encoder_decoder_and_rates() -> None:
    run = train("semi-amortised-vae", "digits", steps=1, device="cpu", set={"model.hidden": 16})
    model = run.model.train()
    loss = -bounds.elbo(model.trace(run.test.x[:5].float())).mean()
    grads = torch.autograd.grad(loss, list(model.parameters()))
    assert all(bool(torch.isfinite(g).all()) and float(g.abs().max()) > 0 for g in grads)


def test_a_posterior_without_noise_to_hold_is_refused() -> None:
    from vaekit.errors import UserError

    settings = {"model.posterior": "von-mises-fisher", "model.prior": "uniform-sphere"}
    with pytest.raises(UserError, match="fixed noise"):
        train("semi-amortised-vae", "digits", steps=1, set=settings)
