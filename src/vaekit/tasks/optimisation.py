"""Optimisation in latent space: climbing a prediction of a property from given examples' codes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.data.molecules.chemistry import canonical, fingerprints, properties
from vaekit.errors import UserError

Predict = Callable[[Tensor], Tensor]
"""Codes (N, D) → predictions (N,) or (N, 1)."""


def ascend(
    predict: Predict, z: Tensor, *, steps: int = 100, rate: float = 0.1, keep: float = 0.0, minimise: bool = False
) -> tuple[Tensor, Tensor]:
    """Climb f(z) − keep ½|z|² from codes (N, D), for a prediction f; return the codes and predictions, (N, D), (N,).

    Each step goes `rate` along the gradient's direction, so that how far a code gets does not depend on f's scale; a
    step that would lower the objective is halved instead, for that example alone. −½|z|² is log N(z; 0, I) up to a
    constant: `keep` holds codes where the prior has them, and so where the decoder was trained. `minimise` climbs −f.

    Raises:
        UserError: a step, a rate or a weight that makes no sense.

    Source: Gómez-Bombarelli et al. 2018, arXiv:1610.02415, §2.3 (there with a Gaussian process for f).

    >>> codes, value = ascend(lambda z: -(z - 1).square().sum(-1), torch.zeros(1, 2), steps=200)
    >>> codes.round(decimals=2).tolist()
    [[1.0, 1.0]]
    """
    if steps < 1 or not rate > 0 or keep < 0:
        raise UserError(f"optimising takes steps ≥ 1, a rate above 0 and keep ≥ 0, not {steps}, {rate:g}, {keep:g}")
    sign = -1.0 if minimise else 1.0

    def objective(code: Tensor) -> Tensor:
        return sign * predict(code).reshape(len(code)) - keep / 2 * code.square().sum(-1)

    code = z.detach().clone()
    length = torch.full((len(code), 1), float(rate), dtype=code.dtype, device=code.device)
    for _ in range(steps):
        with torch.enable_grad():
            code.requires_grad_(True)
            now = objective(code)
            (gradient,) = torch.autograd.grad(now.sum(), [code])
        code = code.detach()
        with torch.no_grad():
            moved = code + length * gradient / gradient.norm(dim=-1, keepdim=True).clamp(min=1e-12)
            better = (objective(moved) > now).unsqueeze(-1)
            code = torch.where(better, moved, code)
            length = torch.where(better, length, length / 2)
    with torch.no_grad():
        return code, predict(code).reshape(len(code))


def columns(start: list[str], again: list[str], end: list[str], predicted: np.ndarray, name: str) -> dict[str, Any]:
    """Return what came of an ascent from molecules `start`, whose codes decode to `again`, to `end`, as columns.

    Properties `name` are true ones, by rdkit; texts are canonical SMILES, "" for what is not a molecule.
    """
    start, again, end = ([canonical(text) or "" for text in texts] for texts in (start, again, end))
    return {
        "molecule": start,
        "before": properties(start, name),
        "reconstruction": again,
        "reconstructed": properties(again, name),
        "optimised": end,
        "after": properties(end, name),
        "predicted": predicted,
        "similarity": _similarity(start, end),
    }


def _similarity(a: list[str], b: list[str]) -> np.ndarray:
    """Return the Tanimoto similarity of each pair; NaN where one is no molecule."""
    out = np.full(len(a), np.nan)
    both = np.array([bool(one) and bool(other) for one, other in zip(a, b)])
    if both.any():
        first, second = (fingerprints([text for text, ok in zip(side, both) if ok]) for side in (a, b))
        either = np.maximum((first | second).sum(1), 1)
        out[both] = (first & second).sum(1) / either
    return out


def summary(columns: dict[str, Any], minimise: bool) -> dict[str, Any]:
    """Return means with standard errors over molecules that are valid before and after, and shares of the others."""
    before, after = columns["before"], columns["after"]
    valid = np.isfinite(before) & np.isfinite(after)
    gain = (after - before)[valid] * (-1 if minimise else 1)
    new = np.array([a != b for a, b in zip(columns["molecule"], columns["optimised"])])[valid]
    again = np.isfinite(columns["reconstructed"])
    out: dict[str, Any] = {"n": len(before), "valid": float(np.isfinite(after).mean())}
    if not valid.any():
        return out
    numbers: dict[str, np.ndarray] = {
        "before": before[valid],
        "after": after[valid],
        "gain": gain,
        "reconstructed": columns["reconstructed"][again],
        "predicted": columns["predicted"][valid],
        "similarity": columns["similarity"][valid],
        "improved": (gain > 0).astype(float),
        "changed": new.astype(float),
    }
    return out | {name: _mean(value) for name, value in numbers.items()}


def _mean(values: np.ndarray) -> dict[str, Any]:
    every = np.asarray(values, float)
    error = {} if len(every) < 2 else {"stderr": float(every.std(ddof=1) / len(every) ** 0.5)}
    return {"value": float(every.mean()) if len(every) else None, "unit": "", "n": len(every), **error}
