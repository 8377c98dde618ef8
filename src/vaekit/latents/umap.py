"""Codes in a plane by UMAP, here or in a process of its own; without torch, so that the process begins at once.

`python -m vaekit.latents.umap` reads codes (N, D) as NPY from standard input and writes places (N, 2) to standard
output.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from vaekit.errors import UserError, optional

NO_UMAP = "UMAP needs the package umap-learn: pip install 'vaekit[umap]'"
NEIGHBOURS = 15
FEW = 20
"""Codes below which UMAP's spectral start is not possible."""
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def has_umap() -> bool:
    """Return whether the package of UMAP is installed, without importing it (which takes seconds)."""
    return find_spec("umap") is not None


def umap_places(z: Any, seed: int = 0) -> np.ndarray:
    """Return places (N, 2), float32, of codes z (N, D), near where codes are near: UMAP, 15 neighbours.

    There is no way back to codes, and distances between far groups mean little. The same codes and seed give the same
    places. It takes seconds for thousands of codes.

    Source: McInnes, Healy & Melville 2018, arXiv:1802.03426.

    Raises:
        UserError: umap-learn is not installed, or there are fewer than 4 codes.
    """
    z = np.asarray(z, np.float32)
    if len(z) < 4:
        raise UserError(f"UMAP needs at least 4 codes, and there are {len(z)}")
    umap = optional("umap", NO_UMAP)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the package's own dependencies
        made = umap.UMAP(
            n_components=2,
            n_neighbors=min(NEIGHBOURS, len(z) - 1),
            init="random" if len(z) < FEW else "spectral",
            random_state=seed,
            n_jobs=1,
        )
        return np.asarray(made.fit_transform(z), np.float32)


def umap_apart(z: Any, check_stop: Callable[[], None]) -> np.ndarray:
    """Return `umap_places` from a process of its own: UMAP's compiled loops would hold up this one's other threads.

    `check_stop` is called twice a second, and ends it by an error.
    """
    given = io.BytesIO()
    np.save(given, np.asarray(z, np.float32))
    data: bytes | None = given.getvalue()
    path = os.pathsep.join(part for part in sys.path if part)
    environment = os.environ | _THREADS | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    command, pipe = [sys.executable, "-m", "vaekit.latents.umap"], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment) as process:
        try:
            while True:
                try:
                    made, said = process.communicate(data, timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    data = None
                    check_stop()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it ended without a word"]
        raise UserError(f"UMAP failed: {last[0][:300]}")
    return np.load(io.BytesIO(made), allow_pickle=False)


def _main() -> None:
    z = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what the package prints is not among the places
    np.save(out, umap_places(z))
    out.flush()


if __name__ == "__main__":
    _main()
