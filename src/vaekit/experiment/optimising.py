"""Molecules optimised for a property: climbed in latent space, decoded, and judged by the property's true value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from vaekit.data.chemistry import canonical, fingerprints, properties
from vaekit.errors import UserError
from vaekit.experiment.run import Run, load
from vaekit.experiment.showing import lines
from vaekit.experiment.writing import check_out, split_of, write_columns
from vaekit.metrics.base import Result, mean_of
from vaekit.models.base import Model, point
from vaekit.tasks.optimisation import ascend


def optimise(
    folder: Path,
    out: Path,
    *,
    data: str | None = None,
    n: int = 50,
    steps: int = 100,
    rate: float = 0.1,
    keep: float = 0.0,
    minimise: bool = False,
) -> dict[str, Any]:
    """Optimise molecules of `data` (the run's test split), write a table or an NPZ, and return what it comes to.

    The numbers are of decoded molecules' true property, by rdkit, never of the prediction; molecules that decode to
    none are counted, not replaced. Columns: `molecule`, `before`, `reconstruction`, `reconstructed` (its property),
    `optimised`, `after`, `predicted` and `similarity` (Tanimoto, to the start); empty or NaN where there is none.

    Raises:
        UserError: the run predicts no property.
    """
    check_out(out, (".csv", ".npz"))
    if n < 1:
        raise UserError(f"-n must be at least 1, not {n}")
    run = load(folder)
    split = split_of(run, data).first(n)
    columns = optimised(run, split.x, steps=steps, rate=rate, keep=keep, minimise=minimise)
    write_columns(out, columns)
    return {"property": run.info.facts["property"]["name"]} | summary(columns, minimise)


def optimised(run: Run, x: torch.Tensor, *, steps: int, rate: float, keep: float, minimise: bool) -> dict[str, Any]:
    """Return the columns that `optimise` writes, for token rows x (N, T)."""
    model = run.model
    fact = run.info.facts.get("property")
    if fact is None or not model.offers(Model.predict):
        raise UserError(
            f"this run ({run.recipe}) predicts no property; train molecule-vae with data.property=logp, say"
        )
    z = run.encode(x)
    model.eval()
    code, value = ascend(model.predict, z, steps=steps, rate=rate, keep=keep, minimise=minimise)
    start = [canonical(text) or "" for text in lines(run, x)]
    with torch.no_grad():
        again, end = ([canonical(text) or "" for text in lines(run, point(model.decode(codes)))] for codes in (z, code))
    found = {
        "molecule": start,
        "before": _property(start, fact["name"]),
        "reconstruction": again,
        "reconstructed": _property(again, fact["name"]),
        "optimised": end,
        "after": _property(end, fact["name"]),
        "predicted": (value.double().cpu().numpy() * fact["sd"] + fact["mean"]),
    }
    return found | {"similarity": _similarity(start, end)}


def _property(smiles: list[str], name: str) -> np.ndarray:
    return properties(smiles, name)


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
    return out | {name: _mean(value).to_dict() for name, value in numbers.items()}


def _mean(values: np.ndarray) -> Result:
    return mean_of(torch.from_numpy(np.asarray(values, float)), "")
