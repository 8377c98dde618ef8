"""Runs that go on: a finished one for longer, and one that starts from another's weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from vaekit.errors import UserError
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"model.hidden": "12", "model.latent": 3, "train.precision": "fp32"}
CONSTANT = {"train.decay": "none", "train.warmup": 0}


def pictures(n: int = 60, side: int = 6, seed: int = 0) -> np.ndarray:
    """Return binary pictures of bars, (n, 1, side, side)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 1, side, side), np.uint8)
    for i, row in enumerate(rng.integers(side, size=n)):
        x[i, 0, row] = 1
    return x


def same(one: nn.Module, other: nn.Module, names: Callable[[str], bool] = lambda name: True) -> bool:
    """Whether all tensors whose names are chosen, and there are some, agree bit for bit."""
    theirs = other.state_dict()
    chosen = {name: value for name, value in one.state_dict().items() if names(name)}
    return bool(chosen) and all(torch.equal(value, theirs[name]) for name, value in chosen.items())


# --- longer ------------------------------------------------------------------------------------------------------


def test_2_epochs_and_then_5_are_5_at_once_and_the_record_says_so(tmp_path: Path) -> None:
    x, out = pictures(), tmp_path / "run"
    whole = train("vae", x, epochs=5, set=SMALL | CONSTANT, out=tmp_path / "whole", pictures=False)
    short = train("vae", x, epochs=2, set=SMALL | CONSTANT, out=out, pictures=False)
    short.evaluate(["elbo"])
    longer = train(data=x, out=out, resume=True, epochs=5, pictures=False)
    assert same(longer.model, whole.model) and longer.record["result"]["elbo"] == whole.record["result"]["elbo"]
    assert not same(longer.model, short.model)
    record = load(out).record
    assert record["settings"] == whole.record["settings"] and record["status"] == "done"
    assert record["given"]["train"]["epochs"] == record["result"]["epochs"] == 5
    (step,) = record["continued"]
    assert (step["at_step"], step["was"]["epochs"], step["now"]["epochs"]) == (2, 2, 5)
    assert not (out / "evaluation.json").exists(), "numbers of the weights before are left"
    again = train(data=x, out=out, resume=True, epochs=5, pictures=False)
    assert same(again.model, longer.model) and len(again.record["continued"]) == 1
    by_steps = train(data=x, out=out, resume=True, steps=9, pictures=False)
    assert by_steps.record["result"]["steps"] == 9
    # Epochs asked for are meant, though the run has been given steps.
    assert train(data=x, out=out, resume=True, epochs=12, pictures=False).record["result"]["epochs"] == 12


def test_a_run_of_two_stages_and_one_with_a_prior_go_on(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    for name, more in (("two-stage-vae", {}), ("vq-vae", {"model.channels": "4", "model.codes": 4})):
        kept = {k: v for k, v in SMALL.items() if name != "vq-vae" or k != "model.hidden"}
        train(name, x, out=tmp_path / name, epochs=4, set=kept | more, pictures=False)
        longer = train(data=x, out=tmp_path / name, resume=True, epochs=8, pictures=False)
        assert longer.record["result"]["epochs"] == 8 and np.isfinite(longer.record["result"]["elbo"])


def test_shorter_than_it_is_and_other_settings_are_refused_before_anything_changes(tmp_path: Path) -> None:
    x, out = pictures(), tmp_path / "run"
    train("vae", x, epochs=3, set=SMALL, out=out, pictures=False)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for given, words in (
        (
            {"epochs": 2},
            r"has trained 3 steps \(3 epochs\) already, and this would be 2: ask for more, e.g. --epochs 6",
        ),
        ({"steps": 1}, "this would be 1"),
        ({"lr": 0.5}, "differs from the run's.*--init"),
        ({"set": {"model.latent": 4}}, "model.latent=4 differs"),
    ):
        with pytest.raises(UserError, match=words):
            train(data=x, out=out, resume=True, pictures=False, **given)  # pyright: ignore[reportArgumentType]
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_lengthened_run_cut_short_goes_on_to_its_new_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vaekit.training.loop import Fit

    x, out = pictures(), tmp_path / "run"
    whole = train("vae", x, epochs=8, set=SMALL | CONSTANT, pictures=False)
    train("vae", x, epochs=2, set=SMALL | CONSTANT, out=out, pictures=False)
    true = Fit._step

    def dies(self: Any, batch: Any, y: Any) -> None:
        if self.at.step == 5:
            raise ZeroDivisionError
        true(self, batch, y)

    monkeypatch.setattr(Fit, "_step", dies)
    with pytest.raises(ZeroDivisionError):
        train(data=x, out=out, resume=True, epochs=8, pictures=False)
    monkeypatch.undo()
    record = json.loads((out / "run.json").read_text())
    assert (record["status"], record["failed"]) == ("failed", "ZeroDivisionError")
    assert same(train(data=x, out=out, resume=True, pictures=False).model, whole.model)


# --- from another run's weights ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("initial") / "begun"
    return train("vae", pictures(), epochs=3, set=SMALL, out=out, pictures=False)


@pytest.mark.parametrize("how", ["folder", "run"])
def test_a_run_starts_from_anothers_weights(begun: Run, how: str, tmp_path: Path) -> None:
    """With a learning rate of next to nothing they stay; sizes and recipe are that run's, the rest is its own."""
    init = begun.path if how == "folder" else begun
    other = pictures(80, seed=1)
    started = train(data=other, init=init, epochs=1, lr=1e-30, out=tmp_path / "run", pictures=False)
    assert same(started.model, begun.model) and started.recipe == "vae"
    assert started.settings.model == begun.settings.model and started.settings.train.lr == 1e-30
    assert started.record["init"] == {"from": str(begun.path), "recipe": "vae", "taken": 8, "anew": []}
    assert load(tmp_path / "run").record["init"] == started.record["init"]
    trained = train(data=other, init=init, epochs=2, pictures=False)
    assert not same(trained.model, begun.model)


@pytest.mark.parametrize("parts", ["encoder", ["decoder"], "posterior", "likelihood.net.layers,posterior.net.head"])
def test_frozen_parts_stay_bit_for_bit(begun: Run, parts: Any) -> None:
    names = {"encoder": ("posterior",), "decoder": ("likelihood",)}
    frozen = [n for part in (parts.split(",") if isinstance(parts, str) else parts) for n in names.get(part, (part,))]
    made = train(data=pictures(seed=2), init=begun, freeze=parts, epochs=4, set={"train.ema": 0.5}, pictures=False)
    assert same(made.model, begun.model, lambda name: name.startswith(tuple(frozen)))
    for name, value in made.model.named_parameters():
        if not name.startswith(tuple(frozen)):
            assert not torch.equal(value, dict(begun.model.named_parameters())[name]), f"{name} did not move"


def test_a_frozen_codebook_stays_and_the_prior_alone_is_trained() -> None:
    """What moves without gradients is a part's own as well; a stage with nothing left to train is left out."""
    x = np.random.default_rng(0).integers(0, 256, (60, 1, 8, 8), dtype=np.uint8)
    codes = train("vq-vae", x, epochs=2, set={"model.channels": "4", "model.codes": 4}, pictures=False)
    made = train(data=x, init=codes, freeze="posterior,likelihood", epochs=3, pictures=False)
    assert same(made.model, codes.model, lambda name: name.startswith(("posterior", "likelihood")))
    assert not same(made.model, codes.model, lambda name: name.startswith("prior"))
    assert made.record["result"]["epochs"] == 3


def test_a_recipe_that_shares_parts_takes_those(begun: Run) -> None:
    with pytest.warns(UserWarning, match=r"8 of \d+ tensors of weights.*these start anew: prior") as said:
        made = train(
            "vae", pictures(), init=begun, epochs=1, lr=1e-30, set={"model.prior": "gaussian-mixture"}, pictures=False
        )
    assert len(said) == 1 and same(begun.model, made.model)
    assert all(name.startswith("prior") for name in made.record["init"]["anew"])
    weighted = train("iwae", pictures(), init=begun, epochs=1, lr=1e-30, pictures=False)
    assert same(weighted.model, begun.model) and weighted.settings.objective.k > 1


def test_data_of_another_size_take_what_fits_and_name_the_rest(begun: Run, tmp_path: Path) -> None:
    large = pictures(side=8)
    with pytest.warns(UserWarning, match=r"posterior\.net\.layers\.0\.weight \(12 × 64, there 12 × 36\)"):
        made = train(data=large, init=begun, epochs=1, lr=1e-30, out=tmp_path / "large", pictures=False)
    assert same(begun.model, made.model, lambda name: name.startswith("posterior.net.head"))
    for words, given in (
        (r"train.freeze=decoder: weights in it cannot be taken.*likelihood\.net\.head", {"freeze": "decoder"}),
        ("no such part; it has encoder, decoder, posterior, likelihood", {"freeze": "nothing"}),
    ):
        with pytest.raises(UserError, match=words):
            train(data=large, init=begun, epochs=1, out=tmp_path / "no", pictures=False, **given)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UserError, match=r"none of the weights in .* fits this model: .* and \d+ more"):
        train("vq-vae", np.random.default_rng(0).random((60, 1, 8, 8)), init=begun, epochs=1, out=tmp_path / "no")
    with pytest.raises(UserError, match="leaves nothing to train"):
        train(data=pictures(), init=begun, freeze="encoder,decoder", epochs=1, out=tmp_path / "no")
    with pytest.raises(UserError, match="name the run to take them from"):
        train("vae", pictures(), freeze="encoder", epochs=1, out=tmp_path / "no")
    with pytest.raises(UserError, match="trained on arrays in memory: name the data"):
        train(init=begun, epochs=1, out=tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_scheduled_values_are_the_new_runs_own() -> None:
    """A temperature of the other run's schedule is no weight."""
    first = train("categorical-vae", pictures(), epochs=1, set={"model.hidden": "12"}, pictures=False)
    values = [name for name in first.model.state_dict() if name.endswith(".value")]
    assert values, "no scheduled value to try it on"
    made = train(data=pictures(), init=first, epochs=1, lr=1e-30, set={"model.temperature": 0.123}, pictures=False)
    assert float(made.model.state_dict()[values[0]]) == pytest.approx(0.123)


def test_other_tokens_are_warned_of(tmp_path: Path) -> None:
    """A vocabulary of the same size with other words: the weights fit, and mean something else."""
    small = {"model.width": 8, "model.embedding": 4, "model.latent": 2}
    first = train("sequence-vae", ["abab", "baba", "aabb", "bbaa"] * 10, epochs=1, set=small, pictures=False)
    with pytest.warns(UserWarning, match="the tokens of .* are not those of the run"):
        train(data=["cdcd", "dcdc", "ccdd", "ddcc"] * 10, init=first, epochs=1, pictures=False)


def test_cut_short_before_its_first_checkpoint_it_starts_from_them_again(
    begun: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vaekit.training.loop import Fit

    x = pictures(seed=3)
    whole = train(data=x, init=begun, epochs=2, out=tmp_path / "whole", pictures=False)
    monkeypatch.setattr(Fit, "_step", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        train(data=x, init=begun.path, epochs=2, out=tmp_path / "cut", pictures=False)
    monkeypatch.undo()
    assert same(train(data=x, out=tmp_path / "cut", resume=True, pictures=False).model, whole.model)
