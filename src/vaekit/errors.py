"""The errors vaekit raises on purpose, each one sentence that states the problem and the fix."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

LONGEST = 1200


def _in_length(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 303]} … {text[-300:]}"


class UserError(ValueError):
    """Bad arguments or bad data. The command line prints it as one sentence and exits with 2.

    What a sentence names may be of any length; one of more than 1,200 letters keeps its beginning and its end.

    >>> len(str(UserError("x" * 5000)))
    1200
    """

    def __init__(self, *said: object) -> None:
        super().__init__(*(_in_length(one) if isinstance(one, str) else one for one in said))


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


class NotStored(RuntimeError):
    """What was computed, and is told, could not be written. The command line exits with 1."""


class Missed(RuntimeError):
    """A figure that was to be reached was not. The command line exits with 1."""


class PeerLost(RuntimeError):
    """Another process of the same run has ended, so that this one cannot go on alone."""


class OutOfMemory(RuntimeError):
    """The machine's or the device's memory did not hold something; the sentence names what to lower. Exits with 1."""


NO_MEMORY = ("out of memory", "not enough memory", "allocate memory", "bad_alloc", "unable to allocate")


def lacks_memory(error: BaseException) -> bool:
    """Whether an error of Python, NumPy or torch says that there is no memory for more.

    >>> lacks_memory(MemoryError()), lacks_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you …"))
    (True, True)
    """
    return isinstance(error, MemoryError) or any(text in str(error).lower() for text in NO_MEMORY)


@contextmanager
def memory_for(what: str, fix: str) -> Iterator[None]:
    """Turn a lack of memory within the block into an OutOfMemory that names what is to be lowered.

    >>> with memory_for("the codes", "lower --limit"):
    ...     raise MemoryError
    Traceback (most recent call last):
    ...
    vaekit.errors.OutOfMemory: there is not enough memory for the codes: lower --limit
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if isinstance(error, OutOfMemory) or not lacks_memory(error):
            raise
        raise OutOfMemory(f"there is not enough memory for {what}: {fix}") from None


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


def said(error: OSError) -> str:
    """Return what the system says of a file that cannot be read or written, and the fix where there is one.

    >>> said(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device; free some and run the command again'
    """
    fix = {errno.ENOSPC: "free some", errno.EROFS: "name another place", errno.EACCES: "see to the rights"}
    told = error.strerror or " ".join(str(error).split())
    return f"{told}; {fix[error.errno]} and run the command again" if error.errno in fix else told
