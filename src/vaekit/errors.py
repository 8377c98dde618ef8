"""The errors vaekit raises on purpose, each one sentence that states the problem and the fix."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any


class UserError(ValueError):
    """Bad arguments or bad data. The command line prints it as one sentence and exits with 2."""


class Unsupported(UserError):
    """What was asked for is not defined for this model or distribution; the sentence says which and why."""


class NotALikelihood(UserError):
    """The model does not bound log p(x); `reason` says why.

    >>> str(NotALikelihood("q(z|x) is a point mass"))
    'this model does not bound log p(x): q(z|x) is a point mass'
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"this model does not bound log p(x): {reason}")


class ChangedData(UserError):
    """A run's data hold anything else than when it was trained; the sentence says what."""


class NeedsWholeBatch(UserError):
    """A step was to be computed in parts, and `what`, a part of the model or its objective, needs the whole batch."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} needs the whole batch, so a step cannot be taken in parts: use train.accumulate=1 and lower "
            "--batch-size"
        )


class TrainingFailed(RuntimeError):
    """Training ended early for the reason given. The command line exits with 1."""


class PeerLost(RuntimeError):
    """Another process of the same run has ended, so that this one cannot go on alone."""


def optional(module: str, sentence: str) -> Any:
    """Import a module of an optional package; a UserError of that sentence where the package is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise UserError(sentence) from None


def few(names: Sequence[str], most: int = 8) -> str:
    """Return the first names of a list, and how many more there are.

    >>> few(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
