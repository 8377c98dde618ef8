"""Metrics of quantised codes: how much of the codebook is used, and what the prior says of the codes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vaekit.metrics.base import Result, Subject, mean_of, metric


@metric(
    "codebook",
    group="latents",
    gives={
        "codebook_perplexity": ("exp of the entropy of the codes' use over the test examples; at most K", True),
        "codebook_used": ("share of the codes that the test examples use", True),
        "code_gain": ("nats an example by which the prior codes better than a uniform one would", True),
    },
    needs=("codes",),
    reference="van den Oord et al. 2017, arXiv:1711.00937",
)
@torch.no_grad()
def codebook(subject: Subject) -> dict[str, Result]:
    """Perplexity and use of the codebook over the test examples (mean of the levels), and the prior's gain."""
    model = subject.model
    counts: dict[str, Tensor] = {}
    gains: list[Tensor] = []
    for x, y in subject.batches("codebook"):
        found = model.codes(x)
        levels: Mapping[str, Tensor] = found if isinstance(found, Mapping) else {"z": found}
        places = 0
        for name, codes in levels.items():
            add = torch.bincount(codes.flatten(), minlength=model.code_count)
            counts[name] = counts[name] + add if name in counts else add
            places += codes[0].numel()
        rate = torch.stack([kl.mean(0) for kl in model.trace(x, subject.label(y), hard=True).kl.values()]).sum(0)
        gains.append(places * math.log(model.code_count) - rate)
    by_level = {name: perplexity(one) for name, one in counts.items()}
    used = {name: float((one > 0).double().mean()) for name, one in counts.items()}
    facts = {"of": model.code_count, "by_level": by_level} if len(by_level) > 1 else {"of": model.code_count}
    n = len(subject.x)
    return {
        "codebook_perplexity": Result(sum(by_level.values()) / len(by_level), "codes", n, facts=facts),
        "codebook_used": Result(sum(used.values()) / len(used), "share", n),
        "code_gain": mean_of(torch.cat(gains), "nats an example"),
    }


def perplexity(counts: Tensor) -> float:
    """Return exp(-Σ p log p) of the shares of the counts.

    >>> perplexity(torch.tensor([5, 5, 0, 0]))
    2.0
    """
    p = counts.double() / counts.sum()
    return math.exp(-float(torch.xlogy(p, p).sum()))
