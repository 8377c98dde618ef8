"""Steps as graphs, by the stand-in of `recorded_ops`: replays are the plain loop's steps, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from recipes import examples
from recorded_ops import Recorder
from training.toys import ToySource, adversarial, toy_vae, two_stages
from vaekit.devices import rng_state
from vaekit.errors import UserError
from vaekit.objectives.base import Loss, Objective, Term
from vaekit.objectives.elbo import Rate, Reconstruction, negative_elbo
from vaekit.recipes.base import RECIPES
from vaekit.runs.train import train
from vaekit.trace import Trace
from vaekit.training import graph
from vaekit.training.graph import Graphed, Tape
from vaekit.training.hooks import StepInfo
from vaekit.training.log import read
from vaekit.training.loop import Fit, fit
from vaekit.training.optimiser import Adam
from vaekit.training.running_means import Sums
from vaekit.training.settings import TrainSettings
from vaekit.training.source import Batch
from vaekit.training.stages import Stage

HERE = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
on_each = pytest.mark.parametrize("device", HERE)


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """Let a processor have graphs, and its optimiser wait for no number; return the steps that were recorded."""
    steps: list[Callable[[], None]] = []

    def counted(kind: Any) -> Any:
        class Counted(kind):
            def record(self, step: Callable[[], None]) -> Callable[[], None]:
                steps.append(step)
                return super().record(step)

        return Counted

    monkeypatch.setattr(graph, "RECORDERS", {"cpu": counted(Recorder), "cuda": counted(graph.CudaRecorder)})
    monkeypatch.setattr(Adam, "waited_for", property(lambda self: False, lambda self, value: None), raising=False)
    return steps


@dataclass
class Placed(ToySource):
    """The source with its batches on the run's device."""

    device: str = "cpu"

    def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
        for x, _ in super().train(batch_size, seed=seed, epoch=epoch, skip=skip):
            yield x.to(self.device), None

    def to(self, device: Any) -> Placed:
        return replace(self, device=str(device), held=self.held.to(device))


def settings(**more: Any) -> TrainSettings:
    own: dict[str, Any] = {"steps": 40, "batch_size": 30, "device": "cpu", "lr": 0.01, "log_every": 7}
    own |= {"graph": False, "checkpoint_seconds": 1e6}  # a checkpoint by the clock makes a record of its own
    return TrainSettings(**(own | more))


def without(record: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != name}


def everything(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def run(stages: list[Stage], made: TrainSettings, folder: Path | None = None, **more: Any) -> tuple[Any, Any, Any]:
    """Train, and return the weights, the log without times, and the state of the generator at the end."""
    if folder is not None:
        folder.mkdir(exist_ok=True)
    model, states = toy_vae(), list[Tensor]()

    def keep(info: StepInfo) -> None:
        states[:] = rng_state(torch.device(made.device)).values()

    ends = [*stages[:-1], replace(stages[-1], callbacks=(keep,))]
    fit(model, ends, Placed(), made, folder=folder, **more)
    log = [without(record, "examples_per_second") for record in ([] if folder is None else read(folder / "log.jsonl"))]
    weights = [everything(model), *(everything(stage.objective) for stage in stages)]
    return weights, log, torch.cat(states)


def same(one: Any, other: Any) -> None:
    for a, b in zip(one[0], other[0], strict=True):
        assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert one[1] == other[1] and torch.equal(one[2], other[2])


CASES: dict[str, tuple[Callable[[], list[Stage]], dict[str, Any]]] = {
    "elbo": (lambda: [Stage(negative_elbo())], {}),
    "players": (lambda: [Stage(adversarial())], {}),
    "stages": (two_stages, {"steps": 60}),
    "beta": (lambda: [Stage(negative_elbo("cyclical 0 1 25%"))], {"warmup": "3ep", "decay": "linear"}),
    "samples": (lambda: [Stage(negative_elbo(k=5))], {}),
    "ema": (lambda: [Stage(negative_elbo())], {"ema": 0.9, "keep": "best", "validate_every": 2}),
    "clip": (lambda: [Stage(adversarial())], {"clip": 0.5, "skip_above": 30.0, "weight_decay": 0.1}),
    "rates": (lambda: [Stage(negative_elbo())], {"lr_encoder": 0.02, "freeze": ("likelihood.net",)}),
    "bf16": (lambda: [Stage(negative_elbo())], {"precision": "bf16"}),
}


@on_each
@pytest.mark.parametrize("name", CASES)
def test_replays_are_the_plain_steps(name: str, device: str, tmp_path: Path, recorded: list[Any]) -> None:
    """Batches of 30, 30, 30 and 10 of 100: two shapes, each recorded once in every stage."""
    stages, more = CASES[name]
    plain = run(stages(), settings(device=device, **more), tmp_path / "plain")
    assert not recorded
    replayed = run(stages(), settings(device=device, graph=True, **more), tmp_path / "graph")
    assert len(recorded) == 2 * len(stages())
    same(plain, replayed)


@on_each
@pytest.mark.parametrize(("name", "cut"), [("stages", 13), ("stages", 45), ("ema", 33)])
def test_a_run_taken_up_again_is_the_whole_one(name: str, cut: int, device: str, tmp_path: Path) -> None:
    """The checkpoint is of a step amid replays; what follows it warms up, records and replays anew."""
    stages, more = CASES[name]
    made = settings(device=device, graph=True, checkpoint_steps=1, **more)

    class Dies(Fit):
        def _step(self, x: Any, y: Tensor | None) -> None:
            if self.at.step == cut:
                raise KeyboardInterrupt
            super()._step(x, y)

    whole = run(stages(), made, tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        Dies(toy_vae(), stages(), Placed(), made, folder=tmp_path / "cut").run()
    same(whole, run(stages(), made, tmp_path / "cut", resume=True))


@on_each
def test_a_bad_step_is_left_out_and_counted_in_replays(device: str, recorded: list[Any]) -> None:
    class Source(Placed):
        def train(self, batch_size: int, *, seed: int, epoch: int, skip: int) -> Iterator[Batch]:
            for step, (x, y) in enumerate(super().train(batch_size, seed=seed, epoch=epoch, skip=skip), start=skip):
                yield (x * torch.nan if (epoch, step) == (5, 1) else x), y

    found: list[Any] = []
    for on in (False, "auto", True):
        model = toy_vae()
        result = fit(model, [Stage(negative_elbo())], Source(), settings(device=device, graph=on))
        assert result.skipped == 1
        found.append(everything(model))
    assert all(torch.equal(found[0][name], one[name]) for one in found for name in one)
    assert len(recorded) == 4  # a full batch and a short one, each way


@on_each
def test_modules_of_other_packages_are_recorded_where_it_is_asked_for(device: str, recorded: list[Any]) -> None:
    """Their Python may count steps, say, which a replay would not."""

    class Counts(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * x

    told: list[str] = []
    take: Any = object()
    for modules, on, ours in (([nn.Linear(2, 2)], "auto", True), ([Counts()], "auto", False), ([Counts()], True, True)):
        made = settings(device=device, graph=on)
        found = graph.graphed(take, made, torch.device(device), 0, modules, told.append)
        assert isinstance(found, graph.Graphed) == ours
    assert len(told) == 1 and "Counts" in told[0] and "train.graph=true" in told[0]


@on_each
def test_callbacks_are_told_each_steps_own_losses(device: str) -> None:
    told: dict[bool, list[Any]] = {}
    for on in (False, True):
        infos: list[StepInfo] = []
        made = settings(device=device, graph=on)
        fit(toy_vae(), [Stage(adversarial(), callbacks=(infos.append,))], Placed(), made)
        told[on] = [(i.step, i.epoch, float(i.loss), {n: float(v) for n, v in i.terms.items()}) for i in infos]
    assert told[True] == told[False] and len({row[2] for row in told[True]}) == 40


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES.names)
def test_every_recipe_by_replays(name: str, tmp_path: Path, recorded: list[Any]) -> None:
    """Whatever its parts do in Python at a step, replays compute what its steps do; one that waits says where."""
    found: list[Any] = []
    for on in (False, True):
        folder = tmp_path / str(on)
        own = {"train.batch_size": 16, **examples.SETTINGS.get(name, {}), "train.steps": 16, "train.graph": on}
        own["train.checkpoint_seconds"] = 1e6  # a checkpoint by the clock makes a record of its own
        out = train(name, examples.source(name), out=folder, set=own, device="cpu", precision="fp32", pictures=False)
        log = [without(without(record, "graph"), "examples_per_second") for record in read(folder / "log.jsonl")]
        found.append(([everything(out.model)], log, torch.zeros(0)))
    same(*found)
    assert bool(recorded) or 1 <= len(sentence(tmp_path / "True")) <= 2  # once a stage
    assert recorded or name not in ("vae", "iwae", "ladder-vae", "vq-vae", "vae-gan", "flow-vae")


# -- what cannot be recorded -------------------------------------------------------------------------------------------


class Looks(Term):
    """A term that looks at its value."""

    name = "looks"

    def forward(self, trace: Trace) -> Tensor:
        z = trace.latents["z"].z.mean(0).square().sum(-1)
        return z if bool(z.mean() > 0) else -z


def sentence(folder: Path) -> list[str]:
    return [record["graph"] for record in read(folder / "log.jsonl") if "graph" in record]


@on_each
def test_a_step_that_waits_goes_on_without_and_says_so_once(device: str, tmp_path: Path, recorded: list[Any]) -> None:
    stages = lambda: [Stage(Objective(Reconstruction(), Rate(), Looks()))]  # noqa: E731
    plain = run(stages(), settings(device=device), tmp_path / "plain")
    weights, log, state = run(stages(), settings(device=device, graph=True), tmp_path / "graph")
    assert not recorded and len(said := sentence(tmp_path / "graph")) == 1
    assert said[0].startswith("without CUDA graphs: a step waits for the device in ")
    same(plain, (weights, [without(record, "graph") for record in log], state))


@on_each
def test_a_recording_that_fails_goes_on_without(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: list[Any]
) -> None:
    """A wait that the watch has missed; on the stand-in, which runs what it records, before anything has changed."""

    class Blind(graph.RECORDERS[device]):  # type: ignore[misc]
        @contextmanager
        def watched(self) -> Iterator[list[str]]:
            yield []

        def record(self, step: Callable[[], None]) -> Callable[[], None]:
            def waiting() -> None:
                if device == "cuda":
                    step()
                bool(torch.ones((), device=device) > 0)

            return super().record(waiting)

    stages = lambda: [Stage(adversarial())]  # noqa: E731
    plain = run(stages(), settings(device=device), tmp_path / "plain")
    monkeypatch.setitem(graph.RECORDERS, device, Blind)
    weights, log, state = run(stages(), settings(device=device, graph=True), tmp_path / "graph")
    (said,) = sentence(tmp_path / "graph")
    assert len(recorded) == 1 and said.startswith("without CUDA graphs: recording failed: ") and "captur" in said
    same(plain, (weights, [without(record, "graph") for record in log], state))


def test_a_step_in_parts_is_not_recorded(tmp_path: Path) -> None:
    plain = run([Stage(negative_elbo())], settings(accumulate=3), tmp_path / "plain")
    weights, log, state = run([Stage(negative_elbo())], settings(accumulate=3, graph=True), tmp_path / "graph")
    assert sentence(tmp_path / "graph") == ["without CUDA graphs: a step is computed in parts (train.accumulate)"]
    same(plain, (weights, [without(record, "graph") for record in log], state))


def test_batches_of_another_kind_are_not_recorded() -> None:
    said: list[str] = []
    take = Graphed(lambda x, y, sums: [Loss(torch.tensor(float(len(x))), {})], Recorder(None), said.append)  # type: ignore[arg-type]
    for _ in range(5):
        assert float(take([1, 2, 3], None, Sums())[0].total) == 3
    assert said == ["without CUDA graphs: a batch is no tensor (list)"]


def test_there_is_a_limit_to_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST", 2)
    calls: list[int] = []

    def take(x: Tensor, y: Tensor | None, sums: Sums) -> list[Loss]:
        calls.append(len(x))
        sums.add("n", x.sum())
        return [Loss(x.sum(), {})]

    made, sums = Graphed(take, Recorder(torch.device("cpu")), print), Sums()
    for size in (1, 2, 3):
        for _ in range(6):
            (loss,) = made(torch.ones(size), None, sums)
            assert float(loss.total) == size
    assert [calls.count(size) for size in (1, 2, 3)] == [4, 4, 6] and sums.means(1) == {"n": 36.0}


def test_a_processor_has_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(graph.RECORDERS, "cpu")
    with pytest.raises(UserError, match=r"train.graph=true needs a CUDA device"):
        fit(toy_vae(), [Stage(negative_elbo())], ToySource(), settings(graph=True))


# -- the stand-in itself, and the tape ---------------------------------------------------------------------------------


def test_the_stand_in_keeps_numbers_of_the_program_as_they_were() -> None:
    """What a graph would get wrong it gets wrong too: a number of Python's that changes from step to step."""
    count, x, out = [0.0], torch.ones(3), torch.zeros(3)

    def step() -> None:
        count[0] += 1
        out.copy_((x * count[0]).exp_())

    replay = Recorder(torch.device("cpu")).record(step)
    for value in (1.0, 2.0, 3.0):
        x.fill_(value)
        replay()
    assert count == [1.0] and torch.equal(out, torch.full((3,), 3.0).exp())


def test_a_tape_tells_what_the_sums_were_told() -> None:
    plain, tape, replayed = Sums(), Tape(), Sums()
    few, many = torch.rand(2, 7), torch.rand(3, 5000)
    for sums in (plain, tape):
        sums.add("loss", few.sum())
        sums.add_mean("kl", few)
        sums.add_mean("big", many)
    tape.tell(tape.flat(), replayed)
    assert replayed.means(1) == plain.means(1)
