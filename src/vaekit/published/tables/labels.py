"""A hundred labels."""

from __future__ import annotations

from vaekit.published.base import Budget, Figure, published
from vaekit.published.by_study import by_study

SOURCE = "Kingma et al. 2014, arXiv:1406.5298, table 1, as later papers quote it"
PROTOCOL = (
    "MNIST with the labels of 100 training images, ten of each digit, binarised afresh at every visit; 50 latents; "
    "error on the 10,000 test images, mean over random choices of the labels (ten in the paper; their number is from "
    "memory)."
)
SHARED = {
    "scale": -100.0,
    "offset": 100.0,
    "recipe": "semi-supervised-vae",
    "metrics": ["accuracy"],
    "limit": 10_000,
    "resplit": True,
}


def _budget(differs: str, gates: bool = False, settings: dict[str, object] | None = None, seeds: int = 1) -> Budget:
    return Budget({"seeds": list(range(seeds)), "settings": settings or {}}, differs, "all" if gates else ())


published(
    "m1-m2",
    title="M1 + M2: a hundred labels of MNIST",
    source=SOURCE,
    protocol=PROTOCOL + " M1 has hidden layers 600, 600 and M2 500, of softplus units.",
    data="mnist",
    unit="% error",
    rows={"M1 + M2": Figure(3.33, "S", 0.14)},
    tolerance=0.5,
    budgets={
        "smoke": _budget(
            "16 epochs, where the paper has hundreds; hidden layers 256; one choice of labels",
            settings={"train.epochs": 16, "model.hidden": [256]},
        ),
        "hour": _budget(
            "100 epochs; three choices of labels", settings={"train.epochs": 100, "model.hidden": [256]}, seeds=3
        ),
        "full": _budget(
            "a cosine of the learning rate; SiLU units",
            True,
            {"train.epochs": 1000, "model.hidden": [600, 600], "model.act": "silu"},
            10,
        ),
    },
)(by_study("accuracy", arms={"M1 + M2": {}}, **SHARED))

published(
    "m2",
    title="M2 by itself: a hundred labels of MNIST",
    source=SOURCE,
    protocol=PROTOCOL
    + " Hidden layers 500 of softplus units; the shown labels' bound weighs as much as their share of "
    "the data, and the classifier's loss 0.1 N.",
    data="mnist",
    unit="% error",
    rows={"M2": Figure(11.97, "S", 1.71)},
    tolerance=1.71,
    budgets={
        "smoke": _budget(
            "8 epochs, where the paper has hundreds or thousands; hidden layers 256; weights of 1 and 0.3 for the "
            "classifier and the shown labels' bound",
            settings={"train.epochs": 8, "model.hidden": [256]},
        ),
        "hour": _budget("100 epochs; one choice of labels", settings={"train.epochs": 100, "model.hidden": [256]}),
        "full": _budget(
            "a cosine of the learning rate",
            True,
            {
                "train.epochs": 3000,
                "train.lr": 3e-4,
                "model.hidden": [500],
                "model.trunk": 500,
                "model.act": "softplus",
                "objective.shown": None,
                "objective.alpha": 0.1,
            },
            10,
        ),
    },
)(by_study("accuracy", arms={"M2": {"settings": {"model.stack": False}}}, **SHARED))
