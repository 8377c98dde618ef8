"""What every recipe must do. The cases are the registry's entries: a recipe is checked as soon as it registers.

One short training a recipe is cached for all checks, and the check of resuming trains once more; see examples.py for
how a recipe says which data and which small settings it needs.
"""

from __future__ import annotations

import ast
import copy
import hashlib
import inspect
import math
import re
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from recipes import examples
from vaekit.errors import Unsupported
from vaekit.graphs import Graphs
from vaekit.models.base import Model
from vaekit.objectives.base import MODEL, Objective
from vaekit.recipes.base import RECIPES, Built
from vaekit.runs.base import build
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.training import checkpoint
from vaekit.training.data_source import DataSource
from vaekit.training.loop import Fit

NAMES = RECIPES.names
pytestmark = pytest.mark.parametrize("name", NAMES)


class Stopped(BaseException):
    """Ends a training from inside, as a crash would: nothing is saved on the way out."""


def start(name: str, out: Path, **more: Any) -> Run:
    """Train a recipe for a few steps, on the CPU: seeded losses and the bits of a resumed run are its own."""
    torch.set_num_threads(1)
    settings = {"train.checkpoint_steps": 5, "train.log_every": 4, "train.lr": 4e-3, "train.batch_size": 64} | dict(
        examples.SETTINGS.get(name, {})
    )
    steps = int(settings.pop("train.steps", examples.STEPS))
    return train(name, examples.source(name), out=out, steps=steps, set=settings, device="cpu", pictures=False, **more)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Run]]:
    """Return the run of a recipe, trained at the first call."""
    folder = tmp_path_factory.mktemp("recipes")
    runs: dict[str, Run] = {}

    def get(name: str) -> Run:
        if name not in runs:
            before = time.process_time()
            runs[name] = start(name, folder / name)
            runs[name].record["cpu"] = time.process_time() - before
        return runs[name]

    yield get
    runs.clear()


def same(a: Any, b: Any) -> bool:
    """Whether two batches of examples are the same, bit for bit."""
    if isinstance(a, Graphs):
        return torch.equal(a.sizes, b.sizes) and torch.equal(a.edges, b.edges)
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


def digest(path: Path) -> str:
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def test_it_is_short_and_says_where_it_comes_from(name: str) -> None:
    entry = RECIPES[name]
    assert entry.reference and entry.summary.endswith((".", ")"))
    function = ast.parse(textwrap.dedent(inspect.getsource(entry.part.build))).body[0]
    assert isinstance(function, ast.FunctionDef)
    body = function.body[1:]  # the docstring is the summary
    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1
    assert lines <= 15, f"{name} takes {lines} lines: move what it makes into a part"


def test_it_trains_within_seconds(name: str, trained: Callable[[str], Run]) -> None:
    record = trained(name).record
    assert record["result"]["steps"] > 0 and record["result"]["skipped_steps"] == 0
    assert record["cpu"] < examples.SECONDS, "make it smaller in tests/recipes/examples.py"


@torch.no_grad()
def held_out_loss(built: Built, number: int, run: Run, term: str | None) -> float:
    """Return the mean of a stage's loss, or of one of its terms, over held-out data with seeded noise."""
    stage = built.stages[number]
    built.model.eval()
    total, n = 0.0, 0
    torch.manual_seed(5)
    for x, y in DataSource(run.data).valid(500):
        if term == "mse":
            total += float((built.model.reconstruct(x, y) - x).square().mean()) * len(x)
            n += len(x)
            continue
        trace = stage.tracer(built.model)(x, y, k=stage.objective.k)
        loss = stage.objective(trace)[MODEL]
        total += float(loss.total if term is None else loss.parts[term]) * len(x)
        n += len(x)
    return total / n


def term_that_falls(name: str, objective: Objective) -> str | None:
    if name in examples.FALLS:
        return examples.FALLS[name]
    if len(objective.player_names) == 1:
        return None
    return next(term.name for term in objective.each() if term.player == MODEL)


def reset(model: Model, first: Model, trainable: tuple[str, ...] | None) -> None:
    """Put back the initial values of what a stage trains."""
    now, before = checkpoint.model_tensors(model), checkpoint.model_tensors(first)
    with torch.no_grad():
        for key, value in now.items():
            if trainable is None or any(key == t or key.startswith(f"{t}.") for t in trainable):
                value.copy_(before[key])


def test_its_loss_falls_on_held_out_data(name: str, trained: Callable[[str], Run]) -> None:
    run = trained(name)
    first = build(RECIPES[name].part, run.settings, run.info).model
    if run.info.is_array:
        first.start_from(run.data.train_mean())
    for number, stage in enumerate(run.built.stages):
        # Copied whole: an objective may refer to the model. Its schedules stay where training left them.
        built = copy.deepcopy(run.built)
        term = term_that_falls(name, stage.objective)
        after = held_out_loss(built, number, run, term)
        reset(built.model, first, stage.trainable)
        before = held_out_loss(built, number, run, term)
        assert math.isfinite(after) and after < before, f"{name}, stage '{stage.name}': {before:.3f} -> {after:.3f}"


def test_it_reports_a_bound_or_says_why_not(name: str, trained: Callable[[str], Run]) -> None:
    run = trained(name)
    result = run.record["result"]
    found = run.evaluate(["likelihood"], k=3, limit=16)
    refused = found["elbo"].facts.get("refused")
    if refused is None:
        assert found["elbo"].value is not None and math.isfinite(found["elbo"].value)
        assert found["iw_bound"].value is not None and found["iw_bound"].facts["k"] == 3
        assert math.isfinite(result["elbo"]) and "refused" not in result
    else:
        assert len(refused) > 10 and found["elbo"].value is None and found["iw_bound"].value is None
        assert result["elbo"] is None and result["refused"] == refused


def test_its_samples_look_like_the_data(name: str, trained: Callable[[str], Run]) -> None:
    run = trained(name)
    x: Any = run.sample(11, seed=3)
    if isinstance(x, Graphs):
        assert len(x) == 11 and set(x.sizes.tolist()) <= {n for n, _ in run.info.facts["sizes"]}
        assert bool((x.edges[:, 0] < x.edges[:, 1]).all()) and same(x, run.sample(11, seed=3))
        return
    assert x.shape == (11, *run.info.shape)
    if run.info.kind == "series":  # in the source's units, up to an end that a training series has
        ends = torch.isinf(x).all(1)
        assert {int(n) for n in (~ends).sum(1)} <= {n for n, _ in run.info.facts["lengths"]}
        x = torch.where(ends.unsqueeze(1), 0.0, x)
        assert torch.equal(x, torch.where(ends.unsqueeze(1), 0.0, run.sample(11, seed=3)))
        assert bool(torch.isfinite(x).all())
        return
    if run.info.kind == "table":  # a draw has gaps where the column that tells of them says so
        names = [column["name"] for column in run.info.facts["columns"]]
        told = {names.index(c["gap_of"]): j for j, c in enumerate(run.info.facts["columns"]) if c.get("gap_of")}
        assert all(torch.equal(torch.isnan(x[:, j]), x[:, told[j]] == 1) for j in told)
        assert not torch.isinf(x).any() and torch.equal(x.nan_to_num(0.0), run.sample(11, seed=3).nan_to_num(0.0))
        if run.model.takes_label:
            assert run.sample(2, run.info.classes[-1]).shape == (2, *run.info.shape)
        return
    if run.info.kind == "views":  # every modality is there
        assert bool(torch.isfinite(x).all()) and torch.equal(x, run.sample(11, seed=3))
        return
    most = 1 if run.info.is_array else (run.info.levels or 0) - 1
    assert bool(torch.isfinite(x).all())
    if run.info.kind == "real":  # in the data's units: means of a density over all numbers, which pictures clip
        low, high = run.prepare.low, run.prepare.high
        assert low - (high - low) <= float(x.min()) and float(x.max()) <= high + (high - low)
        assert torch.equal(run.prepare.picture(x), ((x - low) / (high - low)).clamp(0, 1))
    else:
        assert float(x.min()) >= 0 and float(x.max()) <= most
    assert torch.equal(x, run.sample(11, seed=3))
    if run.model.takes_label:
        assert run.sample(2, run.info.classes[-1]).shape == (2, *run.info.shape)


def test_its_samples_have_a_temperature_or_are_refused_one(name: str, trained: Callable[[str], Run]) -> None:
    run = trained(name)
    for temperature in (0.5, 1.0, 2.0):
        try:
            x: Any = run.sample(3, temperature=temperature, seed=3)
        except Unsupported as refusal:
            assert temperature != 1 and re.fullmatch(r"\w+ has no temperature; sample at temperature 1", str(refusal))
        else:
            assert len(x) == 3
            assert same(x, run.sample(3, temperature=temperature, seed=3))


def test_a_run_loaded_gives_the_same_outputs(name: str, trained: Callable[[str], Run]) -> None:
    run = trained(name)
    assert run.path is not None
    again = load(run.path)
    few = run.test.first(5)
    assert same(again.test.x, run.test.x)
    assert torch.equal(again.encode(few), run.encode(few))
    assert same(again.reconstruct(few), run.reconstruct(few))
    assert same(again.sample(4, seed=1), run.sample(4, seed=1))
    made, x = run.reconstruct(few), few.x
    assert run.encode(few).dim() == 2 and (len(made) == len(x) if isinstance(made, Graphs) else made.shape == x.shape)


def test_cut_short_and_resumed_it_ends_in_the_same_weights(
    name: str, trained: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the check of determinism: the second training repeats the first one bit for bit."""
    whole = trained(name)
    assert whole.path is not None
    true_step, taken = Fit._step, 0

    def step(self: Fit, x: Any, y: Any) -> None:
        nonlocal taken
        taken += 1
        if taken > 13:
            raise Stopped
        true_step(self, x, y)

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Fit, "_step", step)
        start(name, tmp_path / "cut")
    assert (tmp_path / "cut" / "checkpoints" / "last.safetensors").is_file()
    assert not (tmp_path / "cut" / "model.safetensors").exists()
    resumed = train(out=tmp_path / "cut", resume=True, pictures=False, **in_memory(name))
    assert digest(tmp_path / "cut") == digest(whole.path)
    same = ("epochs", "steps", "elbo", "elbo_stderr", "skipped_steps", "warnings")
    assert {k: resumed.record["result"][k] for k in same} == {k: whole.record["result"][k] for k in same}


def in_memory(name: str) -> dict[str, Any]:
    """Return the data again where a run cannot find them by itself."""
    source = examples.source(name)
    return {} if isinstance(source, str | Path) else {"data": source}
