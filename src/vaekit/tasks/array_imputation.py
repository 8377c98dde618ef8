"""Arrays and images with NaN: as a model sees them, and back."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit.data.info import DataInfo
from vaekit.data.prepare import Prepare
from vaekit.errors import UserError


def with_gaps(info: DataInfo, prepare: Prepare, x: NDArray[np.float64], where: str) -> tuple[Tensor, float]:
    """Return rows (N, *shape) as the model sees them, NaN kept, and the value of one unit in the source's terms.

    `where` names the array in errors.
    """
    if not info.is_array:
        raise UserError(f"impute fills arrays and tables, and {info.name} holds examples of kind '{info.kind}'")
    if np.isinf(x).any():
        row = int(np.argwhere(np.isinf(x))[0][0])
        raise UserError(f"{where}: example {row} holds an infinite value; replace it")
    if not np.isnan(x).any():
        raise UserError(f"{where} has no missing values: no NaN and no empty cell; there is nothing to impute")
    shape = tuple(info.shape)
    own = tuple(x.shape[1:])
    if own != shape and not (len(shape) == 3 and shape[0] == 1 and own == shape[1:]):
        raise UserError(f"{where} has examples of shape {own}; this run's model takes {shape}")
    rows = torch.from_numpy(x.reshape(len(x), *shape))
    kind, seen = info.kind, x[~np.isnan(x)]
    if kind == "binary":
        if not np.isin(seen, (0.0, 1.0)).all():
            raise UserError(f"{where} has values other than 0, 1 and NaN, and this run's model is of binary data")
        return rows.float(), 1.0
    if kind in ("levels", "unit"):
        top = float((info.levels or 256) - 1)
        unit = top if len(seen) and seen.max() > 1 else 1.0
        if len(seen) and (seen.min() < 0 or seen.max() > unit):
            raise UserError(
                f"{where} has values from {seen.min():g} to {seen.max():g}; this run's go from 0 to {unit:g}"
            )
        rows = rows / unit
        return ((rows * top).round() / top if kind == "levels" else rows).float(), unit
    return prepare.of_values(rows).float(), 1.0


def in_source_terms(info: DataInfo, prepare: Prepare, x: Tensor, unit: float) -> NDArray[np.float64]:
    """Return imputed values in the source's terms."""
    if info.kind in ("real", "counts"):
        return prepare.invert(x).double().numpy()
    return x.double().numpy() * unit
