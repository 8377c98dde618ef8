"""How a try at breaking vaekit ended: it worked, was refused in a sentence, or went wrong."""

from __future__ import annotations

import resource
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from vaekit.errors import UserError

MOST_SECONDS, MOST_MB, LONGEST = 5.0, 400.0, 1500
"""Processor time, memory, and letters of a refusal, beyond which a try is bad."""
Outcome = Literal["works", "refused", "bad"]


@dataclass(frozen=True)
class Try:
    """How one try ended: `why` is the sentence of a refusal, or what went wrong."""

    outcome: Outcome
    why: str = ""
    seconds: float = 0.0
    mb: float = 0.0


def attempt(call: Callable[[], Any], wrong: Callable[[Any], str] = lambda _: "") -> Try:
    """Call, and say how it ended: `wrong` returns what is wrong with a value, or nothing."""
    before, start = peak_mb(), time.process_time()
    outcome, why = _ended(call, wrong)
    seconds, mb = time.process_time() - start, peak_mb() - before
    if outcome != "bad" and (seconds > MOST_SECONDS or mb > MOST_MB):
        outcome, why = "bad", f"{seconds:.1f} s, {mb:.0f} MB: {why}"
    return Try(outcome, why, seconds, mb)


def sentence(text: str) -> str:
    """Return what is wrong with the text of a refusal, or nothing."""
    good = text.strip() and len(text) <= LONGEST and "Traceback" not in text
    return "" if good else f"a refusal of {len(text)} letters: {text[:200]!r}"


def peak_mb() -> float:
    """Return the most memory that this process has had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _ended(call: Callable[[], Any], wrong: Callable[[Any], str]) -> tuple[Outcome, str]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.simplefilter("ignore", UserWarning)  # what is said to a person
            warnings.filterwarnings("ignore", module="(networkx|rdkit|selfies|torch)")
            value = call()
    except UserError as error:
        why = sentence(str(error))
        return ("bad", why) if why else ("refused", str(error))
    except (Exception, RecursionError):
        return "bad", traceback.format_exc()
    why = wrong(value)
    return ("bad", why) if why else ("works", "")
