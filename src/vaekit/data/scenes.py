"""Rendered scenes whose factors cause one another: two known graphs, exact mechanisms, exact counterfactuals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.errors import UserError

SIDE = 32
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Factors in a causal order, each a function of its parents and of noise of its own: v_i = f_i(v_pa(i)) + s_i e_i.

    `parents` names those of each factor; `mechanisms` gives f_i of the factors before it, (N, i), and `noise` s_i,
    e_i ~ N(0, 1), for the factors that have parents; a factor without any is uniform on [0, 1]. `draw` renders factors
    (N, F) on [0, 1] or somewhat beyond as grey levels (N, 32, 32) uint8, each factor by its own value alone, so that a
    picture can break the mechanisms.
    """

    name: str
    parents: Mapping[str, tuple[str, ...]]
    mechanisms: Mapping[str, Callable[[Floats], Floats]]
    noise: Mapping[str, float]
    draw: Callable[[Floats], NDArray[np.uint8]]

    @property
    def names(self) -> tuple[str, ...]:
        """The factors, causes first."""
        return tuple(self.parents)

    @property
    def graph(self) -> NDArray[np.bool_]:
        """The edges (F, F): [i, j] says that factor i is a parent of factor j."""
        return np.array([[a in self.parents[b] for b in self.names] for a in self.names])

    def sample(self, n: int, seed: int = 0) -> Floats:
        """Draw n scenes' factors, (n, F)."""
        rng = np.random.default_rng(seed)
        out = np.empty((n, len(self.names)))
        for i, name in enumerate(self.names):
            if name in self.mechanisms:
                out[:, i] = self.mechanisms[name](out) + self.noise[name] * rng.standard_normal(n)
            else:
                out[:, i] = rng.random(n)
        return out

    def intervened(self, factors: Floats, name: str, value: float | Floats) -> Floats:
        """Return the factors (N, F) had `name` been `value` and all noise the same: what it causes moves with it.

        >>> scene = SCENES["shadows"]
        >>> v = scene.sample(3)
        >>> after = scene.intervened(v, "shadow", 0.5)
        >>> bool((after[:, :2] == v[:, :2]).all() and (after[:, 2] == 0.5).all())
        True
        """
        if name not in self.names:
            raise UserError(f"the scenes have no factor '{name}'; they have {', '.join(self.names)}")
        out = factors.copy()
        for i, one in enumerate(self.names):
            if one == name:
                out[:, i] = value
            elif one in self.mechanisms:  # its noise is what its value was beyond its mechanism
                out[:, i] = self.mechanisms[one](out) + (factors[:, i] - self.mechanisms[one](factors))
        return out


def _grid() -> tuple[Floats, Floats]:
    pixel: Floats = np.arange(SIDE, dtype=np.float64) + 0.5
    return pixel[None, None, :], pixel[None, :, None]


def _bar(low: Floats, high: Floats, at: Floats) -> Floats:
    """Return how much of each pixel, whose centre is `at`, lies between two places: edges are smooth."""
    return np.clip(at - low + 0.5, 0, 1) * np.clip(high - at + 0.5, 0, 1)


def _column(values: Floats) -> Floats:
    return values[:, None, None]


def draw_shadows(factors: Floats) -> NDArray[np.uint8]:
    """Draw a light in the sky, a pole, and a shadow on the ground: light, pole, shadow (its middle), length."""
    x, y = _grid()
    light, pole, shadow, length = (_column(v) for v in factors.T)
    disc = np.clip(2.5 - np.hypot(x - (4 + 24 * light), y - 4) + 0.5, 0, 1)
    post = _bar(np.full_like(pole, 15.0), np.full_like(pole, 17.0), x) * _bar(22 - (3 + 11 * pole), 0 * pole + 22, y)
    middle, half = 2 + 28 * shadow, 1 + 6 * length
    dark = _bar(middle - half, middle + half, x) * _bar(0 * pole + 25, 0 * pole + 28, y)
    ground = 0.25 * _bar(0 * pole + 22, 0 * pole + 32, y)
    return np.rint(255 * np.clip(np.maximum.reduce([disc, 0.7 * post, ground + 0.75 * dark]), 0, 1)).astype(np.uint8)


def draw_tank(factors: Floats) -> NDArray[np.uint8]:
    """Draw a tank with a ball and water, a hole in its side, and how far the jet of water reaches: ball, hole, level,
    jet."""
    x, y = _grid()
    ball, hole, level, jet = (_column(v) for v in factors.T)
    zero = 0 * ball
    water = 0.4 * _bar(zero + 2, zero + 15, x) * _bar(28 - (6 + 18 * level), zero + 28, y)
    radius = 1 + 3 * ball
    disc = np.clip(radius - np.hypot(x - 8.5, y - (28 - radius)) + 0.5, 0, 1)
    wall = 0.7 * _bar(zero + 15, zero + 17, x) * _bar(zero + 3, zero + 28, y)
    gap = _bar(zero + 14, zero + 18, x) * _bar(26 - 14 * hole - 1.5, 26 - 14 * hole + 1.5, y)
    floor = _bar(zero + 18, 18 + 1 + 12 * jet, x) * _bar(zero + 28, zero + 31, y)
    return np.rint(255 * np.clip(np.maximum.reduce([water, disc, wall * (1 - gap), floor]), 0, 1)).astype(np.uint8)


def _shadow(v: Floats) -> Floats:
    return 0.5 + 0.8 * (0.5 - v[:, 0]) * (0.35 + 0.65 * v[:, 1])


def _length(v: Floats) -> Floats:
    return 0.05 + 0.9 * (0.25 + 0.75 * (2 * np.abs(v[:, 0] - 0.5))) * (0.3 + 0.7 * v[:, 1])


def _level(v: Floats) -> Floats:
    return 0.25 + 0.6 * v[:, 0] ** 2


def _jet(v: Floats) -> Floats:
    return 0.05 + 0.9 * np.sqrt(np.clip(v[:, 2] - 0.6 * v[:, 1] + 0.35, 0, None)) * (0.5 + 0.5 * v[:, 1])


SCENES = {
    "shadows": Scene(
        "shadows",
        {"light": (), "pole": (), "shadow": ("light", "pole"), "length": ("light", "pole")},
        {"shadow": _shadow, "length": _length},
        {"shadow": 0.04, "length": 0.04},
        draw_shadows,
    ),
    "tank": Scene(
        "tank",
        {"ball": (), "hole": (), "level": ("ball",), "jet": ("hole", "level")},
        {"level": _level, "jet": _jet},
        {"level": 0.05, "jet": 0.04},
        draw_tank,
    ),
}
