"""A step computed in parts: the gradient of the whole batch, what cannot be split, and when memory asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from distributed.same_noise import drawing_as
from training.toys import LATENT, D, ToySource, adversarial, toy_data, toy_vae
from vaekit import devices, distributed
from vaekit.distributed.batch_norm import BatchNorm1d
from vaekit.errors import NeedsWholeBatch, TrainingFailed, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.base import Model
from vaekit.models.codes import CodeVAE
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.objectives.base import Objective
from vaekit.objectives.decomposition import decomposed_kl
from vaekit.objectives.elbo import Reconstruction, negative_elbo
from vaekit.objectives.mmd import MMD
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.quantised import VectorQuantised
from vaekit.priors.codes import UniformCodesPrior
from vaekit.priors.normal import StandardNormal
from vaekit.training import memory
from vaekit.training.log import read
from vaekit.training.loop import Fit, fit
from vaekit.training.memory import Parts, kept_bytes
from vaekit.training.progress import Progress
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage


def settings(**more: Any) -> TrainSettings:
    return TrainSettings(**({"epochs": 3, "batch_size": 24, "device": "cpu", "lr": 0.01} | more))


class Notes(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        """Keep a line."""
        self.said.append(text)


def deterministic(seed: int = 0) -> VAE:
    """Return an autoencoder, in which nothing is drawn."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VAE(Delta(mlp(D, LATENT, (8,))), StandardNormal(LATENT), Bernoulli(mlp(LATENT, D, (8,))))


def quantised() -> CodeVAE:
    """Return a model whose codebook follows averages of all rows of a step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        q = VectorQuantised(mlp(D, (LATENT, 2), (8,)), codes=4, revive=0.0)
        return CodeVAE(q, UniformCodesPrior(q.code_shape, 4), Bernoulli(mlp((LATENT, 2), D, (8,))))


@pytest.mark.parametrize("make", [deterministic, quantised])
@pytest.mark.parametrize("accumulate", [2, 5, 24])
def test_a_step_in_parts_is_the_step_at_once(make: Callable[[], Model], accumulate: int, tmp_path: Path) -> None:
    """Weights, codebook and log to rounding; 100 rows in batches of 24 end in a short one of 4."""
    objective = Objective(Reconstruction())
    models, logs = [make(), make()], []
    for model, number in zip(models, (1, accumulate)):
        folder = tmp_path / str(number)
        folder.mkdir()
        fit(model, [Stage(objective, bounded=False)], ToySource(), settings(accumulate=number), folder=folder)
        logs.append([r for r in read(folder / "log.jsonl") if "loss" in r])
    for (name, one), other in zip(models[0].state_dict().items(), models[1].state_dict().values()):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)
    for name in ("loss", "grad_norm", "reconstruction"):
        assert [r[name] for r in logs[1]] == pytest.approx([r[name] for r in logs[0]], rel=1e-4), name


@pytest.mark.parametrize("parts", [2, 3])
def test_with_noise_too_for_that_of_as_many_processes(parts: int, tmp_path: Path) -> None:
    """A whole step that draws row by row what the parts draw; two posterior samples an example, KL and all."""
    one, other = toy_vae(), toy_vae()
    objective = negative_elbo("linear 0.1 1 50%", k=2)

    def train(model: VAE, accumulate: int) -> list[dict[str, Any]]:
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        made = settings(accumulate=accumulate, batch_size=25, steps=9, log_every=1)
        fit(model, [Stage(objective)], ToySource(), made, folder=folder)
        return [r for r in read(folder / "log.jsonl") if "loss" in r]

    mine = train(one, parts)
    with drawing_as(parts, k=2):
        theirs = train(other, 1)
    for p, q in zip(one.parameters(), other.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)
    for name in ("loss", "elbo", "kl", "reconstruction", "grad_norm"):
        assert [r[name] for r in mine] == pytest.approx([r[name] for r in theirs], rel=1e-3), name
    third = toy_vae()
    fit(third, [Stage(objective)], ToySource(), settings(accumulate=1, batch_size=25, steps=9))
    assert any((p - q).abs().max() > 1e-3 for p, q in zip(one.parameters(), third.parameters())), "no noise was drawn"


@pytest.mark.parametrize(
    ("objective", "what"),
    [
        (lambda: Objective(Reconstruction(), MMD()), "the term 'mmd'"),
        (lambda: Objective(Reconstruction(), *decomposed_kl(100)), "the term 'mutual_information'"),
        (lambda: negative_elbo(1.0, free_bits=0.5), "the term 'rate'"),
    ],
)
def test_what_needs_the_whole_batch_is_not_split(
    objective: Callable[[], Objective], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for by hand it is refused before the first step; where memory asks for it, it is said and not done."""
    model = toy_vae()
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(UserError, match=f"{what} needs the whole batch.*lower --batch-size"):
        fit(model, [Stage(objective())], ToySource(), settings(accumulate=2))
    assert all(torch.equal(p, b) for p, b in zip(model.parameters(), before))
    monkeypatch.setattr(memory, "free_memory", lambda device: 5_000)
    notes, plain = Notes(), toy_vae()
    result = fit(model, [Stage(objective())], ToySource(), settings(), progress=notes)
    fit(plain, [Stage(objective())], ToySource(), settings(accumulate=1))
    assert result.position.rows_at_once == 0 and all(map(torch.equal, model.parameters(), plain.parameters()))
    (line,) = [text for text in notes.said if "warning" in text and "memory" in text]
    assert what in line and "lower --batch-size to" in line


def test_a_whole_batch_is_never_silently_taken_apart() -> None:
    """Every function of the whole batch refuses in a part; so do a scalar, whatever it is of, and batch norms."""
    x = torch.randn(4, 3)
    for name in ("all_sum", "gather", "take", "mean_rows", "mean", "logsumexp", "any_of", "narrow", "share_of_mean"):
        value = torch.tensor(1.0) if name in ("share_of_mean", "any_of") else x[:, 0] > 0 if name == "narrow" else x
        with distributed.sharing(8, 1, part=(0, 2)), pytest.raises(NeedsWholeBatch):
            getattr(distributed, name)(value)
    with distributed.sharing(8, 1, part=(1, 2)), pytest.raises(NeedsWholeBatch):
        distributed.some(x, 2)
    for norm in (nn.BatchNorm1d(D), BatchNorm1d(D)):
        model = toy_vae()
        model.add_module("norm", norm)
        with pytest.raises(UserError, match="batch normalisation needs the whole batch"):
            fit(model, [Stage(negative_elbo())], ToySource(), settings(accumulate=2))


def test_the_rows_of_parts_are_the_batch_each_once() -> None:
    x = torch.arange(11)
    dealt = []
    for part in range(3):
        with distributed.sharing(11, 5, part=(part, 3)):
            assert distributed.part() == part and distributed.total_rows(0) == 11
            dealt.append(distributed.deal(x))
    assert [len(rows) for rows in dealt] == [4, 4, 3] and torch.equal(torch.cat(dealt).sort().values, x)
    assert [Parts(4).of(n) for n in (1, 4, 5, 11)] == [1, 1, 2, 3]


# --- memory ------------------------------------------------------------------------------------------------------


def needed(batch: int) -> float:
    """Return what a step of the toy is said to take."""
    run = Fit(toy_vae(), [Stage(negative_elbo())], ToySource(), settings())
    run._start_stage(0, None)
    trial = memory.Trial(run.make_trace, run.stage.objective, run.model, run.owners, run._autocast)
    return trial.needs((toy_data(batch), None), batch)


def test_what_a_step_takes_grows_with_its_rows_and_leaves_nothing_behind() -> None:
    assert 1.9 < needed(80) / needed(40) < 2.1
    model: Any = toy_vae()
    model.posterior.net.layers[0] = nn.Sequential(nn.BatchNorm1d(D), model.posterior.net.layers[0])
    run = Fit(model, [Stage(negative_elbo())], ToySource(), settings())
    run._start_stage(0, None)
    run.model.eval()
    trial = memory.Trial(run.make_trace, run.stage.objective, run.model, run.owners, run._autocast)
    state, random = {n: t.clone() for n, t in run.model.state_dict().items()}, torch.get_rng_state()
    assert trial.needs((toy_data(10), None), 10) > 0
    assert torch.equal(torch.get_rng_state(), random) and not any(part.training for part in run.model.modules())
    assert all(torch.equal(t, state[n]) for n, t in run.model.state_dict().items())


def test_kept_bytes_are_those_of_the_graph() -> None:
    """A linear layer keeps its input and no weight; tanh its result; a view no more than what it is of."""
    net = nn.Linear(50, 40)
    x = torch.randn(30, 50)
    assert kept_bytes(lambda: net(x), [*net.parameters()]) == x.nbytes
    assert kept_bytes(lambda: net(x).tanh(), [*net.parameters()]) == x.nbytes + 30 * 40 * 4
    assert kept_bytes(lambda: net(x[:10]), [*net.parameters()]) == x.nbytes


@pytest.mark.parametrize("share", [0.9, 0.4, 0.2])
def test_memory_that_does_not_hold_a_step_has_it_in_parts(
    share: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As many as it needs and one line that says so; taken up again, it keeps to the parts that it began with."""
    free = 2 * share * needed(24)  # of which half may be used
    monkeypatch.setattr(memory, "free_memory", lambda device: free)
    notes, model, again = Notes(), toy_vae(), toy_vae()
    result = fit(model, [Stage(negative_elbo())], ToySource(), settings(), folder=tmp_path, progress=notes)
    rows = result.position.rows_at_once
    parts = Parts(rows).of(24)
    assert rows <= 24 * share and 24 / (parts - 1) > 0.7 * 24 * share, "parts do not fit, or are more than needed"
    (line,) = [text for text in notes.said if "memory" in text]
    assert f"{parts} parts of {rows}" in line and "a step on 24 examples" in line
    by_hand = toy_vae()
    fit(by_hand, [Stage(negative_elbo())], ToySource(), settings(accumulate=parts))
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), by_hand.parameters()))
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e12)
    longer = fit(again, [Stage(negative_elbo())], ToySource(), settings(epochs=5), folder=tmp_path, resume=True)
    assert longer.position.rows_at_once == rows and longer.position.epoch == 5


def test_memory_that_holds_a_step_has_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said, and nothing is measured where there is plenty."""
    for free in (None, 1e12, 3 * needed(24)):
        monkeypatch.setattr(memory, "free_memory", lambda device, free=free: free)
        notes, plain, model = Notes(), toy_vae(), toy_vae()
        result = fit(model, [Stage(negative_elbo())], ToySource(), settings(), progress=notes)
        assert result.position.rows_at_once == 0 and not [text for text in notes.said if "memory" in text]
        fit(plain, [Stage(negative_elbo())], ToySource(), settings(accumulate=1))
        assert all(torch.equal(p, q) for p, q in zip(model.parameters(), plain.parameters()))


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError(),
    ],
)
def test_a_lack_of_memory_names_the_settings_to_change(error: Exception) -> None:
    class Lacking(Fit):
        def _step(self, x: Tensor, y: Tensor | None) -> None:
            raise error

    with pytest.raises(TrainingFailed, match=r"step on 24 examples.*train\.accumulate=8.*lower --batch-size"):
        Lacking(toy_vae(), [Stage(adversarial())], ToySource(), settings()).run()
    with pytest.raises(RuntimeError, match="another fault"), memory.explained(settings(), torch.device("cpu")):
        raise RuntimeError("another fault")


def test_free_memory_is_what_the_container_leaves(tmp_path: Path) -> None:
    """The limit less what is used, files in the cache counted as free; without a limit the machine's."""
    assert (devices.free_memory(torch.device("cpu")) or 1) > 0
    assert devices._free_in_container(tmp_path) is None
    (tmp_path / "memory.stat").write_text("anon 5\ninactive_file 300\n")
    (tmp_path / "memory.current").write_text("1000\n")
    for limit, free in (("max\n", None), ("5000\n", 4300), ("700\n", 0)):
        (tmp_path / "memory.max").write_text(limit)
        assert devices._free_in_container(tmp_path) == free


def test_callbacks_are_told_the_loss_of_the_whole_step() -> None:
    """Of a deterministic model, so that it is the same at once and in parts."""
    told: dict[int, list[float]] = {1: [], 3: []}
    for parts, losses in told.items():
        stage = Stage(
            Objective(Reconstruction()),
            bounded=False,
            callbacks=(
                lambda info, losses=losses: losses.extend([float(info.loss), float(info.terms["reconstruction"])]),
            ),
        )
        fit(deterministic(), [stage], ToySource(), settings(accumulate=parts, steps=5))
    assert len(told[1]) == 10 and told[3] == pytest.approx(told[1], rel=1e-4)


def test_large_examples_are_scored_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out batches, and whatever is computed of a trained model: all rows once, in order, and the same numbers."""
    from vaekit.data import batches as data_batches
    from vaekit.data.dataset import Split
    from vaekit.inference import batched
    from vaekit.inference import batches as model_batches

    model, x = toy_vae(), toy_data(30)
    whole = batched(model, model.features, x)
    monkeypatch.setattr(data_batches, "VALUES", 8 * D)
    for made in (data_batches.eval_batches(Split(x), 500), model_batches(model, x)):
        parts = [part for part, _ in made]
        assert [len(part) for part in parts] == [8, 8, 8, 6] and torch.equal(torch.cat(parts), x)
    assert torch.allclose(batched(model, model.features, x), whole, atol=1e-6)
    assert data_batches.at_once(torch.zeros(1, 100 * D)) == 1
