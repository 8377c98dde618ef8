"""The figures of a run of time series: lines, with bands where p(x|z) says how sure it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from vaekit.data.dataset import Split
from vaekit.data.series.collection import lengths_of, stopped
from vaekit.errors import UserError
from vaekit.figures import series as drawn
from vaekit.inference import inference
from vaekit.runs.series import SeriesRun

PICTURED, PATHS, TRAVERSED, FRAMES = 12, 6, 8, 9


def reconstructions(run: SeriesRun) -> Any:
    """Test series as dots, the mean of p(x|z) at their posterior mean, and two of its standard deviations."""
    return run.draw_reconstructions(_spread(run.shown, PICTURED))


def samples(run: SeriesRun) -> Any:
    """Means of p(x|z) for z drawn from the prior, with bands, of lengths drawn from the training series'."""
    with inference(run.model):
        z = run.model.sample_latent(PICTURED).cpu()
        ends = lengths_of(run.model.sample(PICTURED).cpu())
    mean, sd = run.band(z)
    return drawn.curves(stopped(mean, ends), run.info.facts, sd=sd)


def interpolation(run: SeriesRun) -> Any:
    """Paths between test series: the first channel."""
    split = _spread(run.shown, 2 * PATHS)
    half = len(split) // 2
    if not half:
        return None
    made = run.interpolate_examples([(i, i + half) for i in range(half)], split, steps=FRAMES)
    return drawn.paths(made, run.info.facts, [f"path {i + 1}" for i in range(half)])


def traversals(run: SeriesRun) -> Any:
    """The most informative latents, one moved at a time about the code of the first test series: the first channel."""
    try:
        made = run.traverse(run.shown, top=TRAVERSED, steps=FRAMES)
    except UserError:  # the codes are categories, or there are no examples
        return None
    names = [f"{name}, {kl:.2f} nats" for name, kl in zip(made.names, made.kl)]
    return drawn.paths(made.x, run.info.facts, names, made.values if made.values.ndim == 1 else None)


def _spread(split: Split, most: int) -> Split:
    """Return examples from all over a split, which may lie sorted by class."""
    return split.take(torch.linspace(0, len(split) - 1, min(most, len(split))).round().long())


MAKERS: dict[str, Callable[[Any], Any]] = {
    "reconstructions": reconstructions,
    "samples": samples,
    "interpolation": interpolation,
    "traversals": traversals,
}

CAPTIONS = {
    "reconstructions": (
        "Reconstructions",
        "Test series as dots; the mean of p(x|z) at their posterior mean, and two of its standard deviations.",
    ),
    "samples": (
        "Samples",
        "Means of p(x|z) for z drawn from the prior, and two of its deviations; lengths are those of training series.",
    ),
    "interpolation": ("Interpolation", "Straight paths between the codes of test series, decoded: the first channel."),
    "traversals": (
        "Traversals",
        "One latent moves, the others stay as in the first test series; most informative first. The first channel.",
    ),
}
"""What stands beside these figures in the report."""
