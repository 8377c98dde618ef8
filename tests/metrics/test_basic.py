"""The basic metrics on tiny models against the same numbers computed by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.data.shuffling import mix
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.metrics.base import PIECE, Subject, evaluate
from vaekit.metrics.likelihood import bits_per_dim
from vaekit.models.base import Model
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal
from vaekit.runs.base import TEST_SEED
from vaekit.runs.run import Run
from vaekit.runs.train import train

D, N = 6, 37


def tiny(posterior: Any = DiagonalNormal, likelihood: Any = Bernoulli) -> VAE:
    torch.manual_seed(4)
    model = VAE(posterior(mlp(D, 2, (5,))), StandardNormal(2), likelihood(mlp(2, D, (5,))))
    for p in model.parameters():
        p.data.mul_(1.5)
    return model.eval()


def binary(n: int = N) -> Tensor:
    return torch.bernoulli(torch.full((n, D), 0.4), generator=torch.Generator().manual_seed(1))


def info(kind: Any = "binary", levels: int | None = 2, bits: float | None = 0.0) -> DataInfo:
    return DataInfo("toy", (D,), kind, levels, 1, 1, N, (), bits_offset=bits)


def subject(model: VAE | None = None, **more: Any) -> Subject:
    rest: dict[str, Any] = {"k": 4} | more
    return Subject(model or tiny(), rest.pop("info", info()), rest.pop("x", binary()), **rest)


@torch.no_grad()
def parameters(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    q: Any = model.encode(x)
    return q.mean.double(), q.stddev.double()


@torch.no_grad()
def log_bernoulli(model: VAE, x: Tensor, z: Tensor) -> Tensor:
    px: Any = copy.deepcopy(model).double().decode(z)
    return torch.nn.functional.logsigmoid((2 * x - 1) * px.logits).sum(-1)


def quadrature(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return E_q[log p(x|z)] and log p(x) of each example by Gauss-Hermite and grid sums over the two latents."""
    import numpy as np

    t, w = (torch.from_numpy(a) for a in np.polynomial.hermite_e.hermegauss(40))
    points = torch.cartesian_prod(t, t)
    weight = torch.outer(w, w).flatten() / (2 * math.pi)
    mean, sd = parameters(model, x)
    first = torch.stack([weight @ log_bernoulli(model, xi, m + s * points) for xi, m, s in zip(x, mean, sd)])
    line = torch.linspace(-7, 7, 281, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    log_prior = -0.5 * grid.square().sum(1) - math.log(2 * math.pi)
    area = 2 * math.log(float(line[1] - line[0]))
    evidence = torch.stack([torch.logsumexp(log_bernoulli(model, xi, grid) + log_prior, 0) + area for xi in x])
    return first, evidence


def test_the_elbo_and_its_terms_by_quadrature() -> None:
    model, x = tiny(), binary()
    first, evidence = quadrature(model, x)
    mean, sd = parameters(model, x)
    kl = 0.5 * (mean.square() + sd.square() - 2 * sd.log() - 1).sum(1)
    # Every example 300 times over: the sample's noise shrinks, the mean over examples stays.
    found = evaluate(subject(model, x=x.repeat(300, 1), k=100), ["elbo", "iw_bound"])
    assert found["kl"].value == pytest.approx(kl.mean().item(), rel=1e-5)
    assert found["kl"].stderr == pytest.approx(kl.repeat(300).std().item() / math.sqrt(300 * N), rel=1e-4)
    for name, truth in (("log_px", first.mean()), ("elbo", (first - kl).mean())):
        value, error = found[name].value, found[name].stderr
        assert value is not None and error is not None
        assert abs(value - truth.item()) < 0.05 and 0 < error < 0.1, name  # four times the noise of the draws
        assert found[name].unit == "nats/example" and found[name].n == 300 * N
    bound = found["iw_bound"].value
    assert bound is not None and found["elbo"].value is not None
    assert found["elbo"].value < bound < evidence.mean().item() + 0.02
    assert bound == pytest.approx(evidence.mean().item(), abs=0.02)


def by_pieces(model: Model, x: Tensor, seed: int) -> Tensor:
    """The ELBO of each example, with noise seeded piece by piece: however many processes share them."""
    each = []
    for number, piece in enumerate(x.split(PIECE)):
        torch.manual_seed(mix(seed, number))
        with torch.no_grad():
            trace = model.trace(piece, hard=True)
        each.append((trace.log_px[0] - trace.kl["z"]).double())
    return torch.cat(each)


def test_a_process_without_a_piece_joins_nothing() -> None:
    assert subject(tiny()).join_pieces([]).shape == (0,)


def test_standard_errors_are_of_the_mean_over_examples() -> None:
    model = tiny()
    found = evaluate(subject(model), ["elbo", "mse"])
    each = by_pieces(model, binary(), 0)
    assert found["elbo"].value == pytest.approx(each.mean().item(), rel=1e-5)
    assert found["elbo"].stderr == pytest.approx(each.std().item() / math.sqrt(N), rel=1e-4)


def test_reconstruction_is_deterministic_and_by_hand() -> None:
    """The trap of sampled latents in evaluation: the error is that of the posterior mean's decoding."""
    model, x = tiny(), binary()
    with torch.no_grad():
        error = (model.decode(parameters(model, x)[0].float()).mean - x).square().mean(1).double()
    found = evaluate(subject(model, seed=5), ["mse"])
    assert found["mse"].value == pytest.approx(error.mean().item(), rel=1e-6)
    assert found["mse"].stderr == pytest.approx(error.std().item() / math.sqrt(N), rel=1e-5)
    assert found["psnr"].value == pytest.approx((-10 * error.log10()).mean().item(), rel=1e-6)
    assert evaluate(subject(model, seed=6), ["mse"])["mse"].value == found["mse"].value
    assert "psnr" not in evaluate(subject(model, info=info("real", None, None)), ["mse"])


def test_active_units_by_hand() -> None:
    model = tiny()
    with torch.no_grad():
        last = [p for n, p in model.posterior.named_parameters() if n.endswith("weight")][-1]
        last[0] *= 1e-3  # the first latent's mean hardly moves
        mean, sd = parameters(model, binary())
    expected = int((mean.var(0, correction=0) > 0.01).sum())
    assert expected == 1
    found = evaluate(subject(model), ["active_units"])["active_units"]
    assert found.value == 1 and found.facts["of"] == 2 and found.facts["threshold"] == 0.01
    kl = 0.5 * (mean.square() + sd.square() - 2 * sd.log() - 1).mean(0)
    assert found.facts["kl_elements"]["z"] == pytest.approx(kl.tolist(), rel=1e-4)


def test_active_units_of_codes_without_a_spread_are_of_the_codes() -> None:
    x = torch.randn(30, 3) * torch.tensor([1.0, 0.05, 2.0])
    x[:, 0] += 40  # a mean far from zero is no variance
    model = VAE(Delta(mlp(3, 3, ())), StandardNormal(3), Gaussian(mlp(3, 3, ()))).eval()
    with torch.no_grad():
        for name, p in model.posterior.named_parameters():
            p.copy_(torch.eye(3) if name.endswith("weight") else torch.zeros(3))
    found = evaluate(Subject(model, DataInfo("toy", (3,), "real", None, 0, 0, 30), x), ["active_units"])["active_units"]
    assert (found.value, found.facts["of"]) == (2, 3)


@pytest.mark.parametrize("metric", ["mse", "active_units"])
def test_the_batch_size_does_not_change_what_has_no_noise(metric: str) -> None:
    whole, parts = (evaluate(subject(batch_size=size), [metric]) for size in (N, 5))
    for name in whole:
        assert whole[name].value == pytest.approx(parts[name].value, rel=1e-6)
        if whole[name].stderr is not None:
            assert whole[name].stderr == pytest.approx(parts[name].stderr, rel=1e-5)


def test_a_short_last_batch_counts_by_its_examples() -> None:
    """The KL has no noise: batches of 36 and 1 give the mean over 37, not the mean of two means."""
    whole, parts = (evaluate(subject(batch_size=size), ["elbo"]) for size in (N, N - 1))
    assert whole["kl"].value == pytest.approx(parts["kl"].value, rel=1e-6)
    assert whole["kl"].n == parts["kl"].n == N
    few, many = (evaluate(subject(batch_size=size, k=2000), ["iw_bound"])["iw_bound"] for size in (N, 5))
    assert few.value == pytest.approx(many.value, abs=0.02) and few.facts["k"] == 2000


def test_evaluation_leaves_model_and_random_state_as_they_were() -> None:
    model = tiny().train()
    before = torch.get_rng_state()
    first = evaluate(subject(model), ["all"])
    assert torch.equal(torch.get_rng_state(), before) and model.training
    assert all(p.grad is None for p in model.parameters())
    again = evaluate(subject(model), ["iw_bound", "elbo"])
    assert again["elbo"].value == first["elbo"].value, "a metric's noise depends on which others are computed"


# --- refusals ----------------------------------------------------------------------------------------------------


def test_a_point_mass_has_no_likelihood() -> None:
    found = evaluate(subject(tiny(posterior=Delta)), ["likelihood"])
    for name in ("elbo", "log_px", "kl", "iw_bound", "bits_per_dim"):
        assert found[name].value is None and "point mass" in found[name].facts["refused"], name


def test_soft_bernoulli_and_data_outside_the_support_have_no_likelihood() -> None:
    from vaekit.likelihoods.base import LIKELIHOODS

    soft = tiny(likelihood=LIKELIHOODS["bernoulli-soft"].part)
    found = evaluate(subject(soft), ["likelihood"])
    assert found["elbo"].value is None and "not a normalised distribution" in found["elbo"].facts["refused"]
    greys = evaluate(subject(x=binary() * 0.5), ["likelihood"])
    assert greys["elbo"].value is None and "outside the support" in greys["elbo"].facts["refused"]


def test_bits_per_dimension_of_masses_and_densities() -> None:
    log_p = torch.tensor([-3.0, -5.0])
    bits = 4.0 / (D * math.log(2))
    mass = bits_per_dim(log_p, info(), "mass")
    assert mass.value == pytest.approx(bits) and mass.unit == "bits per dimension"
    assert mass.stderr == pytest.approx(1.0 / (D * math.log(2)))
    # 8-bit data dequantised to [0, 1): the density there is 256 times that a grey level, so 8 bits come back.
    dense = bits_per_dim(log_p, info("unit", 256, 8.0), "density")
    assert dense.value == pytest.approx(bits + 8.0)
    # A density of greys, of plain reals, or of binary data bounds no code length.
    for data in (info("levels", 256, 0.0), info("real", None, None), info("binary", 2, 0.0), info("unit", None, None)):
        none = bits_per_dim(log_p, data, "density")
        assert none.value is None and none.facts["refused"]
    assert bits_per_dim(log_p, info("real", None, None), "mass").value is None


def test_uniform_greys_cost_eight_bits_each() -> None:
    """The hand case through a model: a density of 1 on [0, 1)^D is a uniform code of 256 levels, 8 bits a dimension."""
    import numpy as np

    x = np.random.default_rng(0).integers(0, 256, (120, 4, 4)).astype(np.uint8)
    run = train(
        "vae", x, steps=1, set={"data.dequantise": True, "model.likelihood": "continuous-bernoulli", "model.hidden": 4}
    )
    assert run.info.bits_offset == 8.0 and run.info.kind == "unit"
    with torch.no_grad():
        for p in run.model.parameters():
            p.zero_()  # λ = 1/2 everywhere: the uniform density; and q = p
    found = run.evaluate(["likelihood"], k=2)
    assert found["elbo"].value == pytest.approx(0.0, abs=1e-5)
    assert found["bits_per_dim"].value == pytest.approx(8.0, abs=1e-5)


def test_a_gaussian_on_greys_has_no_bits_per_dimension() -> None:
    run = train("vae", "digits", steps=1, set={"model.likelihood": "gaussian", "model.hidden": 4})
    found = run.evaluate(["likelihood"], k=2, limit=10)
    assert found["elbo"].value is not None and found["elbo"].facts["measure"] == "density"
    assert found["bits_per_dim"].value is None and "dequantise" in found["bits_per_dim"].facts["refused"]


def test_unknown_metrics_and_missing_labels_are_errors() -> None:
    with pytest.raises(UserError, match="there is no metric 'elbow'"):
        evaluate(subject(), ["elbow"])
    torch.manual_seed(4)
    found = evaluate(subject(tiny(likelihood=Gaussian)), ["elbo"])
    assert found["elbo"].facts["measure"] == "density"


# --- which data --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run() -> Run:
    return train("vae", "digits", steps=5, device="cpu", set={"model.hidden": 8})


def test_a_run_is_evaluated_on_its_test_split_alone(run: Run) -> None:
    test = run.prepare.fixed(run.data.test, TEST_SEED)
    assert torch.equal(run.subject().x, test.x.float())
    found = run.evaluate(["elbo"], seed=2)
    run.model.eval()
    assert found["elbo"].value == pytest.approx(by_pieces(run.model, test.x.float(), 2).mean().item(), rel=1e-6)
    assert found["elbo"].n == run.info.n_test == len(run.data.test)
    held = {tuple(row) for row in run.data.valid.x.flatten(1).tolist()}
    seen = [tuple(row) in held for row in run.data.test.x.flatten(1).tolist()]
    assert not any(seen), "the test split holds held-out examples"
    assert run.evaluate(["elbo"], limit=7)["elbo"].n == 7


def test_the_same_numbers_each_time(run: Run) -> None:
    first, second = (run.evaluate(["likelihood", "mse"], k=3) for _ in range(2))
    assert {n: r.to_dict() for n, r in first.items()} == {n: r.to_dict() for n, r in second.items()}
    other = run.evaluate(["elbo"], seed=1)["elbo"].value
    assert other != first["elbo"].value and other == pytest.approx(first["elbo"].value, abs=1.0)


def test_train_and_evaluate_agree_where_they_measure_the_same(run: Run) -> None:
    """The held-out ELBO of training is the metric's on the held-out split, up to the noise of one draw."""
    valid = run.prepare.fixed(run.data.valid, 776)
    found = evaluate(run.subject(valid), ["elbo"])["elbo"]
    result = run.record["result"]
    assert found.value == pytest.approx(result["elbo"], abs=0.2)
    assert found.stderr == pytest.approx(result["elbo_stderr"], rel=0.1)


def test_two_examples_have_active_units_and_one_has_none() -> None:
    model = VAE(DiagonalNormal(mlp(6, 2)), StandardNormal(2), Bernoulli(mlp(2, 6))).eval()
    info = DataInfo("toy", (6,), "binary", 2, 1, 1, 2)
    x = torch.tensor([[1.0, 0, 1, 0, 1, 0], [0, 1, 0, 1, 0, 1]])
    assert evaluate(Subject(model, info, x), ["active_units"])["active_units"].value is not None
    assert "at least two" in evaluate(Subject(model, info, x[:1]), ["active_units"])["active_units"].facts["refused"]


def test_as_many_samples_are_drawn_as_are_asked_for() -> None:
    one, told = subject(), list[tuple[str, int, int]]()
    one = replace(one, progress=lambda *what: told.append(what))
    for n in (1, PIECE, PIECE + 3):
        assert len(one.samples(n)) == n and told[-1] == ("sample", n, n)
    assert torch.equal(one.samples(PIECE + 3)[:PIECE], one.samples(PIECE))
