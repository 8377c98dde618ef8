"""A VAE of text against a plain language model of the same decoder, and with its counter-measures to collapse off.

python bench/text.py [--data tiny-shakespeare] [--out runs/text] [--steps 2400] [--limit 500] [--k 100]
    [--only LABEL]... [--set path=value]...

All are trained on the same batches for as many steps; perplexities are a token of the same test lines, END counted.
What lies in --out already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vaekit.atomic import write_text
from vaekit.bounds import elbo
from vaekit.data.dataset import DataSet
from vaekit.likelihoods.tokens import Tokens
from vaekit.metrics.base import Result, mean_of
from vaekit.metrics.sequences import per_token, scored
from vaekit.models.base import Model
from vaekit.objectives.base import Objective
from vaekit.objectives.elbo import Reconstruction
from vaekit.recipes.base import RECIPES
from vaekit.recipes.sequences import SequenceSettings, token_decoder
from vaekit.recipes.settings import Nested, Settings, parse_assignments
from vaekit.runs.data import load_for
from vaekit.runs.loading import load
from vaekit.runs.run import Run
from vaekit.runs.train import train
from vaekit.trace import Trace
from vaekit.training.data_source import DataSource
from vaekit.training.loop import Fit
from vaekit.training.stages import Stage

OFF = {"objective.beta": 1.0, "objective.free_bits": 0.0, "model.word_dropout": 0.0, "model.skip": False}
VAES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "defaults and word dropout": {"model.word_dropout": 0.3},
    "all off": OFF,
    "warm-up alone": OFF | {"objective.beta": "linear 0 1 30%"},
    "free bits alone": OFF | {"objective.free_bits": 0.2},
    "word dropout alone": OFF | {"model.word_dropout": 0.3},
}
PLAIN = "language model"


class LanguageModel(Model):
    """The decoder of a VAE with z held at zero: p(x) = Π p(x_t | x_<t), with no latent and so with no bound to it."""

    def __init__(self, likelihood: Tokens, latent: int) -> None:
        super().__init__()
        self.likelihood, self.latent = likelihood, latent

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Score x; log p(x) is the trace's log_px, (1, B)."""
        z = next(self.parameters()).new_zeros(1, len(x), self.latent)
        return Trace(x, None, {}, self.likelihood(z))


def plain(settings: Settings, data: DataSet, path: Path) -> LanguageModel:
    """Train the decoder of a VAE with these settings, z held at zero, on the same batches."""
    m, info = settings.model, data.info
    assert isinstance(m, SequenceSettings) and info.levels is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.train.seed)
        net = token_decoder(m.model_copy(update={"word_dropout": 0.0}), info.levels, info.shape[0])
    model = LanguageModel(Tokens(net, truncated=bool(info.facts["truncated"])), m.latent)
    if path.is_file():
        from safetensors.torch import load_file

        model.load_state_dict(load_file(path))
    else:
        from safetensors.torch import save_file

        Fit(model, [Stage(Objective(Reconstruction()))], DataSource(data), settings.train).run()
        save_file(model.state_dict(), path)
    return model.eval()


def row(label: str, kl: Result | None, bound: Result, perplexities: list[Result], accuracy: Result | None) -> str:
    """Return a line of the table."""
    cells = [kl, bound, *perplexities, accuracy]
    shown = ["–" if c is None else f"{c.value:.2f} ± {c.stderr or 0:.2f}" for c in cells]
    return f"| {label} | {' | '.join(shown)} |"


def nested(flat: dict[str, Any]) -> Nested:
    """Return settings by section from settings by path."""
    return parse_assignments([f"{path}={value}" for path, value in flat.items()])


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="tiny-shakespeare")
    parser.add_argument("--out", type=Path, default=Path("runs/text"))
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--only", action="append", choices=[*VAES, PLAIN])
    parser.add_argument("--set", action="append", default=[], metavar="path=value")
    given = parser.parse_args()
    chosen: list[str] = given.only or ["defaults", "defaults and word dropout", "all off", PLAIN]
    shared = dict(text.split("=", 1) for text in given.set)
    given.out.mkdir(parents=True, exist_ok=True)

    def vae(label: str) -> Run:
        path = given.out / label.replace(" ", "-")
        if (path / "model.safetensors").is_file():
            return load(path)
        settings = shared | VAES[label]
        return train("sequence-vae", given.data, out=path, steps=given.steps, set=settings, pictures=False)

    lines = [
        f"{given.data}, {given.steps} steps, {given.limit} test lines, K = {given.k}; ± standard errors\n",
        "| model | KL, nats | bound, nats a line | perplexity by the ELBO | by the bound of K | tokens right |",
        "|---|---|---|---|---|---|",
    ]
    for label in chosen:
        started = time.perf_counter()
        if label == PLAIN:
            recipe = RECIPES["sequence-vae"].part
            settings = recipe.settings(nested(shared | {"train.steps": given.steps}))
            data, _ = load_for(recipe, settings, given.data)
            model = plain(settings, data, given.out / "language-model.safetensors")
            x = data.test.x[: given.limit]
            with torch.no_grad():
                value = torch.cat([elbo(model.trace(part)) for part in x.split(500)])
            exact = per_token(value, scored(x, data.info))
            lines.append(row(label, None, mean_of(value, "nats"), [exact, exact], None))
        else:
            run = vae(label)
            found = run.evaluate(
                ("elbo", "iw_bound", "perplexity", "token_reconstruction"), k=given.k, limit=given.limit
            )
            both = [found["perplexity_elbo"], found["perplexity"]]
            lines.append(row(label, found["kl"], found["iw_bound"], both, found["token_accuracy"]))
        print(json.dumps({"model": label, "seconds": round(time.perf_counter() - started)}), flush=True)
    table = "\n".join(lines)
    write_text(given.out / "table.md", table + "\n")
    print(table)


if __name__ == "__main__":
    main()
