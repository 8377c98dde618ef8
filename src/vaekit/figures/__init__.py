"""Figures: pure functions from numpy arrays to `matplotlib.figure.Figure`, in one legible style.

>>> from vaekit import figures
>>> figures.png(figures.kl_per_dimension([1.5, 0.002]))[1:4]
b'PNG'
"""

from vaekit.figures.images import interpolation, manifold, reconstructions, samples, traversals
from vaekit.figures.latents import aggregate_posterior, kl_per_dimension, latent_map
from vaekit.figures.layers import kl_layers
from vaekit.figures.plots import anomaly_scores, rank_histograms, rate_distortion
from vaekit.figures.style import png, save
from vaekit.figures.training import curves

__all__ = [
    "aggregate_posterior",
    "anomaly_scores",
    "curves",
    "interpolation",
    "kl_layers",
    "kl_per_dimension",
    "latent_map",
    "manifold",
    "png",
    "rank_histograms",
    "rate_distortion",
    "reconstructions",
    "samples",
    "save",
    "traversals",
]
