"""How well a model that has the label among its latents tells it."""

from __future__ import annotations

import torch

from vaekit.metrics.base import Result, Subject, mean_of, metric


@metric(
    "accuracy",
    group="classification",
    gives={
        "accuracy": ("share of test examples whose likeliest label under q(y|x) is their own", True),
        "label_log_prob": ("mean log q(y|x) of the true label", True),
    },
    needs=("labels", "classifier"),
    reference="Kingma et al. 2014, arXiv:1406.5298",
)
@torch.no_grad()
def accuracy(subject: Subject) -> dict[str, Result]:
    """Accuracy of q(y|x) on the test split, and its log-probability of the true label."""
    right: list[torch.Tensor] = []
    scores: list[torch.Tensor] = []
    for x, y in subject.batches("accuracy"):
        assert y is not None
        log_probs = subject.model.class_log_probs(x)  # pyright: ignore[reportCallIssue]
        right.append((log_probs.argmax(-1) == y).double())
        scores.append(log_probs.gather(1, y.unsqueeze(1)).squeeze(1))
    return {
        "accuracy": mean_of(torch.cat(right), "share"),
        "label_log_prob": mean_of(torch.cat(scores), "nats an example"),
    }
