"""Importance-weighted log p(x), K = 5,000, on the 784-512-256-20 model: vaekit against a hand-written loop.

    OMP_NUM_THREADS=1 python bench/log_likelihood.py [--images 40] [--k 5000] [--rounds 5] [--memory]

Both sides run in turn on the same images and weights, CPU seconds of one process, the figure scaled to 1,000 images.
The hand-written loop takes chunks of 500 rows, decodes them into buffers that are reused, and sums x·l as a
matrix-vector product minus the softplus of the logits. `--memory` runs fresh processes at several K instead and prints
each one's peak. pythae's `get_nll` is not measured: it is not among the project's dependencies.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time

import torch
from torch import Tensor

from vaekit import bounds
from vaekit.likelihoods.bernoulli import Bernoulli
from vaekit.models.vae import VAE
from vaekit.nets.mlp import mlp
from vaekit.posteriors.normal import DiagonalNormal
from vaekit.priors.normal import StandardNormal

CHUNK = 500


def build() -> VAE:
    """Return the model with seeded weights; its speed does not depend on what it has learned."""
    torch.manual_seed(0)
    model = VAE(DiagonalNormal(mlp(784, 20, (512, 256))), StandardNormal(20), Bernoulli(mlp(20, 784, (256, 512))))
    return model.eval()


def images(n: int) -> Tensor:
    """Return binary images: MNIST's test digits where they are at hand, else random ones of the same density."""
    from vaekit.data import DATASETS, available, load

    if available(DATASETS["mnist"]) is None:
        return (torch.rand(n, 784, generator=torch.Generator().manual_seed(0)) < 0.13).float()
    data = load("mnist", wants="binary")
    return data.prepare.fixed(data.test.first(n)).x.flatten(1).float()


def weights(net: torch.nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Return (weight, bias) of a network's linear layers, in order."""
    return [(m.weight.detach(), m.bias.detach()) for m in net.modules() if isinstance(m, torch.nn.Linear)]


@torch.no_grad()
def by_hand(model: VAE, x: Tensor, k: int) -> Tensor:
    """Estimate log p(x) with a loop written for this model alone."""
    assert model.posterior.net is not None and model.likelihood.net is not None
    encoder, decoder = weights(model.posterior.net), weights(model.likelihood.net)
    buffers = [torch.empty(CHUNK, weight.shape[0]) for weight, _ in decoder]
    soft = torch.empty(CHUNK, 784)
    out = torch.empty(len(x))
    for i, image in enumerate(x):
        h = image
        for weight, bias in encoder[:-1]:
            h = torch.relu(torch.addmv(bias, weight, h))
        loc, raw = torch.addmv(encoder[-1][1], encoder[-1][0], h).split(20)
        log_scale = 7 * torch.tanh(raw / 7)
        parts = []
        for start in range(0, k, CHUNK):
            rows = min(CHUNK, k - start)
            noise = torch.randn(rows, 20)
            z = h = loc + noise * log_scale.exp()
            for (weight, bias), buffer in zip(decoder, buffers):
                h = torch.addmm(bias, h, weight.t(), out=buffer[:rows])
                if buffer is not buffers[-1]:
                    h.relu_()
            torch.ops.aten.softplus.out(h, out=soft[:rows])
            log_px = torch.mv(h, image) - soft[:rows].sum(1)
            log_ratio = 0.5 * (noise.square() - z.square()).sum(1) + log_scale.sum()
            parts.append(torch.logsumexp(log_px + log_ratio, 0))
        out[i] = torch.logsumexp(torch.stack(parts), 0) - math.log(k)
    return out


def ours(model: VAE, x: Tensor, k: int) -> Tensor:
    """Estimate log p(x) with the library."""
    return bounds.log_likelihood(model, x, k=k).values


def compare(n: int, k: int, rounds: int) -> dict[str, float]:
    """Time both in turn; CPU seconds per 1,000 images, medians over rounds."""
    model, x = build(), images(n)
    each = max(1, n // rounds)
    seconds: dict[str, list[float]] = {"vaekit": [], "by hand": []}
    values: dict[str, list[Tensor]] = {"vaekit": [], "by hand": []}
    for call in (ours, by_hand):
        call(model, x[:1], 1000)
    for part in x[: each * rounds].split(each):
        for name, call in (("vaekit", ours), ("by hand", by_hand)):
            begun = time.process_time()
            values[name].append(call(model, part, k))
            seconds[name].append((time.process_time() - begun) / len(part) * 1000)
    middle = {name: statistics.median(some) for name, some in seconds.items()}
    means = {name: float(torch.cat(some).mean()) for name, some in values.items()}
    ratios = [a / b for a, b in zip(seconds["vaekit"], seconds["by hand"])]
    return {
        "vaekit_s_per_1000": round(middle["vaekit"], 1),
        "by_hand_s_per_1000": round(middle["by hand"], 1),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "vaekit_log_px": round(means["vaekit"], 3),
        "by_hand_log_px": round(means["by hand"], 3),
        "images": each * rounds,
        "k": k,
        "threads": torch.get_num_threads(),
    }


def peak(k: int) -> int:
    """Return the peak memory (KiB) of a fresh process that estimates log p(x) of two images at this K."""
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2]); import log_likelihood as b, torch;"
        "m = b.build(); x = (torch.rand(2, 784) < 0.13).float(); b.ours(m, x, int(sys.argv[1]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    here = __file__.rpartition("/")[0] or "."
    done = subprocess.run([sys.executable, "-c", code, str(k), here], capture_output=True, text=True, check=True)
    return int(done.stdout)


def main() -> None:
    """Run what was asked for and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--k", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true")
    given = parser.parse_args()
    if given.memory:
        print(json.dumps({f"peak_kib_k{k}": peak(k) for k in (500, 5_000, 50_000)}))
    else:
        print(json.dumps(compare(given.images, given.k, given.rounds)))


if __name__ == "__main__":
    main()
