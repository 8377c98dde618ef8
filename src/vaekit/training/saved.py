"""What a run keeps of itself: its last state, from which it goes on, and the best weights so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vaekit import distributed
from vaekit.devices import rng_state, set_rng_state
from vaekit.errors import UserError
from vaekit.schemas import Number, Place, Positive, Record, Text, checked, migrated
from vaekit.training import checkpoint
from vaekit.training.average import WeightAverage
from vaekit.training.optimiser import Adam
from vaekit.training.state import MOST_FACTOR, Position

CHECKPOINTS, LAST, BEST = "checkpoints", "last.safetensors", "best.safetensors"

COUNTS = ("skipped", "in_a_row", "count.", "steps")
"""How the names of what an optimiser or an average counts begin."""

State = tuple[dict[str, Tensor], dict[str, Any]]
"""A checkpoint: its tensors, and the facts in its header."""


Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Factor = Annotated[float, Field(ge=1 / MOST_FACTOR, le=MOST_FACTOR)]


class PositionRecord(Record):
    """How far a run was (`Position`); what earlier versions did not write has its default."""

    stage: Count
    epoch: Count
    batch: Count
    stage_step: Count
    stage_steps: Count = 0
    rows_at_once: Count = 0
    step: Count
    examples: Count
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    best: Number | None
    best_epoch: Count
    epochs_without: Count
    log_bytes: Count
    lr_factor: Factor = 1.0
    rate_factor: Factor = 1.0

    @model_validator(mode="after")
    def _fits(self) -> PositionRecord:
        if self.stage_step > self.step:
            raise ValueError("a stage cannot have more steps than the run")
        return self


class CheckpointRecord(Record):
    """The facts in a checkpoint's header: where the run was, and what it has said."""

    format: Positive
    position: PositionRecord
    warnings: list[Text]
    collapsed: list[Text] = Field(default_factory=list)
    skipped_before: Count


def _without_done(old: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is known without being told: whether the run has ended."""
    position = old.get("position")
    if not isinstance(position, dict):
        return old
    return old | {"position": {name: value for name, value in position.items() if name != "done"}}


CHECKPOINT_STEPS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _without_done}
"""How the facts of format n become those of format n + 1."""


def check_facts(facts: dict[str, Any], place: Place) -> dict[str, Any]:
    """Return the facts of a checkpoint in the newest format; what is wrong with them is a UserError."""
    found = migrated(facts, CHECKPOINT_STEPS, place)
    checked(CheckpointRecord, found, place)
    return found


def _fix(folder: Path) -> str:
    """Return what to do when a checkpoint of the run in `folder` is damaged."""
    if (folder / "model.safetensors").is_file():
        return f"start another run from this one's weights (--init {folder}), or train again"
    return "train again"


def steps_taken(folder: Path) -> int:
    """Return how many steps the run in `folder` had taken at its last checkpoint; 0 without one."""
    path = folder / CHECKPOINTS / LAST

    def read() -> int:
        facts = checkpoint.header(path, _fix(folder))
        return check_facts(facts, Place(path, _fix(folder)))["position"]["step"] if facts else 0

    return distributed.from_main(read)


class Saved:
    """The checkpoints of a run in `folder`, which the first process writes; without a folder the best weights alone.

    `objectives` are those of the run's stages. Where the weights are shared out over processes (`sharded`), all of them
    take part in writing.
    """

    def __init__(
        self,
        folder: Path | None,
        model: nn.Module,
        objectives: Sequence[nn.Module],
        device: torch.device,
        sharded: bool = False,
    ) -> None:
        self.folder = None if folder is None else folder / CHECKPOINTS
        self.model, self.objectives, self.device = model, objectives, device
        self._takes_part = distributed.is_main() or sharded
        self._best: dict[str, Tensor] = {}

    def find(self) -> State | None:
        """Return the last state; None without one."""
        if self.folder is None:
            return None
        path, fix = self.folder / LAST, _fix(self.folder.parent)
        found = checkpoint.find(path, fix)
        return None if found is None else (found[0], check_facts(found[1], Place(path, fix)))

    def save(
        self, at: Position, optimisers: Mapping[str, Adam], average: WeightAverage | None, facts: Mapping[str, Any]
    ) -> None:
        """Write the state that the run is in."""
        if self.folder is None or not self._takes_part:
            return
        tensors = checkpoint.flatten(
            model=checkpoint.model_tensors(self.model),
            rng=rng_state(self.device),
            average={} if average is None else average.state(),
            **{f"objective.{i}": checkpoint.model_tensors(one) for i, one in enumerate(self.objectives)},
            **{f"optimiser.{player}": optimiser.state() for player, optimiser in optimisers.items()},
        )
        position = {name: None if value == -math.inf else value for name, value in vars(at).items()}
        self.folder.mkdir(parents=True, exist_ok=True)
        header = {"format": 1 + len(CHECKPOINT_STEPS), "position": position, **facts}
        checkpoint.save(self.folder / LAST, tensors, header, writes=distributed.is_main())

    def restore(self, state: State) -> Position:
        """Give model and objectives the weights of a state, and return how far the run was."""
        tensors, meta = state
        path = self._last
        weights = checkpoint.group(tensors, "model")
        checkpoint.check_finite(weights, path)
        checkpoint.load_model(self.model, weights, path)
        for i, objective in enumerate(self.objectives):
            checkpoint.load_model(objective, checkpoint.group(tensors, f"objective.{i}"), path)
        at: dict[str, Any] = meta["position"]
        at = {**at, "best": -math.inf if at["best"] is None else at["best"]}
        return Position(**at)

    @property
    def _last(self) -> Path | None:
        return None if self.folder is None else self.folder / LAST

    def restore_stage(self, state: State, optimisers: Mapping[str, Adam], average: WeightAverage | None) -> None:
        """Give a stage's optimisers, its averages and the random generators what the state holds of them."""
        tensors, _ = state
        for player, optimiser in optimisers.items():
            own = checkpoint.group(tensors, f"optimiser.{player}")
            self._check(optimiser.state(), own, f"the optimiser of '{player}'")
            optimiser.load(own)
        if average is not None:
            own = checkpoint.group(tensors, "average")
            self._check(average.state(), own, "the weights' averages")
            average.load(own)
        try:
            set_rng_state(checkpoint.group(tensors, "rng"), self.device)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(f"{self._last} holds no state of the random generators ({error}); train again") from None

    def _check(self, own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], what: str) -> None:
        """Refuse a state that is not of `what`, or that counts what cannot be counted."""
        checkpoint.check_fit(own, tensors, self._last, what)
        # A parameter may be a single number too, as a scale is, and so are its moments and average, of either sign.
        counts = {name: value for name, value in tensors.items() if not value.dim() and name.startswith(COUNTS)}
        odd = next((name for name, value in counts.items() if not 0 <= float(value) < 1 << 53), None)
        if odd is not None:
            raise UserError(f"{self._last} is damaged ({odd} of {what}: {float(counts[odd])}); train again")

    def save_best(self, average: WeightAverage | None) -> None:
        """Keep the weights as the best: the averages, where there are any."""
        with average.applied() if average else nullcontext():
            tensors = checkpoint.model_tensors(self.model)
            if self.folder is None:
                self._best = {name: value.detach().clone() for name, value in tensors.items()}
                return
            self.folder.mkdir(parents=True, exist_ok=True)
            checkpoint.save(self.folder / BEST, tensors, writes=distributed.is_main())

    def load_best(self) -> None:
        """Give the model its best weights."""
        path = None if self.folder is None else self.folder / BEST
        checkpoint.load_model(self.model, self._best if path is None else checkpoint.load_on_all(path), path)
