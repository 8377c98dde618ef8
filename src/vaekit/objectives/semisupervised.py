"""The terms of M2: bounds for hidden and for shown labels, and the classifier's own loss on the shown ones.

They read `hidden` (B,) and `log_qy` (B, C) of a `SemiSupervisedTrace`. Source: Kingma et al. 2014,
arXiv:1406.5298, eqs. 6-9.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit import distributed
from vaekit.bounds import elbo
from vaekit.objectives.base import OBJECTIVES, Term
from vaekit.trace import SemiSupervisedTrace, Trace, require_trace


def mean_where(value: Tensor, mask: Tensor) -> Tensor:
    """Mean of `value` (B,) over the rows in `mask`; 0 where there are none."""
    total = torch.where(mask, value, torch.zeros_like(value)).sum()
    return distributed.all_sum(total) / distributed.all_sum(mask.sum().to(total.dtype)).clamp(min=1)


def _labelled(trace: Trace, term: Term) -> SemiSupervisedTrace:
    return require_trace(trace, SemiSupervisedTrace, f"the term '{term.name}'")


@OBJECTIVES.register("hidden-labels", reference="Kingma et al. 2014, arXiv:1406.5298, eq. 7")
class HiddenLabels(Term):
    """U(x), the negative bound on log p(x) with the label summed over: the mean over examples with hidden labels."""

    name = "hidden"

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean of U."""
        return mean_where(-elbo(trace), _labelled(trace, self).hidden)


@OBJECTIVES.register("shown-labels", reference="Kingma et al. 2014, arXiv:1406.5298, eq. 6")
class ShownLabels(Term):
    """L(x, y), the negative bound on log p(x, y): the mean over examples with shown labels.

    Its weight is the share of the data whose label is shown, N_l/N, when batches show labels more often than that.
    """

    name = "shown"

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean of L."""
        return mean_where(-elbo(trace), ~_labelled(trace, self).hidden)


@OBJECTIVES.register("classification", reference="Kingma et al. 2014, arXiv:1406.5298, eq. 9")
class Classification(Term):
    """-log q(y|x), nats: the mean over examples with shown labels.

    The bound on log p(x, y) leaves q(y|x) untrained where y is shown; this is the paper's remedy. Its weight is α/N of
    the paper's (which sets α = 0.1 N).
    """

    name = "classification"

    def forward(self, trace: Trace) -> Tensor:
        """Return the mean cross-entropy."""
        labelled = _labelled(trace, self)
        hidden = labelled.hidden
        y = torch.zeros_like(hidden, dtype=torch.int64) if trace.y is None else trace.y.clamp(min=0)
        return mean_where(-labelled.log_qy.gather(1, y.unsqueeze(1)).squeeze(1), ~hidden)
