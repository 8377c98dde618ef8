"""Arrays, tensors and nested lists as NumPy arrays."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vaekit.data.limits import check_size
from vaekit.errors import UserError

HALVES = ("torch.bfloat16", "torch.float16")


def as_array(value: Any, what: str) -> np.ndarray:
    """Return an array, a tensor or nested lists as an array; what a NumPy mask hides is NaN.

    Raises:
        UserError: it is ragged, of objects, or a tensor without values.

    >>> as_array(np.ma.masked_equal([1, 999], 999), "x").tolist()
    [1.0, nan]
    """
    if hasattr(value, "detach"):
        return _of_tensor(value, what)
    if isinstance(value, list | tuple) and any(isinstance(one, np.ma.MaskedArray) for one in value):
        value = [unmasked(one, what) for one in value]
    try:
        array = unmasked(value, what) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{what} is ragged; give every example the same shape ({error})") from None
    if array.dtype.kind == "O":
        raise UserError(f"{what} is an array of objects; give numbers, every example of the same shape")
    return array


def as_floats(x: np.ndarray, kind: Any = np.float64) -> np.ndarray:
    """Return numbers as floats of a `kind`; what is too large for it becomes infinite, which readers name by its place.

    >>> as_floats(np.array([1, 1e300]), np.float32).tolist()
    [1.0, inf]
    """
    with np.errstate(over="ignore", invalid="ignore"):  # invalid: a NaN that signals
        return x.astype(kind)


def unmasked(value: Any, what: str) -> Any:
    """Return an array with NaN where a mask hides its values; other values as they are.

    Raises:
        UserError: what is hidden are no numbers.
    """
    if not isinstance(value, np.ma.MaskedArray):
        return value
    if not np.ma.is_masked(value):
        return np.asarray(value)
    if value.dtype.kind not in "buif":
        raise UserError(f"{what} is a masked array of {value.dtype}; fill in what the mask hides")
    numbers: Any = value.astype(value.dtype if value.dtype.kind == "f" else np.float64)
    return np.asarray(numbers.filled(np.nan))


def _of_tensor(value: Any, what: str) -> np.ndarray:
    if value.device.type == "meta":
        raise UserError(f"{what} is a tensor on the device meta, which holds no values; give one that does")
    try:
        value = value.detach()
        if str(value.layout) != "torch.strided":
            check_size(math.prod(value.shape) * value.element_size(), what)
            value = value.to_dense()
        value = value.dequantize() if value.is_quantized else value
        value = value.cpu().resolve_conj().resolve_neg()
        return (value.float() if str(value.dtype) in HALVES else value).numpy()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise UserError(f"{what} is a tensor that cannot be read as an array ({error}); give a dense one") from None
