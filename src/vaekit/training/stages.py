"""Stages and players: what is trained, by whom, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn

from vaekit.errors import UserError
from vaekit.models.base import Model
from vaekit.objectives.base import MODEL, Objective
from vaekit.trace import Trace
from vaekit.training.hooks import Callback, Metric
from vaekit.training.optimiser import Adam
from vaekit.training.settings import TrainSettings


class Tracer(Protocol):
    """Makes a trace of examples."""

    def __call__(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass with `k` posterior samples an example."""
        ...


class TraceMethod(Protocol):
    """A method of a model's class that makes traces, e.g. `TwoStage.trace_first`."""

    def __call__(self, model: Any, /, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass of `model`."""
        ...


@dataclass(frozen=True)
class Stage:
    """A stretch of training: its objective, the parts it trains (dotted prefixes; all if None), and its length.

    `trace` is a method of the model's class that makes this stage's traces in place of `Model.trace` (a second stage
    may model the first one's codes). It is not bound to a model, so that a copy of the stage trains the model it meets.
    `share` is the stage's share of the run's epochs. `bounded` says whether its traces are of the data, so that their
    ELBO is one of log p(x); by default those of the model's own `trace` are, and no others. `metrics` are functions of
    the held-out examples, whose means are logged as "valid.NAME"; `callbacks` are called after each step.
    """

    objective: Objective
    name: str = "train"
    trainable: tuple[str, ...] | None = None
    trace: TraceMethod | None = None
    share: float = 1.0
    bounded: bool | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    callbacks: tuple[Callback, ...] = ()

    @property
    def of_data(self) -> bool:
        """Whether its traces are of the data."""
        return self.trace is None if self.bounded is None else self.bounded

    def tracer(self, model: Model) -> Tracer:
        """Return what makes this stage's traces with `model`."""
        return model.trace if self.trace is None else partial(self.trace, model)


def _chosen(name: str, trainable: tuple[str, ...] | None) -> bool:
    return trainable is None or any(name == prefix or name.startswith(f"{prefix}.") for prefix in trainable)


def player_parameters(
    model: nn.Module, stage: Stage, player: str, settings: TrainSettings
) -> Iterator[tuple[str, nn.Parameter, float]]:
    """Yield (name, parameter, peak learning rate) of what `player` trains in `stage`; each parameter once."""
    seen: set[int] = set()
    if player == MODEL:
        rates = {"encoder": settings.lr_encoder or settings.lr, "decoder": settings.lr_decoder or settings.lr}
        for role, name, parameter in model.parameter_roles():  # pyright: ignore[reportCallIssue]
            if parameter.requires_grad and _chosen(name, stage.trainable) and id(parameter) not in seen:
                seen.add(id(parameter))
                yield f"model.{name}", parameter, rates[role]
    # An objective may hold the model (a term that calls it): those parameters are the model's, not its own.
    seen |= {id(p) for p in model.parameters()}
    lr = settings.lr if player == MODEL else settings.lr_players or settings.lr
    for name, parameter in stage.objective.own_parameters(player):
        if parameter.requires_grad and id(parameter) not in seen:
            seen.add(id(parameter))
            yield f"objective.{name}", parameter, lr


def make_optimisers(model: nn.Module, stage: Stage, settings: TrainSettings) -> dict[str, Adam]:
    """Return an optimiser for every player of the stage."""
    out: dict[str, Adam] = {}
    for player in stage.objective.player_names:
        named = list(player_parameters(model, stage, player, settings))
        if not named:
            raise UserError(f"stage '{stage.name}' leaves the player '{player}' nothing to train")
        out[player] = Adam(
            named,
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            skip_above=settings.skip_above,
        )
    return out
