"""A class from a few of its examples: what a new one is worth under each class, and which class it is of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit import bounds
from vaekit.bounds import ROWS
from vaekit.devices import device_of
from vaekit.distributions.normal import DiagonalNormalFamily
from vaekit.errors import UserError
from vaekit.inference import batched, batches, joined
from vaekit.models.base import Model

By = Literal["context", "likelihood"]


def has_context(model: Model) -> bool:
    """Return whether a model has a context that the members of a set share."""
    return model.offers(Model.log_given)


@dataclass(frozen=True)
class Episode:
    """N examples of each class as its support, row numbers (C, N) by class `classes` (C,), and the `others`, (M,)."""

    classes: np.ndarray
    support: np.ndarray
    others: np.ndarray


def episode(y: np.ndarray, shots: int, seed: int = 0) -> Episode:
    """Draw `shots` different examples of every class of labels y (N,), of which -1 is none; the rest are the others.

    Raises:
        UserError: a class has no examples left, or there are no two classes.

    >>> made = episode(np.array([0, 0, 0, 2, 2, 2, -1]), 2)
    >>> made.classes.tolist(), made.support.shape, len(made.others)
    ([0, 2], (2, 2), 2)
    """
    classes, counts = np.unique(y[y >= 0], return_counts=True)
    if shots < 1:
        raise UserError(f"shots must be at least 1, not {shots}")
    if len(classes) < 2:
        raise UserError(f"few-shot classification needs examples of two classes; the data have {len(classes)}")
    if counts.min() <= shots:
        raise UserError(
            f"class {classes[counts.argmin()]} has {counts.min()} examples, so {shots} leave none to classify; ask for "
            f"fewer than {counts.min()} shots"
        )
    rng = np.random.default_rng(seed)
    support = np.stack([rng.choice(np.flatnonzero(y == c), shots, replace=False) for c in classes])
    return Episode(classes, support, np.setdiff1d(np.flatnonzero(y >= 0), support))


def log_given(
    model: Model, x: Any, sets: Tensor, *, k: int = 100, seed: int = 0, within: Tensor | None = None
) -> Tensor:
    """Return log p(x|X) of examples x (N, *shape) given each of S sets (S, M, *shape), (N, S) nats, from `k` samples.

    A model of sets has it (`SetVAE.log_given`). One with a single latent is given class means: p(z|X) is normal around
    the mean of the set's codes, with the variance `within` (D,) of codes around their class's mean (`spread_within`)
    and that of a mean of M; then log (1/K) Σ_k p(x|z_k) p(z_k|X) / q(z_k|x), z_k ~ q(z|x).
    """
    if has_context(model):
        rows = max(1, ROWS // (k * len(sets)))

        def given(part: Any, _: Tensor | None) -> Tensor:
            return model.log_given(part, sets.to(part.device), k)
    else:
        rows = max(1, ROWS // k)
        means = _means(model, sets)
        if within is None:
            raise UserError("a model without contexts needs the spread of codes within a class")
        prior = DiagonalNormalFamily(means, (within * (1 + 1 / sets.shape[1])).log().div(2).expand_as(means))

        def given(part: Any, _: Tensor | None) -> Tensor:
            q = model.encode(part)
            z = q.sample(torch.Size((k,)))
            at = DiagonalNormalFamily(prior.loc.to(z), prior.log_scale.to(z)).log_prob(z.unsqueeze(2))
            log_w = (model.decode(z).log_prob(part) - q.log_prob(z)).unsqueeze(2) + at
            return log_w.logsumexp(0) - math.log(k)

    return batched(model, given, x, size=rows, seed=seed)


def spread_within(model: Model, x: Any, y: Tensor) -> Tensor:
    """Return the variance of codes z ~ q(z|x) around the mean of their class, (D,), over labelled examples.

    Raises:
        UserError: the model has no single normal code of an example without its label.
    """
    if model.takes_label:
        raise UserError("class means are of codes of examples without labels, and this model is given the label")
    with torch.no_grad():
        trace = model.trace(next(batches(model, x[:2]))[0], hard=True)
    bounds.require(trace)
    (latent, *more) = trace.latents.values()
    if more or not model.offers(Model.log_joint) or not isinstance(latent.q, DiagonalNormalFamily):
        raise UserError("class means of codes need a model with one latent, a diagonal normal")
    moments = joined([_moments(model, part) for part, _ in batches(model, x)])
    mean, variance = moments.unbind(-1)
    centred = torch.cat([mean[y == c] - mean[y == c].mean(0) for c in y.unique()])
    return centred.square().mean(0) + variance.mean(0)


def _moments(model: Model, x: Any) -> Tensor:
    q = model.encode(x)
    return torch.stack([q.mean.flatten(1), q.variance.flatten(1)], -1)


def _means(model: Model, sets: Tensor) -> Tensor:
    """Return the mean of each set's posterior means, (S, D)."""
    codes = joined([model.features(part) for part, _ in batches(model, sets.flatten(0, 1))])
    return codes.unflatten(0, sets.shape[:2]).mean(1)


def log_shared(model: Model, x: Any, sets: Tensor, within: Tensor | None = None) -> Tensor:
    """Return how much what is inferred of an example speaks for its being of a set, (N, S) nats.

    Of a model of sets log ∫ q(c|x) q(c|X) / p(c) dc, in closed form: where the posteriors are true ones it is
    log p(x, X) - log p(x) - log p(X), what x and X gain by one context for both. Of another model it is the log-density
    of x's code under the class mean's normal (see `log_given`), but for a constant.
    """
    if has_context(model):
        q = _normal(model.encode(sets.to(device_of(model))))
        return joined([same_context(_normal(model.encode(part)), q) for part, _ in batches(model, x)])
    assert within is not None
    codes = joined([model.features(part) for part, _ in batches(model, x)])
    off = codes.unsqueeze(1) - _means(model, sets)
    return -0.5 * (off.square() / (within.cpu() * (1 + 1 / sets.shape[1]))).sum(-1)


def _normal(q: Distribution) -> DiagonalNormalFamily:
    if not isinstance(q, DiagonalNormalFamily):
        raise UserError("contexts are compared as diagonal normals, and this model's are not")
    return q


def same_context(a: DiagonalNormalFamily, b: DiagonalNormalFamily) -> Tensor:
    """Return log ∫ a(c) b(c) / N(c; 0, I) dc for each pair of normals, batch shapes (N,) and (S,): (N, S).

    >>> p = DiagonalNormalFamily(torch.zeros(1, 3), torch.zeros(1, 3))
    >>> same_context(p, p).item()  # the prior says nothing of either
    0.0
    """
    m, v = a.loc.unsqueeze(1), a.variance.unsqueeze(1)
    precision = (1 / v + 1 / b.variance - 1).clamp(min=1e-3)
    pull = m / v + b.loc / b.variance
    exponent = pull.square() / precision - m.square() / v - b.loc.square() / b.variance
    return 0.5 * (exponent - precision.log() - v.log() - b.variance.log()).sum(-1)


def set_log_likelihood(model: Model, sets: Tensor, k: int = 500) -> Tensor:
    """Return the importance-weighted bound on log p(X) of sets (S, N, *shape), (S,) nats a set."""
    rows = max(1, ROWS // sets.shape[1])
    return torch.cat([bounds.log_likelihood(model, part, k=k, rows=rows).values for part in sets.split(50)]).cpu()
