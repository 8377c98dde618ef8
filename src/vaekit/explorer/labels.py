"""Labels as the page holds them: a class's number, or a list of each attribute's value, None where it is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.conditions import Conditions
from vaekit.data.tables import columns as cols
from vaekit.errors import UserError
from vaekit.models.base import Model

Label = int | Sequence[float | None] | None


class Labels:
    """From the page's labels to what the model is given, and back. `y` are examples' labels, for the sliders' ends."""

    def __init__(self, model: Model, conditions: Conditions, y: Tensor | None) -> None:
        self.taken = model.takes_label
        self.optional = bool(model.optional_label)
        self.conditions = conditions
        known = conditions.values(y) if y is not None and len(conditions) else np.full((1, len(conditions)), np.nan)
        self.attributes = [self._facts(facts, column) for facts, column in zip(conditions.attributes, known.T)]

    def _facts(self, facts: dict[str, Any], known: np.ndarray) -> dict[str, Any]:
        """Return what the page must know of an attribute: its levels, or where its slider begins, ends and stands."""
        if "levels" in facts:
            return {"name": facts["name"], "levels": facts["levels"], "start": 0}
        known = known[~np.isnan(known)]
        if not len(known):
            known = cols.restore(np.array([-3.0, 0.0, 3.0]), facts)
        start = float(np.median(known))
        return {"name": facts["name"], "low": float(known.min()), "high": float(known.max()), "start": start}

    @property
    def facts(self) -> dict[str, Any]:
        """What the page must know: `conditions` are empty where a label is a class, `start` is the first label."""
        own = [] if self.conditions.classes or not self.taken else self.attributes
        start = [one["start"] for one in own] if own else 0 if self.taken else None
        return {"takes_label": self.taken, "conditions": own, "optional": self.optional, "label": start}

    def given(self, label: Label, n: int, device: torch.device) -> Tensor | None:
        """Return `n` labels as the model takes them; a UserError for one that there is not."""
        if not self.taken:
            return None
        if not self.conditions.classes:
            values = [one["start"] for one in self.attributes] if label is None else label
            return self.conditions.encoded(self._stored(values)).expand(n, -1).to(device)
        number, most = 0 if label is None else label, len(self.conditions.attributes[0]["levels"]) - 1
        if not isinstance(number, int) or not (-1 if self.optional else 0) <= number <= most:
            raise UserError(f"there is no label {number}; they go from 0 to {most}")
        return torch.full((n,), number, device=device)

    def _stored(self, values: Any) -> np.ndarray:
        values = [values] if isinstance(values, int | float) else values
        if not isinstance(values, list | tuple) or len(values) != len(self.conditions):
            raise UserError(f"a label is {len(self.conditions)} values: {self.conditions}")
        stored: list[float] = []
        for value, facts in zip(values, self.conditions.attributes):
            levels = len(facts.get("levels", ()))
            if value is None and not self.optional:
                raise UserError(f"this run's model was never trained without {facts['name']}; give it a value")
            if value is not None and levels and value not in range(levels):
                raise UserError(f"there is no level {value} of {facts['name']}; they go from 0 to {levels - 1}")
            own = np.array([np.nan if value is None else float(value)])
            with np.errstate(invalid="ignore", divide="ignore"):
                own = cols.store(own, facts)
            if value is not None and not np.isfinite(own[0]):
                raise UserError(f"{value} is no value of {facts['name']}")
            stored.append(float(own[0]))
        return np.array([stored])

    def of(self, y: Tensor | None) -> Label:
        """Return the label of one example (1, ...) as the page holds it."""
        if y is None:
            return None
        if not y.dtype.is_floating_point:
            return int(y[0]) if y.dim() == 1 else None
        return [None if np.isnan(v) else float(v) for v in self.conditions.values(y)[0]]
