"""Rendered sprites: every factor known exactly, laid out as dSprites is."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from vaekit.data.datasets import DATASETS
from vaekit.data.download import cache_folder, kept
from vaekit.data.factors import choose, factors_of
from vaekit.data.raw import Part, Raw

NAMES = ("shape", "scale", "orientation", "x", "y")
SIZES = (3, 6, 40, 32, 32)
SHAPES = ("square", "ellipse", "heart")
TOTAL = math.prod(SIZES)
SIDE = 64
_VERSION = 2  # raise when what is drawn changes: old caches are then ignored
_BLOCK = 256


def render(index: np.ndarray) -> np.ndarray:
    """Draw the sprites numbered `index` (N,) of 0 … 737,279: (N, 64, 64) uint8, 0 or 1.

    The number counts over (shape, scale, orientation, x, y), the last fastest. A pixel is 1 where its centre lies in
    the shape. Sizes go from ½ to 1 of the largest in six even steps, orientations are 2π i/40, centres lie on an even
    32 × 32 grid that keeps every sprite within the picture.

    >>> render(np.array([0, 500_000])).shape, int(render(np.array([0])).sum()) > 0
    ((2, 64, 64), True)
    """
    out = np.empty((len(index), SIDE, SIDE), np.uint8)
    for start in range(0, len(index), _BLOCK):
        block = index[start : start + _BLOCK]
        out[start : start + _BLOCK] = _draw(factors_of(block, SIZES))
    return out


def _draw(factors: np.ndarray) -> np.ndarray:
    """Draw sprites (B, 64, 64) by their factors (B, 5)."""
    shape, scale, turn, left, top = factors.T.astype(np.float32)
    pixel = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
    reach = np.float32(0.36)  # the farthest point of the largest sprite from its centre, of a picture of half-width 1
    centre_x = (left / 31 * 2 - 1) * (1 - reach)
    centre_y = (top / 31 * 2 - 1) * (1 - reach)
    size = reach * (0.5 + 0.1 * scale)
    angle = turn * np.float32(2 * math.pi / SIZES[2])
    along = (pixel[None, None, :] - centre_x[:, None, None]) / size[:, None, None]
    down = (pixel[None, :, None] - centre_y[:, None, None]) / size[:, None, None]
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    u, v = cos * along + sin * down, cos * down - sin * along
    out = np.empty(u.shape, np.uint8)
    for kind, inside in enumerate((_square, _ellipse, _heart)):
        rows = shape == kind
        out[rows] = inside(u[rows], v[rows])
    return out


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= math.sqrt(0.5)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u * u + 4 * v * v <= 1


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """The curve (a² + b² − 1)³ = a² b³, b pointing up, scaled and shifted into the unit circle."""
    a, b = 1.37 * u, 0.08 - 1.37 * v
    return (a * a + b * b - 1) ** 3 <= a * a * b**3


@DATASETS.register(
    "sprites",
    summary="drawn squares, ellipses and hearts, 64×64 binary, five exact factors: no download",
    reference="laid out as dSprites: Matthey et al. (2017), github.com/google-deepmind/dsprites-dataset",
    licence="drawn by vaekit",
    size="20,000 (or data.limit) of 737,280, 64×64",
    bundled="vaekit",
    total=TOTAL,
)
def sprites(_: Path, count: int | None = None) -> Raw:
    """Return a random part of the sprites, drawn once and kept as bits in the user's cache; shapes are the labels."""
    index = choose(TOTAL, count)
    cached = cache_folder() / "sprites" / f"sprites-{_VERSION}-{len(index)}.npz"
    x = np.unpackbits(kept(cached, lambda: {"bits": np.packbits(render(index), axis=-1)})["bits"], axis=-1)
    factors = factors_of(index, SIZES)
    part = Part(x[:, None], factors[:, 0], factors)
    return Raw("sprites", "vaekit", part, levels=2, classes=SHAPES, factor_names=NAMES, factor_sizes=SIZES)
