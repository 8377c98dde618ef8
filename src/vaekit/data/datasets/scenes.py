"""Rendered scenes with a known causal graph: a light and shadows, and a tank of water."""

from __future__ import annotations

from pathlib import Path

from vaekit.data.datasets import DATASETS
from vaekit.data.factors import DEFAULT_COUNT
from vaekit.data.raw import Part, Raw
from vaekit.data.scenes import SCENES

COUNT = 5000
"""Scenes drawn unless `data.limit` asks for others."""


def _drawn(name: str, count: int | None) -> Raw:
    """Return scenes with their factors, which are labels too: numbers, by name."""
    scene = SCENES[name]
    factors = scene.sample(COUNT if count is None else count)
    part = Part(scene.draw(factors)[:, None], factors, factors)
    return Raw(
        name,
        "vaekit",
        part,
        levels=256,
        label_names=scene.names,
        factor_names=scene.names,
        factor_sizes=(max(2, DEFAULT_COUNT),) * len(scene.names),
        facts={"scene": name},
    )


@DATASETS.register(
    "shadows",
    summary="a light, a pole and its shadow, 32×32 grey: four factors with a known causal graph, no download",
    reference="after the pendulum of Yang et al. 2021, arXiv:2004.08697",
    licence="drawn by vaekit",
    size="5,000 (or data.limit), 32×32",
    bundled="vaekit",
    total=10**9,
)
def shadows(_: Path, count: int | None = None) -> Raw:
    """light → shadow, length ← pole."""
    return _drawn("shadows", count)


@DATASETS.register(
    "tank",
    summary="a ball in a tank of water and its jet, 32×32 grey: four factors with a known causal graph",
    reference="after the flow of Yang et al. 2021, arXiv:2004.08697",
    licence="drawn by vaekit",
    size="5,000 (or data.limit), 32×32",
    bundled="vaekit",
    total=10**9,
)
def tank(_: Path, count: int | None = None) -> Raw:
    """ball → level → jet ← hole."""
    return _drawn("tank", count)
