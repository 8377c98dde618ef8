"""An example's anomaly score beside those of the test examples: minus the ELBO, or the squared error without one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from vaekit import bounds
from vaekit.models.base import Model

SAMPLES = 8
BINS = 40


class Scorer:
    """Scores and their distribution. With a bound the score is -ELBO(x), nats, the mean over 8 posterior samples.

    Where the model bounds nothing (`refused` says why), or an example lies outside the likelihood's support, there is
    no such number: the score is then Σ (x - reconstruction)² for every example, of its `values` in the data's units.
    """

    def __init__(self, model: Model, refused: str | None, values: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        self.model = model
        self.values = values
        self.refused = refused
        self.known = np.empty(0)
        """Scores of the test examples, in order; empty until they are computed."""

    @property
    def name(self) -> str:
        """What the score is."""
        return "−ELBO, nats" if self.refused is None else "squared error"

    def of(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return the scores of prepared examples, (B,)."""
        if self.refused is not None:
            off = self.values(x) - self.values(self.model.reconstruct(x, y))
            return off.square().flatten(1).sum(1)
        return -bounds.elbo(self.model.trace(x, y, k=SAMPLES, hard=True))

    def one(self, x: Tensor, y: Tensor | None) -> dict[str, Any]:
        """Return an example's ELBO with its two terms, or why it has none, and its score with its percentile."""
        refused, elbo, terms = self.refused, None, None
        if refused is None:
            trace = self.model.trace(x, y, k=SAMPLES, hard=True)
            refused = bounds.refusal(trace)
            if refused is None:
                elbo = float(bounds.elbo(trace).mean())
                log_px = float(trace.log_px.mean())
                terms = {"reconstruction": log_px, "kl": log_px - elbo}
        score = -elbo if elbo is not None else float(self.of(x, y)[0]) if self.refused is not None else None
        lower = None  # per cent of the test examples that score lower
        if score is not None and len(self.known):
            lower = 100.0 * float(np.searchsorted(self.known, score)) / len(self.known)
        out = {"elbo": elbo, "terms": terms, "refused": refused, "score": score, "score_name": self.name}
        return out | {"percentile": lower}

    def histogram(self) -> dict[str, Any]:
        """Return counts and edges over the test examples, the outermost half per cent in the end bins."""
        if not len(self.known):
            return {"name": self.name, "n": 0, "counts": [], "edges": []}
        low, high = np.quantile(self.known, [0.005, 0.995])
        high = high if high > low else low + 1.0
        counts, edges = np.histogram(np.clip(self.known, low, high), BINS, (low, high))
        return {"name": self.name, "n": len(self.known), "counts": counts.tolist(), "edges": edges.tolist()}
