"""Sequences of tokens, drawn and scored one token after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.nn.functional import cross_entropy
from torch.types import _size

from vaekit.distributions.base import SCALAR, Family
from vaekit.errors import UserError
from vaekit.tokens import END, PAD, START, trim, used

NEVER = -torch.inf


class TokenNet(Protocol):
    """A causal network over sequences of `tokens` kinds of token, up to `length` places, given a context."""

    tokens: int
    length: int

    def logits(self, ids: Tensor, context: Tensor, keep: Tensor) -> Tensor:
        """Return the logits (M, tokens) of the M places that `keep` (N, T) marks, row by row.

        `ids` (N, T), `context` (N, D). A place's logits depend on the tokens before it and on its own row alone.
        """
        ...

    def start(self, context: Tensor) -> Any:
        """Return the state before the first token, for N rows of context (N, D)."""
        ...

    def step(self, previous: Tensor, t: int, state: Any) -> tuple[Tensor, Any]:
        """Return the logits (N, tokens) of place t given the token before it (N,), START at t = 0, and the state."""
        ...


@dataclass(frozen=True)
class Sampling:
    """How a token is picked from its logits: in proportion to p^(1/temperature) among the likeliest that hold `top_p`.

    `greedy` takes the likeliest. `top_p` is the nucleus: the fewest tokens whose probabilities, at that temperature,
    sum to at least it (Holtzman et al. 2020, arXiv:1904.09751). Only temperature 1 and top_p 1 draw from the model.

    >>> Sampling(greedy=True)(torch.tensor([[0.0, 2.0, 1.0]])).tolist()
    [1]
    >>> Sampling(top_p=0.5)(torch.tensor([[0.0, 9.0, 0.0]])).tolist()
    [1]
    """

    temperature: float = 1.0
    top_p: float = 1.0
    greedy: bool = False

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise UserError(
                f"a sampling temperature of {self.temperature} is not above 0; for the likeliest use greedy"
            )
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} is not a probability above 0 and up to 1")

    def __call__(self, logits: Tensor) -> Tensor:
        """Return a token for each row of logits (N, tokens): (N,) int64."""
        if self.greedy:
            return logits.argmax(-1)
        logits = logits / self.temperature
        if self.top_p < 1:
            p, order = logits.softmax(-1).sort(-1, descending=True)
            beyond = p.cumsum(-1) - p >= self.top_p  # the mass before a token is enough without it
            logits = logits.masked_fill(beyond.scatter(-1, order, beyond), NEVER)
        return (logits - torch.empty_like(logits).exponential_().log()).argmax(-1)


class TokenSequences(Family):
    """log p(x|z) = Σ_t log p(x_t | x_<t, z) over the places up to and including END, nats a sequence.

    x (..., T) int64 are tokens, END, then PAD; T may be anything, padding counts for nothing. A sequence has at most
    `length` places. At the last place it ends for certain, so that the masses of all finished sequences sum to 1; with
    `truncated`, a row that fills all places without END stands for every sequence that begins so, and the masses of
    finished and cut rows together sum to 1. PAD and START are never drawn. Anything else is outside the support and has
    log p = -inf. The context (..., D) has the batch shape in front.

    Samples are (..., length). There is no mean: `point` is the greedy sequence, and `draws_only` says that samples are
    to be drawn.
    """

    measure = "mass"
    has_rsample = False
    draws_only = True
    domain = constraints.integer_interval(0, 2**62)

    def __init__(
        self, net: TokenNet, context: Tensor, *, truncated: bool = False, sampling: Sampling | None = None
    ) -> None:
        self.net, self.context, self.truncated = net, context, truncated
        self.tokens, self.length = net.tokens, net.length
        self.sampling = sampling or Sampling()
        super().__init__(context.shape[:-1], torch.Size((net.length,)))

    # -- scoring ----------------------------------------------------------------------------------------------------

    def log_prob_elements(self, value: Tensor) -> Tensor:
        """Return log p(x_t | x_<t, z) at every place, (..., T) as `value`: 0 after END, -inf off the support."""
        lead = torch.Size(torch.broadcast_shapes(value.shape[:-1], self.batch_shape))
        inside = self.in_support(value)
        ids = trim(value.long().clamp(0, self.tokens - 1))[..., : self.length]
        width = ids.shape[-1]
        rows = ids.expand(*lead, width).reshape(-1, width)
        keep = used(rows)
        if not self.truncated and width == self.length:
            keep[:, -1] = False  # the end is certain there
        context = self.context.expand(*lead, self.context.shape[-1]).reshape(-1, self.context.shape[-1])
        logits = barred(self.net.logits(rows, context, keep))
        scores = logits.new_zeros(rows.shape)
        # -inf of PAD and START must not be the target: rows with them are outside the support, whatever stands there
        targets = torch.where((rows == PAD) | (rows == START), END, rows)[keep]
        scores = scores.masked_scatter(keep, -cross_entropy(logits, targets, reduction="none"))
        scores = scores.view(*lead, width).masked_fill(~inside.unsqueeze(-1), NEVER)
        return torch.nn.functional.pad(scores, (0, value.shape[-1] - width))

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass of each sequence, nats."""
        return self.log_prob_elements(value).sum(-1)

    def in_support(self, x: Tensor) -> Tensor:
        """Whether each row is tokens, END, PAD … within `length` places (or is cut at them, where that is allowed)."""
        ids = x.long() if bool(torch.isfinite(x).all()) else x.nan_to_num(-1, -1, -1).long()
        whole = (ids == x) & (ids >= 0) & (ids < self.tokens)
        count = used(ids)
        tidy = torch.where(count, (ids != PAD) & (ids != START), ids == PAD)
        filled = count.sum(-1)
        ends = ids.gather(-1, (filled - 1).unsqueeze(-1)).squeeze(-1) == END
        if self.truncated:
            ends = ends | (filled == self.length)
        return (whole & tidy).all(-1) & ends & (filled <= self.length)

    # -- drawing ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def draw(self, lead: torch.Size, pick: Callable[[Tensor], Tensor]) -> Tensor:
        """Return sequences (*lead, length), each token being what `pick` takes from its logits (N, tokens)."""
        rows = self.context.expand(*lead, self.context.shape[-1]).reshape(-1, self.context.shape[-1])
        out = torch.full((len(rows), self.length), PAD, dtype=torch.long, device=rows.device)
        previous = torch.full_like(out[:, 0], START)
        going = torch.ones_like(previous, dtype=torch.bool)
        state = self.net.start(rows)
        for t in range(self.length):
            if t == self.length - 1 and not self.truncated:
                out[:, t] = torch.where(going, END, PAD)
                break
            logits, state = self.net.step(previous, t, state)
            previous = pick(barred(logits))
            out[:, t] = torch.where(going, previous, PAD)
            going = going & (previous != END)
            if not bool(going.any()):
                break
        return out.view(*lead, self.length)

    def sample(self, sample_shape: _size = SCALAR) -> Tensor:
        """Draw token after token, as `sampling` says; (..., length) int64."""
        return self.draw(torch.Size(sample_shape) + self.batch_shape, self.sampling)

    @property
    def point(self) -> Tensor:
        """The greedy sequence: at each place the likeliest token given those before it."""
        return self.draw(self.batch_shape, Sampling(greedy=True))

    @property
    def mode(self) -> Tensor:
        """The greedy sequence, which need not be the likeliest one."""
        return self.point

    @property
    def mean(self) -> Tensor:
        """Raise: token numbers have no mean."""
        raise NotImplementedError("a sequence of tokens has no mean; its greedy sequence is `point`")

    @property
    def variance(self) -> Tensor:
        """Raise: token numbers have no variance."""
        raise NotImplementedError("a sequence of tokens has no variance")


def barred(logits: Tensor) -> Tensor:
    """Return logits (..., tokens) in float32 (or float64) with PAD and START made impossible.

    >>> barred(torch.zeros(1, 5)).softmax(-1).tolist()
    [[0.0, 0.0, 0.333..., 0.333..., 0.333...]]
    """
    logits = logits if logits.dtype == torch.float64 else logits.float()
    never = torch.zeros(logits.shape[-1], dtype=torch.bool, device=logits.device)
    never[[PAD, START]] = True
    return logits.masked_fill(never, NEVER)
