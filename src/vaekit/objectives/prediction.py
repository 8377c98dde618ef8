"""The term of a model that predicts a number of each example from its latent."""

from __future__ import annotations

from torch import Tensor

from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.trace import PredictiveTrace, Trace, require_trace


@OBJECTIVES.register("prediction", reference="Gómez-Bombarelli et al. 2018, arXiv:1610.02415, §2.3")
class Prediction(Term):
    """-E_q[log p(t|z)], (B,) nats, of a `PredictiveVAE`: with the negative ELBO, a bound on -log p(x, t).

    Source: Gómez-Bombarelli et al. 2018, arXiv:1610.02415, §2.3.
    """

    name = "prediction"

    def forward(self, trace: Trace) -> Tensor:
        """Return -E_q[log p(t|z)]; 0 where no labels were given."""
        log_pt = require_trace(trace, PredictiveTrace, "the term 'prediction'").log_pt
        return 0 * trace.log_px.mean(0) if log_pt is None else -log_pt.mean(0)
