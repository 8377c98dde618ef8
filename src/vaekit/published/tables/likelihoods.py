"""Bounds on log p(x) of MNIST: importance weights, priors, ladders. Figures are negative bounds, so lower is better."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vaekit.published.base import Budget, Figure, published
from vaekit.published.by_study import ByStudy, by_study

IWAE = (
    "Burda et al. 2016, arXiv:1509.00519, table 1, as nbip/IWAE (3a5e38b) quotes it; settings of yburda/iwae (78a6075)"
)
RERUN = "nbip/IWAE 3a5e38b, a rerun"
PASSES = (
    "MNIST binarised afresh at every visit, 59,600 images to train on; batches of 20; 3,280 epochs in passes of 3^i at "
    "a learning rate of 1e-3·10^(-i/7); Adam with ε = 1e-4; tanh units; the negative bound of K = 5,000 samples on the "
    "10,000 test images, binarised once."
)
COSINE = "a cosine of the learning rate in place of the passes; Adam's second moment starts at 0"
NEGATIVE_BOUND: dict[str, Any] = {"scale": -1.0, "metrics": ["iw_bound"]}

PAPER = {
    "model.net": "mlp",
    "model.hidden": [200, 200],
    "model.act": "tanh",
    "train.batch_size": 20,
    "train.lr": 1e-3,
    "train.warmup": 0,
    "train.eps": 1e-4,
    "data.valid": 400,
    "data.binarise": "stochastic",
}
ONE = PAPER | {"model.latent": 50}
TWO = PAPER | {"model.latent": 100, "model.upper": [50], "model.between": [100, 100], "objective.beta": 1.0}


def _budgets(smoke: int, hour: int) -> Mapping[str, Budget]:
    """Return the budgets of a table of the IWAE's protocol, by the steps of each arm."""
    return {
        "smoke": Budget(
            {"settings": {"train.steps": smoke}, "k": 100, "limit": 200},
            f"{smoke:,} steps of 9.8 million; K = 100; 200 test images; {COSINE}",
        ),
        "hour": Budget(
            {"settings": {"train.steps": hour}, "k": 5000, "limit": 500},
            f"{hour:,} steps of 9.8 million; 500 test images; {COSINE}",
        ),
        "full": Budget(
            {"settings": {"train.epochs": 3280}, "k": 5000, "limit": 10_000, "seeds": [0, 1, 2]}, COSINE, "all"
        ),
    }


def _arms(recipes: Mapping[str, dict[str, Any]], ks: tuple[int, ...] = (1, 5, 50)) -> dict[str, Any]:
    """Return each recipe's arms: with k = 1 an IWAE is a VAE, so it has none."""
    out: dict[str, Any] = {}
    for label, arm in recipes.items():
        for k in ks if label != "IWAE" else ks[1:]:
            out[f"{label}, k = {k}"] = arm | {"settings": {**arm.get("settings", {}), "objective.k": k}}
    return out


def _importance(settings: Mapping[str, Any], recipes: Mapping[str, dict[str, Any]]) -> ByStudy:
    return by_study("iw_bound", settings=dict(settings), arms=_arms(recipes), **NEGATIVE_BOUND)


def _rows(tag: str, **values: tuple[float, ...]) -> dict[str, Figure]:
    every = {"VAE": (1, 5, 50), "DReG": (1, 5, 50), "IWAE": (5, 50)}
    return {
        f"{label}, k = {k}": Figure(value, tag) for label in values for k, value in zip(every[label], values[label])
    }


published(
    "iwae-1-layer",
    title="VAE and IWAE with one stochastic layer on MNIST",
    source=IWAE,
    protocol=f"784-200-200-50; {PASSES}",
    data="mnist",
    unit="nats/example",
    rows=_rows("S", VAE=(86.76, 86.47, 86.35), IWAE=(85.54, 84.78)),
    tolerance=0.5,
    budgets=_budgets(1500, 20_000),
)(_importance(ONE, {"VAE": {"recipe": "vae"}, "IWAE": {"recipe": "iwae"}}))

published(
    "iwae-2-layers",
    title="VAE and IWAE with two stochastic layers on MNIST",
    source=IWAE,
    protocol=f"784-200-200-100-100-100-50; {PASSES}",
    data="mnist",
    unit="nats/example",
    rows=_rows("S", VAE=(85.33, 85.01, 84.78), IWAE=(83.89, 82.90)),
    tolerance=0.5,
    budgets=_budgets(1000, 12_000),
)(
    _importance(
        TWO,
        {
            "VAE": {"recipe": "hierarchical-vae"},
            "IWAE": {"recipe": "hierarchical-vae", "settings": {"objective.bound": "importance"}},
        },
    )
)

published(
    "dreg",
    title="doubly reparameterised gradients with one stochastic layer on MNIST",
    source=f"{RERUN}; the method is Tucker et al. 2019, arXiv:1810.04152, whose own table was not to be had",
    protocol=f"784-200-200-50; {PASSES}",
    data="mnist",
    unit="nats/example",
    rows=_rows("R", DReG=(86.08, 84.90, 84.32)),
    tolerance=0.5,
    budgets=_budgets(1500, 20_000),
)(_importance(ONE, {"DReG": {"recipe": "dreg"}}))

NORMAL, VAMP, GAIN = "standard normal", "VampPrior", "gain of the VampPrior"
published(
    "vamp-prior",
    title="a VampPrior against a standard normal on MNIST",
    source="Norouzi et al. 2020, arXiv:2004.04795, table 1, as quoted; the prior is Tomczak & Welling 2018's, "
    "arXiv:1705.07120",
    protocol="MNIST binarised afresh at every visit, 50,000 images to train on; gated 784-300-300-40, 500 "
    "pseudo-inputs; Adam at 5e-4, batches of 100, a KL warm-up of 100 epochs, stopped after 50 epochs without a better "
    "held-out bound, 2,000 at most; the negative bound of K = 5,000 samples on the test images.",
    data="mnist",
    unit="nats/example",
    rows={NORMAL: Figure(84.45, "S"), VAMP: Figure(82.43, "S"), GAIN: Figure(2.02, "S")},
    tolerance=0.5,
    budgets={
        "smoke": Budget(
            {
                "settings": {"train.steps": 2000, "objective.beta": "linear 0 1 30%"},
                "k": 100,
                "limit": 200,
            },
            "2,000 steps of a million at most; K = 100; 200 test images; SiLU units",
        ),
        "hour": Budget(
            {"settings": {"train.epochs": 60, "objective.beta": "linear 0 1 30%"}, "k": 5000, "limit": 500},
            "60 epochs; 500 test images; SiLU units where theirs are gated",
        ),
        "full": Budget(
            {
                "settings": {"train.epochs": 2000, "train.early_stop": 50, "objective.beta": "linear 0 1 100ep"},
                "k": 5000,
                "limit": 10_000,
                "seeds": [0, 1, 2],
            },
            "SiLU units where theirs are gated",
            (NORMAL, VAMP),
        ),
    },
)(
    by_study(
        "iw_bound",
        differences={GAIN: (NORMAL, VAMP)},
        settings={
            "model.net": "mlp",
            "model.hidden": [300, 300],
            "model.latent": 40,
            "train.batch_size": 100,
            "train.lr": 5e-4,
            "train.decay": "none",
            "data.valid": 10_000,
            "data.binarise": "stochastic",
        },
        arms={
            NORMAL: {"recipe": "vae"},
            VAMP: {"recipe": "vamp-vae", "settings": {"model.components": 500}},
        },
        **NEGATIVE_BOUND,
    )
)

published(
    "ladder",
    title="a ladder of five stochastic layers on MNIST",
    source="Sønderby et al. 2016, arXiv:1602.02282, as later papers quote it",
    protocol="MNIST binarised afresh at every visit; latents of 64, 32, 16, 8 and 4 dimensions with networks of 512, "
    "256, 128, 64 and 64 leaky units; batch normalisation, a KL warm-up of 200 epochs, 2,000 epochs; the negative "
    "bound of K = 5,000 samples on the test images. Layer sizes and lengths are from memory.",
    data="mnist",
    unit="nats/example",
    rows={"ladder VAE": Figure(81.74, "S")},
    tolerance=0.5,
    budgets={
        "smoke": Budget(
            {"settings": {"train.steps": 800}, "k": 100, "limit": 200},
            "800 steps; K = 100; 200 test images; SiLU units, widths of 256 between latents",
        ),
        "hour": Budget(
            {"settings": {"train.epochs": 40}, "k": 1000, "limit": 500},
            "40 epochs; K = 1,000; 500 test images; SiLU units, widths of 256 between latents",
        ),
        "full": Budget(
            {
                "settings": {"train.epochs": 2000, "objective.beta": "linear 0 1 200ep"},
                "k": 5000,
                "limit": 10_000,
                "seeds": [0, 1, 2],
            },
            "SiLU units, widths of 256 between latents",
            "all",
        ),
    },
)(
    by_study(
        "iw_bound",
        recipe="ladder-vae",
        settings={
            "model.net": "mlp",
            "model.hidden": [512, 512],
            "model.latent": 64,
            "model.upper": [32, 16, 8, 4],
            "train.batch_size": 256,
            "train.lr": 1e-3,
            "data.binarise": "stochastic",
        },
        arms={"ladder VAE": {}},
        **NEGATIVE_BOUND,
    )
)
