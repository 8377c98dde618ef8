"""UMAP of a map's codes in a process of its own: its compiled loops would hold up the threads that answer the page.

`python -m vaekit.explorer.umap` reads codes (N, D) as NPY from standard input and writes places (N, 2) to standard
output.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vaekit.errors import UserError
from vaekit.latents.manifold import umap_places

MOST = 10_000
"""Codes that are placed: those of the map's first examples."""
SEED = 0
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def placed(z: Tensor, check_stop: Callable[[], None]) -> np.ndarray:
    """Return places (N, 2), float32, of codes z (N, D); `check_stop` is called often, and ends it by an error."""
    given = io.BytesIO()
    np.save(given, z.float().numpy())
    path = os.pathsep.join(part for part in sys.path if part)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-m", "vaekit.explorer.umap"],
        stdin=pipe, stdout=pipe, stderr=pipe, env=os.environ | _THREADS | {"PYTHONPATH": path},
    )  # fmt: skip
    data: bytes | None = given.getvalue()
    try:
        while True:
            try:
                made, said = process.communicate(data, timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                data = None
                check_stop()
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip().splitlines()[-1:] or ["it ended without a word"]
        raise UserError(f"UMAP failed: {last[0][:300]}")
    return np.load(io.BytesIO(made), allow_pickle=False)


def _main() -> None:
    z = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    out, sys.stdout = sys.stdout.buffer, sys.stderr  # what the package prints is not among the places
    np.save(out, umap_places(torch.from_numpy(z), SEED).numpy())
    out.flush()


if __name__ == "__main__":
    _main()
