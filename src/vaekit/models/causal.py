"""A VAE whose latents are concepts that cause one another, with interventions and counterfactuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from vaekit import distributed
from vaekit.conditional import Likelihood
from vaekit.models.vae import VAE
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.causal import CausalPrior, causal_order
from vaekit.trace import ConceptTrace, extended

SEARCHED = 25
"""Steps between searches of the graph."""


class CausalVAE(VAE):
    """p(u) p(r) p(x|u, r): u are n concepts with a learned graph of causes and mechanisms, r is all else.

    The first n numbers of a code are the concepts, in the standardised units of their labels. Some examples have
    labels y (B, 2n), each concept's value with a 1 beside it where it is known: they teach q(u|x) what the concepts
    are, and the prior its graph and mechanisms. The bound is one on log p(x), labels or none.

    Source: Yang et al. 2021, arXiv:2004.08697; concepts as observed causes, with a non-linear additive mechanism each.

    >>> from vaekit.likelihoods.gaussian import Gaussian
    >>> from vaekit.nets.mlp import mlp
    >>> model = CausalVAE(DiagonalNormal(mlp(8, 5)), CausalPrior(3, 2), Gaussian(mlp(5, 8)))
    >>> model.intervene(torch.zeros(4, 8), {0: torch.ones(4)}).mean.shape
    torch.Size([4, 8])
    """

    prior: CausalPrior

    def __init__(self, posterior: DiagonalNormal, prior: CausalPrior, likelihood: Likelihood) -> None:
        super().__init__(posterior, prior, likelihood)

    @property
    def concepts(self) -> int:
        """How many concepts there are."""
        return self.prior.concepts

    def concept_graph(self) -> Tensor:
        """Return the edges (n, n): [i, j] says that concept i is a cause of concept j."""
        return self.prior.parents.T

    def trace_concepts(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> ConceptTrace:
        """Trace examples, and score the concepts that are labelled under q(u|x) and under every mechanism."""
        trace, n = self.trace(x, None, k, hard), self.concepts
        y = trace.log_px.new_zeros(len(x), 2 * n) if y is None else y
        value, known = y[:, ::2], y[:, 1::2] > 0.5
        q = trace.latents["z"].q
        off = (value - q.loc[:, :n]) * torch.exp(-q.log_scale[:, :n])  # type: ignore[attr-defined]
        log_qy = (-0.5 * off.square() - q.log_scale[:, :n]) * known  # type: ignore[attr-defined]
        whole = known.all(1)
        every = self.prior.every(value)
        if self.training and y is not None:
            share = distributed.mean_rows(whole.to(every.dtype))
            total = distributed.mean_rows((every * whole.view(-1, 1, 1)).detach())
            self.prior.hear(total / share.clamp(min=1e-9), share > 0)
        log_py = every.flatten(1).mean(1) * every.shape[1]
        return extended(trace, ConceptTrace, log_qy=log_qy.sum(1), log_py=log_py, shown=known.any(1), whole=whole)

    def after_step(self, step: int) -> None:
        """Search the graph anew now and then."""
        if step % SEARCHED == SEARCHED - 1:
            self.prior.search()

    def intervene(self, x: Any, values: Mapping[int, Tensor], y: Tensor | None = None) -> Distribution:
        """Return p(x|u', r), had the concepts `values` (numbers to (B,)) been set and all noise been the same.

        Abduction, action, prediction: u is the mean of q(u|x) and e_i = u_i - f_i(u_pa) its noise; what is set is set,
        and every other concept is f_i(u'_pa) + e_i, causes first. What is no effect of what was set stays as it is.

        Source: Pearl 2009, Causality, §7.1.
        """
        z = self.posterior_mean(x)
        return self.decode(torch.cat([self.counterfactual(z[:, : self.concepts], values), z[:, self.concepts :]], 1))

    def counterfactual(self, u: Tensor, values: Mapping[int, Tensor]) -> Tensor:
        """Return the concepts (B, n) had some been set and all noise been the same."""
        parents, mechanisms = self.prior.parents, self.prior.mechanisms
        noise = u - mechanisms(u, parents)[0]
        after = u.clone()
        for i in causal_order(parents):
            if i in values:
                after[:, i] = values[i]
            elif bool(parents[i].any()):
                after[:, i] = mechanisms(after, parents)[0][:, i] + noise[:, i]
        return after
