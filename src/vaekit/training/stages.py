"""Stages and players: what is trained, by whom, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn

from vaekit.errors import TrainingFailed, UserError
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


def is_frozen(role: str, name: str, freeze: tuple[str, ...]) -> bool:
    """Whether a parameter is in one of the frozen parts, each a role (encoder, decoder) or a dotted prefix."""
    return role in freeze or (bool(freeze) and _chosen(name, freeze))


def frozen_names(model: Model, freeze: tuple[str, ...]) -> set[str]:
    """Return the names of the parameters that stay as they are; a part that the model has not is a UserError.

    >>> frozen_names(Model(), ())
    set()
    """
    named = [(role, name) for role, name, _ in model.parameter_roles()]
    for part in freeze:
        if not any(is_frozen(role, name, (part,)) for role, name in named):
            parts = dict.fromkeys(["encoder", "decoder", *(name.split(".")[0] for _, name in named)])
            raise UserError(f"train.freeze={part}: this model has no such part; it has {', '.join(parts)}")
    return {name for role, name in named if is_frozen(role, name, freeze)}


def train_mode(model: Model, freeze: tuple[str, ...]) -> None:
    """Put a model in training mode, its frozen parts in eval mode: their running averages stay as they are too."""
    model.train()
    still = frozen_names(model, freeze)
    for name, part in model.named_modules() if still else ():
        own = [n for n, _ in part.named_parameters(name)]
        if _chosen(name, freeze) or (own and still.issuperset(own)):
            part.eval()


def without_frozen(stages: Sequence[Stage], model: Model, settings: TrainSettings) -> list[Stage]:
    """Return the stages that have something to train when the frozen parts stay as they are."""
    if not frozen_names(model, settings.freeze):
        return list(stages)
    left = [stage for stage in stages if next(player_parameters(model, stage, MODEL, settings), None) is not None]
    if not left:
        raise UserError(f"train.freeze={','.join(settings.freeze)} leaves nothing to train; freeze fewer parts")
    return left


def player_parameters(
    model: nn.Module, stage: Stage, player: str, settings: TrainSettings
) -> Iterator[tuple[str, nn.Parameter, float]]:
    """Yield (name, parameter, peak learning rate) of what `player` trains in `stage`; each parameter once."""
    seen: set[int] = set()
    if player == MODEL:
        # Adam moves a parameter by its rate at most, and the log of a scale may have far to go.
        scales = {id(p) for m in model.modules() if getattr(m, "is_scale", False) for p in m.parameters(recurse=False)}
        rates = {"encoder": settings.lr_encoder or settings.lr, "decoder": settings.lr_decoder or settings.lr}
        for role, name, parameter in model.parameter_roles():  # pyright: ignore[reportCallIssue]
            trains = parameter.requires_grad and not is_frozen(role, name, settings.freeze)
            if trains and _chosen(name, stage.trainable) and id(parameter) not in seen:
                seen.add(id(parameter))
                factor = settings.lr_sigma_factor if id(parameter) in scales else 1.0
                yield f"model.{name}", parameter, rates[role] * factor
    # An objective may hold the model (a term that calls it): those parameters are the model's, not its own.
    seen |= {id(p) for p in model.parameters()}
    lr = settings.lr if player == MODEL else settings.lr_players or settings.lr
    for name, parameter in stage.objective.own_parameters(player):
        if parameter.requires_grad and id(parameter) not in seen:
            seen.add(id(parameter))
            yield f"objective.{name}", parameter, lr


def waiting(model: Model, trained: Sequence[str], settings: TrainSettings) -> set[str]:
    """Return which trained parameters wait while the encoder is ahead: the decoder's, beside a trained encoder."""
    if settings.encoder_steps == 1:
        return set()
    roles = {f"model.{name}": role for role, name, _ in model.parameter_roles()}
    if "encoder" not in roles.values():
        raise UserError("train.encoder_steps is not used by this recipe: its model has no encoder")
    own = {name: roles.get(name) for name in trained}
    return {name for name, role in own.items() if role == "decoder"} if "encoder" in own.values() else set()


def make_optimisers(model: Model, stage: Stage, settings: TrainSettings) -> dict[str, Adam]:
    """Return an optimiser for every player of the stage."""
    out: dict[str, Adam] = {}
    for player in stage.objective.player_names:
        named = list(player_parameters(model, stage, player, settings))
        if not named:
            raise UserError(f"stage '{stage.name}' leaves the player '{player}' nothing to train")
        out[player] = Adam(
            named,
            waiting=waiting(model, [name for name, _, _ in named], settings) if player == MODEL else (),
            betas=settings.betas,
            eps=settings.eps,
            weight_decay=settings.weight_decay,
            clip=settings.clip,
            skip_above=settings.skip_above,
        )
    return out


def check_bad_steps(optimisers: Mapping[str, Adam], settings: TrainSettings, step: int) -> None:
    """Raise TrainingFailed where the last steps of a player, as many as the settings bear, were all skipped."""
    for player, optimiser in optimisers.items():
        bad = int(optimiser.in_a_row)
        if bad >= settings.max_bad_steps:
            raise TrainingFailed(
                f"{bad} steps in a row had a gradient that was not finite or too large (player '{player}', step "
                f"{step}): lower the learning rate (--set train.lr={settings.lr / 3:.2g}), clip gradients (--set "
                "train.clip=10), or check the data for extreme values"
            )
