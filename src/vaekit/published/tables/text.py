"""Lines of text: a VAE against a plain language model of the same decoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from vaekit.bounds import elbo
from vaekit.data.dataset import DataSet
from vaekit.devices import choose_device
from vaekit.likelihoods.tokens import Tokens
from vaekit.metrics.sequences import per_token, scored
from vaekit.models.base import Model
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Reconstruction
from vaekit.published.base import OURS, Attempt, Budget, Measured, published
from vaekit.recipes.base import RECIPES
from vaekit.recipes.sequences import SequenceSettings, token_decoder
from vaekit.recipes.settings import Settings
from vaekit.runs.data import load_for
from vaekit.runs.train import train
from vaekit.studies.points import nested
from vaekit.trace import Trace
from vaekit.training.data_source import DataSource
from vaekit.training.loop import Fit
from vaekit.training.stages import Stage

OFF = {"objective.beta": 1.0, "objective.free_bits": 0.0, "model.word_dropout": 0.0, "model.skip": False}
VAES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "word dropout": {"model.word_dropout": 0.3},
    "all off": OFF,
    "warm-up alone": OFF | {"objective.beta": "linear 0 1 30%"},
    "free bits alone": OFF | {"objective.free_bits": 0.2},
    "word dropout alone": OFF | {"model.word_dropout": 0.3},
}
PLAIN = "language model, perplexity"
NUMBERS = {"kl": "KL", "iw_bound": "bound", "perplexity": "perplexity"}


class LanguageModel(Model):
    """The decoder of a VAE with z held at zero: p(x) = Π p(x_t | x_<t), with no latent and so with no bound to it."""

    def __init__(self, likelihood: Tokens, latent: int) -> None:
        super().__init__()
        self.likelihood, self.latent = likelihood, latent

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Score x; log p(x) is the trace's log_px, (1, B)."""
        z = next(self.parameters()).new_zeros(1, len(x), self.latent)
        return Trace(x, None, {}, self.likelihood(z))


def language_model(settings: Settings, data: DataSet, device: str) -> LanguageModel:
    """Train the decoder of a VAE with these settings, z held at zero, on the same batches."""
    m, info = settings.model, data.info
    assert isinstance(m, SequenceSettings) and info.levels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.train.seed)
        net = token_decoder(m.model_copy(update={"word_dropout": 0.0}), info.levels, info.shape[0])
    model = LanguageModel(Tokens(net, truncated=bool(info.facts["truncated"])), m.latent).to(choose_device(device))
    Fit(model, [Stage(Objective(Reconstruction()))], DataSource(data), settings.train).run()
    return model.eval()


@published(
    "text",
    title="a VAE of lines of Shakespeare against a language model of the same decoder",
    source="no published figures; the question is Bowman et al. 2016's, arXiv:1511.06349",
    protocol="Lines of tiny-shakespeare as at most 1,000 byte pairs, a width of 128, 2,400 steps on the same batches; "
    "nats a line on 500 test lines with K = 50, perplexities a token with END counted. 'All off' has no warm-up, free "
    "bits, word dropout or z at every step; the language model is the decoder with z held at zero, and its perplexity "
    "is exact where the VAEs' are upper bounds.",
    data="tiny-shakespeare",
    unit="nats, and of perplexity 1",
    rows=dict.fromkeys((*(f"{label}, {word}" for label in VAES for word in NUMBERS.values()), PLAIN), OURS),
    budgets={
        "smoke": Budget({"steps": 60, "limit": 100, "k": 5}, "60 steps; 100 test lines; K = 5"),
        "hour": Budget({"steps": 2400, "limit": 500, "k": 50}, "one training seed"),
        "full": Budget({"steps": 2400, "limit": 500, "k": 50, "seeds": [0, 1, 2]}),
    },
)
def text(at: Attempt) -> Iterator[tuple[str, Measured]]:
    """Train the VAEs and the language model."""
    shared = {"data.unit": "pairs", "model.width": 128, "train.steps": at.terms["steps"]}
    limit = at.terms["limit"]
    for label, own in VAES.items():
        found: dict[str, list[float]] = {number: [] for number in NUMBERS}
        for seed in at.seeds:
            run = train("sequence-vae", at.data, seed=seed, set=shared | own, device=at.device)
            given = run.evaluate(["elbo", "iw_bound", "perplexity"], k=at.terms["k"], limit=limit)
            for number, values in found.items():
                values.append(float(given[number].value or 0.0))
        for number, values in found.items():
            yield f"{label}, {NUMBERS[number]}", Measured(tuple(values))
    recipe, exact = RECIPES["sequence-vae"].part, []
    for seed in at.seeds:
        settings = recipe.settings(nested(shared | {"train.seed": seed, "train.device": at.device}))
        data, _ = load_for(recipe, settings, at.data)
        model = language_model(settings, data, at.device)
        x = data.test.x[:limit]
        with torch.no_grad():
            value = torch.cat(
                [elbo(model.trace(part.to(next(model.parameters()).device))).cpu() for part in x.split(500)]
            )
        exact.append(float(per_token(value, scored(x, data.info)).value or 0.0))
    yield PLAIN, Measured(tuple(exact))
