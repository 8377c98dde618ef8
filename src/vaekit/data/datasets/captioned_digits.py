"""The bundled digits, each with its name as a cell and a caption that describes how it is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vaekit.data.datasets import DATASETS, read_known

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
THIN, BOLD = 4.4, 5.4
"""Mean grey, of 16, of a digit that is thin, and of one that is bold."""
LEANS = 0.12
"""Columns that a digit moves to the side on a line, from which it leans."""


@DATASETS.register(
    "captioned-digits",
    summary="handwritten digits, 8×8, with their names and captions: picture, cell and text, bundled",
    reference="Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI; captions from the pictures",
    licence="CC BY 4.0",
    size="1,797 of 8×8",
    bundled="scikit-learn",
    module="sklearn",
    modality="views",
)
def captioned_digits(_: Path) -> dict[str, Any]:
    """Return columns: picture, digit (a word), caption, and the label, which is no modality."""
    raw = read_known("digits")
    greys, y = raw.train.x.reshape(-1, 8, 8), raw.train.y
    captions = [f"{weight} {NAMES[digit]}{lean}" for weight, digit, lean in zip(_weights(greys), y, _leans(greys))]
    picture = np.round(greys * (255 / 16)).astype(np.uint8)
    return {"picture": picture, "digit": [NAMES[digit] for digit in y], "caption": captions, "label": y.astype(str)}


def _weights(greys: np.ndarray) -> list[str]:
    ink = greys.mean((1, 2))
    return ["a thin" if one < THIN else "a bold" if one > BOLD else "a plain" for one in ink]


def _leans(greys: np.ndarray) -> list[str]:
    """Say where the ink moves from the bottom line to the top, by a weighted straight line through it."""
    ink = greys.astype(np.float64) + 1e-9
    rows, columns = np.mgrid[:8, :8]
    total = ink.sum((1, 2))
    up, across = ((ink * axis).sum((1, 2)) / total for axis in (-rows, columns))
    off_up, off_across = -rows - up[:, None, None], columns - across[:, None, None]
    slope = (ink * off_up * off_across).sum((1, 2)) / (ink * off_up**2).sum((1, 2))
    return [" leaning right" if one > LEANS else " leaning left" if one < -LEANS else "" for one in slope]
