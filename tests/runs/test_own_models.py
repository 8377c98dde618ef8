"""Hand-made models: trained by `fit` and `train`, kept, loaded by what the caller names, and used as any run is."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli as TorchBernoulli
from torch.distributions import Distribution, Independent, Normal
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import vaekit
from vaekit import VAE, Bernoulli, DiagonalNormal, Gaussian, StandardNormal, UserError, bounds
from vaekit.commands.main import outcome
from vaekit.explorer.session import Session
from vaekit.recipes.base import RECIPES
from vaekit.runs.base import build
from vaekit.runs.data import load_for
from vaekit.training.hooks import StepInfo
from vaekit.training.settings import TrainSettings
from vaekit.training.stages import Stage

MODULE = """
import torch
from torch import nn
from vaekit import VAE, Bernoulli, DiagonalNormal, StandardNormal

def make(latent=2):
    return VAE(DiagonalNormal(nn.Linear(9, 2 * latent)), StandardNormal(latent), Bernoulli(nn.Linear(latent, 9)))

standing = make()
number = 3

class Plain(nn.Linear):
    def __init__(self):
        super().__init__(2, 3)
"""


def make(latent: int = 2) -> VAE:
    return VAE(DiagonalNormal(nn.Linear(9, 2 * latent)), StandardNormal(latent), Bernoulli(nn.Linear(latent, 9)))


def seeded_model() -> VAE:
    torch.manual_seed(0)
    return make()


def bits(n: int = 100) -> Tensor:
    g = torch.Generator().manual_seed(1)
    return (torch.rand(n, 1, generator=g) > torch.rand(n, 9, generator=g)).float()


@pytest.fixture(scope="module")
def fitted() -> tuple[VAE, Any]:
    model = seeded_model()
    return model, vaekit.fit(model, bits(), epochs=3)


# -- fit --------------------------------------------------------------------------------------------------------------


def test_a_model_in_place_of_a_recipe_trains_to_the_same_number() -> None:
    """The recipe's own parts, given by hand with the weights it starts from."""
    recipe = RECIPES["linear-vae"].part
    given: Any = {"train": {"steps": 30, "seed": 3, "device": "cpu"}}
    dataset, name = load_for(recipe, recipe.settings(given), "digits")
    settings = recipe.settings(given | {"model": {"likelihood": name}})
    model = build(recipe, settings, dataset.info).model
    model.start_from(dataset.train_mean())
    by_hand = vaekit.train(copy.deepcopy(model), dataset, set={f"train.{k}": v for k, v in settings.train if v})
    by_name = vaekit.train("linear-vae", dataset, steps=30, seed=3, device="cpu")
    assert by_hand.record["result"]["elbo"] == by_name.record["result"]["elbo"]
    assert by_hand.recipe == "custom"


class Unsized(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        yield from bits(40)


WAYS: dict[str, Any] = {
    "tensor": bits,
    "array": lambda: bits().numpy(),
    "doubles": lambda: bits().double().numpy(),
    "bytes": lambda: bits().to(torch.uint8),
    "(x, y)": lambda: (bits(), torch.arange(100) % 3),
    "loader": lambda: DataLoader(TensorDataset(bits()), batch_size=32, shuffle=True),
    "loader of (x, y)": lambda: DataLoader(TensorDataset(bits(), torch.arange(100)), batch_size=32),
    "loader of dicts": lambda: DataLoader([{"x": row, "y": 0} for row in bits()], batch_size=32),  # type: ignore[arg-type]
    "unsized loader": lambda: DataLoader(Unsized(), batch_size=8),
}


@pytest.mark.parametrize("way", WAYS)
def test_data_are_what_the_model_sees(way: str) -> None:
    model, seen = seeded_model(), []
    trace = model.trace

    def watched(x: Tensor, *rest: Any, **more: Any) -> Any:
        seen.append(x)
        return trace(x, *rest, **more)

    model.trace = watched  # type: ignore[method-assign]
    result = vaekit.fit(model, WAYS[way](), steps=12, valid=bits(20) if "loader" in way else None)
    rows = torch.cat([x for x in seen if len(x) > 2])
    assert rows.dtype == torch.float32 and rows.shape[1] == 9 and set(rows.unique().tolist()) == {0.0, 1.0}
    assert result.position.step == 12 and result.held_out.n == (20 if "loader" in way else 11)
    assert result.held_out.elbo is not None and np.isfinite(result.held_out.elbo)


def test_a_loader_keeps_its_batches_and_repeats_with_the_seed() -> None:
    def trained(seed: int) -> tuple[list[list[float]], list[float]]:
        batches: list[list[float]] = []
        values: list[float] = []
        model = seeded_model()
        loader = DataLoader(TensorDataset(torch.arange(450.0).view(50, 9) / 450), batch_size=20, shuffle=True)
        trace = model.trace

        def watched(x: Tensor, *rest: Any, **more: Any) -> Any:
            batches.append(x[:, 0].tolist())
            return trace(x, *rest, **more)

        model.trace = watched  # type: ignore[method-assign]
        vaekit.fit(model, loader, epochs=2, seed=seed, callbacks=[lambda step: values.append(float(step.loss))])
        return batches[1:], values

    first, again, other = trained(0), trained(0), trained(1)
    assert first == again and [len(batch) for batch in first[0]] == [20, 20, 10, 20, 20, 10]
    epochs = [sorted(chain(*batches)) for batches in (first[0][:3], first[0][3:])]
    assert epochs[0] == epochs[1] and len(set(epochs[0])) == 50, "an epoch has every example once"
    assert first[0][0] != first[0][3] and first[0][0] != other[0][0]


def test_without_held_out_data_there_is_no_number() -> None:
    result = vaekit.fit(make(), DataLoader(TensorDataset(bits()), batch_size=50), epochs=1)
    assert result.held_out.elbo is None and result.held_out.n == 0


def test_metrics_are_means_over_held_out_examples_and_callbacks_see_every_step() -> None:
    model, steps = seeded_model(), []

    def ones(model: Any, x: Tensor) -> Tensor:
        return x.sum(1)

    def whole(trace: Any) -> Tensor:
        return trace.log_px.mean()

    def stop(step: StepInfo) -> bool:
        steps.append((step.step, float(step.loss), sorted(step.terms)))
        return step.step == 7

    result = vaekit.fit(model, bits(), valid=bits(30)[10:], epochs=9, metrics=[ones, whole], callbacks=[stop])
    assert [step for step, _, _ in steps] == [1, 2, 3, 4, 5, 6, 7] == list(range(1, result.position.step + 1))
    assert all(names == ["rate", "reconstruction"] for _, _, names in steps)
    assert result.held_out.metrics["ones"] == pytest.approx(float(bits(30)[10:].sum(1).mean()), abs=1e-5)
    assert result.held_out.metrics["whole"] == pytest.approx(result.held_out.terms["log_px"], abs=1e-4)
    logged = [record for record in result.records if "valid.ones" in record]
    assert logged and logged[-1]["valid.ones"] == result.held_out.metrics["ones"]


def test_an_objective_may_be_plain_functions() -> None:
    def loss(trace: Any) -> Tensor:
        return -bounds.elbo(trace)

    def shrink(trace: Any) -> Tensor:
        return trace.latents["z"].z.square().sum(-1)

    twice, same = seeded_model(), seeded_model()
    plain = vaekit.fit(twice, bits(), loss, epochs=2)
    assert plain.held_out.elbo == pytest.approx(vaekit.fit(same, bits(), epochs=2).held_out.elbo, rel=1e-5)
    shrunk = seeded_model()
    vaekit.fit(shrunk, bits(), [loss, vaekit.term(shrink, weight=20.0)], epochs=5, lr=0.05)
    vaekit.fit(same, bits(), loss, epochs=5, lr=0.05)
    x = bits().to(next(same.parameters()).device)
    assert shrunk.features(x).square().sum() < 0.5 * same.features(x).square().sum()


def test_stages_and_a_source_are_taken_in_the_order_of_the_loop() -> None:
    stage = Stage(vaekit.negative_elbo())
    result = vaekit.fit(make(), [stage], bits(), TrainSettings(steps=3))
    assert result.position.step == 3


REFUSED: dict[str, tuple[Any, str]] = {
    "plain module": (lambda: vaekit.fit(nn.Linear(9, 9), bits()), "Linear is a plain module that does not say what"),
    "values": (lambda: vaekit.fit(make(), 3 * bits()), "is 3.0, and the model's likelihood takes 0 or 1"),
    "nan": (lambda: vaekit.fit(make(), bits() / 0), "remove or fill in missing and infinite values"),
    "shape": (lambda: vaekit.fit(make(), bits()[:, :4]), "the model does not take examples of shape (4,)"),
    "section": (lambda: vaekit.fit(make(), bits(), set={"model.latent": 3}), "settings of training alone"),
    "lambda": (lambda: vaekit.fit(make(), bits(), metrics=[lambda trace: 0]), "give them as {name: function}"),
    "metric": (
        lambda: vaekit.fit(make(), bits(), steps=1, metrics={"wide": lambda model, x: torch.zeros(3)}),
        "the metric '<lambda>' gives a tensor of shape (3,) for 11 examples",
    ),
    "term": (
        lambda: vaekit.fit(make(), bits(), lambda trace: torch.zeros(3), steps=1),
        "the term 'lambda' gives a tensor of shape (3,) for",
    ),
    "unsized": (lambda: vaekit.fit(make(), DataLoader(Unsized(), batch_size=8)), "give steps=N"),
    "recipe's setting": (lambda: vaekit.train(make(), bits(), set={"model.latent": 3}), "change the model itself"),
    "recipe's objective": (lambda: vaekit.train("vae", bits(), objective=bounds.elbo), "a recipe has its own"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_sentence(case: str) -> None:
    act, says = REFUSED[case]
    with pytest.raises(UserError, match=re.escape(says)) as error:
        act()
    assert "\n" not in str(error.value)


def test_a_resumed_fit_ends_where_one_that_was_not_cut_short_does(tmp_path: Path) -> None:
    settings: Any = {"epochs": 4, "set": {"train.checkpoint_steps": 1}}
    loader = DataLoader(TensorDataset(bits()), batch_size=32, shuffle=True)
    whole = seeded_model()
    vaekit.fit(whole, loader, **settings)

    def cut(step: StepInfo) -> None:
        if step.step == 6:
            raise RuntimeError("cut short")

    half = seeded_model()
    with pytest.raises(RuntimeError, match="cut short"):
        vaekit.fit(half, loader, folder=tmp_path / "fit", callbacks=[cut], **settings)
    again = make()
    vaekit.fit(again, loader, folder=tmp_path / "fit", resume=True, **settings)
    for name, value in whole.state_dict().items():
        assert torch.equal(value.cpu(), again.state_dict()[name].cpu()), name


# -- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_of_a_model_is_whole_in_memory_and_in_a_folder(fitted: tuple[VAE, Any], tmp_path: Path) -> None:
    model, result = fitted
    run = vaekit.Run.of(model, bits(), name="bits", arguments={"latent": 2}, fitted=result)
    assert run.record["result"]["elbo"] == pytest.approx(result.held_out.elbo, abs=2.0) and run.info.n_test == 6
    before = run.evaluate(["elbo"])["elbo"].value
    assert run.evaluation()["elbo"]["value"] == before and run.log == result.records
    codes = run.encode(bits(5))
    run.save(tmp_path / "run", pictures=False)
    assert run.path == tmp_path / "run" and json.loads((run.path / "evaluation.json").read_text())["elbo"]
    assert run.record["model"]["class"] == "vaekit.models.vae:VAE" and "Linear" in run.record["model"]["layers"]

    again = vaekit.load(tmp_path / "run", module=make, data=bits())
    assert torch.equal(again.encode(bits(5)), codes) and again.log == result.records
    assert again.evaluate(["elbo"])["elbo"].value == before
    again.write_figures()
    assert "hand" in again.write_report().read_text(encoding="utf-8")


def test_the_split_of_fit_is_the_split_of_the_run() -> None:
    """What `fit` held out is what the run evaluates on: nothing that was trained on is in the test split."""
    seen: list[Tensor] = []
    model, x = make(), torch.arange(900.0).view(100, 9) / 900
    own = VAE(model.posterior, StandardNormal(2), Gaussian(nn.Linear(2, 9)))
    trace = own.trace

    def watched(x: Tensor, *rest: Any, **more: Any) -> Any:
        if torch.is_grad_enabled():
            seen.append(x)
        return trace(x, *rest, **more)

    own.trace = watched  # type: ignore[method-assign]
    vaekit.fit(own, x, epochs=2, seed=3)
    own.trace = trace  # type: ignore[method-assign]
    run = vaekit.Run.of(own, x)
    trained = {float(row[0]) for rows in seen for row in rows}
    held_out = {float(row[0]) for row in run.test.x}
    assert len(trained) == 84 and len(held_out) == 7 and not trained & held_out


def test_arrays_stay_as_they_are_under_a_run() -> None:
    own = VAE(DiagonalNormal(nn.Linear(9, 4)), StandardNormal(2), Gaussian(nn.Linear(2, 9)))
    x = 1000 * torch.rand(50, 9)
    with pytest.warns(UserWarning, match="the data's standard deviation is 2.*, and a hand-made model sees them as"):
        run = vaekit.Run.of(own, x)
    with torch.no_grad():
        torch.testing.assert_close(run.encode(x[:4].numpy()), own.features(x[:4]), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(run.reconstruct(x[:4].numpy()), own.reconstruct(x[:4]), rtol=1e-5, atol=1e-4)
    with pytest.raises(UserError, match=re.escape("have shape (4,); this run's model takes (9,)")):
        run.encode(x[:, :4].numpy())


def test_evaluation_takes_other_data_and_functions(fitted: tuple[VAE, Any]) -> None:
    run = vaekit.Run.of(fitted[0], bits())

    def ones(model: Any, x: Tensor) -> Tensor:
        return x.sum(1)

    made = run.evaluate(["elbo", ones], data=bits(30)[20:].numpy())
    assert made["ones"].value == pytest.approx(float(bits(30)[20:].sum(1).mean())) and made["elbo"].n == 10
    assert made["ones"].stderr is not None and run.evaluation()["ones"]["split"] == "memory"
    assert run.evaluate({"ones": lambda trace: trace.x.sum()})["ones"].stderr is None


def test_a_recipes_run_in_memory_is_saved_whole(tmp_path: Path) -> None:
    run = vaekit.train("linear-vae", bits().numpy(), epochs=1, set={"model.likelihood": "bernoulli", "model.latent": 2})
    value = run.evaluate(["elbo"])["elbo"].value
    run.save(tmp_path / "run")
    assert (tmp_path / "run/figures/curves.png").is_file() and (tmp_path / "run/report.html").is_file()
    again = vaekit.load(tmp_path / "run", data=bits().numpy())
    assert again.evaluate(["elbo"])["elbo"].value == value and len(again.log) == len(run.log) > 0
    with pytest.raises(UserError, match="holds a run already"):
        run.save(tmp_path / "run")
    with pytest.raises(UserError, match="the source has 50 examples, and 100 when the run was trained"):
        vaekit.load(tmp_path / "run", data=bits(50).numpy())
    lost = vaekit.load(tmp_path / "run")
    with pytest.raises(UserError, match=re.escape("vaekit.load(path, data=x)")):
        lost.evaluate()
    assert lost.evaluate(["elbo", "mse"], data=bits(20).numpy())["elbo"].n == 20


class Mine(vaekit.Model):
    """A model from its trace up, of torch's distributions."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(9, 4), nn.Linear(2, 9)

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        mean, log_sd = self.encoder(x).chunk(2, -1)
        return Independent(Normal(mean, log_sd.exp()), 1)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Distribution:
        return Independent(TorchBernoulli(logits=self.decoder(z)), 1)

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> vaekit.Trace:
        q = self.encode(x)
        z = q.rsample(torch.Size((k,)))
        p = Independent(Normal(torch.zeros_like(z[0, 0]), 1.0), 1)
        return vaekit.Trace(x, y, {"z": vaekit.Latent(q, p, z, z)}, self.decode(z))

    def posterior_mean(self, x: Any, y: Tensor | None = None) -> Tensor:
        return self.encode(x).mean

    def sample_latent(self, n: int, y: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        return torch.randn(n, 2, device=self.encoder.weight.device)


def test_a_model_from_its_trace_up_is_a_run_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Mine()
    result = vaekit.fit(model, bits(), epochs=2)
    run = vaekit.Run.of(model, bits(), fitted=result).save(tmp_path / "run", pictures=False)
    again = vaekit.load(run.path or "", module=Mine, data=bits())
    assert again.evaluate(["elbo"])["elbo"].value == run.evaluate(["elbo"])["elbo"].value
    q = run.model.encode(bits(4).to(run.device))
    torch.testing.assert_close(run.encode(bits(4)), q.mean.detach().cpu())
    assert run.detect(k=8).scores.shape == (6,) and run.traverse(top=2, steps=3).x.shape == (2, 3, 9)
    assert sorted(run.export("torch")) == ["decoder", "encoder"]
    assert Session(run).facts["title"] == "custom on memory"


# -- what a run may import --------------------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(MODULE, encoding="utf-8")
    np.save("bits.npy", bits().numpy())
    vaekit.Run.of(seeded_model(), bits()).save("run", pictures=False)
    return tmp_path


@pytest.mark.parametrize(
    "module", [make, seeded_model(), "mine.py:make", "mine.py:standing"], ids=["function", "model", "file", "standing"]
)
def test_a_run_is_loaded_by_what_the_caller_names(kept: Path, module: Any) -> None:
    run = vaekit.load("run", module=module)
    assert torch.equal(run.encode(bits(5)), vaekit.Run.of(seeded_model(), bits()).encode(bits(5)))


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (None, "run is a run of a hand-made model (vaekit.models.vae:VAE)"),
        ("mine.py", "write FILE.py:NAME"),
        ("other.py:make", "there is no file other.py"),
        ("mine.py:other", "mine.py has no other"),
        ("mine.py:number", "neither a model nor makes one"),
        ("mine.py:Plain", "Plain is a plain module"),
        ("broken.py:make", "broken.py cannot be imported (ZeroDivisionError"),
        (lambda: make(3), "does not fit this model"),
    ],
    ids=lambda value: "function" if callable(value) else str(value),
)
def test_a_module_that_does_not_fit_is_one_sentence(kept: Path, module: Any, says: str) -> None:
    Path("broken.py").write_text("1 / 0", encoding="utf-8")
    with pytest.raises(UserError, match=re.escape(says)):
        vaekit.load("run", module=module)


def test_recorded_arguments_make_the_model_or_are_named(kept: Path) -> None:
    vaekit.Run.of(make(5), bits(), arguments={"latent": 5}).save("five", pictures=False)
    assert vaekit.load("five", module=make).encode(bits(3)).shape == (3, 5)
    with pytest.raises(UserError, match=re.escape("recorded arguments {'latent': 5}")):
        vaekit.load("five", module=seeded_model)


def test_nothing_is_imported_that_is_not_named(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run from elsewhere names a file beside it as its class: loading it must not run the file."""
    record = json.loads(Path("run/run.json").read_text())
    Path("evil.py").write_text("raise SystemExit('was run')", encoding="utf-8")
    record["model"] |= {"class": "evil:make", "arguments": {}}
    Path("run/run.json").write_text(json.dumps(record))
    monkeypatch.syspath_prepend(str(kept))
    with pytest.raises(UserError, match="evil:make"):
        vaekit.load("run")
    assert vaekit.load("run", module=make).recipe == "custom"


def test_a_recipes_run_takes_no_module(tmp_path: Path) -> None:
    vaekit.train("linear-vae", "digits", steps=1).save(tmp_path / "run", pictures=False)
    with pytest.raises(UserError, match="leave the module out"):
        vaekit.load(tmp_path / "run", module=make)


def test_the_command_line_asks_for_the_module_and_takes_it(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, sentence = outcome(["evaluate", "run", "--data", "bits.npy", "--metrics", "elbo"])
    assert code == 2 and sentence is not None and "--module FILE.py:make_model" in sentence
    assert outcome(["evaluate", "run", "--data", "bits.npy", "--metrics", "elbo", "--module", "mine.py:make"])[0] == 0
    assert json.loads(Path("run/evaluation.json").read_text())["elbo"]["n"] == 100
    code, sentence = outcome(["evaluate", "run", "--module", "mine.py:make"])
    assert code == 2 and sentence is not None and "pass the data again" in sentence
    args = ["--data", "bits.npy", "--module", "mine.py:make", "--out", "codes.csv"]
    assert outcome(["encode", "run", *args])[0] == 0 and len(Path("codes.csv").read_text().splitlines()) == 101


def test_a_model_of_ones_own_resumes(tmp_path: Path) -> None:
    run = vaekit.train(seeded_model(), bits().numpy(), epochs=1, out=tmp_path / "run", pictures=False)
    with pytest.raises(UserError, match=re.escape("resume it with vaekit.train(model, resume=True, …)")):
        vaekit.train(data=bits().numpy(), out=tmp_path / "run", resume=True)
    with pytest.raises(UserError, match="is a run of a hand-made model"):
        vaekit.train("vae", bits().numpy(), out=tmp_path / "run", resume=True)
    again = vaekit.train(make(), bits().numpy(), out=tmp_path / "run", resume=True, pictures=False)
    assert torch.equal(again.encode(bits(3)), run.encode(bits(3)))
