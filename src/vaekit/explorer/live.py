"""A training that goes on, as the explorer sees it: new weights as they come, the log, and what is asked of it."""

from __future__ import annotations

from typing import Any, Protocol

from vaekit.runs.base import RunBase

ASKS = {
    "pause": ("pause", 1.0),
    "go on": ("go on", 1.0),
    "stop": ("stop", 1.0),
    "lower learning rate": ("learning rate", 0.5),
    "lower beta": ("beta", 0.5),
}
"""What the page's buttons ask, and the factors of what is lowered."""


class Live(Protocol):
    """A run in training, whose weights, log and controls are those of another process."""

    def news(self) -> RunBase | None:
        """Return the run with the weights of a checkpoint that has not been given yet."""
        ...

    def state(self, since: int) -> dict[str, Any]:
        """Return status, place, warnings and the lines of the log from number `since` on; plain JSON."""
        ...

    def ask(self, what: str, factor: float) -> None:
        """Ask something of the training."""
        ...
