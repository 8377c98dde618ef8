"""Anomaly scores of examples under a trained model: the higher, the less the example belongs; and how good they are."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit import bounds
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import Progress, batched
from vaekit.intervals import auroc, auroc_interval, average_precision, average_precision_interval
from vaekit.models.base import Model
from vaekit.tasks.noise import shared_noise, traces

NEAREST = 5


@dataclass
class Scorer:
    """A model and what the scores need: importance samples `k`, refinement `steps`, and codes of normal examples.

    `normal` (M, F) are posterior means of the training data, which distances of codes are measured from; `standards`
    the mean and standard deviation of scores of training examples. `levels` is the number of grey levels of the
    pixels, whose code length the complexity correction takes.
    """

    model: Model
    k: int = 64
    steps: int = 100
    lr: float = 0.05
    levels: int = 256
    seed: int = 0
    batch: int = 250
    normal: Tensor | None = None
    standards: Mapping[str, tuple[float, float]] | None = None
    progress: Progress = field(default=lambda done, total: None)

    def score(self, name: str, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the score `name` of prepared examples x (N, ...): (N,) float64; nats, but for distances.

        Raises UserError for an unknown name, NotALikelihood where the model bounds nothing.
        """
        if name not in SCORES:
            raise UserError(f"there is no anomaly score '{name}'; there are {', '.join(SCORES)}")
        call = partial(SCORES[name], self)
        return batched(self.model, call, x, y, size=self.batch, seed=self.seed, progress=self.progress).double()

    def standardised_by(self, x: Tensor, y: Tensor | None = None) -> dict[str, tuple[float, float]]:
        """Return mean and standard deviation of what is `COMBINED`, over training examples x (N, ...)."""
        found = {}
        for name in COMBINED:
            score = self.score(name, x, y)
            score = score[torch.isfinite(score)]
            spread = float(score.std(correction=0)) if len(score) else 0.0
            found[name] = (float(score.mean()) if len(score) else 0.0, spread or 1.0)
        return found


def reconstruction(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """-log p(x|z) at z = E q(z|x): what the decoder cannot say of x. Needs no bound, so it serves any autoencoder."""
    return -to.model.decode(to.model.posterior_mean(x, y), y).log_prob(x)


def negative_elbo(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """-ELBO(x), with the mean of k posterior samples."""
    return torch.cat([-bounds.elbo(trace) for trace in traces(to.model, x, y, posterior_samples(to.k), to.seed)])


def posterior_samples(k: int) -> int:
    """Return how many samples the ELBO's mean takes where importance weights would take k."""
    return max(1, min(k, 16))


def importance(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """-log p(x), from below with k importance samples."""
    return torch.cat([-bounds.importance_weighted(trace) for trace in traces(to.model, x, y, to.k, to.seed)])


def regret(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """Likelihood regret: how much the ELBO of x gains when q is fitted to x alone, (B,) ≥ 0.

    max over (μ, σ) of ELBO(x; N(μ, σ²)) less the encoder's own. Examples like those the encoder was trained on have
    little to gain. Both ends are scored with the same noise. Source: Xiao et al. 2020, arXiv:2003.02977, §4 (who let
    the encoder's weights go free instead; here q's own parameters, which can only gain more).
    """
    trace = to.model.trace(x, y, hard=True)
    bounds.require(trace)
    latent = next(iter(trace.latents.values()))
    if len(trace.latents) > 1 or not isinstance(latent.q, DiagonalNormalFamily):
        raise UserError("regret refits one diagonal normal posterior, which this model does not have; use elbo or iw")
    loc, log_scale = latent.q.loc.clone(), latent.q.log_scale.expand_as(latent.q.loc).clone()
    noise = matched(shared_noise(16, latent.q, to.seed))
    drawn = shared_noise(2 * to.steps, latent.q, to.seed + 1).split(2)

    def bound(mean: Tensor, log_sd: Tensor, eps: Tensor) -> Tensor:
        q = DiagonalNormalFamily(mean, log_sd, loc.dim() - 1)
        z = mean + eps * log_sd.exp()
        return (to.model.decode(z, y).log_prob(x) + latent.p.log_prob(z) - q.log_prob(z)).mean(0)

    before = bound(loc, log_scale, noise)
    free = [loc.requires_grad_(True), log_scale.requires_grad_(True)]
    climb = torch.optim.Adam(free, betas=(0.9, 0.99), maximize=True)
    for step, eps in enumerate(drawn[: to.steps], 1):
        climb.zero_grad()
        with torch.enable_grad():
            bound(loc, log_scale, eps).sum().backward(inputs=free)
        climb.param_groups[0]["lr"] = to.lr * 0.5 * (1 + math.cos(math.pi * step / (to.steps + 1)))
        climb.step()
    return (bound(loc, log_scale, noise) - before).clamp(min=0)


def matched(noise: Tensor) -> Tensor:
    """Return noise (K, ...) and its negative, scaled so that each coordinate has mean 0 and mean square 1.

    Expectations of what is quadratic in each coordinate are then exact, whatever K is.
    """
    both = torch.cat([noise, -noise])
    return both / both.square().mean(0).sqrt().clamp(min=1e-6)


def complexity(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """-log p(x) less the code length of x by a general compressor, nats: a likelihood ratio.

    Simple images are likely under any model; what counts is being likelier than their simplicity explains. The length
    is the shorter of PNG's and zlib's, without headers. Source: Serrà et al. 2020, arXiv:1909.11480.
    """
    bits = torch.tensor([code_length(row, to.levels) for row in grey(x, to.levels)], dtype=torch.float64)
    return importance(to, x, y).double().cpu() - math.log(2) * bits


def distance(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """Squared Mahalanobis distance of the code from the training codes' mean, in units of their covariance."""
    if to.normal is None:
        raise UserError("the latent distance needs the training data, which were not found")
    codes = to.normal.to(x.device).double()
    covariance = torch.atleast_2d(torch.cov(codes.T, correction=0))
    covariance.diagonal().add_(1e-6 * covariance.diagonal().mean().clamp(min=1e-12))
    off = to.model.features(x, y).double() - codes.mean(0)
    return (off * torch.linalg.solve(covariance, off.T).T).sum(1)


def neighbours(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """Distance of the code to the `NEAREST`th closest training code, each dimension in units of their spread.

    Source: Ramaswamy et al. 2000, doi:10.1145/335191.335437, in the space of codes.
    """
    if to.normal is None:
        raise UserError("distances of codes need the training data, which were not found")
    codes = to.normal.to(x.device).double()
    spread = codes.std(0, correction=0)
    unit = torch.where(spread > 1e-6 * spread.max(), spread, torch.inf)  # a dimension that never varies says nothing
    apart = torch.cdist(to.model.features(x, y).double() / unit, codes / unit)
    return apart.kthvalue(min(NEAREST, len(codes)), 1).values


def combined(to: Scorer, x: Tensor, y: Tensor | None) -> Tensor:
    """Mean of `iw`, `distance` and `neighbours`, each less its mean over training examples and in their deviations.

    A row may be strange by being unlikely, or far from all others; a density alone misses what many likely cells hide.
    """
    if to.standards is None:
        raise UserError("a combined score needs the training data, which were not found; use iw")
    parts = [(SCORES[name](to, x, y).double() - mean) / sd for name, (mean, sd) in to.standards.items()]
    return torch.stack(parts).mean(0)


SCORES: dict[str, Callable[[Scorer, Tensor, Tensor | None], Tensor]] = {
    "reconstruction": reconstruction,
    "elbo": negative_elbo,
    "iw": importance,
    "regret": regret,
    "complexity": complexity,
    "distance": distance,
    "neighbours": neighbours,
    "combined": combined,
}
COMBINED = ("iw", "distance", "neighbours")
CODED = ("distance", "neighbours", "combined")
"""Scores that are measured from codes of training examples."""


def default_score(kind: str) -> str:
    """Return the score for data of a kind where none is asked for.

    >>> default_score("table"), default_score("levels")
    ('combined', 'iw')
    """
    return "combined" if kind == "table" else "iw"


def grey(x: Tensor, levels: int) -> NDArray[np.uint8]:
    """Return examples on [0, 1] as whole numbers of `levels` levels (at most 256)."""
    return (x.detach().cpu().clamp(0, 1) * (min(levels, 256) - 1)).round().to(torch.uint8).numpy()


def code_length(x: NDArray[np.uint8], levels: int) -> int:
    """Return the bits of one example, (C, H, W) or (D,), coded by zlib or as PNG, whichever is shorter.

    What every file of that kind begins with (that of one pixel) is taken off.

    >>> code_length(np.zeros((1, 28, 28), np.uint8), 256) < 200
    True
    """
    data = np.packbits(x) if levels == 2 else x
    best = len(zlib.compress(data.tobytes(), 9)) - len(zlib.compress(b"", 9))
    if x.ndim == 3 and x.shape[0] in (1, 3):
        best = min(best, len(_png(x, levels)) - len(_png(x[:, :1, :1], levels)))
    return 8 * max(best, 1)


def _png(x: NDArray[np.uint8], levels: int) -> bytes:
    from PIL import Image

    last = np.ascontiguousarray(np.moveaxis(x, 0, -1) if len(x) == 3 else x[0])
    picture = Image.fromarray(last * 255).convert("1") if levels == 2 and len(x) == 1 else Image.fromarray(last)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


# -- how good a score is -------------------------------------------------------------------------------------------


def judge(score: NDArray[np.float64], anomalous: NDArray[np.bool_]) -> dict[str, dict[str, object]]:
    """Return AUROC and AUPR, each with its 95% interval and the numbers of both kinds."""
    facts = {"n": len(score), "anomalous": int(anomalous.sum())}
    measures = {
        "auroc": (auroc, auroc_interval),
        "aupr": (average_precision, average_precision_interval),
    }
    return {
        name: {"value": value(score, anomalous), "interval": list(interval(score, anomalous)), **facts}
        for name, (value, interval) in measures.items()
    }


@dataclass(frozen=True)
class Reference:
    """Anomaly scores (M,) of examples that are taken as normal, ascending: what a new example's score is judged by.

    `of` says which examples they are: "held-out" (the validation split) or "training".

    >>> reference = Reference.of_scores(np.array([3.0, 1.0, 2.0, 4.0]), "held-out")
    >>> round(reference.threshold(0.25), 4), reference.p_values(np.array([0.0, 3.0, 9.0])).tolist()
    (3.0, [1.0, 0.6, 0.2])
    """

    scores: NDArray[np.float64]
    of: str

    @classmethod
    def of_scores(cls, scores: NDArray[np.float64], of: str) -> Reference:
        """Return scores in any order as a reference; one that is not a number counts as infinite."""
        return cls(np.sort(np.nan_to_num(scores, nan=np.inf, posinf=np.inf, neginf=-np.inf)), of)

    def threshold(self, contamination: float) -> float:
        """Return the score above which a share `contamination` of these examples lies."""
        return threshold(self.scores, contamination)

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return conformal p-values (N,): (1 + how many of the M score as high or higher) / (M + 1).

        For an example from where these came, P(p ≤ α) ≤ α, whatever the score; that holds of held-out examples, while
        training examples score too low. Source: Bates et al. 2023, "Testing for outliers with conformal p-values".
        """
        return (1 + len(self.scores) - np.searchsorted(self.scores, scores, "left")) / (len(self.scores) + 1)


def threshold(score: Sequence[float] | NDArray[np.float64], contamination: float) -> float:
    """Return a score above which a share `contamination` of these examples lies; UserError outside (0, 0.5].

    It is a millionth above one of theirs, so that rounding (of another batch, say) moves none across.

    >>> threshold([1.0, 2.0, 3.0, 4.0, 100.0], 0.2)
    4.000004
    """
    if not 0 < contamination <= 0.5:
        raise UserError(f"contamination is the share of anomalies, above 0 and at most 0.5, not {contamination:g}")
    ordered = np.sort(np.asarray(score, dtype=np.float64))
    last = len(ordered) - int(len(ordered) * contamination + 1e-9) - 1
    least, above = float(ordered[last]), float(ordered[last + 1]) if last + 1 < len(ordered) else math.inf
    return least + min((above - least) / 2, 1e-6 * max(abs(least), 1.0)) if math.isfinite(least) else least
