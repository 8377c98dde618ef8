"""Drawing from autoregressive networks with and without what was already computed: seconds, and that they agree.

    python bench/sampling.py

Without: a whole pass of the network for every place; where there are hundreds, the time of one pass times the places.
With: PixelCNN keeps every layer's values, the transformer keys and values. One thread; the median of three.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from vaekit.likelihoods.logistic_mixture import PixelMixtures
from vaekit.nets.transformer import draw_token
from vaekit.priors.codes import AutoregressivePrior, PixelCNNPrior, TransformerPrior

N = 16


def seconds(call: Callable[[], object], times: int = 3) -> float:
    """Return the median time of a call, seconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return statistics.median(found)


@torch.no_grad()
def whole_codes(net: torch.nn.Module, shape: tuple[int, int]) -> Tensor:
    """Draw codes with a whole pass a place."""
    out = torch.zeros(N, *shape, dtype=torch.long)
    for place in range(shape[0] * shape[1]):
        i, j = divmod(place, shape[1])
        out[:, i, j] = draw_token(net(out)[:, :, i, j])
    return out


@torch.no_grad()
def codes(name: str, prior: AutoregressivePrior) -> None:
    """Print one line for a prior of codes."""
    net, shape = prior.causal.eval(), (prior.shape[0], prior.shape[1])
    slow = seconds(lambda: whole_codes(net, shape))
    report(name, slow, seconds(lambda: net.generate(N)))


def report(name: str, slow: float, fast: float) -> None:
    """Print one line."""
    print(f"{name}: {slow:.3f} s whole, {fast:.3f} s kept, {slow / fast:.1f} times quicker")


def main() -> None:
    """Print a table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{N} draws, torch {torch.__version__}, one thread")
    codes("pixelcnn, 7 × 7 codes of 128", PixelCNNPrior((7, 7), 128))
    codes("transformer, 7 × 7 codes of 128", TransformerPrior((7, 7), 128))
    pixels = PixelMixtures((1, 28, 28), 256, 5, context=8, width=32, layers=3, radius=1).eval()
    x, context = torch.zeros(N, 1, 28, 28), torch.randn(N, 8, 28, 28)
    with torch.no_grad():
        once = seconds(lambda: pixels.mixture(x, context).sample())
    report("pixel decoder, 28 × 28", 784 * once, seconds(lambda: pixels.generate(context)))


if __name__ == "__main__":
    main()
