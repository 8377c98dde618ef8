"""Quantised posteriors: a point mass on a discrete code, so that log p(x) ≥ log p(x|c) + log p(c) is a bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit import distributed
from vaekit.conditional import apply_net
from vaekit.distributions.codes import Quantised, code_space
from vaekit.errors import UserError
from vaekit.nets.base import Widths
from vaekit.nets.mlp import mlp
from vaekit.nets.own import adapted
from vaekit.posteriors.base import POSTERIORS, Draw, Posterior

CHUNK = 1 << 24
"""Distances at once: memory stays bounded for large batches and codebooks."""


DECAY = "decay of the moving averages of the codebook and of its use"


class CodePosterior(Posterior):
    """q(c|x) = δ(c - c(x)): a network's output (D, *grid) is quantised at every place of the grid.

    `code_shape` is the codes' shape, (*grid) or (Q, *grid) for Q quantisers in a row; `usage` (Q, K) is a moving
    average of how often each code is taken, in shares that sum to 1, so that it does not depend on the batch size.
    """

    usage: Tensor

    def __init__(self, net: nn.Module, codes: int, quantisers: int, decay: float) -> None:
        net = adapted(net, self)
        super().__init__(net, params=1)
        if not 0 < decay < 1:
            raise UserError(f"model.decay={decay}: the decay of moving averages lies between 0 and 1")
        self.codes, self.quantisers, self.decay = codes, quantisers, decay
        self.space = code_space(codes)
        self.grid = net.out_shape[1:]
        self.code_shape = self.grid if quantisers == 1 else (quantisers, *self.grid)
        self.register_buffer("usage", torch.full((quantisers, codes), 1 / codes))
        self.seen: tuple[list[Tensor], Tensor] | None = None

    # -- the two directions -----------------------------------------------------------------------------------------

    def nearest(self, rows: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Quantise rows (N, D): codes (N, Q), vectors (N, D), and what each quantiser was given, (N, D) each."""
        raise TypeError(f"{type(self).__name__} does not quantise")

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the vectors (N, D) of codes (N, Q)."""
        raise TypeError(f"{type(self).__name__} has no vectors")

    def rows(self, x: Any, *rest: Any) -> tuple[Tensor, torch.Size]:
        """Return the network's output with one row a place, (N, D), and the leading shape with the grid."""
        assert self.net is not None
        out = apply_net(self.net, x, *rest)
        out = out.select(out.dim() - 1 - len(self.latent_shape), 0)
        out = out.movedim(out.dim() - len(self.latent_shape), -1)
        out = out if out.dtype == torch.float64 else out.float()
        return out.reshape(-1, self.latent_shape[0]), out.shape[:-1]

    def _places(self, rows: Tensor, shape: torch.Size) -> Tensor:
        """(N, D) → (..., D, *grid)."""
        return rows.view(*shape, -1).movedim(-1, len(shape) - len(self.grid))

    def forward(self, x: Any, *rest: Any) -> Quantised:
        """Return the point mass at the code of each example."""
        rows, shape = self.rows(x, *rest)
        codes, z, given = self.nearest(rows)
        if self.training and torch.is_grad_enabled():
            before = self.seen if distributed.part() else None  # a step in parts is seen whole
            self.seen = ([one.detach() for one in given], codes)
            if before is not None:
                self.seen = ([torch.cat(pair) for pair in zip(before[0], self.seen[0])], torch.cat([before[1], codes]))
        index = codes.view(*shape, self.quantisers).movedim(-1, len(shape) - len(self.grid))
        lead = shape[: len(shape) - len(self.grid)]
        costs = {name: one.reshape(*lead, -1).sum(-1) for name, one in self.costs(rows, codes, z, given).items()}
        straight = self._places(self.straight(rows, z), shape)
        index = index.reshape(*lead, *self.code_shape)
        return Quantised(index, straight, self.codes, len(self.code_shape), costs)

    def straight(self, rows: Tensor, z: Tensor) -> Tensor:
        """Return z with the gradient of the rows: straight through."""
        return rows + (z - rows).detach()

    def costs(self, rows: Tensor, codes: Tensor, z: Tensor, given: list[Tensor]) -> dict[str, Tensor]:
        """Return the quantiser's own costs of each row, (N,): none."""
        return {}

    def draw(self, q: Distribution, k: int, hard: bool = False) -> Draw:
        """Return the one code `k` times; the draw has the quantiser's costs, (B,)."""
        assert isinstance(q, Quantised)
        z = q.z.expand(k, *q.z.shape)
        return Draw(z, q.value.expand(k, *q.value.shape), None, q.costs)

    def embed(self, code: Tensor) -> Tensor:
        """Return the decoder's input (..., D, *grid) for codes (..., *code_shape)."""
        lead = code.shape[: code.dim() - len(self.code_shape)]
        index = code.reshape(*lead, self.quantisers, *self.grid).movedim(len(lead), -1)
        return self._places(self.vectors(index.reshape(-1, self.quantisers).long()), index.shape[:-1])

    def mean(self, q: Distribution) -> Tensor:
        """Return the code's vectors, (B, D, *grid)."""
        assert isinstance(q, Quantised)
        return q.z

    # -- what moves without gradients -------------------------------------------------------------------------------

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the averages by the batch that the last training pass saw, if any."""
        if self.seen is not None:
            given, codes = self.seen
            self.seen = None
            self.take_in(given, codes)

    def take_in(self, given: list[Tensor], codes: Tensor) -> None:
        """Move the usage towards the batch's."""
        self.usage.lerp_(self.shares(codes), 1 - self.decay)

    def shares(self, codes: Tensor) -> Tensor:
        """Return the share of the rows that took each code, (Q, K)."""
        ones = torch.ones_like(codes, dtype=self.usage.dtype).t()
        counts = torch.zeros_like(self.usage).scatter_add_(1, codes.t(), ones)  # `bincount` would wait for the device
        return distributed.all_sum(counts) / _everyones(codes)

    def start_from_examples(self, x: Any) -> None:
        """Start from training examples; default: nothing."""

    def watch(self) -> Mapping[str, Tensor]:
        """Return the codebook's perplexity, exp of the entropy of its usage, and the codes in use (mean over Q)."""
        p = self.usage / self.usage.sum(1, keepdim=True)
        entropy = -(p * p.clamp_min(1e-12).log()).sum(1)
        used = (p > 0.1 / self.codes).to(p.dtype).sum(1)
        return {"codebook.perplexity": entropy.exp().mean(), "codebook.used": used.mean()}


def _everyones(rows: Tensor) -> Tensor:
    """Return the number of rows of all processes that share the batch."""
    return distributed.all_sum(torch.full((), float(len(rows)), device=rows.device))


def _vq_example(shape: tuple[int, ...]) -> tuple[Posterior, tuple[Tensor]]:
    return VectorQuantised(mlp(3, (*shape, 2, 2), (8,)), codes=6, quantisers=2), (torch.randn(5, 3),)


@POSTERIORS.register(
    "vector-quantised",
    reference="van den Oord et al. 2017, arXiv:1711.00937; residual: Zeghidour et al. 2021, arXiv:2107.03312",
    options={
        "codes": "codes of the codebook",
        "quantisers": "quantisers in a row (residual quantisation)",
        "update": "how the codebook learns",
        "decay": DECAY,
        "revive": "share of 1/K below which a code starts again; 0: never",
    },
    example=_vq_example,
)
class VectorQuantised(CodePosterior):
    """c(x) = argmin_k ‖f(x) - e_k‖ at every place; with Q quantisers, each takes what the ones before it left over.

    Costs, nats/example, summed over places and dimensions: "commitment" Σ ‖f - sg z‖², which keeps the encoder near
    its code, and with `update` "loss" also "codebook" Σ ‖sg f - e‖². With "ema" the codebook is no parameter:
    N ← γN + (1-γ)n, m ← γm + (1-γ)s, e = m / N, n and s being each code's share of the batch and the mean over the
    batch of the vectors that took it: no batch size enters. N is smoothed where it divides, never in its buffer. A code
    whose share has fallen below `revive`/K starts again at a random output of the encoder.

    >>> q = VectorQuantised(mlp(9, (4, 3, 3)), codes=16)
    >>> draw = q.draw(q(torch.zeros(5, 9)), k=2)
    >>> draw.code.shape, draw.z.shape, draw.costs["commitment"].shape
    (torch.Size([2, 5, 3, 3]), torch.Size([2, 5, 4, 3, 3]), torch.Size([5]))
    """

    codebook: Tensor
    sums: Tensor

    def __init__(
        self,
        net: nn.Module,
        codes: PositiveInt = 256,
        update: Literal["ema", "loss"] = "ema",
        decay: float = 0.99,
        quantisers: PositiveInt = 1,
        revive: NonNegativeFloat = 0.1,
    ) -> None:
        net = adapted(net, self)
        super().__init__(net, codes, quantisers, decay)
        self.update, self.revive = update, revive
        start = torch.randn(quantisers, codes, net.out_shape[0]) / math.sqrt(net.out_shape[0])
        if update == "loss":
            self.codebook = nn.Parameter(start)
        else:
            self.register_buffer("codebook", start)
            self.register_buffer("sums", start / codes)

    def _closest(self, rows: Tensor, q: int) -> Tensor:
        """Return the nearest code of each row, (N,): argmin ‖e‖² - 2 r·e."""
        book = self.codebook[q].detach()
        norms = book.square().sum(1)
        # a program's number of rows is free, and so has no number of parts
        parts = (rows,) if torch.compiler.is_exporting() else rows.split(max(1, CHUNK // self.codes))
        return torch.cat([torch.addmm(norms, part, book.t(), alpha=-2).argmin(1) for part in parts])

    def nearest(self, rows: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Quantise, each quantiser taking what those before it left."""
        rest = rows.detach()
        codes, given = [], []
        z = torch.zeros_like(rest)
        for q in range(self.quantisers):
            code = self._closest(rest, q)
            chosen = self.codebook[q].detach()[code]
            codes.append(code)
            given.append(rest)
            z, rest = z + chosen, rest - chosen
        return torch.stack(codes, 1), z, given

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the sum of the quantisers' vectors."""
        return torch.stack([self.codebook[q][one] for q, one in enumerate(codes.unbind(1))]).sum(0)

    def costs(self, rows: Tensor, codes: Tensor, z: Tensor, given: list[Tensor]) -> dict[str, Tensor]:
        """Return the commitment, and the codebook's loss where it learns by one."""
        out = {"commitment": (rows - z).square().sum(1)}
        if self.update == "loss":
            off = [(one - F.embedding(codes[:, q], self.codebook[q])).square().sum(1) for q, one in enumerate(given)]
            out["codebook"] = torch.stack(off).sum(0)
        return out

    def take_in(self, given: list[Tensor], codes: Tensor) -> None:
        """Move usage and codebook towards the batch, then revive dead codes."""
        super().take_in(given, codes)
        if self.update == "ema":
            for q, rows in enumerate(given):
                sums = torch.zeros_like(self.sums[q]).index_add_(0, codes[:, q], rows)
                self.sums[q].lerp_(distributed.all_sum(sums) / _everyones(rows), 1 - self.decay)
            small = 1e-3 / self.codes
            total = self.usage.sum(1, keepdim=True)
            share = (self.usage + small) / (total + self.codes * small) * total
            self.codebook.copy_(self.sums / share.unsqueeze(2))
        if self.revive > 0:
            self._revive(given)

    def _revive(self, given: list[Tensor]) -> None:
        for q, rows in enumerate(given):
            dead = (self.usage[q] < self.revive / self.codes).unsqueeze(1)
            # As many as there are codes are drawn at every step, so that nothing waits to know how many are dead.
            fresh = distributed.some(rows, self.codes, math.prod(self.grid))
            self.codebook.data[q] = torch.where(dead, fresh, self.codebook[q])
            self.usage[q] = torch.where(dead.squeeze(1), 1 / self.codes, self.usage[q])
            if self.update == "ema":
                self.sums[q] = torch.where(dead, fresh / self.codes, self.sums[q])

    @torch.no_grad()
    def start_from_examples(self, x: Any) -> None:
        """Start each codebook at the k-means of what it would be given, on these examples."""
        rest, _ = self.rows(x)
        for q in range(self.quantisers):
            centres, share = k_means(rest, self.codes)
            self.codebook.data[q] = centres
            self.usage[q] = share
            if self.update == "ema":
                self.sums[q] = centres * share.unsqueeze(1)
            rest = rest - centres[self._closest(rest, q)]


def k_means(rows: Tensor, k: int, steps: int = 10, most: int = 20_000) -> tuple[Tensor, Tensor]:
    """Return `k` centres (k, D) of rows (N, D) by k-means++ and Lloyd's steps, and each one's share of the rows.

    A centre that no row is nearest to stays where it is with a share of 1/k before the shares are made to sum to 1:
    at the start every code is given its chance.

    >>> centres, share = k_means(torch.tensor([[0.0], [0.2], [4.0], [4.2]]), 2)
    >>> sorted(round(c, 3) for c in centres.flatten().tolist()), share.tolist()
    ([0.1, 4.1], [0.5, 0.5])
    """
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(rows), generator=generator).to(rows.device)
    rows = rows[order[:most]]
    centres = _far_apart(rows, k, generator)
    counts = torch.zeros(k, dtype=rows.dtype, device=rows.device)
    for _ in range(steps):
        nearest = torch.addmm(centres.square().sum(1), rows, centres.t(), alpha=-2).argmin(1)
        counts = torch.bincount(nearest, minlength=k).to(rows.dtype)
        sums = torch.zeros_like(centres).index_add_(0, nearest, rows)
        centres = torch.where(counts.unsqueeze(1) > 0, sums / counts.clamp_min(1).unsqueeze(1), centres)
    share = torch.where(counts > 0, counts / len(rows), 1 / k)
    return centres, share / share.sum()


def _far_apart(rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Return `k` rows, each drawn in proportion to its squared distance from those before it (Arthur et al. 2007)."""
    tiny = 1e-12 + 1e-6 * rows.var(0, correction=0).sum()  # so that there are always rows to draw
    centres = [rows[0]]
    nearest = torch.full((len(rows),), torch.inf, dtype=rows.dtype, device=rows.device)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (rows - centres[-1]).square().sum(1))
        at = torch.multinomial((nearest + tiny).cpu().double(), 1, generator=generator).item()
        centres.append(rows[int(at)])
    return torch.stack(centres)


def _fsq_example(shape: tuple[int, ...]) -> tuple[Posterior, tuple[Tensor]]:
    return FiniteScalar(mlp(3, (2, *shape), (8,)), levels=(4, 3)), (torch.randn(5, 3),)


@POSTERIORS.register(
    "finite-scalar",
    reference="Mentzer et al. 2023, arXiv:2309.15505",
    options={"levels": "values of each number of a code", "decay": DECAY},
    example=_fsq_example,
)
class FiniteScalar(CodePosterior):
    """Each of the D outputs at a place is squashed and rounded to L_d values: Π L_d codes and no codebook to learn.

    u_d = (L_d - 1)(tanh f_d + 1)/2, rounded to i_d with the gradient straight through; z_d = 2 i_d/(L_d - 1) - 1 and
    c = Σ_d i_d Π_{e<d} L_e. There is nothing to commit to and no code to revive.

    >>> q = FiniteScalar(mlp(9, (2, 3, 3)), levels=(8, 5))
    >>> code = q(torch.zeros(5, 9)).value
    >>> q.codes, code.shape, q.embed(code).shape
    (40, torch.Size([5, 3, 3]), torch.Size([5, 2, 3, 3]))
    """

    steps: Tensor
    radix: Tensor

    def __init__(self, net: nn.Module, levels: Widths | None = None, decay: float = 0.99) -> None:
        net = adapted(net, self)
        levels = (8,) * net.out_shape[0] if levels is None else tuple(levels)
        if len(levels) != net.out_shape[0] or min(levels) < 2:
            raise UserError(f"model.levels={list(levels)}: give {net.out_shape[0]} numbers of at least 2")
        if math.prod(levels) > 1 << 20:
            raise UserError(f"model.levels={list(levels)} make {math.prod(levels)} codes; use fewer or smaller levels")
        super().__init__(net, math.prod(levels), 1, decay)
        radix = [math.prod(levels[:d]) for d in range(len(levels))]
        self.register_buffer("steps", torch.tensor(levels) - 1, persistent=False)
        self.register_buffer("radix", torch.tensor(radix), persistent=False)

    def nearest(self, rows: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Round."""
        index = ((rows.detach().tanh() + 1) / 2 * self.steps).round().long()
        z = 2 * index.to(rows.dtype) / self.steps - 1
        return (index * self.radix).sum(1, keepdim=True), z, []

    def straight(self, rows: Tensor, z: Tensor) -> Tensor:
        """Return z with the gradient of tanh f."""
        soft = rows.tanh()
        return soft + (z - soft).detach()

    def vectors(self, codes: Tensor) -> Tensor:
        """Return the values of each code's digits."""
        index = codes // self.radix % (self.steps + 1)
        return 2 * index.to(self.usage.dtype) / self.steps - 1
