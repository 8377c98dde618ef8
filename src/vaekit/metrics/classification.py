"""Classification by models that have the label among their latents."""

from __future__ import annotations

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
def accuracy(subject: Subject) -> dict[str, Result]:
    """Accuracy of q(y|x) on the test split, and its log-probability of the true label."""
    assert subject.y is not None
    log_probs = subject.per_example("accuracy", lambda x, _: subject.model.class_log_probs(x))
    return {
        "accuracy": mean_of((log_probs.argmax(-1) == subject.y).double(), "share"),
        "label_log_prob": mean_of(log_probs.gather(1, subject.y.unsqueeze(1)).squeeze(1), "nats/example"),
    }
