"""Hierarchies whose inference goes top-down, through the generative path: blocks that each own their p and their q."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from vaekit.conditional import Likelihood, apply_net
from vaekit.distributions.normal import DiagonalNormalFamily, StandardNormalFamily, bounded_log_scale
from vaekit.errors import UserError
from vaekit.models.hierarchy import Choose, Hierarchy, Visit, level_names
from vaekit.nets.base import Net, activation, size
from vaekit.nets.mlp import BatchNorm
from vaekit.nets.stream import Bottleneck, Grid, start, unpool


class Step(NamedTuple):
    """What a block gives before its z is known: p, q where there is evidence, and the state to go on from."""

    p: DiagonalNormalFamily
    q: DiagonalNormalFamily | None
    state: Tensor | None


class Block(nn.Module):
    """One level: its prior p(z_l | z_>l), its posterior q(z_l | z_>l, x), and how its z changes the state below it.

    The state is what the levels above computed; None before the top. `level` is the index of the evidence it reads.
    """

    shape: tuple[int, ...]
    level: int = 0

    @abstractmethod
    def forward(self, state: Tensor | None, evidence: Tensor | None = None) -> Step:
        """Return p, q (None without evidence) and the state."""

    @abstractmethod
    def update(self, state: Tensor | None, z: Tensor) -> Tensor:
        """Return the state below this level."""


class TopDown(Hierarchy):
    """p(z_L) Π p(z_l | z_>l) p(x|z) and q(z_L|x) Π q(z_l | z_>l, x): both go down through the same blocks.

    `up` turns x into a list of evidence, `blocks` (top first) read it, the likelihood takes the last state.

    Source: Sønderby et al. 2016, arXiv:1602.02282; Child 2021, arXiv:2011.10650.
    """

    def __init__(self, up: nn.Module, blocks: Sequence[Block], likelihood: Likelihood) -> None:
        super().__init__()
        self.up = up
        self.blocks = nn.ModuleList(blocks)
        self.likelihood = likelihood
        self.names = level_names(len(blocks))
        self.shapes = [block.shape for block in blocks]

    def each(self) -> Iterator[Block]:
        """Return the blocks, top first."""
        return iter(cast(Sequence[Block], self.blocks))

    def visits(self, x: Any, take: Callable[[DiagonalNormalFamily], Tensor]) -> tuple[list[Visit], Tensor]:
        """Go up for the evidence, then down taking z from each q."""
        evidence = self.up(x)
        visits: list[Visit] = []
        state: Tensor | None = None
        for block in self.each():
            p, q, state = block(state, evidence[block.level])
            visits.append(Visit(q, p, take(q)))
            state = block.update(state, visits[-1].z)
        assert state is not None
        return visits, state

    def descend(self, choose: Choose) -> Tensor:
        """Go down the priors."""
        state: Tensor | None = None
        for level, block in enumerate(self.each()):
            p, _, state = block(state)
            state = block.update(state, choose(level, p))
        assert state is not None
        return state

    def encode(self, x: Any, y: Tensor | None = None) -> Distribution:
        """Return q(z_L|x) of the top level, (B,)."""
        first = next(self.each())
        return first(None, self.up(x)[first.level]).q

    def parameter_roles(self) -> Iterator[tuple[str, str, nn.Parameter]]:
        """Yield (role, name, parameter): the way up and the blocks' posteriors are the encoder."""
        for name, parameter in self.named_parameters():
            role = "encoder" if name.startswith("up.") or ".posterior" in name else "decoder"
            yield role, name, parameter


# -- the ladder ------------------------------------------------------------------------------------------------------


def combine(a: DiagonalNormalFamily, b: DiagonalNormalFamily) -> DiagonalNormalFamily:
    """Return the normal whose density is proportional to the product of two: precisions add.

    1/σ² = 1/σ_a² + 1/σ_b²,   μ = σ² (μ_a / σ_a² + μ_b / σ_b²).

    Source: Sønderby et al. 2016, arXiv:1602.02282, eqs. 17 and 18.

    >>> one, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> both = combine(DiagonalNormalFamily(one, zero), DiagonalNormalFamily(-one, zero))
    >>> both.mean.item(), both.variance.item()
    (0.0, 0.5...)
    """
    precision_a, precision_b = -2 * a.log_scale, -2 * b.log_scale
    log_scale = -0.5 * torch.logaddexp(precision_a, precision_b)
    loc = b.loc + torch.sigmoid(precision_a - precision_b) * (a.loc - b.loc)
    return DiagonalNormalFamily(loc, log_scale.expand_as(loc), len(a.event_shape))


PRECISE = -2.0
"""log σ̂ of what x gives a level of the ladder, at the start."""


class Upward(nn.Module):
    """The ladder's deterministic way up, d_1 = f_1(x), d_2 = f_2(d_1), …, given top first.

    Each d is normalised before the activation: over the batch as in the paper ("batch"), or over its own features
    ("layer"), which keeps an example's loss from depending on the others. Without either the signal of x fades on its
    way up (digits, 700 steps, one seed: held-out ELBO -25.2 nats/example, -23.4 with "layer"; s.e. 0.3). On MNIST
    the upper levels die with "layer" and live with "batch" (docs/gallery-hierarchies.md).

    >>> from vaekit.nets.mlp import mlp
    >>> [d.shape[1] for d in Upward([mlp(64, 20, ()), mlp(20, 10, ())])(torch.zeros(3, 64))]
    [10, 20]
    """

    def __init__(self, nets: Sequence[Net], act: str = "silu", norm: Literal["batch", "layer"] = "layer") -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        kind = BatchNorm if norm == "batch" else nn.LayerNorm
        self.norms = nn.ModuleList(kind(size(net.out_shape)) for net in nets)
        self.act = activation(act)

    def forward(self, x: Any) -> list[Tensor]:
        """Return d_L, …, d_1."""
        out: list[Tensor] = []
        for net, norm in zip(self.nets, self.norms):
            out.insert(0, self.act(norm(net(out[0] if out else x).squeeze(1))))
        return out


class Rung(Block):
    """A level of the ladder: q(z_l | z_{l+1}, x) is p(z_l | z_{l+1}) times a normal N(μ̂(d_l), σ̂²(d_l)) that x gives.

    At the top p is N(0, I) and q is what x gives alone. The state is z itself. What x gives starts precise, σ̂ ≈ e⁻²:
    a level that starts as noise is of no use to the prior below it, and is given up before that has learned to use it.
    """

    def __init__(self, width: int, evidence: int, level: int, prior: Net | None = None) -> None:
        super().__init__()
        self.shape = (width,)
        self.level = level
        self.posterior = nn.Linear(evidence, 2 * width)
        with torch.no_grad():
            self.posterior.bias[width:] = PRECISE
        self.prior = None if prior is None else prior.widen(2)

    def forward(self, state: Tensor | None, evidence: Tensor | None = None) -> Step:
        """Return p and q; the state is not needed below."""
        if self.prior is None or state is None:
            p: DiagonalNormalFamily = StandardNormalFamily(self.posterior.weight.new_zeros(self.shape))
        else:
            p = _normal(*apply_net(self.prior, state).unbind(-2), dims=1)
        if evidence is None:
            return Step(p, None, state)
        given = _normal(*self.posterior(evidence).chunk(2, -1), dims=1)
        return Step(p, given if self.prior is None else combine(given, p), state)

    def update(self, state: Tensor | None, z: Tensor) -> Tensor:
        """Hand z down."""
        return z


def _normal(loc: Tensor, raw: Tensor, dims: int) -> DiagonalNormalFamily:
    return DiagonalNormalFamily(loc, bounded_log_scale(raw), dims)


# -- the very deep one -----------------------------------------------------------------------------------------------


class ResidualLevel(Block):
    """One of many groups of latents on a stream of maps h (C, h, w) that runs from the coarsest grid to the finest.

    p and a residual come from the stream, q from the stream and the evidence; then h ← h + residual + A z, and one more
    residual block. A block on a finer grid than the one above it repeats entries of the stream (nearest-neighbour
    unpooling) and adds a learned map. What is added to the stream starts at 1/√depth of its usual size, the prior at
    N(0, I) with no residual.

    Source: Child 2021, arXiv:2011.10650, fig. 3 and §3.2.
    """

    def __init__(
        self, width: int, middle: int, latent: int, grid: Grid, level: int, *, first: bool, depth: int, act: str
    ) -> None:
        super().__init__()
        gain = depth**-0.5
        self.grid, self.latent, self.level = grid, latent, level
        self.shape = (latent, *grid)
        self.here = nn.Parameter(0.1 * torch.randn(width, *grid)) if first else None
        self.prior = Bottleneck(width, middle, 2 * latent + width, grid, gain=0.0, act=act)
        self.posterior = Bottleneck(2 * width, middle, 2 * latent, grid, act=act)
        self.project = start(nn.Conv2d(latent, width, 1), gain)
        self.after = Bottleneck(width, middle, width, grid, residual=True, gain=gain, act=act)

    def _arrive(self, state: Tensor | None) -> Tensor:
        """Return the stream on this level's grid: (C, h, w), (B, C, h, w) or (K, B, C, h, w)."""
        if self.here is None:
            assert state is not None
            return state
        return self.here if state is None else _maps(lambda s: unpool(s, self.grid), state) + self.here

    def forward(self, state: Tensor | None, evidence: Tensor | None = None) -> Step:
        """Return p and q of the group, and the stream with the prior's residual."""
        h = self._arrive(state)
        loc, raw, more = _maps(self.prior, h).split([self.latent, self.latent, h.shape[-3]], -3)
        p = _normal(loc, raw, dims=3)
        if evidence is None:
            return Step(p, None, h + more)
        lead = torch.broadcast_shapes(h.shape[:-3], evidence.shape[:-3])
        both = torch.cat([h.expand(*lead, *h.shape[-3:]), evidence.expand(*lead, *evidence.shape[-3:])], -3)
        return Step(p, _normal(*_maps(self.posterior, both).chunk(2, -3), dims=3), h + more)

    def update(self, state: Tensor | None, z: Tensor) -> Tensor:
        """Add the group's z to the stream."""
        assert state is not None
        return _maps(self.after, state + _maps(self.project, z))


def _maps(net: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Call `net` on maps (..., C, h, w) with every leading axis folded into one."""
    lead = x.shape[:-3]
    return net(x.reshape(-1, *x.shape[-3:])).unflatten(0, lead) if lead else net(x[None])[0]


def levels(
    counts: Sequence[int], sizes: Sequence[Grid], *, width: int, middle: int, latent: int, act: str = "silu"
) -> list[ResidualLevel]:
    """Return `counts[i]` residual levels on the grid `sizes[i]`, coarsest first.

    >>> [level.shape for level in levels([1, 2], [(1, 1), (4, 4)], width=8, middle=4, latent=3)]
    [(3, 1, 1), (3, 4, 4), (3, 4, 4)]
    """
    if len(counts) != len(sizes) or not counts:
        raise UserError(f"there are {len(counts)} counts of levels for {len(sizes)} grids; give one a grid")
    depth = sum(counts)
    return [
        ResidualLevel(width, middle, latent, grid, at, first=i == 0, depth=depth, act=act)
        for at, (count, grid) in enumerate(zip(counts, sizes))
        for i in range(count)
    ]
