"""A VAE whose training traces also hold what the decoder makes for a discriminator to judge."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vaekit.models.vae import VAE
from vaekit.trace import GeneratingTrace, extended


class Generating(VAE):
    """A VAE whose traces are `GeneratingTrace`: `generated` are means of p(x|z) at prior draws and at codes, (2B, ...).

    The codes are detached, so that a loss on what is generated reaches the decoder and not the encoder.
    Source: Larsen et al. 2016, arXiv:1512.09300, algorithm 1.
    """

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> GeneratingTrace:
        """Run one forward pass with `k` posterior samples an example."""
        trace = super().trace(x, y, k, hard)
        z = torch.cat([self.sample_latent(len(x), y), trace.latents["z"].z[0].detach()])
        label = None if y is None or not self.takes_label else torch.cat([y, y])
        return extended(trace, GeneratingTrace, generated=self.decode(z, label).mean)
