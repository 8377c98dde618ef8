"""What a run keeps of itself: its last state, from which it goes on, and the best weights so far."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vaekit import distributed
from vaekit.devices import rng_state, set_rng_state
from vaekit.training import checkpoint
from vaekit.training.average import WeightAverage
from vaekit.training.optimiser import Adam
from vaekit.training.state import Position

CHECKPOINTS, LAST, BEST = "checkpoints", "last.safetensors", "best.safetensors"

State = tuple[dict[str, Tensor], dict[str, Any]]
"""A checkpoint: its tensors, and the facts in its header."""


def steps_taken(folder: Path) -> int:
    """Return how many steps the run in `folder` had taken at its last checkpoint; 0 without one."""
    path = folder / CHECKPOINTS / LAST
    return distributed.from_main(lambda: checkpoint.header(path).get("position", {}).get("step", 0))


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
        return None if self.folder is None else checkpoint.find(self.folder / LAST)

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
        checkpoint.save(self.folder / LAST, tensors, {"position": position, **facts}, writes=distributed.is_main())

    def restore(self, state: State) -> Position:
        """Give model and objectives the weights of a state, and return how far the run was."""
        tensors, meta = state
        path = None if self.folder is None else self.folder / LAST
        checkpoint.load_model(self.model, checkpoint.group(tensors, "model"), path)
        for i, objective in enumerate(self.objectives):
            checkpoint.load_model(objective, checkpoint.group(tensors, f"objective.{i}"), path)
        known = {field.name for field in fields(Position)}
        at: dict[str, Any] = meta["position"]
        values: dict[str, Any] = {name: -math.inf if at[name] is None else at[name] for name in known & at.keys()}
        return Position(**values)

    def restore_stage(self, state: State, optimisers: Mapping[str, Adam], average: WeightAverage | None) -> None:
        """Give a stage's optimisers, its averages and the random generators what the state holds of them."""
        tensors, _ = state
        for player, optimiser in optimisers.items():
            optimiser.load(checkpoint.group(tensors, f"optimiser.{player}"))
        if average is not None:
            average.load(checkpoint.group(tensors, "average"))
        set_rng_state(checkpoint.group(tensors, "rng"), self.device)

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
