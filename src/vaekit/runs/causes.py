"""What would have been: examples of a run had one of their concepts been another."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.inference import batches, inference, joined
from vaekit.models.base import Model, point
from vaekit.runs.display import shown
from vaekit.runs.few_shot import FewShotRun


class CausalRun(FewShotRun):
    """A run whose model may have concepts, or numbers that it is conditioned on, to be set."""

    def intervene(self, data: Any = None, **values: Any) -> Tensor:
        """Return examples as they would have been had some concepts been set, in the data's units, (N, *shape).

        `values` are concepts by name, each a number or one for each example, in the label's own units. A `causal-vae`
        lets what they cause follow, all noise staying the same; a `cvae` changes what is set and nothing else.

        >>> import vaekit
        >>> run = vaekit.train("causal-vae", "shadows", steps=2, set={"data.limit": 100})
        >>> run.intervene(run.test.first(3), light=0.9).shape
        torch.Size([3, 1, 32, 32])
        """
        model, split = self.model, self.split(data)
        if not model.offers(Model.intervene):
            raise UserError(
                f"intervene needs concepts, and this run's model ({self.recipe}) has none: train causal-vae"
            )
        if not values:
            raise UserError(f"intervene: say what is set, e.g. {self.conditions.names[0]}=0.5")
        asked = dict[int, Tensor]()
        for name, value in values.items():
            facts = self.conditions.facts(name)
            if facts["type"] != "numeric":
                raise UserError(f"{name} is a {facts['type']}, and what is set are numbers")
            given = torch.as_tensor(value, dtype=torch.float32).expand(len(split))
            asked[self.conditions.index(name)] = (given - facts["mean"]) / facts["sd"]
        made, start = list[Tensor](), 0
        with inference(model):
            for x, y in batches(model, split.x, split.y):
                rows = slice(start, start + len(x))
                own = {i: value[rows].to(x.device) for i, value in asked.items()}
                made.append(point(model.intervene(x, own, y)))
                start += len(x)
        return shown(self.prepare.values(joined(made)), self.picture, None)
