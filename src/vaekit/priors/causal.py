"""A prior of concepts that cause one another: mechanisms over a directed acyclic graph, which is found exactly."""

from __future__ import annotations

import math
from itertools import combinations, pairwise

import torch
from torch import Tensor, nn
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.distributions.normal import LOG_2PI, bounded_log_scale
from vaekit.errors import UserError
from vaekit.nets.base import activation
from vaekit.priors.base import Prior

MOST = 6
"""Concepts of which all sets of parents are kept: 6 have 192 mechanisms."""


class Mechanisms(nn.Module):
    """p(u_i | u_S) = N(f_i(u_S), σ_{i,S}²) of each concept i and each set S of other ones, u (..., n) → (..., n).

    f_i is one network that sees u with what is not in S set to 0, and which that is; σ is a number of each i and S.
    """

    def __init__(self, concepts: int, hidden: int = 32, act: str = "silu") -> None:
        super().__init__()
        self.concepts = concepts
        widths = (2 * concepts, hidden, hidden, 1)
        self.weights = nn.ParameterList(
            nn.Parameter((2 * torch.rand(concepts, a, b) - 1) / math.sqrt(a)) for a, b in pairwise(widths)
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(concepts, 1, b)) for b in widths[1:])
        self.scales = nn.Parameter(torch.zeros(concepts, 2**concepts))
        self.act = activation(act)

    def forward(self, u: Tensor, parents: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (..., n) and log σ (n,) of every concept given its `parents` (n, n): row i has those of i."""
        lead, n = u.shape[:-1], self.concepts
        mask = parents.to(u.dtype).unsqueeze(1)  # (n, 1, n)
        flat = u.reshape(1, -1, n)
        h = torch.cat([flat * mask, mask.expand(n, flat.shape[1], n)], -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases)):
            h = torch.baddbmm(bias, self.act(h) if layer else h, weight)
        number = (parents.long() << torch.arange(n, device=parents.device)).sum(1, keepdim=True)
        return h.squeeze(-1).T.reshape(*lead, n), bounded_log_scale(self.scales.gather(1, number).squeeze(1))


class CausalFamily(Family):
    """p(u) p(r) = Π_i N(u_i; f_i(u_pa(i)), σ_i²) · N(r; 0, I) of codes (u, r) side by side, over an acyclic graph."""

    def __init__(self, mechanisms: Mechanisms, parents: Tensor, rest: int, temperature: float = 1.0) -> None:
        self.mechanisms, self.parents, self.rest, self.temperature = mechanisms, parents, rest, temperature
        super().__init__(SCALAR, torch.Size((mechanisms.concepts + rest,)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density, nats."""
        n, log_t = self.mechanisms.concepts, math.log(self.temperature)
        loc, log_scale = self.mechanisms(value[..., :n], self.parents)
        noise = torch.cat([(value[..., :n] - loc) * torch.exp(-log_scale), value[..., n:]], -1) / self.temperature
        return -0.5 * (noise * noise + LOG_2PI).sum(-1) - log_scale.sum() - (n + self.rest) * log_t

    def rsample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw noise, then every concept after its parents."""
        like = self.mechanisms.scales
        shape = (*sample_shape, self.mechanisms.concepts + self.rest)
        return self.at(self.temperature * torch.randn(shape, dtype=like.dtype, device=like.device))

    def at(self, noise: Tensor) -> Tensor:
        """Return the code of noise (..., n + rest): u_i = f_i(u_pa(i)) + σ_i e_i, in a causal order."""
        n = self.mechanisms.concepts
        u = torch.zeros_like(noise[..., :n])
        for i in causal_order(self.parents):
            loc, log_scale = self.mechanisms(u, self.parents)
            own = loc[..., i] + log_scale[i].exp() * noise[..., i]
            u = torch.cat([u[..., :i], own.unsqueeze(-1), u[..., i + 1 :]], -1)
        return torch.cat([u, noise[..., n:]], -1)

    def tempered(self, temperature: float) -> CausalFamily:
        """Return the family with every noise multiplied by `temperature`."""
        return CausalFamily(self.mechanisms, self.parents, self.rest, self.temperature * temperature)


def causal_order(parents: Tensor) -> list[int]:
    """Return the concepts with every one after its parents (n, n), row i having those of i.

    >>> causal_order(torch.tensor([[False, True], [False, False]]))
    [1, 0]
    """
    rows, out = parents.tolist(), list[int]()
    while len(out) < len(rows):
        free = [
            i for i, row in enumerate(rows) if i not in out and all(j in out for j, is_one in enumerate(row) if is_one)
        ]
        if not free:
            raise ValueError("the graph has a cycle")
        out.append(free[0])
    return out


def best_graph(scores: Tensor, edge: float) -> Tensor:
    """Return the acyclic graph (n, n) with the highest Σ_i score(i, pa(i)) less `edge` an edge; row i: parents of i.

    `scores` (n, 2ⁿ): entry (i, S), S read as bits, is the mean log p(u_i | u_S). It is exact, over all orders, by
    dynamic programming over the sets of concepts that come first.

    Source: Silander & Myllymäki 2006, arXiv:1206.6875.

    >>> scores = torch.zeros(2, 4)
    >>> scores[1, 1] = 1.0  # concept 1 is much better known from concept 0
    >>> best_graph(scores, 0.1).tolist()
    [[False, False], [True, False]]
    """
    n, table = len(scores), scores.double().tolist()

    def chosen(i: int, allowed: int) -> tuple[float, int]:
        best = (-math.inf, 0)
        for s in range(allowed + 1):
            if s & ~allowed == 0:
                best = max(best, (table[i][s] - edge * bin(s).count("1"), -s))
        return best[0], -best[1]

    done: dict[int, tuple[float, list[int]]] = {0: (0.0, [0] * n)}
    for count in range(1, n + 1):
        for members in combinations(range(n), count):
            whole = sum(1 << i for i in members)
            options = []
            for last in members:
                before, sets = done[whole & ~(1 << last)]
                value, own = chosen(last, whole & ~(1 << last))
                options.append((before + value, [*sets[:last], own, *sets[last + 1 :]]))
            done[whole] = max(options, key=lambda option: option[0])
    sets = done[2**n - 1][1]
    return torch.tensor([[bool(s >> j & 1) for j in range(n)] for s in sets])


class CausalPrior(Prior):
    """p(u) over a learned graph of n concepts, in their standardised units, beside `rest` standard normal numbers r.

    The graph is the best one (`best_graph`) by how well labelled examples' concepts are predicted from others, of which
    `told` keeps a running mean; `edge` is what an edge must be worth, nats an example. It is acyclic at all times, so
    p(u) is a density whichever graph it is, and every bound holds.

    >>> prior = CausalPrior(3, 2)
    >>> prior().sample((5,)).shape, prior().log_prob(torch.zeros(4, 5)).shape
    (torch.Size([5, 5]), torch.Size([4]))
    """

    parents: Tensor
    means: Tensor
    seen: Tensor

    def __init__(self, concepts: int, rest: int, hidden: int = 32, edge: float = 0.1, act: str = "silu") -> None:
        super().__init__()
        if not 2 <= concepts <= MOST:
            raise UserError(f"a causal graph is found among 2 to {MOST} concepts, and these are {concepts}")
        self.mechanisms = Mechanisms(concepts, hidden, act)
        self.concepts, self.rest, self.edge = concepts, rest, edge
        self.register_buffer("parents", torch.zeros(concepts, concepts, dtype=torch.bool))
        self.register_buffer("means", torch.zeros(concepts, 2**concepts))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self) -> CausalFamily:
        """Return p(u, r) over the graph as it is."""
        return CausalFamily(self.mechanisms, self.parents, self.rest)

    def every(self, u: Tensor) -> Tensor:
        """Return log p(u_i | u_S) of concepts u (B, n) for each i and set S of others, (B, n, 2ⁿ); 0 if i is in S."""
        n, out = self.concepts, list[Tensor]()
        for s in range(2**n):
            row = torch.tensor([bool(s >> j & 1) for j in range(n)], device=u.device)
            loc, log_scale = self.mechanisms(u, row.expand(n, n) & ~torch.eye(n, dtype=torch.bool, device=u.device))
            each = -0.5 * (((u - loc) * torch.exp(-log_scale)).square() + LOG_2PI) - log_scale
            out.append(torch.where(row, torch.zeros_like(each), each))
        return torch.stack(out, -1)

    @torch.no_grad()
    def hear(self, scores: Tensor, some: Tensor, decay: float = 0.98) -> None:
        """Take mean scores (n, 2ⁿ) of a batch's labelled concepts, if there are `some`, into the running mean."""
        weight = (1 - decay) * some.to(self.means)
        self.means.lerp_(scores.to(self.means), weight)
        self.seen.lerp_(torch.ones_like(self.seen), weight)

    @torch.no_grad()
    def search(self) -> None:
        """Make the graph the best one by what was heard."""
        if float(self.seen) > 0:
            self.parents.copy_(best_graph((self.means / self.seen).cpu(), self.edge))
