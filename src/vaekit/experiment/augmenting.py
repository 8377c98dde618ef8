"""New examples for estimators and commands: codes moved by vaekit.tasks.augmentation, by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vaekit.errors import UserError
from vaekit.tasks.augmentation import between, by_class, near


def moved_codes(
    z: NDArray[np.float64], y: NDArray[Any] | None, n: int, method: str, radius: float, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return n new codes by "near", "interpolate" or "class", and which example each one's label comes from."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.from_numpy(np.asarray(z, dtype=np.float64)).float()
    number = None if y is None else torch.from_numpy(np.unique(y, return_inverse=True)[1].reshape(len(y)))
    if method == "near":
        moved, of = near(codes, n, radius, generator)
    elif method == "interpolate":
        moved, of = between(codes, number, n, generator)
    elif method == "class" and number is not None:
        moved, label = by_class(codes, number, n, generator)
        first = {int(c): int((number == c).nonzero()[0]) for c in number.unique()}
        of = torch.tensor([first[int(c)] for c in label])
    elif method == "class":
        raise UserError("augmenting by class needs labels, and the data have none; use near or interpolate")
    else:
        raise UserError(f"there is no way to augment '{method}'; there are near, class, interpolate and adversarial")
    return moved.double().numpy(), of.numpy()
