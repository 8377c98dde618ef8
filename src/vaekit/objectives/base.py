"""Objectives: a loss is a sum of terms, and each player minimises its own sum."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import cast

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.errors import NeedsWholeBatch, UserError
from vaekit.registry import Registry
from vaekit.schedules import Annealed, Schedule
from vaekit.trace import Latent, Trace

MODEL = "model"
OBJECTIVES: Registry[type[Term]] = Registry("objective", "vaekit.objectives")


class Term(nn.Module):
    """One term of a player's loss: a trace goes in, (B,) or a scalar in nats comes out; weighted by a schedule.

    `player` says who minimises it; `k` how many posterior samples an example the term wants in the trace. A weight that
    is a module of its own (`constraints.Multiplier`) is taken as it is.
    """

    name: str = "term"
    player: str = MODEL
    k: int = 1

    def __init__(self, weight: Annealed | Schedule | float | str = 1.0) -> None:
        super().__init__()
        self.weight = weight if isinstance(weight, Annealed) else Annealed(weight)

    def forward(self, trace: Trace) -> Tensor:
        """Return the unweighted term, (B,) or scalar, nats per example."""
        raise TypeError(f"{type(self).__name__} defines no value")


class _Plain(Term):
    """A term that is a plain function of the trace, as `term` and `Objective` make it."""

    def __init__(
        self, function: Callable[[Trace], Tensor], weight: Schedule | float | str = 1.0, name: str = "", k: int = 1
    ) -> None:
        super().__init__(weight)
        self.function, self.k = function, k
        self.name = name or getattr(function, "__name__", type(function).__name__).strip("<>")

    def forward(self, trace: Trace) -> Tensor:
        """Return the function's value, averaged over samples if it gives (K, B)."""
        value = self.function(trace)
        if not isinstance(value, Tensor):
            raise UserError(f"the term '{self.name}' gives a {type(value).__name__}; return a tensor, (B,) or a scalar")
        if value.dim() > 2 or (value.dim() and value.shape[-1] != len(trace.x)):
            raise UserError(
                f"the term '{self.name}' gives a tensor of shape {tuple(value.shape)} for {len(trace.x)} examples; "
                "return (B,), one value an example, or a scalar"
            )
        return mean_over_samples(value)


def term(function: Callable[[Trace], Tensor], weight: Schedule | float | str = 1.0, name: str = "", k: int = 1) -> Term:
    """Return a plain function of a trace as a term: its value is (B,) or a scalar, nats an example, to be minimised.

    `weight` is a number or a schedule ("linear 0 1 10%"); `k` says how many posterior samples the trace is to have.

    >>> from vaekit.objectives.elbo import Rate, Reconstruction
    >>> small = term(lambda trace: trace.latents["z"].z.square().sum(-1), weight=0.1, name="small")
    >>> [one.name for one in Objective(Reconstruction(), Rate(), small).each()]
    ['reconstruction', 'rate', 'small']
    """
    return _Plain(function, weight, name, k)


@dataclass(frozen=True)
class Loss:
    """One player's loss: the weighted total to minimise, and each term's unweighted value, all scalars."""

    total: Tensor
    parts: Mapping[str, Tensor]


def whole_loss(shares: Sequence[Loss]) -> Loss:
    """Return the loss of a batch from those of its parts, which are shares of it and add up."""
    total = torch.stack([share.total for share in shares]).sum()
    return Loss(total, {name: torch.stack([share.parts[name] for share in shares]).sum() for name in shares[0].parts})


class Objective(nn.Module):
    """A sum of terms for each player. Calling it with a trace gives {player: Loss}.

    `players` are the networks of players other than the model (critics, discriminators), by name; terms hold
    references to them too, and their parameters belong to that player alone. A plain function of the trace is a term
    as well (`term` gives it a weight and a name).

    >>> from vaekit.objectives.elbo import Rate, Reconstruction
    >>> Objective(Reconstruction(), Rate(beta="linear 0 1 10%")).player_names
    ['model']
    """

    def __init__(
        self, *given: Term | Callable[[Trace], Tensor], players: Mapping[str, nn.Module] | None = None
    ) -> None:
        super().__init__()
        self.players = nn.ModuleDict(dict(players or {}))
        terms = [one if isinstance(one, Term) else _Plain(one) for one in given]
        self.terms = nn.ModuleList(terms)
        self.k = max(term.k for term in terms)
        names = [term.name for term in terms]
        if len(set(names)) != len(names):
            raise ValueError(f"terms share a name: {names}")
        missing = {term.player for term in terms} - {MODEL, *self.players}
        if missing:
            raise ValueError(f"no network was given for the players {sorted(missing)}")

    def each(self) -> Iterator[Term]:
        """Return the terms."""
        return iter(cast(Sequence[Term], self.terms))

    @property
    def player_names(self) -> list[str]:
        """The model first, then the others that have terms."""
        return [MODEL, *(name for name in self.players if any(t.player == name for t in self.each()))]

    def forward(self, trace: Trace) -> dict[str, Loss]:
        """Return each player's loss, averaged over the batch (never over dimensions).

        Where processes share the batch, it is this process's share of that mean: the shares add up to it.
        """
        totals: dict[str, Tensor] = {}
        parts: dict[str, dict[str, Tensor]] = {}
        for term in self.each():
            try:
                value = distributed.share_of_mean(term(trace))
            except NeedsWholeBatch:
                raise NeedsWholeBatch(f"the term '{term.name}'") from None
            weighted = value if term.weight.is_one else term.weight() * value
            totals[term.player] = weighted if term.player not in totals else totals[term.player] + weighted
            parts.setdefault(term.player, {})[term.name] = value.detach()
        return {player: Loss(totals[player], parts[player]) for player in totals}

    def own_parameters(self, player: str) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield (name, parameter) of what the objective itself holds for `player`."""
        others = {id(p) for name, net in self.players.items() if name != player for p in net.parameters()}
        mine = {id(p) for p in self.players[player].parameters()} if player in self.players else set()
        for name, parameter in self.named_parameters():
            if id(parameter) in mine or (player == MODEL and id(parameter) not in others):
                yield name, parameter


def total_of(value: Callable[[Latent], Tensor], trace: Trace, names: Collection[str] | None) -> Tensor:
    """Return the sum of `value` over the trace's latents, or over those of `names`."""
    return reduce(add, [value(latent) for name, latent in trace.latents.items() if names is None or name in names])


def mean_over_samples(value: Tensor) -> Tensor:
    """Return (B,) from (B,) or (K, B)."""
    if value.dim() < 2:
        return value
    # One sample is its own mean; a view costs nothing on the way back either.
    return value.squeeze(0) if value.shape[0] == 1 else value.mean(0)
