"""Classes from a few examples: accuracy, log p(x | examples of its class), and log p of whole sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vaekit.devices import device_of
from vaekit.latents.few_shot import episode, has_context, log_given, log_shared, set_log_likelihood, spread_within
from vaekit.metrics.base import Result, Subject, mean_of, metric, refused, refuses
from vaekit.metrics.gaps import fit_posteriors
from vaekit.metrics.likelihood import NATS, nats

SHOTS = (1, 5, 10)
DRAWS, K, MOST = 10, 100, 600
"""Draws of the examples given; samples; test examples looked at."""
GIVES: dict[str, tuple[str, bool | None]] = {
    "few_shot_accuracy": ("share of test examples classified rightly from 5 examples of each test class", True),
    "few_shot_accuracy_1": ("the same from 1", True),
    "few_shot_accuracy_10": ("the same from 10", True),
    "few_shot_log_px": ("log p(x | 5 examples of its class), K=100", True),
    "few_shot_log_px_1": ("the same from 1", True),
    "few_shot_log_px_10": ("the same from 10", True),
}


@metric(
    "few_shot",
    group="few-shot",
    gives=GIVES,
    needs=("labels", "array"),
    reference="Edwards & Storkey 2017, arXiv:1606.02185",
    slow=True,
)
@refuses(*GIVES, unit=NATS)
def few_shots(subject: Subject) -> dict[str, Result]:
    """Test classes from 1, 5 and 10 of their examples, ten draws of them: by a set's context, else by class means.

    With `data.unseen` the test classes are ones that the model never saw. A value is an example's mean over the draws.
    """
    assert subject.y is not None
    rows = subject.some_rows(int(subject.options.get("few_shot_limit", MOST)))
    x, y = subject.x.index_select(0, rows).float(), subject.y[rows].numpy()
    within = None if has_context(subject.model) else _spread(subject)
    draws, out = int(subject.options.get("few_shot_draws", DRAWS)), dict[str, Result]()
    for i, n in enumerate(SHOTS):
        end = "" if n == 5 else f"_{n}"
        classes, counts = np.unique(y, return_counts=True)
        if (counts > n).sum() < 2:
            reason = f"fewer than two test classes have more than {n} examples"
            out |= {f"few_shot_{name}{end}": refused(reason, NATS) for name in ("accuracy", "log_px")}
            continue
        known = np.where(np.isin(y, classes[counts > n]), y, -1)
        right, worth, seen = np.zeros(len(y)), np.zeros(len(y)), np.zeros(len(y))
        for draw in range(draws):
            made = episode(known, n, draw)
            sets, others = x[torch.from_numpy(made.support)], x[torch.from_numpy(made.others)]
            own = np.searchsorted(made.classes, y[made.others])
            guess = log_shared(subject.model, others, sets, within).argmax(1).numpy()
            each = log_given(subject.model, others, sets, k=K, seed=subject.seed, within=within).numpy()
            right[made.others] += guess == own
            worth[made.others] += each[np.arange(len(own)), own]
            seen[made.others] += 1
            subject.progress("few_shot", i * draws + draw + 1, len(SHOTS) * draws)
        kept = seen > 0
        facts: dict[str, Any] = {"shots": n, "draws": draws, "classes": int((counts > n).sum())}
        facts |= {"by": "context" if has_context(subject.model) else "class means of codes"}
        share, log_px = (float((total[kept] / seen[kept]).mean()) for total in (right, worth))
        # no error: all examples share the draws of those given, which one over examples would leave out
        out[f"few_shot_accuracy{end}"] = Result(share, "share", int(kept.sum()), facts=facts)
        out[f"few_shot_log_px{end}"] = Result(log_px, nats(subject.info), int(kept.sum()), facts=facts | {"k": K})
    return out


def _spread(subject: Subject) -> Tensor:
    assert subject.train is not None
    x, y = subject.train()
    assert y is not None
    return spread_within(subject.model, x, y)


SETS: dict[str, tuple[str, bool | None]] = {
    "set_log_px": ("importance-weighted bound on log p of sets of 5 of one test class, over 5", True),
    "context_gap": ("ELBO of sets of 5 with each one's own best q(c) minus that of the encoder's, over 5", False),
}


@metric(
    "sets",
    group="few-shot",
    gives=SETS,
    needs=("labels", "array", "sets"),
    reference="Cremer, Li & Duvenaud 2018, arXiv:1801.03558",
    slow=True,
)
@refuses(*SETS, unit=NATS)
def of_sets(subject: Subject) -> dict[str, Result]:
    """Sets of 5 of each test class: log p, and what inference learned across tasks loses against one fitted to each.

    The gap is of q(c|X) alone, a diagonal normal either way; the members' q(z|x, c) stay the encoder's.
    """
    assert subject.y is not None
    model, given, n = subject.model, subject.model.of_context(), 5
    y = subject.y.numpy()
    found = [
        rows[: len(rows) // n * n].reshape(-1, n)[:20]
        for rows in (np.random.default_rng(0).permutation(np.flatnonzero(y == c)) for c in np.unique(y))
    ]
    rows = torch.from_numpy(np.concatenate(found))
    if not len(rows):
        return {name: refused(f"no test class has {n} examples", NATS) for name in SETS}
    sets = subject.x[rows].float().to(device_of(model))
    steps = int(subject.options.get("gaps_steps", 200))
    local = fit_posteriors(given, sets, steps=steps, progress=subject.progress_of("sets"))
    q = model.encode(sets)
    encoder = torch.stack([given.log_joint(sets, c := q.sample(torch.Size((20,)))) - q.log_prob(c) for _ in range(50)])
    gap = (local.elbo - encoder.flatten(0, 1).mean(0).cpu()) / n
    facts: dict[str, Any] = {"members": n, "steps": local.steps, "rose_last": local.left / n}
    worth = set_log_likelihood(model, sets, subject.k) / n
    return {
        "set_log_px": mean_of(worth, nats(subject.info), k=subject.k, members=n),
        "context_gap": mean_of(gap, NATS, **facts),
    }
