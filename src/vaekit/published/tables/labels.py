"""A hundred labels."""

from __future__ import annotations

from vaekit.published.base import Budget, Figure, published
from vaekit.published.by_study import by_study

SOURCE = "Kingma et al. 2014, arXiv:1406.5298, table 1, as later papers quote it"
PROTOCOL = (
    "MNIST's first 50,000 training images with the labels of 100, ten of each digit; 50 latents; error on the 10,000 "
    "test images, mean over random choices of the labels."
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
    source=f"{SOURCE}; settings of the authors' code (dpkingma/nips14-ssl 44b95a1)",
    protocol=f"{PROTOCOL} M1: layers of 500, 500 softplus units, trained first, its dimensions whose means deviate by "
    "at most 0.1 left out. M2 on samples of the others: a layer of 300, Adam at 3e-4, 3,000 epochs of 100 batches, a "
    "normal prior on the weights; the shown labels' bound weighs as much as their share of the data, the classifier's "
    "loss α = 0.1 N.",
    data="mnist",
    unit="% error",
    rows={"M1 + M2": Figure(3.33, "S", 0.14)},
    tolerance=0.5,
    budgets={
        "smoke": _budget(
            "16 epochs, half of them of M2; hidden layers 256; weights of 1 and 0.3 for the classifier and the shown "
            "labels' bound; one choice of labels",
            settings={"train.epochs": 16, "model.hidden": [256]},
        ),
        "hour": _budget(
            "100 epochs, half of them of M2; hidden layers 256; weights of 1 and 0.3 for the classifier and the shown "
            "labels' bound; three choices of labels",
            settings={"train.epochs": 100, "model.hidden": [256]},
            seeds=3,
        ),
        "full": _budget(
            "a cosine of the learning rate; layers of 500, 500 in M2 too; all of M1's dimensions kept; no prior on the "
            "weights",
            True,
            {
                "train.epochs": 6000,
                "train.batch_size": 500,
                "train.lr": 3e-4,
                "model.hidden": [500, 500],
                "model.act": "softplus",
                "objective.shown": None,
                "objective.alpha": 0.1,
                "data.valid": 10_000,
            },
            10,
        ),
    },
)(by_study("accuracy", arms={"M1 + M2": {}}, **SHARED))

published(
    "m2",
    title="M2 by itself: a hundred labels of MNIST",
    source=SOURCE,
    protocol=f"{PROTOCOL} How M2 was trained on pixels with few labels is not published: the authors' code "
    "(dpkingma/nips14-ssl 44b95a1) has M1 + M2 with few labels and M2 with all of them, so the figure is not held to. "
    "Its gain comes late. A rerun by the protocol of M1 + M2 (jonemeth/generative-models e051b28, its log, one choice "
    "of labels) errs by 43% after 10 epochs, 40% after 60, 25% after 500, 11.6% after 1,290 and 7.2% after 3,000; one "
    "with 100 labels in every step (musyoku/variational-autoencoder 002b283) by 9.8% after 490,000 steps. Reruns that "
    "are shorter stay 6 to 12 points above the paper's (wohlert/semi-supervised-pytorch, issue 34).",
    data="mnist",
    unit="% error",
    rows={"M2": Figure(11.97, "S", 1.71)},
    tolerance=1.71,
    budgets={
        "smoke": _budget(
            "8 epochs; hidden layers 256; weights of 1 and 0.3 for the classifier and the shown labels' bound; one "
            "choice of labels",
            settings={"train.epochs": 8, "model.hidden": [256]},
        ),
        "hour": _budget(
            "100 epochs; hidden layers 256; weights of 1 and 0.3 for the classifier and the shown labels' bound; one "
            "choice of labels",
            settings={"train.epochs": 100, "model.hidden": [256]},
        ),
        "full": _budget(
            "trained as M1 + M2 is in the authors' code, on pixels binarised afresh at every visit; a layer of 500",
            settings={
                "train.epochs": 3000,
                "train.batch_size": 500,
                "train.lr": 3e-4,
                "model.hidden": [500],
                "model.trunk": 500,
                "model.act": "softplus",
                "objective.shown": None,
                "objective.alpha": 0.1,
                "data.valid": 10_000,
            },
            seeds=10,
        ),
    },
)(by_study("accuracy", arms={"M2": {"settings": {"model.stack": False}}}, **SHARED))
