"""What the codebook's metrics say, against counts by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import vaekit
from vaekit.data.info import DataInfo
from vaekit.errors import UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.metrics.base import Subject, evaluate
from vaekit.models.codes import CodeVAE
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.posteriors.quantised import VectorQuantised
from vaekit.priors.codes import TransformerPrior, UniformCodesPrior
from vaekit.priors.normal import StandardNormal

INFO = DataInfo("toy", (3,), "binary", 2, 40, 0, 40, (), bits_offset=0.0)
X = torch.bernoulli(torch.full((40, 3), 0.5, dtype=torch.float32), generator=torch.Generator().manual_seed(0))


def model(uniform: bool) -> CodeVAE:
    torch.manual_seed(1)
    q = VectorQuantised(mlp(3, (2, 2), (8,)), codes=4)
    prior = UniformCodesPrior((2,), 4) if uniform else TransformerPrior((2,), 4, prior_width=8, prior_heads=2)
    return CodeVAE(q, prior, Bernoulli(mlp((2, 2), 3))).eval()


@torch.no_grad()
def test_perplexity_use_and_gain_are_those_of_the_counts() -> None:
    made = model(uniform=False)
    found = evaluate(Subject(made, INFO, X, batch_size=7), ["codebook"])
    share = torch.bincount(made.codes(X).flatten(), minlength=4).double() / 80
    assert found["codebook_perplexity"].value == pytest.approx(math.exp(float(torch.special.entr(share).sum())))
    assert found["codebook_used"].value == float((share > 0).double().mean())
    gain = made.prior().log_prob(made.codes(X)) + 2 * math.log(4)
    assert found["code_gain"].value == pytest.approx(float(gain.double().mean()), abs=1e-5)


def test_a_uniform_prior_gains_nothing() -> None:
    found = evaluate(Subject(model(uniform=True), INFO, X), ["codebook"])
    assert found["code_gain"].value == pytest.approx(0, abs=1e-6)


def test_other_models_leave_it_out_or_say_why() -> None:
    plain = VAE(DiagonalNormal(mlp(3, 2)), StandardNormal(2), Bernoulli(mlp(2, 3))).eval()
    assert "codebook_used" not in evaluate(Subject(plain, INFO, X), ["latents"])
    with pytest.raises(UserError, match="no quantised codes"):
        evaluate(Subject(plain, INFO, X), ["codebook"])


def test_one_example_is_enough() -> None:
    made = model(uniform=False)
    found = evaluate(Subject(made, INFO, X[:1]), ["codebook"])
    with torch.no_grad():
        gain = made.prior().log_prob(made.codes(X[:1])) + 2 * math.log(4)
    assert found["code_gain"].value == pytest.approx(float(gain), abs=1e-5) and found["code_gain"].n == 1


class TwoLevels(CodeVAE):
    """A model with codes of two levels: its own, and its own with the last place repeated."""

    def codes(self, x: Any, y: Tensor | None = None) -> dict[str, Tensor]:  # type: ignore[override]
        own = super().codes(x, y)
        return {"top": own[:, :1], "bottom": own[:, [0, 1, 1]]}


def test_levels_are_averaged_and_listed() -> None:
    made = model(uniform=True)
    made.__class__ = TwoLevels
    found = evaluate(Subject(made, INFO, X, batch_size=7), ["codebook"])
    with torch.no_grad():
        levels: Any = made.codes(X)
        shares = {k: torch.bincount(v.flatten(), minlength=4).double() / v.numel() for k, v in levels.items()}
    wanted = {name: math.exp(float(torch.special.entr(share).sum())) for name, share in shares.items()}
    assert found["codebook_perplexity"].facts["by_level"] == pytest.approx(wanted)
    assert found["codebook_perplexity"].value == pytest.approx(sum(wanted.values()) / 2)
    assert found["codebook_used"].value == pytest.approx(
        sum(float((s > 0).double().mean()) for s in shares.values()) / 2
    )
    assert found["code_gain"].value == pytest.approx(2 * math.log(4), abs=1e-5)  # four codes listed, two of them paid


def test_what_codes_gain_is_over_all_levels() -> None:
    small = {"model.prior_width": 16, "model.prior_layers": 1, "model.latent": 8, "model.codes": 8}
    run = vaekit.train("vq-vae-2", "digits", steps=2, set=small, pictures=False)
    subject = run.subject(limit=20)
    found = evaluate(subject, ["codebook"])
    with torch.no_grad():
        levels: Any = run.model.codes(subject.x)
        paid = torch.stack([kl.mean(0) for kl in run.model.trace(subject.x, hard=True).kl.values()]).sum(0)
    listed = sum(level[0].numel() for level in levels.values()) * math.log(8)
    assert len(levels) == 2
    assert found["code_gain"].value == pytest.approx(float((listed - paid).double().mean()), abs=1e-4)
