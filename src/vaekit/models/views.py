"""Models of several modalities that learn from examples with fewer of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vaekit.models.vae import VAE
from vaekit.trace import Trace
from vaekit.views import View


class HidingViews(nn.Module):
    """Rows (B, W) that lose modalities while training: a share `rows` of them, each of theirs with probability 1/2.

    One at least stays. The bound is then that of what is left, log p(x_S) of the same model.

    >>> from vaekit.views import views_of
    >>> hiding = HidingViews(1.0, views_of([{"name": name, "kind": "numbers", "shape": [1]} for name in "ab"]))
    >>> gone = torch.isnan(hiding(torch.zeros(4000, 2)))
    >>> gone.all(1).any().item(), gone.float().mean().round(decimals=1)
    (False, tensor(0.4000))
    """

    owner: Tensor

    def __init__(self, rows: float, views: Sequence[View]) -> None:
        super().__init__()
        self.rows, self.views = rows, tuple(views)
        sizes = torch.tensor([view.stop - view.start for view in views])
        self.register_buffer("owner", torch.arange(len(views)).repeat_interleave(sizes), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the rows, as they are outside training."""
        if not (self.training and self.rows):
            return x
        seen = torch.stack([view.seen(x) for view in self.views], -1)
        stays = torch.where(seen, torch.rand(seen.shape, device=x.device), -1.0)
        kept = (stays > 0.5) | (stays == stays.amax(-1, keepdim=True))
        kept |= torch.rand(len(x), 1, device=x.device) >= self.rows
        return torch.where(kept[:, self.owner], x, torch.nan)


class MultimodalVAE(VAE):
    """A VAE of rows (B, W) of several modalities, trained on some of them with fewer; see `HidingViews`.

    Its posterior are experts (`vaekit.posteriors.experts.Experts`), its likelihood has a part for each modality
    (`vaekit.likelihoods.views.Views`). Whatever is NaN in x is missing: `encode` gives q(z | what is there), a trace
    the bound on log p(what is there), and `reconstruct` every modality from those that are there.
    """

    hiding: HidingViews | None = None

    def trace(self, x: Any, y: Tensor | None = None, k: int = 1, hard: bool = False) -> Trace:
        """Run one forward pass, in training with some modalities hidden."""
        return super().trace(x if self.hiding is None else self.hiding(x), y, k, hard)
