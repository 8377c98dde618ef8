"""Metrics of quantised codes: how much of the codebook is used, and what the prior gains over a uniform one."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from vaekit.inference import joined
from vaekit.metrics.base import Result, Subject, mean_of, metric


@metric(
    "codebook",
    group="latents",
    gives={
        "codebook_perplexity": ("exp of the entropy of the codes' use over the test examples; at most K", True),
        "codebook_used": ("share of the codes that the test examples use", True),
        "code_gain": ("nats/example by which the prior codes better than a uniform one would", True),
    },
    needs=("codes",),
    reference="van den Oord et al. 2017, arXiv:1711.00937",
)
def codebook(subject: Subject) -> dict[str, Result]:
    """Perplexity and use of the codebook over the test examples (mean of the levels), and the prior's gain."""
    from scipy.stats import entropy

    model = subject.model
    size = model.code_count
    counts: dict[str, Tensor] = {}
    gains: list[Tensor] = []
    for x, y in subject.batches("codebook"):
        codes = model.codes(x)
        levels: Mapping[str, Tensor] = codes if isinstance(codes, Mapping) else {"z": codes}
        for name, level in levels.items():
            batch = torch.bincount(level.flatten(), minlength=size)
            counts[name] = counts[name] + batch if name in counts else batch
        rate = torch.stack([kl.mean(0) for kl in model.trace(x, y, hard=True).kl.values()]).sum(0)
        gains.append(sum(level[0].numel() for level in levels.values()) * math.log(size) - rate)
    by_level = {name: math.exp(entropy(level.cpu().numpy())) for name, level in counts.items()}
    used = [float((level > 0).double().mean()) for level in counts.values()]
    facts = {"of": size, "by_level": by_level} if len(by_level) > 1 else {"of": size}
    n = len(subject.x)
    return {
        "codebook_perplexity": Result(sum(by_level.values()) / len(by_level), "codes", n, facts=facts),
        "codebook_used": Result(sum(used) / len(used), "share", n),
        "code_gain": mean_of(joined(gains), "nats/example"),
    }
