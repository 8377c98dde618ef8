"""Taking a run up again: which of its settings may be others, and how long it is to be now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from vaekit.errors import UserError
from vaekit.recipes.base import Recipe
from vaekit.recipes.settings import Nested, Settings, merge
from vaekit.training.plan import Plan
from vaekit.training.saved import steps_taken

ELSEWHERE = ("device",)
"""Settings that may be others on another machine, and are not the run's from then on."""
FREE = (
    *ELSEWHERE,
    *("epochs", "steps", "early_stop", "accumulate", "log_every", "checkpoint_seconds", "checkpoint_steps"),
)
"""Settings of training that may be others when a run goes on."""


def settings_to_go_on(target: Path, record: dict[str, Any], given: Nested, recipe: Recipe) -> tuple[Settings, Nested]:
    """Return the run's settings with the given ones that may be others, and these; others that differ are refused."""
    asked = recipe.settings(given, record["settings"]).model_dump(mode="json")
    for section, values in given.items():
        for name, value in values.items():
            before = record["settings"].get(section, {}).get(name)
            if section == "train" and name in FREE:
                continue
            if asked[section].get(name) != before and record["given"].get(section, {}).get(name) != value:
                raise UserError(
                    f"{section}.{name}={value} differs from the run's {before}; resume without it, train anew, or "
                    f"start another run from its weights (--init {target})"
                )
    moved = {name: value for name, value in given.get("train", {}).items() if name in FREE}
    if "epochs" in moved:
        moved.setdefault("steps", None)  # which would override them
    changes: Nested = {"train": moved}
    return recipe.settings(changes, record["settings"]), changes


def longer(target: Path, record: dict[str, Any], settings: Settings, changes: Nested, plan: Plan) -> dict[str, Any]:
    """Return the run's record with the settings from here on; a length that the run has passed is a UserError."""
    kept = {name: value for name, value in changes["train"].items() if name not in ELSEWHERE}
    now = settings.model_dump(mode="json")["train"]
    if all(record["settings"]["train"].get(name) == now[name] for name in kept):
        return record
    taken = steps_taken(target)
    if plan.total < taken:
        raise UserError(
            f"{target} has trained {taken:,} steps ({taken / plan.per_epoch:g} epochs) already, and this would be "
            f"{plan.total:,}: ask for more, e.g. --epochs {2 * -(-taken // plan.per_epoch)}"
        )
    before = {name: record["settings"]["train"].get(name) for name in kept}
    step = {"at_step": taken, "was": before, "now": {name: now[name] for name in kept}}
    step["when"] = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return record | {
        "settings": merge(record["settings"], {"train": {name: now[name] for name in kept}}),
        "given": merge(record["given"], {"train": kept}),
        "status": "running",
        "continued": [*record.get("continued", []), step],
    }
