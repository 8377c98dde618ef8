"""The seams hold for awkward models: each runs through trace, bounds, objective, training, checkpoint and resume.

Nothing in those modules knows of these models; none of the tests below treats one of them apart from its data.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import toys
from vaekit import bounds
from vaekit.errors import NotALikelihood
from vaekit.models.base import Model
from vaekit.objectives.base import MODEL, Objective
from vaekit.objectives.codes import Cost
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.objectives.importance import ImportanceWeighted
from vaekit.training import checkpoint
from vaekit.training.loop import fit
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage, make_optimisers
from vaekit.training.state import FitResult


@dataclass(frozen=True)
class Kind:
    """One awkward model: how it is built, its objective, its data, and log p(x) by brute force (None: refused)."""

    model: Callable[[], Model]
    objective: Callable[[], Objective]
    x: Callable[[int], Any]
    exact: Callable[[Any, Any, Tensor | None], Tensor] | None
    y: Callable[[int], Tensor] | None = None


def _elbo_and(*terms: Any) -> Objective:
    return Objective(Reconstruction(), Rate(), *terms)


def _partly_labelled(n: int) -> Tensor:
    return torch.randint(-1, 3, (n,))


KINDS: dict[str, Kind] = {
    "flow posterior": Kind(toys.flow_model, negative_elbo, toys.bits, lambda m, x, y: toys.flat_exact(m, x)),
    "two latents": Kind(toys.TopDown, lambda: negative_elbo(k=2), toys.bits, lambda m, x, y: m.exact(x)),
    "two latents, free bits": Kind(
        toys.TopDown,
        lambda: negative_elbo("linear 0 1 50%", free_bits=0.05, k=2),
        toys.bits,
        lambda m, x, y: m.exact(x),
    ),
    "vector-quantised": Kind(
        toys.quantised_model,
        lambda: _elbo_and(Cost("commitment", 0.25)),
        toys.bits,
        lambda m, x, y: toys.quantised_exact(m, x),
    ),
    "padded sequences": Kind(
        toys.sequence_model,
        negative_elbo,
        toys.sequences,
        lambda m, x, y: toys.quadrature(
            m.decode(toys.plane()[:, None].expand(-1, len(x), -1)).log_prob(x)
            + m.prior().log_prob(toys.plane())[:, None],
            2,
        ),
    ),
    "labels missing": Kind(toys.SemiSupervised, negative_elbo, toys.bits, lambda m, x, y: m.exact(x, y)),
    "labels partly known": Kind(
        toys.SemiSupervised,
        lambda: _elbo_and(Cost("classifier", 0.1)),
        toys.bits,
        lambda m, x, y: m.exact(x, y),
        _partly_labelled,
    ),
    "second player": Kind(
        toys.gaussian_model,
        lambda: toys.with_critic(Reconstruction(), Rate(0.1)),
        lambda n: torch.randn(n, toys.FEATURES),
        lambda m, x, y: toys.flat_exact(m, x),
    ),
    "plain autoencoder and a second player": Kind(
        toys.plain_model,
        lambda: toys.with_critic(Reconstruction()),
        lambda n: torch.randn(n, toys.FEATURES),
        None,
    ),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def _data(kind: Kind, n: int) -> tuple[Any, Tensor | None]:
    torch.manual_seed(3)
    return kind.x(n), None if kind.y is None else kind.y(n)


def _make(kind: Kind, seed: int = 0) -> tuple[Any, Objective]:
    torch.manual_seed(seed)
    return kind.model(), kind.objective()


def test_traces_are_unreduced(kind: Kind) -> None:
    model, _ = _make(kind)
    x, y = _data(kind, 5)
    trace = model.trace(x, y, k=3)
    assert trace.log_px.shape == (3, 5)
    if kind.exact is None:
        return
    for hard in (False, True):
        trace = model.trace(x, y, k=3, hard=hard)
        assert trace.log_w.shape == (3, 5)
        assert all(value.shape in ((5,), (3, 5)) for value in trace.kl.values())
        assert bounds.elbo(trace).shape == bounds.importance_weighted(trace).shape == (5,)


@torch.no_grad()
def test_bounds_are_below_brute_force_or_refused(kind: Kind) -> None:
    model, _ = _make(kind)
    x, y = _data(kind, 6)
    if kind.exact is None:
        with pytest.raises(NotALikelihood, match="point mass on a continuous latent"):
            bounds.log_likelihood(model, x, y)
        return
    exact = kind.exact(model, x, y)
    for hard in (False, True):
        trace = model.trace(x, y, k=4000, hard=hard)
        assert bounds.refusal(trace) is None
        elbo, error = bounds.elbo(trace), 5 * trace.log_w.std(0) / 4000**0.5 + 1e-5
        # The sampled and the closed-form KL agree in expectation, and both are below log p(x).
        assert ((elbo - trace.log_w.mean(0)).abs() < error).all()
        assert (elbo < exact + error).all()
        assert (bounds.importance_weighted(trace) < exact + error).all()


@torch.no_grad()
def test_the_estimate_of_log_likelihood(kind: Kind) -> None:
    """Many samples reach the brute-force value, unless the posterior is a point mass: that bound stays below."""
    if kind.exact is None:
        return
    model, _ = _make(kind)
    x, y = _data(kind, 6)
    exact = kind.exact(model, x, y)
    found = bounds.log_likelihood(model, x, y, k=3000, rows=1000).values
    if "z" in (trace := model.trace(x, y, hard=True)).latents and bounds.is_point_mass(trace.latents["z"].q):
        assert (found < exact).all()
        torch.testing.assert_close(found, bounds.elbo(trace))
    else:
        torch.testing.assert_close(found, exact, atol=0.12, rtol=0)


def test_objectives_take_every_trace(kind: Kind) -> None:
    model, objective = _make(kind)
    x, y = _data(kind, 6)
    for one in (objective, Objective(ImportanceWeighted(k=4)) if kind.exact else objective):
        losses = one(model.trace(x, y, k=one.k))
        assert set(losses) == set(one.player_names)
        for player, optimiser in make_optimisers(model, Stage(one), TrainSettings()).items():
            grads = torch.autograd.grad(
                losses[player].total, optimiser.parameters, retain_graph=True, allow_unused=True
            )
            assert all(bool(g.isfinite().all()) for g in grads if g is not None)
            assert any(bool(g.any()) for g in grads if g is not None)


def _fit(kind: Kind, folder: Path | None, *, resume: bool = False, **options: Any) -> tuple[Any, Objective, FitResult]:
    dies_at = options.pop("dies_at", None)
    model, objective = _make(kind, seed=9 if resume else 0)
    x, y = _data(kind, 150)
    source = toys.Examples(x, y, dies_at)
    settings = TrainSettings(**({"epochs": 3, "batch_size": 32, "lr": 1e-2, "device": "cpu", "clip": 50.0} | options))
    if folder is not None:
        folder.mkdir(exist_ok=True)
    return model, objective, fit(model, [Stage(objective)], source, settings, folder=folder, resume=resume)


def test_training_lowers_the_loss_and_reports_the_plain_bound(kind: Kind) -> None:
    _, _, short = _fit(kind, None, epochs=1, lr=1e-6)
    model, _, result = _fit(kind, None, epochs=12, lr=2e-2)
    found = result.held_out
    assert result.skipped == 0
    if kind.exact is None:
        assert found.elbo is None
        assert found.refused is not None and "point mass" in found.refused
        assert found.loss is not None and short.held_out.loss is not None and found.loss < short.held_out.loss
        return
    assert found.elbo is not None and short.held_out.elbo is not None
    assert found.elbo > short.held_out.elbo
    x, y = _data(kind, 150)
    with torch.no_grad():
        assert found.elbo < float(kind.exact(model, x, y).mean()) + 3 * (found.stderr or 0)


def test_a_killed_run_resumes_bit_for_bit(kind: Kind, tmp_path: Path) -> None:
    options: dict[str, Any] = {"checkpoint_steps": 3, "ema": 0.9, "log_every": 2}
    whole, whole_objective, whole_result = _fit(kind, tmp_path / "whole", **options)
    with pytest.raises(toys.Killed):
        _fit(kind, tmp_path / "cut", dies_at=(1, 3), **options)
    again, objective, result = _fit(kind, tmp_path / "cut", resume=True, **options)
    _same(checkpoint.model_tensors(whole), checkpoint.model_tensors(again))
    _same(checkpoint.model_tensors(whole_objective), checkpoint.model_tensors(objective))
    assert (result.held_out.elbo, result.held_out.loss) == (whole_result.held_out.elbo, whole_result.held_out.loss)
    _same(*(checkpoint.load(tmp_path / name / "checkpoints" / "last.safetensors")[0] for name in ("whole", "cut")))
    assert _log(tmp_path / "whole") == _log(tmp_path / "cut")


def _same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


def _log(folder: Path) -> list[dict[str, Any]]:
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for record in records:
        record.pop("examples_per_second", None)
    return records


def test_the_checkpoint_holds_every_players_optimiser(tmp_path: Path) -> None:
    _fit(KINDS["second player"], tmp_path, epochs=1)
    tensors, _ = checkpoint.load(tmp_path / "checkpoints" / "last.safetensors")
    assert any(name.startswith("optimiser.critic/first.objective.players.critic") for name in tensors)
    assert not any(name.startswith("optimiser.critic/first.model") for name in tensors)
    assert not any(name.startswith("optimiser.model/first.objective") for name in tensors)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_players_gradient_reaches_its_own_parameters_only(seed: int) -> None:
    """The critic's term does not detach z, and the model's term runs through the critic: neither moves the other."""

    def after_a_step(ratio: float, own: float) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        torch.manual_seed(seed)
        model = toys.gaussian_model()
        objective = toys.with_critic(Reconstruction(), Rate(), ratio=ratio, own=own)
        source = toys.Examples(torch.randn(32, toys.FEATURES))
        settings = TrainSettings(steps=1, batch_size=32, warmup=0, device="cpu")
        fit(model, [Stage(objective)], source, settings)
        return dict(model.named_parameters()), dict(objective.players["critic"].named_parameters())

    model, critic = after_a_step(ratio=1.0, own=1.0)
    # Adam's first step is the same for a gradient scaled by a constant: only the other player's part could differ.
    model_without, _ = after_a_step(ratio=1.0, own=7.0)
    _, critic_without = after_a_step(ratio=0.0, own=1.0)
    model_other, _ = after_a_step(ratio=0.0, own=1.0)
    for name in model:
        assert torch.equal(model[name], model_without[name])
    for name in critic:
        assert torch.equal(critic[name], critic_without[name])
    # And the model's own term does reach it.
    assert any(not torch.equal(model[name], model_other[name]) for name in model)


def test_held_out_passes_leave_a_critics_running_statistics_alone() -> None:
    often, seldom = (_fit(KINDS["second player"], None, validate_every=every) for every in (1, 100))
    _same(checkpoint.model_tensors(often[1]), checkpoint.model_tensors(seldom[1]))
    _same(checkpoint.model_tensors(often[0]), checkpoint.model_tensors(seldom[0]))


@torch.no_grad()
def test_padding_changes_no_bound() -> None:
    model, objective = _make(KINDS["padded sequences"])
    x, _ = _data(KINDS["padded sequences"], 20)

    def score(padded: toys.Padded) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        trace = model.trace(padded, k=5)
        loss = objective(trace)[MODEL].total
        return bounds.elbo(trace), bounds.importance_weighted(trace), loss

    for filler in (0, 1, 2):
        for a, b in zip(score(x), score(x.pad(4, filler))):
            torch.testing.assert_close(a, b)


@torch.no_grad()
def test_a_sequence_without_its_end_is_outside_the_support() -> None:
    model, _ = _make(KINDS["padded sequences"])
    x, _ = _data(KINDS["padded sequences"], 4)
    cut = replace(x, mask=x.mask & (torch.arange(6) < x.mask.sum(1, keepdim=True) - 1) | (torch.arange(6) == 0))
    reason = bounds.refusal(model.trace(cut))
    assert reason is not None and "outside the support" in reason


@torch.no_grad()
def test_quantised_bound_is_the_one_code_of_the_marginal() -> None:
    """Point mass on a discrete code: log p(x|code) + log p(code), one of the terms of the sum over all codes."""
    model, _ = _make(KINDS["vector-quantised"])
    x, _ = _data(KINDS["vector-quantised"], 30)
    trace = model.trace(x, k=2)
    latent = trace.latents["z"]
    torch.testing.assert_close(latent.kl, torch.full((2, 30), 2 * torch.log(torch.tensor(3.0)).item()))
    torch.testing.assert_close(bounds.elbo(trace), bounds.importance_weighted(trace))
    assert (bounds.elbo(trace) < toys.quantised_exact(model, x)).all()
    assert model.sample(5).shape == (5, toys.FEATURES)


def test_straight_through_reaches_the_encoder_and_the_commitment_the_codebook() -> None:
    model, objective = _make(KINDS["vector-quantised"])
    x, _ = _data(KINDS["vector-quantised"], 30)
    losses = objective(model.trace(x))
    losses[MODEL].total.backward()
    assert model.posterior.net.head.weight.grad.any()
    assert model.posterior.codebook.grad.any()


@torch.no_grad()
def test_enumerated_and_sampled_labels_give_one_elbo() -> None:
    kind = KINDS["labels partly known"]
    model, _ = _make(kind)
    x, y = _data(kind, 12)
    assert y is not None and (y == -1).any() and (y >= 0).any()
    summed, drawn = (model.trace(x, y, k=20_000, hard=hard) for hard in (False, True))
    error = 5 * drawn.log_w.std(0) / 20_000**0.5 + 1e-5
    assert ((bounds.elbo(summed) - bounds.elbo(drawn)).abs() < error).all()


def test_models_can_be_copied(kind: Kind) -> None:
    model, objective = _make(kind)
    _same(checkpoint.model_tensors(model), checkpoint.model_tensors(copy.deepcopy(model)))
    _same(checkpoint.model_tensors(objective), checkpoint.model_tensors(copy.deepcopy(objective)))
