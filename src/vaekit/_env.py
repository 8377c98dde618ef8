"""Process settings that make training faster on a processor; the `vaekit` command makes them before torch loads.

Three defaults cost time, two of them when many small steps follow one another:

- GNU OpenMP's threads spin while they wait. With two threads and any other work on the machine this was measured to
  make a step three to twelve times slower; a spin bounded at 500 (`GOMP_SPINCOUNT`) 1.7 times, for up to a fifth of
  two threads' speed on a quiet machine. libgomp reads the variable once, when torch loads it.
- glibc hands every freed buffer over 128 KB back to the system and asks for it again at the next step. Keeping
  buffers up to 32 MiB (the most that every glibc takes) in the heap saved 5 to 14% of the processor time of a step.
  The price is memory: up to 256 MiB that are free stay with the process.
- Python looks for garbage cycles after every 700 new objects, which torch's import makes by the hundred thousand;
  here, after 10,000.

What the user has set stays: `GOMP_SPINCOUNT` or `OMP_WAIT_POLICY` keep the threads as they are,
`MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_` or `GLIBC_TUNABLES` keep the heap as it is, and `VAEKIT_KEEP_ENV=1`
keeps all. The library never calls this by itself: importing vaekit changes no setting of its host's process.
"""

from __future__ import annotations

import gc
import os
from collections.abc import MutableMapping

SPIN_COUNT = 500
NEW_OBJECTS = 10_000
MMAP_THRESHOLD = 32 << 20
TRIM_THRESHOLD = 256 << 20

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # glibc's malloc.h


def prepare(environ: MutableMapping[str, str] | None = None) -> list[str]:
    """Make the settings that the user has not made, and return what was changed.

    Call it before torch is imported; afterwards the spin count has no effect on this process. It takes well under 5 ms.

    >>> prepare({"VAEKIT_KEEP_ENV": "1"})
    []
    """
    environ = os.environ if environ is None else environ
    if environ.get("VAEKIT_KEEP_ENV", "0") not in ("", "0"):
        return []
    changed = []
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & environ.keys():
        environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
        changed.append("GOMP_SPINCOUNT")
    if not {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"} & environ.keys() and _keep_buffers():
        changed.append("mallopt")
    if 0 < gc.get_threshold()[0] < NEW_OBJECTS:
        gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
        changed.append("gc")
    return changed


def plain_in_notebooks(environ: MutableMapping[str, str] | None = None) -> None:
    """Make the terminal a dumb one where a notebook's cell runs this process (`!vaekit train`).

    A cell shows what it is sent line by line: bars that are drawn anew and colours are litter there, although a
    notebook gives its commands a terminal and asks them for colours.

    >>> environ = {"JPY_PARENT_PID": "7", "TERM": "xterm-color", "FORCE_COLOR": "1"}
    >>> plain_in_notebooks(environ)
    >>> environ
    {'JPY_PARENT_PID': '7', 'TERM': 'dumb'}
    """
    environ = os.environ if environ is None else environ
    if "JPY_PARENT_PID" in environ:
        environ["TERM"] = "dumb"
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"):
            environ.pop(name, None)


def is_first() -> bool:
    """Return whether this process prints results: it is the first of those that torchrun started, or alone."""
    return os.environ.get("RANK", "0") == "0"


def on_glibc() -> bool:
    """Whether the C library is glibc, the only one whose `mallopt` has these settings."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # not Unix; another C library; refused
        return False


def _keep_buffers() -> bool:
    """Raise the two thresholds of glibc's malloc; False where that is not to be had."""
    if not on_glibc():
        return False
    try:
        import ctypes

        mallopt = ctypes.CDLL(None).mallopt
    except (ImportError, OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, MMAP_THRESHOLD)) and bool(mallopt(_M_TRIM_THRESHOLD, TRIM_THRESHOLD))
