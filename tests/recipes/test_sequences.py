"""sequence-vae: collapse and the counter-measures to it; settings that do not fit are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recipes.examples import lines
from vaekit.distributions.tokens import Sampling
from vaekit.errors import UserError
from vaekit.recipes.base import RECIPES
from vaekit.runs.run import Run
from vaekit.runs.train import train

SMALL = {"data.unit": "words", "model.width": 24, "model.embedding": 16, "model.latent": 4, "train.lr": 5e-3}
OFF = {"objective.beta": 1.0, "objective.free_bits": 0.0, "model.word_dropout": 0.0, "model.skip": False}


def run_of(**more: Any) -> Run:
    torch.set_num_threads(1)
    return train("sequence-vae", lines(), steps=200, pictures=False, set=SMALL | more)


@pytest.mark.slow
def test_it_collapses_without_counter_measures_and_not_with_them() -> None:
    """Each word of these lines is drawn alone, so a decoder that sees the words before needs no latent."""
    off, on = run_of(**OFF), run_of(**{"objective.free_bits": 0.5})
    kl = {name: run.evaluate(("elbo",))["kl"].value or 0.0 for name, run in (("off", off), ("on", on))}
    assert kl["off"] < 0.1 and kl["on"] > 1
    assert any("collapsed" in text for text in off.record["result"]["warnings"])
    assert not any("collapsed" in text for text in on.record["result"]["warnings"])


def test_reconstructions_and_paths_are_rows_of_tokens_that_end() -> None:
    run = run_of(**{"model.net": "transformer", "model.heads": 2})
    first, last = run.test.first(3), run.test.take(torch.tensor([3, 4, 5]))
    path = run.interpolate(first, last, steps=4)
    for made in (run.reconstruct(first), path.flatten(0, 1), run.sample(5)):
        assert made.dtype == torch.int64 and made.shape[1:] == run.info.shape
        assert bool((made == 2).any(1).all())
    assert torch.equal(path[:, 0], run.reconstruct(first)) and torch.equal(path[:, -1], run.reconstruct(last))
    run.model.likelihood.draw_with(Sampling(greedy=True))  # type: ignore[union-attr, operator]
    assert torch.equal(run.sample(5, seed=1), run.sample(5, seed=1))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model.prior": "vamp"}, "needs continuous pseudo-inputs; tokens are discrete"),
        ({"model.net": "transformer", "model.width": 30}, "cannot be split among model.heads=4"),
        ({"model.likelihood": "bernoulli"}, "use one of auto, tokens"),
        ({"model.channels": "8,8"}, "model.channels"),
    ],
)
def test_what_does_not_fit_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        train("sequence-vae", lines(), steps=1, pictures=False, set=settings)


def test_every_setting_is_described() -> None:
    recipe = RECIPES["sequence-vae"].part
    for section in recipe.settings().__class__.model_fields.values():
        for name, field in section.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description, name
