"""Anomaly scores against closed forms, and their judges against scikit-learn."""

from __future__ import annotations

import io
import math
import zlib
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vaekit import bounds
from vaekit.distributions.base import Family
from vaekit.errors import NotALikelihood, UserError
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.likelihoods.gaussian import Gaussian
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.delta import Delta
from vaekit.posteriors.normal import DiagonalNormal, FullNormal
from vaekit.priors.normal import StandardNormal
from vaekit.tasks import anomaly
from vaekit.tasks.anomaly import CODED, Scorer, code_length, judge, threshold
from vaekit.tasks.noise import traces


def linear(seed: int = 0, latent: int = 2, width: int = 4) -> VAE:
    """p(x) = N(b, W Wᵀ + σ²): an untrained linear encoder makes a loose bound, which refitting q must tighten."""
    torch.manual_seed(seed)
    return (
        VAE(
            DiagonalNormal(mlp(width, latent, ())),
            StandardNormal(latent),
            Gaussian(mlp(latent, width, ()), scale=0.5),
        )
        .double()
        .eval()
    )


def exact(model: VAE, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        zero = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
        columns = model.decode(torch.eye(2, dtype=torch.float64)).mean - zero
        covariance = columns.T @ columns + 0.25 * torch.eye(len(zero), dtype=torch.float64)
        return torch.distributions.MultivariateNormal(zero, covariance).log_prob(x)


def test_regret_is_what_the_best_q_of_its_family_gains() -> None:
    model = linear()
    x = torch.randn(6, 4, dtype=torch.float64)
    with torch.no_grad():
        before = torch.cat([bounds.elbo(t) for t in traces(model, x, None, 40_000, 1)])
        zero = model.decode(torch.zeros(1, 2, dtype=torch.float64)).mean[0]
        w = (model.decode(torch.eye(2, dtype=torch.float64)).mean - zero).T
        precision = torch.eye(2, dtype=torch.float64) + w.T @ w / 0.25
    # the best diagonal q has the exact mean and the precision's diagonal: its gap is ½ (Σ log P_jj - log |P|)
    gap = 0.5 * (precision.diagonal().log().sum() - torch.logdet(precision))
    best = exact(model, x) - gap
    found = Scorer(model, steps=400, lr=0.1).score("regret", x)
    assert torch.allclose(found, best - before, atol=0.25, rtol=0.03)
    assert (found >= 0).all()


@pytest.mark.parametrize("name", ["iw", "elbo"])
def test_bounds_are_of_the_exact_likelihood(name: str) -> None:
    model = linear()
    x = torch.randn(20, 4, dtype=torch.float64)
    score = Scorer(model, k=5000).score(name, x)
    gap = score + exact(model, x)
    assert (gap > -0.3).all()
    if name == "iw":  # untrained proposals: most are near, the farthest are bounds still
        assert gap.median() < 0.1


@pytest.mark.parametrize("name", ["reconstruction", "elbo", "iw", "regret", *CODED])
def test_a_score_depends_on_its_example_alone(name: str) -> None:
    model = linear()
    x = torch.randn(40, 4, dtype=torch.float64)
    standards = {"iw": (5.0, 2.0), "distance": (2.0, 1.0), "neighbours": (0.1, 0.2)}
    make = {"k": 8, "steps": 10, "normal": torch.randn(100, 2), "standards": standards}
    whole = Scorer(model, **make).score(name, x)
    assert torch.allclose(Scorer(model, **make, batch=7).score(name, x), whole, atol=1e-9)
    assert torch.allclose(Scorer(model, **make).score(name, x[[3, 9]]), whole[[3, 9]], atol=1e-9)


def test_another_posterior_is_scored_row_by_row() -> None:
    torch.manual_seed(0)
    model = VAE(FullNormal(mlp(4, 2)), StandardNormal(2), Gaussian(mlp(2, 4))).eval()
    x = torch.randn(5, 4)
    whole = Scorer(model, k=8).score("iw", x)
    assert torch.allclose(Scorer(model, k=8).score("iw", x[2:3]), whole[2:3], atol=1e-6)
    with pytest.raises(UserError, match="diagonal normal"):
        Scorer(model).score("regret", x)


def test_neighbours_is_the_distance_to_the_fifth_closest_code() -> None:
    model, x = linear(), torch.randn(6, 4, dtype=torch.float64)
    normal = torch.cat([torch.randn(50, 1) * torch.tensor([[3.0, 0.5]]), torch.full((50, 1), 7.0)], 1).double()
    unit = normal[:, :2].std(0, correction=0)
    found = Scorer(model, normal=normal[:, :2]).score("neighbours", x)
    codes = model.features(x).double()
    assert found.tolist() == pytest.approx(
        [sorted(((normal[:, :2] - code) / unit).norm(dim=1).tolist())[4] for code in codes]
    )
    assert torch.equal(Scorer(model, normal=normal[:3, :2]).score("neighbours", x) > 0, torch.ones(6, dtype=torch.bool))
    still = torch.cat([normal[:, :1], normal[:, 2:]], 1)  # a dimension that never varies
    only = Scorer(model, normal=still).score("neighbours", x)
    off = (normal[:, 0] - codes[:, :1]).abs().sort(1).values[:, 4] / unit[0]
    assert torch.allclose(only, off)


def test_a_combined_score_is_the_mean_of_standardised_ones() -> None:
    model, x, known = linear(), torch.randn(6, 4, dtype=torch.float64), torch.randn(80, 4, dtype=torch.float64)
    scorer = Scorer(model, k=8, normal=model.features(known))
    with pytest.raises(UserError, match="needs the training data"):
        scorer.score("combined", x)
    scorer.standards = scorer.standardised_by(known)
    parts = []
    for name in ("iw", "distance", "neighbours"):
        of_known = scorer.score(name, known)
        parts.append((scorer.score(name, x) - of_known.mean()) / of_known.std(correction=0))
    assert torch.allclose(scorer.score("combined", x), torch.stack(parts).mean(0))


def test_the_latent_distance_is_mahalanobis() -> None:
    model = linear()
    x = torch.randn(9, 4, dtype=torch.float64)
    normal = torch.randn(500, 2, dtype=torch.float64) @ torch.tensor([[2.0, 0.5], [0.0, 1.0]], dtype=torch.float64)
    found = Scorer(model, normal=normal).score("distance", x)
    with torch.no_grad():
        off = model.features(x) - normal.mean(0)
    inverse = torch.linalg.inv(torch.cov(normal.T, correction=0))
    assert torch.allclose(found, torch.einsum("ni,ij,nj->n", off, inverse, off), rtol=1e-3)
    with pytest.raises(UserError, match="training data"):
        Scorer(model).score("distance", x)


def test_complexity_takes_the_code_length_off() -> None:
    torch.manual_seed(0)
    shape = (1, 16, 16)
    model = VAE(DiagonalNormal(mlp(shape, 2)), StandardNormal(2), Bernoulli(mlp(2, shape))).eval()
    x = torch.stack([torch.zeros(shape), (torch.rand(shape) < 0.5).float()])
    scorer = Scorer(model, k=4, levels=2)
    taken = (scorer.score("iw", x) - scorer.score("complexity", x)) / math.log(2)
    assert taken.tolist() == pytest.approx([code_length(a, 2) for a in anomaly.grey(x, 2)], rel=1e-6)
    assert taken[0] < 60 and 240 < taken[1] < 330  # 256 random bits cannot be had for less


def test_refusals() -> None:
    model = VAE(Delta(mlp(4, 2)), StandardNormal(2), Gaussian(mlp(2, 4))).eval()
    x = torch.randn(3, 4)
    assert Scorer(model).score("reconstruction", x).shape == (3,)
    for name in ("elbo", "iw", "regret", "complexity"):
        with pytest.raises(NotALikelihood):
            Scorer(model).score(name, x)
    with pytest.raises(UserError, match="no anomaly score"):
        Scorer(model).score("magic", x)
    assert issubclass(Family, torch.distributions.Distribution)


def test_a_judgement_has_both_areas_with_their_intervals() -> None:
    score, truth = np.random.default_rng(0).standard_normal(80) + (np.arange(80) < 30), np.arange(80) < 30
    found: Any = judge(score, truth)
    assert found["auroc"]["n"] == 80 and found["aupr"]["anomalous"] == 30
    for name in ("auroc", "aupr"):
        low, high = found[name]["interval"]
        assert low < found[name]["value"] < high
    with pytest.raises(UserError, match="both kinds"):
        judge(score, np.zeros(80, bool))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_the_threshold_leaves_that_share_above(share: float) -> None:
    score = np.random.default_rng(0).standard_normal(1000)
    assert (score > threshold(score, share)).sum() == round(1000 * share)
    limit = threshold(score, share)
    assert np.array_equal(score > limit, score * (1 + 1e-8) > limit)  # rounding moves none across
    assert (
        threshold([1.0, 1.0, 1.0, 1.0 + 1e-9], 0.25) < 1 + 1e-9
        and threshold([1.0, math.inf, math.inf], 0.34) == math.inf
    )
    for bad in (0.0, -1.0, 0.51, math.nan):
        with pytest.raises(UserError, match="contamination"):
            threshold(score, bad)


def test_large_examples_are_decoded_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = linear(), torch.randn(30, 4, dtype=torch.float64)
    right, sizes = Scorer(model, k=8).score("iw", x), []
    decode = model.decode

    def counted(z: torch.Tensor, y: torch.Tensor | None = None) -> torch.distributions.Distribution:
        sizes.append(z[..., 0].numel() * 4)
        return decode(z, y)

    monkeypatch.setattr(model, "decode", counted)
    monkeypatch.setattr("vaekit.tasks.noise.NUMBERS", 64)
    assert torch.allclose(Scorer(model, k=8).score("iw", x), right, atol=1e-9)
    assert max(sizes) <= 64 and len(sizes) >= 15


def test_regret_climbs_as_many_steps_as_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = linear(), torch.randn(3, 4, dtype=torch.float64)
    decode, sizes = model.decode, list[int]()

    def counted(z: torch.Tensor, y: torch.Tensor | None = None) -> torch.distributions.Distribution:
        sizes.append(len(z))
        return decode(z, y)

    monkeypatch.setattr(model, "decode", counted)
    Scorer(model, steps=7).score("regret", x)
    assert sizes.count(2) == 7


def test_greys_are_whole_numbers_of_their_levels() -> None:
    x = torch.tensor([0.0, 0.5, 1.0, 1.7, -0.2])
    assert anomaly.grey(x, 3).tolist() == [0, 1, 2, 2, 0]
    assert anomaly.grey(x, 256).tolist() == anomaly.grey(x, 1000).tolist() == [0, 128, 255, 255, 0]


@pytest.mark.parametrize("shape", [(1, 12, 9), (3, 12, 9), (2, 12, 9), (40,)])
@pytest.mark.parametrize("noise", [0, 3, 255])
def test_a_code_is_the_shorter_of_two_without_what_every_file_has(shape: tuple[int, ...], noise: int) -> None:
    x = np.random.default_rng(0).integers(0, noise + 1, shape).astype(np.uint8)

    def png(part: np.ndarray) -> int:
        buffer = io.BytesIO()
        Image.fromarray(part[0] if len(part) == 1 else np.moveaxis(part, 0, -1)).save(buffer, "PNG", optimize=True)
        return len(buffer.getvalue())

    sizes = [len(zlib.compress(x.tobytes(), 9)) - 8]
    if len(shape) == 3 and shape[0] != 2:
        sizes.append(png(x) - png(x[:, :1, :1]))
    assert code_length(x, 256) == 8 * max(min(sizes), 1)


def test_no_code_is_shorter_than_a_byte() -> None:
    assert code_length(np.zeros(1, np.uint8), 256) == code_length(np.zeros((1, 1, 1), np.uint8), 256) == 8
