"""Numbers as a person reads them: as many digits as the error supports."""

from __future__ import annotations

import math

MINUS = "−"


def format_number(value: float | None, stderr: float | None = None, interval: tuple[float, float] | None = None) -> str:
    """`value ± stderr` with two significant digits in the error, or `value [low, high]`, or four significant digits.

    Whole numbers without an error stay whole, with commas; a missing or undefined value is an en dash.

    >>> format_number(-98.13571, 0.21388)
    '−98.14 ± 0.21'
    >>> format_number(0.91234, interval=(0.8812, 0.9401))
    '0.912 [0.881, 0.940]'
    >>> format_number(0.0123456), format_number(1234567), format_number(20.0), format_number(None)
    ('0.01235', '1,234,567', '20', '–')
    >>> format_number(1536.2, 123.4)
    '1,536 ± 123'
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return f"{MINUS if value < 0 else ''}∞"
    if stderr is not None and math.isfinite(stderr) and stderr > 0:
        digits = _decimals(stderr, 2)
        return f"{_fixed(value, digits, stderr)} ± {_fixed(stderr, digits, stderr)}"
    if interval is not None and all(math.isfinite(end) for end in interval):
        width = abs(interval[1] - interval[0]) / 2
        digits = _decimals(width, 2) if width > 0 else 4
        low, high = (_fixed(end, digits, width) for end in interval)
        return f"{_fixed(value, digits, width)} [{low}, {high}]"
    if float(value).is_integer() and abs(value) < 1e15:
        return signed(f"{int(value):,}")
    if not 1e-4 <= abs(value) < 1e9:
        return signed(f"{value:.3e}")
    return signed(f"{value:,.{_decimals(value, 4)}f}")


def _decimals(size: float, significant: int) -> int:
    """Decimals that show `significant` digits of `size`."""
    return max(0, significant - 1 - _magnitude(size))


def _fixed(value: float, digits: int, scale: float) -> str:
    if digits > 6 or abs(value) >= 1e9:
        shown = max(2, 2 + _magnitude(value) - _magnitude(scale)) if value and scale else 3
        return signed(f"{value:.{shown - 1}e}")
    return signed(f"{value:,.{digits}f}")


def _magnitude(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def signed(text: str) -> str:
    """A true minus before the mantissa; a zero has no sign."""
    if text.startswith("-") and not any(c in "123456789" for c in text.split("e")[0]):
        text = text[1:]
    return text.replace("-", MINUS, 1) if text.startswith("-") else text
