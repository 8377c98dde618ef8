"""The terms of labelled concepts: what they are, and how they cause one another."""

from __future__ import annotations

from torch import Tensor

from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.objectives.semisupervised import mean_where
from vaekit.trace import ConceptTrace, Trace, require_trace


@OBJECTIVES.register("concepts", reference="Yang et al. 2021, arXiv:2004.08697, §3.3")
class Concepts(Term):
    """-log q(u = y|x) of the concepts that are labelled, nats a labelled example; 0 in a batch without any."""

    name = "concepts"

    def forward(self, trace: Trace) -> Tensor:
        """Return -log q(u = y|x), less a constant."""
        found = require_trace(trace, ConceptTrace, "the term 'concepts'")
        return mean_where(-found.log_qy, found.shown)


@OBJECTIVES.register("mechanisms", reference="Peters et al. 2014, arXiv:1309.6779")
class MechanismFit(Term):
    """-Σ_i log p(y_i | y_S), averaged over all sets S, of examples whose every concept is labelled, nats an example."""

    name = "mechanisms"

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean over sets of parents."""
        found = require_trace(trace, ConceptTrace, "the term 'mechanisms'")
        return mean_where(-found.log_py, found.whole)
